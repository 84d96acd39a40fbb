//! What a rewrap would do to many objects: told without changing any, and without asking KMS.

use std::{
    fmt,
    future::ready,
    io::Write,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use futures_core::Stream;
use sealwax_s3::{Error, ErrorKind, Forecast, ForecastAction, Forecaster, ListedObject, Rewrapper};
use serde_json::{Map, Value};

use super::{
    PlanHeader, PlannedObject, PriceTable, Summary,
    plan_format::{PlanEnd, VERSION},
};
use crate::engine::{
    limiter::Window,
    pool::{self, Tries},
    stop::Stop,
};

/// How many objects are looked at at once, unless set.
pub(super) const DEFAULT_CONCURRENCY: usize = 128;

/// Looks at objects and writes a plan.
#[must_use = "nothing happens before `send`"]
pub struct Planning {
    rewrapper: Rewrapper,
    concurrency: usize,
    prices: PriceTable,
    settings: Map<String, Value>,
    stop: Stop,
    on_object: Box<dyn FnMut(&PlannedObject) + Send>,
}

impl Planning {
    /// Says what a rewrap of many objects would do.
    pub fn new(rewrapper: Rewrapper) -> Self {
        Self {
            rewrapper,
            concurrency: DEFAULT_CONCURRENCY,
            prices: PriceTable::default(),
            settings: Map::new(),
            stop: Stop::new(),
            on_object: Box::new(|_| {}),
        }
    }

    /// How many objects are looked at at once, at most: 128 unless set.
    pub fn concurrency(self, objects: usize) -> Self {
        Self { concurrency: objects, ..self }
    }

    /// What the estimate is made with; [`PriceTable::default`] unless set.
    pub fn prices(self, prices: PriceTable) -> Self {
        Self { prices, ..self }
    }

    /// What is to be found again in [`PlanHeader::settings`]. Nothing secret.
    pub fn settings(self, settings: Map<String, Value>) -> Self {
        Self { settings, ..self }
    }

    /// What asks it to end early.
    pub fn stop(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// Tells each object once it is in the plan.
    pub fn on_object(self, tell: impl FnMut(&PlannedObject) + Send + 'static) -> Self {
        Self { on_object: Box::new(tell), ..self }
    }

    /// Writes the plan of `objects`, which `source` names, to `plan`: JSON lines, the first of which is a [`PlanHeader`],
    /// and the last one says that it is complete. The order is that in which answers came.
    ///
    /// # Errors
    /// The objects cannot be listed, or the plan cannot be written. Where it was asked to end early, the summary is of
    /// what was seen, and the plan lacks its last line: it cannot be applied.
    pub async fn send(
        self,
        objects: impl Stream<Item = Result<ListedObject, Error>> + Unpin + Send,
        source: impl Into<String>,
        mut plan: impl Write + Send,
    ) -> Result<Summary, Error> {
        let Self { rewrapper, concurrency, prices, settings, stop, mut on_object } = self;
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let edits = rewrapper.changes().names();
        let header =
            PlanHeader { sealwax_plan: VERSION, source: source.into(), edits, begun, settings };
        let mut line = |line: String| plan.write_all((line + "\n").as_bytes()).map_err(unwritten);
        line(json(&header))?;
        let (window, forecaster) =
            (Arc::new(Window::up_to(concurrency)), Forecaster::new(&rewrapper));
        let mut summary = Summary::default();
        let work = |object: ListedObject| {
            let forecaster = forecaster.clone();
            let (window, stop) = (Arc::clone(&window), stop.clone());
            async move {
                let mut tries = Tries::new(window, stop);
                loop {
                    let forecast = forecaster.forecast(&object).await;
                    if !tries.again(failure(&forecast)).await {
                        return PlannedObject::new(&object, forecast);
                    }
                }
            }
        };
        let take = |object: PlannedObject| {
            let written = line(json(&object));
            if written.is_ok() {
                summary.count(&object);
                on_object(&object);
            }
            ready(written)
        };
        pool::each(objects, Arc::clone(&window), stop.clone(), work, take).await?;
        let summary = summary.estimated(&prices);
        if !stop.is_asked() {
            line(json(&PlanEnd { summary: summary.clone() }))?;
        }
        plan.flush().map_err(unwritten)?;
        Ok(summary)
    }
}

impl fmt::Debug for Planning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planning").field("rewrapper", &self.rewrapper).finish_non_exhaustive()
    }
}

fn unwritten(error: std::io::Error) -> Error {
    Error::new("write", "the plan", ErrorKind::Io, error.to_string())
}

fn json(line: &impl serde::Serialize) -> String {
    serde_json::to_string(line).expect("names are strings")
}

/// Forecasts the rewrap of one object, as a line of a plan.
pub async fn plan_one(rewrapper: &Rewrapper, object: &ListedObject) -> PlannedObject {
    PlannedObject::new(object, Forecaster::new(rewrapper).forecast(object).await)
}

/// What may not be so the next time.
fn failure(forecast: &Forecast) -> Option<ErrorKind> {
    match &forecast.action {
        ForecastAction::Fail(error) => Some(error.kind()),
        _ => None,
    }
}
