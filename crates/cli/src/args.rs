//! What was typed.

mod cat;
mod copy;
mod doctor;
mod documents;
mod folders;
mod head;
mod keygen;
mod ls;
mod rm;

use std::path::PathBuf;

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use sealwax_s3::{KmsKeyArn, Landing, S3Uri, listing::ManifestLocation};
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    cat::CatArgs,
    copy::{CopyArgs, CpArgs, MvArgs},
    doctor::DoctorArgs,
    documents::{CompletionsArgs, ManArgs},
    folders::FolderArgs,
    head::HeadArgs,
    keygen::KeygenArgs,
    ls::LsArgs,
    rm::RmArgs,
};
use crate::{
    age::Age,
    objects::ObjectsArgs,
    pair::Pair,
    prefix::Prefix,
    s3ec::{FormatArg, RawKeyArgs, S3ecArgs},
    wrap_key::WrapKey,
};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed for another reason: the service, the network, a local file, or not supported
  2    wrong usage or configuration
  3    the object failed verification, and must not be used
  4    no such object, or it is not sealed
  5    access denied, no credentials, or no wrapping key can be used
  6    the object, or the file of a key, exists already; or it, the file or the upload changed
       meanwhile
  7    of many objects, some failed: the report says which, and why
  8    of many objects, all failed
  130  interrupted (143: terminated)

Credentials, Region and endpoint come from the AWS environment variables and files, as for every
AWS tool. Data goes to standard output, all else to standard error.
RUST_LOG chooses what is logged.

Keys, Region and more may be kept in profiles of ~/.config/sealwax/sealwax.toml, or given by
SEALWAX_KEYS, SEALWAX_ACCOUNTS, SEALWAX_CONTEXT (lists, with commas), SEALWAX_REPLICA_OF and
SEALWAX_LOCAL_KEY. Flags precede variables, and these the file.";

const PUT_EXAMPLES: &str = "\
Examples:
  sealwax put report.pdf s3://bucket/2026/report.pdf \\
      --key arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab \\
      --key arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321 \\
      -c tenant=acme
  pg_dump shop | sealwax put - s3://bucket/shop.dump --key \"$KEY\"
  sealwax put folder s3://bucket/backup/ --recursive --skip-unchanged --exclude '*.tmp' --key \"$KEY\"
  sealwax put disk.img s3://bucket/disk.img --key \"$KEY\" --resume   # after a crash, once more";

const GET_EXAMPLES: &str = "\
Examples:
  sealwax get s3://bucket/2026/report.pdf report.pdf -c tenant=acme
  sealwax get s3://bucket/shop.dump - --key \"$KEY\" | psql shop
  sealwax get s3://bucket/backup/ folder --recursive --skip-unchanged
  sealwax get s3://bucket-west/2026/report.pdf report.pdf \\
      --region us-west-2 --replica-of bucket-east";

const INSPECT_EXAMPLES: &str = "\
Examples:
  sealwax inspect s3://bucket/2026/report.pdf
  sealwax inspect s3://bucket/2026/report.pdf --json | jq -r '.keys[].wrapping_key'";

const UPLOADS_LS_EXAMPLES: &str = "\
Examples:
  sealwax uploads ls s3://bucket
  sealwax uploads ls s3://bucket/2026/ --older-than 1d --json | jq -r .upload_id";

const UPLOADS_ABORT_EXAMPLES: &str = "\
Examples:
  sealwax uploads abort s3://bucket/disk.img --upload-id \"$ID\"
  sealwax uploads abort s3://bucket/2026/ --older-than 7d --dry-run";

const REWRAP_EXAMPLES: &str = "\
Examples:
  sealwax rewrap s3://bucket/2026/report.pdf --add \"$WEST_KEY\"
  sealwax rewrap s3://bucket-west/2026/report.pdf --replace \"$WEST_KEY\" \\
      --region us-west-2 --replica-of bucket-east
  sealwax rewrap s3://bucket/new/name --add \"$KEY\" --accept-place bucket/old/name
  sealwax rewrap s3://bucket/2026/report.pdf --local-key archive.key --add local:archive-2026

Many objects; without --apply, it is said what would be done, and nothing is changed:
  sealwax rewrap s3://bucket/2026/ --recursive --add \"$WEST_KEY\"
  sealwax rewrap s3://bucket/2026/ --recursive --add \"$WEST_KEY\" --apply
  sealwax rewrap s3://bucket --inventory s3://inventories/bucket/daily/2026-11-23T00-00Z/manifest.json \\
      --add \"$NEW_KEY\" --remove \"$OLD_KEY\" --save-plan retire.plan
  sealwax rewrap --plan retire.plan --apply --kms-calls-per-second 2000";

const REENCRYPT_EXAMPLES: &str = "\
Examples:
  sealwax reencrypt s3://bucket/2026/report.pdf
  sealwax reencrypt s3://bucket/2026/report.pdf --under \"$EAST_KEY\" --under \"$WEST_KEY\"
  sealwax reencrypt s3://bucket/written/by/java --to native --under \"$KEY\"
  sealwax reencrypt s3://bucket/written/ --recursive --to native --under \"$KEY\"";

const AUDIT_EXAMPLES: &str = "\
Examples:
  sealwax audit s3://bucket
  sealwax audit s3://bucket/2026/ --lacks us-west-2
  sealwax audit s3://bucket --versions --depends-on \"$OLD_KEY\" --json | jq -r .object
  sealwax audit s3://bucket --stale --json | jq -r .object       # what `rewrap --refresh` is for
  sealwax audit s3://bucket --inventory s3://inventories/bucket/daily/2026-11-23T00-00Z/manifest.json";

const VERIFY_EXAMPLES: &str = "\
Examples:
  sealwax verify s3://bucket-west --replica-of bucket-east --region us-west-2 --keys-in us-west-2
  sealwax verify s3://bucket/2026/ --first-last
  sealwax verify s3://bucket --full --sample 0.01 --seed 7 --json | jq -r 'select(.opens == false).object'";

const DRILL_EXAMPLES: &str = "\
Examples:
  sealwax drill s3://bucket-west --replica-of bucket-east --region us-west-2 --block us-east-1
  sealwax drill s3://bucket-west --replica-of bucket-east --region us-west-2 --block us-east-1 \\
      --source s3://bucket-east --first-last --report drill-2026-11";

const SHRED_EXAMPLES: &str = "\
Examples:
  sealwax shred s3://bucket/2026/report.pdf                  # says what holds a key, and changes nothing
  sealwax shred s3://bucket/2026/report.pdf --delete-versions --replica bucket-west=us-west-2 \\
      --confirm s3://bucket/2026/report.pdf";

/// Client-side envelope encryption for Amazon S3.
///
/// Data is encrypted before it leaves this process. AWS KMS wraps the data key; the wrapped key and the encryption
/// context travel in the object's metadata, so that a replica in another Region can be wrapped anew, for disaster
/// recovery, without its body being moved.
#[derive(Debug, Parser)]
#[command(name = "sealwax", version, after_help = EXIT_CODES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

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

/// What to do. What is said of each is the documentation of its arguments: here it would hide that in the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Put(PutArgs),
    Get(GetArgs),
    Cat(CatArgs),
    Ls(LsArgs),
    Head(HeadArgs),
    Inspect(InspectArgs),
    Cp(CpArgs),
    Mv(MvArgs),
    Rm(RmArgs),
    Rewrap(RewrapArgs),
    Reencrypt(ReencryptArgs),
    Audit(AuditArgs),
    Verify(VerifyArgs),
    Drill(DrillArgs),
    Shred(ShredArgs),
    #[command(subcommand)]
    Uploads(UploadsCommand),
    Keygen(KeygenArgs),
    Doctor(DoctorArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

/// Seal a file, or standard input, and store it.
///
/// Nothing becomes visible in S3 before all of it is stored. An interrupted upload is aborted, but for --resume.
#[derive(Debug, Args)]
#[command(after_help = PUT_EXAMPLES)]
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

/// Read an object and open it.
///
/// FILE appears, or is replaced, only when all of the object has verified. With `-`, each piece of the plaintext is
/// written once it has verified; that nothing is missing is known only when the command exits with 0.
#[derive(Debug, Args)]
#[command(after_help = GET_EXAMPLES)]
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

/// Show what is known of an object without any key.
///
/// No call to KMS is made, so nothing that is shown is authenticated.
#[derive(Debug, Args)]
#[command(after_help = INSPECT_EXAMPLES)]
pub(crate) struct InspectArgs {
    /// What to look at
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) uri: S3Uri,

    /// Look at this version
    #[arg(long, value_name = "ID")]
    pub(crate) version_id: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// What follows the object's key in that of its instruction file, if the S3 Encryption Client wrote one [default:
    /// .instruction]
    #[arg(long, value_name = "SUFFIX", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) instruction_file_suffix: Option<String>,
}

/// Wrap the data keys of objects anew; the bodies stay as they are.
///
/// The new metadata lands by a copy inside S3, on the condition that the object did not change meanwhile. In a versioned
/// bucket older versions keep their keys. An object of the S3 Encryption Client has one wrapping key: use --replace or
/// --refresh.
///
/// One object is rewrapped at once. Of many, it is said what would be done, until --apply is given.
#[derive(Debug, Args)]
#[command(
    after_help = REWRAP_EXAMPLES,
    group = ArgGroup::new("edit").args(["add", "replace", "remove", "refresh"]).multiple(true),
    group = ArgGroup::new("what").args(["add", "replace", "remove", "refresh", "plan"]).required(true).multiple(true),
    group = ArgGroup::new("many").args(["recursive", "versions", "inventory", "stdin", "plan"]).multiple(true),
)]
pub(crate) struct RewrapArgs {
    /// What to rewrap; with one of the options for many objects, what the keys begin with
    #[arg(value_name = "s3://BUCKET/KEY|/PREFIX", required_unless_present = "plan")]
    pub(crate) prefix: Option<Prefix>,

    /// Wrap the data key under this KMS key too, or the key of --local-key; repeatable
    #[arg(long, value_name = "ARN|local:NAME")]
    pub(crate) add: Vec<WrapKey>,

    /// Wrap the data key under this key, and drop all that are not named so; repeatable
    #[arg(long, value_name = "ARN|local:NAME", conflicts_with_all = ["add", "remove", "refresh"])]
    pub(crate) replace: Vec<WrapKey>,

    /// Wrap the data key anew under the newest material of the same KMS keys, where KMS has rotated them
    #[arg(long)]
    pub(crate) refresh: bool,

    /// Store the new keys in a sidecar beside the object, which stays as it is: always, or where it is locked or archived
    /// (`needed`). Only readers with --sidecars find them
    #[arg(
        long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_value = "never",
        default_missing_value = "always", conflicts_with = "plan",
    )]
    pub(crate) to_sidecar: SidecarWhen,

    /// Drop this key, unless it is the last one; repeatable, and done after --add
    #[arg(long, value_name = "ARN|local:NAME")]
    pub(crate) remove: Vec<WrapKey>,

    /// Accept wrapped keys that are bound to this place: the object was moved from there on purpose; repeatable
    #[arg(long, value_name = "BUCKET/KEY", value_parser = place, conflicts_with = "many")]
    pub(crate) accept_place: Vec<String>,

    #[command(flatten)]
    pub(crate) many: ManyArgs,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,
}

/// When new keys are stored in a sidecar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SidecarWhen {
    #[default]
    Never,
    Needed,
    Always,
}

impl From<SidecarWhen> for Landing {
    fn from(when: SidecarWhen) -> Self {
        match when {
            SidecarWhen::Never => Self::Copy,
            SidecarWhen::Needed => Self::SidecarWhereNeeded,
            SidecarWhen::Always => Self::Sidecar,
        }
    }
}

/// How many objects are rewrapped.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many objects")]
pub(crate) struct ManyArgs {
    /// All objects whose keys begin so
    #[arg(short, long, conflicts_with_all = ["inventory", "stdin", "plan"])]
    pub(crate) recursive: bool,

    /// All of their versions: those that are not the newest are reported, for S3 cannot change them
    #[arg(long, conflicts_with_all = ["inventory", "stdin", "plan"])]
    pub(crate) versions: bool,

    /// Those of an S3 Inventory: its `manifest.json`, in S3 or in a local directory; objects of other prefixes are left out
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["stdin", "plan"])]
    pub(crate) inventory: Option<ManifestLocation>,

    /// Those that standard input names, a line each: a key of the bucket, `s3://BUCKET/KEY`, or JSON with `key` and perhaps
    /// `version_id`
    #[arg(long, conflicts_with = "plan")]
    pub(crate) stdin: bool,

    /// Those of a plan, which also says what to change, and with which keys to read
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prefix", "edit", "keys", "accounts", "save_plan"])]
    pub(crate) plan: Option<PathBuf>,

    /// Write what would be done to this file: the plan
    #[arg(long, value_name = "FILE", requires = "many", conflicts_with = "apply")]
    pub(crate) save_plan: Option<PathBuf>,

    /// Do it
    #[arg(long, requires = "many")]
    pub(crate) apply: bool,

    /// Keep the journal in this file, instead of one in the user's state directory
    ///
    /// After a crash or an interrupt, the same command again goes on where it stopped. The file in the state directory, which
    /// is `$XDG_STATE_HOME/sealwax`, else `~/.local/state/sealwax`, is deleted when all objects are done.
    #[arg(long, value_name = "PATH", requires = "apply")]
    pub(crate) journal: Option<PathBuf>,

    /// Work on so many objects at once, at most: fewer at first, and fewer when S3 or KMS asks to slow down
    #[arg(long, value_name = "NUMBER", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) concurrency: u16,

    /// Call KMS at most so often a second, in each Region
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) kms_calls_per_second: Option<u32>,

    /// Estimate time and cost with these prices and quotas: a JSON file
    #[arg(long, value_name = "FILE", requires = "many", conflicts_with = "apply")]
    pub(crate) prices: Option<PathBuf>,

    /// Print one JSON object a line, the counts last
    #[arg(long, requires = "many")]
    pub(crate) json: bool,
}

impl ManyArgs {
    /// Whether it is about many objects.
    pub(crate) fn is_meant(&self) -> bool {
        self.recursive || self.versions || self.inventory.is_some() || self.stdin || self.plan.is_some()
    }
}

/// List or abort uploads that were begun and not finished.
///
/// Their parts are not visible, but cost storage until the uploads are completed or aborted. S3 does not tell which uploads
/// are Sealwax's: these commands list and abort those of any program.
#[derive(Debug, Subcommand)]
pub(crate) enum UploadsCommand {
    Ls(UploadsLsArgs),
    Abort(UploadsAbortArgs),
}

/// List unfinished uploads.
///
/// A line for each: when it began, its object, its id, and its state file, if that is in the user's state directory. S3 does not tell which uploads are Sealwax's: those of any program are listed.
#[derive(Debug, Args)]
#[command(after_help = UPLOADS_LS_EXAMPLES)]
pub(crate) struct UploadsLsArgs {
    /// Where to look
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Prefix,

    /// Only those that began so long ago, such as 12h or 7d
    #[arg(long, value_name = "AGE")]
    pub(crate) older_than: Option<Age>,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Abort unfinished uploads; what they stored is lost.
///
/// S3 does not tell which uploads are Sealwax's: with --older-than, those of any program are aborted, also one that is
/// still going on. State files in the user's state directory are deleted with their uploads.
#[derive(Debug, Args)]
#[command(
    after_help = UPLOADS_ABORT_EXAMPLES,
    group = ArgGroup::new("which").args(["upload_id", "state_file", "older_than"]).required(true),
)]
pub(crate) struct UploadsAbortArgs {
    /// The object of the upload; with --older-than, what the keys begin with
    #[arg(value_name = "s3://BUCKET[/KEY|/PREFIX]")]
    pub(crate) prefix: Prefix,

    /// The upload with this id
    // Ids of S3 are of letters, digits and signs: one may begin with `-`.
    #[arg(long, value_name = "ID", allow_hyphen_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) upload_id: Option<String>,

    /// The upload that this state file describes; the file is deleted
    #[arg(long, value_name = "PATH")]
    pub(crate) state_file: Option<PathBuf>,

    /// All that began so long ago, such as 12h or 7d
    #[arg(long, value_name = "AGE")]
    pub(crate) older_than: Option<Age>,

    /// Say what would be aborted, and abort nothing
    #[arg(long, conflicts_with_all = ["upload_id", "state_file"])]
    pub(crate) dry_run: bool,
}

/// Seal an object anew, under a new data key: for a data key that may have become known, or for another format.
///
/// The object is read, verified and stored again in its place, through this process. In a versioned bucket older versions
/// keep their bodies and their data key, until they are deleted.
#[derive(Debug, Args)]
#[command(
    after_help = REENCRYPT_EXAMPLES,
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
    #[arg(short, long, requires = "under_or_raw", conflicts_with = "accept_place", help_heading = "Many objects")]
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
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "native", help_heading = "S3 Encryption Client")]
    pub(crate) to: FormatArg,

    /// Seal an object too that is not encrypted by any client
    #[arg(long)]
    pub(crate) seal_unencrypted: bool,

    #[command(flatten)]
    pub(crate) s3ec: S3ecArgs,
}

/// Tell which keys objects depend on, and which objects are not sealed.
///
/// Without --lacks, --depends-on, --unsealed, --stale or --list: counts by format, wrapping key and Region. With them:
/// the objects that are meant, a line each, and the counts on standard error. Without --key-material and --stale no key
/// is used, so nothing that is shown is authenticated.
#[derive(Debug, Args)]
#[command(after_help = AUDIT_EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,

    /// List the sealed objects that have no KMS key in this Region; repeatable: in any of these
    #[arg(long, value_name = "REGION", help_heading = "Which to list")]
    pub(crate) lacks: Vec<String>,

    /// List the objects that this KMS key, or a replica of it, wraps; repeatable. The listing says whether it alone does
    #[arg(long, value_name = "ARN", help_heading = "Which to list")]
    pub(crate) depends_on: Vec<KmsKeyArn>,

    /// With --depends-on: only the objects that no other key opens
    #[arg(long, requires = "depends_on", help_heading = "Which to list")]
    pub(crate) solely: bool,

    /// List the objects that are not sealed
    #[arg(long, help_heading = "Which to list")]
    pub(crate) unsealed: bool,

    /// List the objects that an older material of a KMS key wraps, or one that nobody tells; asks as --key-material does
    #[arg(long, help_heading = "Which to list")]
    pub(crate) stale: bool,

    /// List all objects
    #[arg(long, help_heading = "Which to list")]
    pub(crate) list: bool,

    /// Ask KMS which material of its wrapping key wrapped each object: `rewrap --refresh` follows a rotation
    ///
    /// It takes one `ReEncrypt` for each wrap, whose result is thrown away; objects that share an intermediate key cost
    /// one together. KMS is asked about the caller's own keys alone: see --key. Objects of the S3 Encryption Client do
    /// not name their wrapping key, and are not asked about.
    #[arg(long, help_heading = "Key material")]
    pub(crate) key_material: bool,

    /// Call KMS at most so often a second, in each Region
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Key material")]
    pub(crate) kms_calls_per_second: Option<u32>,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    /// Multi-Region keys have a replica in this Region too; repeatable
    #[arg(long, value_name = "REGION")]
    pub(crate) replicated_to: Vec<String>,

    /// Print one JSON object a line, the counts last
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prove that objects open.
///
/// Nothing is skipped unsaid: objects that are not sealed, that could not be looked at, or that do not open, are counted and
/// listed with the reason.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,

    #[command(flatten)]
    pub(crate) how: HowToVerify,

    /// Use only wrapping keys in this Region; repeatable
    #[arg(long, value_name = "REGION", help_heading = "Wrapping keys to read with")]
    pub(crate) keys_in: Vec<String>,

    /// Print one JSON object a line, the counts last; without it, only the objects that do not open are listed
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,
}

/// How much is opened.
#[derive(Debug, Clone, Args)]
pub(crate) struct HowToVerify {
    /// Open no body: the data key is unwrapped and must meet the object's commitment. This is the default
    #[arg(long = "keys", group = "depth", help_heading = "How much")]
    pub(crate) keys_alone: bool,

    /// Open the first and the last chunk of each object too
    #[arg(long, group = "depth", help_heading = "How much")]
    pub(crate) first_last: bool,

    /// Open all of each object
    #[arg(long, group = "depth", help_heading = "How much")]
    pub(crate) full: bool,

    /// Verify about this fraction of the objects, such as 0.01
    #[arg(long, value_name = "FRACTION", help_heading = "How much", value_parser = fraction)]
    pub(crate) sample: Option<f64>,

    /// Which ones: the same seed gives the same ones
    #[arg(long, value_name = "NUMBER", requires = "sample", default_value_t = 0, help_heading = "How much")]
    pub(crate) seed: u64,

    /// Count objects that are not sealed, but do not call them failures
    #[arg(long, help_heading = "How much")]
    pub(crate) allow_unsealed: bool,
}

/// Rehearse the loss of a Region: prove that a replica opens without it.
///
/// Every request of this process to the blocked Regions, of S3, KMS or STS, is refused before it leaves, and counted. What
/// opens then, opens when these Regions are gone.
#[derive(Debug, Args)]
#[command(after_help = DRILL_EXAMPLES)]
pub(crate) struct DrillArgs {
    #[command(flatten)]
    pub(crate) objects: ObjectsArgs,

    /// The Region that is thought to be lost; repeatable
    #[arg(long, required = true, value_name = "REGION")]
    pub(crate) block: Vec<String>,

    /// Before they are blocked, compare with this source: what was never replicated is lost. Of each such object, S3 is
    /// asked for its replication status
    #[arg(long, value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) source: Option<Prefix>,

    /// The Region of the source, where it is not the first one that is blocked
    #[arg(long, value_name = "REGION", requires = "source")]
    pub(crate) source_region: Option<String>,

    /// How old an object of the source may be that is not in the replica yet
    #[arg(long, value_name = "AGE", requires = "source", default_value = "15m")]
    pub(crate) lag: Age,

    /// Write the report to PATH.json, and for people to PATH.md
    #[arg(long, value_name = "PATH", default_value = "sealwax-drill")]
    pub(crate) report: PathBuf,

    #[command(flatten)]
    pub(crate) how: HowToVerify,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,
}

/// Remove an object's last keys, for good: nobody can read it afterwards.
///
/// S3 changes no version in place. The newest version gets a successor without keys; the versions before it hold their
/// keys until they are deleted (--delete-versions), and a replica until it is shredded itself. Without --confirm what
/// holds a key is listed, and on a terminal the object's name is asked for; without a terminal nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = SHRED_EXAMPLES)]
pub(crate) struct ShredArgs {
    /// What to shred
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) uri: S3Uri,

    /// The object once more, to say that it is meant
    #[arg(long, value_name = "s3://BUCKET/KEY")]
    pub(crate) confirm: Option<String>,

    /// Delete the versions that hold keys, of the object and of its sidecar
    #[arg(long)]
    pub(crate) delete_versions: bool,

    /// Look for keys in this replica bucket of that Region too; repeatable. Nothing is changed there
    #[arg(long, value_name = "BUCKET=REGION")]
    pub(crate) replica: Vec<Pair>,

    /// Print one JSON object for each version that holds a key
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which wrapping keys may open the object.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReaderArgs {
    /// Ask KMS about this wrapping key, and about no other; repeatable
    ///
    /// Without --key, the object names the keys that KMS is asked about, as long as they are in the caller's own account,
    /// which one call of STS `GetCallerIdentity` tells. Were keys of every account allowed, whoever can write to the bucket
    /// could substitute objects that are sealed under a key of their own.
    #[arg(long = "key", value_name = "ARN", conflicts_with = "accounts", help_heading = "Wrapping keys to read with")]
    pub(crate) keys: Vec<KmsKeyArn>,

    /// Ask KMS about the object's wrapping keys in this account, instead of the caller's own; repeatable
    #[arg(long = "account", value_name = "ID", value_parser = account_id, help_heading = "Wrapping keys to read with")]
    pub(crate) accounts: Vec<String>,

    /// Whether keys of KMS are read with although a local one is given: it is to wrap what they wrap.
    #[arg(skip)]
    pub(crate) besides_local: bool,
}

pub(crate) fn endpoint_url(text: &str) -> Result<String, &'static str> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.filter(|host| !host.is_empty()).map(|_| text.to_owned()).ok_or("not an http:// or https:// URL")
}

fn fraction(text: &str) -> Result<f64, &'static str> {
    let fraction = text.parse().ok().filter(|fraction| *fraction > 0.0 && *fraction <= 1.0);
    fraction.ok_or("not a fraction above 0 and up to 1, such as 0.01")
}

pub(crate) fn account_id(text: &str) -> Result<String, &'static str> {
    let is_id = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then(|| text.to_owned()).ok_or("not an AWS account ID of 12 digits")
}

fn place(text: &str) -> Result<String, &'static str> {
    let place = text.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
    place.map(|_| text.to_owned()).ok_or("not BUCKET/KEY")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_says_all_that_is_documented() {
        for (command, text) in [
            (&["put", "--help"][..], "An interrupted upload is aborted, but for --resume"),
            (&["get", "--help"], "only when all of the object has verified"),
            (&["inspect", "--help"], "nothing that is shown is authenticated"),
            (&["ls", "--help"], "where no object of its own format can have the stored length"),
            (&["cat", "--help"], "Each piece is written once it has verified"),
            (&["head", "--help"], "sealed or not"),
            (&["cp", "--help"], "nothing is read or sealed anew"),
            (&["mv", "--help"], "if it did not change meanwhile"),
            (&["rm", "--help"], "older versions stay"),
            (&["keygen", "--help"], "Keep copies"),
            (&["doctor", "--help"], "deleted for good"),
            (&["rewrap", "--help"], "older versions keep their keys"),
            (&["audit", "--help"], "nothing that is shown is authenticated"),
            (&["verify", "--help"], "Nothing is skipped unsaid"),
            (&["drill", "--help"], "refused before it leaves"),
            (&["shred", "--help"], "S3 changes no version in place"),
            (&["uploads", "--help"], "cost storage until"),
            (&["uploads", "ls", "--help"], "those of any program are listed"),
            (&["uploads", "abort", "--help"], "one that is still going on"),
        ] {
            let help = Cli::try_parse_from(["sealwax"].iter().chain(command)).expect_err("the help").to_string();
            let words: Vec<_> = help.split_whitespace().collect();
            assert!(words.join(" ").contains(text), "{command:?}: {help}");
        }
    }

    #[test]
    fn values_are_checked() {
        assert!(endpoint_url("http://localhost:4566").is_ok() && endpoint_url("https://s3.example.com").is_ok());
        assert!(endpoint_url("localhost:4566").is_err() && endpoint_url("http://").is_err());
        assert!(account_id("000000000000").is_ok() && account_id("12345678901").is_err());
        assert!(account_id("12345678901x").is_err());
        assert!(
            fraction("0.01").is_ok() && fraction("1").is_ok() && fraction("0").is_err() && fraction("1.1").is_err()
        );
        assert!(fraction("NaN").is_err() && fraction("x").is_err());
        assert!(place("bucket/a/key").is_ok() && place("bucket").is_err() && place("/key").is_err());
    }
}
