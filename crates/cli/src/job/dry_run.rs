//! A job without `--apply`: what it would do, and its plan.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
};

use futures_util::TryStreamExt as _;
use sealwax_files::NewFile;
use sealwax_jobs::{
    CancellationToken, Summary as _,
    job::{Action, Plan, PlanSummary, PriceTable},
};
use sealwax_s3::Error;

use super::{
    Job, JobKind, KindSettings,
    output::{Output, SHOWN, check_any},
};
use crate::{
    failure::{Exit, Failure},
    interrupt::asked_to_stop,
    leftovers::remove_leftovers,
    terminal_text::Counted,
};

/// Prints what would be done, and writes the plan if one is requested.
pub(super) async fn dry_run<W: JobKind, K: KindSettings>(
    job: Job<'_, W, K>,
) -> Result<(), Failure> {
    let Job { session, client, work, settings, source, prefix, args, .. } = job;
    let prefix = prefix.expect("required without a plan");
    let prices = prices(args.prices.as_deref())?;
    // It gets its name when it is complete.
    let plan = match &args.save_plan {
        Some(path) => {
            session.report_leftovers(remove_leftovers(path));
            Some(NewFile::create(path).map_err(|error| plan_failed(path, error))?)
        }
        None => None,
    };
    let output: Box<dyn Write + Send> = match &plan {
        Some(plan) => {
            let file = plan.file().try_clone();
            Box::new(BufWriter::new(file.map_err(|error| plan_failed(plan.path(), error))?))
        }
        None => Box::new(io::sink()),
    };
    let name = source.name(prefix);
    let progress = session.job_progress(None);
    let counting = progress.count(|| source.list_again(&client, prefix));
    let (mut impossible, mut lines) = (Vec::new(), Output::new(args.json));
    let cancellation = CancellationToken::new();
    let mut planning = Plan::new(work.clone());
    if let Some(objects) = args.concurrency {
        planning = planning.concurrency(objects.into());
    }
    let planning =
        planning.prices(prices).settings(settings.to_json()).cancellation(cancellation.clone());
    let mut outcomes = planning.run(source.list(&client, prefix), name, output);
    let working = async {
        while let Some(object) = outcomes.try_next().await? {
            progress.one_more(outcomes.summary().failed());
            progress.suspend(|| lines.planned(&object));
            if matches!(object.action, Action::Impossible { .. }) && impossible.len() < SHOWN {
                impossible.push(object);
            }
        }
        Ok::<PlanSummary, Error>(outcomes.summary().clone())
    };
    let planned = asked_to_stop(working, || cancellation.cancel()).await;
    drop(counting);
    progress.end();
    let consequence = "nothing was changed, and no plan was written";
    let (summary, signal) = planned.map_err(|signal| Failure::stopped(signal, consequence))?;
    if let Some(signal) = signal {
        return Err(Failure::stopped(signal, consequence));
    }
    let summary = summary?;
    if let Some(plan) = plan {
        let path = plan.path().to_owned();
        plan.complete().map_err(|error| plan_failed(&path, error))?;
        session.say(format!("wrote the plan to {}; nothing was changed", path.display()));
    } else {
        session.say(format!("nothing was changed; pass --apply to {}", W::VERB));
    }
    Output::new(args.json).plan_summary::<W>(&summary, &impossible)?;
    let (failed, all) = (summary.failed(), summary.objects());
    check_any(all)?;
    Failure::of_many(
        failed,
        all,
        format!("{failed} of {} cannot be {}", Counted(all, "object"), W::DONE),
    )
}

fn plan_failed(path: &Path, error: io::Error) -> Failure {
    Failure::io(&format!("cannot write plan {}", path.display()), error)
}

fn prices(path: Option<&Path>) -> Result<PriceTable, Failure> {
    let Some(path) = path else { return Ok(PriceTable::default()) };
    let text = fs::read(path)
        .map_err(|error| Failure::io(&format!("cannot read {}", path.display()), error))?;
    serde_json::from_slice(&text).map_err(|error| {
        let message = format!("cannot use price table {}: {error}", path.display());
        Failure::new(
            Exit::Usage,
            message,
            "pass a JSON object with the price fields that the command's README lists",
        )
    })
}
