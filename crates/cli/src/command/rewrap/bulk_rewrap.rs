//! `sealwax rewrap` of many objects: by a plan, or by a listing.

use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    CancellationToken, Summary as _,
    job::JobSummary as _,
    rewrap::{Apply, JobInput, PlanFile, PlannedJob},
};
use sealwax_s3::{Error, KeyChange, Rewrapper};

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

/// Rewraps many objects, or prints what that would do.
pub(super) async fn run(session: &Session, args: RewrapArgs) -> Result<(), Failure> {
    let edits = edits(&args);
    let RewrapArgs { prefix, bulk, to_sidecar, options, reader, s3ec, .. } = args;
    let plan = match &bulk.plan {
        Some(path) => Some(PlanFile::open(path).await?),
        None => None,
    };
    let (settings, edits) = match &plan {
        Some(plan) => {
            let settings = JobSettings::of_plan(session, plan.header())?;
            settings.check_s3ec(&s3ec)?;
            let PlannedJob::Rewrap { edits } = &plan.header().job else {
                return Err(Failure::usage("it is no plan of a rewrap"));
            };
            (settings, edits.clone())
        }
        None => {
            let bucket = &prefix.as_ref().expect("required").bucket;
            (JobSettings::new(session, bucket, &reader, to_sidecar, options, s3ec), edits)
        }
    };
    match (plan, bulk.apply) {
        (Some(plan), false) => {
            Output::new(bulk.json).summary(plan.summary(), &[])?;
            session.say("nothing was changed; pass --apply to rewrap");
            Ok(())
        }
        (plan, apply) => {
            let rewrapper =
                rewrapper(session, &settings, &edits, bulk.kms_calls_per_second).await?;
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

/// Returns the key changes of the arguments, in the order of execution.
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
    let (source, identity) = (bulk.source(), settings.identity(session).await);
    let (input, name) = match plan {
        Some(plan) => {
            let name = plan.digest().to_owned();
            (JobInput::plan(plan), name)
        }
        None => {
            let prefix = prefix.as_ref().expect("required without a plan");
            let name = bulk.listing_name(prefix);
            let input = JobInput::listing(source.list(rewrapper.s3(), prefix), &name);
            (if source.is_live() { input.live() } else { input }, name)
        }
    };
    let journal = match &bulk.journal {
        Some(path) => path.clone(),
        None => {
            let job = serde_json::to_vec(&(name, edits, &identity)).expect("names are strings");
            state_directory::journal_for(&job)?
        }
    };
    let (progress, cancellation) = (session.job_progress(total), CancellationToken::new());
    let counting = match (total, &prefix) {
        (None, Some(prefix)) => Some(progress.count(|| source.list_again(rewrapper.s3(), prefix))),
        _ => None,
    };
    let mut lines = Output::new(bulk.json);
    let mut outcomes = Apply::new(rewrapper.clone())
        .concurrency(bulk.concurrency.into())
        .journal(&journal)
        .cancellation(cancellation.clone())
        .run(input.settings(identity));
    let work = async {
        while let Some(object) = outcomes.try_next().await? {
            progress.one_more(outcomes.summary().failed());
            progress.suspend(|| lines.applied(&object));
        }
        Ok::<(), Error>(())
    };
    let ask = || {
        cancellation.cancel();
        session.say("stopping after the objects in flight; a second signal stops now, and leaves each of them unchanged or rewrapped");
    };
    let done = asked_to_stop(work, ask).await;
    drop(counting);
    progress.end();
    // A second signal takes precedence.
    let stopped = |signal| {
        let consequence = format!(
            "each object is either unchanged or completely rewrapped; the journal is {}",
            journal.display()
        );
        Failure::stopped(signal, consequence).step("to resume", this_command_line())
    };
    let (ended, signal) = done.map_err(stopped)?;
    let summary = *outcomes.summary();
    if let Err(error) = ended {
        let failure = Failure::from(error).step("to resume", this_command_line());
        if summary.all_objects() > 0 {
            let mut summary = summary;
            summary.counts.stopped = true;
            Output::new(bulk.json).rewrap_summary(session, &summary)?;
        }
        return Err(failure);
    }
    Output::new(bulk.json).rewrap_summary(session, &summary)?;
    if let (Some(signal), true) = (signal, summary.counts.stopped) {
        return Err(stopped(signal));
    }
    // Every object was tried. The next run tries each again, in the state that it has then.
    if !summary.counts.stopped && bulk.journal.is_none() {
        state_directory::remove(&journal)?;
    }
    let (undone, all) = (summary.failed(), summary.all_objects());
    check_any(all)?;
    let failed = Failure::of_many(
        undone,
        all,
        format!("{undone} of {} were not rewrapped", Counted(all, "object")),
    );
    failed.map_err(|failure| failure.step("to retry those", this_command_line()))
}
