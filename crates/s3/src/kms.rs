//! AWS KMS as a keyring.

mod arn;
mod calls;
mod candidates;
mod clients;
mod failure;
mod generate;
mod keyring;
mod pace;
mod s3ec;

pub use self::{
    arn::{InvalidArn, KmsKeyArn},
    candidates::DiscoveryFilter,
    generate::WrapPolicy,
    keyring::{KMS_PROVIDER, KmsKeyring, KmsKeyringBuilder},
};
