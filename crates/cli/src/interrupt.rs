//! Signals that ask the command to stop.

use std::{fmt, future::Future};

use tokio::signal::unix::{SignalKind, signal};

/// A signal that asked the command to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// `SIGINT`, such as by Ctrl-C.
    Interrupt,
    /// `SIGTERM`.
    Terminate,
}

impl Signal {
    /// 128 and the signal's number, as shells have it.
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

/// Does `work`, unless a signal comes first; `work` is dropped then.
pub(crate) async fn unless_stopped<T: Send>(
    work: impl Future<Output = T> + Send,
) -> Result<T, Signal> {
    tokio::select! {
        biased;
        signal = received() => Err(signal),
        done = work => Ok(done),
    }
}

/// Does `work`, which `ask` asks to end early when a signal comes; at the second one, `work` is dropped. The signal, if one came.
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

/// Waits for a signal; for ever where signals cannot be received, which leaves them to the system.
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
