//! Text of others, made safe to show on a terminal.

use std::fmt::{self, Write as _};

/// Shows a text with its control characters escaped: what is stored in S3 must not command the terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printable<'a>(pub(crate) &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            if char.is_control() || is_direction(char) {
                write!(f, "{}", char.escape_unicode())?;
            } else {
                f.write_char(char)?;
            }
        }
        Ok(())
    }
}

/// Whether a character changes the direction of the text around it (Unicode Standard Annex #9).
fn is_direction(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A count and its noun, such as `1 key` or `2 keys`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            Printable("a\u{1b}[31mb\nc\u{202e}é\"\\").to_string(),
            "a\\u{1b}[31mb\\u{a}c\\u{202e}é\"\\"
        );
    }

    #[test]
    fn nouns_agree_with_their_counts() {
        assert_eq!([0, 1, 2].map(|n| Counted(n, "key").to_string()), ["0 keys", "1 key", "2 keys"]);
    }
}
