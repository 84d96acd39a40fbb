//! Seals and stores objects.

mod resumption;
mod s3ec_put;

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use sealwax_envelope::{
    BodyHeader, BodySalt, EncryptedDataKey, EncryptionContext, Keyring, ObjectHeader, Sealer,
    WrapContext, metadata,
};

use self::resumption::Resumption;
pub(super) use self::s3ec_put::writing_keyring;
pub use self::s3ec_put::{PutS3ec, PutS3ecOutput};
use tracing::{Span, field::Empty};

use super::{ContextSetting, Handle, context_setters, object_setters};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    progress::OnProgress,
    store::{
        attributes::Attributes,
        conditions::{Enforcement, LateConditions, WriteConditions, write_condition_setters},
    },
    upload::{
        Upload, Uploaded,
        into_source::IntoPlaintextSource,
        source::{Parts, PlaintextSource},
        state_file::{FileIdentity, NewStateFile, StateFile, UploadSource, state_file_failed},
        unfinished::UnfinishedUpload,
    },
    vault::Vault,
};

/// Seals and stores an object: with one `PutObject`, or with a multipart upload that seals and
/// sends its parts in parallel.
///
/// The object becomes visible only when all of it is stored. A multipart upload is aborted if it
/// fails or if its future is dropped, unless it has a [state file](Put::state_file).
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// use sealwax_s3::PlaintextSource;
///
/// let output = client
///     .put()
///     .bucket("invoices")
///     .key("2026/0001.pdf")
///     .body(PlaintextSource::file("0001.pdf"))
///     .content_type("application/pdf")
///     .context("tenant", "acme")
///     .if_none_match("*")
///     .send()
///     .await?;
/// println!("stored {} bytes under {} keys", output.plaintext_len, output.header.keys().len());
/// # Ok(())
/// # }
/// ```
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
    late_conditions: Option<LateConditions>,
    on_progress: Option<OnProgress>,
    state_file: Option<PathBuf>,
    record: Option<PathBuf>,
    on_resume: Option<OnResume>,
}

/// Called once with the resumed upload.
type OnResume = Box<dyn FnOnce(&UnfinishedUpload) + Send>;

/// Result of a [`Put`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PutOutput {
    /// Entity tag, as returned by S3.
    pub e_tag: Option<String>,
    /// Version id, in a versioned bucket.
    pub version_id: Option<String>,
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
    /// Sealwax's metadata of the object, as stored.
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
            late_conditions: None,
            on_progress: None,
            state_file: None,
            record: None,
            on_resume: None,
        }
    }

    object_setters!();

    /// Sets the plaintext.
    pub fn body(mut self, body: impl IntoPlaintextSource) -> Self {
        self.body = Some(body.into_plaintext_source());
        self
    }

    context_setters!(
        /// Sets the encryption context, which the object and each of its wrapped keys are bound to.
        ///
        /// It is stored in plaintext and appears in CloudTrail, so it must not contain personal
        /// data or secrets.
    );

    /// Adds user-defined metadata, which is stored in plaintext.
    ///
    /// Names must not begin with `sealwax`. S3 limits user-defined metadata to 2 KB, including
    /// Sealwax's.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Sets the object's other attributes. They replace all attributes set before.
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Sets the `Content-Type` of the plaintext.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.attributes.content_type = Some(content_type.into());
        self
    }

    write_condition_setters!();

    /// Takes the conditions of the put when its plaintext has ended, instead of those set here.
    pub fn late_conditions(mut self, conditions: &LateConditions) -> Self {
        self.late_conditions = Some(conditions.clone());
        self
    }

    /// Keeps a record of a multipart upload in a file at `path`, for a source that can't be read
    /// again. The file exists while the upload is in progress, and is deleted when the upload is
    /// completed or aborted. After the process was killed,
    /// [`SealedClient::abort_unfinished`](crate::SealedClient::abort_unfinished) aborts the upload.
    ///
    /// It holds the upload's id and no key. Only its owner can read it.
    pub fn record(mut self, path: impl AsRef<Path>) -> Self {
        self.record = Some(path.as_ref().to_owned());
        self
    }

    /// Stores only over the object with this entity tag, which was read before. Where the
    /// store ignores conditions, it is checked once more, right before the object is stored.
    pub(super) fn over(mut self, e_tag: impl Into<String>) -> Self {
        let if_match = Some(e_tag.into());
        self.conditions =
            WriteConditions { if_match, enforcement: Enforcement::Looked, ..Default::default() };
        self
    }

    /// Calls `on_progress` with the number of plaintext bytes stored since its last call.
    pub fn on_progress(mut self, on_progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(on_progress));
        self
    }

    /// Keeps the state of a multipart upload of a file in a state file at `path`. If that file
    /// exists, resumes the upload that it describes.
    ///
    /// The state file holds no plaintext and no plaintext key. Only its owner can read it, and it
    /// is deleted once the object is stored. An upload with a state file is not aborted on failure:
    /// call again to resume it, or abort it and delete the state file. [`UnfinishedUpload`] has the
    /// upload id.
    ///
    /// To resume an upload:
    ///
    /// * the object, the encryption context and the wrapping keys must be those of the first call
    ///   ([`ErrorKind::StateFileMismatch`]);
    /// * the file must not have changed since then ([`ErrorKind::SourceChanged`]);
    /// * S3 must still have the upload ([`ErrorKind::UploadNotFound`]).
    ///
    /// A resumed upload unwraps the data key, which needs the permission to decrypt with KMS. It
    /// sends only the parts that S3 lacks, with the same bytes as before. Attributes and metadata
    /// are those of the first call.
    pub fn state_file(mut self, path: impl AsRef<Path>) -> Self {
        self.state_file = Some(path.as_ref().to_owned());
        self
    }

    /// Calls `on_resume` if an interrupted upload is resumed, after its state file was checked and
    /// its data key unwrapped.
    pub fn on_resume(mut self, on_resume: impl FnOnce(&UnfinishedUpload) + Send + 'static) -> Self {
        self.on_resume = Some(Box::new(on_resume));
        self
    }

    /// Stores the object in a format of the Amazon S3 Encryption Client, so that the official
    /// clients can read it.
    pub fn s3ec(self) -> PutS3ec {
        PutS3ec::new(self)
    }

    /// Wraps the data key under the wrapping keys of `keyring` instead of the client's.
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.keyring = Some(Arc::new(keyring));
        self
    }

    /// Seals and stores the object.
    ///
    /// # Errors
    /// Before any call to KMS:
    ///
    /// * [`ErrorKind::InvalidInput`] if an argument is missing or invalid;
    /// * [`ErrorKind::Io`] if the file cannot be opened;
    /// * [`ErrorKind::MetadataTooLarge`] if the metadata would exceed S3's limit.
    ///
    /// After that:
    ///
    /// * [`ErrorKind::Conflict`] if a condition does not hold;
    /// * the failure of a wrapping key or of S3.
    #[tracing::instrument(
        name = "put",
        skip_all,
        fields(bucket = self.bucket, key = self.key, bytes = Empty),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<PutOutput, Error> {
        let mut handle = self.handle;
        if let Some(keyring) = self.keyring {
            handle.vault = handle.vault.with_keyring(keyring);
        }
        let Handle { store, vault, budget } = handle.clone();
        let target = ObjectRef::new("put", store.s3(), self.bucket, self.key)?;
        let context = self.context.build(&target)?;
        let body =
            self.body.ok_or_else(|| target.error(ErrorKind::InvalidInput, "no body was given"))?;
        let name = body.name();
        let parts = Parts::open(body)
            .await
            .map_err(|error| target.io(format!("{name} could not be opened"), error))?;
        let plaintext_len = parts.len();
        let record = self.record.map(|path| NewStateFile { path, source: UploadSource::once() });
        let mut new_state_file = record;
        if let Some(path) = &self.state_file {
            let Some(file) = parts.file() else {
                let message = "only the upload of a file can have a state file";
                return Err(target.error(ErrorKind::InvalidInput, message));
            };
            let source = UploadSource::File(FileIdentity::of(&file));
            new_state_file = Some(NewStateFile { path: path.clone(), source });
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
        let salt = BodySalt::generate().map_err(|error| target.envelope_error(error))?;
        let wrap_context = WrapContext::for_data_key(context.clone(), place, &salt);
        let sealing = Sealing { context: &context, salt: &salt, wrap_context: &wrap_context };
        sealing.check_fits(&vault, &target, plaintext_len, &self.metadata)?;

        let materials = vault
            .keyring()
            .generate(&wrap_context, plaintext_len)
            .await
            .map_err(|error| target.keyring_error(vec![error]))?;
        let (data_key, keys, missing) = materials.into_parts();
        vault.publish(&store, &target, &keys).await?;
        let sealer = Sealer::new(&data_key, &context.body_context(), salt);
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
            late_conditions: self.late_conditions,
            on_progress: self.on_progress,
            state_file: new_state_file,
        };
        Ok(PutOutput::new(upload.run(parts, sealer.into()).await?, header))
    }
}

/// A body to be sealed, before it has a data key.
pub(super) struct Sealing<'a> {
    pub(super) context: &'a EncryptionContext,
    pub(super) salt: &'a BodySalt,
    pub(super) wrap_context: &'a WrapContext,
}

impl Sealing<'_> {
    /// Refuses an object whose metadata would not fit, before KMS generates a key that could not be
    /// stored. Returns the expected wrapped keys; none if the keyring can't tell.
    pub(super) fn check_fits(
        &self,
        vault: &Vault,
        target: &ObjectRef,
        plaintext_len: Option<u64>,
        user_metadata: &HashMap<String, String>,
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        let expected = vault.keyring().expected_keys(self.wrap_context);
        vault.check_key_store(target, &expected)?;
        if !expected.is_empty() {
            let header = BodyHeader::expected(self.salt);
            ObjectHeader::new(self.context.clone(), expected.clone(), header, plaintext_len)
                .and_then(|expected| expected.check_fits(metadata::pairs(user_metadata)))
                .map_err(|error| target.envelope_error(error))?;
        }
        Ok(expected)
    }
}

impl PutOutput {
    fn new(uploaded: Uploaded, header: ObjectHeader) -> Self {
        let Uploaded { e_tag, version_id, plaintext_len } = uploaded;
        Span::current().record("bytes", plaintext_len);
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
