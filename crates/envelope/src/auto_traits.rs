//! Compile-time checks that public types have the auto traits that tasks and errors need.

use crate::{
    BodyHeader, BodySalt, CacheLimits, CachingKeyring, EncryptedDataKey, EncryptionContext,
    EncryptionMaterials, Error, IntermediateKeyId, Keyring, KeyringError, LocalKeyring, MissingKey,
    MultiKeyring, ObjectHeader, OpenedChunks, Opener, PartBuffer, PartSealer, Place,
    PlaintextDataKey, Scope, Sealer, StreamOpener, Unwrap, WrapContext, conformance,
    geometry::ChunkSpan,
};

fn shared<T: Send + Sync + Unpin>() {}
#[cfg(feature = "s3ec")]
fn sent<T: Send>() {}
fn error<T: std::error::Error + Send + Sync + 'static>() {}
fn keyring<T: Keyring + std::fmt::Debug + Send + Sync + 'static>() {}

#[test]
fn public_types() {
    shared::<(
        BodyHeader,
        BodySalt,
        CacheLimits,
        ChunkSpan,
        EncryptedDataKey,
        EncryptionContext,
        EncryptionMaterials,
    )>();
    shared::<(
        MissingKey,
        ObjectHeader,
        OpenedChunks<'_>,
        Opener,
        PartBuffer,
        PartSealer,
        Place,
        PlaintextDataKey,
    )>();
    shared::<(Sealer, StreamOpener, Unwrap, WrapContext)>();
    shared::<(IntermediateKeyId, Scope)>();
    error::<Error>();
    error::<KeyringError>();
    error::<conformance::Violation>();
    keyring::<LocalKeyring>();
    keyring::<MultiKeyring>();
    keyring::<CachingKeyring>();
    keyring::<std::sync::Arc<dyn Keyring>>();
}

#[cfg(feature = "s3ec")]
#[test]
fn public_types_for_the_s3_encryption_client() {
    use crate::s3ec;

    shared::<(
        s3ec::Admitted,
        s3ec::Detected,
        s3ec::Envelope,
        s3ec::Pending,
        s3ec::ReadPolicy,
        s3ec::WrappedKey,
    )>();
    shared::<(s3ec::RawAesKeyring, s3ec::RawRsaKeyring)>();
    // Streaming states of AWS-LC have one owner at a time, so they are `Send` only.
    sent::<(
        s3ec::ContentOpener,
        s3ec::ContentSealer,
        s3ec::RangeOpener,
        s3ec::Unverified,
        s3ec::Verified,
    )>();
    error::<s3ec::Error>();
}
