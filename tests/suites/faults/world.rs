//! The server seen without faults, and the objects stored on it beforehand.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use sealwax_s3::{ErrorKind, S3Uri, SealedClient};
use sealwax_tests::{PART, SeaweedFs, local_keyring, plaintext, read};

/// State shared by all plans.
pub(crate) struct World {
    pub(crate) clean: SeaweedFs,
    /// A client without faults, with the key `a`.
    pub(crate) client: SealedClient,
    /// Objects to read, never changed.
    pub(crate) objects: Vec<(S3Uri, Bytes)>,
    /// Objects to change. Each is taken once.
    old: Mutex<Vec<S3Uri>>,
    /// Plaintexts of various lengths.
    data: Vec<Bytes>,
}

/// The plaintext of an existing object.
pub(crate) const BEFORE: &str = "original";

impl World {
    /// Stores the objects, `old` of them to change.
    pub(crate) async fn new(old: usize) -> Self {
        let clean = SeaweedFs::new().await;
        let client = clean.client_builder(local_keyring("a")).part_len(PART).build();
        let lens = [0, 1, 16_384, 40_000, PART + 100, 2 * PART, 2 * PART + 20_000];
        let data: Vec<_> = lens.into_iter().map(plaintext).collect();
        let mut world = Self { clean, client, objects: Vec::new(), old: Mutex::default(), data };
        for data in &world.data {
            world.objects.push((world.put("read", data.clone()).await, data.clone()));
        }
        let put = || world.put("old", BEFORE.into());
        let old = stream::iter(0..old).map(|_| put()).buffer_unordered(8).collect().await;
        *world.old.lock().unwrap_or_else(PoisonError::into_inner) = old;
        world
    }

    async fn put(&self, name: &str, data: Bytes) -> S3Uri {
        let uri = self.clean.object(name);
        self.client.put().uri(&uri).body(data).send().await.expect("put");
        uri
    }

    /// Returns an object that holds [`BEFORE`], preferably one that has not changed for a while.
    pub(crate) async fn old_object(&self) -> S3Uri {
        let old = self.old.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match old {
            Some(uri) => uri,
            None => self.put("fresh", BEFORE.into()).await,
        }
    }

    pub(crate) fn small(&self) -> &[Bytes] {
        &self.data[..4]
    }

    /// Plaintexts of two parts, of two full parts, and of three parts.
    pub(crate) fn large(&self) -> &[Bytes] {
        &self.data[4..]
    }

    /// Returns the whole verified plaintext, or `None` if there is no object.
    pub(crate) async fn look(&self, uri: &S3Uri) -> Option<Bytes> {
        loop {
            match read(&self.client, uri).await {
                Ok(plaintext) => return Some(plaintext),
                Err(error) if error.kind() == ErrorKind::NotFound => return None,
                // A request of a dropped put may arrive during the read.
                Err(error) if error.kind() == ErrorKind::Changed => {}
                Err(error) => panic!("{uri} cannot be read: {error:?}"),
            }
        }
    }

    pub(crate) async fn remove(&self, uri: &S3Uri) {
        self.client.delete().uri(uri).send().await.expect("delete");
    }
}
