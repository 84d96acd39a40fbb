//! `sealwax rm`.

use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_s3::{ErrorKind, S3Uri, SealedClient};

use crate::{
    args::{FilterArgs, Prefix},
    bulk::{Outcome, Summary},
    console::{Lines, can_prompt, prompt},
    failure::{Exit, Failure},
    folder_listing::{self, Listed},
    interrupt::unless_stopped,
    session::Session,
    terminal_text::{Counted, Printable},
};

const EXAMPLES: &str = "\
Examples:
  sealwax rm s3://bucket/2026/report.pdf
  sealwax rm s3://bucket/2026/ --recursive --dry-run
  sealwax rm s3://bucket/2026/ --recursive --exclude '*.pdf' --yes";

/// Delete objects.
///
/// In a versioned bucket, delete markers hide the objects: older versions remain, with their keys.
/// To make objects permanently unreadable, see `sealwax shred`. With --sidecars, sidecars are
/// deleted with their objects.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RmArgs {
    /// Object; with --recursive, a folder (all keys that begin with PREFIX/)
    #[arg(value_name = "s3://BUCKET/KEY|PREFIX")]
    pub(crate) prefix: Prefix,

    /// Delete all objects in the folder
    #[arg(short, long)]
    pub(crate) recursive: bool,

    /// Don't ask for confirmation; without it, --recursive asks on the terminal
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Print what would be deleted, and delete nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Permanently delete this version
    #[arg(long, value_name = "ID", conflicts_with = "recursive")]
    pub(crate) version_id: Option<String>,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Number of objects in parallel
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,
}

/// Deletes objects.
pub(super) async fn run(session: &Session, args: RmArgs) -> Result<(), Failure> {
    let client = session.client_of(&args.prefix.bucket, session.keyrings().empty());
    if !args.recursive {
        return one(session, &client, &args).await;
    }
    let folder = args.prefix.clone().into_folder();
    let objects = folder_listing::objects_and_folder(client.s3(), &folder, args.filter.clone());
    if args.dry_run {
        let (mut lines, mut all) = (Lines::new(), 0);
        let listed = unless_stopped(objects.try_for_each(|listed| {
            all += 1;
            std::future::ready(
                lines.line(format!("would delete {}", Printable(&listed.object.to_string()))),
            )
        }))
        .await;
        lines.finish()?;
        listed.map_err(|signal| Failure::stopped(signal, "nothing was deleted"))??;
        session.say(format!("would delete {} of {folder}", Counted(all, "object")));
        return Ok(());
    }
    let mut summary = Summary::default();
    let work = async {
        let objects = match args.yes {
            true => objects,
            // Delete exactly the objects of the confirmation.
            false => stream::iter(confirmed(objects.try_collect().await?, &folder).await?)
                .map(Ok)
                .boxed(),
        };
        let delete = |Listed { object, .. }| {
            let delete = client.delete().bucket(&object.bucket).key(&object.key);
            async move {
                match delete.send().await {
                    Ok(_) => Outcome::Done(format!("deleted {object}"), 0),
                    Err(error) => Outcome::Failed(object.to_string(), error.into()),
                }
            }
        };
        summary.run(session, objects, args.concurrency.into(), delete).await
    };
    let done = unless_stopped(work).await;
    if summary.all() > 0 || matches!(done, Ok(Ok(()))) {
        session.say(format!("deleted {} of {folder}{summary}", Counted(summary.done, "object")));
    }
    done.map_err(|signal| Failure::stopped(signal, "the remaining objects were not deleted"))??;
    summary.result("object")
}

async fn one(session: &Session, client: &SealedClient, args: &RmArgs) -> Result<(), Failure> {
    if args.prefix.key.is_empty() {
        return Err(Failure::usage(
            "name an object, or pass --recursive to delete all objects in the bucket",
        ));
    }
    let uri: S3Uri = args.prefix.to_string().parse().map_err(Failure::usage)?;
    // S3 reports success for a missing object, which would hide a mistyped key.
    let head = client.s3().head_object().bucket(uri.bucket()).key(uri.key());
    if let Err(error) = head.set_version_id(args.version_id.clone()).send().await {
        let error = session.call_error("delete", &uri, "HeadObject", &error);
        if error.kind() == ErrorKind::NotFound {
            let advice = "check the bucket and the key; a folder is deleted with --recursive";
            return Err(Failure::from(error).advise(advice));
        }
    }
    if args.dry_run {
        session.say(format!("would delete {uri}"));
        return Ok(());
    }
    let mut delete = client.delete().uri(&uri);
    if let Some(version_id) = &args.version_id {
        delete = delete.version_id(version_id);
    }
    let done = unless_stopped(delete.send()).await;
    let deleted =
        done.map_err(|signal| Failure::stopped(signal, format!("{uri} may have been deleted")))??;
    let how = match (deleted.delete_marker, &args.version_id) {
        (true, None) => " (hidden by a delete marker: older versions remain)",
        _ => "",
    };
    session.say(format!("deleted {uri}{how}"));
    Ok(())
}

/// Returns the objects if the user confirms.
async fn confirmed(objects: Vec<Listed>, folder: &Prefix) -> Result<Vec<Listed>, Failure> {
    if objects.is_empty() {
        return Ok(objects);
    }
    let what = format!("{} of {folder}", Counted(objects.len() as u64, "object"));
    if !can_prompt() {
        let error = format!("refusing to delete {what} without confirmation: not a terminal");
        return Err(Failure::new(
            Exit::Usage,
            error,
            "check the objects with --dry-run, then pass --yes",
        ));
    }
    match prompt(format!("delete {what}? [y/N]"), "nothing was deleted").await?.as_str() {
        "y" | "Y" | "yes" => Ok(objects),
        _ => Err(Failure::new(Exit::Failed, "nothing was deleted", "answer y to delete")),
    }
}
