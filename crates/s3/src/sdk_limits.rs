//! Limits that the SDK lacks: on the address of a request, on the time without progress, and on an
//! answer that it keeps in memory.

use std::time::Duration;

use aws_sdk_s3::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig,
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
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;

use crate::{
    default_http::default_http_client, limited_http::LimitedHttp, whole_answers::WholeAnswers,
};

/// Maximum length in bytes of all texts in an address, before they are encoded. Encoded, each byte
/// takes at most three, and HTTP's implementation allows 65,534. Amazon S3 needs far less.
const MAX_ADDRESS_LEN: usize = 16 * 1024;

/// Returns `client` with limits for a store that is not trusted. The clients inside
/// [`SealedClient`](crate::SealedClient) have them already, and are returned unchanged.
///
/// A call that makes no progress for `timeout`, or whose answer is too long, ends: see
/// [`LimitedHttp`]. It replaces the SDK's stalled-stream protection. Other time limits of the client
/// stay in force.
///
/// A request whose address would be too long fails as one that cannot be built: the SDK would panic.
/// The texts of an address often come from the store: keys, versions, upload ids, and tokens of
/// pages. An answer in XML that ends early is an error.
#[must_use]
pub fn with_sdk_limits(client: &Client, timeout: Duration) -> Client {
    let config = client.config();
    if config.interceptors().any(|it| it.name() == SdkLimits.name()) {
        return client.clone();
    }
    let http = limited(config.http_client(), timeout);
    let config = config
        .to_builder()
        .http_client(http)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .interceptor(SdkLimits)
        .interceptor(WholeAnswers);
    Client::from_conf(config.build())
}

/// Returns an SDK client's HTTP client, or the SDK's default, with limits.
pub(crate) fn limited(http: Option<SharedHttpClient>, timeout: Duration) -> LimitedHttp {
    LimitedHttp::over(http.unwrap_or_else(default_http_client)).timeout(timeout)
}

/// The SDK interceptor that enforces the limit of addresses. It marks a client that has all limits.
#[derive(Debug)]
struct SdkLimits;

#[dyn_dispatch_hint]
impl Intercept for SdkLimits {
    fn name(&self) -> &'static str {
        "SdkLimits"
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
