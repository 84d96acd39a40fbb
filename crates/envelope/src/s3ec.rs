//! The object formats of the Amazon S3 Encryption Client: V3, V2 and V1. No AWS, no I/O.
//!
//! An object's envelope is [`detect`]ed in its metadata, and completed by its instruction file where it has one. Nothing
//! can be unwrapped before [`Envelope::admit`] has held it to a [`ReadPolicy`], and no plaintext leaves before the
//! object's tag, at its very end, was checked, unless somebody says `dangerous`.
//!
//! Sources: the specification of the S3 Encryption Client (awslabs/aws-encryption-sdk-specification, `s3-encryption`), and
//! what its clients write (`tests/vectors/s3ec`).

mod algorithms;
mod content;
mod derive;
mod detect;
mod encoded_word;
mod envelope;
mod error;
mod fields;
mod instruction_file;
mod keyring;
mod names;
mod policy;
mod raw_aes;
mod raw_rsa;

pub use self::{
    algorithms::{ContentSuite, Format, Storage, WrapAlgorithm},
    content::{
        ContentOpener, ContentSealer, MAX_PLAINTEXT_LEN, RangeOpener, TAG_LEN, Unverified, Verified,
    },
    detect::{Detected, Pending, detect},
    envelope::{Content, Envelope},
    error::Error,
    instruction_file::{INSTRUCTION_FILE_SUFFIX, MAX_INSTRUCTION_FILE_LEN},
    keyring::{Keyring, WrappedKey},
    names::{INSTRUCTION_FILE_MARKER, is_reserved},
    policy::{Admitted, CommitmentPolicy, ReadPolicy},
    raw_aes::RawAesKeyring,
    raw_rsa::RawRsaKeyring,
};
