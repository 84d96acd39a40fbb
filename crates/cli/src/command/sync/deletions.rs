//! Deletions of what only the destination has.

use futures_util::stream;
use sealwax_jobs::merge::Keyed as _;

use super::{
    pass::{Pass, Sides},
    record::{Change, Counts},
};
use crate::{
    bulk::{Outcome, Summary, engine},
    command::rm::confirm,
    failure::{Failure, Unfinished},
    interrupt::unless_stopped,
    terminal_text::{Counted, this_command_line},
};

/// Deletes these entries, or asks first. All transfers have succeeded.
pub(super) async fn run<T: Sides>(
    pass: &Pass<'_>,
    sides: &T,
    extras: Vec<T::Destination>,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let (session, args, noun) = (pass.session, pass.args, T::DIRECTION.noun_there());
    let (mut deletable, mut kept) = (Vec::new(), Summary::default());
    let selection = async {
        for extra in extras {
            if pass.is_hidden(extra.key()) {
                continue;
            }
            match sides.kept(&extra).await? {
                None => deletable.push(extra),
                Some(skip) => kept.count(skip),
            }
        }
        Ok::<_, Failure>(())
    };
    let stopped = |signal| Failure::stopped(signal, "nothing was deleted");
    unless_stopped(selection).await.map_err(stopped)??;
    counts.add(&kept);
    if deletable.is_empty() {
        return Ok(());
    }
    let all = deletable.len() as u64;
    pass.check_source(T::DIRECTION, all)?;
    let what = format!("{} of {} that {} does not have", Counted(all, noun), args.to, args.from);
    if !args.yes && !args.dry_run {
        confirm(what).await?;
    }
    let delete = |extra: T::Destination| async move {
        let name = sides.name(&extra);
        let (result, text) = match args.dry_run {
            true => ("planned", format!("would delete {name}")),
            false => match sides.delete(&extra).await {
                Ok(()) => ("done", format!("deleted {name}")),
                Err(failure) => return Outcome::Failed(name, failure),
            },
        };
        let change =
            Change { action: "delete", result, destination: Some(name), ..Change::default() };
        pass.changed(text, &change)
    };
    let mut summary = Summary::default();
    let done = unless_stopped(summary.run_watched(
        session,
        stream::iter(deletable.into_iter().map(Ok)),
        &engine(args.concurrency),
        delete,
        |outcome| pass.record_failure("delete", outcome),
    ))
    .await;
    counts.deleted += summary.done;
    counts.failed += summary.failed;
    let verb = if args.dry_run { "would delete" } else { "deleted" };
    session.say(format!("{verb} {} of {}{kept}{summary}", Counted(summary.done, noun), args.to));
    let consequence = "the remaining ones were not deleted; rerun the command to continue";
    Unfinished::new(consequence, "to continue", this_command_line()).check(done)?;
    summary.result(noun)
}
