//! Objects that are not sealed: where they may be read, and how long the listed ones are.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sealwax_s3::{SealedClient, UnencryptedObjects};

use crate::bucket_prefix::BucketPrefix;

/// Most objects whose length is remembered.
const REMEMBERED: usize = 1 << 14;

/// Treatment of objects that are not sealed. What clients store is always sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum UnsealedObjects {
    /// A read refuses them.
    #[default]
    Refuse,
    /// A read passes them unchanged. Anyone who can write to the bucket can then replace a sealed object by
    /// one of his own.
    Pass,
    /// As [`UnsealedObjects::Pass`], in these buckets and prefixes; elsewhere a read refuses them.
    PassIn(Vec<BucketPrefix>),
}

/// The way to read objects that need not be sealed.
pub(crate) struct Unsealed {
    places: UnsealedObjects,
    /// Reads sealed objects, and others unchanged.
    client: SealedClient,
    /// Lengths of plaintexts.
    lens: Mutex<HashMap<ListedObject, u64>>,
}

/// An object or a version, as a listing names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListedObject {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) version_id: Option<String>,
    pub(crate) e_tag: String,
}

impl Unsealed {
    pub(crate) fn new(places: UnsealedObjects, client: &SealedClient) -> Self {
        let client = client.with_unencrypted(UnencryptedObjects::PassThrough);
        Self { places, client, lens: Mutex::default() }
    }

    /// `true` if unsealed objects are read anywhere.
    pub(crate) fn has_places(&self) -> bool {
        self.places != UnsealedObjects::Refuse
    }

    /// Returns the client that reads unsealed objects, if the key may be one.
    pub(crate) fn client(&self, bucket: &str, key: &str) -> Option<&SealedClient> {
        let is_passed = match &self.places {
            UnsealedObjects::Refuse => false,
            UnsealedObjects::Pass => true,
            UnsealedObjects::PassIn(places) => places.iter().any(|place| place.covers(bucket, key)),
        };
        is_passed.then_some(&self.client)
    }

    /// Returns the length of an object's plaintext, sealed or not: what is remembered, or what the store
    /// says of it. `None` if it says nothing.
    pub(crate) async fn plaintext_len(&self, listed: ListedObject) -> Option<u64> {
        if let Some(len) = self.lens().get(&listed) {
            return Some(*len);
        }
        let mut head = self.client.head().bucket(&listed.bucket).key(&listed.key);
        if let Some(version_id) = &listed.version_id {
            head = head.version_id(version_id);
        }
        let len = head.if_match(&listed.e_tag).send().await.ok()?.plaintext_len();
        let mut lens = self.lens();
        if lens.len() >= REMEMBERED {
            lens.clear();
        }
        lens.insert(listed, len);
        Some(len)
    }

    fn lens(&self) -> MutexGuard<'_, HashMap<ListedObject, u64>> {
        self.lens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsealed").field("places", &self.places).finish_non_exhaustive()
    }
}
