//! A copy by one `CopyObject`.

use aws_sdk_s3::types::{MetadataDirective, TaggingDirective};

use super::{ServerCopy, SourceGuard, Stored, kept_checksum};
use crate::error::{Error, aws_failure::AwsFailure};

/// Copies the object in one request.
pub(super) async fn copy(copy: &ServerCopy<'_>) -> Result<Stored, Error> {
    let ServerCopy { store, snapshot, target, attributes, .. } = copy;
    let head = &snapshot.head;
    let request = store
        .s3()
        .copy_object()
        .bucket(&target.bucket)
        .key(&target.key)
        .copy_source(copy.source())
        .set_if_match(copy.conditions.if_match.clone())
        .set_if_none_match(copy.conditions.if_none_match.clone())
        .metadata_directive(MetadataDirective::Replace)
        .tagging_directive(if attributes.tagging.is_some() {
            TaggingDirective::Replace
        } else {
            TaggingDirective::Copy
        })
        .set_checksum_algorithm(kept_checksum::algorithm(head))
        .set_metadata(Some(copy.metadata.clone()));
    let request = match copy.guard {
        SourceGuard::LastModified => {
            request.copy_source_if_unmodified_since(snapshot.unmodified_since())
        }
        SourceGuard::Version(_) => request.set_copy_source_if_match(head.e_tag.clone()),
    };
    let mut request = attributes.clone().on_copy(request).customize();
    if let Some(expires) = copy.expires.clone() {
        request = request.mutate_request(move |request| {
            let _ = request.headers_mut().try_insert("expires", expires.clone());
        });
    }
    match request.send().await {
        Ok(output) => {
            let e_tag = output.copy_object_result.and_then(|result| result.e_tag);
            let stored = Stored { e_tag, version_id: output.version_id };
            store.confirmed(target, "CopyObject", stored, copy.is_ours).await
        }
        Err(error) => copy.stored_after_all("CopyObject", AwsFailure::new(&error)).await,
    }
}
