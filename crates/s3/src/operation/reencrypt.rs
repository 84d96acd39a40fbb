//! Sealing an object anew: a new data key, and so a new body; from any format to any.

use std::{io, sync::Arc};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use futures_util::TryStreamExt as _;
use sealwax_envelope::{EncryptionContext, Keyring, ObjectHeader, s3ec::Storage};

use super::{
    Handle,
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
    vault::instruction_file,
};

/// Seals an object anew, in its place: for a data key that may have become known.
///
/// The object is read, verified and stored under a new data key as it comes, in parts, through this process; the new object
/// takes the old one's place only when all of it is stored, and only if the body is still the one that was read. Encryption
/// context, content headers, the user's own metadata, tags, storage class, server-side encryption, Object Lock settings,
/// website redirect and ACL are kept. A change of these alone, made meanwhile, is lost.
///
/// It reads every format that the client reads, and writes Sealwax's own, unless [`Reencrypt::to`] says otherwise: so it
/// migrates objects of the Amazon S3 Encryption Client, whatever their encryption context, and back. Their instruction files
/// are deleted afterwards, unless the bucket keeps versions, whose keys they are.
///
/// In a versioned bucket the older versions keep their bodies and their data key, until they are deleted.
#[must_use = "nothing happens before `send`"]
pub struct Reencrypt {
    handle: Handle,
    bucket: Option<String>,
    key: Option<String>,
    accepted_places: Vec<String>,
    keyring: Option<Arc<dyn Keyring>>,
    to: WriteFormat,
    context: Option<EncryptionContext>,
    on_progress: Option<OnProgress>,
}

/// A format that is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteFormat {
    /// Sealwax's own.
    #[default]
    Sealwax,
    /// That of the Amazon S3 Encryption Client: V3, or V2 where the client's commitment policy forbids commitment.
    S3ec,
}

/// What was stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReencryptOutput {
    /// The object's format and all that its metadata says in it.
    pub format: ObjectFormat,
    /// The entity tag, as S3 gave it.
    pub e_tag: Option<String>,
    /// The version, in a versioned bucket.
    pub version_id: Option<String>,
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
}

impl ReencryptOutput {
    /// Sealwax's metadata, as stored; `None` for other formats.
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
            to: WriteFormat::Sealwax,
            context: None,
            on_progress: None,
        }
    }

    object_setters!();

    /// Wraps the new data key under the wrapping keys of `keyring`, instead of the client's.
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.keyring = Some(Arc::new(keyring));
        self
    }

    /// Writes this format.
    pub fn to(mut self, format: WriteFormat) -> Self {
        self.to = format;
        self
    }

    /// Gives the object this encryption context, instead of the one that it has.
    pub fn encryption_context(mut self, context: EncryptionContext) -> Self {
        self.context = Some(context);
        self
    }

    /// Accepts an object whose wraps are bound to `place` (`bucket/key`): it was moved here on purpose.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Calls `on_progress` with the number of plaintext bytes that were stored since its last call.
    pub fn on_progress(mut self, on_progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(on_progress));
        self
    }

    /// Seals the object anew.
    ///
    /// # Errors
    /// As [`crate::Get::send`] and [`crate::Put::send`]; [`ErrorKind::Conflict`] where the object changed meanwhile. It is
    /// unchanged then.
    #[tracing::instrument(name = "reencrypt", skip_all, fields(bucket = self.bucket, key = self.key), err(level = "debug"))]
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
            .ok_or_else(|| target.error(ErrorKind::Service, "HeadObject gave no entity tag"))?;

        let get = Get::new(self.handle.clone()).bucket(&target.bucket).key(&target.key);
        let mut get = get.if_match(e_tag).any_encryption_context();
        for place in &self.accepted_places {
            get = get.accept_place(place);
        }
        let object = get.send().await.map_err(|error| error.in_operation(target.operation))?;
        let info = object.info().clone();
        let suffix = vault.s3ec().file_suffix();
        if matches!(info.format(), ObjectFormat::Unencrypted) && target.key.ends_with(suffix) {
            let message = "by its name it is the instruction file of another object, which would be lost without it";
            return Err(target.error(ErrorKind::Unsupported, message));
        }
        // What is not genuine ends with an error, which the upload ends with too: nothing of it becomes visible.
        let plaintext =
            PlaintextSource::stream(object.release_unverified().map_err(io::Error::other));
        let context = match (self.context, info.envelope()) {
            (Some(context), _) => context,
            (None, Some(envelope)) => envelope.encryption_context().map_err(|error| {
                let message = format!(
                    "its encryption context cannot be kept, and another one must be given: {error}"
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
        let output = match self.to {
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
        let had_file =
            info.envelope().is_some_and(|envelope| envelope.storage() == Storage::InstructionFile);
        if had_file && output.version_id.is_none() {
            instruction_file::remove(store, &target, suffix).await;
        }
        Ok(output)
    }

    /// Returns all attributes of the object.
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
                    "its Expires header is no date, which S3 takes in a copy alone",
                )
            })?;
            attributes.expires = Some(date);
        }
        Ok(attributes)
    }
}

impl std::fmt::Debug for Reencrypt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reencrypt")
            .field("bucket", &self.bucket)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
