//! Plans of jobs: computed without changing an object and without calling KMS.

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use futures_core::Stream;
use futures_util::{future::ready, stream};
use sealwax_s3::{Error, ErrorKind, ListedObject, envelope::ascii_json};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    PlanHeader, PlanSummary, PlannedObject, PriceTable, Work,
    permissions::Permissions,
    plan_format::VERSION,
    plan_summary::PlanEnd,
    storage::{BucketSettings, CopiedObject, StorageEstimator},
    work::Foreseen,
};
use crate::engine::{JobLimits, Outcomes, Pool, RetryState, Step, Summary as _, limit_setters};

/// Default number of objects in work at a time.
const CONCURRENCY: usize = 128;

/// Reads objects and writes a plan of the work on them.
///
/// ```no_run
/// # async fn example(rewrapper: sealwax_s3::Rewrapper) -> Result<(), Box<dyn std::error::Error>> {
/// use sealwax_jobs::{listing::Listing, rewrap::Plan};
///
/// let objects = Listing::objects(rewrapper.s3(), "bucket", "2026/");
/// let file = std::fs::File::create("add-west.plan")?;
/// let summary = Plan::new(rewrapper).run(objects, "s3://bucket/2026/", file).finish().await?;
/// println!("{} objects to rewrap", summary.rewrap);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Plan<W> {
    work: W,
    limits: JobLimits,
    prices: PriceTable,
    settings: Map<String, Value>,
}

impl<W: Work> Plan<W> {
    /// Creates a job that plans `work`.
    #[must_use]
    pub fn new(work: W) -> Self {
        Self {
            work,
            limits: JobLimits::new(CONCURRENCY),
            prices: PriceTable::default(),
            settings: Map::new(),
        }
    }

    limit_setters! {
        concurrency: "Sets the largest number of objects in work at a time: 128 unless set, and at least 1.",
        cancellation: "Sets a token that ends the job early. The plan then lacks its last line and can't be \
                       applied.",
    }

    /// Sets the prices of the estimate: [`PriceTable::default`] unless set.
    #[must_use]
    pub fn prices(self, prices: PriceTable) -> Self {
        Self { prices, ..self }
    }

    /// Sets the [settings](PlanHeader::settings) in the plan's header. They must not be secret.
    #[must_use]
    pub fn settings(self, settings: Map<String, Value>) -> Self {
        Self { settings, ..self }
    }

    /// Plans the work on `objects`, a listing that `source` names, and writes the plan to `plan`.
    ///
    /// The plan consists of JSON lines: a [`PlanHeader`], a [`PlannedObject`] for each object in the
    /// order of the outcomes, and a last line that makes it complete. The last line is written when
    /// the stream has been read to its end. An `Err` item means that the objects can't be listed or
    /// that the plan can't be written.
    pub fn run(
        self,
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
        source: impl Into<String>,
        plan: impl Write + Send + 'static,
    ) -> Outcomes<PlanSummary> {
        let engine = self.limits.engine(W::RETRIES);
        let examiner = Examiner::<W> {
            forecaster: self.work.forecaster(),
            buckets: BucketSettings::new(self.work.s3()),
        };
        let work = move |object, retry| examiner.clone().examine(object, retry);
        match PlanWriter::begin(self, source.into(), plan) {
            Ok(writer) => Outcomes::new(writer.write_all(Pool::new(engine, objects, work))),
            Err(error) => Outcomes::new(stream::once(ready(Err(error)))),
        }
    }
}

/// Forecasts the work on one object, as a line of a plan.
pub async fn plan_one<W: Work>(work: &W, object: &ListedObject) -> PlannedObject {
    W::forecast(&work.forecaster(), object).await.object
}

/// Examines the objects of a plan. Cloning is cheap.
struct Examiner<W: Work> {
    forecaster: W::Forecaster,
    buckets: BucketSettings,
}

/// A line of a plan, and what its summary counts besides.
struct Examined {
    foreseen: Foreseen,
    /// The copy or upload that the job would make, if any.
    copied: Option<CopiedObject>,
}

impl<W: Work> Clone for Examiner<W> {
    fn clone(&self) -> Self {
        Self { forecaster: self.forecaster.clone(), buckets: self.buckets.clone() }
    }
}

impl<W: Work> Examiner<W> {
    async fn examine(self, object: ListedObject, mut retry: RetryState) -> Examined {
        loop {
            let foreseen = W::forecast(&self.forecaster, &object).await;
            if retry.should_retry(foreseen.failure).await {
                continue;
            }
            let copied = self.buckets.copied(&foreseen.object).await;
            return Examined { foreseen, copied };
        }
    }
}

/// A plan in progress.
struct PlanWriter<W, F> {
    plan: Plan<W>,
    writer: F,
    summary: PlanSummary,
    permissions: Permissions,
    storage: StorageEstimator,
}

impl<W: Work, F: Write + Send + 'static> PlanWriter<W, F> {
    /// Writes the header.
    fn begin(mut plan: Plan<W>, source: String, writer: F) -> Result<Self, Error> {
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = PlanHeader {
            sealwax_plan: VERSION,
            source,
            job: plan.work.job(),
            begun,
            settings: std::mem::take(&mut plan.settings),
        };
        let mut this = Self {
            plan,
            writer,
            summary: PlanSummary::default(),
            permissions: Permissions::default(),
            storage: StorageEstimator::default(),
        };
        write(&mut this.writer, &header)?;
        Ok(this)
    }

    /// Writes a line for each object, and the last line.
    fn write_all(
        self,
        pool: Pool<ListedObject, Examined>,
    ) -> impl Stream<Item = Result<Step<PlanSummary>, Error>> + Send {
        stream::unfold(Some((self, pool)), |state| async move {
            let (mut this, mut pool) = state?;
            let step = match pool.next().await {
                Some(Ok(examined)) => this.object(examined),
                Some(Err(error)) => Err(error),
                None => return Some((this.end(), None)),
            };
            let state = step.is_ok().then_some((this, pool));
            Some((step, state))
        })
    }

    fn object(&mut self, examined: Examined) -> Result<Step<PlanSummary>, Error> {
        let Examined { foreseen: Foreseen { object: line, permissions, .. }, copied } = examined;
        write(&mut self.writer, &line)?;
        self.summary.record(&line);
        self.permissions.count(permissions);
        if let Some(copied) = copied {
            if copied.tags_denied {
                self.permissions.denied("s3:GetObjectTagging", format!("{}/*", line.bucket));
            }
            self.storage.count(&line, &copied);
        }
        Ok(Step::Outcome(line))
    }

    /// Completes the plan, unless the job was cancelled.
    fn end(mut self) -> Result<Step<PlanSummary>, Error> {
        let mut summary = std::mem::take(&mut self.summary).estimated(&self.plan.prices);
        summary.storage = self.storage.into_estimates();
        summary.permissions = self.permissions.into_needs();
        let (estimate, storage) = (summary.estimate.clone(), summary.storage.clone());
        let permissions = summary.permissions.clone();
        if !self.plan.limits.cancellation.is_cancelled() {
            write(&mut self.writer, &PlanEnd { summary })?;
        }
        self.writer.flush().map_err(unwritten)?;
        Ok(Step::Update(Box::new(|summary| {
            (summary.estimate, summary.storage) = (estimate, storage);
            summary.permissions = permissions;
        })))
    }
}

fn write(writer: &mut impl Write, line: &impl Serialize) -> Result<(), Error> {
    let line = ascii_json::to_string(line) + "\n";
    writer.write_all(line.as_bytes()).map_err(unwritten)
}

fn unwritten(error: std::io::Error) -> Error {
    Error::new("write", "the plan", ErrorKind::Io, error.to_string())
}
