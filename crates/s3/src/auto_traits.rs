//! Auto traits of public types, checked by the compiler: they can be used in any task and any error.

use sealwax_envelope::Keyring;

use crate::{
    Attributes, CopyObject, CopyObjectOutput, Delete, DiscoveryFilter, Error, Get, Head, Inspect,
    InspectOutput, InvalidArn, InvalidUri, KeyAudit, KeyChanges, KeyHolder, KmsKeyArn, KmsKeyring,
    KmsKeyringBuilder, KnownStore, ListPages, ListedObject, ListedPage, ListedUpload, ObjectInfo,
    PageTokens, PlacePolicy, PlaintextSource, PlaintextStream, Put, PutOutput, PutS3ec, Reencrypt,
    Rewrap, RewrapOutcome, RewrapOutput, Rewrapper, S3Uri, SealedClient, SealedClientBuilder,
    SealedObject, Shred, ShredOutput, UploadPages, Verify, VerifyOutput, s3ec,
};

fn sent<T: Send + 'static>() {}
fn shared<T: Send + Sync + 'static>() {}
fn cloned<T: Clone + Send + Sync + 'static>() {}
fn error<T: std::error::Error + Send + Sync + 'static>() {}
fn keyring<T: Keyring + std::fmt::Debug + Send + Sync + 'static>() {}

#[test]
fn public_types() {
    cloned::<(
        SealedClient,
        Attributes,
        ObjectInfo,
        PlacePolicy,
        DiscoveryFilter,
        KmsKeyArn,
        S3Uri,
        KeyHolder,
        KnownStore,
    )>();
    cloned::<(CopyObject, Delete, Head, Rewrap, Shred, Verify)>();
    cloned::<(CopyObjectOutput, PutOutput, RewrapOutput, ShredOutput, VerifyOutput)>();
    cloned::<(KeyChanges, Inspect, ListedObject, Rewrapper, s3ec::S3ec)>();
    shared::<(KmsKeyringBuilder, SealedClientBuilder, Get, RewrapOutcome)>();
    shared::<(InspectOutput, KeyAudit, ListPages)>();
    shared::<(ListedPage, ListedUpload, PageTokens<String>, UploadPages)>();
    // A body, and the types that read one, need one owner at a time.
    sent::<(PlaintextSource, Put, PutS3ec, Reencrypt, SealedObject, PlaintextStream)>();
    error::<Error>();
    error::<InvalidArn>();
    error::<InvalidUri>();
    keyring::<KmsKeyring>();
}

/// The futures of operations can run in tasks.
#[test]
fn futures() {
    fn task<T: Future + Send + 'static>(_: impl FnOnce(SealedClient) -> T) {}

    task(|client| client.put().body("text").send());
    task(|client| client.get().send());
    task(|client| client.get().to_file("file"));
    task(|client| client.head().send());
    task(|client| client.inspect().send());
    task(|client| client.copy().send());
    task(|client| client.delete().send());
    task(|client| client.rewrap().send());
    task(|client| client.reencrypt().send());
    task(|client| client.shred().send());
    task(|client| client.verify().send());
    task(|client| async move { client.get().send().await.ok()?.bytes().await.ok() });
}
