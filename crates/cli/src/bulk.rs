//! Parallel work on many files or objects, each of which can fail independently.

use std::{
    collections::BTreeMap,
    fmt,
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
};

use futures_util::{
    Stream, StreamExt as _, TryStreamExt as _,
    stream::{BoxStream, FuturesUnordered},
};
use sealwax_jobs::{CancellationToken, Engine, RetryPolicy, RetryState};
use sealwax_s3::{
    ErrorKind, ListedObject, ObjectKind, SealedClient, s3ec::INSTRUCTION_FILE_SUFFIX,
};

use crate::{
    failure::{Exit, Failure},
    progress::JobProgress,
    session::Session,
    terminal_text::Counted,
};

/// Outcome of one item.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Done: message and number of bytes.
    Done(String, u64),
    /// Done, with something to tell: message and number of bytes.
    Noted(String, u64),
    /// Skipped, because it is unchanged: message.
    Unchanged(String),
    /// Skipped, because it is a symbolic link: message.
    Link(String),
    /// Skipped, because there is nothing to do for an object of this kind: message.
    Skipped(Skip, String),
    /// Failed: item and failure.
    Failed(String, Failure),
}

impl Outcome {
    /// Returns the outcome of a single item, which is told if it is done.
    pub(crate) fn noted(self) -> Self {
        match self {
            Self::Done(text, bytes) => Self::Noted(text, bytes),
            other => other,
        }
    }
}

/// Kind of objects that a command on sealed objects skips, or of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Skip {
    /// An empty object that represents a folder.
    FolderMarker,
    /// The sidecar of another object.
    Sidecar,
    /// The instruction file of another object.
    InstructionFile,
    /// A key object of the key store.
    KeyObject,
    /// A shredded object. It is told.
    Shredded,
    /// A local file that a download has not completed. It is told.
    IncompleteDownload,
}

impl Skip {
    fn noun(self) -> &'static str {
        match self {
            Self::FolderMarker => "folder marker",
            Self::Sidecar => "sidecar",
            Self::InstructionFile => "instruction file",
            Self::KeyObject => "key object",
            Self::Shredded => "shredded object",
            Self::IncompleteDownload => "incomplete download",
        }
    }

    /// Returns the outcome for an object that has nothing to read, by its content, or `failure`.
    ///
    /// # Errors
    /// The object could not be inspected, or its mark is wrong.
    pub(crate) async fn or_failed(
        client: &SealedClient,
        object: &ListedObject,
        error: sealwax_s3::Error,
    ) -> Result<Outcome, Failure> {
        if !matches!(error.kind(), ErrorKind::NotSealed | ErrorKind::Shredded) {
            return Err(error.into());
        }
        let inspected = client.inspect().bucket(&object.bucket).key(&object.key).send().await?;
        if let Some(problem) = inspected.problem {
            return Err(problem.into());
        }
        let skip = match inspected.kind {
            ObjectKind::FolderMarker => Self::FolderMarker,
            ObjectKind::Sidecar => Self::Sidecar,
            ObjectKind::InstructionFile => Self::InstructionFile,
            ObjectKind::Shredded => Self::Shredded,
            _ => return Err(error.into()),
        };
        Ok(match skip {
            Self::Shredded => {
                Outcome::Skipped(skip, format!("skipped {object}: {}", error.message()))
            }
            _ => skip.of(object),
        })
    }

    /// Returns what an object without a counterpart is, if it is a folder marker, a key object or, by its
    /// name and its content, a companion of another object.
    ///
    /// # Errors
    /// An object with such a name could not be inspected.
    pub(crate) async fn companion(
        client: &SealedClient,
        sidecar_suffix: &str,
        object: &ListedObject,
    ) -> Result<Option<Self>, Failure> {
        let key = &object.key;
        if client.key_store().owns(key) {
            return Ok(Some(Self::KeyObject));
        }
        if object.is_folder_marker() || key.ends_with('/') {
            return Ok(Some(Self::FolderMarker));
        }
        if !key.ends_with(sidecar_suffix) && !key.ends_with(INSTRUCTION_FILE_SUFFIX) {
            return Ok(None);
        }
        match client.inspect().bucket(&object.bucket).key(key).send().await {
            Ok(inspected) => Ok(match inspected.kind {
                ObjectKind::Sidecar => Some(Self::Sidecar),
                ObjectKind::InstructionFile => Some(Self::InstructionFile),
                _ => None,
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the outcome for a folder marker.
    ///
    /// Stores on a file system list a folder with the length that the file system gives it. Only
    /// there, the object itself tells, in one more request.
    pub(crate) async fn folder_marker(
        client: &SealedClient,
        object: &ListedObject,
    ) -> Option<Outcome> {
        let ListedObject { bucket, key, .. } = object;
        if !key.ends_with('/') {
            return None;
        }
        let is_marker = object.is_folder_marker()
            || matches!(
                client.inspect().bucket(bucket).key(key).send().await,
                Ok(inspected) if inspected.kind == ObjectKind::FolderMarker
            );
        is_marker.then(|| Self::FolderMarker.of(object))
    }

    /// Returns the outcome for a folder marker that may be sealed, as the gateway stores it. Copies keep
    /// such a marker; a download has no file for it.
    pub(crate) async fn sealed_folder_marker(
        client: &SealedClient,
        object: &ListedObject,
    ) -> Option<Outcome> {
        let ListedObject { bucket, key, .. } = object;
        if let Some(skipped) = Self::folder_marker(client, object).await {
            return Some(skipped);
        }
        if !key.ends_with('/') {
            return None;
        }
        let head = client.head().bucket(bucket).key(key).send().await;
        let is_marker = matches!(head, Ok(info) if *info.plaintext_lens().end() == 0);
        is_marker.then(|| Self::FolderMarker.of(object))
    }

    /// Returns the outcome for an item of this kind.
    pub(crate) fn of(self, item: &impl fmt::Display) -> Outcome {
        Outcome::Skipped(self, format!("skipped {item}: {}", self.noun()))
    }
}

/// Counts of all outcomes.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) done: u64,
    pub(crate) bytes: u64,
    pub(crate) unchanged: u64,
    links: u64,
    skipped: BTreeMap<Skip, u64>,
    pub(crate) failed: u64,
    census: Census,
}

/// Lists the lengths of all items once more, so that a progress bar has a total.
#[derive(Default)]
struct Census(Option<Box<dyn FnOnce() -> Lengths + Send + Sync>>);

/// Lengths of all items in bytes.
type Lengths = BoxStream<'static, Result<u64, Failure>>;

impl fmt::Debug for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Census")
    }
}

/// Returns the engine of a command that works on at most `concurrency` items at a time, and on fewer
/// while a service throttles.
pub(crate) fn engine(concurrency: impl Into<usize>) -> Engine {
    Engine::new(concurrency.into(), &CancellationToken::new(), RetryPolicy::TRANSFER)
}

impl Summary {
    /// Sets a second listing of all items, with their lengths in bytes, for the totals that a
    /// progress bar shows. It is read only if there is one.
    pub(crate) fn measured_by<S>(
        mut self,
        lengths: impl FnOnce() -> S + Send + Sync + 'static,
    ) -> Self
    where
        S: Stream<Item = Result<u64, Failure>> + Send + 'static,
    {
        self.census = Census(Some(Box::new(move || lengths().boxed())));
        self
    }

    /// Runs `work` on each item, on as many at a time as `engine` allows, and again if it failed in a
    /// way that may pass. A failed item is printed and counted; an error of the list ends the run,
    /// after the items in work. So do credentials that AWS does not accept; items that only those
    /// failed are not counted.
    ///
    /// # Errors
    /// The list failed, or AWS does not accept the credentials.
    pub(crate) async fn run<T, F>(
        &mut self,
        session: &Session,
        items: impl Stream<Item = Result<T, Failure>> + Send,
        engine: &Engine,
        work: impl Fn(T) -> F + Send + Sync,
    ) -> Result<(), Failure>
    where
        T: Clone + Send + Sync,
        F: Future<Output = Outcome> + Send,
    {
        self.run_watched(session, items, engine, work, |_| {}).await
    }

    /// Runs `work` as [`Summary::run`] does, and calls `watch` with each outcome.
    ///
    /// # Errors
    /// As [`Summary::run`].
    pub(crate) async fn run_watched<T, F>(
        &mut self,
        session: &Session,
        items: impl Stream<Item = Result<T, Failure>> + Send,
        engine: &Engine,
        work: impl Fn(T) -> F + Send + Sync,
        watch: impl Fn(&Outcome) + Send + Sync,
    ) -> Result<(), Failure>
    where
        T: Clone + Send + Sync,
        F: Future<Output = Outcome> + Send,
    {
        let progress = session.job_progress(None);
        let _counting = progress.measure(|| Some(self.census.0.take()?()));
        let succeeded = AtomicU64::new(0);
        let (mut items, mut in_work) = (pin!(items), FuturesUnordered::new());
        let mut list = Some(Ok(()));
        loop {
            tokio::select! {
                biased;
                Some(outcome) = in_work.next(), if !in_work.is_empty() => {
                    match outcome {
                        Ok(outcome) => {
                            watch(&outcome);
                            self.record(session, &progress, outcome);
                        }
                        // The first failure tells the reason.
                        Err(failure) if !matches!(list, Some(Err(_))) => list = Some(Err(failure)),
                        Err(_) => {}
                    }
                }
                item = items.try_next(),
                    if matches!(list, Some(Ok(()))) && in_work.len() < engine.limit() => match item
                {
                    Ok(Some(item)) => in_work.push(with_retries(engine, &succeeded, item, &work)),
                    Ok(None) => list = None,
                    Err(failure) => list = Some(Err(failure)),
                },
                else => return list.unwrap_or(Ok(())),
            }
        }
    }

    fn record(&mut self, session: &Session, progress: &JobProgress, outcome: Outcome) {
        match outcome {
            Outcome::Done(text, bytes) => {
                (self.done, self.bytes) = (self.done + 1, self.bytes + bytes);
                progress.transferred(bytes);
                session.detail(text);
            }
            Outcome::Noted(text, bytes) => {
                (self.done, self.bytes) = (self.done + 1, self.bytes + bytes);
                progress.transferred(bytes);
                progress.suspend(|| session.say(text));
            }
            Outcome::Unchanged(text) => {
                self.unchanged += 1;
                session.detail(text);
            }
            Outcome::Link(text) => {
                self.links += 1;
                session.detail(text);
            }
            Outcome::Skipped(skip, text) => {
                *self.skipped.entry(skip).or_default() += 1;
                match skip {
                    Skip::Shredded => progress.suspend(|| session.say(text)),
                    _ => session.detail(text),
                }
            }
            Outcome::Failed(what, failure) => {
                self.failed += 1;
                progress.suspend(|| failure.print_about(&what));
            }
        }
        progress.one_more(self.failed);
    }

    /// Counts an item as skipped.
    pub(crate) fn count(&mut self, skip: Skip) {
        *self.skipped.entry(skip).or_default() += 1;
    }

    /// Counts an item as failed that was counted as done.
    pub(crate) fn undone(&mut self, what: &str, failure: &Failure) {
        (self.done, self.failed) = (self.done - 1, self.failed + 1);
        failure.print_about(what);
    }

    /// Returns the number of items that were skipped.
    pub(crate) fn skipped(&self) -> u64 {
        self.links + self.skipped.values().sum::<u64>()
    }

    /// Returns the number of items.
    pub(crate) fn all(&self) -> u64 {
        self.done + self.unchanged + self.skipped() + self.failed
    }

    /// Fails if there was no item, for example because of a mistyped name.
    ///
    /// # Errors
    /// There was no item.
    pub(crate) fn some(&self, noun: &str, place: impl fmt::Display) -> Result<(), Failure> {
        if self.all() > 0 {
            return Ok(());
        }
        let advice = "check the name, and the filters --include and --exclude";
        Err(Failure::new(Exit::NotFound, format!("no {noun}s in {place}"), advice))
    }

    /// Fails if any item failed.
    ///
    /// # Errors
    /// Some or all items failed.
    pub(crate) fn result(&self, noun: &'static str) -> Result<(), Failure> {
        Failure::of_many(
            self.failed,
            self.all(),
            format!("{} of {} failed", self.failed, Counted(self.all(), noun)),
        )
    }
}

/// Works on an item until it succeeds, or fails in a way that does not pass.
///
/// If a service does not answer, that may pass while other items succeed. If nothing succeeds, the
/// service is down, and each item would only take longer to fail.
///
/// # Errors
/// The failure ends the whole job, and says nothing about the item.
async fn with_retries<T: Clone + Send + Sync, F: Future<Output = Outcome> + Send>(
    engine: &Engine,
    succeeded: &AtomicU64,
    item: T,
    work: &(impl Fn(T) -> F + Send + Sync),
) -> Result<Outcome, Failure> {
    let mut retry = RetryState::new(engine.clone());
    loop {
        let before = succeeded.load(Ordering::Relaxed);
        let outcome = work(item.clone()).await;
        let Outcome::Failed(_, failure) = &outcome else {
            succeeded.fetch_add(1, Ordering::Relaxed);
            retry.should_retry(None).await;
            return Ok(outcome);
        };
        let may_pass = match failure.kind() {
            // Another process uses the file or object.
            Some(ErrorKind::Locked) => false,
            Some(ErrorKind::Unavailable) => before < succeeded.load(Ordering::Relaxed),
            _ => true,
        };
        if !may_pass || !retry.should_retry(failure.kind()).await {
            return retry.failure_of_job().map_or(Ok(outcome), |failure| Err(failure.into()));
        }
    }
}

/// Rest of a summary, after `3 files`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unchanged > 0 {
            write!(f, "; {} unchanged", self.unchanged)?;
        }
        if self.links > 0 {
            write!(f, "; {} skipped", Counted(self.links, "symbolic link"))?;
        }
        for (skip, count) in &self.skipped {
            write!(f, "; {} skipped", Counted(*count, skip.noun()))?;
        }
        if self.failed > 0 {
            write!(f, "; {} failed", self.failed)?;
        }
        Ok(())
    }
}
