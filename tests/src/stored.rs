//! Objects as they are stored, to look into and to tamper with.

use std::collections::HashMap;

use bytes::Bytes;
use sealwax_s3::{S3Uri, aws_sdk_s3::Client};

/// A stored object's body and metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The body, sealed.
    pub body: Bytes,
    /// The user metadata, Sealwax's and the user's own.
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

    /// Stores it with the bare SDK, with the right checksums, as somebody who may write to the bucket can.
    pub async fn store(&self, s3: &Client, uri: &S3Uri) {
        let put = s3
            .put_object()
            .bucket(uri.bucket())
            .key(uri.key())
            .set_metadata(Some(self.metadata.clone()));
        put.body(self.body.clone().into()).send().await.expect("store an object");
    }

    /// With another body.
    #[must_use]
    pub fn with_body(&self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), metadata: self.metadata.clone() }
    }

    /// With another value of `name`.
    #[must_use]
    pub fn with(&self, name: &str, value: impl Into<String>) -> Self {
        let mut other = self.clone();
        other.metadata.insert(name.to_owned(), value.into());
        other
    }

    /// Without `name`.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.metadata.remove(name);
        other
    }
}

/// The multipart uploads to `uri` that are neither completed nor aborted.
pub async fn unfinished_uploads(s3: &Client, uri: &S3Uri) -> usize {
    let listed = s3.list_multipart_uploads().bucket(uri.bucket()).prefix(uri.key()).send().await;
    listed
        .expect("list uploads")
        .uploads()
        .iter()
        .filter(|upload| upload.key() == Some(uri.key()))
        .count()
}
