#![doc = include_str!("../README.md")]

pub mod ascii_json;
#[cfg(test)]
mod auto_traits;
pub mod conformance;
mod context;
mod crypto;
mod encrypted_data_key;
mod error;
pub mod geometry;
mod intermediate_key;
mod key_object;
mod key_schedule;
mod keyring;
mod keyring_error;
pub mod metadata;
mod opener;
mod part;
mod place;
mod plaintext_data_key;
pub mod s3ec;
mod sealer;
mod span_opener;
mod stream;
mod wrap_context;

pub use bytes;

pub use self::{
    context::EncryptionContext,
    encrypted_data_key::{EncryptedDataKey, MAX_ENCRYPTED_DATA_KEY_LEN, MissingKey, SharedKeySlot},
    error::Error,
    intermediate_key::IntermediateKeyId,
    key_object::{KEY_OBJECT_LIMIT, KeyObject, KeyObjectName},
    key_schedule::{BodyHeader, BodySalt},
    keyring::{
        CacheCounts, CacheLimits, CacheStats, CachingKeyring, EncryptionMaterials, KeyMaterial,
        Keyring, LOCAL_PROVIDER, LocalKeyring, MultiKeyring, Unwrap, UnwrappedKey,
    },
    keyring_error::{KeyringError, KeyringErrorKind},
    metadata::ObjectHeader,
    opener::{OpenedChunks, Opener},
    part::PartBuffer,
    place::{Place, Scope},
    plaintext_data_key::{DATA_KEY_LEN, PlaintextDataKey},
    sealer::{PartSealer, Sealer, SealingPart},
    span_opener::{OpenedSpan, SpanOpener},
    stream::StreamOpener,
    wrap_context::{
        FORMAT_PAIR, INTERMEDIATE_PAIR, PLACE_PAIR, SALT_PAIR, SCOPE_PAIR, WrapContext,
        WrappedForms,
    },
};

/// A boxed future that can run on any runtime.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
