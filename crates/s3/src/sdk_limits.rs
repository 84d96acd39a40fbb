//! Limits that the SDK lacks: on the address of a request, and on an answer that it keeps in memory.

use std::mem;

use aws_sdk_s3::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{
            BeforeDeserializationInterceptorContextMut, BeforeSerializationInterceptorContextRef,
        },
    },
    error::BoxError,
    operation::{
        abort_multipart_upload::AbortMultipartUploadInput,
        complete_multipart_upload::CompleteMultipartUploadInput, copy_object::CopyObjectInput,
        create_multipart_upload::CreateMultipartUploadInput, delete_object::DeleteObjectInput,
        get_object::GetObjectInput, get_object_acl::GetObjectAclInput,
        get_object_attributes::GetObjectAttributesInput, get_object_tagging::GetObjectTaggingInput,
        head_object::HeadObjectInput, list_multipart_uploads::ListMultipartUploadsInput,
        list_object_versions::ListObjectVersionsInput, list_objects_v2::ListObjectsV2Input,
        put_object::PutObjectInput, upload_part::UploadPartInput,
        upload_part_copy::UploadPartCopyInput,
    },
    primitives::SdkBody,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use http_body_util::Limited;

use crate::whole_answers::WholeAnswers;

/// Maximum length in bytes of an answer, unless it is an object's body: 32 MiB. A page of 1,000 keys
/// takes a few MiB at most.
const MAX_ANSWER_LEN: usize = 32 << 20;
/// Maximum length in bytes of all texts in an address, before they are encoded. Encoded, each byte
/// takes at most three, and HTTP's implementation allows 65,534. Amazon S3 needs far less.
const MAX_ADDRESS_LEN: usize = 16 * 1024;

/// Returns `client` with limits for a store that is not trusted. The clients inside
/// [`SealedClient`](crate::SealedClient) have them already.
///
/// A request whose address would be too long fails as one that cannot be built: the SDK would panic.
/// The texts of an address often come from the store: keys, versions, upload ids, and tokens of
/// pages. An answer of more than 32 MiB is not read to its end, unless it is an object's body. An
/// answer in XML that ends early is an error.
#[must_use]
pub fn with_sdk_limits(client: &Client) -> Client {
    let config = client.config().to_builder().interceptor(SdkLimits).interceptor(WholeAnswers);
    Client::from_conf(config.build())
}

/// The SDK interceptor that enforces the limits.
#[derive(Debug)]
pub(crate) struct SdkLimits;

impl Intercept for SdkLimits {
    fn name(&self) -> &'static str {
        "SdkLimits"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_get = config.load::<Metadata>().is_some_and(|it| it.name() == "GetObject");
        let response = context.response_mut();
        if !is_get || !response.status().is_success() {
            let body = mem::replace(response.body_mut(), SdkBody::taken());
            *response.body_mut() = SdkBody::from_body_1_x(Limited::new(body, MAX_ANSWER_LEN));
        }
        Ok(())
    }

    fn read_before_serialization(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input();
        macro_rules! len {
            ($($operation:ty { $($text:ident),+ })+) => {
                $(if let Some(input) = input.downcast_ref::<$operation>() {
                    [$(input.$text()),+].into_iter().flatten().map(str::len).sum::<usize>()
                } else)+ {
                    0
                }
            };
        }
        let len = len! {
            AbortMultipartUploadInput { bucket, key, upload_id }
            CompleteMultipartUploadInput { bucket, key, upload_id }
            CopyObjectInput { bucket, key }
            CreateMultipartUploadInput { bucket, key }
            DeleteObjectInput { bucket, key, version_id }
            GetObjectInput { bucket, key, version_id }
            GetObjectAclInput { bucket, key, version_id }
            GetObjectAttributesInput { bucket, key, version_id }
            GetObjectTaggingInput { bucket, key, version_id }
            HeadObjectInput { bucket, key, version_id }
            ListMultipartUploadsInput { bucket, prefix, key_marker, upload_id_marker }
            ListObjectVersionsInput { bucket, prefix, key_marker, version_id_marker }
            ListObjectsV2Input { bucket, prefix, delimiter, continuation_token, start_after }
            PutObjectInput { bucket, key }
            UploadPartInput { bucket, key, upload_id }
            UploadPartCopyInput { bucket, key, upload_id }
        };
        if len > MAX_ADDRESS_LEN {
            return Err(format!("the names and ids in its address have {len} bytes").into());
        }
        Ok(())
    }
}
