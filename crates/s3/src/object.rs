//! Description of a stored object.

use std::{collections::HashMap, ops::RangeInclusive};

use aws_sdk_s3::{
    operation::{get_object::GetObjectOutput, head_object::HeadObjectOutput},
    primitives::DateTime,
    types::StorageClass,
};
use sealwax_envelope::{
    EncryptedDataKey, EncryptionContext, Error as EnvelopeError, ObjectHeader, geometry,
    s3ec::{Content, Envelope},
};
use sha2::{Digest as _, Sha256};

use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    store::ranged_get::ContentRange,
};

/// Identity of an object's content, by what its metadata claims.
///
/// Each sealing makes a new one, and copies and rewraps keep it. Only an object that was opened, or
/// whose keys were verified, is shown to have the content that it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId([u8; 32]);

/// Description of a stored object.
///
/// [`crate::SealedClient::head`] uses no key, so nothing in its answer is authenticated. In the
/// answer of [`crate::SealedClient::get`], the encryption context is authenticated: the data key
/// commits to it, or the wrapped key does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObjectInfo {
    format: ObjectFormat,
    encryption_context: EncryptionContext,
    plaintext_len: u64,
    /// Lengths that the plaintext can have.
    plaintext_lens: RangeInclusive<u64>,
    /// User-defined metadata.
    pub metadata: HashMap<String, String>,
    /// Entity tag, as S3 returned it.
    pub e_tag: Option<String>,
    /// Version id, in a versioned bucket.
    pub version_id: Option<String>,
    /// Time at which this version was stored.
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
    /// `Expires`, unchanged: usually a date of HTTP, but S3 stores any text.
    pub expires: Option<String>,
    /// Number of tags. S3 tells it callers who may read the tags, if there are any.
    pub tag_count: Option<i32>,
    /// Storage class; absent for `STANDARD`.
    pub storage_class: Option<StorageClass>,
}

macro_rules! from_output {
    ($(#[$doc:meta])* $name:ident, $output:ty, $stored_len:expr) => {
        $(#[$doc])*
        pub(crate) fn $name(target: &ObjectRef, output: &$output, format: ObjectFormat) -> Result<Self, Error> {
            let stored_len: fn(&$output) -> Option<u64> = $stored_len;
            let (plaintext_len, plaintext_lens) =
                plaintext_len(target, stored_len(output), &format)?;
            Ok(Self {
                encryption_context: encryption_context(&format),
                plaintext_len,
                plaintext_lens,
                metadata: format.user_metadata(output.metadata()),
                e_tag: output.e_tag.clone(),
                version_id: output.version_id.clone(),
                last_modified: output.last_modified,
                cache_control: output.cache_control.clone(),
                content_disposition: output.content_disposition.clone(),
                content_encoding: output.content_encoding.clone(),
                content_language: output.content_language.clone(),
                content_type: output.content_type.clone(),
                expires: output.expires_string.clone(),
                tag_count: output.tag_count,
                storage_class: output.storage_class.clone(),
                format,
            })
        }
    };
}

impl ObjectInfo {
    from_output!(of_head, HeadObjectOutput, |head| head
        .content_length()
        .and_then(|len| len.try_into().ok()));
    from_output!(
        /// Describes the object of a `GetObject`, ranged or not.
        of_get,
        GetObjectOutput,
        |get| stored_len(get)
    );

    /// Replaces the header by another one of the same body.
    pub(crate) fn with_header(self, header: ObjectHeader) -> Self {
        Self { format: ObjectFormat::Sealwax(header), ..self }
    }

    /// Replaces the plaintext's length by that of the content, which was opened.
    pub(crate) fn with_opened_len(self, len: u64) -> Self {
        Self { plaintext_len: len, plaintext_lens: len..=len, ..self }
    }

    /// Returns the format, with the content of the metadata.
    #[must_use]
    pub fn format(&self) -> &ObjectFormat {
        &self.format
    }

    /// Returns the plaintext length in bytes.
    ///
    /// For AES-CBC, in old objects of the S3 Encryption Client, this is the ciphertext length: 1 to
    /// 16 bytes more. [`ObjectInfo::plaintext_lens`] tells. In the answer of
    /// [`Get::to_file`](crate::Get::to_file), it is the length of the file in any case.
    #[must_use]
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// Returns the lengths in bytes that the plaintext can have: one, or 16 for AES-CBC, whose
    /// padding only the content tells.
    #[must_use]
    pub fn plaintext_lens(&self) -> RangeInclusive<u64> {
        self.plaintext_lens.clone()
    }

    /// Returns the encryption context as the caller gave it, without the pairs that clients add.
    #[must_use]
    pub fn encryption_context(&self) -> &EncryptionContext {
        &self.encryption_context
    }

    /// Returns the encrypted data keys in Sealwax's own format; empty for other formats.
    #[must_use]
    pub fn keys(&self) -> &[EncryptedDataKey] {
        self.header().map(ObjectHeader::keys).unwrap_or_default()
    }

    /// Returns the generation. It starts at 1 and increases by one per rewrap; 0 for formats without
    /// a generation.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.header().map(ObjectHeader::generation).unwrap_or_default()
    }

    /// Returns the identity of the content, by its claims; `None` if no client encrypted the object.
    #[must_use]
    pub fn content_id(&self) -> Option<ContentId> {
        let mut digest = Sha256::new_with_prefix(self.plaintext_len.to_be_bytes());
        match &self.format {
            // Its salt is new for each body.
            ObjectFormat::Sealwax(header) => digest.update(header.body_header().to_bytes()),
            // So are the nonce, the message id and the initialisation vector.
            ObjectFormat::S3ec(envelope) => match envelope.content() {
                Content::AesCbc { iv } => digest.update(iv),
                Content::AesGcm { iv } => digest.update(iv),
                Content::AesGcmCommitKey { message_id, commitment } => {
                    digest.update(message_id);
                    digest.update(commitment);
                }
            },
            ObjectFormat::Unencrypted => return None,
        }
        Some(ContentId(digest.finalize().into()))
    }

    /// Returns Sealwax's metadata; `None` for other formats.
    #[must_use]
    pub fn header(&self) -> Option<&ObjectHeader> {
        match &self.format {
            ObjectFormat::Sealwax(header) => Some(header),
            ObjectFormat::S3ec(_) | ObjectFormat::Unencrypted => None,
        }
    }

    /// Returns Sealwax's metadata, for operations that only its own format supports.
    pub(crate) fn sealed_header(&self, target: &ObjectRef) -> Result<&ObjectHeader, Error> {
        self.header().ok_or_else(|| match self.format {
            ObjectFormat::Unencrypted => {
                target.error(ErrorKind::NotSealed, "the object is not encrypted by any client")
            }
            _ => {
                target.error(ErrorKind::Unsupported, "it is an object of the S3 Encryption Client")
            }
        })
    }

    /// Returns the envelope of the S3 Encryption Client; `None` for other formats.
    #[must_use]
    pub fn envelope(&self) -> Option<&Envelope> {
        match &self.format {
            ObjectFormat::S3ec(envelope) => Some(envelope),
            ObjectFormat::Sealwax(_) | ObjectFormat::Unencrypted => None,
        }
    }
}

/// Returns the length of the stored object in bytes.
fn stored_len(get: &GetObjectOutput) -> Option<u64> {
    match get.content_range().and_then(ContentRange::parse) {
        Some(range) => Some(range.total),
        None => get.content_length().and_then(|len| len.try_into().ok()),
    }
}

/// Returns the caller's pairs. Some objects of Amazon SES have names that no caller can use: those
/// are in the envelope only.
fn encryption_context(format: &ObjectFormat) -> EncryptionContext {
    match format {
        ObjectFormat::Sealwax(header) => header.context().clone(),
        ObjectFormat::S3ec(envelope) => envelope.encryption_context().unwrap_or_default(),
        ObjectFormat::Unencrypted => EncryptionContext::new(),
    }
}

/// Returns the plaintext length for a stored length, and those that it can have. The metadata must
/// not contradict it.
fn plaintext_len(
    target: &ObjectRef,
    stored: Option<u64>,
    format: &ObjectFormat,
) -> Result<(u64, RangeInclusive<u64>), Error> {
    let truncated = || target.envelope_error(EnvelopeError::Truncated);
    let stored = stored.ok_or_else(truncated)?;
    let header = match format {
        ObjectFormat::Sealwax(header) => header,
        ObjectFormat::S3ec(envelope) => {
            let failed = |error| target.s3ec_error(error);
            let len = envelope.plaintext_len(stored).map_err(failed)?;
            return Ok((len, envelope.plaintext_lens(stored).map_err(failed)?));
        }
        ObjectFormat::Unencrypted => return Ok((stored, stored..=stored)),
    };
    let len = geometry::plaintext_len(stored).ok_or_else(truncated)?;
    match header.plaintext_len() {
        Some(expected) if expected > len => Err(truncated()),
        Some(expected) if expected < len => {
            let message = format!("the body holds {len} bytes, the metadata says {expected}");
            Err(target.envelope_error(EnvelopeError::Malformed(message)))
        }
        _ => Ok((len, len..=len)),
    }
}

/// Joins a format's metadata and user-defined metadata.
pub(crate) fn join_metadata(
    format: &ObjectFormat,
    own: &HashMap<String, String>,
) -> HashMap<String, String> {
    let ours = format.to_metadata().into_iter().map(|(name, value)| (name.to_owned(), value));
    own.iter().map(|(name, value)| (name.clone(), value.clone())).chain(ours).collect()
}
