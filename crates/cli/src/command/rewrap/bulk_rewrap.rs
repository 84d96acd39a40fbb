//! `sealwax rewrap` of many objects: by a plan, or by a listing.

use sealwax_jobs::rewrap::{Apply, PlanFile, Report, Stop, Tally, Work};
use sealwax_s3::{KeyChange, Rewrapper};

use super::{
    args::{BulkArgs, RewrapArgs},
    dry_run::dry_run,
    job_settings::{JobSettings, rewrapper},
    rewrap_output::{Output, check_any},
};
use crate::{
    args::{Prefix, WrapKey},
    failure::Failure,
    interrupt::asked_to_stop,
    session::Session,
    state_directory,
    terminal_text::{Counted, this_command_line},
};

/// Rewraps many objects, or says what that would do.
pub(super) async fn run(session: &Session, args: RewrapArgs) -> Result<(), Failure> {
    let edits = edits(&args);
    let RewrapArgs { prefix, bulk, to_sidecar, reader, s3ec, .. } = args;
    let plan = match &bulk.plan {
        Some(path) => Some(PlanFile::open(path).await?),
        None => None,
    };
    let (settings, edits) = match &plan {
        Some(plan) => (JobSettings::of_plan(session, plan.header())?, plan.header().edits.clone()),
        None => {
            let bucket = &prefix.as_ref().expect("required").bucket;
            (JobSettings::new(session, bucket, &reader, to_sidecar), edits)
        }
    };
    match (plan, bulk.apply) {
        (Some(plan), false) => {
            Output::new(bulk.json).summary(plan.summary(), &[])?;
            session.say("nothing was changed: --apply does it");
            Ok(())
        }
        (plan, apply) => {
            let rewrapper =
                rewrapper(session, &settings, &edits, bulk.kms_calls_per_second, &s3ec).await?;
            match apply {
                true => {
                    self::apply(session, &rewrapper, &settings, &edits, (plan, prefix), &bulk).await
                }
                false => {
                    dry_run(session, &rewrapper, &settings, &prefix.expect("required"), &bulk).await
                }
            }
        }
    }
}

/// What was typed to be changed, in the order in which it is done.
fn edits(args: &RewrapArgs) -> Vec<KeyChange> {
    let names = |keys: &[WrapKey]| keys.iter().map(|key| key.name().to_owned()).collect::<Vec<_>>();
    let mut edits = Vec::new();
    if !args.replace.is_empty() {
        edits.push(KeyChange::Replace(names(&args.replace)));
    }
    if !args.add.is_empty() {
        edits.push(KeyChange::Add(names(&args.add)));
    }
    if args.refresh {
        edits.push(KeyChange::Refresh);
    }
    edits.extend(names(&args.remove).into_iter().map(KeyChange::Remove));
    edits
}

/// Rewraps the objects.
async fn apply(
    session: &Session,
    rewrapper: &Rewrapper,
    settings: &JobSettings,
    edits: &[KeyChange],
    (plan, prefix): (Option<PlanFile>, Option<Prefix>),
    bulk: &BulkArgs,
) -> Result<(), Failure> {
    let total = plan.as_ref().map(|plan| plan.summary().objects);
    let (work, name) = match plan {
        Some(plan) => {
            let name = plan.digest().to_owned();
            (Work::plan(plan), name)
        }
        None => {
            let prefix = prefix.as_ref().expect("required without a plan");
            let name = bulk.listing_name(prefix);
            let objects = bulk.source().list(rewrapper.s3(), prefix);
            (Work::listing(objects, &name).settings(settings.to_json()), name)
        }
    };
    let journal = match &bulk.journal {
        Some(path) => path.clone(),
        None => {
            let job = serde_json::to_vec(&(name, edits, settings)).expect("names are strings");
            state_directory::journal_for(&job)?
        }
    };
    let (progress, stop) = (session.job_progress(total), Stop::new());
    let counting = match (total, &prefix) {
        (None, Some(prefix)) => {
            Some(progress.count(|| bulk.source().list_again(rewrapper.s3(), prefix)))
        }
        _ => None,
    };
    let mut lines = Output::new(bulk.json);
    let apply = Apply::new(rewrapper.clone())
        .concurrency(bulk.concurrency.into())
        .journal(&journal)
        .stop(stop.clone());
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
        Failure::stopped(signal, consequence).step("to go on", this_command_line())
    };
    let (tally, signal) = done.map_err(stopped)?;
    let tally =
        tally.map_err(|error| Failure::from(error).step("to go on", this_command_line()))?;
    Output::new(bulk.json).tally(session, &tally)?;
    if let (Some(signal), true) = (signal, tally.stopped) {
        return Err(stopped(signal));
    }
    if tally.is_complete() && bulk.journal.is_none() {
        state_directory::remove(&journal)?;
    }
    let (undone, all) = (tally.undone(), tally.objects());
    check_any(all + tally.done_before)?;
    let failed = Failure::of_many(
        undone,
        all,
        format!("{undone} of {} were not rewrapped", Counted(all, "object")),
    );
    failed.map_err(|failure| failure.step("to try those again", this_command_line()))
}
