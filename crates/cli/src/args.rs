//! Arguments that several commands share.

mod attributes;
mod content_type;
mod folders;
mod job;
mod key_cache;
mod key_id;
mod objects;
mod prefix;
mod s3_encryption_client;
mod values;
mod wrap_key;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, ValueEnum, builder::NonEmptyStringValueParser};
use sealwax_s3::{
    AclPolicy, BodyChecksum, ConditionPolicy, KmsKeyArn, LimitedHttp, RequestHeaders, S3Uri,
};
use serde::{Deserialize, Serialize};

use crate::progress::ProgressArg;

pub(crate) use self::{
    attributes::{AtRestArgs, CopiedObjectArgs, NewObjectArgs, check_canned_acl, check_sse},
    folders::{FilterArgs, FolderArgs},
    job::JobArgs,
    key_cache::KeyCacheArgs,
    key_id::KeyId,
    objects::{ObjectSource, Objects, ObjectsArgs},
    prefix::{Prefix, is_in_s3, name_of},
    s3_encryption_client::{FormatArg, InstructionFileArgs, RawKeyArgs, S3ecArgs, S3ecPolicyArgs},
    values::{
        BucketName, ByteRange, HttpDate, LimitRate, Pair, TimeSpan, Timestamp, account_id,
        encryption_context, endpoint_url, fraction, is_access_point, place, time_text,
    },
    wrap_key::{TypedKey, WrapKey, key_arn},
};

/// Default prefix of key objects.
pub(crate) const KEY_STORE: &str = ".sealwax/keys/";

/// Options of every subcommand.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// Region of the bucket; its wrapping keys are tried first
    #[arg(long, global = true, value_name = "REGION", help_heading = "AWS", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) region: Option<String>,

    /// Endpoint URL for S3, for example of an S3-compatible store
    #[arg(long, global = true, value_name = "URL", help_heading = "AWS", value_parser = endpoint_url)]
    pub(crate) endpoint_url: Option<String>,

    /// Endpoint URL for KMS and STS; anyone who runs it sees the data keys [env:
    /// `SEALWAX_KMS_ENDPOINT_URL`]
    #[arg(long, global = true, value_name = "URL", help_heading = "AWS", value_parser = endpoint_url)]
    pub(crate) kms_endpoint_url: Option<String>,

    /// Allow plain http:// to KMS and STS on other machines, for tests [env: `SEALWAX_ALLOW_HTTP_KMS`]
    ///
    /// Everyone on the way then sees the data keys, and can choose them. Plain HTTP to this machine
    /// is always allowed.
    #[arg(long, global = true, help_heading = "AWS")]
    pub(crate) allow_http_kms: bool,

    /// Profile in the AWS configuration files; its credentials take precedence over environment
    /// variables
    #[arg(long, global = true, value_name = "NAME", help_heading = "AWS", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) profile: Option<String>,

    /// Settings file [env: `SEALWAX_CONFIG`] [default: `~/.config/sealwax/sealwax.toml`]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub(crate) config: Option<PathBuf>,

    /// Profile in the settings file [env: `SEALWAX_PROFILE`] [default: `default`]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Settings", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) sealwax_profile: Option<String>,

    /// File of a local wrapping key, made by `sealwax keygen`; it wraps new data keys and opens
    /// objects [env: `SEALWAX_LOCAL_KEY`]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub(crate) local_key: Option<PathBuf>,

    /// Name and file of the settings profile in use.
    #[arg(skip)]
    pub(crate) profile_in_use: Option<String>,

    /// Origins of default values that a failure may have to name, by argument id.
    #[arg(skip)]
    pub(crate) origins: BTreeMap<&'static str, String>,

    /// `true` if `--profile` is on the command line rather than in the settings file.
    #[arg(skip)]
    pub(crate) profile_is_typed: bool,

    /// Ignore the encryption context that the settings file or `SEALWAX_CONTEXT` sets
    #[arg(long, global = true, help_heading = "Settings")]
    pub(crate) no_context: bool,

    /// Checksum sent with bodies: auto sends a CRC-64/NVME, except to a store that refuses it [env:
    /// `SEALWAX_BODY_CHECKSUM`] [default: auto]
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHAT",
        help_heading = "Stores other than AWS"
    )]
    pub(crate) body_checksum: Option<BodyChecksumArg>,

    /// Treatment of conditions, as of --no-overwrite: prove on a small test object that the store
    /// honours them, and fail if not; or look at the target right before; or trust the store [env:
    /// `SEALWAX_CONDITIONS`] [default: prove]
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "HOW",
        help_heading = "Stores other than AWS"
    )]
    pub(crate) conditions: Option<ConditionsArg>,

    /// Source bucket of this replica: accept objects sealed for the same key there
    #[arg(long, global = true, value_name = "SOURCE-BUCKET", help_heading = "Place", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) replica_of: Option<String>,

    /// Name of the bucket behind an access point, which objects are bound to, so that they also open
    /// by the bucket's own name; repeatable as ACCESS-POINT=NAME
    #[arg(long = "bucket-name", global = true, value_name = "NAME", help_heading = "Place")]
    pub(crate) bucket_names: Vec<BucketName>,

    /// Don't bind wrapped keys to the object's place (`bucket/key`), and accept any place
    ///
    /// Anyone who can write to the bucket can then swap two objects of the same encryption context
    /// unnoticed.
    #[arg(long, global = true, conflicts_with = "replica_of", help_heading = "Place")]
    pub(crate) no_place_binding: bool,

    /// If an object's own keys don't open it, look for its sidecar, the object KEY with this suffix
    /// [default suffix: `.sealwax`]
    #[arg(
        long, global = true, value_name = "SUFFIX", num_args = 0..=1, require_equals = true,
        default_missing_value = ".sealwax", help_heading = "Place", value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) sidecars: Option<String>,

    /// Store the wrapped forms of intermediate keys in the bucket too, and look there if an object's
    /// own keys don't open it [default prefix: `.sealwax/keys/`] [env: `SEALWAX_KEY_STORE`]
    ///
    /// It reads each key object once for all objects that share the intermediate key. `sealwax keys`
    /// works on the key store itself. An empty prefix turns off the key store of a profile.
    #[arg(
        long, global = true, value_name = "PREFIX", num_args = 0..=1, require_equals = true,
        default_missing_value = KEY_STORE, help_heading = "Place",
    )]
    pub(crate) key_store: Option<String>,

    /// Time after which a call without progress ends, such as 60s or 5m; such a call is tried three
    /// times [env: `SEALWAX_TIMEOUT`] [default: 60s]
    ///
    /// A transfer makes progress while at least 1 KiB a second is sent or received. Raise it for a
    /// store that takes longer to answer, for example to copy a large object.
    #[arg(long, global = true, value_name = "TIME", help_heading = "Time limits")]
    pub(crate) timeout: Option<TimeSpan>,

    /// Time after which the command ends with exit code 124, as if it were interrupted, such as 30m
    /// or 2h; without it, there is no limit
    #[arg(long, global = true, value_name = "TIME", help_heading = "Time limits")]
    pub(crate) deadline: Option<TimeSpan>,

    /// Token of a KMS grant that was created a moment ago; repeatable
    #[arg(long = "grant-token", global = true, value_name = "TOKEN", help_heading = "AWS", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) grant_tokens: Vec<String>,

    /// Account that must own the bucket: S3 denies access to a bucket of any other account
    #[arg(long, global = true, value_name = "ID", help_heading = "AWS", value_parser = account_id)]
    pub(crate) expected_bucket_owner: Option<String>,

    /// Confirm that you pay for requests to a Requester Pays bucket
    #[arg(long, global = true, value_name = "requester", help_heading = "AWS", value_parser = ["requester"], hide_possible_values = true)]
    pub(crate) request_payer: Option<String>,

    /// Bytes that this process sends and receives per second at most, such as 500K or 10M (units of
    /// 1,024)
    #[arg(long, global = true, value_name = "RATE", help_heading = "Time limits")]
    pub(crate) limit_rate: Option<LimitRate>,

    /// Print errors only
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Progress on standard error: a bar on a terminal, one line of JSON a second, or none
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "HOW",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = "Output"
    )]
    pub(crate) progress: ProgressArg,

    /// Print a line for each object; -vv for the library's debug logs, -vvv for the SDK's too
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    pub(crate) verbose: u8,
}

/// Checksum sent with bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BodyChecksumArg {
    #[default]
    Auto,
    #[value(name = "crc64nvme")]
    Crc64Nvme,
    None,
}

impl From<BodyChecksumArg> for BodyChecksum {
    fn from(checksum: BodyChecksumArg) -> Self {
        match checksum {
            BodyChecksumArg::Auto => Self::IfSupported,
            BodyChecksumArg::Crc64Nvme => Self::Crc64Nvme,
            BodyChecksumArg::None => Self::None,
        }
    }
}

/// Least memory of the gateway for bodies, in MiB.
pub(crate) const MIN_GATEWAY_MEMORY: u64 = 32;

/// Treatment of objects that are not sealed, by the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnsealedArg {
    Refuse,
    Pass,
}

/// Treatment of conditions at stores other than AWS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConditionsArg {
    #[default]
    Prove,
    Look,
    Trust,
}

impl From<ConditionsArg> for ConditionPolicy {
    fn from(conditions: ConditionsArg) -> Self {
        match conditions {
            ConditionsArg::Prove => Self::Prove,
            ConditionsArg::Look => Self::Look,
            ConditionsArg::Trust => Self::Trust,
        }
    }
}

/// Option of commands that copy an object onto itself.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct AclArgs {
    /// Treatment of an object's access control list in its copy: keep it, or ignore it on a store
    /// that can't tell it
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value = "keep",
        hide_default_value = true,
        help_heading = "Settings"
    )]
    pub(crate) acl: AclArg,
}

/// Treatment of access control lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AclArg {
    #[default]
    Keep,
    Ignore,
}

impl From<AclArg> for AclPolicy {
    fn from(acl: AclArg) -> Self {
        match acl {
            AclArg::Keep => Self::Keep,
            AclArg::Ignore => Self::Ignore,
        }
    }
}

/// Place of a destination that is not where the source is.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DestinationArgs {
    /// Region of the destination's bucket [default: the source's]
    #[arg(long, value_name = "REGION", help_heading = "Another destination", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) to_region: Option<String>,

    /// Endpoint URL of the destination's S3 [default: the source's; with --to-profile, the
    /// profile's]
    #[arg(long, value_name = "URL", help_heading = "Another destination", value_parser = endpoint_url)]
    pub(crate) to_endpoint_url: Option<String>,

    /// Profile in the AWS configuration files, for the destination's bucket and its keys
    #[arg(long, value_name = "NAME", help_heading = "Another destination", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) to_profile: Option<String>,
}

impl DestinationArgs {
    /// `true` if the destination is where the source is.
    pub(crate) fn is_here(&self) -> bool {
        self.to_region.is_none() && self.to_endpoint_url.is_none() && self.to_profile.is_none()
    }
}

impl GlobalArgs {
    /// Returns the headers of every request to a bucket.
    pub(crate) fn request_headers(&self) -> RequestHeaders {
        let headers = RequestHeaders::new();
        let headers = match &self.expected_bucket_owner {
            Some(account) => headers.expected_bucket_owner(account),
            None => headers,
        };
        if self.request_payer.is_some() { headers.requester_pays() } else { headers }
    }

    /// Returns the time after which a call without progress ends.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout.map_or(LimitedHttp::DEFAULT_TIMEOUT, |TimeSpan(timeout)| timeout)
    }

    /// Returns the options that say where the services are and who calls them, as they were given.
    pub(crate) fn connection(&self) -> Vec<String> {
        let options = [
            ("--region", &self.region),
            ("--endpoint-url", &self.endpoint_url),
            ("--kms-endpoint-url", &self.kms_endpoint_url),
            ("--profile", &self.profile),
            ("--expected-bucket-owner", &self.expected_bucket_owner),
            ("--request-payer", &self.request_payer),
        ];
        let given =
            options.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value.clone()?]));
        let allowed = self.allow_http_kms.then(|| "--allow-http-kms".to_owned());
        let of_store = [
            self.body_checksum.map(|it| ("--body-checksum", it.to_possible_value())),
            self.conditions.map(|it| ("--conditions", it.to_possible_value())),
        ];
        let of_store = of_store
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some([name.to_owned(), value?.get_name().to_owned()]));
        given.flatten().chain(allowed).chain(of_store.flatten()).collect()
    }
}

/// Wrapping keys that may open objects.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReaderArgs {
    /// Use only this wrapping key; repeatable
    ///
    /// Without --key, any key in the caller's own account that the object names is used. One STS
    /// `GetCallerIdentity` call returns that account. Keys of other accounts are not used: anyone
    /// who can write to the bucket could replace objects with ones sealed under their own key.
    #[arg(
        long = "key",
        value_name = "ARN",
        value_parser = key_arn,
        conflicts_with = "accounts",
        help_heading = "Wrapping keys to read with"
    )]
    pub(crate) keys: Vec<KmsKeyArn>,

    /// Use the object's wrapping keys in this account, instead of the caller's own; repeatable
    #[arg(long = "account", value_name = "ID", value_parser = account_id, help_heading = "Wrapping keys to read with")]
    pub(crate) accounts: Vec<String>,

    /// `true` if KMS keys are used beside the local key, to read what the local key is to wrap.
    #[arg(skip)]
    pub(crate) besides_local: bool,

    /// Region of the source of a replica, where KMS is asked for keys that objects do not name.
    #[arg(skip)]
    pub(crate) source_region: Option<String>,
}

/// Object of a command that shows one object.
#[derive(Debug, Args)]
pub(crate) struct SingleObjectArgs {
    /// Object
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) uri: S3Uri,

    /// Version of the object
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
