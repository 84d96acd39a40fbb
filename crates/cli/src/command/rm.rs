//! `sealwax rm`.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_s3::{S3Uri, SealedClient};

use crate::{
    args::RmArgs,
    ask::{ask, somebody_is_there},
    aws::{FailedCall, Session},
    error::{Exit, Failure},
    interrupt::unless_stopped,
    listing::{self, Listed},
    many::{Outcome, Tally},
    output::Lines,
    prefix::Prefix,
    text::{Counted, Printable},
};

/// Deletes objects.
pub(super) async fn run(session: &Session, args: RmArgs) -> Result<(), Failure> {
    let client = session.client_of(&args.prefix.bucket, session.keyring([]));
    if !args.recursive {
        return one(session, &client, &args).await;
    }
    let folder = args.prefix.clone().into_folder();
    let objects = listing::objects_and_folder(client.s3(), &folder, args.filter.clone());
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
    let mut tally = Tally::default();
    let work = async {
        let objects = match args.yes {
            true => objects,
            // What was asked about is what is deleted.
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
        tally.run(session, objects, args.concurrency.into(), delete).await
    };
    let done = unless_stopped(work).await;
    if tally.all() > 0 || matches!(done, Ok(Ok(()))) {
        session.say(format!("deleted {} of {folder}{tally}", Counted(tally.done, "object")));
    }
    done.map_err(|signal| Failure::stopped(signal, "the other objects were not deleted"))??;
    tally.result("object")
}

async fn one(session: &Session, client: &SealedClient, args: &RmArgs) -> Result<(), Failure> {
    if args.prefix.key.is_empty() {
        return Err(Failure::usage(
            "name an object, or give --recursive to delete all in the bucket",
        ));
    }
    let uri: S3Uri = args.prefix.to_string().parse().map_err(Failure::usage)?;
    // S3 deletes what is not there without a word, and so would a mistyped key be.
    let head = client.s3().head_object().bucket(uri.bucket()).key(uri.key());
    if let Err(error) = head.set_version_id(args.version_id.clone()).send().await {
        let failed = FailedCall::new(&format!("cannot delete {uri}"), &error);
        if failed.status == Some(404) {
            let advice = "check the bucket and the key; a folder is deleted with --recursive";
            return Err(session.failure(failed).await.advise(advice));
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
        (Some(true), None) => " (hidden behind a delete marker: its versions stay)",
        _ => "",
    };
    session.say(format!("deleted {uri}{how}"));
    Ok(())
}

/// The objects, if whoever sits at the terminal wants them deleted.
async fn confirmed(objects: Vec<Listed>, folder: &Prefix) -> Result<Vec<Listed>, Failure> {
    if objects.is_empty() {
        return Ok(objects);
    }
    let what = format!("{} of {folder}", Counted(objects.len() as u64, "object"));
    if !somebody_is_there() {
        let error = format!("{what} would be deleted, and nobody can be asked");
        return Err(Failure::new(Exit::Usage, error, "see which by --dry-run, then give --yes"));
    }
    match ask(format!("delete {what}? [y/N]"), "nothing was deleted").await?.as_str() {
        "y" | "Y" | "yes" => Ok(objects),
        _ => Err(Failure::new(Exit::Failed, "nothing was deleted", "answer y to delete")),
    }
}
