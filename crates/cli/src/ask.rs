//! Questions to whoever sits at the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::{error::Failure, interrupt::unless_stopped, text::Printable};

/// Whether somebody can be asked.
pub(crate) fn somebody_is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks `question`, and gives the line that is typed, without the space around it. `consequence` tells what a signal
/// leads to.
pub(crate) async fn ask(question: String, consequence: &'static str) -> Result<String, Failure> {
    // A thread of its own: a signal must not wait for an answer.
    let asked = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        write!(io::stderr(), "{} ", Printable(&question))?;
        io::stdin().lock().read_line(&mut answer).map(|_| answer.trim().to_owned())
    });
    let answer =
        unless_stopped(asked).await.map_err(|signal| Failure::stopped(signal, consequence))?;
    answer.map_err(io::Error::other).flatten().map_err(|error| Failure::io("cannot ask", error))
}
