//! Signals that stop the command.

use std::{fmt, future::Future};

use tokio::signal::unix::{SignalKind, signal};

/// Signal that stops the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// `SIGINT`, for example by Ctrl-C.
    Interrupt,
    /// `SIGTERM`.
    Terminate,
}

impl Signal {
    /// Returns 128 plus the signal number, as shells do.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "interrupted",
            Self::Terminate => "terminated",
        })
    }
}

/// Runs `work` until a signal arrives, which drops `work`.
pub(crate) async fn unless_stopped<T: Send>(
    work: impl Future<Output = T> + Send,
) -> Result<T, Signal> {
    tokio::select! {
        biased;
        signal = received() => Err(signal),
        done = work => Ok(done),
    }
}

/// Runs `work`; returns its result and the signal that arrived, if any.
///
/// The first signal calls `ask`, which asks `work` to end early. The second one drops `work`.
pub(crate) async fn asked_to_stop<T: Send>(
    work: impl Future<Output = T> + Send,
    ask: impl FnOnce() + Send,
) -> Result<(T, Option<Signal>), Signal> {
    let mut work = std::pin::pin!(work);
    let signal = tokio::select! {
        biased;
        signal = received() => signal,
        done = &mut work => return Ok((done, None)),
    };
    ask();
    tokio::select! {
        biased;
        signal = received() => Err(signal),
        done = &mut work => Ok((done, Some(signal))),
    }
}

/// Waits for a signal; forever if no signal handler can be installed, which keeps the system's
/// default behaviour.
async fn received() -> Signal {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => Signal::Interrupt,
        _ = terminate.recv() => Signal::Terminate,
    }
}
