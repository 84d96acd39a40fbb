//! `sealwax rm`.

mod delete_versions;

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
};

use clap::{Args, builder::NonEmptyStringValueParser};
use futures_util::{
    Stream, StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use sealwax_s3::{
    DeleteOutput, ErrorKind, ListedObject, ObjectKind, S3Uri, SealedClient,
    limits::MAX_DELETED_OBJECTS,
    s3ec::{INSTRUCTION_FILE_SUFFIX, S3ec},
};
use serde::Serialize;

use crate::{
    args::{FilterArgs, Prefix},
    bulk::{Outcome, Summary, engine},
    console::{self, Lines, can_prompt, print_json},
    failure::{Exit, Failure, Unfinished},
    figures::size,
    folder_listing::{self, Listed},
    interrupt::unless_stopped,
    session::Session,
    terminal_text::{Counted, Printable, this_command_line},
};

const EXAMPLES: &str = "\
Examples:
  sealwax rm s3://bucket/2026/report.pdf
  sealwax rm s3://bucket/2026/ --recursive --dry-run
  sealwax rm s3://bucket/2026/ --recursive --exclude '*.pdf' --yes

Older versions only:
  sealwax rm s3://bucket/2026/ --recursive --versions --dry-run

What only an old key opens:
  sealwax audit s3://bucket --versions --prove --depends-on \"$OLD_KEY\" \\
      --solely --json > old.json
  sealwax rm s3://bucket --stdin --yes < old.json";

/// Most batches of deletions in parallel.
const MAX_BATCHES: usize = 4;
/// Number of deleted objects that are looked for in the listing afterwards.
const MAX_REMEMBERED: usize = 1 << 20;

/// Delete objects.
///
/// In a versioned bucket, delete markers hide the objects: older versions remain, with their keys.
/// A last listing shows whether the folder's objects are gone.
/// To make objects permanently unreadable, see `sealwax shred`. With --sidecars, sidecars are
/// deleted with their objects. --versions and --stdin permanently delete older versions: those that
/// the retirement of a key leaves behind, for example.
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

    /// Print one line of JSON for each deleted object or version
    #[arg(long)]
    pub(crate) json: bool,

    /// Permanently delete this version
    #[arg(long, value_name = "ID", conflicts_with_all = ["recursive", "versions", "stdin"])]
    pub(crate) version_id: Option<String>,

    /// Permanently delete the older versions of the object, or with --recursive of all objects in
    /// the folder; current versions stay
    #[arg(long, help_heading = "Older versions", conflicts_with = "stdin")]
    pub(crate) versions: bool,

    /// Permanently delete the versions that standard input lists: one JSON object a line with
    /// `object` and `version_id`, as `audit` and `ls` print them with --versions --json
    ///
    /// Each must be below the prefix. Requires --yes or --dry-run.
    #[arg(long, help_heading = "Older versions", conflicts_with = "recursive")]
    pub(crate) stdin: bool,

    /// With --versions or --stdin: delete current versions too
    #[arg(long, help_heading = "Older versions")]
    pub(crate) current: bool,

    /// Delete the instruction file of the S3 Encryption Client with each object [default suffix:
    /// .instruction]
    ///
    /// Its content must be that of such a file.
    #[arg(
        long,
        value_name = "SUFFIX",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = INSTRUCTION_FILE_SUFFIX,
        conflicts_with_all = ["version_id", "versions", "stdin"],
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(crate) instruction_files: Option<String>,

    /// Delete key objects too, if the object or the folder is in the key store: objects under
    /// detached keys, and those whose own keys are gone, can then not be opened
    ///
    /// `sealwax keys shred` says what hangs on a key.
    #[arg(long)]
    pub(crate) shred_keys: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Number of objects in parallel
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,
}

/// A deleted object or version, or one that would be. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Line<'a> {
    object: String,
    /// The deleted version, or the version id of the delete marker.
    version_id: Option<&'a str>,
    /// `false` with --dry-run.
    deleted: bool,
    /// `true` if a delete marker hides the object now.
    delete_marker: bool,
}

impl<'a> Line<'a> {
    fn planned(object: String, version_id: Option<&'a str>) -> Self {
        Self { object, version_id, deleted: false, delete_marker: false }
    }

    fn deleted(object: String, output: &'a DeleteOutput) -> Self {
        let version_id = output.version_id.as_deref();
        Self { object, version_id, deleted: true, delete_marker: output.delete_marker }
    }
}

/// Deletes objects.
pub(super) async fn run(session: &Session, args: RmArgs) -> Result<(), Failure> {
    let client = session.client_builder_of(&args.prefix.bucket, session.keyrings().empty());
    let client = match &args.instruction_files {
        Some(suffix) => client.s3ec(S3ec::new().instruction_file_suffix(suffix)).build(),
        None => client.build(),
    };
    // Listings leave key objects alone unless the prefix leads there.
    check_no_key(&client, &args, &args.prefix.key)?;
    if args.versions || args.stdin {
        return delete_versions::run(session, &client, &args).await;
    }
    if args.current {
        return Err(Failure::usage("--current requires --versions or --stdin"));
    }
    if !args.recursive {
        return one(session, &client, &args).await;
    }
    let folder = args.prefix.clone().into_folder();
    let objects = folder_listing::objects_and_folder(&client, &folder, args.filter.clone());
    if args.dry_run {
        let (mut lines, mut all) = (Lines::new(), 0);
        let listed = unless_stopped(objects.try_for_each(|listed| {
            all += 1;
            let object = listed.object.to_string();
            std::future::ready(match args.json {
                true => lines.json(&Line::planned(object, None)),
                false => lines.line(format!("would delete {}", Printable(&object))),
            })
        }))
        .await;
        lines.finish()?;
        listed.map_err(|signal| Failure::stopped(signal, "nothing was deleted"))??;
        session.say(format!("would delete {} of {folder}", Counted(all, "object")));
        return Ok(());
    }
    let (mut summary, deleted) = (Summary::default(), Deleted::default());
    let work = async {
        let objects = match args.yes {
            true => objects,
            // Delete exactly the objects of the confirmation.
            false => stream::iter(confirmed(objects.try_collect().await?, &folder).await?)
                .map(Ok)
                .boxed(),
        };
        let has_companions =
            args.instruction_files.is_some() || client.sidecars().suffix().is_some();
        let objects = match has_companions {
            false => in_batches(&client, &folder, objects, args.concurrency.into()),
            true => objects.map_ok(|listed| (listed, None)).boxed(),
        };
        let delete = |(Listed { object, .. }, output): (Listed, Option<DeleteOutput>)| {
            let delete = client.delete().bucket(&object.bucket).key(&object.key);
            let delete = match args.instruction_files.is_some() {
                true => delete.with_instruction_file(),
                false => delete,
            };
            let deleted = &deleted;
            async move {
                let output = match output {
                    Some(output) => Ok(output),
                    None => delete.send().await,
                };
                match output {
                    Ok(output) => {
                        deleted.remember(&object);
                        if args.json {
                            print_json(&Line::deleted(object.to_string(), &output));
                        }
                        Outcome::Done(format!("deleted {object}"), 0)
                    }
                    Err(error) => Outcome::Failed(object.to_string(), error.into()),
                }
            }
        };
        summary.run(session, objects, &engine(args.concurrency), delete).await?;
        let again = folder_listing::objects_and_folder(&client, &folder, args.filter.clone());
        deleted.look_for(again, &mut summary).await
    };
    let done = unless_stopped(work).await;
    if summary.all() > 0 || matches!(done, Ok(Ok(()))) {
        session.say(format!("deleted {} of {folder}{summary}", Counted(summary.done, "object")));
    }
    let consequence = "the remaining objects were not deleted";
    Unfinished::new(consequence, "to continue", this_command_line()).check(done)?;
    summary.result("object")
}

/// Deletes the objects of a folder in batches. Returns them with what the store said, or without where
/// it did not delete them: a single request shall tell why.
fn in_batches<'a>(
    client: &'a SealedClient,
    folder: &'a Prefix,
    objects: impl Stream<Item = Result<Listed, Failure>> + Send + 'a,
    concurrency: usize,
) -> BoxStream<'a, Result<(Listed, Option<DeleteOutput>), Failure>> {
    let batches = objects.ready_chunks(MAX_DELETED_OBJECTS).map(move |batch| async move {
        let mut deletion = client.delete_batch(&folder.bucket);
        for Listed { object, .. } in batch.iter().flatten() {
            deletion = deletion.object(&object.key);
        }
        let mut outputs = match batch.len() {
            // Its answer would not be looked at.
            1 => Vec::new(),
            _ => deletion.send().await.unwrap_or_default(),
        }
        .into_iter();
        let mut deleted = |listed| (listed, outputs.next().and_then(Result::ok));
        stream::iter(batch.into_iter().map(|listed| listed.map(&mut deleted)).collect::<Vec<_>>())
    });
    batches.buffer_unordered(concurrency.min(MAX_BATCHES)).flatten().boxed()
}

/// Objects that the store reported as deleted, by fingerprints of their listed states.
#[derive(Debug, Default)]
struct Deleted {
    fingerprints: Mutex<HashSet<u64>>,
    hasher: RandomState,
}

impl Deleted {
    fn remember(&self, object: &ListedObject) {
        let mut all = self.fingerprints.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MAX_REMEMBERED {
            all.insert(self.fingerprint(object));
        }
    }

    /// Counts those as failed that are still in `listing`. A new object under an old name is none.
    async fn look_for(
        &self,
        listing: impl Stream<Item = Result<Listed, Failure>> + Send,
        summary: &mut Summary,
    ) -> Result<(), Failure> {
        let mut listing = std::pin::pin!(listing);
        while let Some(Listed { object, .. }) = listing.try_next().await? {
            let fingerprint = self.fingerprint(&object);
            let all = || self.fingerprints.lock().unwrap_or_else(PoisonError::into_inner);
            if all().contains(&fingerprint) {
                let error = "the store reported a deletion, and the object is still there";
                summary.undone(&object.to_string(), &Failure::other(error));
            }
        }
        Ok(())
    }

    fn fingerprint(&self, object: &ListedObject) -> u64 {
        let time = object.last_modified.map(|time| (time.secs(), time.subsec_nanos()));
        self.hasher.hash_one((&object.key, &object.e_tag, time, object.size))
    }
}

/// Refuses to delete a key object, or what is in a key store, unless that is asked for.
///
/// # Errors
/// The key, or the prefix, is of a key store.
fn check_no_key(client: &SealedClient, args: &RmArgs, key: &str) -> Result<(), Failure> {
    if args.shred_keys || !client.key_store().reaches(key) {
        return Ok(());
    }
    let error = format!(
        "s3://{}/{key} is in the key store: without its key objects, objects may never open again",
        args.prefix.bucket
    );
    let advice = "delete all key objects of an intermediate key with `sealwax keys shred`, or pass \
                  --shred-keys";
    Err(Failure::usage(error).advise(advice))
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
        let error = client.head_error("delete", &uri, &error).await;
        if error.kind() == ErrorKind::NotFound {
            if let Some(companion) = orphan(session, client, args).await {
                return delete_orphan(session, client, &companion, args).await;
            }
            let advice = "check the bucket and the key; a folder is deleted with --recursive";
            return Err(Failure::from(error).advise(advice));
        }
        // One who may not look, or an object that can't be read, is no reason to stop.
        let ends = matches!(error.kind(), ErrorKind::ClockSkew | ErrorKind::Credentials);
        if ends || error.kind().is_retryable() {
            return Err(error.into());
        }
    }
    if args.dry_run {
        if args.json {
            print_json(&Line::planned(uri.to_string(), args.version_id.as_deref()));
        }
        session.say(format!("would delete {uri}"));
        return Ok(());
    }
    let mut delete = client.delete().uri(&uri);
    if args.instruction_files.is_some() {
        delete = delete.with_instruction_file();
    }
    if let Some(version_id) = &args.version_id {
        delete = delete.version_id(version_id);
    }
    let done = unless_stopped(delete.send()).await;
    let deleted =
        done.map_err(|signal| Failure::stopped(signal, format!("{uri} may have been deleted")))??;
    if args.json {
        print_json(&Line::deleted(uri.to_string(), &deleted));
    }
    let how = match (deleted.delete_marker, &args.version_id) {
        (true, None) => " (hidden by a delete marker: older versions remain)",
        _ => "",
    };
    session.say(format!("deleted {uri}{how}"));
    Ok(())
}

/// Returns a companion of an object that is gone: an interrupted deletion left it. Only companions
/// that the command was asked to delete count.
async fn orphan(session: &Session, client: &SealedClient, args: &RmArgs) -> Option<S3Uri> {
    if args.version_id.is_some() {
        return None;
    }
    let suffixes = [session.sidecars(), args.instruction_files.as_deref()];
    for suffix in suffixes.into_iter().flatten() {
        let companion: S3Uri = format!("{}{suffix}", args.prefix).parse().ok()?;
        let found = client.inspect().uri(&companion).send().await;
        if found.is_ok_and(|found| {
            matches!(found.kind, ObjectKind::Sidecar | ObjectKind::InstructionFile)
        }) {
            return Some(companion);
        }
    }
    None
}

async fn delete_orphan(
    session: &Session,
    client: &SealedClient,
    companion: &S3Uri,
    args: &RmArgs,
) -> Result<(), Failure> {
    let verb = if args.dry_run { "would delete" } else { "deleted" };
    if !args.dry_run {
        let done = unless_stopped(client.delete().uri(companion).send()).await;
        let output = done.map_err(|signal| {
            Failure::stopped(signal, format!("{companion} may have been deleted"))
        })??;
        if args.json {
            print_json(&Line::deleted(companion.to_string(), &output));
        }
    } else if args.json {
        print_json(&Line::planned(companion.to_string(), None));
    }
    session.say(format!("{verb} {companion}: its object is gone already"));
    Ok(())
}

/// Returns the objects if the user confirms.
async fn confirmed(objects: Vec<Listed>, folder: &Prefix) -> Result<Vec<Listed>, Failure> {
    if objects.is_empty() {
        return Ok(objects);
    }
    let bytes = objects.iter().filter_map(|listed| listed.object.size).sum();
    let count = Counted(objects.len() as u64, "object");
    confirm(format!("{count} of {folder} ({})", size(bytes))).await?;
    Ok(objects)
}

/// Asks whether `what` may be deleted.
///
/// # Errors
/// The user does not confirm, or cannot be asked.
pub(super) async fn confirm(what: String) -> Result<(), Failure> {
    if !can_prompt() {
        let error = format!("refusing to delete {what} without confirmation: not a terminal");
        return Err(Failure::new(
            Exit::Usage,
            error,
            "check the objects with --dry-run, then pass --yes",
        ));
    }
    console::confirm(&format!("This deletes {what}"), "nothing was deleted").await
}
