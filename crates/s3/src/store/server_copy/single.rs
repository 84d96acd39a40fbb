//! A copy by one `CopyObject`.

use aws_sdk_s3::types::{MetadataDirective, TaggingDirective};

use super::{ServerCopy, SourceGuard, Stored, kept_checksum};
use crate::error::{Error, ErrorKind, aws_failure::AwsFailure};

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
            check_replaced(copy, &stored).await?;
            Ok(stored)
        }
        Err(error) => copy.stored_after_all("CopyObject", AwsFailure::new(&error)).await,
    }
}

/// Fails if the copy kept the metadata of its source, although it should have replaced it.
///
/// Some stores ignore the directive and report success. One look is enough for each store, and
/// Amazon S3 needs none.
async fn check_replaced(copy: &ServerCopy<'_>, stored: &Stored) -> Result<(), Error> {
    let ServerCopy { store, snapshot, target, .. } = copy;
    let old = snapshot.head.metadata();
    if snapshot.is_amazon_s3 || old == Some(&copy.metadata) {
        return Ok(());
    }
    let look = || async {
        let head = store.s3().head_object().bucket(&target.bucket).key(&target.key);
        let head = head.set_version_id(stored.version_id.clone()).send().await;
        // The copy was made, and nothing says that it kept the metadata: the next one is checked.
        let head = head.map_err(|_| None)?;
        if head.metadata() != old {
            return Ok(());
        }
        let message = "the store reported a copy with new metadata, and stored the old: it does \
                       not support the metadata directive of CopyObject";
        Err(Some(target.error(ErrorKind::Unsupported, message)))
    };
    match store.0.replaces_metadata.get_or_try_init(look).await {
        Ok(()) | Err(None) => Ok(()),
        Err(Some(error)) => Err(error),
    }
}
