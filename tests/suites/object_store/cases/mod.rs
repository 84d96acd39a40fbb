//! The tests. They are compiled once for each version of `object_store`, which the parent module names.

mod copies;
mod sealed;
mod suite;

use std::sync::Arc;

use super::SealedStore;
use super::object_store::{path::Path, prefix::PrefixStore};
use sealwax_s3::S3Uri;
use sealwax_tests::{LocalStack, SeaweedFs, east, local_keyring, unique};

/// Returns a prefix of the bucket that no other test, and no other run, uses.
fn part_of(store: SealedStore) -> Arc<PrefixStore<SealedStore>> {
    Arc::new(PrefixStore::new(store, unique("object-store")))
}

/// Returns a store over a bucket with versioning, with KMS.
fn localstack() -> (LocalStack, SealedStore) {
    let stack = LocalStack::new(east());
    let store = SealedStore::new(stack.client([&stack.home.key]), &stack.home.bucket);
    (stack, store)
}

/// Returns a store over a bucket without versioning that honours conditions on copies. Its key is
/// local.
async fn seaweedfs() -> (SeaweedFs, SealedStore) {
    let server = SeaweedFs::new().await;
    let bucket = server.object("any").bucket().to_owned();
    let store = SealedStore::new(server.client(local_keyring("object-store")), bucket);
    (server, store)
}

fn path(uri: &S3Uri) -> Path {
    Path::parse(uri.key()).expect("a path")
}
