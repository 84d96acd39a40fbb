//! Works on many objects, and keeps a journal.

use std::{
    fmt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_core::Stream;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::ready,
    stream::{self, BoxStream},
};
use sealwax_s3::{Error, ErrorKind, ListedObject, ObjectState, Processed};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    AppliedObject, JobSummary as _, PlanFile, PlannedObject, Work, WorkOutcome as _,
    completed::Completed, journal::Journal,
};
use crate::engine::{JobLimits, Outcomes, Pool, RetryState, Step, limit_setters};

/// Objects to work on: a plan or a listing.
pub struct JobInput {
    objects: Objects,
    settings: Map<String, Value>,
}

enum Objects {
    Plan(Box<PlanFile>),
    Listing {
        objects: BoxStream<'static, Result<ListedObject, Error>>,
        source: String,
        is_live: bool,
    },
}

impl JobInput {
    /// Takes the objects of a plan. A later run of an interrupted job looks at each again, because
    /// a plan does not tell their present state.
    #[must_use]
    pub fn plan(plan: PlanFile) -> Self {
        Self { objects: Objects::Plan(Box::new(plan)), settings: Map::new() }
    }

    /// Takes the objects of a [`Listing`](crate::listing::Listing), or of a part of one. `source`
    /// names the listing. A later run of an interrupted job looks at each again, unless the listing
    /// is [`live`](Self::live).
    #[must_use]
    pub fn listing(
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
        source: impl Into<String>,
    ) -> Self {
        let (objects, source) = (objects.boxed(), source.into());
        let objects = Objects::Listing { objects, source, is_live: false };
        Self { objects, settings: Map::new() }
    }

    /// Declares that S3 lists the objects while the job runs, unlike an inventory or lines of text.
    ///
    /// Objects that the listing shows in the state in which an earlier run left them are then
    /// skipped without a request. It has no effect on a plan.
    #[must_use]
    pub fn live(mut self) -> Self {
        if let Objects::Listing { is_live, .. } = &mut self.objects {
            *is_live = true;
        }
        self
    }

    /// Sets what distinguishes this job from others of the same objects and key changes, beside the
    /// settings in a plan's header. Include the store's endpoint and the account, if buckets of one
    /// name can be in several.
    #[must_use]
    pub fn settings(self, settings: Map<String, Value>) -> Self {
        Self { settings, ..self }
    }

    /// Returns the identity of the job.
    fn job(&self, work: &impl Work) -> Result<String, Error> {
        let job = work.job();
        let (kind, source) = match &self.objects {
            Objects::Plan(plan) if plan.header().job == job => ("plan", plan.digest()),
            Objects::Plan(_) => {
                let message = "it is a plan of other changes";
                return Err(Error::new("apply", "the plan", ErrorKind::JobMismatch, message));
            }
            Objects::Listing { source, .. } => ("listing", source.as_str()),
        };
        let names = serde_json::to_vec(&(source, job.changes(), &self.settings));
        let digest = Sha256::digest(names.expect("names are strings"));
        let digest: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{kind} {digest}"))
    }

    /// Returns the objects, without those that a live listing shows as completed.
    fn items(self, progress: &Arc<EarlierRuns>) -> BoxStream<'static, Result<Item, Error>> {
        match self.objects {
            Objects::Plan(plan) => {
                let objects = plan.objects();
                objects.map_ok(|(line, planned)| Item::planned(line, planned)).boxed()
            }
            Objects::Listing { objects, is_live, .. } => {
                let earlier = Arc::clone(progress);
                let is_open = move |object: &ListedObject| !(is_live && earlier.skips(object));
                objects
                    .try_filter(move |object| ready(is_open(object)))
                    .map_ok(|object| Item { object, line: None, state: None })
                    .boxed()
            }
        }
    }
}

/// Work of earlier runs of the job.
#[derive(Debug)]
struct EarlierRuns {
    completed: Completed,
    /// Number of objects that this run found as an earlier one left them.
    found: AtomicU64,
}

impl EarlierRuns {
    /// `true` if the object is as an earlier run left it. Counts it.
    fn has(&self, object: &ListedObject, now: &ObjectState) -> bool {
        let is_done = self.completed.has(&object.to_string(), now);
        self.found.fetch_add(is_done.into(), Ordering::Relaxed);
        is_done
    }

    /// `true` if a live listing shows that the object is as an earlier run left it.
    fn skips(&self, object: &ListedObject) -> bool {
        object.is_latest == Some(true) && self.has(object, &ObjectState::of_listed(object))
    }

    fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for JobInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.objects {
            Objects::Plan(plan) => f.debug_tuple("JobInput").field(plan).finish(),
            Objects::Listing { source, .. } => f.debug_tuple("JobInput").field(source).finish(),
        }
    }
}

/// An object to work on.
struct Item {
    object: ListedObject,
    line: Option<u64>,
    state: Option<ObjectState>,
}

impl Item {
    fn planned(line: u64, planned: PlannedObject) -> Self {
        Self { object: planned.listed(), line: Some(line), state: Some(planned.state) }
    }
}

/// Works on many objects and keeps a journal.
#[derive(Debug)]
pub struct Apply<W> {
    work: W,
    limits: JobLimits,
    journal: Option<PathBuf>,
}

impl<W: Work> Apply<W> {
    /// Creates a job that does `work`, without a journal.
    #[must_use]
    pub fn new(work: W) -> Self {
        Self { work, limits: JobLimits::new(W::CONCURRENCY), journal: None }
    }

    limit_setters! {
        concurrency: "Sets the largest number of objects in work at a time, at least 1: 128 for a rewrap and 64 \
                       for a migration unless set. The job starts with fewer, and slows down when S3 or KMS \
                       throttles.",
        cancellation: "Sets a token that ends the job early. Objects in flight are finished.",
    }

    /// Sets the path of the journal, a file that records the outcome of each object. It holds no key
    /// and no plaintext.
    ///
    /// With the same journal, the same job skips the objects that are still in the state in which
    /// an earlier run left them. It works on the others: those that failed, and those that changed
    /// since. A journal serves one process at a time.
    #[must_use]
    pub fn journal(self, path: impl Into<PathBuf>) -> Self {
        Self { journal: Some(path.into()), ..self }
    }

    /// Works on the objects of `input`. An object that fails does not end the job: its outcome has
    /// the error.
    ///
    /// With a journal, an outcome is on disk before the stream yields it. When every object was
    /// tried, the journal is closed, whether some failed or not: the same job then starts again from
    /// the first object. An `Err` item means that the objects can't be listed, that the
    /// plan can't be read, or that the journal belongs to another job, is in use or can't be
    /// written.
    pub fn run(self, input: JobInput) -> Outcomes<W::Summary> {
        let steps = stream::once(Run::start(self, input));
        Outcomes::new(steps.map_ok(Run::into_steps).try_flatten())
    }
}

/// A job in progress.
struct Run<W: Work> {
    pool: Pool<Item, Option<AppliedObject<W::Outcome>>>,
    journal: Journal<W>,
    earlier: Arc<EarlierRuns>,
    cancellation: CancellationToken,
    failure: Option<Error>,
    /// `true` if the job ended before all objects were in work.
    is_stopped: bool,
    is_drained: bool,
}

impl<W: Work> Run<W> {
    async fn start(apply: Apply<W>, input: JobInput) -> Result<Self, Error> {
        let Apply { work, limits, journal } = apply;
        let (journal, completed) = Journal::open(journal, input.job(&work)?).await?;
        let earlier = Arc::new(EarlierRuns { completed, found: AtomicU64::new(0) });
        let engine = limits.engine(W::RETRIES);
        let known = Arc::clone(&earlier);
        let of_item = move |item, retry| process(work.clone(), Arc::clone(&known), item, retry);
        Ok(Self {
            pool: Pool::new(engine, input.items(&earlier), of_item),
            journal,
            earlier,
            cancellation: limits.cancellation,
            failure: None,
            is_stopped: false,
            is_drained: false,
        })
    }

    fn into_steps(self) -> impl Stream<Item = Result<Step<W::Summary>, Error>> + Send {
        stream::unfold(Some(self), |run| async move {
            let mut run = run?;
            match run.next().await {
                Some(object) => Some((Ok(Step::Outcome(object)), Some(run))),
                None => Some((run.close().await, None)),
            }
        })
    }

    /// Returns the next object whose outcome is on disk.
    async fn next(&mut self) -> Option<AppliedObject<W::Outcome>> {
        loop {
            tokio::select! {
                biased;
                Some(object) = self.journal.next_written() => return Some(object),
                result = self.pool.next(), if !self.is_drained => match result {
                    // An earlier run told its outcome.
                    Some(Ok(None)) => {}
                    Some(Ok(Some(object))) => {
                        if let Err(error) = self.journal.append(object).await {
                            self.pool.fail(error);
                        }
                    }
                    Some(Err(error)) => self.failure = Some(error),
                    None => {
                        self.is_drained = true;
                        self.is_stopped = self.cancellation.is_cancelled() || self.failure.is_some();
                        self.journal.end();
                    }
                },
                else => return None,
            }
        }
    }

    /// Closes the journal. Its own failure comes first, for it explains the others.
    async fn close(self) -> Result<Step<W::Summary>, Error> {
        let (done_before, stopped) = (self.earlier.found(), self.is_stopped);
        let finish = move |summary: &mut W::Summary| {
            let counts = summary.counts_mut();
            (counts.done_before, counts.stopped) = (done_before, stopped);
        };
        self.journal.close(finish).await?;
        match self.failure {
            Some(error) => Err(error),
            None => Ok(Step::Update(Box::new(finish))),
        }
    }
}

/// Works on one object; `None` if it is as an earlier run left it.
async fn process<W: Work>(
    work: W,
    earlier: Arc<EarlierRuns>,
    item: Item,
    mut retry: RetryState,
) -> Option<AppliedObject<W::Outcome>> {
    let Item { object, line, state } = item;
    let is_done = |now: &ObjectState| earlier.has(&object, now);
    loop {
        let processed = work.process(&object, state.as_ref(), &is_done).await?;
        if !retry.should_retry(processed.outcome.error().map(Error::kind)).await {
            let Processed { outcome, replanned, state, .. } = processed;
            return Some(AppliedObject { object, line, outcome, replanned, state });
        }
    }
}
