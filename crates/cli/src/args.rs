//! Arguments that several commands share.

mod folders;
mod objects;
mod prefix;
mod s3_encryption_client;
mod values;
mod wrap_key;

use std::path::PathBuf;

use clap::{ArgAction, Args, builder::NonEmptyStringValueParser};
use sealwax_s3::{KmsKeyArn, S3Uri};

pub(crate) use self::{
    folders::{FilterArgs, FolderArgs},
    objects::{ObjectSource, ObjectsArgs},
    prefix::{Prefix, name_of},
    s3_encryption_client::{FormatArg, RawKeyArgs, S3ecArgs},
    values::{Age, ByteRange, Pair, account_id, encryption_context, endpoint_url, fraction, place},
    wrap_key::WrapKey,
};

/// Options of every subcommand.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// Region of the bucket; wrapping keys in it are asked first
    #[arg(long, global = true, value_name = "REGION", help_heading = "AWS", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) region: Option<String>,

    /// Endpoint of all services, instead of AWS's
    #[arg(long, global = true, value_name = "URL", help_heading = "AWS", value_parser = endpoint_url)]
    pub(crate) endpoint_url: Option<String>,

    /// Profile in the AWS files; its credentials precede those of environment variables
    #[arg(long, global = true, value_name = "NAME", help_heading = "AWS", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) profile: Option<String>,

    /// File with profiles of settings, instead of `~/.config/sealwax/sealwax.toml` [env: `SEALWAX_CONFIG`]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub(crate) config: Option<PathBuf>,

    /// Profile in that file, instead of `default` [env: `SEALWAX_PROFILE`]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Settings", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) sealwax_profile: Option<String>,

    /// Local wrapping key, made by `sealwax keygen`: wraps, and opens what it wrapped [env: `SEALWAX_LOCAL_KEY`]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub(crate) local_key: Option<PathBuf>,

    /// Which settings are those of a file.
    #[arg(skip)]
    pub(crate) profile_in_use: Option<String>,

    /// Whether `--profile` was typed, and not set in a file.
    #[arg(skip)]
    pub(crate) profile_is_typed: bool,

    /// The bucket is a replica of this one: accept what was sealed there under the same key
    #[arg(long, global = true, value_name = "SOURCE-BUCKET", help_heading = "Place", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) replica_of: Option<String>,

    /// Bind wrapped keys to no place, and accept every place
    ///
    /// Whoever can write to the bucket can then exchange two objects of the same encryption context unnoticed.
    #[arg(long, global = true, conflicts_with = "replica_of", help_heading = "Place")]
    pub(crate) no_place_binding: bool,

    /// Where the object's own keys do not open it, look for its sidecar: KEY and SUFFIX, which is `.sealwax` unless given
    #[arg(
        long, global = true, value_name = "SUFFIX", num_args = 0..=1, require_equals = true,
        default_missing_value = ".sealwax", help_heading = "Place", value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) sidecars: Option<String>,

    /// Say nothing but errors
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Say more of what is done; twice: still more
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

impl GlobalArgs {
    /// Returns the options that say where the services are and who calls them, as they were given.
    pub(crate) fn connection(&self) -> Vec<String> {
        let options = [
            ("--region", &self.region),
            ("--endpoint-url", &self.endpoint_url),
            ("--profile", &self.profile),
        ];
        let given =
            options.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value.clone()?]));
        given.flatten().collect()
    }
}

/// Which wrapping keys may open the object.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReaderArgs {
    /// Ask KMS about this wrapping key, and about no other; repeatable
    ///
    /// Without --key, the object names the keys that KMS is asked about, as long as they are in the caller's own account,
    /// which one call of STS `GetCallerIdentity` tells. Were keys of every account allowed, whoever can write to the bucket
    /// could substitute objects that are sealed under a key of their own.
    #[arg(
        long = "key",
        value_name = "ARN",
        conflicts_with = "accounts",
        help_heading = "Wrapping keys to read with"
    )]
    pub(crate) keys: Vec<KmsKeyArn>,

    /// Ask KMS about the object's wrapping keys in this account, instead of the caller's own; repeatable
    #[arg(long = "account", value_name = "ID", value_parser = account_id, help_heading = "Wrapping keys to read with")]
    pub(crate) accounts: Vec<String>,

    /// Whether keys of KMS are read with although a local one is given: it is to wrap what they wrap.
    #[arg(skip)]
    pub(crate) besides_local: bool,
}

/// Which object, and how it is shown.
#[derive(Debug, Args)]
pub(crate) struct SingleObjectArgs {
    /// What to look at
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) uri: S3Uri,

    /// Look at this version
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
