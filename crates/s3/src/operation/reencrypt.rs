//! Seals objects again under a new data key, from any format to any.

use std::{fmt, io, sync::Arc};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use futures_util::TryStreamExt as _;
use sealwax_envelope::{EncryptionContext, Keyring, ObjectHeader, s3ec::Storage};
use tracing::{Span, field::Empty};

use super::{
    ContextSetting, Handle, context_setters,
    get::Get,
    object_setters,
    put::{Put, PutOutput, PutS3ecOutput},
};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    progress::OnProgress,
    store::{attributes::Attributes, snapshot::Snapshot},
    upload::source::PlaintextSource,
    vault::{instruction_file, sidecar},
};

/// Seals an object again in its place, under a new data key. Use it if the old data key may have
/// become known.
///
/// The object is read, verified and stored in parts through this process. The new object takes the
/// old one's place only when all of it is stored, and only if the body is still the one that was
/// read. Encryption context, content headers, user-defined metadata, tags, storage class,
/// server-side encryption, Object Lock settings, website redirect and ACL are kept. A concurrent
/// change of these alone is lost.
///
/// It reads every format that the client reads, and keeps the object's format unless
/// [`Reencrypt::to`] sets another. So it migrates objects of the Amazon S3 Encryption Client, and
/// back. Their instruction files are deleted afterwards, unless the bucket keeps versions, which
/// depend on these files.
///
/// The new object is genuine whatever the old one was. So require what a reader would require: its
/// pairs of the [encryption context](Reencrypt::encryption_context). The new data key is wrapped
/// under the wrapping keys of the client's keyring, or of [`Reencrypt::keyring`]; the names in the
/// old object have no part in it.
///
/// In a versioned bucket, older versions keep their bodies and their data key until they are
/// deleted.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// let output = client.reencrypt().bucket("invoices").key("2026/0001.pdf").send().await?;
/// println!("sealed {} bytes again", output.plaintext_len);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Reencrypt {
    handle: Handle,
    bucket: Option<String>,
    key: Option<String>,
    accepted_places: Vec<String>,
    keyring: Option<Arc<dyn Keyring>>,
    to: Option<WriteFormat>,
    context: ContextSetting,
    new_context: Option<EncryptionContext>,
    on_progress: Option<OnProgress>,
}

/// Format that a [`Reencrypt`] writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteFormat {
    /// Sealwax's own format.
    Sealwax,
    /// Format of the Amazon S3 Encryption Client: V3, or V2 if the client's commitment policy
    /// forbids commitment.
    S3ec,
}

/// Result of a [`Reencrypt`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReencryptOutput {
    /// Format of the object, with its metadata in that format, as stored.
    pub format: ObjectFormat,
    /// Entity tag, as returned by S3.
    pub e_tag: Option<String>,
    /// Version id, in a versioned bucket.
    pub version_id: Option<String>,
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
}

impl ReencryptOutput {
    /// Returns Sealwax's metadata, as stored; `None` for other formats.
    #[must_use]
    pub fn header(&self) -> Option<&ObjectHeader> {
        match &self.format {
            ObjectFormat::Sealwax(header) => Some(header),
            ObjectFormat::S3ec(_) | ObjectFormat::Unencrypted => None,
        }
    }
}

impl Reencrypt {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            bucket: None,
            key: None,
            accepted_places: Vec::new(),
            keyring: None,
            to: None,
            context: ContextSetting::default(),
            new_context: None,
            on_progress: None,
        }
    }

    object_setters!();

    /// Wraps the new data key under the wrapping keys of `keyring` instead of the client's.
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.keyring = Some(Arc::new(keyring));
        self
    }

    /// Sets the format to write. Default: the object's own, and Sealwax's for an object that no
    /// client encrypted.
    pub fn to(mut self, format: WriteFormat) -> Self {
        self.to = Some(format);
        self
    }

    context_setters!(
        /// Requires these pairs, as [`Get::encryption_context`] does, before anything is stored.
    );

    /// Sets the encryption context of the new object. Default: the object's own, without names that
    /// AWS reserves, as in objects of Amazon SES.
    pub fn new_encryption_context(mut self, context: EncryptionContext) -> Self {
        self.new_context = Some(context);
        self
    }

    /// Accepts wrapped keys that are bound to `place` (`bucket/key`), for an object that was moved
    /// on purpose.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Calls `on_progress` with the number of plaintext bytes stored since its last call.
    pub fn on_progress(mut self, on_progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(on_progress));
        self
    }

    /// Seals the object again.
    ///
    /// # Errors
    /// As [`crate::Get::send`] and [`crate::Put::send`], and:
    ///
    /// * [`ErrorKind::Conflict`] if the object changed meanwhile;
    /// * [`ErrorKind::Unsupported`] if some of the object's attributes cannot be kept.
    ///
    /// On these errors, the object is unchanged.
    #[tracing::instrument(
        name = "reencrypt",
        skip_all,
        fields(bucket = self.bucket, key = self.key, bytes = Empty),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<ReencryptOutput, Error> {
        let target = ObjectRef::new(
            "reencrypt",
            self.handle.store.s3(),
            self.bucket.clone(),
            self.key.clone(),
        )?;
        let Handle { store, vault, .. } = &self.handle;
        let snapshot = Snapshot::take(store, &target).await?;
        let attributes = self.attributes(&target, &snapshot).await?;
        let e_tag = snapshot
            .head
            .e_tag()
            .ok_or_else(|| target.error(ErrorKind::Service, "HeadObject returned no entity tag"))?;

        let get = Get::new(self.handle.clone()).bucket(&target.bucket).key(&target.key);
        let context = self.context.build(&target)?;
        let mut get = get.if_match(e_tag).encryption_context(context);
        for place in &self.accepted_places {
            get = get.accept_place(place);
        }
        let object = get.send().await.map_err(|error| error.in_operation(target.operation))?;
        let info = object.info().clone();
        let suffix = vault.s3ec().file_suffix();
        if matches!(info.format(), ObjectFormat::Unencrypted) && target.key.ends_with(suffix) {
            let message = "its name is that of another object's instruction file, and that object \
                           would be lost without it";
            return Err(target.error(ErrorKind::Unsupported, message));
        }
        // A plaintext that is not genuine ends with an error, which also ends the upload: nothing
        // of it becomes visible.
        let plaintext =
            PlaintextSource::stream(object.release_unverified().map_err(io::Error::other));
        let context = match (self.new_context, info.envelope()) {
            (Some(context), _) => context,
            (None, Some(envelope)) => envelope.unreserved_context().map_err(|error| {
                let message = format!(
                    "its encryption context cannot be kept, so another one is required: {error}"
                );
                target.error(ErrorKind::InvalidInput, message)
            })?,
            (None, None) => info.encryption_context().clone(),
        };

        let mut put = Put::new(self.handle.clone())
            .bucket(&target.bucket)
            .key(&target.key)
            .body(plaintext)
            .if_match(e_tag);
        put = put.encryption_context(context).attributes(attributes);
        for (name, value) in info.metadata.clone() {
            put = put.metadata(name, value);
        }
        if let Some(keyring) = self.keyring {
            put = put.keyring(keyring);
        }
        if let Some(on_progress) = self.on_progress {
            put = put.on_progress(move |bytes| on_progress(bytes));
        }
        let failed = |error: Error| error.or_from_source().in_operation(target.operation);
        let format = self.to.unwrap_or(match info.format() {
            ObjectFormat::S3ec(_) => WriteFormat::S3ec,
            ObjectFormat::Sealwax(_) | ObjectFormat::Unencrypted => WriteFormat::Sealwax,
        });
        let output = match format {
            WriteFormat::Sealwax => {
                let PutOutput { e_tag, version_id, plaintext_len, header } =
                    put.send().await.map_err(failed)?;
                ReencryptOutput {
                    format: ObjectFormat::Sealwax(header),
                    e_tag,
                    version_id,
                    plaintext_len,
                }
            }
            WriteFormat::S3ec => {
                let PutS3ecOutput { e_tag, version_id, plaintext_len, envelope } =
                    put.s3ec().send().await.map_err(failed)?;
                ReencryptOutput {
                    format: ObjectFormat::S3ec(envelope),
                    e_tag,
                    version_id,
                    plaintext_len,
                }
            }
        };
        Span::current().record("bytes", output.plaintext_len);
        let had_file =
            info.envelope().is_some_and(|envelope| envelope.storage() == Storage::InstructionFile);
        if had_file && output.version_id.is_none() {
            instruction_file::remove(store, &target, suffix).await;
        }
        // No key of the old body opens the new one. Older versions may need theirs.
        if let Some(suffix) = vault.sidecars().suffix()
            && output.version_id.is_none()
        {
            sidecar::remove(store, &target, suffix).await;
        }
        Ok(output)
    }

    /// Returns all attributes of the object, or refuses one with attributes that would be lost.
    async fn attributes(
        &self,
        target: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<Attributes, Error> {
        let head = &snapshot.head;
        if head.missing_meta().is_some_and(|count| count > 0) {
            let message =
                "it has metadata that S3 does not return in headers and that would be lost";
            return Err(target.error(ErrorKind::Unsupported, message));
        }
        let store = &self.handle.store;
        let grants = store.grants_to_keep(target, head.version_id()).await?;
        let mut attributes = grants.onto(Attributes::of_stored(head, snapshot.now.into()));
        attributes.tagging = store.tags_to_keep(target, head).await?;
        if let Some(expires) = &head.expires_string {
            let date = DateTime::from_str(expires, DateTimeFormat::HttpDate).map_err(|_| {
                target.error(
                    ErrorKind::Unsupported,
                    "its Expires header is not a date, which S3 accepts only in a copy",
                )
            })?;
            attributes.expires = Some(date);
        }
        Ok(attributes)
    }
}

impl fmt::Debug for Reencrypt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reencrypt")
            .field("bucket", &self.bucket)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
