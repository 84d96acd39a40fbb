//! Work on many objects at a time.

use std::fmt;

use futures_core::Stream;
use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sealwax_s3::{Error, ErrorKind};
use tokio::task::JoinSet;

use super::{Engine, Outcomes, RetryState, Step, Summary};

/// The tasks of a job, one for each input in work. Dropping the pool aborts them.
pub(crate) struct Pool<I, T> {
    engine: Engine,
    inputs: BoxStream<'static, Result<I, Error>>,
    work: Box<dyn Fn(I, RetryState) -> BoxFuture<'static, T> + Send>,
    /// Each returns its result, or the failure of the job, after which the result says nothing.
    tasks: JoinSet<Result<T, Error>>,
    is_exhausted: bool,
    failure: Option<Error>,
}

impl<I: Send + 'static, T: Send + 'static> Pool<I, T> {
    /// Creates a pool that does `work` on each input, in a task of its own.
    pub(crate) fn new<F: Future<Output = T> + Send + 'static>(
        engine: Engine,
        inputs: impl Stream<Item = Result<I, Error>> + Send + 'static,
        work: impl Fn(I, RetryState) -> F + Send + 'static,
    ) -> Self {
        Self {
            engine,
            inputs: inputs.boxed(),
            work: Box::new(move |input, retry| Box::pin(work(input, retry))),
            tasks: JoinSet::new(),
            is_exhausted: false,
            failure: None,
        }
    }

    /// Returns the next result, in the order in which the tasks end.
    ///
    /// A failed input, credentials that AWS does not accept, a task that panics and [`Pool::fail`]
    /// stop the pool from starting more tasks. The error is returned after the results of all tasks in flight, and then `None`.
    pub(crate) async fn next(&mut self) -> Option<Result<T, Error>> {
        loop {
            let is_open = !self.is_exhausted
                && self.failure.is_none()
                && !self.engine.cancellation.is_cancelled();
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => match ended {
                    Ok(Ok(result)) => return Some(Ok(result)),
                    Ok(Err(failure)) => self.fail(failure),
                    Err(panic) => {
                        let why = format!("a task died: {panic}");
                        self.fail(Error::new("continue", "the job", ErrorKind::Io, why));
                    }
                },
                input = self.inputs.next(),
                    if is_open && self.tasks.len() < self.engine.limit() =>
                {
                    match input {
                        Some(Ok(input)) => {
                            let retry = RetryState::new(self.engine.clone());
                            let judgement = retry.judgement();
                            let work = (self.work)(input, retry);
                            self.tasks.spawn(async move {
                                let result = work.await;
                                judgement.failure_of_job().map_or(Ok(result), Err)
                            });
                        }
                        Some(Err(error)) => self.fail(error),
                        None => self.is_exhausted = true,
                    }
                }
                () = self.engine.cancellation.cancelled(), if is_open => {}
                else => {
                    self.is_exhausted = true;
                    return self.failure.take().map(Err);
                }
            }
        }
    }

    /// Starts no more tasks because of `error`. Only the first error is kept.
    pub(crate) fn fail(&mut self, error: Error) {
        self.is_exhausted = true;
        self.failure.get_or_insert(error);
    }

    /// Turns the pool into the outcomes of a job that needs no other steps.
    pub(crate) fn into_outcomes<S: Summary<Outcome = T>>(self) -> Outcomes<S> {
        Outcomes::new(stream::unfold(self, |mut pool| async move {
            let next = pool.next().await?;
            Some((next.map(Step::Outcome), pool))
        }))
    }
}

impl<I, T> fmt::Debug for Pool<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("engine", &self.engine).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use tokio_util::sync::CancellationToken;

    use super::{super::RetryPolicy, *};

    fn error() -> Error {
        Error::new("list", "the inputs", ErrorKind::InvalidListing, "by this test")
    }

    fn pool(
        inputs: Vec<Result<u32, Error>>,
        concurrency: usize,
        cancellation: &CancellationToken,
    ) -> Pool<u32, u32> {
        let engine = Engine::new(concurrency, cancellation, RetryPolicy::READ);
        Pool::new(engine, stream::iter(inputs), |input, _| async move { input })
    }

    #[tokio::test]
    async fn an_error_comes_after_the_results_and_is_the_last_item() {
        let inputs = vec![Ok(1), Ok(2), Err(error()), Ok(3)];
        let mut pool = pool(inputs, 8, &CancellationToken::new());
        let mut results = [
            pool.next().await.expect("a result").expect("a number"),
            pool.next().await.expect("a result").expect("a number"),
        ];
        results.sort_unstable();
        assert_eq!(results, [1, 2]);
        let failed = pool.next().await.expect("an error").expect_err("the input's");
        assert_eq!(failed.kind(), ErrorKind::InvalidListing);
        assert!(pool.next().await.is_none());
    }

    #[tokio::test]
    async fn a_cancelled_pool_starts_nothing_more() {
        let cancellation = CancellationToken::new();
        let mut pool = pool((0..100).map(Ok).collect(), 1, &cancellation);
        assert_eq!(pool.next().await.expect("a result").expect("a number"), 0);
        cancellation.cancel();
        let mut rest = 0;
        while let Some(result) = pool.next().await {
            result.expect("a number");
            rest += 1;
        }
        assert_eq!(rest, 0);
    }

    #[tokio::test]
    async fn tasks_never_exceed_the_concurrency() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            move |input: u32, _| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                async move {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                    input
                }
            }
        };
        let engine = Engine::new(3, &CancellationToken::new(), RetryPolicy::READ);
        let mut pool = Pool::new(engine, stream::iter((0..50).map(Ok)), work);
        let mut results = 0;
        while let Some(result) = pool.next().await {
            result.expect("a number");
            results += 1;
        }
        assert_eq!((results, most.load(Ordering::SeqCst)), (50, 3));
    }

    /// Objects that only the credentials failed have no result: nothing is known of them.
    #[tokio::test]
    async fn every_job_ends_without_credentials() {
        for policy in [RetryPolicy::REWRAP, RetryPolicy::MIGRATE, RetryPolicy::READ] {
            let engine = Engine::new(1, &CancellationToken::new(), policy);
            let work = |input: u32, mut retry: RetryState| async move {
                let failure = (input > 0).then_some(ErrorKind::Credentials);
                assert!(!retry.should_retry(failure).await);
                input
            };
            let mut pool = Pool::new(engine, stream::iter((0..4).map(Ok)), work);
            let mut results = Vec::new();
            let mut failure = None;
            while let Some(result) = pool.next().await {
                match result {
                    Ok(input) => results.push(input),
                    Err(error) => failure = Some(error.kind()),
                }
            }
            assert_eq!((results, failure), (vec![0], Some(ErrorKind::Credentials)));
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_is_an_error() {
        let engine = Engine::new(1, &CancellationToken::new(), RetryPolicy::READ);
        let work = |input: u32, _| async move {
            assert_ne!(input, 1, "by this test");
            input
        };
        let mut pool = Pool::new(engine, stream::iter((0..3).map(Ok)), work);
        assert_eq!(pool.next().await.expect("a result").expect("a number"), 0);
        let died = pool.next().await.expect("an error").expect_err("the panic");
        assert_eq!(died.kind(), ErrorKind::Io);
        assert!(pool.next().await.is_none());
    }
}
