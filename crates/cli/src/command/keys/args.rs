//! `sealwax keys`.

use clap::{ArgGroup, Args, Subcommand};

use crate::args::{KeyId, Prefix, ReaderArgs, TypedKey, WrapKey};

const LS_EXAMPLES: &str = "\
Examples:
  sealwax keys ls s3://bucket
  sealwax keys ls s3://bucket --key \"$WEST_KEY\" --lacking
  sealwax keys ls s3://bucket --key-store=team/keys --json";

const INSPECT_EXAMPLES: &str = "\
Examples:
  sealwax keys inspect s3://bucket \"$ID\"";

const REWRAP_EXAMPLES: &str = "\
Examples:
  sealwax keys rewrap s3://bucket --add \"$WEST_KEY\" --dry-run
  sealwax keys rewrap s3://bucket --add \"$WEST_KEY\"
  sealwax keys rewrap s3://bucket --replace \"$NEW_KEY\"
  sealwax keys rewrap s3://bucket --refresh
  sealwax keys rewrap s3://bucket-west --add \"$WEST_KEY\" \\
      --region us-west-2 --local-key escrow.key";

const VERIFY_EXAMPLES: &str = "\
Examples:
  sealwax keys verify s3://bucket --key \"$WEST_KEY\"
  sealwax keys verify s3://bucket --json |
      jq -r 'select(.proven == false).key'";

const SHRED_EXAMPLES: &str = "\
Examples:
  sealwax keys shred s3://bucket \"$ID\" --dry-run
  sealwax keys shred s3://bucket \"$ID\"";

/// Work on the key store of a bucket: on keys, not on objects.
///
/// A key store has the wrapped forms of intermediate keys, each in an object of its own, so that one
/// call opens many objects for another wrapping key. It is filled by commands with --key-store and
/// --key-cache. No object is touched: locked and archived objects are served too.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    Ls(KeysLsArgs),
    Inspect(KeysInspectArgs),
    Rewrap(KeysRewrapArgs),
    Verify(KeysVerifyArgs),
    Shred(KeysShredArgs),
}

/// List the intermediate keys of a key store.
///
/// Each line has the time of the newest key object, the number of key objects, and the intermediate
/// key. The listing alone shows which of the keys of --key it claims to be wrapped under: nothing is
/// read, and nothing is authenticated.
#[derive(Debug, Args)]
#[command(after_help = LS_EXAMPLES)]
pub(crate) struct KeysLsArgs {
    /// Bucket
    #[arg(value_name = "s3://BUCKET", value_parser = bucket)]
    pub(crate) bucket: Prefix,

    /// Wrapping key to look for, by ARN or as local:NAME; repeatable [default: those of the settings]
    #[arg(long = "key", value_name = "ARN|local:NAME")]
    pub(crate) keys: Vec<WrapKey>,

    /// Only intermediate keys that lack one of the keys of --key
    #[arg(long)]
    pub(crate) lacking: bool,

    /// Print one JSON object for each intermediate key, the counts last
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show the wrapped forms of intermediate keys.
///
/// No key is used: there is no KMS call, so the output is not authenticated.
#[derive(Debug, Args)]
#[command(after_help = INSPECT_EXAMPLES)]
pub(crate) struct KeysInspectArgs {
    /// Bucket
    #[arg(value_name = "s3://BUCKET", value_parser = bucket)]
    pub(crate) bucket: Prefix,

    /// Intermediate keys, as `sealwax keys ls` shows them; write `--` before one that begins with `-`
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<KeyId>,

    /// Print one JSON object for each intermediate key
    #[arg(long)]
    pub(crate) json: bool,
}

/// Change the wrapping keys of intermediate keys, for all objects that share them.
///
/// Adding a key writes a key object, removing one deletes a key object, refreshing one replaces its
/// ciphertext. Objects keep the wrapped keys
/// that they were written with, unless the keys are detached: this gives access, and does not revoke
/// it. Let writers use the new key first, wait for the age of their key cache, rewrap, and list with
/// `sealwax keys ls --lacking` until nothing lacks it.
///
/// It can be repeated: intermediate keys that have the wanted keys cost nothing but the listing.
#[derive(Debug, Args)]
#[command(
    after_help = REWRAP_EXAMPLES,
    group = ArgGroup::new("edit").args(["add", "replace", "remove", "refresh"]).required(true).multiple(true),
)]
pub(crate) struct KeysRewrapArgs {
    /// Bucket
    #[arg(value_name = "s3://BUCKET", value_parser = bucket)]
    pub(crate) bucket: Prefix,

    /// Intermediate keys, as `sealwax keys ls` shows them; write `--` before one that begins with `-`
    /// [default: all]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<KeyId>,

    /// Add this KMS key, by ARN, key ID or alias, or this local key; repeatable
    #[arg(long, value_name = "KEY|local:NAME")]
    pub(crate) add: Vec<TypedKey>,

    /// Use this key, and remove all keys that are not named by --replace; repeatable
    #[arg(long, value_name = "KEY|local:NAME", conflicts_with_all = ["add", "remove", "refresh"])]
    pub(crate) replace: Vec<TypedKey>,

    /// Remove this key, unless it is the last one; repeatable, and done after --add
    #[arg(long, value_name = "ARN|local:NAME")]
    pub(crate) remove: Vec<WrapKey>,

    /// After a rotation of KMS keys: wrap again what is not under the newest key material of its KMS key
    ///
    /// Each key object under a key that may be used costs one `ReEncrypt` call, and an older one also
    /// `Decrypt` and a write. Its new ciphertext is stored only after it was unwrapped. KMS keeps older
    /// key material, so this is never urgent.
    #[arg(long)]
    pub(crate) refresh: bool,

    /// Remove and refresh keys even if nothing that stays could be shown to unwrap, for a role that may
    /// not decrypt. Without it, such an intermediate key keeps its old keys
    #[arg(long)]
    pub(crate) unproven: bool,

    /// Unwrap keys to add that are present already, and replace those that hold something else
    #[arg(long, requires = "add")]
    pub(crate) prove: bool,

    /// Print what would be done by the names in the listing, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    #[command(flatten)]
    pub(crate) job: KeysJobArgs,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,
}

/// Verify that intermediate keys can be unwrapped.
///
/// Each key object under a wrapping key that may be used is unwrapped, and compared with the id of its
/// intermediate key. One that none of the keys unwraps is a failure.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub(crate) struct KeysVerifyArgs {
    /// Bucket
    #[arg(value_name = "s3://BUCKET", value_parser = bucket)]
    pub(crate) bucket: Prefix,

    /// Intermediate keys, as `sealwax keys ls` shows them; write `--` before one that begins with `-`
    /// [default: all]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<KeyId>,

    #[command(flatten)]
    pub(crate) job: KeysJobArgs,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,
}

/// Delete all key objects of detached intermediate keys, so that no one can open their objects.
///
/// All versions of the key objects are deleted. Replicas of the bucket, copies of key objects and
/// keys that running programs have cached are not seen: stop the writers first, wait for the age of
/// their caches, and shred in each replica. Whoever kept a copy of a key object can put it back.
///
/// `sealwax audit s3://BUCKET --versions --intermediate-key ID` lists the objects under a key.
#[derive(Debug, Args)]
#[command(after_help = SHRED_EXAMPLES)]
pub(crate) struct KeysShredArgs {
    /// Bucket
    #[arg(value_name = "s3://BUCKET", value_parser = bucket)]
    pub(crate) bucket: Prefix,

    /// Intermediate keys, as `sealwax keys ls` shows them; write `--` before one that begins with `-`
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<KeyId>,

    /// Also delete the key objects of intermediate keys that are not detached. Their objects carry
    /// wrapped keys of their own, so nothing is shredded; but those whose own wrapping keys are gone
    /// never open again
    #[arg(long)]
    pub(crate) attached: bool,

    /// Don't ask for confirmation
    #[arg(short, long)]
    pub(crate) yes: bool,

    /// Print what would be deleted, and delete nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Print one JSON object for each intermediate key, the counts last
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of work on many intermediate keys.
#[derive(Debug, Args)]
pub(crate) struct KeysJobArgs {
    /// Number of intermediate keys in parallel
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,

    /// Maximum KMS calls per second in each Region
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) kms_calls_per_second: Option<u32>,

    /// Print one JSON object for each intermediate key, the counts last
    #[arg(long)]
    pub(crate) json: bool,
}

/// Parses a bucket.
fn bucket(text: &str) -> Result<Prefix, String> {
    let prefix: Prefix = text.parse()?;
    match prefix.key.is_empty() {
        true => Ok(prefix),
        false => Err("name the bucket alone; --key-store=PREFIX names the prefix of its key \
                      store"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_store_is_named_by_its_bucket() {
        for text in ["s3://b", "s3://b/"] {
            assert_eq!(bucket(text).expect("a bucket").bucket, "b");
        }
        let error = bucket("s3://b/k").expect_err("a key beside it");
        assert!(error.starts_with("name the bucket alone; --key-store=PREFIX"), "{error}");
    }
}
