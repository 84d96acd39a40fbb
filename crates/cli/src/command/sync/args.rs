//! `sealwax sync`.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use clap::Args;
use sealwax_s3::KmsKeyName;

use crate::args::{
    DestinationArgs, FilterArgs, KeyCacheArgs, NewObjectArgs, Pair, Prefix, ReaderArgs, S3ecArgs,
    TimeSpan, account_id, is_in_s3,
};
use crate::failure::Failure;

const EXAMPLES: &str = "\
Examples:
  sealwax sync folder s3://bucket/backup/ --key \"$KEY\"
  sealwax sync folder s3://bucket/backup/ --key \"$KEY\" --delete --dry-run
  sealwax sync s3://bucket/backup/ folder --delete --exclude '*.tmp'
  sealwax sync s3://bucket/backup/ folder --check
  sealwax sync s3://bucket/ s3://replica/ --under \"$WEST_KEY\" \\
      --to-region us-west-2 --watch 60s --journal sync.journal";

/// Make a folder or prefix equal to another one.
///
/// Stores what is new or has changed: from a folder to S3, from S3 to a folder, or between two places
/// in S3. With --delete, what the source does not have is deleted at the destination, after all
/// transfers have succeeded.
///
/// Between two places in S3, the sealed objects are copied: nothing is decrypted, and the data
/// keys are wrapped for the new place as `sealwax cp` does it. S3 copies the bodies; to another Region,
/// endpoint or profile they pass through this process.
///
/// A file or object is unchanged if the lengths are the same, and times show that neither side was
/// changed since the other one was made from it. Most of that is in the listing; otherwise the modification
/// time in the object's metadata decides, for a file also the encryption context and the wrapping
/// keys. None of this is authenticated: anyone who can write to the bucket can make an object look
/// unchanged. Copies are compared by length, entity tag and time, or by what metadata says of the
/// content. --check opens each object and compares contents instead, and keys, context and attributes.
///
/// No listing shows wrapping keys, context and attributes. If the options changed since an earlier run,
/// a look at one object tells: a warning says so, and --check stores such objects again.
///
/// What other programs change at the destination after it was listed is not overwritten: it fails, and
/// the next run compares it again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SyncArgs {
    /// Source: a folder, or all keys that begin with PREFIX/
    #[arg(value_name = "FOLDER|s3://BUCKET[/PREFIX]")]
    pub(crate) from: Side,

    /// Destination
    #[arg(value_name = "FOLDER|s3://BUCKET[/PREFIX]")]
    pub(crate) to: Side,

    /// Delete what the source does not have, after asking on the terminal
    ///
    /// Nothing is deleted if a listing or a transfer failed, or if the source has nothing at all.
    /// Excluded files and objects stay, and so do folder markers, sidecars and instruction files of
    /// objects that stay, and whatever a skipped symbolic link stands for.
    #[arg(long)]
    pub(crate) delete: bool,

    /// Don't ask before --delete deletes
    #[arg(short, long, requires = "delete")]
    pub(crate) yes: bool,

    /// Print what would be done, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Compare contents, wrapping keys, context, content headers, metadata and tags: open each object
    /// that both sides have. It reads everything
    #[arg(long)]
    pub(crate) check: bool,

    /// Print one JSON object for each change and each failure, and the counts last
    #[arg(long)]
    pub(crate) json: bool,

    /// Append each change and each failure to this file, as JSON lines
    ///
    /// State files of copies that pass through this process are beside it while their uploads are in
    /// progress: after a kill, the next run with this file continues them.
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,

    /// Repeat, with this time between the end of a pass and the next one, such as 60s or 5m
    ///
    /// Failures of a pass are printed, and the next pass tries again. Only the first pass must be able
    /// to list both sides.
    #[arg(long, value_name = "TIME", help_heading = "Continuous replication")]
    pub(crate) watch: Option<TimeSpan>,

    /// End after this many passes, with the result of the last one
    #[arg(long, value_name = "NUMBER", requires = "watch", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Continuous replication")]
    pub(crate) passes: Option<u64>,

    /// KMS key to wrap data keys under in an upload, by ARN, key ID or alias; to read only with, by ARN.
    /// Repeatable
    #[arg(long = "key", value_name = "KEY", help_heading = "Wrapping keys")]
    pub(crate) keys: Vec<KmsKeyName>,

    /// Read with the objects' wrapping keys in this account, instead of the caller's own;
    /// repeatable
    #[arg(long = "account", value_name = "ID", value_parser = account_id, help_heading = "Wrapping keys")]
    pub(crate) accounts: Vec<String>,

    /// Minimum number of KMS keys that must be available; keys of unavailable Regions are recorded
    /// as missing, for a later `sealwax rewrap --add` [default: all]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..), help_heading = "Wrapping keys")]
    pub(crate) at_least: Option<u8>,

    /// The key cache of uploads, and of copies with `--under`.
    #[command(flatten)]
    pub(crate) cache: KeyCacheArgs,

    /// Pair of the encryption context: of stored objects, or that read objects must have; repeatable
    ///
    /// It is stored in clear and appears in CloudTrail, so it must not contain personal data or
    /// secrets.
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    /// KMS key to wrap the data keys of copies under, by ARN, key ID or alias, instead of the source's
    /// wrapping keys; repeatable [default: the source's wrapping keys that the reader may use]
    #[arg(long, value_name = "KEY", help_heading = "Wrapping keys")]
    pub(crate) under: Vec<KmsKeyName>,

    #[command(flatten)]
    pub(crate) there: DestinationArgs,

    /// Download objects without client-side encryption too, unchanged
    #[arg(long, conflicts_with = "context")]
    pub(crate) pass_unencrypted: bool,

    /// Skip symbolic links in the source folder, and report how many; without it, they are followed,
    /// also out of the folder
    #[arg(long, help_heading = "Folders")]
    pub(crate) no_follow_symlinks: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Number of files or objects in parallel; they share one memory budget
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Folders")]
    pub(crate) concurrency: u16,

    /// Attributes of uploaded objects.
    #[command(flatten)]
    pub(crate) stored: NewObjectArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,
}

impl SyncArgs {
    /// Returns the arguments of a reader: the named accounts, else the named keys.
    ///
    /// # Errors
    /// A key is not named by its ARN. An alias may be of another key tomorrow.
    pub(super) fn reader(&self) -> Result<ReaderArgs, Failure> {
        let names = if self.accounts.is_empty() { &self.keys[..] } else { &[] };
        let arn = |name: &KmsKeyName| {
            name.arn().cloned().ok_or_else(|| {
                let failure = Failure::usage(format!("{name} is not the ARN of a KMS key"));
                failure.advise("name the keys to read with by their ARNs")
            })
        };
        Ok(ReaderArgs {
            keys: names.iter().map(arn).collect::<Result<_, _>>()?,
            accounts: self.accounts.clone(),
            besides_local: false,
            source_region: None,
        })
    }
}

/// Source or destination.
#[derive(Debug, Clone)]
pub(crate) enum Side {
    Folder(PathBuf),
    Bucket(Prefix),
}

impl FromStr for Side {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path: PathBuf = text.parse().unwrap_or_else(|error: Infallible| match error {});
        match is_in_s3(&path) {
            true => text.parse().map(|prefix: Prefix| Self::Bucket(prefix.into_folder())),
            false if text.is_empty() => Err("must be a folder or s3://BUCKET/PREFIX".into()),
            false if text == "-" => Err("standard streams cannot be synchronized".into()),
            false => Ok(Self::Folder(path)),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket(prefix) => prefix.fmt(f),
        }
    }
}
