//! What is stored with an object: attributes that callers set, and what is known about a stored object.

use std::collections::HashMap;

use aws_sdk_s3::{
    operation::{
        copy_object::builders::CopyObjectFluentBuilder,
        create_multipart_upload::builders::CreateMultipartUploadFluentBuilder, get_object::GetObjectOutput,
        head_object::HeadObjectOutput, put_object::builders::PutObjectFluentBuilder,
    },
    primitives::DateTime,
    types::{
        ObjectCannedAcl, ObjectLockLegalHoldStatus, ObjectLockMode, RequestPayer, ServerSideEncryption, StorageClass,
    },
};
use sealwax_envelope::{EncryptedDataKey, EncryptionContext, Error as EnvelopeError, ObjectHeader, geometry, metadata};

use crate::error::{Error, Target};

macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident $setter:ident: $type:ty,)*) => {
        /// Attributes that S3 stores with an object and Sealwax passes through unchanged.
        ///
        /// The names are those of the SDK's `put_object`, and so are the meanings.
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
    /// Whether SSE-KMS uses an S3 Bucket Key.
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
    /// The account that must own the bucket.
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
    /// Object Lock: mode of retention.
    object_lock_mode set_object_lock_mode: ObjectLockMode,
    /// Object Lock: end of retention.
    object_lock_retain_until_date set_object_lock_retain_until_date: DateTime,
    /// Who pays for the request.
    request_payer set_request_payer: RequestPayer,
    /// Server-side encryption, on top of ours.
    server_side_encryption set_server_side_encryption: ServerSideEncryption,
    /// The KMS key of SSE-KMS.
    ssekms_key_id set_ssekms_key_id: String,
    /// Storage class.
    storage_class set_storage_class: StorageClass,
    /// Tags, as URL query parameters.
    tagging set_tagging: String,
    /// Where a website endpoint redirects to.
    website_redirect_location set_website_redirect_location: String,
}

impl Attributes {
    /// All that HEAD tells and a copy made `now` does not keep by itself.
    pub(crate) fn of_stored(head: &HeadObjectOutput, now: DateTime) -> Self {
        // S3 refuses a date of the past; a retention that is over protects nothing.
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

/// What is known about a stored, sealed object.
///
/// From [`crate::SealedClient::head`] nothing of it is authenticated, for no key was used. From
/// [`crate::SealedClient::get`] the encryption context is: the data key commits to it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObjectInfo {
    header: ObjectHeader,
    plaintext_len: u64,
    /// The user's own metadata.
    pub metadata: HashMap<String, String>,
    /// The entity tag, as S3 gave it.
    pub e_tag: Option<String>,
    /// The version, in a versioned bucket.
    pub version_id: Option<String>,
    /// When this version was stored.
    pub last_modified: Option<DateTime>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Encoding` of the plaintext.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Content-Type` of the plaintext.
    pub content_type: Option<String>,
    /// Storage class; absent for `STANDARD`.
    pub storage_class: Option<StorageClass>,
}

macro_rules! from_output {
    ($(#[$doc:meta])* $name:ident, $output:ty, $stored_len:expr) => {
        $(#[$doc])*
        pub(crate) fn $name(target: &Target, output: &$output) -> Result<Self, Error> {
            let stored_len: fn(&$output) -> Option<u64> = $stored_len;
            let (header, metadata) = split_metadata(output.metadata()).map_err(|error| target.envelope(error))?;
            let plaintext_len =
                plaintext_len(stored_len(output), &header).map_err(|error| target.envelope(error))?;
            Ok(Self {
                header,
                plaintext_len,
                metadata,
                e_tag: output.e_tag.clone(),
                version_id: output.version_id.clone(),
                last_modified: output.last_modified,
                cache_control: output.cache_control.clone(),
                content_disposition: output.content_disposition.clone(),
                content_encoding: output.content_encoding.clone(),
                content_language: output.content_language.clone(),
                content_type: output.content_type.clone(),
                storage_class: output.storage_class.clone(),
            })
        }
    };
}

impl ObjectInfo {
    from_output!(of_head, HeadObjectOutput, |head| head.content_length().and_then(|len| len.try_into().ok()));
    from_output!(
        /// Of a ranged `GetObject`, or one of the whole.
        of_get,
        GetObjectOutput,
        |get| match ContentRange::of(get) {
            Some(range) => Some(range.total),
            None => get.content_length().and_then(|len| len.try_into().ok()),
        }
    );

    /// The same object with another header of the same body.
    pub(crate) fn with_header(self, header: ObjectHeader) -> Self {
        Self { header, ..self }
    }

    /// Length of the plaintext in bytes.
    #[must_use]
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// The encryption context.
    #[must_use]
    pub fn encryption_context(&self) -> &EncryptionContext {
        self.header.context()
    }

    /// The encrypted data keys.
    #[must_use]
    pub fn keys(&self) -> &[EncryptedDataKey] {
        self.header.keys()
    }

    /// 1 for a new object, one more after each rewrap.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.header.generation()
    }

    /// All of Sealwax's metadata.
    #[must_use]
    pub fn header(&self) -> &ObjectHeader {
        &self.header
    }
}

/// `Content-Range: bytes START-END/TOTAL` of an answer. (RFC 9110 §14.4.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The first byte that was sent.
    pub(crate) start: u64,
    /// Length of the whole object.
    pub(crate) total: u64,
}

impl ContentRange {
    pub(crate) fn of(output: &GetObjectOutput) -> Option<Self> {
        Self::parse(output.content_range()?)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (start, _) = range.split_once('-')?;
        Some(Self { start: start.parse().ok()?, total: total.parse().ok()? })
    }
}

/// Tells our metadata from the user's own.
fn split_metadata(
    stored: Option<&HashMap<String, String>>,
) -> Result<(ObjectHeader, HashMap<String, String>), EnvelopeError> {
    let pairs = || stored.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
    let header = ObjectHeader::parse(pairs())?;
    let own = pairs().filter(|(name, _)| !metadata::is_reserved(name));
    Ok((header, own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

/// The plaintext length by the stored length, which the metadata must not contradict.
fn plaintext_len(stored: Option<u64>, header: &ObjectHeader) -> Result<u64, EnvelopeError> {
    let len = stored.and_then(geometry::plaintext_len).ok_or(EnvelopeError::Truncated)?;
    match header.plaintext_len() {
        Some(expected) if expected > len => Err(EnvelopeError::Truncated),
        Some(expected) if expected < len => {
            Err(EnvelopeError::Malformed(format!("the body holds {len} bytes, the metadata says {expected}")))
        }
        _ => Ok(len),
    }
}

/// Our metadata and the user's own, as S3 takes them.
pub(crate) fn join_metadata(header: &ObjectHeader, own: &HashMap<String, String>) -> HashMap<String, String> {
    let ours = header.to_metadata().into_iter().map(|(name, value)| (name.to_owned(), value));
    own.iter().map(|(name, value)| (name.clone(), value.clone())).chain(ours).collect()
}
