//! Rewraps of many objects: what would be done, or that it is done.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use sealwax_s3::rewrap::{
    Action, EditName, PlanFile, PlannedObject, PriceTable, Report, Rewrapper, Stop, Summary, Tally,
    Work,
};

use super::{
    outcome::{self, Output},
    source::{self, Settings},
};
use crate::{
    args::{ManyArgs, RewrapArgs},
    aws::Session,
    error::{Exit, Failure},
    interrupt::asked_to_stop,
    prefix::Prefix,
    shell, state,
    text::Counted,
    wrap_key::WrapKey,
};

/// Rewraps many objects, or says what that would do.
pub(super) async fn run(session: &Session, args: RewrapArgs) -> Result<(), Failure> {
    let edits = edits(&args);
    let RewrapArgs { prefix, many, to_sidecar, reader, s3ec, .. } = args;
    let plan = match &many.plan {
        Some(path) => Some(PlanFile::open(path).await?),
        None => None,
    };
    let (settings, edits) = match &plan {
        Some(plan) => (Settings::of_plan(session, plan.header())?, plan.header().edits.clone()),
        None => {
            let bucket = &prefix.as_ref().expect("required").bucket;
            (Settings::new(session, bucket, &reader, to_sidecar), edits)
        }
    };
    match (plan, many.apply) {
        (Some(plan), false) => {
            show(&many, plan.summary(), Vec::new())?;
            session.say("nothing was changed: --apply does it");
            Ok(())
        }
        (plan, apply) => {
            let rewrapper =
                source::rewrapper(session, &settings, &edits, many.kms_calls_per_second, &s3ec)
                    .await?;
            match apply {
                true => {
                    self::apply(session, &rewrapper, &settings, &edits, (plan, prefix), &many).await
                }
                false => {
                    dry_run(session, &rewrapper, &settings, &prefix.expect("required"), &many).await
                }
            }
        }
    }
}

/// What was typed to be changed, in the order in which it is done.
fn edits(args: &RewrapArgs) -> Vec<EditName> {
    let names = |keys: &[WrapKey]| keys.iter().map(|key| key.name().to_owned()).collect::<Vec<_>>();
    let mut edits = Vec::new();
    if !args.replace.is_empty() {
        edits.push(EditName::Replace(names(&args.replace)));
    }
    if !args.add.is_empty() {
        edits.push(EditName::Add(names(&args.add)));
    }
    if args.refresh {
        edits.push(EditName::Refresh);
    }
    edits.extend(names(&args.remove).into_iter().map(EditName::Remove));
    edits
}

/// Says what would be done, and writes that to a plan if one is wanted.
async fn dry_run(
    session: &Session,
    rewrapper: &Rewrapper,
    settings: &Settings,
    prefix: &Prefix,
    many: &ManyArgs,
) -> Result<(), Failure> {
    let prices = prices(many.prices.as_deref())?;
    let plan = many.save_plan.as_deref().map(PartialPlan::create).transpose()?;
    let output: Box<dyn Write + Send> = match &plan {
        Some(plan) => {
            Box::new(BufWriter::new(plan.file.try_clone().map_err(|error| plan.failed(error))?))
        }
        None => Box::new(io::sink()),
    };
    let (listing, name) = source::listing(rewrapper.client().s3(), prefix, many);
    let progress = session.job_progress(None);
    let counting = progress.count(|| source::again(rewrapper.client().s3(), prefix, many));
    let impossible = Arc::new(Mutex::new(Vec::new()));
    let (mut lines, stop) = (Output::new(many.json), Stop::new());
    let planning = rewrapper
        .plan()
        .concurrency(many.concurrency.into())
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
            if matches!(object.action, Action::Impossible { .. })
                && impossible.len() < outcome::SHOWN
            {
                impossible.push(object.clone());
            }
        }
    });
    let planned =
        asked_to_stop(planning.send(source::wanted(listing, prefix, many), name, output), || {
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
    show(many, &summary, impossible)?;
    let failed = summary.impossible.values().sum();
    let all = summary.objects;
    check_any(all)?;
    Failure::of_many(
        failed,
        all,
        format!("{failed} of {} cannot be rewrapped as they are", Counted(all, "object")),
    )
}

/// Whoever names no object has named the wrong ones.
fn check_any(objects: u64) -> Result<(), Failure> {
    match objects {
        0 => Err(Failure::new(
            Exit::NotFound,
            "there is no such object",
            "check the bucket and the prefix, or the list",
        )),
        _ => Ok(()),
    }
}

fn show(many: &ManyArgs, summary: &Summary, impossible: Vec<PlannedObject>) -> Result<(), Failure> {
    Output::new(many.json).summary(summary, &impossible)
}

/// Rewraps the objects.
async fn apply(
    session: &Session,
    rewrapper: &Rewrapper,
    settings: &Settings,
    edits: &[EditName],
    (plan, prefix): (Option<PlanFile>, Option<Prefix>),
    many: &ManyArgs,
) -> Result<(), Failure> {
    let total = plan.as_ref().map(|plan| plan.summary().objects);
    let (work, name) = match plan {
        Some(plan) => {
            let name = plan.digest().to_owned();
            (Work::plan(plan), name)
        }
        None => {
            let prefix = prefix.as_ref().expect("required without a plan");
            let (listing, name) = source::listing(rewrapper.client().s3(), prefix, many);
            let objects = source::wanted(listing, prefix, many);
            (Work::listing(objects, &name).settings(settings.to_json()), name)
        }
    };
    let journal = match &many.journal {
        Some(path) => path.clone(),
        None => {
            let job = serde_json::to_vec(&(name, edits, settings)).expect("names are strings");
            state::journal_for(&job)?
        }
    };
    let (progress, stop) = (session.job_progress(total), Stop::new());
    let counting = match (total, &prefix) {
        (None, Some(prefix)) => {
            Some(progress.count(|| source::again(rewrapper.client().s3(), prefix, many)))
        }
        _ => None,
    };
    let mut lines = Output::new(many.json);
    let apply =
        rewrapper.apply().concurrency(many.concurrency.into()).journal(&journal).stop(stop.clone());
    let apply = apply.on_report({
        let progress = progress.clone();
        let mut tally = Tally::default();
        move |report: &Report| {
            tally.count(report);
            progress.one_more(tally.undone());
            progress.suspend(|| lines.report(report));
        }
    });
    let ask = || {
        stop.stop();
        session.say("stopping: objects in flight are finished; a second signal leaves them as they are, or rewrapped");
    };
    let done = asked_to_stop(apply.send(work), ask).await;
    drop(counting);
    progress.end();
    // Of two signals, or of one that all was done before, the second says more.
    let stopped = |signal| {
        let consequence = format!(
            "each object is as it was, or rewrapped as a whole; the journal is {}",
            journal.display()
        );
        Failure::stopped(signal, consequence).step("to go on", shell::same_command())
    };
    let (tally, signal) = done.map_err(stopped)?;
    let tally =
        tally.map_err(|error| Failure::from(error).step("to go on", shell::same_command()))?;
    Output::new(many.json).tally(session, &tally)?;
    if let (Some(signal), true) = (signal, tally.stopped) {
        return Err(stopped(signal));
    }
    if tally.is_complete() && many.journal.is_none() {
        state::remove(&journal)?;
    }
    let (undone, all) = (tally.undone(), tally.objects());
    check_any(all + tally.done_before)?;
    let failed = Failure::of_many(
        undone,
        all,
        format!("{undone} of {} were not rewrapped", Counted(all, "object")),
    );
    failed.map_err(|failure| failure.step("to try those again", shell::same_command()))
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
            "give a JSON object with the fields that `sealwax_s3::rewrap::PriceTable` has",
        )
    })
}
