//! Plans of rewraps: computed without changing an object and without calling KMS.

use std::{
    collections::BTreeSet,
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use futures_core::Stream;
use futures_util::{future::ready, stream};
use sealwax_s3::{
    Error, ErrorKind, Forecast, ForecastAction, Forecaster, ListedObject, Permission, Rewrapper,
    envelope::ascii_json,
};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{
    PlanHeader, PlanSummary, PlannedObject, PriceTable,
    permissions::Permissions,
    plan_format::VERSION,
    storage::{BucketSettings, CopiedObject, StorageEstimator},
    summary::PlanEnd,
};
use crate::engine::{Engine, Outcomes, Pool, RetryPolicy, RetryState, Step, Summary as _};

/// Default number of objects in work at a time, of plans and rewraps.
pub(super) const DEFAULT_CONCURRENCY: usize = 128;

/// Reads objects and writes a plan of their rewraps.
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
pub struct Plan {
    rewrapper: Rewrapper,
    concurrency: usize,
    cancellation: CancellationToken,
    prices: PriceTable,
    settings: Map<String, Value>,
}

impl Plan {
    /// Creates a job that plans what `rewrapper` would do.
    #[must_use]
    pub fn new(rewrapper: Rewrapper) -> Self {
        Self {
            rewrapper,
            concurrency: DEFAULT_CONCURRENCY,
            cancellation: CancellationToken::new(),
            prices: PriceTable::default(),
            settings: Map::new(),
        }
    }

    /// Sets the largest number of objects in work at a time: 128 unless set, and at least 1.
    #[must_use]
    pub fn concurrency(self, objects: usize) -> Self {
        Self { concurrency: objects, ..self }
    }

    /// Sets a token that ends the job early. The plan then lacks its last line and can't be applied.
    #[must_use]
    pub fn cancellation(self, token: CancellationToken) -> Self {
        Self { cancellation: token, ..self }
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

    /// Plans the rewrap of `objects`, a listing that `source` names, and writes the plan to `plan`.
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
        let engine = Engine::new(self.concurrency, &self.cancellation, RetryPolicy::REWRAP);
        let examiner = Examiner {
            forecaster: Forecaster::new(&self.rewrapper),
            buckets: BucketSettings::new(self.rewrapper.s3()),
        };
        let work = move |object, retry| examiner.clone().examine(object, retry);
        match PlanWriter::begin(self, source.into(), plan) {
            Ok(writer) => Outcomes::new(writer.write_all(Pool::new(engine, objects, work))),
            Err(error) => Outcomes::new(stream::once(ready(Err(error)))),
        }
    }
}

/// Forecasts the rewrap of one object, as a line of a plan.
pub async fn plan_one(rewrapper: &Rewrapper, object: &ListedObject) -> PlannedObject {
    PlannedObject::new(object, Forecaster::new(rewrapper).forecast(object).await)
}

/// Examines the objects of a plan. Cloning is cheap.
#[derive(Debug, Clone)]
struct Examiner {
    forecaster: Forecaster,
    buckets: BucketSettings,
}

/// A line of a plan, and what its summary counts besides.
struct Examined {
    line: PlannedObject,
    permissions: BTreeSet<Permission>,
    /// The copy that a rewrap would make, if any.
    copied: Option<CopiedObject>,
}

impl Examiner {
    async fn examine(self, object: ListedObject, mut retry: RetryState) -> Examined {
        loop {
            let mut forecast = self.forecaster.forecast(&object).await;
            if retry.should_retry(failure(&forecast)).await {
                continue;
            }
            let permissions = match &mut forecast.action {
                ForecastAction::Rewrap(cost) => std::mem::take(&mut cost.permissions),
                _ => BTreeSet::new(),
            };
            let line = PlannedObject::new(&object, forecast);
            let copied = self.buckets.copied(&line).await;
            return Examined { line, permissions, copied };
        }
    }
}

fn failure(forecast: &Forecast) -> Option<ErrorKind> {
    match &forecast.action {
        ForecastAction::Fail(error) => Some(error.kind()),
        ForecastAction::Unchanged | ForecastAction::Rewrap(_) | ForecastAction::Skip(_) => None,
    }
}

/// A plan in progress.
struct PlanWriter<W> {
    plan: Plan,
    writer: W,
    summary: PlanSummary,
    permissions: Permissions,
    storage: StorageEstimator,
}

impl<W: Write + Send + 'static> PlanWriter<W> {
    /// Writes the header.
    fn begin(mut plan: Plan, source: String, writer: W) -> Result<Self, Error> {
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = PlanHeader {
            sealwax_plan: VERSION,
            source,
            edits: plan.rewrapper.changes().names(),
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
        let Examined { line, permissions, copied } = examined;
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
        if !self.plan.cancellation.is_cancelled() {
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
