//! Attributes that S3 stores with an object.

use aws_sdk_s3::{
    operation::{
        copy_object::builders::CopyObjectFluentBuilder,
        create_multipart_upload::builders::CreateMultipartUploadFluentBuilder,
        head_object::HeadObjectOutput, put_object::builders::PutObjectFluentBuilder,
    },
    primitives::DateTime,
    types::{
        ObjectCannedAcl, ObjectLockLegalHoldStatus, ObjectLockMode, RequestPayer,
        ServerSideEncryption, StorageClass,
    },
};

macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident $setter:ident: $type:ty,)*) => {
        /// Attributes that S3 stores with an object and Sealwax passes through unchanged.
        ///
        /// Names and meanings are those of the SDK's `put_object`.
        #[derive(Debug, Clone, Default, PartialEq)]
        #[non_exhaustive]
        pub struct Attributes {
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        impl Attributes {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(mut self, value: impl Into<$type>) -> Self {
                    self.$name = Some(value.into());
                    self
                }
            )*

            pub(crate) fn on_put(self, request: PutObjectFluentBuilder) -> PutObjectFluentBuilder {
                request$(.$setter(self.$name))*
            }

            pub(crate) fn on_create(self, request: CreateMultipartUploadFluentBuilder) -> CreateMultipartUploadFluentBuilder {
                request$(.$setter(self.$name))*
            }

            pub(crate) fn on_copy(self, request: CopyObjectFluentBuilder) -> CopyObjectFluentBuilder {
                request$(.$setter(self.$name))*
            }
        }
    };
}

attributes! {
    /// Canned ACL.
    acl set_acl: ObjectCannedAcl,
    /// `true` if SSE-KMS uses an S3 Bucket Key.
    bucket_key_enabled set_bucket_key_enabled: bool,
    /// `Cache-Control`.
    cache_control set_cache_control: String,
    /// `Content-Disposition`.
    content_disposition set_content_disposition: String,
    /// `Content-Encoding` of the plaintext.
    content_encoding set_content_encoding: String,
    /// `Content-Language`.
    content_language set_content_language: String,
    /// `Content-Type` of the plaintext.
    content_type set_content_type: String,
    /// Account that must own the bucket.
    expected_bucket_owner set_expected_bucket_owner: String,
    /// `Expires`.
    expires set_expires: DateTime,
    /// Grantees with full control.
    grant_full_control set_grant_full_control: String,
    /// Grantees that may read the object.
    grant_read set_grant_read: String,
    /// Grantees that may read the ACL.
    grant_read_acp set_grant_read_acp: String,
    /// Grantees that may write the ACL.
    grant_write_acp set_grant_write_acp: String,
    /// Object Lock: legal hold.
    object_lock_legal_hold_status set_object_lock_legal_hold_status: ObjectLockLegalHoldStatus,
    /// Object Lock: retention mode.
    object_lock_mode set_object_lock_mode: ObjectLockMode,
    /// Object Lock: end of the retention period.
    object_lock_retain_until_date set_object_lock_retain_until_date: DateTime,
    /// Payer of the request.
    request_payer set_request_payer: RequestPayer,
    /// Server-side encryption, in addition to Sealwax's.
    server_side_encryption set_server_side_encryption: ServerSideEncryption,
    /// KMS key of SSE-KMS.
    ssekms_key_id set_ssekms_key_id: String,
    /// Storage class.
    storage_class set_storage_class: StorageClass,
    /// Tags, as URL query parameters.
    tagging set_tagging: String,
    /// Redirect location of a website endpoint.
    website_redirect_location set_website_redirect_location: String,
}

impl Attributes {
    /// Returns the attributes that a companion object shares: who may read it, and how S3 stores it.
    pub(crate) fn of_companion(&self) -> Self {
        let own = self.clone();
        Self {
            cache_control: None,
            content_disposition: None,
            content_encoding: None,
            content_language: None,
            content_type: Some("application/json".into()),
            expires: None,
            website_redirect_location: None,
            ..own
        }
    }

    /// Returns the attributes in `head` that a copy made `now` does not keep by itself.
    pub(crate) fn of_stored(head: &HeadObjectOutput, now: DateTime) -> Self {
        // S3 refuses a date in the past, and a retention period that is over protects nothing.
        let retained = head.object_lock_retain_until_date.is_some_and(|until| until > now);
        Self {
            bucket_key_enabled: head.bucket_key_enabled,
            cache_control: head.cache_control.clone(),
            content_disposition: head.content_disposition.clone(),
            content_encoding: head.content_encoding.clone(),
            content_language: head.content_language.clone(),
            content_type: head.content_type.clone(),
            object_lock_legal_hold_status: head.object_lock_legal_hold_status.clone(),
            object_lock_mode: head.object_lock_mode.clone().filter(|_| retained),
            object_lock_retain_until_date: head.object_lock_retain_until_date.filter(|_| retained),
            server_side_encryption: head.server_side_encryption.clone(),
            ssekms_key_id: head.ssekms_key_id.clone(),
            storage_class: head.storage_class.clone(),
            website_redirect_location: head.website_redirect_location.clone(),
            ..Self::default()
        }
    }
}
