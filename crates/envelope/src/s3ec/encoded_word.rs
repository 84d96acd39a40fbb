//! Decoding of metadata values that are not ASCII, in the form that S3 returns.
//!
//! An SDK sends UTF-8. S3 interprets each byte as a Latin-1 character and returns these characters
//! as an encoded word in UTF-8 (RFC 2047 §4), so they are decoded twice.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Returns the stored text for `value`, which S3 returned. Values that are not encoded words stay
/// unchanged. `None` for an encoded word that does not decode.
pub(super) fn decode(value: &str) -> Option<Cow<'_, str>> {
    if !value.starts_with("=?") {
        return Some(Cow::Borrowed(value));
    }
    let mut characters = String::new();
    // White space between encoded words is not part of the text (RFC 2047 §6.2).
    for word in value.split_ascii_whitespace() {
        let word = word.strip_prefix("=?")?.strip_suffix("?=")?;
        let mut parts = word.splitn(3, '?');
        let (charset, encoding, text) = (parts.next()?, parts.next()?, parts.next()?);
        if !charset.eq_ignore_ascii_case("utf-8") {
            return None;
        }
        let bytes = match encoding {
            "B" | "b" => STANDARD.decode(text).ok()?,
            "Q" | "q" => quoted_printable(text)?,
            _ => return None,
        };
        characters.push_str(std::str::from_utf8(&bytes).ok()?);
    }
    let bytes: Option<Vec<u8>> =
        characters.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    Some(Cow::Owned(String::from_utf8(bytes?).ok()?))
}

/// Decodes the `Q` encoding (RFC 2047 §4.2).
fn quoted_printable(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'_' => b' ',
            b'=' => {
                let (digits, after) = rest.split_first_chunk::<2>()?;
                rest = after;
                let digit = |digit: u8| {
                    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
                };
                digit(digits[0])? << 4 | digit(digits[1])?
            }
            other => *other,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_by_s3_is_reversed() {
        assert_eq!(decode(r#"{"a":"b"}"#).as_deref(), Some(r#"{"a":"b"}"#));
        // Each of the three bytes of "€" (E2 82 AC) as a Latin-1 character, in UTF-8.
        assert_eq!(decode("=?UTF-8?Q?=C3=A2=C2=82=C2=AC?=").as_deref(), Some("€"));
        assert_eq!(decode("=?UTF-8?B?w6LCgsKs?=").as_deref(), Some("€"));
        assert_eq!(decode("=?utf-8?q?a_=C3=A2=C2=82?= =?UTF-8?B?wqw=?=").as_deref(), Some("a €"));
    }

    #[test]
    fn other_encoded_words_are_rejected() {
        for bad in [
            "=?",
            "=?UTF-8?Q?=?=",
            "=?UTF-8?Q?=G0?=",
            "=?UTF-8?X?a?=",
            "=?UTF-16?Q?a?=",
            "=?UTF-8?B?%?=",
            // A character beyond Latin-1, and bytes that are invalid UTF-8 in the second decoding.
            "=?UTF-8?B?4oKs?=",
            "=?UTF-8?Q?=C3=A2?=",
        ] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
