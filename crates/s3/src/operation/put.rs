//! Sealing and storing an object.

use std::{collections::HashMap, fmt, sync::Arc};

use sealwax_envelope::{BodyHeader, EncryptionContext, ObjectHeader, Sealer, WrapContext, geometry};

use super::object_setters;
use crate::{
    Attributes, PlaintextSource, SealedClient,
    client::{envelope_error, wrap_error},
    error::{Error, ErrorKind, Target},
    source::Parts,
    upload::{Conditions, OnProgress, Upload},
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
        let (data_key, keys) = keyring.generate(binding).await.map_err(wrap_error(&target))?.into_parts();
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
        };
        let uploaded = upload.run(parts, sealer).await?;
        Ok(PutOutput {
            e_tag: uploaded.e_tag,
            version_id: uploaded.version_id,
            plaintext_len: uploaded.plaintext_len,
            header,
        })
    }
}

impl fmt::Debug for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Put").field("bucket", &self.bucket).field("key", &self.key).finish_non_exhaustive()
    }
}
