//! A limit on the address of a request.

use aws_sdk_s3::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::BeforeSerializationInterceptorContextRef,
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
};

/// Maximum length in bytes of all texts in an address, before they are encoded. Encoded, each byte
/// takes at most three, and HTTP's implementation allows 65,534. Amazon S3 needs far less.
const MAX_LEN: usize = 16 * 1024;

/// Returns `client`, which refuses requests whose address would be too long, with a construction
/// failure.
///
/// The SDK panics on them. The texts of an address often come from the store: keys, versions,
/// upload ids, and tokens of pages.
#[must_use]
pub fn with_address_limit(client: &Client) -> Client {
    Client::from_conf(client.config().to_builder().interceptor(AddressLimit).build())
}

/// The SDK interceptor that checks the texts in the address of each request.
#[derive(Debug)]
pub(crate) struct AddressLimit;

impl Intercept for AddressLimit {
    fn name(&self) -> &'static str {
        "AddressLimit"
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
        if len > MAX_LEN {
            return Err(format!("the names and ids in its address have {len} bytes").into());
        }
        Ok(())
    }
}
