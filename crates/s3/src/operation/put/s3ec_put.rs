//! Stores objects in the formats of the Amazon S3 Encryption Client.

use std::{fmt, sync::Arc};

use sealwax_envelope::{
    EncryptionContext, metadata,
    s3ec::{ContentSealer, Envelope, Error as FormatError, Keyring, MAX_PLAINTEXT_LEN, Storage},
};
use tracing::{Span, field::Empty};

use super::Put;
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    operation::Handle,
    store::companion::Replaces,
    upload::{Upload, Uploaded, source::Parts},
    vault::{Vault, instruction_file},
};

/// Encrypts and stores an object in a format that the official S3 Encryption Clients read.
///
/// It sends one `PutObject`, or a multipart upload whose parts are encrypted in order and sent in
/// parallel. The commitment policy of the client's [`S3ec`](crate::s3ec::S3ec) settings selects the
/// format: V3, or V2 if the policy forbids commitment. The object has one wrapping key and is bound
/// to no place.
#[must_use = "nothing happens before `send`"]
pub struct PutS3ec {
    put: Put,
    storage: Storage,
    replaces_file: bool,
}

/// Result of a [`PutS3ec`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PutS3ecOutput {
    /// Entity tag, as returned by S3.
    pub e_tag: Option<String>,
    /// Version id, in a versioned bucket.
    pub version_id: Option<String>,
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
    /// Envelope, as stored.
    pub envelope: Envelope,
}

impl PutS3ec {
    pub(super) fn new(put: Put) -> Self {
        Self { put, storage: Storage::Metadata, replaces_file: false }
    }

    /// Stores the wrapped key in an instruction file beside the object instead of in the object's
    /// metadata.
    ///
    /// Use it if the wrapped key and the user-defined metadata do not fit into S3's 2 KB. Copy,
    /// move and delete the object and its instruction file together.
    ///
    /// The instruction file is written before the object. If one already exists, `send` fails with
    /// [`ErrorKind::Conflict`]: an existing object depends on its instruction file.
    pub fn instruction_file(mut self) -> Self {
        self.storage = Storage::InstructionFile;
        self
    }

    /// Replaces an instruction file that already exists.
    ///
    /// Until the new object is stored, the old one cannot be read, and if storing fails, it stays
    /// unreadable. Only versions kept by the bucket prevent that.
    pub fn replace_instruction_file(mut self) -> Self {
        self.replaces_file = true;
        self
    }

    /// Encrypts and stores the object.
    ///
    /// # Errors
    /// As [`Put::send`], and [`ErrorKind::InvalidInput`] if:
    ///
    /// * the plaintext is longer than the format's limit of 64 GiB;
    /// * an encryption context is given and the wrapping key is a raw key, which cannot bind it;
    /// * a state file is given.
    #[tracing::instrument(
        name = "put",
        skip_all,
        fields(bucket = self.put.bucket, key = self.put.key, bytes = Empty),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<PutS3ecOutput, Error> {
        let Self { put, storage, replaces_file } = self;
        let Handle { store, vault, budget } = put.handle;
        let target = ObjectRef::new("put", store.s3(), put.bucket, put.key)?;
        let context = put.context.build(&target)?;
        let invalid = |message: &str| target.error(ErrorKind::InvalidInput, message);
        let body = put.body.ok_or_else(|| invalid("no body was given"))?;
        if put.state_file.is_some() {
            return Err(invalid(
                "an upload in the format of the S3 Encryption Client cannot be resumed: it takes \
                 no state file",
            ));
        }
        let suffix = vault.s3ec().file_suffix();
        if suffix.is_empty() {
            return Err(invalid("the suffix of instruction files is empty"));
        }
        let name = body.name();
        let parts = Parts::open(body)
            .await
            .map_err(|error| target.io(format!("{name} could not be opened"), error))?;
        if parts.len().is_some_and(|len| len > MAX_PLAINTEXT_LEN) {
            return Err(target.s3ec_error(FormatError::TooLong));
        }

        let keyring = writing_keyring(&vault, &target, put.keyring.as_ref(), &context)?;
        let suite = vault.s3ec().policy().suite();
        let (data_key, key) = keyring
            .generate(suite, &context)
            .await
            .map_err(|error| target.keyring_error(vec![error]))?;
        let (sealer, content) =
            ContentSealer::new(suite, &data_key).map_err(|error| target.s3ec_error(error))?;
        drop(data_key);
        let envelope =
            Envelope::new(content, key, storage).map_err(|error| target.s3ec_error(error))?;
        envelope
            .check_fits(metadata::pairs(&put.metadata))
            .map_err(|error| target.envelope_error(error))?;

        let mut written = false;
        if let Some(file) = envelope.to_instruction_file() {
            let attributes = put.attributes.of_companion();
            let replaces = if replaces_file { Replaces::Anything } else { Replaces::Nothing };
            instruction_file::write(&store, &target, suffix, file, attributes, replaces)
                .await
                .map_err(|error| match error.kind() {
                    ErrorKind::Conflict => error.with_prefix(
                        "an instruction file already exists, and its object would be lost without \
                         it: delete both, choose another key or suffix, or allow replacing the \
                         file",
                    ),
                    _ => error,
                })?;
            written = !replaces_file;
        }
        let upload = Upload {
            store: store.clone(),
            budget,
            target: target.clone(),
            format: ObjectFormat::S3ec(envelope.clone()),
            attributes: put.attributes,
            user_metadata: put.metadata,
            conditions: put.conditions,
            late_conditions: put.late_conditions,
            on_progress: put.on_progress,
            state_file: None,
        };
        match upload.run(parts, Box::new(sealer).into()).await {
            Ok(Uploaded { e_tag, version_id, plaintext_len }) => {
                Span::current().record("bytes", plaintext_len);
                Ok(PutS3ecOutput { e_tag, version_id, plaintext_len, envelope })
            }
            Err(error) => {
                // If S3 did not answer, the object may be stored and then needs the file.
                if written && !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Service) {
                    instruction_file::remove(&store, &target, suffix).await;
                }
                Err(error)
            }
        }
    }
}

/// Returns the keyring that wraps the new data key: `given`, or else the client's first one.
pub(in crate::operation) fn writing_keyring<'a>(
    vault: &'a Vault,
    target: &ObjectRef,
    given: Option<&'a Arc<dyn sealwax_envelope::Keyring>>,
    context: &EncryptionContext,
) -> Result<&'a dyn Keyring, Error> {
    let invalid = |message: &str| target.error(ErrorKind::InvalidInput, message);
    let keyring = match given {
        Some(keyring) => keyring.s3ec(),
        None => vault.s3ec_keyrings().next(),
    };
    let keyring = keyring.ok_or_else(|| {
        invalid("there is no keyring for the formats of the S3 Encryption Client")
    })?;
    if !keyring.binds_context() && !context.is_empty() {
        return Err(invalid(
            "a raw key cannot bind an encryption context: leave it out, or use AWS KMS",
        ));
    }
    Ok(keyring)
}

impl fmt::Debug for PutS3ec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutS3ec")
            .field("put", &self.put)
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}
