//! Signals that stop the command, and its deadline, which acts as one.

use std::{
    fmt,
    future::Future,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep_until},
};

/// Signal that stops the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The time of `--deadline` is over.
    Deadline,
    /// `SIGHUP`: the terminal was closed, or its connection was lost.
    Hangup,
    /// `SIGINT`, for example by Ctrl-C.
    Interrupt,
    /// `SIGTERM`.
    Terminate,
}

impl Signal {
    /// Returns 128 plus the signal number, as shells do, or 124 for the deadline, as timeout(1) does.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Deadline => 124,
            Self::Hangup => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "the deadline passed",
            Self::Hangup => "the terminal is gone",
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
        () = hung_up() => Signal::Hangup,
        () = deadline_passed() => Signal::Deadline,
    }
}

/// Waits for `SIGHUP`; forever if the process ignores it, as nohup(1) arranges.
async fn hung_up() {
    let never = std::future::pending();
    if is_ignored(SignalKind::hangup()).unwrap_or(true) {
        return never.await;
    }
    match signal(SignalKind::hangup()) {
        Ok(mut hangup) => drop(hangup.recv().await),
        Err(_) => never.await,
    }
}

/// `true` if the process ignores a signal; `None` if the system does not tell that.
fn is_ignored(kind: SignalKind) -> Option<bool> {
    static IGNORED: OnceLock<Option<u64>> = OnceLock::new();
    // Once, because a handler changes it.
    let ignored = IGNORED.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    });
    let bit = u32::try_from(kind.as_raw_value()).ok()?.checked_sub(1)?;
    Some((*ignored)?.checked_shr(bit)? & 1 == 1)
}

/// Makes a write beyond the limit on file sizes (`ulimit -f`) an error of that write, which cleans
/// up, instead of a signal that kills the process.
pub(crate) fn outlive_file_size_limit() {
    // Without a handler, the process is killed as before.
    let _ = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
}

/// The deadline of the process.
#[derive(Debug)]
struct Deadline {
    /// Times at which it acts as a signal. As with signals, the first one lets the command end its
    /// work, and the second one ends that.
    at: [Instant; 2],
    /// Number of signals so far.
    signals: AtomicUsize,
}

static DEADLINE: OnceLock<Deadline> = OnceLock::new();

/// Runs `command` until `deadline`, if there is one.
///
/// Work that handles signals receives the deadline as one. It has `grace` to end, or to abort
/// uploads. Other work is dropped.
pub(crate) async fn until_deadline<T>(
    deadline: Option<Duration>,
    grace: Duration,
    command: impl Future<Output = T>,
) -> Result<T, Signal> {
    if let Some(deadline) = deadline {
        // A time that the clock can't hold never comes.
        let at = Instant::now().checked_add(deadline);
        if let Some(at) = at.and_then(|at| Some([at, at.checked_add(grace)?])) {
            DEADLINE.get_or_init(|| Deadline { at, signals: AtomicUsize::new(0) });
        }
    }
    tokio::select! {
        // The command comes first, so that a handler in it takes the signal.
        biased;
        done = command => Ok(done),
        () = deadline_passed() => Err(Signal::Deadline),
    }
}

/// Waits for the deadline's next signal, and takes it. No one else receives the same one.
async fn deadline_passed() {
    let Some(deadline) = DEADLINE.get() else { return std::future::pending().await };
    loop {
        let signals = deadline.signals.load(Ordering::Relaxed);
        let Some(at) = deadline.at.get(signals) else { return std::future::pending().await };
        sleep_until(*at).await;
        let taken = deadline.signals.compare_exchange(
            signals,
            signals + 1,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if taken.is_ok() {
            return;
        }
    }
}
