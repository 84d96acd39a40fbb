//! Which wrapping keys may open objects.

use clap::Args;
use sealwax_s3::KmsKeyArn;

use super::values::account_id;

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
