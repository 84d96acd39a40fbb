//! `sealwax ls`.

use std::{collections::BTreeMap, pin::Pin};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use clap::Args;
use futures_util::{Stream, TryStreamExt as _};
use sealwax_s3::{
    Error, ErrorKind, KmsKeyArn, ListedObject, ObjectInfo, PageTokens, SealedClient,
    envelope::geometry,
};
use serde::Serialize;

use super::du::Size;
use crate::{
    args::{FilterArgs, InstructionFileArgs, Prefix},
    console::Lines,
    failure::Failure,
    figures::size,
    folder_listing::{self, Entry, Versions},
    interrupt::unless_stopped,
    object_report::{self, PlaintextLen},
    session::Session,
    terminal_text::Printable,
};

const EXAMPLES: &str = "\
Examples:
  sealwax ls
  sealwax ls s3://bucket/2026/
  sealwax ls s3://bucket --recursive --long --include '*.pdf'
  sealwax ls s3://bucket/2026/report.pdf --versions --long
  sealwax ls s3://bucket -r --long --json |
      jq -r 'select(.sealed == false).object'";

/// List objects with the lengths of their plaintexts.
///
/// An S3 listing contains stored lengths, and does not say which objects are sealed. The command
/// shows the plaintext length of an object that Sealwax sealed. If no sealed object can have that
/// length, the stored length is shown instead, marked (as stored). With --long, each object is
/// inspected.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LsArgs {
    /// Bucket and prefix; without it, the buckets are listed
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Option<Prefix>,

    /// Include the contents of folders
    #[arg(short, long)]
    pub(crate) recursive: bool,

    /// Show if each object is sealed, its keys and its encryption context; costs one request per
    /// object
    #[arg(short, long)]
    pub(crate) long: bool,

    /// Print sizes in human-readable units
    #[arg(short = 'H', long)]
    pub(crate) human_readable: bool,

    /// Print the number of objects and their lengths at the end
    #[arg(long, requires = "prefix")]
    pub(crate) summarize: bool,

    /// All versions, not only the latest; delete markers are left out
    #[arg(long, requires = "prefix")]
    pub(crate) versions: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    #[command(flatten)]
    pub(crate) file: InstructionFileArgs,

    /// Number of objects in parallel
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,

    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Line of one object. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Line {
    object: String,
    /// With --versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
    /// With --versions: `true` for the current version.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_latest: Option<bool>,
    /// Plaintext length; without --long, under the assumption that the object is sealed.
    #[serde(flatten)]
    plaintext: PlaintextLen,
    stored_bytes: Option<u64>,
    /// As in RFC 3339.
    last_modified: Option<String>,
    storage_class: Option<String>,
    e_tag: Option<String>,
    /// `null` if the object was not inspected or that failed.
    sealed: Option<bool>,
    /// Name of the object's format.
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
    /// Ids of detached intermediate keys, whose wrapped keys are in the key store alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detached: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_context: Option<BTreeMap<String, String>>,
    /// When it was shredded, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    shredded: Option<String>,
    /// `true` for an empty object that represents a folder.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_folder_marker: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// Lists objects.
pub(super) async fn run(session: &Session, args: LsArgs) -> Result<(), Failure> {
    let mut lines = Lines::new();
    let Some(prefix) = args.prefix.clone() else {
        buckets(session, &args, &mut lines).await?;
        return lines.finish();
    };
    let (mut all, mut failed, mut size) = (0, 0, Size::default());
    let listed = unless_stopped(list(
        session,
        &prefix,
        &args,
        &mut lines,
        (&mut all, &mut failed, &mut size),
    ))
    .await;
    let is_whole = matches!(listed, Ok(Ok(())));
    if args.summarize && is_whole {
        match args.json {
            true => lines.json(&serde_json::json!({ "summary": size }))?,
            false => lines.line(format!("total: {}", size.total(args.human_readable)))?,
        }
    }
    lines.finish()?;
    listed.map_err(|signal| Failure::stopped(signal, "the listing is incomplete"))??;
    if all == 0 {
        let globs = if prefix.key.contains(['*', '?']) {
            ": globs in a key are not expanded; use --include GLOB"
        } else {
            ""
        };
        session.say(format!("no objects in {prefix}{globs}"));
    }
    Failure::of_many(failed, all, format!("{failed} of {all} could not be inspected"))
}

async fn list(
    session: &Session,
    prefix: &Prefix,
    args: &LsArgs,
    lines: &mut Lines,
    (all, failed, size): (&mut u64, &mut u64, &mut Size),
) -> Result<(), Failure> {
    let client = session.client_builder_of(&prefix.bucket, session.keyrings().empty());
    let client = client.s3ec(args.file.settings()).build();
    let filter = args.filter.clone();
    let folder = prefix.key[..prefix.key.rfind('/').map_or(0, |slash| slash + 1)].to_owned();
    let versions = if args.versions { Versions::All } else { Versions::Latest };
    let entries: Pin<Box<dyn Stream<Item = Result<Entry, Failure>> + Send>> = match args.recursive {
        false => folder_listing::level(&client, prefix, versions),
        true => {
            let objects = folder_listing::beginning_with(&client, prefix, versions);
            Box::pin(objects.map_ok(Entry::Object).map_err(Failure::from))
        }
    };
    // Folders are not filtered, so that the listing shows where objects are.
    let is_meant = move |entry: &Entry| match entry {
        Entry::Folder(_) => true,
        // A listing has no keys without the prefix.
        Entry::Object(object) => filter.takes(object.key.strip_prefix(&folder).unwrap_or_default()),
    };
    let entries = entries.try_filter(move |entry| std::future::ready(is_meant(entry)));
    let looked_at = entries.map_ok(|entry| look(client.clone(), entry, args.long));
    let mut looked_at = std::pin::pin!(looked_at.try_buffered(args.concurrency.into()));
    while let Some(shown) = looked_at.try_next().await? {
        *all += 1;
        match shown {
            Shown::Folder(key) => {
                let folder = format!("s3://{}/{key}", prefix.bucket);
                match args.json {
                    true => lines.json(&serde_json::json!({ "folder": folder }))?,
                    false => lines.line(format!(
                        "{:<20} {:>14}  {}",
                        "",
                        "folder",
                        Printable(&folder)
                    ))?,
                }
            }
            Shown::Object(line) => {
                *failed += u64::from(line.failure.is_some());
                size.add(line.stored_bytes, line.plaintext.at_most());
                if args.json { lines.json(&line)? } else { lines.line(line.text(args))? }
            }
        }
        if lines.is_closed() {
            return Ok(());
        }
    }
    Ok(())
}

enum Shown {
    Folder(String),
    Object(Box<Line>),
}

async fn look(client: SealedClient, entry: Entry, long: bool) -> Result<Shown, Failure> {
    let object = match entry {
        Entry::Folder(key) => return Ok(Shown::Folder(key)),
        Entry::Object(object) => object,
    };
    let mut line = Line::new(&object);
    if long {
        let mut head = client.head().bucket(&object.bucket).key(&object.key);
        if let Some(version_id) = &object.version_id {
            head = head.version_id(version_id);
        }
        match head.send().await {
            Ok(info) => line.is_sealed(&info),
            Err(error) if error.kind() == ErrorKind::NotSealed => line.is_not_sealed(),
            Err(error) if error.kind() == ErrorKind::Shredded => line.is_shredded(&error),
            Err(error) => line.failure = Some(Failure::from(error).in_one_line()),
        }
    }
    Ok(Shown::Object(Box::new(line)))
}

impl Line {
    fn new(object: &ListedObject) -> Self {
        let plaintext = object.size.and_then(geometry::plaintext_len);
        Self {
            object: object.to_string(),
            version_id: object.version_id.clone(),
            is_latest: object.version_id.as_ref().and(object.is_latest),
            plaintext: plaintext.map(PlaintextLen::exactly).unwrap_or_default(),
            stored_bytes: object.size,
            last_modified: object.last_modified.as_ref().and_then(time),
            storage_class: object.storage_class.clone(),
            e_tag: object.e_tag.clone(),
            sealed: None,
            format: None,
            keys: None,
            detached: Vec::new(),
            encryption_context: None,
            shredded: None,
            is_folder_marker: object.is_folder_marker(),
            failure: None,
        }
    }

    fn is_sealed(&mut self, info: &ObjectInfo) {
        let context = info.encryption_context().iter();
        self.sealed = Some(true);
        self.format = Some(object_report::format(info));
        self.plaintext = PlaintextLen::of(info);
        self.keys = Some(info.keys().iter().map(|key| key.wrapping_key().to_owned()).collect());
        self.detached = object_report::detached(info);
        self.encryption_context =
            Some(context.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    }

    fn is_not_sealed(&mut self) {
        (self.sealed, self.plaintext) = (Some(false), PlaintextLen::default());
    }

    fn is_shredded(&mut self, error: &Error) {
        self.is_not_sealed();
        self.shredded = Some(error.message().to_owned());
    }

    fn text(&self, args: &LsArgs) -> String {
        let bytes = match (self.plaintext.at_most().or(self.stored_bytes), args.human_readable) {
            (None, _) => "?".to_owned(),
            (Some(bytes), true) => size(bytes),
            (Some(bytes), false) => bytes.to_string(),
        };
        let bytes = if self.plaintext.is_bound() { format!("<={bytes}") } else { bytes };
        let modified = self.last_modified.as_deref().unwrap_or("(unknown)");
        let mut text = format!("{modified:<20} {bytes:>14}  ");
        if args.long {
            let state = match (self.sealed, &self.failure) {
                (_, Some(_)) => "failed",
                (Some(true), _) => "sealed",
                _ if self.shredded.is_some() => "shredded",
                _ if self.is_folder_marker => "folder",
                _ => "plain",
            };
            text.push_str(&format!("{state:<8}  {:<20}  ", self.where_keys_are()));
        }
        text.push_str(&Printable(&self.object).to_string());
        if let Some(id) = &self.version_id {
            let latest = if self.is_latest == Some(true) { " (latest)" } else { "" };
            text.push_str(&format!("  version {}{latest}", Printable(id)));
        }
        // No sealed object can have this length.
        if !args.long && self.plaintext.at_most().is_none() && !self.is_folder_marker {
            text.push_str("  (as stored)");
        }
        for (name, value) in self.encryption_context.iter().flatten() {
            text.push_str(&format!("  {}={}", Printable(name), Printable(value)));
        }
        if let Some(shredded) = &self.shredded {
            text.push_str(&format!("  {shredded}"));
        }
        if let Some(failure) = &self.failure {
            text.push_str(&format!("  {}", Printable(failure)));
        }
        text
    }

    /// Returns the Regions of KMS keys and the names of other keys.
    fn where_keys_are(&self) -> String {
        let short = |key: &String| match key.parse::<KmsKeyArn>() {
            Ok(arn) => arn.region().to_owned(),
            Err(_) => key.clone(),
        };
        let mut places: Vec<_> = self.keys.iter().flatten().map(short).collect();
        places.dedup();
        if !self.detached.is_empty() {
            places.push("detached".to_owned());
        }
        if places.is_empty() { "-".into() } else { Printable(&places.join(",")).to_string() }
    }
}

async fn buckets(session: &Session, args: &LsArgs, lines: &mut Lines) -> Result<(), Failure> {
    let s3 = session.s3();
    let (mut next, mut tokens) = (Some(None), PageTokens::new());
    while let Some(token) = next {
        let page = s3.list_buckets().set_continuation_token(token).send().await;
        let page = page.map_err(|error| {
            session.call_error("list the buckets of", "the account", "ListBuckets", &error)
        })?;
        if page.continuation_token.as_ref().is_some_and(|token| !tokens.advance(token)) {
            let why = "S3 does not say where the next page begins";
            let kind = ErrorKind::Service;
            return Err(Error::new("list the buckets of", "the account", kind, why).into());
        }
        next = page.continuation_token.map(Some);
        for bucket in page.buckets.unwrap_or_default() {
            let (name, made) =
                (format!("s3://{}", bucket.name.unwrap_or_default()), bucket.creation_date);
            let made = made.as_ref().and_then(time);
            match args.json {
                true => lines.json(&serde_json::json!({ "bucket": name, "created": made }))?,
                false => {
                    lines.line(format!(
                        "{:<20}  {}",
                        made.unwrap_or_default(),
                        Printable(&name)
                    ))?;
                }
            }
        }
    }
    Ok(())
}

fn time(time: &DateTime) -> Option<String> {
    time.fmt(DateTimeFormat::DateTime).ok()
}
