//! Standard output, and questions on the terminal.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Stdout, Write as _},
    path::Path,
};

use sealwax_s3::envelope::ascii_json;
use serde::Serialize;

use crate::{
    failure::Failure,
    interrupt::unless_stopped,
    terminal_text::{Printable, Width},
};

/// Prints a line of JSON in ASCII during a job, which continues if the output is closed.
pub(crate) fn print_json(value: &impl Serialize) {
    let text = ascii_json::to_string(value);
    let _ = io::stdout().lock().write_all(format!("{text}\n").as_bytes());
}

/// Prints a line during a job, which continues if the output is closed.
pub(crate) fn print_line(text: &str) {
    let _ = io::stdout().lock().write_all(format!("{}\n", Printable(text)).as_bytes());
}

/// Standard output, written line by line. A closed pipe is no error.
#[derive(Debug)]
pub(crate) struct Lines {
    output: Stdout,
    /// `true` after the reader has closed the pipe.
    closed: bool,
}

impl Lines {
    /// Returns a writer of standard output.
    pub(crate) fn new() -> Self {
        Self { output: io::stdout(), closed: false }
    }

    /// `true` if the reader has closed the pipe, so that further lines are pointless.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes a line.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        if self.closed {
            return Ok(());
        }
        let written = self.output.write_all(format!("{}\n", text.as_ref()).as_bytes());
        self.unless_closed(written)
    }

    /// Writes text that contains line breaks.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.line(text.strip_suffix('\n').unwrap_or(text))
    }

    /// Writes a line of JSON in ASCII, so that text from S3 cannot control the terminal.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(ascii_json::to_string(value))
    }

    /// Flushes all lines.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let flushed = self.output.flush();
        self.unless_closed(flushed)
    }

    fn unless_closed(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            Err(error) => Err(Failure::io("cannot write to standard output", error)),
            Ok(()) => Ok(()),
        }
    }
}

/// `true` if `file` is `-`, which means standard input or output.
pub(crate) fn is_standard_stream(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// `true` if the user can be asked on a terminal.
pub(crate) fn can_prompt() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Says what will happen, asks whether it may, and waits for the answer. `otherwise` says what no
/// answer, any answer but yes, or a signal leads to.
///
/// # Errors
/// The user declines, or the question can't be asked.
pub(crate) async fn confirm(what: &str, otherwise: &'static str) -> Result<(), Failure> {
    let what = Width::of(&io::stderr()).fill(&format!("{}.", Printable(what)), 0);
    // In a separate thread, so that a signal does not wait for the answer.
    let asked = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        write!(io::stderr(), "{what}\nContinue? [y/N] ")?;
        io::stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    let answer =
        unless_stopped(asked).await.map_err(|signal| Failure::stopped(signal, otherwise))?;
    let answer = answer
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| Failure::io("cannot read the answer", error))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::declined(otherwise)),
    }
}
