//! `sealwax rm` of older versions.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use sealwax_jobs::listing::Listing;
use sealwax_s3::{DeleteOutput, ErrorKind, ListedObject, S3Uri, SealedClient};

use super::{Line, RmArgs, check_no_key, confirm};
use crate::{
    args::Prefix,
    bulk::{Outcome, Summary, engine},
    console::{Lines, print_json},
    failure::{Exit, Failure, Unfinished},
    folder_listing::{self, Versions},
    interrupt::unless_stopped,
    session::Session,
    terminal_text::{Counted, Printable, this_command_line},
};

type Listed = Pin<Box<dyn Stream<Item = Result<ListedObject, Failure>> + Send>>;

/// Deletes the versions of a prefix, or those that standard input lists.
pub(super) async fn run(
    session: &Session,
    client: &SealedClient,
    args: &RmArgs,
) -> Result<(), Failure> {
    let prefix = match args.recursive {
        true => args.prefix.clone().into_folder(),
        false => args.prefix.clone(),
    };
    let listed = match args.stdin {
        true => of_standard_input(args)?,
        false => of_prefix(client, args, &prefix)?,
    };
    let (prefix, session) = (&prefix, session);
    if args.dry_run {
        return dry_run(session, client, args, listed, prefix).await;
    }
    let mut summary = Summary::default();
    let work = async {
        let versions: Listed = match args.yes {
            true => listed,
            false => {
                let versions: Vec<_> = listed.try_collect().await?;
                if !versions.is_empty() {
                    let count = Counted(versions.len() as u64, "version");
                    confirm(format!("{count} of {prefix} permanently")).await?;
                }
                stream::iter(versions).map(Ok).boxed()
            }
        };
        let delete = |version: ListedObject| async move {
            let name = name_of(&version);
            match delete(client, args, prefix, &version).await {
                Ok(output) => {
                    if args.json {
                        print_json(&Line::deleted(version.to_string(), &output));
                    }
                    Outcome::Done(format!("deleted {name}"), 0)
                }
                Err(failure) => Outcome::Failed(name, failure),
            }
        };
        summary.run(session, versions, &engine(args.concurrency), delete).await
    };
    let done = unless_stopped(work).await;
    if summary.all() > 0 || matches!(done, Ok(Ok(()))) {
        session.say(format!("deleted {} of {prefix}{summary}", Counted(summary.done, "version")));
    }
    let label = if args.stdin { "to continue, with the same list" } else { "to continue" };
    let consequence = "the remaining versions were not deleted";
    Unfinished::new(consequence, label, this_command_line()).check(done)?;
    summary.result("version")
}

fn of_standard_input(args: &RmArgs) -> Result<Listed, Failure> {
    if !args.yes && !args.dry_run {
        return Err(Failure::new(
            Exit::Usage,
            "refusing to delete the listed versions without confirmation",
            "check them with --dry-run, then pass --yes",
        ));
    }
    let lines = Listing::lines(tokio::io::stdin(), Some(args.prefix.bucket.clone()));
    Ok(Box::pin(lines.map_err(Failure::from)))
}

fn of_prefix(client: &SealedClient, args: &RmArgs, prefix: &Prefix) -> Result<Listed, Failure> {
    if !args.recursive && prefix.key.is_empty() {
        return Err(Failure::usage(
            "name an object, or pass --recursive for all versions in the bucket",
        ));
    }
    let (recursive, current, key) = (args.recursive, args.current, prefix.key.clone());
    let filter = args.filter.clone();
    let is_meant = move |version: &ListedObject| {
        let relative = version.key.strip_prefix(&key).unwrap_or_default();
        let is_named = match recursive {
            true => relative.is_empty() || filter.takes(relative),
            false => version.key == key,
        };
        std::future::ready(is_named && (current || version.is_latest == Some(false)))
    };
    let versions = folder_listing::beginning_with(client, prefix, Versions::All);
    Ok(Box::pin(versions.map_err(Failure::from).try_filter(is_meant)))
}

async fn dry_run(
    session: &Session,
    client: &SealedClient,
    args: &RmArgs,
    listed: Listed,
    prefix: &Prefix,
) -> Result<(), Failure> {
    let (mut lines, mut all, mut refused) = (Lines::new(), 0_u64, 0_u64);
    let checked = listed.map_ok(|version| async move {
        let checked = check(client, args, prefix, &version).await;
        Ok::<_, Failure>((version, checked))
    });
    let work = async {
        let mut checked = std::pin::pin!(checked.try_buffered(args.concurrency.into()));
        while let Some((version, checked)) = checked.try_next().await? {
            all += 1;
            let name = name_of(&version);
            match checked {
                Ok(()) if args.json => {
                    let id = version.version_id.as_deref();
                    lines.json(&Line::planned(version.to_string(), id))?;
                }
                Ok(()) => lines.line(format!("would delete {}", Printable(&name)))?,
                Err(failure) => {
                    refused += 1;
                    failure.print_about(&name);
                }
            }
        }
        Ok::<_, Failure>(())
    };
    let done = unless_stopped(work).await;
    lines.finish()?;
    done.map_err(|signal| Failure::stopped(signal, "nothing was deleted"))??;
    session.say(format!("would delete {} of {prefix}", Counted(all - refused, "version")));
    Failure::of_many(refused, all, format!("{refused} of {} refused", Counted(all, "version")))
}

async fn delete(
    client: &SealedClient,
    args: &RmArgs,
    prefix: &Prefix,
    version: &ListedObject,
) -> Result<DeleteOutput, Failure> {
    check(client, args, prefix, version).await?;
    let delete = client.delete().bucket(&version.bucket).key(&version.key);
    let id = version.version_id.as_deref().unwrap_or_default();
    delete.version_id(id).send().await.map_err(Failure::from)
}

/// Refuses what is no version, is elsewhere, or is current. A version that was an older one when it
/// was listed may be current now.
async fn check(
    client: &SealedClient,
    args: &RmArgs,
    prefix: &Prefix,
    version: &ListedObject,
) -> Result<(), Failure> {
    let refused = |why: &str| Err(Failure::usage(why.to_owned()));
    let Some(id) = version.version_id.as_deref() else {
        return refused("no version id: list the versions with `audit --versions --json`");
    };
    if version.bucket != prefix.bucket || !version.key.starts_with(&prefix.key) {
        return refused(&format!("not below {prefix}"));
    }
    check_no_key(client, args, &version.key)?;
    if args.current {
        return Ok(());
    }
    let head = client.s3().head_object().bucket(&version.bucket).key(&version.key).send().await;
    match head {
        Ok(head) if head.version_id().unwrap_or("null") == id => {
            refused("it is the current version: pass --current to delete it too")
        }
        Ok(_) => Ok(()),
        Err(error) => {
            let uri = S3Uri::new(&version.bucket, &version.key).map_err(Failure::usage)?;
            let error = client.head_error("delete", &uri, &error).await;
            // A delete marker is current, or nothing.
            if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error.into()) }
        }
    }
}

fn name_of(version: &ListedObject) -> String {
    match &version.version_id {
        Some(id) => format!("{version} version {id}"),
        None => version.to_string(),
    }
}
