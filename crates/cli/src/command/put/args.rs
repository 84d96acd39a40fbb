//! `sealwax put`.

use std::path::PathBuf;

use clap::Args;
use sealwax_s3::KmsKeyArn;

use crate::args::{FolderArgs, FormatArg, Pair, Prefix, RawKeyArgs};

const EXAMPLES: &str = "\
Examples:
  sealwax put report.pdf s3://bucket/2026/report.pdf \\
      --key arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab \\
      --key arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321 \\
      -c tenant=acme
  pg_dump shop | sealwax put - s3://bucket/shop.dump --key \"$KEY\"
  sealwax put folder s3://bucket/backup/ --recursive --skip-unchanged --exclude '*.tmp' --key \"$KEY\"
  sealwax put disk.img s3://bucket/disk.img --key \"$KEY\" --resume   # after a crash, once more";

/// Seal a file, or standard input, and store it.
///
/// Nothing becomes visible in S3 before all of it is stored. An interrupted upload is aborted, but for --resume.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PutArgs {
    /// What to seal: a file, several, or with --recursive folders; `-` is standard input
    #[arg(value_name = "FILE|-", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Where to store it; the name of the file is added to what ends with a slash
    #[arg(value_name = "s3://BUCKET/KEY|PREFIX", required = true)]
    pub(crate) to: Prefix,

    /// KMS key to wrap the data key under; repeatable, for keys in several Regions. The first one generates it
    #[arg(long = "key", value_name = "ARN")]
    pub(crate) keys: Vec<KmsKeyArn>,

    /// Encryption context: what the object is bound to, in clear; repeatable
    ///
    /// It is stored in clear and appears in CloudTrail: no personal data, no secrets.
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    /// The object's own metadata, in clear; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<Pair>,

    /// Content-Type of the plaintext
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,

    /// Store the object if so many of its keys can be had: those of Regions that are down are recorded as missing, for a
    /// later `sealwax rewrap --add`
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) at_least: Option<u8>,

    /// Fail if there is an object already
    #[arg(long)]
    pub(crate) no_overwrite: bool,

    /// Write this format
    #[arg(long, value_enum, default_value = "native", help_heading = "S3 Encryption Client")]
    pub(crate) format: FormatArg,

    /// Store the wrapped data key in an instruction file beside the object, where there is none yet
    #[arg(long, help_heading = "S3 Encryption Client")]
    pub(crate) instruction_file: bool,

    #[command(flatten)]
    pub(crate) raw: RawKeyArgs,

    /// If the upload is interrupted, keep it: the same command again sends what is missing
    ///
    /// Its state is kept in a file that holds no plaintext and no plaintext key. Source, destination, encryption context
    /// and wrapping keys must be the same again, and the file must not have changed; metadata and Content-Type stay those
    /// of the first run. To resume, KMS must let the caller decrypt under one of the keys. An interrupted upload costs
    /// storage until it is resumed, or given up by `sealwax uploads abort`.
    #[arg(long, help_heading = "Interrupted uploads")]
    pub(crate) resume: bool,

    /// Keep the state in this file, instead of one in the user's state directory
    ///
    /// That is `$XDG_STATE_HOME/sealwax`, else `~/.local/state/sealwax`.
    #[arg(long, value_name = "PATH", requires = "resume", help_heading = "Interrupted uploads")]
    pub(crate) state_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) folders: FolderArgs,
}
