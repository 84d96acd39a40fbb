//! Percent-encoding as in Signature Version 4: only unreserved characters stand for themselves.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &VALUE.remove(b'/');

/// Encodes a query parameter's name or value.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, VALUE).to_string()
}

/// Encodes a path, whose slashes stay.
pub(super) fn encode_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// Decodes; `None` for incomplete escapes and for bytes that are not UTF-8.
///
/// A plus sign stands for itself.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (digit(bytes.next())? << 4 | digit(bytes.next())?) as u8,
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes_exactly() {
        for (text, expected) in [
            ("a+b%2Bc%20", Some("a+b+c ")),
            ("%c3%A4", Some("\u{e4}")),
            ("%", None),
            ("%4", None),
            ("%4g", None),
            ("%+4", None),
            ("%C3", None),
            ("%2525", Some("%25")),
        ] {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        }
        assert_eq!(encode("a/b+~\u{e4}%"), "a%2Fb%2B~%C3%A4%25");
        assert_eq!(encode_path("a/b+~\u{e4}%"), "a/b%2B~%C3%A4%25");
    }

    proptest! {
        #[test]
        fn decoding_reverts_encoding(text in ".*") {
            prop_assert_eq!(decode(&encode(&text)), Some(text.clone()));
            prop_assert_eq!(decode(&encode_path(&text)), Some(text));
        }
    }
}
