//! Migrates objects from one format to another.
//!
//! Each object is read, verified and stored again in its place, as
//! [`Reencrypt`](sealwax_s3::Reencrypt) does. Objects already in the target format are skipped, so
//! run the same job again to resume an interrupted one.
//!
//! ```no_run
//! # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
//! use futures_util::TryStreamExt as _;
//! use sealwax_jobs::{Summary as _, listing::Listing, migrate::Migrate};
//!
//! let objects = Listing::objects(client.s3(), "bucket", "written/by/java/");
//! let mut outcomes = Migrate::new(client).run(objects);
//! while let Some(object) = outcomes.try_next().await? {
//!     if let Err(error) = &object.result {
//!         eprintln!("{error}");
//!     }
//! }
//! assert_eq!(outcomes.summary().failed(), 0);
//! # Ok(())
//! # }
//! ```

use std::{collections::BTreeMap, sync::Arc};

use futures_core::Stream;
use sealwax_s3::{
    Error, ErrorKind, ListedObject, ObjectFormat, ObjectKind, SealedClient, WriteFormat,
    envelope::{EncryptionContext, Keyring},
};
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, Outcomes, Pool, RetryPolicy, RetryState, Summary};

/// Default number of objects in work at a time.
const DEFAULT_CONCURRENCY: usize = 8;

/// Migrates the objects of a listing.
#[derive(Debug, Clone)]
pub struct Migrate {
    client: SealedClient,
    to: WriteFormat,
    context: EncryptionContext,
    keyring: Option<Arc<dyn Keyring>>,
    concurrency: usize,
    cancellation: CancellationToken,
}

/// Outcome of the migration of one object.
#[derive(Debug)]
#[non_exhaustive]
pub struct MigratedObject {
    /// The object, as it was listed.
    pub object: ListedObject,
    /// Result of the migration. The object is unchanged after a failure.
    pub result: Result<Migrated, Error>,
}

/// Result of the migration of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Migrated {
    /// The object was stored in the target format.
    Migrated {
        /// Length of its plaintext in bytes.
        plaintext_len: u64,
    },
    /// The object was already in the target format.
    AlreadyThere,
    /// Skipped: the object is the instruction file of another object and migrates with that, or did
    /// so meanwhile.
    InstructionFile,
    /// Skipped: the object is the sidecar of another object.
    Sidecar,
    /// Skipped: the object is empty and represents a folder.
    FolderMarker,
    /// Skipped: the object was shredded.
    Shredded,
}

impl Migrate {
    /// Creates a job that reads with `client` and writes Sealwax's own format.
    #[must_use]
    pub fn new(client: SealedClient) -> Self {
        Self {
            client,
            to: WriteFormat::Sealwax,
            context: EncryptionContext::new(),
            keyring: None,
            concurrency: DEFAULT_CONCURRENCY,
            cancellation: CancellationToken::new(),
        }
    }

    /// Sets the target format.
    #[must_use]
    pub fn to(mut self, format: WriteFormat) -> Self {
        self.to = format;
        self
    }

    /// Requires these pairs in the encryption context of each object, as a reader would. A migrated
    /// object is genuine whatever the old one was.
    #[must_use]
    pub fn encryption_context(mut self, context: EncryptionContext) -> Self {
        self.context = context;
        self
    }

    /// Sets the keyring that wraps the new data keys of Sealwax's own format: the client's unless
    /// set.
    #[must_use]
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.keyring = Some(Arc::new(keyring));
        self
    }

    /// Sets the largest number of objects in work at a time: 8 unless set, and at least 1.
    #[must_use]
    pub fn concurrency(mut self, objects: usize) -> Self {
        self.concurrency = objects;
        self
    }

    /// Sets a token that ends the job early. Objects in flight are finished.
    #[must_use]
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.cancellation = token;
        self
    }

    /// Migrates `objects`, each in its latest version. An object that is not stored yet when the
    /// stream is dropped stays unchanged.
    pub fn run(
        self,
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    ) -> Outcomes<MigrateSummary> {
        let engine = Engine::new(self.concurrency, &self.cancellation, RetryPolicy::MIGRATE);
        let this = Arc::new(self);
        let work = move |object, retry| Arc::clone(&this).migrate(object, retry);
        Pool::new(engine, objects, work).into_outcomes()
    }

    async fn migrate(
        self: Arc<Self>,
        object: ListedObject,
        mut retry: RetryState,
    ) -> MigratedObject {
        let result = retry.run(|| self.attempt(&object)).await;
        MigratedObject { object, result }
    }

    async fn attempt(&self, object: &ListedObject) -> Result<Migrated, Error> {
        if object.is_folder_marker() {
            return Ok(Migrated::FolderMarker);
        }
        let head = self.client.head().bucket(&object.bucket).key(&object.key);
        let info = match head.send().await {
            Ok(info) => info,
            Err(error) if error.kind() == ErrorKind::Shredded => return Ok(Migrated::Shredded),
            Err(error) if self.went_along(object, &error) => {
                return Ok(Migrated::InstructionFile);
            }
            Err(error) if error.kind() == ErrorKind::NotSealed => {
                return self.skipped(object).await?.ok_or(error);
            }
            Err(error) => return Err(error),
        };
        if matches!(info.format(), ObjectFormat::Unencrypted)
            && let Some(skipped) = self.skipped(object).await?
        {
            return Ok(skipped);
        }
        let is_there = match info.format() {
            ObjectFormat::Sealwax(_) => self.to == WriteFormat::Sealwax,
            ObjectFormat::S3ec(envelope) => {
                self.to == WriteFormat::S3ec
                    && envelope.content().suite() == self.client.s3ec().policy().suite()
            }
            _ => false,
        };
        if is_there {
            return Ok(Migrated::AlreadyThere);
        }
        let mut reencrypt = self
            .client
            .reencrypt()
            .bucket(&object.bucket)
            .key(&object.key)
            .encryption_context(self.context.clone())
            .to(self.to);
        if let Some(keyring) = &self.keyring {
            reencrypt = reencrypt.keyring(Arc::clone(keyring));
        }
        let output = reencrypt.send().await?;
        Ok(Migrated::Migrated { plaintext_len: output.plaintext_len })
    }

    /// `true` if the object is an instruction file by its name, and its object took it along.
    fn went_along(&self, object: &ListedObject, error: &Error) -> bool {
        error.kind() == ErrorKind::NotFound
            && object.key.ends_with(self.client.s3ec().file_suffix())
    }

    /// Returns the outcome of an unsealed object that is not to be migrated: a companion or a
    /// folder marker, by its content.
    async fn skipped(&self, object: &ListedObject) -> Result<Option<Migrated>, Error> {
        let inspect = self.client.inspect().bucket(&object.bucket).key(&object.key);
        let inspected = match inspect.send().await {
            Err(error) if self.went_along(object, &error) => {
                return Ok(Some(Migrated::InstructionFile));
            }
            inspected => inspected?,
        };
        Ok(match inspected.kind {
            ObjectKind::InstructionFile => Some(Migrated::InstructionFile),
            ObjectKind::Sidecar => Some(Migrated::Sidecar),
            ObjectKind::FolderMarker => Some(Migrated::FolderMarker),
            _ => None,
        })
    }
}

/// Counts of migrated objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrateSummary {
    /// Objects that were stored in the target format.
    pub migrated: u64,
    /// Bytes of plaintext in these objects.
    pub plaintext_bytes: u64,
    /// Objects that were already in the target format.
    pub already_there: u64,
    /// Instruction files of other objects.
    pub instruction_files: u64,
    /// Sidecars of other objects.
    pub sidecars: u64,
    /// Empty objects that represent folders.
    pub folder_markers: u64,
    /// Objects that were shredded.
    pub shredded: u64,
    /// Objects that are unchanged because of a failure, by the name of the error kind.
    pub failures: BTreeMap<&'static str, u64>,
}

impl Summary for MigrateSummary {
    type Outcome = MigratedObject;

    fn record(&mut self, object: &MigratedObject) {
        match &object.result {
            Ok(Migrated::Migrated { plaintext_len }) => {
                self.migrated += 1;
                self.plaintext_bytes = self.plaintext_bytes.saturating_add(*plaintext_len);
            }
            Ok(Migrated::AlreadyThere) => self.already_there += 1,
            Ok(Migrated::InstructionFile) => self.instruction_files += 1,
            Ok(Migrated::Sidecar) => self.sidecars += 1,
            Ok(Migrated::FolderMarker) => self.folder_markers += 1,
            Ok(Migrated::Shredded) => self.shredded += 1,
            Err(error) => *self.failures.entry(error.kind().name()).or_default() += 1,
        }
    }

    /// Returns the number of objects, without companions, folder markers and shredded objects.
    fn objects(&self) -> u64 {
        self.migrated + self.already_there + self.failed()
    }

    /// Returns the number of objects that are unchanged because of a failure.
    fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}
