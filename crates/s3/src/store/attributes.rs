//! Attributes that S3 stores with an object.

use aws_sdk_s3::{
    config::http::HttpRequest,
    operation::{
        copy_object::builders::CopyObjectFluentBuilder,
        create_multipart_upload::builders::CreateMultipartUploadFluentBuilder,
        head_object::HeadObjectOutput, put_object::builders::PutObjectFluentBuilder,
    },
    primitives::DateTime,
    types::{
        ObjectCannedAcl, ObjectLockEventHold, ObjectLockLegalHoldStatus, ObjectLockMode,
        ServerSideEncryption, StorageClass,
    },
};
use aws_smithy_runtime_api::http::HttpError;

macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident $setter:ident: $type:ty,)*) => {
        /// Attributes that S3 stores with an object and Sealwax passes through unchanged.
        ///
        /// Names and meanings are those of the SDK's `put_object`.
        #[derive(Debug, Clone, Default, PartialEq)]
        #[non_exhaustive]
        pub struct Attributes {
            $($(#[$doc])* pub $name: Option<$type>,)*
            /// `Expires`, unchanged: usually a date of HTTP, but S3 stores any text.
            pub expires: Option<String>,
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

            /// Returns these attributes, and those of `base` that they lack.
            fn or(self, base: Self) -> Self {
                Self {
                    $($name: self.$name.or(base.$name),)*
                    expires: self.expires.or(base.expires),
                }
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
    /// Grantees with full control.
    grant_full_control set_grant_full_control: String,
    /// Grantees that may read the object.
    grant_read set_grant_read: String,
    /// Grantees that may read the ACL.
    grant_read_acp set_grant_read_acp: String,
    /// Grantees that may write the ACL.
    grant_write_acp set_grant_write_acp: String,
    /// Object Lock: event hold, which protects the object until it is released.
    object_lock_event_hold set_object_lock_event_hold: ObjectLockEventHold,
    /// Object Lock: days of protection after the event hold is released.
    object_lock_event_hold_duration_days set_object_lock_event_hold_duration_days: i32,
    /// Object Lock: years of protection after the event hold is released.
    object_lock_event_hold_duration_years set_object_lock_event_hold_duration_years: i32,
    /// Object Lock: legal hold.
    object_lock_legal_hold_status set_object_lock_legal_hold_status: ObjectLockLegalHoldStatus,
    /// Object Lock: retention mode.
    object_lock_mode set_object_lock_mode: ObjectLockMode,
    /// Object Lock: end of the retention period.
    object_lock_retain_until_date set_object_lock_retain_until_date: DateTime,
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
    /// `Expires`, unchanged: usually a date of HTTP, but S3 stores any text.
    #[must_use]
    pub fn expires(mut self, value: impl Into<String>) -> Self {
        self.expires = Some(value.into());
        self
    }

    /// `true` if they say who has access to the object.
    pub(crate) fn has_acl(&self) -> bool {
        let grants = [
            &self.grant_full_control,
            &self.grant_read,
            &self.grant_read_acp,
            &self.grant_write_acp,
        ];
        self.acl.is_some() || grants.into_iter().any(Option::is_some)
    }

    /// Returns the attributes of a copy: these, and those of its `source` that they leave open.
    ///
    /// Attributes that belong together are taken from one of the two: those of access, of
    /// server-side encryption, of the retention period and of the event hold.
    pub(crate) fn over(self, mut source: Self) -> Self {
        if self.has_acl() {
            source.acl = None;
            source.grant_full_control = None;
            source.grant_read = None;
            source.grant_read_acp = None;
            source.grant_write_acp = None;
        }
        if self.server_side_encryption.is_some() {
            source.ssekms_key_id = None;
            source.bucket_key_enabled = None;
        }
        if self.object_lock_mode.is_some() && self.object_lock_retain_until_date.is_some() {
            source.object_lock_mode = None;
            source.object_lock_retain_until_date = None;
        }
        let has_duration = self.object_lock_event_hold_duration_days.is_some()
            || self.object_lock_event_hold_duration_years.is_some();
        if self.object_lock_event_hold.is_some() || has_duration {
            source.object_lock_event_hold_duration_days = None;
            source.object_lock_event_hold_duration_years = None;
        }
        self.or(source)
    }

    /// Returns the permissions that an object with these attributes is stored by, besides
    /// `s3:PutObject`.
    pub(crate) fn permissions(&self) -> Vec<&'static str> {
        let is_retained = self.object_lock_mode.is_some()
            || self.object_lock_retain_until_date.is_some()
            // S3 counts the event hold among the retention settings.
            || self.object_lock_event_hold.is_some();
        [
            (self.has_acl(), "s3:PutObjectAcl"),
            (self.tagging.is_some(), "s3:PutObjectTagging"),
            (is_retained, "s3:PutObjectRetention"),
            (self.object_lock_legal_hold_status.is_some(), "s3:PutObjectLegalHold"),
        ]
        .into_iter()
        .filter_map(|(is_set, permission)| is_set.then_some(permission))
        .collect()
    }

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
            expires: head.expires_string.clone(),
            object_lock_event_hold: head.object_lock_event_hold.clone(),
            object_lock_event_hold_duration_days: head.object_lock_event_hold_duration_days,
            object_lock_event_hold_duration_years: head.object_lock_event_hold_duration_years,
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

/// Returns the change of a request that sets `Expires`. The SDK's own setter takes dates only.
pub(crate) fn with_expires(
    expires: Option<String>,
) -> impl Fn(HttpRequest) -> Result<HttpRequest, HttpError> + Clone + Send + Sync + 'static {
    move |mut request| {
        if let Some(expires) = expires.clone() {
            request.headers_mut().try_insert("expires", expires)?;
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_belong_together_are_of_one_object() {
        let source = Attributes::default()
            .content_type("text/plain")
            .grant_read("id=\"you\"")
            .server_side_encryption(ServerSideEncryption::AwsKms)
            .ssekms_key_id("old")
            .bucket_key_enabled(true)
            .object_lock_event_hold(ObjectLockEventHold::On)
            .object_lock_event_hold_duration_years(7);
        let given = Attributes::default()
            .acl(ObjectCannedAcl::BucketOwnerFullControl)
            .server_side_encryption(ServerSideEncryption::Aes256)
            .object_lock_event_hold_duration_days(30);
        let expected = Attributes::default()
            .content_type("text/plain")
            .acl(ObjectCannedAcl::BucketOwnerFullControl)
            .server_side_encryption(ServerSideEncryption::Aes256)
            .object_lock_event_hold(ObjectLockEventHold::On)
            .object_lock_event_hold_duration_days(30);
        assert_eq!(given.over(source.clone()), expected);
        assert_eq!(Attributes::default().over(source.clone()), source);
    }

    #[test]
    fn a_copy_keeps_the_event_hold() {
        let head = HeadObjectOutput::builder()
            .object_lock_event_hold(ObjectLockEventHold::On)
            .object_lock_event_hold_duration_days(90)
            .build();
        let now = DateTime::from_secs(0);
        let kept = Attributes::default()
            .object_lock_event_hold(ObjectLockEventHold::On)
            .object_lock_event_hold_duration_days(90);
        assert_eq!(Attributes::of_stored(&head, now), kept);
        assert_eq!(kept.permissions(), ["s3:PutObjectRetention"]);
    }
}
