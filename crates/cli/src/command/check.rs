//! `sealwax check`.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use clap::Args;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use sealwax_files::FileState;
use sealwax_jobs::merge::{Joined, Keyed, in_order, join};
use sealwax_s3::{
    ErrorKind, Get, ListedObject, SealedClient, UnencryptedObjects,
    envelope::{CachingKeyring, EncryptionContext},
};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::sync::Side;
use crate::{
    args::{DestinationArgs, FilterArgs, Pair, Prefix, ReaderArgs, S3ecArgs, encryption_context},
    bulk::{Outcome, Skip, Summary, engine},
    comparison::{are_same, with_content},
    console::{print_json, print_line},
    failure::{Exit, Failure, Unfinished},
    folder_listing::{self, Listed},
    interrupt::unless_stopped,
    local_files::{self, Found, LocalFile},
    session::Session,
    terminal_text::{Counted, this_command_line},
};

const EXAMPLES: &str = "\
Examples:
  sealwax check folder s3://bucket/backup/
  sealwax check s3://bucket/backup/ folder --json
  sealwax check s3://bucket/ s3://replica/ --to-region us-west-2";

/// Entries of a listing that are sorted in memory, for stores that list keys in another order.
const WINDOW: usize = 100_000;

/// Compare a folder with a prefix, or two prefixes, by content.
///
/// Opens each object and compares its plaintext with the file's content, or with the other object's,
/// as a stream: no digest of a plaintext is stored anywhere. Lists what is missing on either side, what
/// differs, and what is not sealed. The exit code is 9 if there is anything of that, and 7 or 8 if
/// something could not be compared.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// One side: a folder, or all keys that begin with PREFIX/
    #[arg(value_name = "FOLDER|s3://BUCKET[/PREFIX]")]
    one: Side,

    /// The other side
    #[arg(value_name = "FOLDER|s3://BUCKET[/PREFIX]")]
    other: Side,

    /// Print one JSON object for each difference and failure, and the counts last
    #[arg(long)]
    json: bool,

    /// Require this pair in the encryption context; repeatable
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    context: Vec<Pair>,

    /// Compare objects without client-side encryption too
    #[arg(long, conflicts_with = "context")]
    pass_unencrypted: bool,

    /// Skip symbolic links in the folder; without it, they are followed, also out of the folder
    #[arg(long, help_heading = "Folders")]
    no_follow_symlinks: bool,

    #[command(flatten)]
    filter: FilterArgs,

    /// Number of files or objects in parallel
    #[arg(long, value_name = "NUMBER", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Folders")]
    concurrency: u16,

    #[command(flatten)]
    there: DestinationArgs,

    #[command(flatten)]
    reader: ReaderArgs,

    #[command(flatten)]
    s3ec: S3ecArgs,
}

/// A difference or a failure. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Line<'a> {
    path: &'a str,
    /// `missing-there`, `missing-here`, `different`, `not-sealed` or `failed`.
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Counts of all pairs. Field names are stable JSON output.
#[derive(Debug, Default, Serialize)]
struct Counts {
    same: u64,
    different: u64,
    missing_here: u64,
    missing_there: u64,
    not_sealed: u64,
    skipped: u64,
    failed: u64,
}

/// Last line of JSON.
#[derive(Debug, Serialize)]
struct Report {
    summary: Counts,
}

/// Result of comparing one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    Same,
    Different,
    MissingHere,
    MissingThere,
    NotSealed,
}

impl Finding {
    const DIFFERENCES: [Self; 4] =
        [Self::Different, Self::MissingHere, Self::MissingThere, Self::NotSealed];

    fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::MissingHere => "missing-here",
            Self::MissingThere => "missing-there",
            Self::NotSealed => "not-sealed",
        }
    }
}

/// An entry of one side.
#[derive(Debug, Clone)]
enum Entry {
    File(LocalFile),
    Object(Listed),
}

impl Keyed for Entry {
    fn key(&self) -> &str {
        match self {
            Self::File(file) => &file.relative,
            Self::Object(object) => &object.relative,
        }
    }
}

/// Work: entries of the same path, or an entry of a folder that is no file.
#[derive(Debug, Clone)]
enum Work {
    Pair(Box<Joined<Entry, Entry>>),
    Other(Found),
}

/// One side, and the client that reads it.
struct End<'a> {
    side: &'a Side,
    client: Option<SealedClient>,
}

/// Compares two sides.
pub(super) async fn run(session: &Session, args: CheckArgs) -> Result<(), Failure> {
    let is_folder = |side: &Side| matches!(side, Side::Folder(_));
    if is_folder(&args.one) && is_folder(&args.other) {
        let failure = Failure::usage("neither side is in S3");
        return Err(failure.advise("name one side as s3://BUCKET/PREFIX"));
    }
    for side in [&args.one, &args.other] {
        if let Side::Folder(path) = side
            && let Err(error) = std::fs::read_dir(path)
        {
            return Err(Failure::io(&format!("cannot read {}", path.display()), error));
        }
    }
    let elsewhere = match args.there.is_here() {
        true => session.clone(),
        false => session.elsewhere(&args.there).await?,
    };
    let checker = Checker {
        context: encryption_context(args.context.clone())?,
        one: end(session, &args.one, &args).await?,
        other: end(&elsewhere, &args.other, &args).await?,
        args: &args,
        sidecars: session.sidecar_suffix().to_owned(),
        others: Mutex::default(),
        counts: Default::default(),
    };
    checker.run(session).await
}

async fn end<'a>(session: &Session, side: &'a Side, args: &CheckArgs) -> Result<End<'a>, Failure> {
    let client = match side {
        Side::Folder(_) => None,
        Side::Bucket(Prefix { bucket, .. }) => {
            let keyring = session.keyrings().reading(args.reader.clone()).await?;
            let client = session.client_builder_of(bucket, CachingKeyring::new(keyring));
            let client = client.s3ec(args.s3ec.settings()?);
            Some(match args.pass_unencrypted {
                true => client.unencrypted(UnencryptedObjects::PassThrough).build(),
                false => client.build(),
            })
        }
    };
    Ok(End { side, client })
}

struct Checker<'a> {
    args: &'a CheckArgs,
    context: EncryptionContext,
    one: End<'a>,
    other: End<'a>,
    sidecars: String,
    /// Entries of folders that are no files.
    others: Mutex<Vec<Found>>,
    /// Differences, in the order of [`Finding::DIFFERENCES`].
    counts: [AtomicU64; 4],
}

impl Checker<'_> {
    async fn run(&self, session: &Session) -> Result<(), Failure> {
        let (one, other) = (self.entries(&self.one), self.entries(&self.other));
        let pairs = join(in_order(one, WINDOW), in_order(other, WINDOW))
            .map_ok(|pair| Work::Pair(Box::new(pair)));
        let others = stream::once(async {
            std::mem::take(&mut *self.others.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let others = others.flat_map(|others| stream::iter(others.into_iter().map(Work::Other)));
        let mut summary = Summary::default();
        let work = |work: Work| async move {
            match work {
                Work::Pair(pair) => self.outcome(*pair).await,
                Work::Other(found) => found.left_out(),
            }
        };
        let done = unless_stopped(summary.run_watched(
            session,
            pairs.chain(others.map(Ok)),
            &engine(self.args.concurrency),
            work,
            |outcome| {
                if let (Outcome::Failed(path, failure), true) = (outcome, self.args.json) {
                    let message = Some(failure.in_one_line());
                    print_json(&Line { path, result: "failed", message });
                }
            },
        ))
        .await;
        let count = |at: usize| self.counts[at].load(Ordering::Relaxed);
        let counts = Counts {
            same: summary.unchanged,
            different: count(0),
            missing_here: count(1),
            missing_there: count(2),
            not_sealed: count(3),
            skipped: summary.skipped(),
            failed: summary.failed,
        };
        let differences = summary.done;
        let (one, other) = (self.one.side, self.other.side);
        if summary.all() > 0 {
            session.say(format!(
                "{} same; {} different; {} only in {one}; {} only in {other}; {} not sealed; {} \
                 skipped; {} failed",
                counts.same,
                counts.different,
                counts.missing_there,
                counts.missing_here,
                counts.not_sealed,
                counts.skipped,
                counts.failed
            ));
        }
        if self.args.json {
            print_json(&Report { summary: counts });
        }
        let consequence = "the remaining ones were not compared";
        Unfinished::new(consequence, "to start again", this_command_line()).check(done)?;
        summary.some("file or object", format!("{one} or {other}"))?;
        summary.result("file or object")?;
        match differences {
            0 => Ok(()),
            _ => Err(Failure::new(
                Exit::Found,
                format!("{} found", Counted(differences, "difference")),
                "make one side equal to the other with `sealwax sync --check`",
            )),
        }
    }

    fn entries<'a>(
        &'a self,
        end: &'a End<'_>,
    ) -> std::pin::Pin<Box<dyn Stream<Item = Result<Entry, Failure>> + Send + 'a>> {
        let filter = self.args.filter.clone();
        match (end.side, &end.client) {
            (Side::Folder(path), _) => {
                let follows = !self.args.no_follow_symlinks;
                let files = local_files::selected(path, follows, &filter, |other| {
                    self.others.lock().unwrap_or_else(PoisonError::into_inner).push(other);
                });
                Box::pin(files.map_ok(Entry::File))
            }
            (Side::Bucket(prefix), Some(client)) => {
                Box::pin(folder_listing::objects(client, prefix, filter).map_ok(Entry::Object))
            }
            (Side::Bucket(_), None) => Box::pin(stream::empty()),
        }
    }

    async fn outcome(&self, pair: Joined<Entry, Entry>) -> Outcome {
        let path = match &pair {
            Joined::Left(entry) | Joined::Right(entry) | Joined::Both(entry, _) => {
                entry.key().to_owned()
            }
        };
        match self.compare(pair).await {
            Ok(Ok(Finding::Same)) => Outcome::Unchanged(format!("same: {path}")),
            Ok(Ok(finding)) => {
                let at = Finding::DIFFERENCES.iter().position(|it| *it == finding);
                self.counts[at.unwrap_or_default()].fetch_add(1, Ordering::Relaxed);
                match self.args.json {
                    true => {
                        print_json(&Line { path: &path, result: finding.name(), message: None });
                    }
                    false => print_line(&format!("{}: {path}", finding.name())),
                }
                Outcome::Done(format!("{}: {path}", finding.name()), 0)
            }
            Ok(Err(skipped)) => skipped,
            Err(failure) => Outcome::Failed(path, failure),
        }
    }

    /// Compares one path. An entry that is nothing to compare is an outcome.
    async fn compare(
        &self,
        pair: Joined<Entry, Entry>,
    ) -> Result<Result<Finding, Outcome>, Failure> {
        let (finding, entry, end) = match pair {
            Joined::Both(one, other) => return self.contents(one, other).await,
            Joined::Left(entry) => (Finding::MissingThere, entry, &self.one),
            Joined::Right(entry) => (Finding::MissingHere, entry, &self.other),
        };
        if let (Entry::Object(Listed { object, .. }), Some(client)) = (&entry, &end.client)
            && let Some(skip) = Skip::companion(client, &self.sidecars, object).await?
        {
            return Ok(Err(skip.of(object)));
        }
        Ok(Ok(finding))
    }

    async fn contents(
        &self,
        one: Entry,
        other: Entry,
    ) -> Result<Result<Finding, Outcome>, Failure> {
        let (client, object, same) = match (one, other) {
            (Entry::File(file), Entry::Object(listed)) => (
                &self.other.client,
                listed.object.clone(),
                self.of_file(&self.other, file, listed).await,
            ),
            (Entry::Object(listed), Entry::File(file)) => (
                &self.one.client,
                listed.object.clone(),
                self.of_file(&self.one, file, listed).await,
            ),
            (Entry::Object(here), Entry::Object(there)) => {
                let ends = [(&self.one, &here.object), (&self.other, &there.object)];
                let [one, other] = ends.map(|(end, object)| async move {
                    match &end.client {
                        Some(client) => Skip::folder_marker(client, object).await,
                        None => None,
                    }
                });
                if let Some(skipped) = one.await
                    && other.await.is_some()
                {
                    return Ok(Err(skipped));
                }
                (
                    &self.one.client,
                    here.object.clone(),
                    self.of_objects(&here.object, &there.object).await,
                )
            }
            // Two folders were refused.
            (Entry::File(_), Entry::File(_)) => return Ok(Ok(Finding::Different)),
        };
        match same {
            Ok(true) => Ok(Ok(Finding::Same)),
            Ok(false) => Ok(Ok(Finding::Different)),
            Err(failure) if failure.kind() == Some(ErrorKind::NotSealed) => {
                // On both sides, companions are of objects that are compared.
                let companion = match client {
                    Some(client) => Skip::companion(client, &self.sidecars, &object).await?,
                    None => None,
                };
                Ok(companion.map_or(Ok(Finding::NotSealed), |skip| Err(skip.of(&object))))
            }
            Err(failure) => Err(failure),
        }
    }

    fn get(&self, end: &End<'_>, object: &ListedObject) -> Option<Get> {
        let get = end.client.as_ref()?.get().bucket(&object.bucket).key(&object.key);
        Some(get.encryption_context(self.context.clone()))
    }

    async fn of_file(
        &self,
        end: &End<'_>,
        file: LocalFile,
        Listed { object, .. }: Listed,
    ) -> Result<bool, Failure> {
        let opened = spawn_blocking(move || {
            let file = file.open()?;
            Ok::<_, std::io::Error>((FileState::from(&file.metadata()?), file))
        });
        let opened = opened.await.map_err(Failure::other)?;
        let (state, file) = opened.map_err(|error| Failure::io("cannot read the file", error))?;
        match self.get(end, &object) {
            Some(get) => Ok(with_content(get, Arc::new(file), state).await?.is_some()),
            None => Ok(false),
        }
    }

    async fn of_objects(&self, here: &ListedObject, there: &ListedObject) -> Result<bool, Failure> {
        let (Some(here), Some(there)) = (self.get(&self.one, here), self.get(&self.other, there))
        else {
            return Ok(false);
        };
        let (here, there) = (here.send().await?, there.send().await?);
        let (one, other) = (here.info().plaintext_lens(), there.info().plaintext_lens());
        if one.end() < other.start() || other.end() < one.start() {
            return Ok(false);
        }
        Ok(are_same(here.into_stream(), there.into_stream()).await?)
    }
}
