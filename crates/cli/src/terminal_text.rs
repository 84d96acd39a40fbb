//! Text for terminals and shells: escaped, counted, coloured, quoted.

use std::{
    env,
    ffi::OsStr,
    fmt::{self, Write as _},
    io::IsTerminal,
    os::fd::AsFd,
};

use clap::builder::styling::{AnsiColor, Style};
use rustix::termios::tcgetwinsize;

/// Shows text with its control characters escaped, so that text from S3 cannot control the
/// terminal.
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

/// `true` if a character changes the direction of text (Unicode Standard Annex #9).
fn is_direction(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Count with its noun, such as `1 key` or `2 keys`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// Colours on a terminal, unless `NO_COLOR` is set (<https://no-color.org>) or `TERM` is `dumb`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Colors(bool);

impl Colors {
    /// Returns the colours for a stream.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(
            stream.is_terminal()
                && !no_color
                && env::var_os("TERM").is_none_or(|term| term != "dumb"),
        )
    }

    /// Returns no colours.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(false)
    }

    pub(crate) fn red(self, text: &str) -> Painted<'_> {
        self.paint(text, AnsiColor::Red.on_default().bold())
    }

    pub(crate) fn yellow(self, text: &str) -> Painted<'_> {
        self.paint(text, AnsiColor::Yellow.on_default().bold())
    }

    pub(crate) fn green(self, text: &str) -> Painted<'_> {
        self.paint(text, AnsiColor::Green.on_default().bold())
    }

    pub(crate) fn bold(self, text: &str) -> Painted<'_> {
        self.paint(text, Style::new().bold())
    }

    fn paint(self, text: &str, style: Style) -> Painted<'_> {
        Painted { text, style: if self.0 { style } else { Style::new() } }
    }
}

/// Width of a terminal, at which text for people is broken. Other output is not broken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Width(Option<usize>);

impl Width {
    /// Columns of a terminal that doesn't tell its width.
    const DEFAULT: usize = 80;

    /// Returns the width of a stream.
    pub(crate) fn of(stream: &(impl IsTerminal + AsFd)) -> Self {
        Self(stream.is_terminal().then(|| match tcgetwinsize(stream) {
            Ok(window) if window.ws_col > 0 => window.ws_col.into(),
            _ => Self::DEFAULT,
        }))
    }

    /// Returns the width of what is no terminal.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Returns the width of a terminal with so many columns.
    #[cfg(test)]
    pub(crate) fn of_columns(columns: usize) -> Self {
        Self(Some(columns))
    }

    /// `true` if the line is not broken.
    pub(crate) fn fits(self, line: &str) -> bool {
        self.0.is_none_or(|width| line.chars().count() <= width)
    }

    /// Returns the number of columns.
    pub(crate) fn columns(self) -> usize {
        self.0.unwrap_or(Self::DEFAULT)
    }

    /// Breaks a line of text between words. Its first word stands at the column `indent`, and so do
    /// those of all further lines. A word that is longer than a line is not broken, so that it can
    /// be copied.
    pub(crate) fn fill(self, text: &str, indent: usize) -> String {
        let Some(width) = self.0 else { return text.to_owned() };
        let (mut filled, mut column) = (String::new(), indent);
        for word in text.split(' ') {
            let len = word.chars().count();
            if column > indent && column + 1 + len > width {
                filled.push_str(&format!("\n{:indent$}", ""));
                column = indent;
            } else if !filled.is_empty() {
                filled.push(' ');
                column += 1;
            }
            filled.push_str(word);
            column += len;
        }
        filled
    }
}

/// Coloured text.
#[derive(Debug)]
pub(crate) struct Painted<'a> {
    text: &'a str,
    style: Style,
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.style.render(), self.text, self.style.render_reset())
    }
}

/// Returns a command line of these words, quoted for a shell.
pub(crate) fn command_line(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    words
        .into_iter()
        .map(|word| quoted(&word.as_ref().to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Returns the command line of this process.
pub(crate) fn this_command_line() -> String {
    command_line(env::args_os())
}

/// Returns the command line of this process, with `flag` if it has not been given.
pub(crate) fn this_command_line_with(flag: &str) -> String {
    let has_it = env::args_os().any(|word| word == flag);
    command_line(env::args_os().chain((!has_it).then(|| flag.into())))
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        let width = Width(Some(20));
        assert_eq!(
            width.fill("a check of the key policy", 8),
            "a check of\n        the key\n        policy"
        );
        let arn = "arn:aws:kms:us-east-1:111122223333:key/1234";
        assert_eq!(width.fill(&format!("see {arn} now"), 2), format!("see\n  {arn}\n  now"));
        assert_eq!(width.fill(arn, 2), arn, "no empty line");
        assert_eq!(Width::none().fill("a check of the key policy", 8), "a check of the key policy");
    }

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

    #[test]
    fn only_a_terminal_gets_colours() {
        assert_eq!(Colors(false).red("text").to_string(), "text");
        assert_eq!(Colors(true).red("text").to_string(), "\u{1b}[1m\u{1b}[31mtext\u{1b}[0m");
        let file = std::fs::File::open("/dev/null").expect("there");
        assert_eq!(Colors::of(&file).green("text").to_string(), "text");
    }

    #[test]
    fn words_are_quoted_if_necessary() {
        let words = ["sealwax", "put", "a b", "s3://b/k", "-c", "t=a'b", "", "$HOME", "~", "é"];
        assert_eq!(
            command_line(words),
            "sealwax put 'a b' s3://b/k -c 't=a'\\''b' '' '$HOME' '~' 'é'"
        );
    }
}
