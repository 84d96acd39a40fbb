//! Rewraps many objects.

use std::{fmt, path::PathBuf};

use futures_core::Stream;
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::ready,
    stream::{self, BoxStream},
};
use sealwax_s3::{Error, ErrorKind, ListedObject, ObjectState, Rewrapper};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    AppliedObject, PlanFile, PlannedObject, RewrapSummary, completed::Completed, journal::Journal,
    plan::DEFAULT_CONCURRENCY,
};
use crate::engine::{Engine, Outcomes, Pool, RetryPolicy, RetryState, Step};

/// Objects to rewrap: a plan or a listing.
pub struct JobInput(Input);

enum Input {
    Plan(Box<PlanFile>),
    Listing {
        objects: BoxStream<'static, Result<ListedObject, Error>>,
        source: String,
        settings: Map<String, Value>,
    },
}

impl JobInput {
    /// Takes the objects of a plan. The journal identifies them by line, so a later run needs
    /// constant memory too.
    #[must_use]
    pub fn plan(plan: PlanFile) -> Self {
        Self(Input::Plan(Box::new(plan)))
    }

    /// Takes the objects of a [`Listing`](crate::listing::Listing), or of a part of one. `source`
    /// names the listing. A later run remembers 16 bytes for each completed object.
    #[must_use]
    pub fn listing(
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
        source: impl Into<String>,
    ) -> Self {
        let (objects, source) = (objects.boxed(), source.into());
        Self(Input::Listing { objects, source, settings: Map::new() })
    }

    /// Adds settings that distinguish this job from others of the same listing and edits. The
    /// settings of a plan are in its header.
    #[must_use]
    pub fn settings(mut self, more: Map<String, Value>) -> Self {
        if let Input::Listing { settings, .. } = &mut self.0 {
            *settings = more;
        }
        self
    }

    /// Returns the identity of the job.
    fn job(&self, rewrapper: &Rewrapper) -> Result<String, Error> {
        let edits = rewrapper.changes().names();
        let names = match &self.0 {
            Input::Plan(plan) if plan.header().edits == edits => {
                return Ok(format!("plan {}", plan.digest()));
            }
            Input::Plan(_) => {
                let message = "it is a plan of other changes";
                return Err(Error::new("apply", "the plan", ErrorKind::JobMismatch, message));
            }
            Input::Listing { source, settings, .. } => {
                serde_json::to_vec(&(source, edits, settings)).expect("names are strings")
            }
        };
        let digest = Sha256::digest(names);
        let digest: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("listing {digest}"))
    }

    /// Returns the objects that are not completed yet.
    fn items(self, completed: Completed) -> BoxStream<'static, Result<Item, Error>> {
        match self.0 {
            Input::Plan(plan) => {
                let objects = plan.objects();
                let open = objects.try_filter(move |(line, _)| ready(!completed.has_line(*line)));
                open.map_ok(|(line, planned)| Item::planned(line, &planned)).boxed()
            }
            Input::Listing { objects, .. } => {
                let is_open = move |object: &ListedObject| {
                    completed.count() == 0
                        || !completed.has_name(&object.to_string(), object.version_id.as_deref())
                };
                objects
                    .try_filter(move |object| ready(is_open(object)))
                    .map_ok(|object| Item { object, line: None, state: None })
                    .boxed()
            }
        }
    }
}

impl fmt::Debug for JobInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Input::Plan(plan) => f.debug_tuple("JobInput").field(plan).finish(),
            Input::Listing { source, .. } => f.debug_tuple("JobInput").field(source).finish(),
        }
    }
}

/// An object to rewrap.
struct Item {
    object: ListedObject,
    line: Option<u64>,
    state: Option<ObjectState>,
}

impl Item {
    fn planned(line: u64, planned: &PlannedObject) -> Self {
        Self { object: planned.listed(), line: Some(line), state: Some(planned.state()) }
    }
}

/// Rewraps many objects and keeps a journal.
#[derive(Debug)]
pub struct Apply {
    rewrapper: Rewrapper,
    concurrency: usize,
    journal: Option<PathBuf>,
    cancellation: CancellationToken,
}

impl Apply {
    /// Creates a job that rewraps with `rewrapper`, without a journal.
    #[must_use]
    pub fn new(rewrapper: Rewrapper) -> Self {
        Self {
            rewrapper,
            concurrency: DEFAULT_CONCURRENCY,
            journal: None,
            cancellation: CancellationToken::new(),
        }
    }

    /// Sets the largest number of objects in work at a time: 128 unless set, and at least 1. The
    /// job starts with fewer, and slows down when S3 or KMS throttles.
    #[must_use]
    pub fn concurrency(self, objects: usize) -> Self {
        Self { concurrency: objects, ..self }
    }

    /// Sets the path of the journal, a file that records the outcome of each object. It holds no key
    /// and no plaintext.
    ///
    /// With the same journal, the same job skips the objects that are completed and works again on
    /// those that failed. A journal serves one process at a time.
    #[must_use]
    pub fn journal(self, path: impl Into<PathBuf>) -> Self {
        Self { journal: Some(path.into()), ..self }
    }

    /// Sets a token that ends the job early. Objects in flight are finished.
    #[must_use]
    pub fn cancellation(self, token: CancellationToken) -> Self {
        Self { cancellation: token, ..self }
    }

    /// Rewraps the objects of `input`. An object that fails does not end the job: its outcome has
    /// the error.
    ///
    /// With a journal, an outcome is on disk before the stream yields it. When the stream has been
    /// read to its end and the job is complete, the journal is closed: the same job then starts
    /// again from the first object. An `Err` item means that the objects can't be listed, that the
    /// plan can't be read, or that the journal belongs to another job, is in use or can't be
    /// written.
    pub fn run(self, input: JobInput) -> Outcomes<RewrapSummary> {
        let steps = stream::once(Run::start(self, input));
        Outcomes::new(steps.map_ok(Run::into_steps).try_flatten())
    }
}

/// A job in progress.
struct Run {
    pool: Pool<Item, AppliedObject>,
    journal: Journal,
    completed_before: u64,
    cancellation: CancellationToken,
    failure: Option<Error>,
    /// `true` if the job ended before all objects were in work.
    is_stopped: bool,
    is_drained: bool,
}

impl Run {
    async fn start(apply: Apply, input: JobInput) -> Result<Self, Error> {
        let Apply { rewrapper, concurrency, journal, cancellation } = apply;
        let (journal, completed) = Journal::open(journal, input.job(&rewrapper)?).await?;
        let completed_before = completed.count();
        let engine = Engine::new(concurrency, &cancellation, RetryPolicy::REWRAP);
        let work = move |item, retry| rewrap(rewrapper.clone(), item, retry);
        Ok(Self {
            pool: Pool::new(engine, input.items(completed), work),
            journal,
            completed_before,
            cancellation,
            failure: None,
            is_stopped: false,
            is_drained: false,
        })
    }

    fn into_steps(self) -> impl Stream<Item = Result<Step<RewrapSummary>, Error>> + Send {
        let done_before = self.completed_before;
        let begin = Step::Update(Box::new(move |summary: &mut RewrapSummary| {
            summary.done_before = done_before;
        }));
        let steps = stream::unfold(Some(self), |run| async move {
            let mut run = run?;
            match run.next().await {
                Some(object) => Some((Ok(Step::Outcome(object)), Some(run))),
                None => Some((run.close().await, None)),
            }
        });
        stream::iter([Ok(begin)]).chain(steps)
    }

    /// Returns the next object whose outcome is on disk.
    async fn next(&mut self) -> Option<AppliedObject> {
        loop {
            tokio::select! {
                biased;
                Some(object) = self.journal.next_written() => return Some(object),
                result = self.pool.next(), if !self.is_drained => match result {
                    Some(Ok(object)) => {
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
    async fn close(self) -> Result<Step<RewrapSummary>, Error> {
        let (done_before, stopped) = (self.completed_before, self.is_stopped);
        let finish =
            move |summary: RewrapSummary| RewrapSummary { done_before, stopped, ..summary };
        self.journal.close(finish).await?;
        match self.failure {
            Some(error) => Err(error),
            None => Ok(Step::Update(Box::new(move |summary| summary.stopped = stopped))),
        }
    }
}

async fn rewrap(rewrapper: Rewrapper, item: Item, mut retry: RetryState) -> AppliedObject {
    let Item { object, line, state } = item;
    loop {
        let rewrapped = rewrapper.rewrap_planned(&object, state.as_ref()).await;
        if !retry.should_retry(rewrapped.outcome.error().map(Error::kind)).await {
            let (outcome, replanned) = (rewrapped.outcome, rewrapped.replanned);
            return AppliedObject { object, line, outcome, replanned };
        }
    }
}
