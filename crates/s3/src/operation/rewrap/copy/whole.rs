//! One `CopyObject`.

use aws_sdk_s3::types::{MetadataDirective, TaggingDirective};

use super::{NewMetadata, Stored, checksum, copy_source, stored_after_all};
use crate::{
    Attributes, SealedClient,
    aws_failure::AwsFailure,
    error::{Error, Target},
    object::join_metadata,
    operation::rewrap::present::Present,
};

/// Copies the object onto itself.
pub(super) async fn copy(
    client: &SealedClient,
    target: &Target,
    present: &Present,
    attributes: Attributes,
    metadata: NewMetadata<'_>,
) -> Result<Stored, Error> {
    let head = &present.head;
    let request = client
        .s3()
        .copy_object()
        .bucket(&target.bucket)
        .key(&target.key)
        .copy_source(copy_source(target))
        .copy_source_if_unmodified_since(present.unmodified_since())
        .set_if_match(head.e_tag.clone())
        .metadata_directive(MetadataDirective::Replace)
        .tagging_directive(TaggingDirective::Copy)
        .set_checksum_algorithm(checksum::algorithm(head))
        .set_metadata(Some(join_metadata(metadata.header, metadata.own)));
    let mut request = attributes.on_copy(request).customize();
    if let Some(expires) = head.expires_string.clone() {
        // Kept as it is: the header may hold what is no date.
        request = request.mutate_request(move |request| {
            let _ = request.headers_mut().try_insert("expires", expires.clone());
        });
    }
    match request.send().await {
        Ok(output) => {
            let e_tag = output.copy_object_result.and_then(|result| result.e_tag);
            Ok(Stored { e_tag, version_id: output.version_id })
        }
        Err(error) => stored_after_all(client, target, metadata.header, "CopyObject", AwsFailure::new(&error)).await,
    }
}
