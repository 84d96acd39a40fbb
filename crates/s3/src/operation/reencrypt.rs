//! Seals objects again under a new data key, from any format to any.

mod forecast;
mod migrator;
mod resealing;

use std::{fmt, sync::Arc};

use sealwax_envelope::{EncryptionContext, Keyring, ObjectHeader};
use tracing::{Span, field::Empty};

use self::resealing::Resealing;
pub use self::{
    forecast::ReencryptCost,
    migrator::{MigrateOutcome, Migration, MigrationFormat, Migrator},
};
use super::{ContextSetting, Handle, context_setters, object_setters};
use crate::{
    error::{Error, ObjectRef},
    format::ObjectFormat,
    store::snapshot::Snapshot,
};

/// Name of the operation in errors.
const OPERATION: &str = "reencrypt";

/// Seals an object again in its place, under a new data key. Use it if the old data key may have
/// become known.
///
/// The object is read, verified and stored in parts through this process. The new object takes the
/// old one's place only when all of it is stored, and only if the body is still the one that was
/// read. Encryption context, content headers, user-defined metadata, tags, storage class,
/// server-side encryption, Object Lock settings, website redirect and ACL are kept; annotations are not. A concurrent
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
    bucket: Option<String>,
    key: Option<String>,
    context: ContextSetting,
    settings: Resealing,
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
            bucket: None,
            key: None,
            context: ContextSetting::default(),
            settings: Resealing::new(handle),
        }
    }

    object_setters!();

    /// Wraps the new data key under the wrapping keys of `keyring` instead of the client's.
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.settings.keyring = Some(Arc::new(keyring));
        self
    }

    /// Sets the format to write. Default: the object's own, and Sealwax's for an object that no
    /// client encrypted.
    pub fn to(mut self, format: WriteFormat) -> Self {
        self.settings.to = Some(format);
        self
    }

    context_setters!(
        /// Requires these pairs, as [`crate::Get::encryption_context`] does, before anything is stored.
    );

    /// Sets the encryption context of the new object. Default: the object's own, without names that
    /// AWS reserves, as in objects of Amazon SES.
    pub fn new_encryption_context(mut self, context: EncryptionContext) -> Self {
        self.settings.new_context = Some(context);
        self
    }

    /// Accepts wrapped keys that are bound to `place` (`bucket/key`), for an object that was moved
    /// on purpose.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.settings.accepted_places.push(place.into());
        self
    }

    /// Calls `on_progress` with the number of plaintext bytes stored since its last call.
    pub fn on_progress(mut self, on_progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.settings.on_progress = Some(Arc::new(on_progress));
        self
    }

    /// Seals the object again.
    ///
    /// # Errors
    /// As [`crate::Get::send`] and [`crate::Put::send`], and:
    ///
    /// * [`Conflict`](crate::ErrorKind::Conflict) if the object changed meanwhile;
    /// * [`Unsupported`](crate::ErrorKind::Unsupported) if some of the object's attributes cannot be kept.
    ///
    /// On these errors, the object is unchanged.
    #[tracing::instrument(
        name = "reencrypt",
        skip_all,
        fields(bucket = self.bucket, key = self.key, bytes = Empty),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<ReencryptOutput, Error> {
        let Self { bucket, key, context, mut settings } = self;
        let store = &settings.handle.store;
        let target = ObjectRef::new(OPERATION, store.s3(), bucket, key)?;
        let snapshot = Snapshot::take(store, &target).await?;
        settings.context = context.build(&target)?;
        let output = settings.reseal(&target, &snapshot).await?;
        Span::current().record("bytes", output.plaintext_len);
        Ok(output)
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
