//! The client: the object that an application holds.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use aws_sdk_s3::{
    Client, config::http::HttpResponse, error::SdkError, operation::head_object::HeadObjectError,
};
use sealwax_envelope::{Keyring, geometry::CHUNK_LEN};

use crate::{
    error::{Error, ObjectRef, aws_failure::AwsFailure},
    format::UnencryptedObjects,
    limited_http::LimitedHttp,
    limits::{MAX_COPY_LEN, MIN_PART_LEN},
    operation::{
        Handle,
        abort::abort_unfinished,
        copy::CopyObject,
        delete::Delete,
        delete_batch::DeleteBatch,
        get::Get,
        head::Head,
        inspect::Inspect,
        key_audit::KeyAudit,
        put::Put,
        reencrypt::{Migrator, Reencrypt, WriteFormat},
        rewrap::{KeyChanges, Rewrap, Rewrapper},
        shred::Shred,
        stored_keys::StoredKeys,
        verify::Verify,
    },
    places::PlacePolicy,
    request_headers::RequestHeaders,
    s3ec::S3ec,
    store::{
        Store, StoreSettings, acl::AclPolicy, checksum::BodyChecksum,
        condition_proof::ConditionPolicy, known_store::KnownStore, unclaimed::UnclaimedUpload,
    },
    upload::budget::UploadBudget,
    uri::S3Uri,
    vault::{Vault, VaultSettings, key_store::KeyStorePolicy, sidecar::SidecarPolicy},
};

/// Default plaintext length of one part of a multipart upload: 8 MiB.
const DEFAULT_PART_LEN: usize = 8 << 20;
/// Default bound on the bytes of parts in memory, over all uploads of a client: 128 MiB.
const DEFAULT_MEMORY_BUDGET: usize = 128 << 20;

/// Seals objects before they leave the process, and opens them.
///
/// It wraps an [`aws_sdk_s3::Client`], which [`SealedClient::s3`] returns. Cloning is cheap.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sealwax_s3::{KmsKeyring, SealedClient, aws_config::{self, BehaviorVersion}, aws_sdk_s3};
///
/// let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
/// let keyring = KmsKeyring::builder(&config)
///     .key("arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab")
///     .build()?;
/// let client = SealedClient::builder(aws_sdk_s3::Client::new(&config), keyring).build();
///
/// client
///     .put()
///     .bucket("invoices")
///     .key("2026/0001.pdf")
///     .context("tenant", "acme")
///     .body("the plaintext")
///     .send()
///     .await?;
/// let object = client.get().bucket("invoices").key("2026/0001.pdf").send().await?;
/// assert_eq!(object.bytes().await?, "the plaintext");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SealedClient(pub(crate) Handle);

impl SealedClient {
    /// Begins a client that uses `s3`, and `keyring` to wrap and unwrap data keys.
    #[must_use]
    pub fn builder(s3: Client, keyring: impl Keyring + 'static) -> SealedClientBuilder {
        SealedClientBuilder {
            s3,
            store: StoreSettings {
                part_len: DEFAULT_PART_LEN,
                copy_in_parts_above: MAX_COPY_LEN,
                checksum: BodyChecksum::default(),
                conditions: ConditionPolicy::default(),
                known: KnownStore::default(),
                timeout: LimitedHttp::DEFAULT_TIMEOUT,
                acls: AclPolicy::default(),
                headers: RequestHeaders::default(),
            },
            vault: VaultSettings {
                keyring: Arc::new(keyring),
                places: PlacePolicy::bound(),
                sidecars: SidecarPolicy::off(),
                key_store: KeyStorePolicy::off(),
                s3ec: S3ec::new(),
                unencrypted: UnencryptedObjects::default(),
            },
            memory_budget: DEFAULT_MEMORY_BUDGET,
        }
    }

    /// Returns the wrapped client, for everything that is not sealed. Its calls have the limits of
    /// [`LimitedHttp`].
    #[must_use]
    pub fn s3(&self) -> &Client {
        self.0.store.s3()
    }

    /// Returns the keyring.
    #[must_use]
    pub fn keyring(&self) -> &Arc<dyn Keyring> {
        self.0.vault.keyring()
    }

    /// Returns the policy on sidecars.
    #[must_use]
    pub fn sidecars(&self) -> &SidecarPolicy {
        self.0.vault.sidecars()
    }

    /// Returns the policy on key stores.
    #[must_use]
    pub fn key_store(&self) -> &KeyStorePolicy {
        self.0.vault.key_store_policy()
    }

    /// Returns the settings for objects of the S3 Encryption Client.
    #[must_use]
    pub fn s3ec(&self) -> &S3ec {
        self.0.vault.s3ec()
    }

    /// Returns this client with another treatment of objects that no client encrypted. The two share their
    /// memory budget, and what they know of keys.
    #[must_use]
    pub fn with_unencrypted(&self, objects: UnencryptedObjects) -> Self {
        let vault = self.0.vault.with_unencrypted(objects);
        Self(Handle { vault, ..self.0.clone() })
    }

    /// Seals and stores an object.
    pub fn put(&self) -> Put {
        Put::new(self.0.clone())
    }

    /// Reads and opens an object.
    pub fn get(&self) -> Get {
        Get::new(self.0.clone())
    }

    /// Reads an object's metadata without any key.
    pub fn head(&self) -> Head {
        Head::new(self.0.clone())
    }

    /// Reads which keys an object depends on, without using a key.
    pub fn inspect(&self) -> Inspect {
        Inspect::new(self.0.clone())
    }

    /// Asks the key service about the keys of inspected objects, with the client's keyring.
    #[must_use]
    pub fn key_audit(&self) -> KeyAudit {
        KeyAudit::new(self.0.clone())
    }

    /// Creates a rewrapper that makes `changes` to objects that this client reads.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) without any change.
    pub fn rewrapper(&self, changes: KeyChanges) -> Result<Rewrapper, Error> {
        Rewrapper::new(self.0.clone(), changes)
    }

    /// Returns the key store of a bucket, to list and change its keys.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the client uses no key store, or without a
    /// bucket.
    pub fn stored_keys(&self, bucket: impl Into<String>) -> Result<StoredKeys, Error> {
        StoredKeys::new(self.0.clone(), bucket.into())
    }

    /// Re-wraps an object's data key. The body stays unchanged.
    pub fn rewrap(&self) -> Rewrap {
        Rewrap::new(self.0.clone())
    }

    /// Seals an object again, under a new data key.
    pub fn reencrypt(&self) -> Reencrypt {
        Reencrypt::new(self.0.clone())
    }

    /// Creates a migrator that re-encrypts objects that this client reads in another format.
    #[must_use]
    pub fn migrator(&self, to: WriteFormat) -> Migrator {
        Migrator::new(self.0.clone(), to)
    }

    /// Removes an object's last keys, permanently.
    pub fn shred(&self) -> Shred {
        Shred::new(self.0.clone())
    }

    /// Proves that an object opens.
    pub fn verify(&self) -> Verify {
        Verify::new(self.0.clone())
    }

    /// Copies an object inside S3, with its keys wrapped for the new place.
    pub fn copy(&self) -> CopyObject {
        CopyObject::new(self.0.clone())
    }

    /// Copies an object to the store of another client, with its keys wrapped for the new place.
    ///
    /// The stored bytes pass through this process, and are not opened: [`SealedClient::copy`] is for
    /// two places of one store. The copy keeps content headers, user-defined metadata and tags.
    /// Access, server-side encryption, storage class and Object Lock are those that the other bucket
    /// gives, unless [`CopyObject::override_attributes`] sets them. The source's keys are used by this
    /// client; use [`CopyObject::keyring`] for keys of the other client.
    pub fn copy_to(&self, other: &Self) -> CopyObject {
        CopyObject::new(self.0.clone()).there(other.0.clone())
    }

    /// Deletes an object.
    pub fn delete(&self) -> Delete {
        Delete::new(self.0.clone())
    }

    /// Deletes many objects of a bucket with one request.
    pub fn delete_batch(&self, bucket: impl Into<String>) -> DeleteBatch {
        DeleteBatch::new(self.0.clone(), bucket.into())
    }

    /// Waits until every multipart upload whose future was dropped has been aborted.
    ///
    /// Call it before the process ends if puts may have been cancelled: an upload that is neither
    /// completed nor aborted continues to cost storage.
    ///
    /// Two kinds of uploads can't be aborted: an upload that S3 began while its answer, and with it
    /// the upload's id, was lost; and one for which S3 keeps refusing the abort, which is logged.
    /// A lifecycle rule of the bucket removes these: `AbortIncompleteMultipartUpload`.
    pub async fn settle(&self) {
        self.0.store.settle().await;
    }

    /// Aborts the incomplete upload to `uri` that the state file at `path` describes, and deletes the
    /// file: of a [put](crate::Put::state_file) that is not resumed, or of a
    /// [copy](CopyObject::state_file) whose source is gone.
    ///
    /// Returns `false` if there is no such file, or if S3 did not have the upload any more.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked) if the upload is in progress;
    /// [`ErrorKind::StateFileMismatch`](crate::ErrorKind::StateFileMismatch) if it goes to another
    /// object; [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be used, or is no state file;
    /// and failures of S3.
    pub async fn abort_unfinished(
        &self,
        uri: &S3Uri,
        path: impl AsRef<Path>,
    ) -> Result<bool, Error> {
        abort_unfinished(&self.0.store, uri, path.as_ref()).await
    }

    /// Describes a failed `HeadObject` that the application made itself with [`SealedClient::s3`].
    ///
    /// As [`Error::from_sdk`]. But an answer to HEAD has no body, so a 400 tells no reason: then a
    /// `GetObject` of one byte shows whether the credentials are the reason, which may have expired.
    pub async fn head_error(
        &self,
        operation: &'static str,
        uri: &S3Uri,
        error: &SdkError<HeadObjectError, HttpResponse>,
    ) -> Error {
        let store = &self.0.store;
        let (bucket, key) = (uri.bucket().to_owned(), uri.key().to_owned());
        match ObjectRef::new(operation, store.s3(), Some(bucket), Some(key)) {
            Ok(target) => store.head_failure(&target, AwsFailure::new(error)).await,
            Err(error) => error,
        }
    }

    /// Returns incomplete multipart uploads that this client may have begun without being told their
    /// ids, because the answers were lost: uploads to the same objects that began during those calls.
    ///
    /// Another program may have begun them, so none of them is aborted. At most 1,000 are kept.
    #[must_use]
    pub fn unclaimed_uploads(&self) -> Vec<UnclaimedUpload> {
        self.0.store.unclaimed_uploads()
    }
}

impl fmt::Debug for SealedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedClient").field("vault", &self.0.vault).finish_non_exhaustive()
    }
}

/// Builds a [`SealedClient`].
#[derive(Debug, Clone)]
pub struct SealedClientBuilder {
    s3: Client,
    store: StoreSettings,
    vault: VaultSettings,
    memory_budget: usize,
}

impl SealedClientBuilder {
    /// Sets how wrapped keys are bound to places: [`PlacePolicy::bound`] by default.
    #[must_use]
    pub fn places(mut self, places: PlacePolicy) -> Self {
        self.vault.places = places;
        self
    }

    /// Sets whether the client looks for an object's sidecar if the object's own keys don't open
    /// it: [`SidecarPolicy::off`] by default. If it does, [`SealedClient::delete`] deletes the
    /// sidecar too.
    #[must_use]
    pub fn sidecars(mut self, sidecars: SidecarPolicy) -> Self {
        self.vault.sidecars = sidecars;
        self
    }

    /// Sets whether the client uses a key store: [`KeyStorePolicy::off`] by default. If it does, a
    /// put stores the wrapped forms of a new intermediate key there first, and a read looks there if
    /// the object's own keys don't open it.
    #[must_use]
    pub fn key_store(mut self, key_store: KeyStorePolicy) -> Self {
        self.vault.key_store = key_store;
        self
    }

    /// Sets how objects of the Amazon S3 Encryption Client are treated: [`S3ec::new`] by default.
    #[must_use]
    pub fn s3ec(mut self, s3ec: S3ec) -> Self {
        self.vault.s3ec = s3ec;
        self
    }

    /// Sets what a read does with objects that no client encrypted: it refuses them by default.
    #[must_use]
    pub fn unencrypted(mut self, objects: UnencryptedObjects) -> Self {
        self.vault.unencrypted = objects;
        self
    }

    /// Sets the plaintext length of one part of a multipart upload in bytes: 8 MiB by default.
    ///
    /// It is rounded up to whole chunks of 16 KiB and to at least S3's 5 MiB. Longer objects get
    /// longer parts, so that S3's 10,000 parts suffice. One `PutObject` stores objects up to this
    /// length.
    #[must_use]
    pub fn part_len(mut self, bytes: usize) -> Self {
        let least = usize::try_from(MIN_PART_LEN).unwrap_or(usize::MAX);
        self.store.part_len = bytes.max(least).next_multiple_of(CHUNK_LEN);
        self
    }

    /// Sets the stored length in bytes above which an object is copied in parts, many at once,
    /// instead of by one `CopyObject`: 5 GiB by default, the most that S3 copies at once.
    ///
    /// Parts are faster for long objects, and cost one request each.
    #[must_use]
    pub fn copy_in_parts_above(mut self, bytes: u64) -> Self {
        self.store.copy_in_parts_above = bytes.min(MAX_COPY_LEN);
        self
    }

    /// Sets whether copies keep the object's access control list: [`AclPolicy::Keep`] by default.
    #[must_use]
    pub fn acls(mut self, acls: AclPolicy) -> Self {
        self.store.acls = acls;
        self
    }

    /// Sets headers of every request to a bucket: none by default.
    #[must_use]
    pub fn request_headers(mut self, headers: RequestHeaders) -> Self {
        self.store.headers = headers;
        self
    }

    /// Sets the checksum that is sent with bodies: [`BodyChecksum::IfSupported`] by default.
    #[must_use]
    pub fn checksum(mut self, checksum: BodyChecksum) -> Self {
        self.store.checksum = checksum;
        self
    }

    /// Sets how the conditions of writes are treated at stores other than AWS:
    /// [`ConditionPolicy::Prove`] by default.
    #[must_use]
    pub fn conditions(mut self, policy: ConditionPolicy) -> Self {
        self.store.conditions = policy;
        self
    }

    /// Shares what is known about the store with other clients of the same endpoint.
    #[must_use]
    pub fn known_store(mut self, known: KnownStore) -> Self {
        self.store.known = known;
        self
    }

    /// Sets the time after which a call to S3 without progress ends: 60 seconds by default. See
    /// [`LimitedHttp`] for what counts as progress.
    ///
    /// The SDK tries such a call three times, unless the client's retry settings differ, so it fails
    /// after three times this time with [`Unavailable`](crate::ErrorKind::Unavailable). No limit
    /// bounds the duration of a transfer that makes progress.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.store.timeout = timeout;
        self
    }

    /// Sets the bound on the bytes of parts in memory, over all uploads of this client: 128 MiB by
    /// default, and at least one part.
    #[must_use]
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.memory_budget = bytes;
        self
    }

    /// Builds the client.
    #[must_use]
    pub fn build(self) -> SealedClient {
        let budget = UploadBudget::new(self.memory_budget.max(self.store.part_len));
        let store = Store::new(self.s3, self.store);
        SealedClient(Handle { store, vault: Vault::new(self.vault), budget })
    }
}
