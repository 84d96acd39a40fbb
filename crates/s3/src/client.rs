//! The client: what an application holds.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use aws_sdk_s3::Client;
use sealwax_envelope::{
    EncryptedDataKey, Error as EnvelopeError, Keyring, KeyringError, ObjectHeader, Opener,
    PlaintextDataKey, Unwrap, geometry::CHUNK_LEN,
};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    BodyChecksum, SidecarPolicy,
    error::{Error, ErrorKind, Target},
    format::UnencryptedObjects,
    operation::{
        copy::Copy, delete::Delete, get::Get, head::Head, inspect::Inspect, put::Put,
        reencrypt::Reencrypt, rewrap::Rewrap, shred::Shred, verify::Verify,
    },
    places::PlacePolicy,
    s3ec::S3ec,
    sidecars::Sidecar,
    timeouts,
    upload::buffers::PartBuffers,
};

/// Plaintext bytes in one part of a multipart upload, unless set: 8 MiB.
const DEFAULT_PART_LEN: usize = 8 * 1024 * 1024;
/// Bytes of parts in memory at once over all uploads of a client, unless set: 128 MiB.
const DEFAULT_MEMORY_BUDGET: usize = 128 * 1024 * 1024;
/// S3's least part length but for the last part, in bytes. (Amazon S3 User Guide, "Multipart upload limits".)
const MIN_PART_LEN: usize = 5 * 1024 * 1024;
/// Most bytes that one `CopyObject`, or `UploadPartCopy`, copies: 5 GiB. (Amazon S3 API Reference, `CopyObject`.)
pub(crate) const MAX_COPY_LEN: u64 = 5 << 30;

/// Seals objects before they leave the process, and opens them.
///
/// It wraps an [`aws_sdk_s3::Client`], which stays reachable by [`SealedClient::s3`]. Cloning is cheap.
#[derive(Clone)]
pub struct SealedClient(Arc<Inner>);

struct Inner {
    s3: Client,
    keyring: Arc<dyn Keyring>,
    places: PlacePolicy,
    sidecars: SidecarPolicy,
    s3ec: S3ec,
    unencrypted: UnencryptedObjects,
    part_len: usize,
    copy_in_parts_above: u64,
    checksum: BodyChecksum,
    budget: Arc<Semaphore>,
    budget_len: usize,
    /// Those of the uploads that run now.
    buffers: Mutex<Weak<PartBuffers>>,
    /// Whether ACLs are off, by bucket, as far as was asked.
    acls_off: Mutex<HashMap<String, bool>>,
    /// Aborts of uploads whose futures were dropped.
    aborts: TaskTracker,
}

impl SealedClient {
    /// Begins a client that uses `s3`, and `keyring` to wrap and unwrap data keys.
    #[must_use]
    pub fn builder(s3: Client, keyring: impl Keyring + 'static) -> SealedClientBuilder {
        SealedClientBuilder {
            s3,
            keyring: Arc::new(keyring),
            places: PlacePolicy::bound(),
            sidecars: SidecarPolicy::off(),
            s3ec: S3ec::new(),
            unencrypted: UnencryptedObjects::default(),
            part_len: DEFAULT_PART_LEN,
            copy_in_parts_above: MAX_COPY_LEN,
            checksum: BodyChecksum::default(),
            budget_len: DEFAULT_MEMORY_BUDGET,
        }
    }

    /// The wrapped client, for everything that is not sealed. Where it had no time limit, it has a read timeout now.
    #[must_use]
    pub fn s3(&self) -> &Client {
        &self.0.s3
    }

    /// The keyring.
    #[must_use]
    pub fn keyring(&self) -> &Arc<dyn Keyring> {
        &self.0.keyring
    }

    /// Seals and stores an object.
    pub fn put(&self) -> Put {
        Put::new(self.clone())
    }

    /// Reads and opens an object.
    pub fn get(&self) -> Get {
        Get::new(self.clone())
    }

    /// Reads what is known of an object without any key.
    pub fn head(&self) -> Head {
        Head::new(self.clone())
    }

    /// Reads which keys an object depends on, without using a key.
    pub fn inspect(&self) -> Inspect {
        Inspect::new(self.clone())
    }

    /// Wraps an object's data key anew; the body stays as it is.
    pub fn rewrap(&self) -> Rewrap {
        Rewrap::new(self.clone())
    }

    /// Seals an object anew, under a new data key.
    pub fn reencrypt(&self) -> Reencrypt {
        Reencrypt::new(self.clone())
    }

    /// Removes an object's last keys, for good.
    pub fn shred(&self) -> Shred {
        Shred::new(self.clone())
    }

    /// Proves that an object opens.
    pub fn verify(&self) -> Verify {
        Verify::new(self.clone())
    }

    /// Copies an object inside S3 to another place, its keys wrapped for that place.
    pub fn copy(&self) -> Copy {
        Copy::new(self.clone())
    }

    /// Deletes an object.
    pub fn delete(&self) -> Delete {
        Delete::new(self.clone())
    }

    /// Waits until every multipart upload whose future was dropped has been aborted.
    ///
    /// Call it before the process ends, where puts may have been cancelled: an upload that is neither completed nor
    /// aborted goes on costing storage.
    ///
    /// What cannot be aborted is an upload that S3 began while its answer, and with it the upload's name, was lost on the
    /// way; and one for which S3 refuses the abort, again and again, which is logged. For these, buckets have a lifecycle
    /// rule: `AbortIncompleteMultipartUpload`.
    pub async fn settle(&self) {
        self.0.aborts.close();
        self.0.aborts.wait().await;
        self.0.aborts.reopen();
    }

    pub(crate) fn aborts(&self) -> &TaskTracker {
        &self.0.aborts
    }

    pub(crate) fn places(&self) -> &PlacePolicy {
        &self.0.places
    }

    /// Returns the sidecar policy.
    #[must_use]
    pub fn sidecars(&self) -> &SidecarPolicy {
        &self.0.sidecars
    }

    /// Returns the settings for objects of the Amazon S3 Encryption Client.
    #[must_use]
    pub fn s3ec(&self) -> &S3ec {
        &self.0.s3ec
    }

    pub(crate) fn unencrypted(&self) -> UnencryptedObjects {
        self.0.unencrypted
    }

    pub(crate) fn part_len(&self) -> usize {
        self.0.part_len
    }

    pub(crate) fn copy_in_parts_above(&self) -> u64 {
        self.0.copy_in_parts_above
    }

    pub(crate) fn checksum(&self) -> BodyChecksum {
        self.0.checksum
    }

    /// A request's settings, where its body has `len` bytes.
    pub(crate) fn config_for_body(&self, len: usize) -> aws_sdk_s3::config::Builder {
        self.0.checksum.onto(timeouts::for_body(&self.0.s3, len))
    }

    /// The budget for part buffers, in [`CHUNK_LEN`] units, and its whole size.
    pub(crate) fn budget(&self) -> (&Arc<Semaphore>, usize) {
        (&self.0.budget, self.0.budget_len / CHUNK_LEN)
    }

    /// The part buffers that all running uploads share.
    pub(crate) fn buffers(&self) -> Arc<PartBuffers> {
        let mut shared = self.0.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let buffers = Arc::default();
            *shared = Arc::downgrade(&buffers);
            buffers
        })
    }

    pub(crate) fn known_acls_off(&self, bucket: &str) -> Option<bool> {
        self.0.acls_off.lock().unwrap_or_else(PoisonError::into_inner).get(bucket).copied()
    }

    pub(crate) fn remember_acls_off(&self, bucket: &str, off: bool) {
        self.0
            .acls_off
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(bucket.to_owned(), off);
    }

    /// Unwraps the data key of an object, from those of its keys that may be used.
    pub(crate) async fn unwrap(
        &self,
        target: &Target,
        header: &ObjectHeader,
        keys: &[EncryptedDataKey],
    ) -> Result<PlaintextDataKey, Error> {
        match self.0.keyring.unwrap(keys, header.context()).await {
            Unwrap::Unwrapped(data_key) => Ok(data_key),
            Unwrap::Failed(failures) => Err(target.keyring(failures)),
            Unwrap::NotMine => {
                let names: Vec<_> = keys.iter().map(EncryptedDataKey::wrapping_key).collect();
                let message =
                    format!("none of its wrapping keys is the keyring's: {}", names.join(", "));
                Err(target.error(ErrorKind::NoMatchingKey, message))
            }
        }
    }

    /// Begins to open an object's body: by the keys in its metadata, else by those of its sidecar, where the client looks
    /// for that.
    pub(crate) async fn opener(
        &self,
        target: &Target,
        header: &ObjectHeader,
        accepted_places: &[String],
    ) -> Result<Opener, Error> {
        let error = match self.opener_by_metadata(target, header, accepted_places).await {
            Ok(opener) => return Ok(opener),
            Err(error) => error,
        };
        let Some(suffix) = self.0.sidecars.suffix() else { return Err(error) };
        match Sidecar::find(self, target, suffix, header).await {
            Ok(Sidecar::Present { header, .. }) => {
                tracing::debug!(%error, generation = header.generation(), "trying the keys of the sidecar");
                let opener = self.opener_by_metadata(target, &header, accepted_places).await;
                opener.map_err(|sidecars| {
                    error.and(&format!(
                        "nor do those of its sidecar open it: {}",
                        sidecars.message()
                    ))
                })
            }
            Ok(Sidecar::Absent | Sidecar::Stale { .. }) => Err(error),
            Err(unread) => {
                Err(error.and(&format!("and its sidecar is of no use: {}", unread.message())))
            }
        }
    }

    /// Begins to open an object's body by the keys in `header` alone.
    pub(crate) async fn opener_by_metadata(
        &self,
        target: &Target,
        header: &ObjectHeader,
        accepted_places: &[String],
    ) -> Result<Opener, Error> {
        let keys = self.places().acceptable_keys(target, header, accepted_places)?;
        let data_key = self.unwrap(target, header, &keys).await?;
        Opener::new(&data_key, &header.context().body_context(), header.body_header())
            .map_err(|error| target.envelope(error))
    }
}

impl fmt::Debug for SealedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedClient")
            .field("keyring", &self.0.keyring)
            .field("places", &self.0.places)
            .finish_non_exhaustive()
    }
}

/// Builds a [`SealedClient`].
#[derive(Debug)]
pub struct SealedClientBuilder {
    s3: Client,
    keyring: Arc<dyn Keyring>,
    places: PlacePolicy,
    sidecars: SidecarPolicy,
    s3ec: S3ec,
    unencrypted: UnencryptedObjects,
    part_len: usize,
    copy_in_parts_above: u64,
    checksum: BodyChecksum,
    budget_len: usize,
}

impl SealedClientBuilder {
    /// How wrapped keys are bound to places; [`PlacePolicy::bound`] unless set.
    #[must_use]
    pub fn places(mut self, places: PlacePolicy) -> Self {
        self.places = places;
        self
    }

    /// Whether the object's sidecar is looked for where the object's own keys do not open it: [`SidecarPolicy::off`] unless
    /// set. With it, [`SealedClient::delete`] deletes the sidecar too.
    #[must_use]
    pub fn sidecars(mut self, sidecars: SidecarPolicy) -> Self {
        self.sidecars = sidecars;
        self
    }

    /// How objects of the Amazon S3 Encryption Client are treated; [`S3ec::new`] unless set.
    #[must_use]
    pub fn s3ec(mut self, s3ec: S3ec) -> Self {
        self.s3ec = s3ec;
        self
    }

    /// What a read does with objects that are not encrypted by any client; it refuses them unless set.
    #[must_use]
    pub fn unencrypted(mut self, objects: UnencryptedObjects) -> Self {
        self.unencrypted = objects;
        self
    }

    /// Plaintext bytes in one part of a multipart upload: 8 MiB unless set; rounded up to whole chunks of 16 KiB, and at
    /// least S3's 5 MiB. Longer objects get longer parts, so that S3's 10,000 suffice. Objects up to this length are
    /// stored by one `PutObject`.
    #[must_use]
    pub fn part_len(mut self, bytes: usize) -> Self {
        self.part_len = bytes.max(MIN_PART_LEN).next_multiple_of(CHUNK_LEN);
        self
    }

    /// Above so many stored bytes, a rewrap copies an object in parts, many at once, instead of by one `CopyObject`: 5 GiB
    /// unless set, which is the most that S3 copies at once. Parts are faster for long objects, and cost a request each.
    #[must_use]
    pub fn copy_in_parts_above(mut self, bytes: u64) -> Self {
        self.copy_in_parts_above = bytes.min(MAX_COPY_LEN);
        self
    }

    /// Which checksum is sent with bodies: CRC-64/NVME unless set.
    #[must_use]
    pub fn checksum(mut self, checksum: BodyChecksum) -> Self {
        self.checksum = checksum;
        self
    }

    /// How many bytes of parts may be in memory at once, over all uploads of this client: 128 MiB unless set, and at
    /// least one part.
    #[must_use]
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.budget_len = bytes;
        self
    }

    /// Makes the client.
    #[must_use]
    pub fn build(self) -> SealedClient {
        let budget_len = self.budget_len.max(self.part_len);
        SealedClient(Arc::new(Inner {
            s3: timeouts::with_read_timeout(self.s3),
            keyring: self.keyring,
            places: self.places,
            sidecars: self.sidecars,
            s3ec: self.s3ec,
            unencrypted: self.unencrypted,
            part_len: self.part_len,
            copy_in_parts_above: self.copy_in_parts_above,
            checksum: self.checksum,
            budget: Arc::new(Semaphore::new(budget_len / CHUNK_LEN)),
            budget_len,
            buffers: Mutex::default(),
            acls_off: Mutex::default(),
            aborts: TaskTracker::new(),
        }))
    }
}

/// A keyring's failure to wrap.
pub(crate) fn wrap_error(target: &Target) -> impl Fn(KeyringError) -> Error + '_ {
    |error| target.keyring(vec![error])
}

/// A failure of the envelope core.
pub(crate) fn envelope_error(target: &Target) -> impl Fn(EnvelopeError) -> Error + '_ {
    |error| target.envelope(error)
}
