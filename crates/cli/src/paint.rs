//! Colours, where a terminal shows them.

use std::{env, fmt, io::IsTerminal};

use clap::builder::styling::{AnsiColor, Style};

/// Colours, or none: not on what is no terminal, nor where `NO_COLOR` is set (<https://no-color.org>) or `TERM` is `dumb`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For what is written to this stream.
    pub(crate) fn of(stream: &impl IsTerminal) -> Self {
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(
            stream.is_terminal()
                && !no_color
                && env::var_os("TERM").is_none_or(|term| term != "dumb"),
        )
    }

    /// No colours.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(false)
    }

    pub(crate) fn bad(self, text: &str) -> Painted<'_> {
        self.paint(text, AnsiColor::Red.on_default().bold())
    }

    pub(crate) fn doubtful(self, text: &str) -> Painted<'_> {
        self.paint(text, AnsiColor::Yellow.on_default().bold())
    }

    pub(crate) fn good(self, text: &str) -> Painted<'_> {
        self.paint(text, AnsiColor::Green.on_default().bold())
    }

    pub(crate) fn note(self, text: &str) -> Painted<'_> {
        self.paint(text, Style::new().bold())
    }

    fn paint(self, text: &str, style: Style) -> Painted<'_> {
        Painted { text, style: if self.0 { style } else { Style::new() } }
    }
}

/// A text in its colour.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_gets_colours() {
        assert_eq!(Paint(false).bad("text").to_string(), "text");
        assert_eq!(Paint(true).bad("text").to_string(), "\u{1b}[1m\u{1b}[31mtext\u{1b}[0m");
        let file = std::fs::File::open("/dev/null").expect("there");
        assert_eq!(Paint::of(&file).good("text").to_string(), "text");
    }
}
