//! `SealedStore` is an `object_store::ObjectStore`: that crate's own suite, and what it does not ask.

mod copies;
mod sealed;
mod suite;

use std::sync::Arc;

use object_store::{path::Path, prefix::PrefixStore};
use sealwax_object_store::SealedStore;
use sealwax_s3::S3Uri;
use sealwax_tests::{LocalStack, SeaweedFs, east, local_keyring, unique};

/// A part of the bucket that no other test, and no other run, uses.
fn part_of(store: SealedStore) -> Arc<PrefixStore<SealedStore>> {
    Arc::new(PrefixStore::new(store, unique("object-store")))
}

/// A versioned bucket, and KMS.
fn localstack() -> (LocalStack, SealedStore) {
    let stack = LocalStack::new(east());
    let store = SealedStore::new(stack.client([&stack.home.key]), &stack.home.bucket);
    (stack, store)
}

/// An unversioned bucket, where S3's conditions on copies hold; keys without KMS.
async fn seaweedfs() -> (SeaweedFs, SealedStore) {
    let server = SeaweedFs::new().await;
    let bucket = server.object("any").bucket().to_owned();
    let store = SealedStore::new(server.client(local_keyring("object-store")), bucket);
    (server, store)
}

fn path(uri: &S3Uri) -> Path {
    Path::parse(uri.key()).expect("a path")
}
