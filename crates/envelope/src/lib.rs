#![doc = include_str!("../README.md")]

mod ascii_json;
#[cfg(test)]
mod auto_traits;
mod context;
mod crypto;
mod data_key;
mod error;
pub mod geometry;
mod key_schedule;
mod keyring;
pub mod metadata;
mod opener;
mod part;
mod place;
#[cfg(feature = "s3ec")]
pub mod s3ec;
mod sealer;
mod stream;

pub use bytes;

pub use self::{
    context::{EncryptionContext, FORMAT_PAIR, PLACE_PAIR, WrapContext},
    data_key::{
        DATA_KEY_LEN, EncryptedDataKey, MAX_ENCRYPTED_DATA_KEY_LEN, MissingWrap, PlaintextDataKey,
    },
    error::Error,
    key_schedule::BodyHeader,
    keyring::{
        BoxFuture, CacheLimits, CachingKeyring, EncryptionMaterials, KeyMaterial, Keyring,
        KeyringError, KeyringErrorKind, LOCAL_PROVIDER, LocalKeyring, MultiKeyring, Unwrap,
    },
    metadata::ObjectHeader,
    opener::{OpenedChunks, Opener},
    part::PartBuffer,
    place::Place,
    sealer::{PartSealer, Sealer},
    stream::StreamOpener,
};
