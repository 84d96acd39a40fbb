//! Sealing and storing an object.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use sealwax_envelope::{BodyHeader, EncryptionContext, ObjectHeader, Sealer, WrapContext, geometry};

use super::object_setters;
use crate::{
    Attributes, PlaintextSource, SealedClient,
    client::{envelope_error, wrap_error},
    error::{Error, ErrorKind, Target},
    source::Parts,
    upload::{
        Conditions, OnProgress, Upload, Uploaded,
        journal::{FileIdentity, Journal},
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
    context: EncryptionContext,
    metadata: HashMap<String, String>,
    attributes: Attributes,
    conditions: Conditions,
    on_progress: Option<OnProgress>,
    state_file: Option<PathBuf>,
}

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
            context: EncryptionContext::new(),
            metadata: HashMap::new(),
            attributes: Attributes::default(),
            conditions: Conditions::default(),
            on_progress: None,
            state_file: None,
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
    /// object is stored. An upload with a state file is not aborted on failure: call again to go on, or abort it.
    ///
    /// On going on, the file must not have changed since: [`ErrorKind::SourceChanged`]. Only the parts that S3 lacks are
    /// sent, with the same bytes as before; attributes and metadata are those of the first call.
    pub fn state_file(mut self, path: impl AsRef<Path>) -> Self {
        self.state_file = Some(path.as_ref().to_owned());
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
        let body = self.body.ok_or_else(|| target.error(ErrorKind::InvalidInput, "no body was given"))?;
        let parts = Parts::open(body).await.map_err(|error| target.io("the plaintext could not be opened", error))?;
        let plaintext_len = parts.len();
        if let Some(path) = &self.state_file {
            if parts.file().is_none() {
                return Err(target.error(ErrorKind::InvalidInput, "only the upload of a file can have a state file"));
            }
            let journal = Journal::open(path).await;
            if let Some(journal) = journal.map_err(|error| target.io("the upload's state file failed", error))? {
                return resume(self.client, target, parts, journal, &self.context, self.conditions, self.on_progress)
                    .await;
            }
        }
        let own = || self.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));

        let place = self.client.places().to_bind(&target)?;
        let keyring = self.client.keyring();
        let outline = keyring.outline(place.as_ref());
        if !outline.is_empty() {
            // Measured before KMS is asked for a key that could not be stored.
            let no_header = BodyHeader::from_bytes(&[0; geometry::HEADER_LEN]);
            ObjectHeader::new(self.context.clone(), outline, no_header, plaintext_len)
                .and_then(|outline| outline.check_fits(own()))
                .map_err(envelope_error(&target))?;
        }

        let binding = WrapContext::new(&self.context, place.as_ref());
        let (data_key, keys) =
            keyring.generate(binding, plaintext_len).await.map_err(wrap_error(&target))?.into_parts();
        let sealer = Sealer::new(&data_key, &self.context.body_context()).map_err(envelope_error(&target))?;
        drop(data_key);
        let header = ObjectHeader::new(self.context.clone(), keys, *sealer.header(), plaintext_len)
            .and_then(|header| header.check_fits(own()).map(|()| header))
            .map_err(envelope_error(&target))?;

        let upload = Upload {
            client: self.client.clone(),
            target,
            header: header.clone(),
            attributes: self.attributes,
            own_metadata: self.metadata.clone(),
            conditions: self.conditions,
            on_progress: self.on_progress,
            state_file: self.state_file,
        };
        Ok(PutOutput::new(upload.run(parts, sealer).await?, header))
    }
}

impl PutOutput {
    fn new(uploaded: Uploaded, header: ObjectHeader) -> Self {
        let Uploaded { e_tag, version_id, plaintext_len } = uploaded;
        tracing::debug!(plaintext_len, keys = header.keys().len(), "sealed and stored");
        Self { e_tag, version_id, plaintext_len, header }
    }
}

/// Goes on with the upload that `journal` describes.
async fn resume(
    client: SealedClient,
    target: Target,
    parts: Parts,
    journal: Arc<Journal>,
    context: &EncryptionContext,
    conditions: Conditions,
    on_progress: Option<OnProgress>,
) -> Result<PutOutput, Error> {
    let begin = &journal.begin;
    let metadata = begin.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let header = ObjectHeader::parse(metadata).map_err(envelope_error(&target))?;
    if (&begin.bucket, &begin.key) != (&target.bucket, &target.key) || header.context() != context {
        let message = format!(
            "the state file is of an upload to s3://{}/{} with the encryption context {}",
            begin.bucket,
            begin.key,
            header.context().to_json(),
        );
        return Err(target.error(ErrorKind::InvalidInput, message));
    }
    if parts.file().map(|file| FileIdentity::of(&file)).as_ref() != Some(&begin.file) {
        let message = "the file's length or modification time is not what it was when its upload began";
        return Err(target.error(ErrorKind::SourceChanged, message));
    }
    let keys = client.places().acceptable_keys(&target, &header, &[])?;
    let data_key = client.unwrap(&target, &header, &keys).await?;
    let sealer = Sealer::dangerous_resume(&data_key, &context.body_context(), header.body_header())
        .map_err(envelope_error(&target))?;
    drop(data_key);
    let upload = Upload {
        client,
        target,
        header: header.clone(),
        attributes: Attributes::default(),
        own_metadata: HashMap::new(),
        conditions,
        on_progress,
        state_file: None,
    };
    Ok(PutOutput::new(upload.resume(parts, sealer, journal).await?, header))
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Put").field("bucket", &self.bucket).field("key", &self.key).finish_non_exhaustive()
    }
}
