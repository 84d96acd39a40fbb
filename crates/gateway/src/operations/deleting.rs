//! `DeleteObject` and `DeleteObjects`.

use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
        DeletedObject, Error,
    },
};
use sealwax_s3::limits::MAX_DELETED_OBJECTS;

use crate::{context::RequestContext, entity_tag, failure::answer, upstream::Upstream};

/// Deletes an object, or a version of it.
pub(crate) async fn one(
    upstream: &Upstream,
    context: &RequestContext,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let input = request.input;
    upstream.check_key(&input.key)?;
    let mut delete = upstream.client().delete().bucket(input.bucket).key(input.key);
    if let Some(version_id) = input.version_id {
        delete = delete.version_id(version_id);
    }
    if let Some(condition) = &input.if_match {
        delete = delete.if_match(entity_tag::stored(condition));
    }
    if context.bypasses_governance {
        delete = delete.bypass_governance_retention();
    }
    let deleted = delete.send().await.map_err(answer)?;
    let output = DeleteObjectOutput {
        delete_marker: deleted.delete_marker.then_some(true),
        version_id: deleted.version_id,
        request_charged: None,
    };
    Ok(S3Response::with_status(output, http::StatusCode::NO_CONTENT))
}

/// Deletes up to 1,000 objects, or versions of them. The gate has not seen their keys.
pub(crate) async fn many(
    upstream: &Upstream,
    context: &RequestContext,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let DeleteObjectsInput { bucket, delete, .. } = request.input;
    let is_quiet = delete.quiet.unwrap_or_default();
    if delete.objects.is_empty() || delete.objects.len() > MAX_DELETED_OBJECTS {
        let message = "a request deletes at least 1 and at most 1,000 objects";
        return Err(S3Error::with_message(S3ErrorCode::MalformedXML, message));
    }
    let (mut deletion, mut named, mut errors) =
        (upstream.client().delete_batch(&bucket), Vec::new(), Vec::new());
    if context.bypasses_governance {
        deletion = deletion.bypass_governance_retention();
    }
    for object in delete.objects {
        let refused = match () {
            () if object.e_tag.is_some()
                || object.size.is_some()
                || object.last_modified_time.is_some() =>
            {
                Some(("NotImplemented", "the gateway has no conditions here"))
            }
            () if object.key.is_empty() => Some(("UserKeyMustBeSpecified", "there is no key")),
            () if upstream.hides(&object.key)
                || !context.client.allows(&bucket, &object.key, true) =>
            {
                Some(("AccessDenied", "Access Denied"))
            }
            () => None,
        };
        if let Some((code, message)) = refused {
            errors.push(Error {
                code: Some(code.to_owned()),
                key: Some(object.key),
                message: Some(message.to_owned()),
                version_id: object.version_id,
            });
            continue;
        }
        deletion = match &object.version_id {
            Some(version_id) => deletion.version(&object.key, version_id),
            None => deletion.object(&object.key),
        };
        named.push((object.key, object.version_id));
    }
    let results = match named.is_empty() {
        true => Vec::new(),
        false => deletion.send().await.map_err(answer)?,
    };
    let mut deleted = Vec::new();
    for ((key, version_id), result) in named.into_iter().zip(results) {
        match result {
            Ok(_) if is_quiet => {}
            Ok(output) => deleted.push(DeletedObject {
                delete_marker: output.delete_marker.then_some(true),
                delete_marker_version_id: output.version_id.filter(|_| output.delete_marker),
                key: Some(key),
                version_id,
            }),
            Err(error) => {
                let error = answer(error);
                errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(key),
                    message: error.message().map(str::to_owned),
                    version_id,
                });
            }
        }
    }
    Ok(S3Response::new(DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        request_charged: None,
    }))
}
