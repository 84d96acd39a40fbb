//! `sealwax get`.

use std::path::PathBuf;

use clap::Args;

use crate::args::{FolderArgs, Pair, Prefix, ReaderArgs, S3ecArgs};

const EXAMPLES: &str = "\
Examples:
  sealwax get s3://bucket/2026/report.pdf report.pdf -c tenant=acme
  sealwax get s3://bucket/shop.dump - --key \"$KEY\" | psql shop
  sealwax get s3://bucket/backup/ folder --recursive --skip-unchanged
  sealwax get s3://bucket-west/2026/report.pdf report.pdf \\
      --region us-west-2 --replica-of bucket-east";

/// Read an object and open it.
///
/// FILE appears, or is replaced, only when all of the object has verified. With `-`, each piece of the plaintext is
/// written once it has verified; that nothing is missing is known only when the command exits with 0.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GetArgs {
    /// What to read; with --recursive, a folder: keys that begin with PREFIX and a slash
    #[arg(value_name = "s3://BUCKET/KEY|PREFIX")]
    pub(crate) from: Prefix,

    /// Where to write it: a file, or a folder, which is made if need be; `-` is standard output
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,

    /// Refuse the object unless its encryption context has this pair; repeatable
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    /// Read this version
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,

    /// Pass an object through that is not encrypted by any client, instead of refusing it
    #[arg(long, conflicts_with = "context")]
    pub(crate) pass_unencrypted: bool,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) folders: FolderArgs,

    /// Write an object of the S3 Encryption Client to standard output before it is verified, whatever its length
    ///
    /// Its only tag is at its end. Without this option up to 64 MiB are held back until then, and a longer object is only
    /// read into a file. With it, nothing of the output must be used before the command has exited with 0.
    #[arg(long, help_heading = "S3 Encryption Client")]
    pub(crate) release_unverified: bool,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,
}
