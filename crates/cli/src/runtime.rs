//! The asynchronous runtime, and what the command needs of the system in any case.

use std::{
    fs::File,
    io, panic,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use sealwax_s3::ErrorKind;
use tokio::runtime::{Builder, Runtime};

use crate::failure::{Exit, Failure};

/// Number of descriptors that the command needs for the runtime, signals, connections and files.
const DESCRIPTORS: usize = 16;
/// Time after which an idle thread ends: none of the first ones ever does.
const KEEP_ALIVE: Duration = Duration::from_secs(u32::MAX as u64);

/// Starts the runtime, for a command whose work keeps up to `kept` threads for as long as it runs.
///
/// If the system refuses another thread, tokio keeps blocking work until a thread for it is free. With
/// none, it would wait for ever. So the command starts with as many as it needs, and keeps them.
///
/// # Errors
/// The system refuses these threads, or another resource.
pub(crate) fn start(kept: usize) -> Result<Runtime, Failure> {
    started(kept + 1).map_err(|error| {
        let failure = Failure::io("cannot start", error);
        match failure.kind() {
            Some(ErrorKind::TooManyFiles) => failure,
            _ => failure.advise(
                "raise the limits of threads and memory (ulimit -u, ulimit -v), or end other processes",
            ),
        }
    })
}

fn started(reserved: usize) -> io::Result<Runtime> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    check_threads(workers + reserved)?;
    check_descriptors(DESCRIPTORS)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .thread_keep_alive(KEEP_ALIVE)
        .build()?;
    // Each of these waits for the lock on a thread of its own.
    let lock = Arc::new(Mutex::new(()));
    let held = lock.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..reserved {
        let lock = Arc::clone(&lock);
        runtime.spawn_blocking(move || drop(lock.lock()));
    }
    drop(held);
    Ok(runtime)
}

/// Fails if the system refuses `count` threads. Tokio does not tell: it panics, or waits.
fn check_threads(count: usize) -> io::Result<()> {
    let lock = Mutex::new(());
    thread::scope(|scope| {
        let held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let started = (0..count).try_for_each(|_| {
            let wait = || drop(lock.lock());
            thread::Builder::new().spawn_scoped(scope, wait).map(drop)
        });
        drop(held);
        started
    })
}

/// Fails if the system refuses `count` open files. Tokio and the TLS library panic then.
fn check_descriptors(count: usize) -> io::Result<()> {
    (0..count).map(|_| File::open("/dev/null")).collect::<io::Result<Vec<_>>>().map(drop)
}

/// Runs `main`. If it panics, the command fails with a message as for every other error.
///
/// Libraries panic where the system refuses them a thread or an open file.
pub(crate) fn or_panicked(main: impl FnOnce() -> ExitCode + panic::UnwindSafe) -> ExitCode {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| match std::env::var_os("RUST_BACKTRACE") {
        Some(_) => default(info),
        None => {
            let what = info.payload_as_str().unwrap_or("no reason");
            let at = info.location().map(ToString::to_string).unwrap_or_default();
            Failure::other(format!("unexpected failure at {at}: {what}"))
                .advise(
                    "raise the limits of threads, memory and open files (ulimit), or report a bug",
                )
                .print();
        }
    }));
    panic::catch_unwind(main).unwrap_or_else(|_| Exit::Failed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_threads_run_work_while_others_are_kept() {
        const KEPT: usize = 3;
        let runtime = start(KEPT).expect("a runtime");
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..KEPT {
            let receiver = Arc::clone(&receiver);
            // Ends once the sender is dropped.
            runtime.spawn_blocking(move || {
                let _ = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            });
        }
        let done = runtime.block_on(runtime.spawn_blocking(|| 7)).expect("no panic");
        assert_eq!(done, 7);
        drop(sender);
    }
}
