//! `sealwax reencrypt`.

use clap::{ArgGroup, Args};

use super::{ReaderArgs, values::place};
use crate::{
    prefix::Prefix,
    s3ec::{FormatArg, S3ecArgs},
    wrap_key::WrapKey,
};

const EXAMPLES: &str = "\
Examples:
  sealwax reencrypt s3://bucket/2026/report.pdf
  sealwax reencrypt s3://bucket/2026/report.pdf --under \"$EAST_KEY\" --under \"$WEST_KEY\"
  sealwax reencrypt s3://bucket/written/by/java --to native --under \"$KEY\"
  sealwax reencrypt s3://bucket/written/ --recursive --to native --under \"$KEY\"";

/// Seal an object anew, under a new data key: for a data key that may have become known, or for another format.
///
/// The object is read, verified and stored again in its place, through this process. In a versioned bucket older versions
/// keep their bodies and their data key, until they are deleted.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    group = ArgGroup::new("under_or_raw").args(["under", "aes_key_file", "rsa_key_file"]).multiple(true),
)]
pub(crate) struct ReencryptArgs {
    /// What to seal anew; with --recursive, what the keys begin with
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) prefix: Prefix,

    /// All objects whose keys begin so, and that have another format than the one that is asked for
    ///
    /// Those that have it already are left as they are: a job that was interrupted is gone on with by the same command. An
    /// object that fails is as it was, and does not end the job.
    #[arg(
        short,
        long,
        requires = "under_or_raw",
        conflicts_with = "accept_place",
        help_heading = "Many objects"
    )]
    pub(crate) recursive: bool,

    /// How many objects are worked on together
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Many objects"
    )]
    pub(crate) concurrency: u16,

    /// KMS key to wrap the new data key under, or the key of --local-key; repeatable. Without it, those of the object's keys
    /// that may be used
    #[arg(long, value_name = "ARN|local:NAME")]
    pub(crate) under: Vec<WrapKey>,

    /// Accept wrapped keys that are bound to this place: the object was moved from there on purpose; repeatable
    #[arg(long, value_name = "BUCKET/KEY", value_parser = place)]
    pub(crate) accept_place: Vec<String>,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    /// Write this format: migrates objects to and from the S3 Encryption Client
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "native",
        help_heading = "S3 Encryption Client"
    )]
    pub(crate) to: FormatArg,

    /// Seal an object too that is not encrypted by any client
    #[arg(long)]
    pub(crate) seal_unencrypted: bool,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,
}
