#![doc = include_str!("../README.md")]

pub mod ascii_json;
#[cfg(test)]
mod auto_traits;
mod context;
mod crypto;
mod data_key;
mod error;
pub mod geometry;
mod key_schedule;
mod keyring;
mod keyring_error;
pub mod metadata;
mod opener;
mod part;
mod place;
pub mod s3ec;
mod sealer;
mod stream;

pub use bytes;

pub use self::{
    context::{EncryptionContext, FORMAT_PAIR, PLACE_PAIR, WrapContext},
    data_key::{
        DATA_KEY_LEN, EncryptedDataKey, MAX_ENCRYPTED_DATA_KEY_LEN, MissingKey, PlaintextDataKey,
    },
    error::Error,
    key_schedule::BodyHeader,
    keyring::{
        CacheLimits, CachingKeyring, EncryptionMaterials, KeyMaterial, Keyring, LOCAL_PROVIDER,
        LocalKeyring, MultiKeyring, Unwrap,
    },
    keyring_error::{KeyringError, KeyringErrorKind},
    metadata::ObjectHeader,
    opener::{OpenedChunks, Opener},
    part::PartBuffer,
    place::Place,
    sealer::{PartSealer, Sealer},
    stream::StreamOpener,
};

/// A boxed future that can run on any runtime.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
