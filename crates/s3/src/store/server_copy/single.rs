//! A copy by one `CopyObject`.

use aws_sdk_s3::types::{MetadataDirective, TaggingDirective};
use futures_util::FutureExt as _;

use super::{ServerCopy, SourceGuard, Stored, kept_checksum};
use crate::{
    error::{Error, aws_failure::AwsFailure},
    store::{attributes::with_expires, known_store::StoreTrait},
};

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
        .set_checksum_algorithm(kept_checksum::algorithm(head))
        .set_metadata(Some(copy.metadata.clone()));
    let request = match copy.guard {
        SourceGuard::LastModified => {
            request.copy_source_if_unmodified_since(snapshot.unmodified_since())
        }
        SourceGuard::Version(_) => request.set_copy_source_if_match(head.e_tag.clone()),
    };
    let request = attributes.clone().on_copy(request);
    let send = |is_directive_sent: bool| {
        let directive = match (attributes.tagging.is_some(), is_directive_sent) {
            (true, _) => Some(TaggingDirective::Replace),
            // The default.
            (false, true) => Some(TaggingDirective::Copy),
            (false, false) => None,
        };
        let request = request.clone().set_tagging_directive(directive).customize();
        let request = request.map_request(with_expires(attributes.expires.clone()));
        async move { request.send().await.map_err(|error| AwsFailure::new(&error)) }.boxed()
    };
    let refusal = StoreTrait::RefusesTaggingDirective;
    match store.if_supported(&target.bucket, refusal, send).await {
        Ok(output) => {
            let e_tag = output.copy_object_result.and_then(|result| result.e_tag);
            let stored = Stored { e_tag, version_id: output.version_id };
            store.confirmed(target, "CopyObject", stored, copy.is_ours).await
        }
        Err(failure) => copy.stored_after_all("CopyObject", failure).await,
    }
}
