//! Many objects at once.

use std::{future::Future, sync::Arc, time::Instant};

use futures_core::Stream;
use futures_util::StreamExt as _;
use tokio::{task::JoinSet, time::sleep};

use super::{
    Stop,
    window::{Window, backoff},
};
use crate::error::{Error, ErrorKind};

/// How often an object is tried whose services ask to slow down or do not answer.
const MAX_TRIES: u32 = 8;

/// Does `work` with each item, as many at once as the window allows, each in a task; `take` gets what comes of it.
///
/// # Errors
/// An item could not be had, or `take` failed: those in flight are finished, and no more are begun.
pub(super) async fn each<I, T, F>(
    mut items: impl Stream<Item = Result<I, Error>> + Unpin,
    window: &Window,
    stop: &Stop,
    work: impl Fn(I) -> F,
    mut take: impl AsyncFnMut(T) -> Result<(), Error>,
) -> Result<(), Error>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let (mut exhausted, mut failure) = (false, None);
    loop {
        let more = !exhausted && failure.is_none() && !stop.is_asked();
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                let taken = match ended {
                    Ok(outcome) => take(outcome).await,
                    Err(died) => Err(Error::of("go on with", "the job", ErrorKind::Io, format!("a task died: {died}"))),
                };
                failure = failure.or(taken.err());
            }
            item = items.next(), if more && tasks.len() < window.size() => match item {
                Some(Ok(item)) => {
                    tasks.spawn(work(item));
                }
                Some(Err(error)) => failure = Some(error),
                None => exhausted = true,
            },
            () = stop.asked(), if more => {}
            else => break,
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Does `work` until its outcome is none that a later try may change; tells the window how it goes.
pub(super) async fn tried<T, F: Future<Output = T>>(
    window: Arc<Window>,
    stop: Stop,
    work: impl Fn() -> F,
    failure: impl Fn(&T) -> Option<ErrorKind>,
) -> T {
    let mut tries = 1;
    loop {
        let outcome = work().await;
        match failure(&outcome) {
            Some(ErrorKind::Throttled | ErrorKind::Unavailable) => {
                window.slow_down(Instant::now());
                if tries == MAX_TRIES || stop.is_asked() {
                    return outcome;
                }
                sleep(backoff(tries)).await;
                tries += 1;
            }
            _ => {
                window.went_well();
                return outcome;
            }
        }
    }
}
