//! Hostile text, made visible.

use crate::terminal_text::Printable;

/// Returns text with each character escaped that has no shape of its own or changes how others are
/// shown: controls, directions, line separators, tags and characters of no width.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unseen(char) {
            shown.extend(char.escape_unicode());
        } else {
            shown.push_str(&Printable(char.encode_utf8(&mut [0; 4])).to_string());
        }
    }
    shown
}

/// `true` for format characters, separators of lines, fillers and characters that are none.
fn is_unseen(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || u32::from(char) & 0xfffe == 0xfffe
        || matches!(char, '\u{fdd0}'..='\u{fdef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_be_seen_is_escaped() {
        let text = "a\u{200b}b\u{202e}c\u{feff}d\n\u{7f}\u{e0041}\u{ffff}é漢字 \u{1f512}";
        let shown = r"a\u{200b}b\u{202e}c\u{feff}d\u{a}\u{7f}\u{e0041}\u{ffff}é漢字 🔒";
        assert_eq!(visible(text), shown);
    }
}
