//! Disaster recovery: every way to store new keys, and every report about existing objects.

mod acls;
mod audit;
mod carried_keys;
mod claims;
mod copies;
mod deletions;
mod drill;
mod moves;
mod proofs;
mod shred;
mod sidecars;
mod unclaimed;
mod verify;

use sealwax_s3::{S3Uri, SealedClient, aws_sdk_s3::Client};
use sealwax_tests::{Stored, unique};

/// A unique prefix and its objects.
struct Folder {
    bucket: String,
    prefix: String,
}

impl Folder {
    fn new(bucket: &str, name: &str) -> Self {
        Self { bucket: bucket.to_owned(), prefix: format!("{}/", unique(name)) }
    }

    fn object(&self, name: &str) -> S3Uri {
        format!("s3://{}/{}{name}", self.bucket, self.prefix).parse().expect("an object's name")
    }

    /// Returns the name given to [`Folder::object`].
    fn name<'a>(&self, key: &'a str) -> &'a str {
        key.strip_prefix(&self.prefix).expect("a key of this folder")
    }

    async fn put(&self, client: &SealedClient, name: &str, plaintext: &'static str) -> S3Uri {
        let uri = self.object(name);
        client.put().uri(&uri).body(plaintext).send().await.expect("put");
        uri
    }
}

/// Stores an unsealed object.
async fn store_plain(s3: &Client, uri: &S3Uri, metadata: &[(&str, &str)]) {
    let metadata =
        metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Stored { body: "plain".into(), metadata }.store(s3, uri).await;
}
