//! Multipart uploads that are neither completed nor aborted.
//!
//! These are plain calls of the SDK, so the library leaves them to [`sealwax_s3::SealedClient::s3`]: nothing in them is
//! sealed, and S3 does not tell an upload's metadata, so that nobody can know which uploads are Sealwax's.

use std::time::SystemTime;

use aws_sdk_s3::{
    Client,
    primitives::{DateTime, DateTimeFormat},
    types::MultipartUpload,
};

use crate::{aws::FailedCall, prefix::Prefix};

/// An unfinished upload.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) id: String,
    initiated: Option<DateTime>,
}

impl Upload {
    fn new(upload: MultipartUpload) -> Option<Self> {
        let MultipartUpload { key, upload_id, initiated, .. } = upload;
        Some(Self { key: key?, id: upload_id?, initiated })
    }

    /// When it began, as in RFC 3339.
    pub(crate) fn initiated(&self) -> Option<String> {
        self.initiated?.fmt(DateTimeFormat::DateTime).ok()
    }

    /// Whether it began before `time`; not where S3 does not say when it began.
    pub(crate) fn began_before(&self, time: SystemTime) -> bool {
        self.initiated.is_some_and(|initiated| initiated < DateTime::from(time))
    }
}

/// The unfinished uploads of all keys that begin so.
///
/// # Errors
/// A call failed.
pub(crate) async fn list(s3: &Client, prefix: &Prefix) -> Result<Vec<Upload>, FailedCall> {
    let mut uploads = Vec::new();
    let mut markers = (None, None);
    loop {
        let call = s3.list_multipart_uploads().bucket(&prefix.bucket);
        let call = call.set_prefix(Some(prefix.key.clone()).filter(|key| !key.is_empty()));
        let (key_marker, id_marker) = markers.clone();
        let page = call.set_key_marker(key_marker).set_upload_id_marker(id_marker).send().await;
        let page = page.map_err(|error| {
            FailedCall::new(&format!("cannot list the uploads of {prefix}"), &error)
        })?;
        let found = page.uploads.unwrap_or_default().into_iter().filter_map(Upload::new);
        // Not every store that speaks S3 heeds the prefix.
        uploads.extend(found.filter(|upload| upload.key.starts_with(&prefix.key)));
        let next = (page.next_key_marker, page.next_upload_id_marker);
        if page.is_truncated != Some(true) {
            return Ok(uploads);
        }
        if next.0.is_none() || next == markers {
            return Err(FailedCall::endless(&format!("cannot list the uploads of {prefix}")));
        }
        markers = next;
    }
}

/// Aborts an upload; `false` if there is none.
///
/// # Errors
/// The call failed.
pub(crate) async fn abort(
    s3: &Client,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<bool, FailedCall> {
    match s3.abort_multipart_upload().bucket(bucket).key(key).upload_id(id).send().await {
        Ok(_) => Ok(true),
        Err(error) => {
            let failed = FailedCall::new(
                &format!("cannot abort the upload {id} to s3://{bucket}/{key}"),
                &error,
            );
            if failed.code.as_deref() == Some("NoSuchUpload") { Ok(false) } else { Err(failed) }
        }
    }
}
