//! `sealwax rewrap` of many objects without `--apply`: what it would do, and its plan.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use sealwax_jobs::rewrap::{Action, PlannedObject, Planning, PriceTable, Stop};
use sealwax_s3::Rewrapper;

use super::{
    args::BulkArgs,
    job_settings::JobSettings,
    rewrap_output::{Output, SHOWN, check_any},
};
use crate::{
    args::Prefix,
    failure::{Exit, Failure},
    interrupt::asked_to_stop,
    session::Session,
    terminal_text::Counted,
};

/// Says what would be done, and writes that to a plan if one is wanted.
pub(super) async fn dry_run(
    session: &Session,
    rewrapper: &Rewrapper,
    settings: &JobSettings,
    prefix: &Prefix,
    bulk: &BulkArgs,
) -> Result<(), Failure> {
    let prices = prices(bulk.prices.as_deref())?;
    let plan = bulk.save_plan.as_deref().map(PartialPlan::create).transpose()?;
    let output: Box<dyn Write + Send> = match &plan {
        Some(plan) => {
            Box::new(BufWriter::new(plan.file.try_clone().map_err(|error| plan.failed(error))?))
        }
        None => Box::new(io::sink()),
    };
    let (source, name) = (bulk.source(), bulk.listing_name(prefix));
    let progress = session.job_progress(None);
    let counting = progress.count(|| source.list_again(rewrapper.s3(), prefix));
    let impossible = Arc::new(Mutex::new(Vec::new()));
    let (mut lines, stop) = (Output::new(bulk.json), Stop::new());
    let planning = Planning::new(rewrapper.clone())
        .concurrency(bulk.concurrency.into())
        .prices(prices)
        .settings(settings.to_json());
    let planning = planning.stop(stop.clone()).on_object({
        let (progress, impossible) = (progress.clone(), Arc::clone(&impossible));
        let mut failed = 0;
        move |object: &PlannedObject| {
            failed += u64::from(matches!(object.action, Action::Impossible { .. }));
            progress.one_more(failed);
            progress.suspend(|| lines.planned(object));
            let mut impossible = impossible.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(object.action, Action::Impossible { .. }) && impossible.len() < SHOWN {
                impossible.push(object.clone());
            }
        }
    });
    let planned =
        asked_to_stop(planning.send(source.list(rewrapper.s3(), prefix), name, output), || {
            stop.stop();
        })
        .await;
    drop(counting);
    progress.end();
    let consequence = "nothing was changed, and there is no plan";
    let (summary, signal) = planned.map_err(|signal| Failure::stopped(signal, consequence))?;
    if let Some(signal) = signal {
        return Err(Failure::stopped(signal, consequence));
    }
    let summary = summary?;
    if let Some(plan) = plan {
        let path = plan.finish()?;
        session.say(format!("the plan is in {}: nothing was changed", path.display()));
    } else {
        session.say("nothing was changed: --apply does it");
    }
    let impossible =
        std::mem::take(&mut *impossible.lock().unwrap_or_else(PoisonError::into_inner));
    Output::new(bulk.json).summary(&summary, &impossible)?;
    let failed = summary.impossible.values().sum();
    let all = summary.objects;
    check_any(all)?;
    Failure::of_many(
        failed,
        all,
        format!("{failed} of {} cannot be rewrapped as they are", Counted(all, "object")),
    )
}

/// A plan that is not complete: it has its name only when it is.
#[derive(Debug)]
struct PartialPlan {
    file: File,
    partial: PathBuf,
    path: PathBuf,
}

impl PartialPlan {
    fn create(path: &Path) -> Result<Self, Failure> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let (partial, path) = (PathBuf::from(partial), path.to_owned());
        let created = File::create(&partial);
        let file = created
            .map_err(|error| Failure::io(&format!("cannot write {}", partial.display()), error))?;
        Ok(Self { file, partial, path })
    }

    fn finish(mut self) -> Result<PathBuf, Failure> {
        let renamed = self.file.sync_all().and_then(|()| fs::rename(&self.partial, &self.path));
        renamed.map_err(|error| self.failed(error))?;
        Ok(std::mem::take(&mut self.path))
    }

    fn failed(&self, error: io::Error) -> Failure {
        Failure::io(&format!("cannot write the plan {}", self.path.display()), error)
    }
}

impl Drop for PartialPlan {
    fn drop(&mut self) {
        // It is gone where the plan was finished.
        let _ = fs::remove_file(&self.partial);
    }
}

fn prices(path: Option<&Path>) -> Result<PriceTable, Failure> {
    let Some(path) = path else { return Ok(PriceTable::default()) };
    let text = fs::read(path)
        .map_err(|error| Failure::io(&format!("cannot read {}", path.display()), error))?;
    serde_json::from_slice(&text).map_err(|error| {
        let message = format!("{} is no table of prices: {error}", path.display());
        Failure::new(
            Exit::Usage,
            message,
            "give a JSON object with the fields that `sealwax_jobs::rewrap::PriceTable` has",
        )
    })
}
