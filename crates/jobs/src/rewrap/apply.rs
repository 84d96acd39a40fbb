//! Rewraps many objects.

use std::{fmt, path::PathBuf, pin::Pin, sync::Arc};

use futures_core::Stream;
use futures_util::{StreamExt as _, future::ready};
use sealwax_s3::{Error, ErrorKind, ListedObject, ObjectState, Rewrapper};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    PlanFile, Report, Tally,
    completed::Completed,
    journal::{Journal, Listener},
    plan::DEFAULT_CONCURRENCY,
};
use crate::engine::{
    limiter::Window,
    pool::{self, Tries},
    stop::Stop,
};

/// Which objects a job is about.
pub struct Work(Objects);

enum Objects {
    Plan(Box<PlanFile>),
    Listing { listing: Listed, source: String, settings: Map<String, Value> },
}

type Listed = Pin<Box<dyn Stream<Item = Result<ListedObject, Error>> + Send>>;

impl Work {
    /// Those of a plan. Its journal tells them by their lines, so that a later run too needs constant memory.
    #[must_use]
    pub fn plan(plan: PlanFile) -> Self {
        Self(Objects::Plan(Box::new(plan)))
    }

    /// Those of a [`Listing`](crate::listing::Listing), or of a part of one, which `source` names. A later run remembers 16 bytes for each object that was done before.
    #[must_use]
    pub fn listing(
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
        source: impl Into<String>,
    ) -> Self {
        Self(Objects::Listing {
            listing: Box::pin(objects),
            source: source.into(),
            settings: Map::new(),
        })
    }

    /// What else makes it another job than one of the same objects and edits. Of a plan, its own settings do.
    #[must_use]
    pub fn settings(mut self, more: Map<String, Value>) -> Self {
        if let Objects::Listing { settings, .. } = &mut self.0 {
            *settings = more;
        }
        self
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Objects::Plan(plan) => f.debug_tuple("Work").field(plan).finish(),
            Objects::Listing { source, .. } => f.debug_tuple("Work").field(source).finish(),
        }
    }
}

/// Rewraps many objects, and keeps a journal.
#[must_use = "nothing happens before `send`"]
pub struct Apply {
    rewrapper: Rewrapper,
    concurrency: usize,
    journal: Option<PathBuf>,
    stop: Stop,
    tell: Listener,
}

/// An object that is to be rewrapped.
struct Item {
    object: ListedObject,
    line: Option<u64>,
    seen: Option<ObjectState>,
}

impl Apply {
    /// Rewraps many objects.
    pub fn new(rewrapper: Rewrapper) -> Self {
        Self {
            rewrapper,
            concurrency: DEFAULT_CONCURRENCY,
            journal: None,
            stop: Stop::new(),
            tell: Box::new(|_| {}),
        }
    }

    /// How many objects are worked on at once, at most: 128 unless set. It begins with fewer, and makes do with fewer when
    /// S3 or KMS asks to slow down.
    pub fn concurrency(self, objects: usize) -> Self {
        Self { concurrency: objects, ..self }
    }

    /// Where it is kept what became of each object. With the same journal, the same job again does what is left to do, and
    /// tries again what failed. It holds no key and no plaintext.
    pub fn journal(self, path: impl Into<PathBuf>) -> Self {
        Self { journal: Some(path.into()), ..self }
    }

    /// What asks it to end early: objects in flight are finished.
    pub fn stop(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// Tells what became of each object, once that is in the journal. It is called from a thread that may wait.
    pub fn on_report(self, tell: impl FnMut(&Report) + Send + 'static) -> Self {
        Self { tell: Box::new(tell), ..self }
    }

    /// Rewraps the objects. One that fails does not end the job: it is reported.
    ///
    /// # Errors
    /// The objects cannot be listed, the plan cannot be read, or the journal is of another job or cannot be written. What
    /// was done until then is done, and in the journal.
    pub async fn send(self, work: Work) -> Result<Tally, Error> {
        let Self { rewrapper, concurrency, journal, stop, tell } = self;
        let (journal, done) = Journal::open(journal, job(&rewrapper, &work)?, tell).await?;
        let done_before = done.count();
        let window = Arc::new(Window::up_to(concurrency));
        let work_on = |item: Item| {
            let (rewrapper, window, stop) = (rewrapper.clone(), Arc::clone(&window), stop.clone());
            async move {
                let Item { object, line, seen } = item;
                let mut tries = Tries::new(window, stop);
                loop {
                    let rewrapped = rewrapper.rewrap_planned(&object, seen.as_ref()).await;
                    let (outcome, replanned) = (rewrapped.outcome, rewrapped.replanned);
                    if !tries.again(outcome.error().map(Error::kind)).await {
                        return Report::new(&object, line, (outcome, replanned));
                    }
                }
            }
        };
        let ended = pool::each(
            items(work, done),
            Arc::clone(&window),
            stop.clone(),
            work_on,
            journal.taker(),
        )
        .await;
        // What was done is on disk in any case; and the journal's own failure explains the others.
        let stopped = stop.is_asked() || ended.is_err();
        let tally = journal.close(|tally| Tally { done_before, stopped, ..tally }).await?;
        ended?;
        Ok(tally)
    }
}

impl fmt::Debug for Apply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apply").field("rewrapper", &self.rewrapper).finish_non_exhaustive()
    }
}

/// What tells one job from another.
fn job(rewrapper: &Rewrapper, work: &Work) -> Result<String, Error> {
    let edits = rewrapper.changes().names();
    let named = match &work.0 {
        Objects::Plan(plan) => {
            if plan.header().edits != edits {
                let message = "it is a plan of other changes";
                return Err(Error::new("apply", "the plan", ErrorKind::JobMismatch, message));
            }
            return Ok(format!("plan {}", plan.digest()));
        }
        Objects::Listing { source, settings, .. } => serde_json::to_vec(&(source, edits, settings)),
    };
    let digest = Sha256::digest(named.expect("names are strings"));
    Ok(format!(
        "listing {}",
        digest[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    ))
}

/// The objects that are left to do.
fn items(work: Work, done: Completed) -> Pin<Box<dyn Stream<Item = Result<Item, Error>> + Send>> {
    match work.0 {
        Objects::Plan(plan) => Box::pin(plan.objects().filter_map(move |next| {
            let item = |(line, planned): (u64, super::PlannedObject)| {
                let (object, seen) = (planned.listed(), Some(planned.state()));
                Item { object, line: Some(line), seen }
            };
            let is_done = matches!(&next, Ok((line, _)) if done.has_line(*line));
            ready((!is_done).then(|| next.map(item)))
        })),
        Objects::Listing { listing, .. } => Box::pin(listing.filter_map(move |next| {
            let is_done = |object: &ListedObject| {
                done.count() > 0 && done.has_name(&object.to_string(), object.version_id.as_deref())
            };
            let is_done = next.as_ref().is_ok_and(is_done);
            ready((!is_done).then(|| next.map(|object| Item { object, line: None, seen: None })))
        })),
    }
}
