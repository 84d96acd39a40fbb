//! A keyring over AWS KMS.

mod calls;
mod candidates;
mod key_arn;
mod key_name;
mod keyring;
mod keyring_error;
mod rate_limiter;
mod region;
mod regional_clients;
mod s3ec_keyring;
mod secret_plaintext;
mod wrap_policy;

pub use self::{
    candidates::DiscoveryFilter,
    key_arn::{InvalidArn, KMS_PROVIDER, KmsKeyArn, partition_of},
    key_name::{InvalidKeyName, KmsKeyName},
    keyring::{InvalidKeyring, KmsKeyring, KmsKeyringBuilder},
    region::{is_known_region, is_region_name},
    wrap_policy::{TooFewKeys, WrapPolicy},
};
