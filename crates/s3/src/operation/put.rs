//! Sealing and storing an object.

mod s3ec;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use sealwax_envelope::{
    BodyHeader, EncryptedDataKey, EncryptionContext, Keyring, ObjectHeader, Sealer, WrapContext,
    geometry, metadata,
};

pub use self::s3ec::{PutS3ec, PutS3ecOutput};
use super::object_setters;
use crate::{
    Attributes, ObjectFormat, PlaintextSource, SealedClient, UnfinishedUpload,
    client::{envelope_error, wrap_error},
    error::{Error, ErrorKind, Target},
    source::Parts,
    upload::{
        Conditions, OnProgress, Upload, Uploaded,
        journal::{Begin, FileIdentity, Journal, state_file_failed},
    },
};

/// Seals and stores an object: one `PutObject`, or a multipart upload whose parts are sealed and sent in parallel.
///
/// Nothing becomes visible before everything is stored. On failure, and when the future is dropped, a multipart upload is
/// aborted.
#[must_use = "nothing happens before `send`"]
pub struct Put {
    client: SealedClient,
    bucket: Option<String>,
    key: Option<String>,
    body: Option<PlaintextSource>,
    keyring: Option<Arc<dyn Keyring>>,
    context: EncryptionContext,
    metadata: HashMap<String, String>,
    attributes: Attributes,
    conditions: Conditions,
    on_progress: Option<OnProgress>,
    state_file: Option<PathBuf>,
    on_resume: Option<OnResume>,
}

/// Called once, with the upload that is gone on with.
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
    pub(crate) fn new(client: SealedClient) -> Self {
        Self {
            client,
            bucket: None,
            key: None,
            body: None,
            keyring: None,
            context: EncryptionContext::new(),
            metadata: HashMap::new(),
            attributes: Attributes::default(),
            conditions: Conditions::default(),
            on_progress: None,
            state_file: None,
            on_resume: None,
        }
    }

    object_setters!();

    /// The plaintext.
    pub fn body(mut self, body: impl Into<PlaintextSource>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// What the object and each of its wrapped keys are bound to, besides the place. It is stored in clear and appears
    /// in CloudTrail: no personal data, no secrets.
    pub fn encryption_context(mut self, context: EncryptionContext) -> Self {
        self.context = context;
        self
    }

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

    /// Stores only over the object with this entity tag.
    pub fn if_match(mut self, e_tag: impl Into<String>) -> Self {
        self.conditions.if_match = Some(e_tag.into());
        self
    }

    /// `*`: stores only where there is no object yet.
    pub fn if_none_match(mut self, e_tag: impl Into<String>) -> Self {
        self.conditions.if_none_match = Some(e_tag.into());
        self
    }

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
    pub(crate) fn wrapped_by(mut self, keyring: Arc<dyn Keyring>) -> Self {
        self.keyring = Some(keyring);
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
        let target = Target::new("put", self.client.s3(), self.bucket, self.key)?;
        let body =
            self.body.ok_or_else(|| target.error(ErrorKind::InvalidInput, "no body was given"))?;
        let name = body.name();
        let parts = Parts::open(body).await;
        let parts =
            parts.map_err(|error| target.io(format!("{name} could not be opened"), error))?;
        let plaintext_len = parts.len();
        if let Some(path) = &self.state_file {
            if parts.file().is_none() {
                return Err(target.error(
                    ErrorKind::InvalidInput,
                    "only the upload of a file can have a state file",
                ));
            }
            let journal = Journal::open(path).await.map_err(state_file_failed(&target))?;
            if let Some(journal) = journal {
                let resumption = Resumption {
                    client: self.client,
                    target,
                    context: self.context,
                    conditions: self.conditions,
                    on_progress: self.on_progress,
                };
                return resumption.run(parts, journal, self.on_resume).await;
            }
        }
        let own = || metadata::pairs(&self.metadata);

        let place = self.client.places().to_bind(&target)?;
        let keyring = self.keyring.as_ref().unwrap_or(self.client.keyring());
        let binding = WrapContext::new(&self.context, place.as_ref());
        let expected = keyring.expected_keys(binding);
        if !expected.is_empty() {
            // Measured before KMS is asked for a key that could not be stored.
            let no_header = BodyHeader::from_bytes(&[0; geometry::HEADER_LEN]);
            ObjectHeader::new(self.context.clone(), expected, no_header, plaintext_len)
                .and_then(|expected| expected.check_fits(own()))
                .map_err(envelope_error(&target))?;
        }

        let materials =
            keyring.generate(binding, plaintext_len).await.map_err(wrap_error(&target))?;
        let (data_key, keys, missing) = materials.into_parts();
        let sealer = Sealer::new(&data_key, &self.context.body_context())
            .map_err(envelope_error(&target))?;
        drop(data_key);
        let header = ObjectHeader::new(self.context.clone(), keys, *sealer.header(), plaintext_len)
            .map(|header| header.with_missing(missing))
            .and_then(|header| header.check_fits(own()).map(|()| header))
            .map_err(envelope_error(&target))?;

        let upload = Upload {
            client: self.client.clone(),
            target,
            format: ObjectFormat::Sealwax(header.clone()),
            attributes: self.attributes,
            own_metadata: self.metadata.clone(),
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

/// A put that goes on with an interrupted upload.
struct Resumption {
    client: SealedClient,
    target: Target,
    context: EncryptionContext,
    conditions: Conditions,
    on_progress: Option<OnProgress>,
}

impl Resumption {
    async fn run(
        self,
        parts: Parts,
        journal: Arc<Journal>,
        on_resume: Option<OnResume>,
    ) -> Result<PutOutput, Error> {
        let Self { client, target, context, .. } = &self;
        let metadata = metadata::pairs(&journal.begin.metadata);
        let header = ObjectHeader::parse(metadata).map_err(envelope_error(target))?;
        self.check_same_upload(&journal.begin, &header)?;
        if parts.file().map(|file| FileIdentity::of(&file)).as_ref() != Some(&journal.begin.file) {
            let message =
                "the file's length or modification time is not what it was when its upload began";
            return Err(target.error(ErrorKind::SourceChanged, message));
        }
        let keys = client.places().acceptable_keys(target, &header, &[])?;
        let data_key = client.unwrap(target, &header, &keys).await?;
        let sealer =
            Sealer::dangerous_resume(&data_key, &context.body_context(), header.body_header())
                .map_err(envelope_error(target))?;
        drop(data_key);
        if let Some(on_resume) = on_resume {
            on_resume(&journal.unfinished());
        }
        let upload = Upload {
            client: self.client,
            target: self.target,
            format: ObjectFormat::Sealwax(header.clone()),
            attributes: Attributes::default(),
            own_metadata: HashMap::new(),
            conditions: self.conditions,
            on_progress: self.on_progress,
            state_file: None,
        };
        Ok(PutOutput::new(upload.resume(parts, sealer.into(), journal).await?, header))
    }

    /// Fails if the object would not become what this put was asked for.
    fn check_same_upload(&self, begin: &Begin, header: &ObjectHeader) -> Result<(), Error> {
        let mismatch = |what: String| {
            let message = format!("the upload that the state file describes {what}");
            Err(self.target.error(ErrorKind::StateFileMismatch, message))
        };
        if (&begin.bucket, &begin.key) != (&self.target.bucket, &self.target.key) {
            return mismatch(format!("goes to s3://{}/{}", begin.bucket, begin.key));
        }
        if header.context() != &self.context {
            return mismatch(format!("has the encryption context {}", header.context().to_json()));
        }
        let place = self.client.places().to_bind(&self.target)?;
        let binding = WrapContext::new(&self.context, place.as_ref());
        let mut wanted = self.client.keyring().expected_keys(binding);
        wanted.retain(|key| !header.missing().iter().any(|missing| missing.is_filled_by(key)));
        // A keyring that does not know beforehand under which keys it wraps cannot be compared.
        if !wanted.is_empty() && !same_wraps(&wanted, header.keys()) {
            let keys: Vec<_> = header.keys().iter().map(wrap_name).collect();
            return mismatch(format!("is sealed under {}", keys.join(", ")));
        }
        Ok(())
    }
}

/// Whether these are wraps under the same keys, bound to the same places.
fn same_wraps(a: &[EncryptedDataKey], b: &[EncryptedDataKey]) -> bool {
    let wraps = |keys: &[EncryptedDataKey]| -> BTreeSet<_> {
        keys.iter().map(|key| (key.provider().to_owned(), wrap_name(key))).collect()
    };
    wraps(a) == wraps(b)
}

fn wrap_name(key: &EncryptedDataKey) -> String {
    match key.place() {
        Some(place) => format!("{} bound to {place}", key.wrapping_key()),
        None => format!("{} bound to no place", key.wrapping_key()),
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
