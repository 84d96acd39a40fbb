//! AWS KMS as a keyring.

mod arn;
mod candidates;
mod clients;
mod failure;
mod keyring;

pub use self::{
    arn::{InvalidArn, KmsKeyArn},
    candidates::DiscoveryFilter,
    keyring::{KMS_PROVIDER, KmsKeyring, KmsKeyringBuilder},
};
