//! Applies a job, with a journal.

use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    CancellationToken, Summary as _,
    job::{Apply, JobInput, JobSummary as _, PlanFile},
};
use sealwax_s3::{Error, ErrorKind};

use super::{
    Job, JobKind,
    output::{Output, check_any},
};
use crate::{
    failure::Failure,
    interrupt::{asked_to_stop, unless_stopped},
    state_directory,
    terminal_text::{Counted, this_command_line},
};

/// Works on the objects.
pub(super) async fn apply<W: JobKind, K: super::KindSettings>(
    job: Job<'_, W, K>,
    plan: Option<PlanFile>,
) -> Result<(), Failure> {
    let Job { session, client, work, settings, source, prefix, args } = job;
    let total = plan.as_ref().map(|plan| plan.summary().objects);
    let identity = settings.identity(session).await;
    let (input, name) = match plan {
        Some(plan) => {
            let name = plan.digest().to_owned();
            (JobInput::plan(plan), name)
        }
        None => {
            let prefix = prefix.expect("required without a plan");
            let name = source.name(prefix);
            let input = JobInput::listing(source.list(&client, prefix), &name);
            (if source.is_live() { input.live() } else { input }, name)
        }
    };
    let journal = match &args.journal {
        Some(path) => path.clone(),
        None => {
            let job = (name, work.job().changes(), &identity);
            let job = serde_json::to_vec(&job).expect("names are strings");
            state_directory::journal_for(&job, W::EXTENSION, W::VERB)?
        }
    };
    let (progress, cancellation) = (session.job_progress(total), CancellationToken::new());
    let counting = match (total, prefix) {
        (None, Some(prefix)) => Some(progress.count(|| source.list_again(&client, prefix))),
        _ => None,
    };
    let mut lines = Output::new(args.json);
    let mut applying = Apply::new(work.clone());
    if let Some(objects) = args.concurrency {
        applying = applying.concurrency(objects.into());
    }
    let mut outcomes =
        applying.journal(&journal).cancellation(cancellation.clone()).run(input.settings(identity));
    let working = async {
        while let Some(object) = outcomes.try_next().await? {
            progress.one_more(outcomes.summary().failed());
            progress.suspend(|| lines.applied::<W>(&object));
        }
        Ok::<(), Error>(())
    };
    let ask = || {
        cancellation.cancel();
        session.say(format!(
            "stopping after the objects in flight; a second signal stops now, and leaves each of them \
             unchanged or {}",
            W::DONE
        ));
    };
    let done = asked_to_stop(working, ask).await;
    drop(counting);
    progress.end();
    // A second signal takes precedence.
    let stopped = |signal| {
        let consequence = format!(
            "each object is either unchanged or completely {}; the journal is {}",
            W::DONE,
            journal.display()
        );
        Failure::stopped(signal, consequence).step("to resume", this_command_line())
    };
    unless_stopped(client.settle()).await.map_err(stopped)?;
    session.report_unclaimed(&client);
    let (ended, signal) = done.map_err(stopped)?;
    let summary = outcomes.summary().clone();
    if let Err(error) = ended {
        let is_about_journal = error.object().starts_with("the journal");
        let failure = match (is_about_journal, error.kind()) {
            (true, ErrorKind::Io) => Failure::from(error).advise(
                "check its directory and the free space, or pass another file with --journal",
            ),
            _ => Failure::from(error),
        };
        let failure = failure.step("to resume", this_command_line());
        if summary.all_objects() > 0 {
            let mut summary = summary;
            summary.counts_mut().stopped = true;
            Output::new(args.json).job_summary::<W>(session, &summary)?;
        }
        return Err(failure);
    }
    Output::new(args.json).job_summary::<W>(session, &summary)?;
    if let (Some(signal), true) = (signal, summary.counts().stopped) {
        return Err(stopped(signal));
    }
    // Every object was tried. The next run tries each again, in the state that it has then.
    if !summary.counts().stopped && args.journal.is_none() {
        state_directory::remove(&journal)?;
    }
    let (undone, all) = (summary.failed(), summary.all_objects());
    check_any(all)?;
    let failed = Failure::of_many(
        undone,
        all,
        format!(
            "{undone} of {} {} not {}",
            Counted(all, "object"),
            if all == 1 { "was" } else { "were" },
            W::DONE
        ),
    );
    failed.map_err(|failure| failure.step("to retry those", this_command_line()))
}
