//! `sealwax compare`.

use std::{
    fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use futures_util::TryStreamExt as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sealwax_files::NewFile;
use sealwax_jobs::{
    Summary as _,
    compare::{Compare, CompareSummary, ComparedObject, Difference},
};
use sealwax_s3::{ListedObject, SealedClient, error_chain};
use serde::Serialize;

use crate::{
    args::{Pair, Prefix, ReaderArgs, S3ecPolicyArgs, Timestamp, time_text},
    console::Lines,
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    leftovers::remove_leftovers,
    lister::Lister,
    progress::Cleared,
    session::Session,
    terminal_text::{Counted, Printable},
};

const EXAMPLES: &str = "\
Examples:
  sealwax compare s3://bucket-east/2026/ --region us-east-1 \\
      --replica bucket-west=us-west-2 --since 2026-11-28T08:00:00Z
  sealwax compare s3://bucket-east/2026/ --region us-east-1 \\
      --replica bucket-west=us-west-2 --since 2026-11-28T08:00:00Z \\
      --manifest copy-back.csv --json |
      jq -r 'select(.difference == \"conflict\")'";

/// Characters that stay as they are in a manifest of S3 Batch Operations.
const IN_MANIFEST: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Find what differs between source and replica after a fail-over.
///
/// Lists the keys that were written since a time, by where: in the replica only (to be copied back), in
/// the source only, or on both sides, which is a conflict for people to decide. A rewrap is no write: the
/// content stays. Contents are told apart by what metadata claims; --prove unwraps the data keys of
/// objects that claim to be the same. The exit code is 9 if there is a conflict, or an object that was
/// deleted in the replica only.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompareArgs {
    /// Bucket of the source, and prefix of the keys
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Prefix,

    /// Bucket and Region of the replica
    #[arg(long, value_name = "BUCKET=REGION")]
    pub(crate) replica: Pair,

    /// Time at which writers were switched to the replica, such as 2026-11-28T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Timestamp,

    /// Write the objects to copy back to this file: a manifest of S3 Batch Operations, with a line
    /// `bucket,key` for each
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// Unwrap the data keys of objects that claim the same content, and check that they meet its
    /// commitment
    #[arg(long)]
    pub(crate) prove: bool,

    /// Print one JSON object per line, the counts last
    #[arg(long)]
    pub(crate) json: bool,

    /// Number of keys in parallel
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecPolicyArgs,
}

/// A key that differs. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Line<'a> {
    key: &'a str,
    difference: &'static str,
    /// Newest version of each side; null if there is none, or if it is deleted.
    source: Option<Version>,
    replica: Option<Version>,
    /// Why the difference is unknown.
    message: Option<String>,
}

/// Newest version of one side. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Version {
    object: String,
    version_id: Option<String>,
    last_modified: Option<String>,
    size: Option<u64>,
}

/// Counts. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Counts {
    keys: u64,
    untouched: u64,
    same: u64,
    replica_only: u64,
    source_only: u64,
    deleted_in_replica: u64,
    conflicts: u64,
    companions: u64,
    unknown: u64,
}

/// Compares a source with its replica.
pub(super) async fn run(session: &Session, args: CompareArgs) -> Result<(), Failure> {
    let Prefix { bucket, key } = &args.prefix;
    let (replica, there) = (&args.replica.name, session.in_region(&args.replica.value));
    let (_, no_place_binding) = session.places();
    let sidecars = session.sidecars().map(str::to_owned);
    let there = match no_place_binding {
        true => there,
        false => there.with_places(Some(bucket.clone()), false, sidecars),
    };
    let ours = client(session, bucket, &args).await?;
    let theirs = client(&there, replica, &args).await?;
    let listings =
        (Lister::from(&ours).versions(bucket, key), Lister::from(&theirs).versions(replica, key));
    let mut manifest = args.manifest.as_deref().map(Manifest::create).transpose()?;
    let compare = Compare::new(ours, theirs, args.since.0).concurrency(args.concurrency.into());
    let compare = if args.prove { compare.prove() } else { compare };
    let mut outcomes = compare.run(listings.0, listings.1);
    let progress = Cleared(session.job_progress(None));
    let mut lines = Lines::new();
    let done = unless_stopped(async {
        while let Some(object) = outcomes.try_next().await? {
            if let (Difference::ReplicaOnly, Some(manifest)) = (&object.difference, &mut manifest) {
                manifest.add(replica, &object.key)?;
            }
            let mut told = Ok(());
            progress.0.suspend(|| told = tell(&mut lines, &object, args.json));
            told?;
            progress.0.one_more(outcomes.summary().failed());
        }
        Ok::<_, Failure>(())
    })
    .await;
    drop(progress);
    let counts = Counts::new(outcomes.summary());
    if args.json {
        lines.json(&serde_json::json!({ "summary": &counts }))?;
    }
    lines.finish()?;
    done.map_err(|signal| {
        Failure::stopped(signal, "the other keys were not compared, and no manifest was written")
    })??;
    if counts.keys == 0 {
        let error = format!("no objects in {}, and none in s3://{replica}/{key}", args.prefix);
        let advice = "check the buckets, the prefix and the Regions";
        return Err(Failure::new(Exit::NotFound, error, advice));
    }
    if let Some(manifest) = manifest {
        manifest.complete()?;
    }
    session.say(counts.text());
    counts.verdict()
}

async fn client(
    session: &Session,
    bucket: &str,
    args: &CompareArgs,
) -> Result<SealedClient, Failure> {
    let settings = args.s3ec.clone().settings()?;
    let builder = match args.prove {
        true => {
            let keyring = session.keyrings().reading(args.reader.clone()).await?;
            session.client_builder_of(bucket, keyring)
        }
        false => session.client_builder_of(bucket, session.keyrings().empty()),
    };
    Ok(builder.s3ec(settings).build())
}

/// Prints a key that differs.
fn tell(lines: &mut Lines, object: &ComparedObject, json: bool) -> Result<(), Failure> {
    let ComparedObject { key, source, replica, difference, .. } = object;
    if matches!(difference, Difference::Untouched | Difference::Same | Difference::Companion) {
        return Ok(());
    }
    let message = match difference {
        Difference::Unknown(error) => Some(error_chain(error)),
        _ => None,
    };
    let (source, replica) = (source.as_ref().map(Version::new), replica.as_ref().map(Version::new));
    if json {
        return lines.json(&Line { key, difference: difference.name(), source, replica, message });
    }
    let side = |name: &str, version: Option<Version>| match version.map(|it| it.last_modified) {
        None => format!("none in the {name}"),
        Some(time) => format!("{name} {}", time.unwrap_or_else(|| "at an unknown time".into())),
    };
    let mut text = format!(
        "{} {}: {}, {}",
        difference.name(),
        Printable(key),
        side("source", source),
        side("replica", replica)
    );
    if let Some(message) = message {
        text.push_str(&format!(": {}", Printable(&message)));
    }
    lines.line(text)
}

impl Version {
    fn new(object: &ListedObject) -> Self {
        Self {
            object: object.to_string(),
            version_id: object.version_id.clone(),
            last_modified: object.last_modified.as_ref().and_then(time_text),
            size: object.size,
        }
    }
}

impl Counts {
    fn new(summary: &CompareSummary) -> Self {
        Self {
            keys: summary.objects(),
            untouched: summary.untouched,
            same: summary.same,
            replica_only: summary.replica_only,
            source_only: summary.source_only,
            deleted_in_replica: summary.deleted_in_replica,
            conflicts: summary.conflicts,
            companions: summary.companions,
            unknown: summary.unknown,
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{}: {} written in the replica only, {}",
            Counted(self.keys, "key"),
            self.replica_only,
            Counted(self.conflicts, "conflict")
        );
        for (count, what) in [
            (self.source_only, "in the source only"),
            (self.deleted_in_replica, "deleted in the replica"),
            (self.unknown, "unknown"),
            (self.same, "the same"),
            (self.untouched, "untouched"),
            (self.companions, "sidecars or instruction files"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        text
    }

    fn verdict(&self) -> Result<(), Failure> {
        let error = format!("{} of {} unknown", self.unknown, Counted(self.keys, "key"));
        Failure::of_many(self.unknown, self.keys, error)?;
        match self.conflicts + self.deleted_in_replica {
            0 => Ok(()),
            found => {
                let error = format!("{} for people to decide", Counted(found, "key"));
                let advice = "keep the version that is to go under another name with `sealwax cp`, before you copy the other one";
                Err(Failure::new(Exit::Found, error, advice))
            }
        }
    }
}

/// A manifest of S3 Batch Operations in progress.
struct Manifest {
    file: NewFile,
    writer: BufWriter<fs::File>,
}

impl Manifest {
    fn create(path: &Path) -> Result<Self, Failure> {
        remove_leftovers(path);
        let file = NewFile::create(path).map_err(|error| unwritten(path, error))?;
        let writer = file.file().try_clone().map_err(|error| unwritten(path, error))?;
        Ok(Self { file, writer: BufWriter::new(writer) })
    }

    fn add(&mut self, bucket: &str, key: &str) -> Result<(), Failure> {
        let key = utf8_percent_encode(key, IN_MANIFEST);
        writeln!(self.writer, "{bucket},{key}").map_err(|error| unwritten(self.file.path(), error))
    }

    fn complete(mut self) -> Result<(), Failure> {
        let path = self.file.path().to_owned();
        let done = self.writer.flush().and_then(|()| self.file.complete());
        done.map(drop).map_err(|error| unwritten(&path, error))
    }
}

fn unwritten(path: &Path, error: std::io::Error) -> Failure {
    Failure::io(&format!("cannot write manifest {}", path.display()), error)
}
