//! The samples, their keys, and settings to read them.

use std::{collections::HashMap, fs, path::PathBuf};

use sealwax_s3::{
    S3Uri, SealedClient,
    aws_sdk_s3::Client,
    envelope::EncryptionContext,
    s3ec::{CommitmentPolicy, RawAesKeyring, RawRsaKeyring, S3ec},
};
use sealwax_tests::{LocalStack, Stored};

/// Reads a file of the samples.
pub(crate) fn sample_file(path: &str) -> Vec<u8> {
    let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/s3ec"));
    fs::read(directory.join(path)).expect("a file of the samples")
}

pub(crate) fn aes_key() -> RawAesKeyring {
    let hex = String::from_utf8(sample_file("_keys/aes256.hex")).expect("text");
    RawAesKeyring::new(&mut hex::decode(hex.trim()).expect("hex")).expect("32 bytes")
}

pub(crate) fn rsa_key() -> RawRsaKeyring {
    RawRsaKeyring::from_private_key(&sample_file("_keys/rsa2048-private-pkcs8.pem"))
        .expect("a private key")
}

/// Returns settings that read every kind of object.
pub(crate) fn everything() -> S3ec {
    S3ec::new()
        .commitment_policy(CommitmentPolicy::RequireEncryptAllowDecrypt)
        .legacy_wrapping_algorithms(true)
        .legacy_unauthenticated_modes(true)
}

/// Returns settings that write V2.
pub(crate) fn v2() -> S3ec {
    S3ec::new().commitment_policy(CommitmentPolicy::ForbidEncryptAllowDecrypt)
}

/// Returns a client with the home key and these settings.
pub(crate) fn client(stack: &LocalStack, s3ec: S3ec) -> SealedClient {
    stack.client_builder([&stack.home.key]).s3ec(s3ec).build()
}

pub(crate) fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
    EncryptionContext::try_from_iter(pairs.iter().copied()).expect("pairs")
}

/// Returns the name of the object beside `uri` with this suffix.
pub(crate) fn beside(uri: &S3Uri, suffix: &str) -> S3Uri {
    format!("{uri}{suffix}").parse().expect("an object's name")
}

/// Stores a sample unchanged. Returns its plaintext.
pub(crate) async fn store_sample(s3: &Client, uri: &S3Uri, id: &str, suffix: &str) -> Vec<u8> {
    let json = |name: &str| -> HashMap<String, String> {
        serde_json::from_slice(&sample_file(&format!("{id}/{name}"))).expect("metadata")
    };
    let object = Stored {
        body: sample_file(&format!("{id}/ciphertext.bin")).into(),
        metadata: json("metadata.json"),
    };
    object.store(s3, uri).await;
    if id.ends_with("-instruction") {
        let body = sample_file(&format!("{id}/instruction.json")).into();
        Stored { body, metadata: json("instruction-metadata.json") }
            .store(s3, &beside(uri, suffix))
            .await;
    }
    sample_file(&format!("{id}/plaintext.bin"))
}
