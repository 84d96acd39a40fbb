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

/// Download and decrypt an object, or a folder of objects.
///
/// FILE is created or replaced only after the whole object has been verified. With `-`, each piece
/// of the plaintext is written after it has been verified; the output is complete only if the
/// command exits with 0.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GetArgs {
    /// Object; with --recursive, a folder (all keys that begin with PREFIX/)
    #[arg(value_name = "s3://BUCKET/KEY|PREFIX")]
    pub(crate) from: Prefix,

    /// Destination: a file, a folder (created if missing), or `-` for standard output
    #[arg(value_name = "FILE|-")]
    pub(crate) file: PathBuf,

    /// Require this pair in the encryption context; repeatable
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    /// Version of the object
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,

    /// Accept an object without client-side encryption, and copy it unchanged
    #[arg(long, conflicts_with = "context")]
    pub(crate) pass_unencrypted: bool,

    /// Fail if the file already exists
    #[arg(long)]
    pub(crate) no_overwrite: bool,

    /// Print one line of JSON for each written file
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) folders: FolderArgs,

    /// Write an object of the S3 Encryption Client to standard output before it is verified
    ///
    /// Its only authentication tag is at its end. Without this option, up to 64 MiB are held back
    /// until it is verified, and a longer object requires a file. With it, don't use the output
    /// before the command has exited with 0.
    #[arg(long, help_heading = "S3 Encryption Client")]
    pub(crate) release_unverified: bool,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,
}
