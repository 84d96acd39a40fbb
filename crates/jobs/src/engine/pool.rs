//! Many objects at once.

use std::{future::Future, sync::Arc, time::Instant};

use futures_core::Stream;
use futures_util::StreamExt as _;
use tokio::{task::JoinSet, time::sleep};

use sealwax_s3::{Error, ErrorKind};

use super::{
    limiter::{Window, backoff},
    stop::Stop,
};

/// How often an object is tried whose services ask to slow down or do not answer.
const MAX_TRIES: u32 = 8;

/// Does `work` with each item, as many at once as the window allows, each in a task; `take` gets what comes of it.
///
/// # Errors
/// An item could not be had, or `take` failed: those in flight are finished, and no more are begun.
pub(crate) async fn each<I, T, F, G>(
    mut items: impl Stream<Item = Result<I, Error>> + Unpin + Send,
    window: Arc<Window>,
    stop: Stop,
    work: impl Fn(I) -> F + Send,
    mut take: impl FnMut(T) -> G + Send,
) -> Result<(), Error>
where
    I: Send,
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
    G: Future<Output = Result<(), Error>> + Send,
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
                    Err(died) => Err(Error::new("go on with", "the job", ErrorKind::Io, format!("a task died: {died}"))),
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

/// The tries of one object; they tell the window how it goes.
pub(crate) struct Tries {
    window: Arc<Window>,
    stop: Stop,
    count: u32,
}

impl Tries {
    pub(crate) fn new(window: Arc<Window>, stop: Stop) -> Self {
        Self { window, stop, count: 0 }
    }

    /// Whether to try again what ended so: then it has waited for that.
    pub(crate) async fn again(&mut self, failure: Option<ErrorKind>) -> bool {
        if !matches!(failure, Some(ErrorKind::Throttled | ErrorKind::Unavailable)) {
            self.window.went_well();
            return false;
        }
        self.window.slow_down(Instant::now());
        self.count += 1;
        if self.count == MAX_TRIES || self.stop.is_asked() {
            return false;
        }
        sleep(backoff(self.count)).await;
        true
    }
}
