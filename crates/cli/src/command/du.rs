//! `sealwax du`.

use std::collections::BTreeMap;

use clap::Args;
use futures_util::TryStreamExt as _;
use sealwax_jobs::listing::LeftAlone;
use sealwax_s3::{ListedObject, envelope::geometry};
use serde::Serialize;

use crate::{
    args::{FilterArgs, Prefix},
    console::Lines,
    failure::{Exit, Failure},
    figures::size,
    folder_listing::{self, Versions},
    interrupt::unless_stopped,
    lister::Lister,
    session::Session,
    terminal_text::{Counted, Printable},
};

const EXAMPLES: &str = "\
Examples:
  sealwax du s3://bucket -H
  sealwax du s3://bucket/2026/ --summarize --versions
  sealwax du s3://bucket --json | jq -s 'sort_by(.stored_bytes)'";

/// Maximum number of folders that are told apart.
const MAX_FOLDERS: usize = 100_000;

/// Sum up the lengths of a prefix's objects, by folder.
///
/// Each line has the stored bytes, the plaintext bytes and the number of objects. A listing does not
/// say which objects are sealed: plaintext bytes are those of objects whose length a sealed object
/// can have.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DuArgs {
    /// Bucket and prefix
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Prefix,

    /// Print the total only
    #[arg(short, long)]
    pub(crate) summarize: bool,

    /// Print sizes in human-readable units
    #[arg(short = 'H', long)]
    pub(crate) human_readable: bool,

    /// Count all versions, not only the latest; delete markers are left out
    #[arg(long)]
    pub(crate) versions: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Print one JSON object per line, the total last
    #[arg(long)]
    pub(crate) json: bool,
}

/// Number and length of objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Size {
    objects: u64,
    stored_bytes: u64,
    /// Under the assumption that every object whose length allows it is sealed.
    plaintext_bytes: u64,
}

impl Size {
    /// Counts an object of this stored length. Lengths come from the store, and may be any.
    pub(super) fn add(&mut self, stored: Option<u64>, plaintext: Option<u64>) {
        self.objects += 1;
        self.stored_bytes = self.stored_bytes.saturating_add(stored.unwrap_or_default());
        self.plaintext_bytes = self.plaintext_bytes.saturating_add(plaintext.unwrap_or_default());
    }

    /// Returns the sum as text.
    pub(super) fn total(self, human_readable: bool) -> String {
        let bytes = |count| match human_readable {
            true => size(count),
            false => Counted(count, "byte").to_string(),
        };
        format!(
            "{}, {} stored, {} of plaintext",
            Counted(self.objects, "object"),
            bytes(self.stored_bytes),
            bytes(self.plaintext_bytes)
        )
    }

    fn line(self, name: &str, human_readable: bool) -> String {
        let bytes = |count| match human_readable {
            true => size(count),
            false => format!("{count}"),
        };
        let (stored, plaintext) = (bytes(self.stored_bytes), bytes(self.plaintext_bytes));
        format!("{stored:>14} {plaintext:>14} {:>10}  {}", self.objects, Printable(name))
    }
}

/// Line of one folder, or of all. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// Absent for the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<&'a str>,
    /// With the total.
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<&'a str>,
    #[serde(flatten)]
    size: Size,
}

/// Line of the key objects. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct KeyStoreLine {
    key_store: Size,
}

/// Sums up the objects of folders.
pub(super) async fn run(session: &Session, args: DuArgs) -> Result<(), Failure> {
    let measured = unless_stopped(measure(session, &args)).await;
    let (folders, total, left_alone) = measured.map_err(|signal| {
        Failure::stopped(signal, "not all objects were counted, so nothing is shown")
    })??;
    if total.objects == 0 && left_alone.objects == 0 {
        let error = format!("no objects in {}", args.prefix);
        return Err(Failure::new(Exit::NotFound, error, "check the bucket and the prefix"));
    }
    let (mut lines, prefix) = (Lines::new(), args.prefix.to_string());
    if !args.summarize {
        for (folder, size) in &folders {
            let folder = format!("s3://{}/{folder}", args.prefix.bucket);
            match args.json {
                true => lines.json(&Line { folder: Some(&folder), prefix: None, size: *size })?,
                false => lines.line(size.line(&folder, args.human_readable))?,
            }
        }
    }
    // Key objects are not sealed objects: they have a line of their own, and are not in the total.
    let keys =
        Size { objects: left_alone.objects, stored_bytes: left_alone.bytes, ..Size::default() };
    if keys.objects > 0 {
        match args.json {
            true => lines.json(&KeyStoreLine { key_store: keys })?,
            false => {
                lines.line(keys.line("the key store, not in the total", args.human_readable))?;
            }
        }
    }
    match args.json {
        true => lines.json(&Line { folder: None, prefix: Some(&prefix), size: total })?,
        false => lines.line(total.line(&prefix, args.human_readable))?,
    }
    lines.finish()
}

async fn measure(
    session: &Session,
    args: &DuArgs,
) -> Result<(BTreeMap<String, Size>, Size, LeftAlone), Failure> {
    let versions = if args.versions { Versions::All } else { Versions::Latest };
    let base = args.prefix.key.rfind('/').map_or(0, |slash| slash + 1);
    let (mut folders, mut total) = (BTreeMap::<String, Size>::new(), Size::default());
    let (s3, key_store) = (session.s3(), session.key_store());
    let lister = Lister::new(&s3, &key_store);
    let mut objects = folder_listing::beginning_with(lister, &args.prefix, versions);
    while let Some(object) = objects.try_next().await? {
        let relative = object.key.get(base..).unwrap_or_default();
        if !args.filter.takes_all() && !args.filter.takes(relative) {
            continue;
        }
        let add = |size: &mut Size| {
            size.add(object.size, object.size.and_then(geometry::plaintext_len));
        };
        add(&mut total);
        if let Some(folder) = folder_of(&object, base).filter(|_| !args.summarize) {
            if folders.len() == MAX_FOLDERS && !folders.contains_key(folder) {
                let error = format!("{} has more than {MAX_FOLDERS} folders", args.prefix);
                return Err(Failure::new(
                    Exit::Failed,
                    error,
                    "pass --summarize, or a longer prefix",
                ));
            }
            add(folders.entry(folder.to_owned()).or_default());
        }
    }
    Ok((folders, total, objects.left_alone()))
}

/// Returns the key of the object's folder below the prefix's own, with its slash.
fn folder_of(object: &ListedObject, base: usize) -> Option<&str> {
    let slash = object.key.get(base..)?.find('/')?;
    object.key.get(..=base + slash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_in_the_first_folder_below_the_prefix() {
        for (key, base, expected) in [
            ("a/b/c", 0, Some("a/")),
            ("a/b/c", 2, Some("a/b/")),
            ("a/b/c", 4, None),
            ("a", 0, None),
            ("a//c", 2, Some("a//")),
            ("a", 5, None),
        ] {
            assert_eq!(folder_of(&ListedObject::new("b", key), base), expected, "{key} {base}");
        }
    }

    #[test]
    fn lengths_of_a_store_do_not_overflow() {
        let mut size = Size::default();
        size.add(Some(u64::MAX), Some(u64::MAX));
        size.add(Some(1), None);
        let expected = Size { objects: 2, stored_bytes: u64::MAX, plaintext_bytes: u64::MAX };
        assert_eq!(size, expected);
    }
}
