//! Storing an object as the Amazon S3 Encryption Client does.

use std::fmt;

use sealwax_envelope::{
    metadata,
    s3ec::{ContentSealer, Envelope, Error as FormatError, MAX_PLAINTEXT_LEN, Storage},
};

use super::Put;
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    operation::Handle,
    store::companion::Replaces,
    upload::{Upload, source::Parts},
    vault::instruction_file,
};

/// Encrypts and stores an object so that the official clients read it: one `PutObject`, or a multipart upload whose parts are
/// encrypted in order and sent in parallel.
///
/// The commitment policy of the client's [`crate::s3ec::S3ec`] says in which format: V3, or V2 where it forbids commitment.
/// The object is bound to no place, and has one wrapping key.
#[must_use = "nothing happens before `send`"]
pub struct PutS3ec {
    put: Put,
    storage: Storage,
    replaces_file: bool,
}

/// What was stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PutS3ecOutput {
    /// The entity tag, as S3 gave it.
    pub e_tag: Option<String>,
    /// The version, in a versioned bucket.
    pub version_id: Option<String>,
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
    /// The envelope, as stored.
    pub envelope: Envelope,
}

impl PutS3ec {
    pub(super) fn new(put: Put) -> Self {
        Self { put, storage: Storage::Metadata, replaces_file: false }
    }

    /// Stores the wrapped data key in an instruction file beside the object, instead of its metadata: for wraps and metadata
    /// that do not fit into S3's 2 KB. An object and its file must be copied, moved and deleted together.
    ///
    /// It is written before the object, and only where there is none: the file of an object that is there already is what
    /// keeps that object readable ([`ErrorKind::Conflict`]).
    pub fn instruction_file(mut self) -> Self {
        self.storage = Storage::InstructionFile;
        self
    }

    /// Writes the instruction file also over another one. Until the new object is stored, and for good if that fails, the
    /// old object cannot be read then, unless the bucket keeps versions.
    pub fn replace_instruction_file(mut self) -> Self {
        self.replaces_file = true;
        self
    }

    /// Encrypts and stores the object.
    ///
    /// # Errors
    /// As [`Put::send`]; [`ErrorKind::InvalidInput`] for more than 64 GiB, for which the format has no room, and for an
    /// encryption context under a raw key, which binds none.
    #[tracing::instrument(name = "put", skip_all, fields(bucket = self.put.bucket, key = self.put.key), err(level = "debug"))]
    pub async fn send(self) -> Result<PutS3ecOutput, Error> {
        let Self { put, storage, replaces_file } = self;
        let Handle { store, vault, budget } = put.handle;
        let target = ObjectRef::new("put", store.s3(), put.bucket, put.key)?;
        let context = put.context.build(&target)?;
        let invalid = |message: &str| target.error(ErrorKind::InvalidInput, message);
        let body = put.body.ok_or_else(|| invalid("no body was given"))?;
        if put.state_file.is_some() {
            return Err(invalid(
                "an upload in the format of the S3 Encryption Client can't be resumed: it takes no \
                 state file",
            ));
        }
        let suffix = vault.s3ec().file_suffix();
        if suffix.is_empty() {
            return Err(invalid("the suffix of an instruction file is empty"));
        }
        let name = body.name();
        let parts = Parts::open(body).await;
        let parts =
            parts.map_err(|error| target.io(format!("{name} could not be opened"), error))?;
        if parts.len().is_some_and(|len| len > MAX_PLAINTEXT_LEN) {
            return Err(target.s3ec_error(FormatError::TooLong));
        }

        let keyring = vault.s3ec_keyrings().next().ok_or_else(|| {
            invalid("the client has no keyring for the formats of the S3 Encryption Client")
        })?;
        if !keyring.binds_context() && !context.is_empty() {
            return Err(invalid(
                "a raw key binds no encryption context: leave it out, or use AWS KMS",
            ));
        }
        let suite = vault.s3ec().policy().suite();
        let generated = keyring.generate(suite, &context).await;
        let (data_key, key) = generated.map_err(|error| target.keyring_error(vec![error]))?;
        let sealer = ContentSealer::new(suite, &data_key);
        let (sealer, content) = sealer.map_err(|error| target.s3ec_error(error))?;
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
            let stored =
                instruction_file::write(&store, &target, suffix, file, attributes, replaces).await;
            stored.map_err(|error| match error.kind() {
                ErrorKind::Conflict => error.with_prefix(
                    "an instruction file exists already, and without it its object would be lost: \
                     delete both, choose another key or suffix, or allow replacing the file",
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
            on_progress: put.on_progress,
            state_file: None,
        };
        match upload.run(parts, Box::new(sealer).into()).await {
            Ok(uploaded) => Ok(PutS3ecOutput {
                e_tag: uploaded.e_tag,
                version_id: uploaded.version_id,
                plaintext_len: uploaded.plaintext_len,
                envelope,
            }),
            Err(error) => {
                // If S3 did not answer, the object may have been stored: then it needs the file.
                if written && !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Service) {
                    instruction_file::remove(&store, &target, suffix).await;
                }
                Err(error)
            }
        }
    }
}

impl fmt::Debug for PutS3ec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutS3ec")
            .field("put", &self.put)
            .field("storage", &self.storage)
            .finish_non_exhaustive()
    }
}
