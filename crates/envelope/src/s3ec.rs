//! Object formats of the Amazon S3 Encryption Client: V3, V2 and V1. No AWS calls, no I/O.
//!
//! [`detect`] reads an object's envelope from its metadata; the object's instruction file, if there
//! is one, completes it. Nothing can be unwrapped before [`Envelope::admit`] has checked the
//! envelope against a [`ReadPolicy`]. No plaintext is released before the tag at the end of the
//! object has been verified, except by methods named `dangerous`.
//!
//! Envelopes, policies and the [`Keyring`] trait are always available. Content encryption and
//! keyrings over raw keys need the feature `s3ec`.
//!
//! Sources: the specification of the S3 Encryption Client
//! (awslabs/aws-encryption-sdk-specification, `s3-encryption`), and objects written by its
//! implementations (`tests/vectors/s3ec`).

mod algorithms;
#[cfg(feature = "s3ec")]
mod content;
#[cfg(feature = "s3ec")]
mod derive;
mod detect;
mod encoded_word;
mod envelope;
mod envelope_fields;
mod header_names;
mod instruction_file;
mod policy;
#[cfg(feature = "s3ec")]
mod raw_aes;
#[cfg(feature = "s3ec")]
mod raw_rsa;
mod s3ec_error;
mod s3ec_keyring;
mod wrapped_key;

pub use self::{
    algorithms::{
        CommitmentPolicy, ContentSuite, Format, MAX_PLAINTEXT_LEN, Storage, TAG_LEN, WrapAlgorithm,
    },
    detect::{Detected, Pending, detect},
    envelope::{Content, Envelope},
    header_names::{INSTRUCTION_FILE_MARKER, is_reserved},
    instruction_file::{INSTRUCTION_FILE_SUFFIX, MAX_INSTRUCTION_FILE_LEN, is_instruction_file},
    policy::{Admitted, ReadPolicy},
    s3ec_error::Error,
    s3ec_keyring::{Keyring, Rewrapped},
    wrapped_key::WrappedKey,
};
#[cfg(feature = "s3ec")]
pub use self::{
    content::{ContentOpener, ContentSealer, RangeOpener, Unverified, Verified},
    raw_aes::RawAesKeyring,
    raw_rsa::RawRsaKeyring,
};
