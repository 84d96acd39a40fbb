//! Sealing and storing an object.

mod encryption_client;
mod resumption;

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use sealwax_envelope::{
    BodyHeader, EncryptionContext, Keyring, ObjectHeader, Sealer, WrapContext, geometry, metadata,
};

pub use self::encryption_client::{PutS3ec, PutS3ecOutput};
use self::resumption::Resumption;
use super::{ContextSetting, Handle, context_setters, object_setters};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    progress::OnProgress,
    store::{
        attributes::Attributes,
        conditions::{WriteConditions, write_condition_setters},
    },
    upload::{
        Upload, Uploaded,
        into_source::IntoPlaintextSource,
        source::{Parts, PlaintextSource},
        state_file::{StateFile, state_file_failed},
        unfinished::UnfinishedUpload,
    },
};

/// Seals and stores an object: one `PutObject`, or a multipart upload whose parts are sealed and sent in parallel.
///
/// Nothing becomes visible before everything is stored. On failure, and when the future is dropped, a multipart upload is
/// aborted.
#[must_use = "nothing happens before `send`"]
pub struct Put {
    handle: Handle,
    bucket: Option<String>,
    key: Option<String>,
    body: Option<PlaintextSource>,
    keyring: Option<Arc<dyn Keyring>>,
    context: ContextSetting,
    metadata: HashMap<String, String>,
    attributes: Attributes,
    conditions: WriteConditions,
    on_progress: Option<OnProgress>,
    state_file: Option<PathBuf>,
    on_resume: Option<OnResume>,
}

/// Called once with the resumed upload.
type OnResume = Box<dyn FnOnce(&UnfinishedUpload) + Send>;

/// What was stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PutOutput {
    /// The entity tag, as S3 gave it.
    pub e_tag: Option<String>,
    /// The version, in a versioned bucket.
    pub version_id: Option<String>,
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
    /// Sealwax's metadata, as stored.
    pub header: ObjectHeader,
}

impl Put {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            bucket: None,
            key: None,
            body: None,
            keyring: None,
            context: ContextSetting::default(),
            metadata: HashMap::new(),
            attributes: Attributes::default(),
            conditions: WriteConditions::default(),
            on_progress: None,
            state_file: None,
            on_resume: None,
        }
    }

    object_setters!();

    /// The plaintext.
    pub fn body(mut self, body: impl IntoPlaintextSource) -> Self {
        self.body = Some(body.into_plaintext_source());
        self
    }

    context_setters!(
        /// Sets the encryption context, which the object and each of its wrapped keys are bound to.
        ///
        /// It is stored in plaintext and appears in CloudTrail: no personal data, no secrets.
    );

    /// Metadata of the object's own, in clear; names must not begin with `sealwax`. With Sealwax's it must fit into S3's
    /// 2 KB.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// All other attributes of the object.
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// `Content-Type` of the plaintext.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.attributes.content_type = Some(content_type.into());
        self
    }

    write_condition_setters!();

    /// Calls `on_progress` with the number of plaintext bytes stored since its last call.
    pub fn on_progress(mut self, on_progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(on_progress));
        self
    }

    /// Keeps the state of a multipart upload of a file in `path`, and goes on with the upload that `path` describes, if
    /// there is one. It holds no plaintext and no plaintext key, can be read by its owner alone, and is deleted when the
    /// object is stored. An upload with a state file is not aborted on failure: call again to go on, or abort it and
    /// delete the state file; [`UnfinishedUpload`] tells its id.
    ///
    /// On going on, object, encryption context and wrapping keys must be those of the first call
    /// ([`ErrorKind::StateFileMismatch`]), the file must not have changed since ([`ErrorKind::SourceChanged`]), and S3
    /// must still have the upload ([`ErrorKind::UploadNotFound`]). The data key is unwrapped, which with KMS needs the
    /// permission to decrypt. Only the parts that S3 lacks are sent, with the same bytes as before; attributes and
    /// metadata are those of the first call.
    pub fn state_file(mut self, path: impl AsRef<Path>) -> Self {
        self.state_file = Some(path.as_ref().to_owned());
        self
    }

    /// Calls `on_resume` if an interrupted upload is gone on with, once its state file has been checked and its data key
    /// unwrapped.
    pub fn on_resume(mut self, on_resume: impl FnOnce(&UnfinishedUpload) + Send + 'static) -> Self {
        self.on_resume = Some(Box::new(on_resume));
        self
    }

    /// Stores the object as the Amazon S3 Encryption Client does, so that the official clients read it.
    pub fn s3ec(self) -> PutS3ec {
        PutS3ec::new(self)
    }

    /// Wraps the data key under the keys of `keyring` instead of the client's.
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.keyring = Some(Arc::new(keyring));
        self
    }

    /// Seals and stores the object.
    ///
    /// # Errors
    /// Before any call to KMS: [`ErrorKind::InvalidInput`], [`ErrorKind::Io`] where a file cannot be opened, and
    /// [`ErrorKind::MetadataTooLarge`]. Then what the wrapping keys say, and an [`Error`] of S3's making;
    /// [`ErrorKind::Conflict`] where a condition does not hold.
    #[tracing::instrument(name = "put", skip_all, fields(bucket = self.bucket, key = self.key), err(level = "debug"))]
    pub async fn send(self) -> Result<PutOutput, Error> {
        let mut handle = self.handle;
        if let Some(keyring) = self.keyring {
            handle.vault = handle.vault.with_keyring(keyring);
        }
        let Handle { store, vault, budget } = handle.clone();
        let target = ObjectRef::new("put", store.s3(), self.bucket, self.key)?;
        let context = self.context.build(&target)?;
        let body = self.body;
        let body =
            body.ok_or_else(|| target.error(ErrorKind::InvalidInput, "no body was given"))?;
        let name = body.name();
        let parts = Parts::open(body).await;
        let parts =
            parts.map_err(|error| target.io(format!("{name} could not be opened"), error))?;
        let plaintext_len = parts.len();
        if let Some(path) = &self.state_file {
            if parts.file().is_none() {
                let message = "only the upload of a file can have a state file";
                return Err(target.error(ErrorKind::InvalidInput, message));
            }
            let state_file = StateFile::open(path).await.map_err(state_file_failed(&target))?;
            if let Some(state_file) = state_file {
                let resumption = Resumption {
                    handle,
                    target,
                    context,
                    conditions: self.conditions,
                    on_progress: self.on_progress,
                };
                return resumption.run(parts, state_file, self.on_resume).await;
            }
        }
        let pairs = || metadata::pairs(&self.metadata);

        let place = vault.places().to_bind(&target)?;
        let binding = WrapContext::new(&context, place.as_ref());
        let expected = vault.keyring().expected_keys(binding);
        if !expected.is_empty() {
            // Measured before KMS is asked for a key that could not be stored.
            let no_header = BodyHeader::from_bytes(&[0; geometry::HEADER_LEN]);
            ObjectHeader::new(context.clone(), expected, no_header, plaintext_len)
                .and_then(|expected| expected.check_fits(pairs()))
                .map_err(|error| target.envelope_error(error))?;
        }

        let materials = vault.keyring().generate(binding, plaintext_len).await;
        let materials = materials.map_err(|error| target.keyring_error(vec![error]))?;
        let (data_key, keys, missing) = materials.into_parts();
        let sealer = Sealer::new(&data_key, &context.body_context())
            .map_err(|error| target.envelope_error(error))?;
        drop(data_key);
        let header = ObjectHeader::new(context, keys, *sealer.header(), plaintext_len)
            .map(|header| header.with_missing(missing))
            .and_then(|header| header.check_fits(pairs()).map(|()| header))
            .map_err(|error| target.envelope_error(error))?;

        let upload = Upload {
            store,
            budget,
            target,
            format: ObjectFormat::Sealwax(header.clone()),
            attributes: self.attributes,
            user_metadata: self.metadata.clone(),
            conditions: self.conditions,
            on_progress: self.on_progress,
            state_file: self.state_file,
        };
        Ok(PutOutput::new(upload.run(parts, sealer.into()).await?, header))
    }
}

impl PutOutput {
    fn new(uploaded: Uploaded, header: ObjectHeader) -> Self {
        let Uploaded { e_tag, version_id, plaintext_len } = uploaded;
        tracing::debug!(plaintext_len, keys = header.keys().len(), "sealed and stored");
        Self { e_tag, version_id, plaintext_len, header }
    }
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Put")
            .field("bucket", &self.bucket)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
