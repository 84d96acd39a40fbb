//! JSON in printable ASCII, which every SDK and store preserves in S3 metadata, and which no
//! terminal takes for a command.

use serde::Serialize;

/// Returns `value` as compact JSON, with all characters outside printable ASCII escaped.
///
/// ```
/// use sealwax_envelope::ascii_json;
///
/// assert_eq!(ascii_json::to_string(&"a\u{9b}é"), r#""a\u009b\u00e9""#);
/// ```
///
/// # Panics
/// If `value` fails to serialise, or has a map with names that are not text.
#[must_use]
pub fn to_string(value: &impl Serialize) -> String {
    escaped(serde_json::to_string(value).expect(SERIALISES))
}

/// Returns `value` as JSON with line breaks and indentation, escaped in the same way.
///
/// # Panics
/// As [`to_string`].
#[must_use]
pub fn to_string_pretty(value: &impl Serialize) -> String {
    escaped(serde_json::to_string_pretty(value).expect(SERIALISES))
}

const SERIALISES: &str = "text, numbers, lists, and maps whose names are text";

/// Escapes the characters that JSON allows in its strings. Other characters stand only there.
fn escaped(json: String) -> String {
    if json.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
        return json;
    }
    let mut ascii = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            ' '..='~' | '\n' => ascii.push(char),
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_forms_are_ascii() {
        let value = BTreeMap::from([("\u{202e}", "\u{7f}\u{9b}\n\u{1f511}")]);
        assert_eq!(to_string(&value), r#"{"\u202e":"\u007f\u009b\n\ud83d\udd11"}"#);
        assert_eq!(
            to_string_pretty(&value),
            "{\n  \"\\u202e\": \"\\u007f\\u009b\\n\\ud83d\\udd11\"\n}"
        );
    }

    proptest! {
        #[test]
        fn the_value_stays_the_same(
            value in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        ) {
            for json in [to_string(&value), to_string_pretty(&value)] {
                let bytes = json.bytes().filter(|byte| *byte != b'\n');
                prop_assert!(bytes.clone().all(|byte| (b' '..=b'~').contains(&byte)), "{}", json);
                prop_assert_eq!(serde_json::from_str::<BTreeMap<String, String>>(&json).expect("JSON"), value.clone());
            }
        }
    }
}
