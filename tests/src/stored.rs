//! Stored objects, to inspect and to tamper with.

use std::collections::HashMap;

use bytes::Bytes;
use sealwax_s3::{S3Uri, aws_sdk_s3::Client};

/// A stored object's body and metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The sealed body.
    pub body: Bytes,
    /// All user-defined metadata: the caller's and Sealwax's.
    pub metadata: HashMap<String, String>,
}

impl Stored {
    /// Reads an object with the bare SDK.
    pub async fn fetch(s3: &Client, uri: &S3Uri) -> Self {
        let output = s3
            .get_object()
            .bucket(uri.bucket())
            .key(uri.key())
            .send()
            .await
            .expect("a stored object");
        let metadata = output.metadata.unwrap_or_default();
        Self { body: output.body.collect().await.expect("its body").into_bytes(), metadata }
    }

    /// Stores it with the bare SDK and valid checksums, as anyone with write access to the bucket
    /// can.
    pub async fn store(&self, s3: &Client, uri: &S3Uri) {
        let put = s3
            .put_object()
            .bucket(uri.bucket())
            .key(uri.key())
            .set_metadata(Some(self.metadata.clone()));
        put.body(self.body.clone().into()).send().await.expect("store an object");
    }

    /// Returns a copy with another body.
    #[must_use]
    pub fn with_body(&self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), metadata: self.metadata.clone() }
    }

    /// Returns a copy with another value of `name`.
    #[must_use]
    pub fn with(&self, name: &str, value: impl Into<String>) -> Self {
        let mut other = self.clone();
        other.metadata.insert(name.to_owned(), value.into());
        other
    }

    /// Returns a copy without `name`.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.metadata.remove(name);
        other
    }
}

/// Counts the incomplete multipart uploads to `uri`.
pub async fn unfinished_uploads(s3: &Client, uri: &S3Uri) -> usize {
    let listed = s3.list_multipart_uploads().bucket(uri.bucket()).prefix(uri.key()).send().await;
    listed
        .expect("list uploads")
        .uploads()
        .iter()
        .filter(|upload| upload.key() == Some(uri.key()))
        .count()
}
