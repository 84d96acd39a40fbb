//! `sealwax put`.

use std::path::PathBuf;

use clap::Args;
use sealwax_s3::KmsKeyName;

use crate::args::{FolderArgs, FormatArg, KeyCacheArgs, NewObjectArgs, Pair, Prefix, RawKeyArgs};

const EXAMPLES: &str = "\
Examples:
  sealwax put report.pdf s3://bucket/2026/report.pdf \\
      --key \"$EAST_KEY\" --key \"$WEST_KEY\" -c tenant=acme
  pg_dump shop | sealwax put - s3://bucket/shop.dump --key \"$KEY\"
  sealwax put folder s3://bucket/backup/ --recursive --skip-unchanged \\
      --exclude '*.tmp' --key \"$KEY\"

One KMS call for all files instead of one for each:
  sealwax put folder s3://bucket/backup/ -r --key \"$KEY\" --key-cache=1h

The same command again resumes an upload that was interrupted:
  sealwax put disk.img s3://bucket/disk.img --key \"$KEY\" --resume

A wrapping key is named by its ARN, such as
arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab.";

/// Encrypt and upload a file, standard input or a folder.
///
/// The object becomes visible in S3 only when it is complete. An interrupted upload is aborted,
/// unless --resume is given.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PutArgs {
    /// Files, folders with --recursive, or `-` for standard input
    #[arg(value_name = "FILE|-", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Destination; if it ends with a slash, the file's name is appended
    #[arg(value_name = "s3://BUCKET/KEY|PREFIX", required = true, value_parser = in_s3)]
    pub(crate) to: Prefix,

    /// KMS key to wrap the data key under, by ARN, key ID or alias; repeatable, for keys in several
    /// Regions. The first one generates the data key
    ///
    /// A key ID or an alias is one of --region. It is resolved once, and the object records the ARN.
    #[arg(long = "key", value_name = "KEY", conflicts_with_all = ["aes_key_file", "rsa_key_file"])]
    pub(crate) keys: Vec<KmsKeyName>,

    /// Pair of the encryption context that the object is bound to; repeatable
    ///
    /// It is stored in clear and appears in CloudTrail, so it must not contain personal data or
    /// secrets.
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    /// Minimum number of KMS keys that must be available; keys of unavailable Regions are recorded
    /// as missing, for a later `sealwax rewrap --add` [default: all]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) at_least: Option<u8>,

    /// Print one line of JSON for each stored object, with the keys that it lacks
    #[arg(long)]
    pub(crate) json: bool,

    /// Fail if the object already exists
    #[arg(long)]
    pub(crate) no_overwrite: bool,

    /// Format of the object
    #[arg(long, value_enum, default_value = "native", help_heading = "S3 Encryption Client")]
    pub(crate) format: FormatArg,

    /// Store the encrypted data key in an instruction file beside the object, which must not exist
    /// yet
    #[arg(long, help_heading = "S3 Encryption Client")]
    pub(crate) instruction_file: bool,

    #[command(flatten)]
    pub(crate) raw: RawKeyArgs,

    /// Keep an interrupted upload, so that the same command resumes it
    ///
    /// The state file contains no plaintext and no plaintext key. Source, destination, encryption
    /// context and wrapping keys must be the same, and the file must not have changed. All stored
    /// attributes are those of the first run. To resume, the caller needs kms:Decrypt on one of
    /// the keys. An interrupted upload costs storage until it is resumed, or aborted by
    /// `sealwax uploads abort`.
    #[arg(long, help_heading = "Interrupted uploads")]
    pub(crate) resume: bool,

    /// State file [default: a file in the user's state directory]
    ///
    /// The state directory is `$XDG_STATE_HOME/sealwax`, else `~/.local/state/sealwax`.
    #[arg(long, value_name = "PATH", requires = "resume", help_heading = "Interrupted uploads")]
    pub(crate) state_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) stored: NewObjectArgs,

    #[command(flatten)]
    pub(crate) cache: KeyCacheArgs,

    #[command(flatten)]
    pub(crate) folders: FolderArgs,

    /// Skip symbolic links in the folder, and report how many; without it, they are followed, also
    /// out of the folder
    #[arg(long, requires = "recursive", help_heading = "Folders")]
    pub(crate) no_follow_symlinks: bool,
}

fn in_s3(text: &str) -> Result<Prefix, String> {
    text.parse().map_err(|form| format!("{form} (`sealwax get` downloads to files)"))
}
