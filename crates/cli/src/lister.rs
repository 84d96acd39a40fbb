//! Listings of a bucket that leave the objects of a key store alone.

use aws_sdk_s3::Client;
use sealwax_jobs::listing::{Listing, ManifestLocation};
use sealwax_s3::{KeyStorePolicy, SealedClient};

/// Lists a bucket, and leaves the objects of a key store alone unless the prefix leads there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lister<'a> {
    s3: &'a Client,
    key_store: &'a KeyStorePolicy,
}

impl<'a> Lister<'a> {
    pub(crate) fn new(s3: &'a Client, key_store: &'a KeyStorePolicy) -> Self {
        Self { s3, key_store }
    }

    pub(crate) fn s3(self) -> &'a Client {
        self.s3
    }

    pub(crate) fn key_store(self) -> &'a KeyStorePolicy {
        self.key_store
    }

    /// Lists the latest versions of the objects whose keys begin with the prefix.
    pub(crate) fn objects(self, bucket: &str, prefix: &str) -> Listing {
        Listing::objects(self.s3, bucket, prefix).key_store(self.key_store)
    }

    /// Lists all versions of the objects whose keys begin with the prefix.
    pub(crate) fn versions(self, bucket: &str, prefix: &str) -> Listing {
        Listing::versions(self.s3, bucket, prefix).key_store(self.key_store)
    }

    /// Lists the objects of an S3 Inventory; only those whose keys begin with the prefix are meant.
    pub(crate) fn inventory(self, manifest: ManifestLocation, prefix: &str) -> Listing {
        Listing::inventory(self.s3, manifest).named(prefix).key_store(self.key_store)
    }
}

impl<'a> From<&'a SealedClient> for Lister<'a> {
    fn from(client: &'a SealedClient) -> Self {
        Self::new(client.s3(), client.key_store())
    }
}
