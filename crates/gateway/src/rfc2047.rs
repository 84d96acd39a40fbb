//! Text that is not ASCII, in headers. (RFC 2047, "Message Header Extensions for Non-ASCII Text".)

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Longest text of one encoded word in bytes: a word has at most 75 characters. (RFC 2047 §2.)
const MAX_WORD: usize = 45;

/// Returns text as encoded words.
pub(crate) fn encoded(text: &str) -> String {
    let (mut words, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        // A word has whole characters alone. (RFC 2047 §5.)
        let (word, after) = rest.split_at(rest.floor_char_boundary(MAX_WORD));
        words.push(format!("=?UTF-8?B?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words.join(" ")
}

/// Returns text as a value of metadata: ASCII unchanged, other text as encoded words.
pub(crate) fn ascii(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_owned(),
        false => encoded(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_short_and_hold_whole_characters() {
        for text in ["ü", "grüße ✓", &"é".repeat(400), &"🦭".repeat(100), &"aé".repeat(100)]
        {
            let encoded = encoded(text);
            let mut decoded = String::new();
            for word in encoded.split(' ') {
                assert!(word.len() <= 75, "{word}");
                let word = word.strip_prefix("=?UTF-8?B?").and_then(|it| it.strip_suffix("?="));
                let bytes = STANDARD.decode(word.expect("a word")).expect("base64");
                decoded.push_str(&String::from_utf8(bytes).expect("whole characters"));
            }
            assert_eq!(decoded, text);
            assert_eq!(ascii(text), encoded);
        }
        assert_eq!(ascii("=?UTF-8?B?"), "=?UTF-8?B?");
    }
}
