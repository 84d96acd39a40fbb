//! Migrating many objects from one format to another.
//!
//! Each object is read, verified and stored anew in its place, as [`Reencrypt`](sealwax_s3::Reencrypt) does; those that have the
//! wanted format already are left as they are. So an interrupted job is gone on with by doing it again.
//!
//! ```no_run
//! # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
//! use futures_util::TryStreamExt as _;
//! use sealwax_jobs::{listing::Listing, migrate::{Migrate, MigrateSummary}};
//!
//! let objects = Listing::objects(client.s3(), "bucket", "written/by/java/");
//! let mut outcomes = Migrate::new(client).run(objects);
//! let mut summary = MigrateSummary::default();
//! while let Some(outcome) = outcomes.try_next().await? {
//!     if let Err(error) = &outcome.result {
//!         eprintln!("{error}");
//!     }
//!     summary.count(&outcome);
//! }
//! assert_eq!(summary.failed(), 0);
//! # Ok(())
//! # }
//! ```

use std::{collections::BTreeMap, pin::Pin, sync::Arc};

use futures_core::Stream;
use futures_util::StreamExt as _;
use sealwax_s3::{
    Error, ErrorKind, ListedObject, ObjectFormat, SealedClient, WriteFormat, envelope::Keyring,
};

use crate::verify::{in_task, retrying};

/// How many objects are worked on together, unless set.
const DEFAULT_CONCURRENCY: usize = 8;

/// Migrates the objects of a listing.
#[derive(Debug, Clone)]
pub struct Migrate {
    client: SealedClient,
    to: WriteFormat,
    keyring: Option<Arc<dyn Keyring>>,
    concurrency: usize,
}

/// What became of one object.
#[derive(Debug)]
#[non_exhaustive]
pub struct MigrateOutcome {
    /// The object, as it was listed.
    pub object: ListedObject,
    /// What was done, or why it failed: then the object is as it was.
    pub result: Result<Migrated, Error>,
}

/// What was done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Migrated {
    /// It has the wanted format now.
    Migrated {
        /// Length of its plaintext in bytes.
        plaintext_len: u64,
    },
    /// It had it already.
    AlreadyThere,
    /// It is the instruction file of another object, and goes with that; or it went meanwhile.
    InstructionFile,
}

/// The outcomes, in the order in which they come. An error is the listing's, and the last item.
pub type MigrateOutcomes = Pin<Box<dyn Stream<Item = Result<MigrateOutcome, Error>> + Send>>;

impl Migrate {
    /// Reads what `client` reads, and writes Sealwax's own format.
    #[must_use]
    pub fn new(client: SealedClient) -> Self {
        Self { client, to: WriteFormat::Sealwax, keyring: None, concurrency: DEFAULT_CONCURRENCY }
    }

    /// Writes this format.
    #[must_use]
    pub fn to(mut self, format: WriteFormat) -> Self {
        self.to = format;
        self
    }

    /// Wraps the new data keys of Sealwax's own format under the wrapping keys of `keyring`, instead of the client's.
    #[must_use]
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.keyring = Some(Arc::new(keyring));
        self
    }

    /// How many objects are worked on together: 8 unless set, and at least 1.
    #[must_use]
    pub fn concurrency(mut self, objects: usize) -> Self {
        self.concurrency = objects.max(1);
        self
    }

    /// Migrates `objects`, each in its newest version, as the stream is read. Dropping it stops the work: what is not
    /// stored yet is given up.
    #[must_use]
    pub fn run(
        self,
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    ) -> MigrateOutcomes {
        let concurrency = self.concurrency;
        let migrate = move |object: Result<ListedObject, Error>| {
            let this = self.clone();
            async move {
                let object = object?;
                let named = object.to_string();
                let migrate = async move {
                    let result = retrying(|| this.migrate(&object)).await;
                    MigrateOutcome { object, result }
                };
                in_task(named, migrate).await
            }
        };
        Box::pin(objects.map(migrate).buffer_unordered(concurrency))
    }

    async fn migrate(&self, object: &ListedObject) -> Result<Migrated, Error> {
        let head = self.client.head().bucket(&object.bucket).key(&object.key);
        let info = match head.send().await {
            // It is no sealed object, or its object took it along.
            Err(error)
                if object.key.ends_with(self.client.s3ec().file_suffix())
                    && matches!(error.kind(), ErrorKind::NotSealed | ErrorKind::NotFound) =>
            {
                return Ok(Migrated::InstructionFile);
            }
            info => info?,
        };
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
        let mut reencrypt =
            self.client.reencrypt().bucket(&object.bucket).key(&object.key).to(self.to);
        if let Some(keyring) = &self.keyring {
            reencrypt = reencrypt.keyring(Arc::clone(keyring));
        }
        let output = reencrypt.send().await?;
        Ok(Migrated::Migrated { plaintext_len: output.plaintext_len })
    }
}

/// What became of how many objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrateSummary {
    /// Objects that have the wanted format now.
    pub migrated: u64,
    /// Bytes of plaintext of these.
    pub plaintext_bytes: u64,
    /// Objects that had it already.
    pub already_there: u64,
    /// Instruction files of others.
    pub instruction_files: u64,
    /// Objects that are as they were, by what the matter is.
    pub failures: BTreeMap<&'static str, u64>,
}

impl MigrateSummary {
    /// Adds an outcome.
    pub fn count(&mut self, outcome: &MigrateOutcome) {
        match &outcome.result {
            Ok(Migrated::Migrated { plaintext_len }) => {
                self.migrated += 1;
                self.plaintext_bytes += plaintext_len;
            }
            Ok(Migrated::AlreadyThere) => self.already_there += 1,
            Ok(Migrated::InstructionFile) => self.instruction_files += 1,
            Err(error) => *self.failures.entry(error.kind().name()).or_default() += 1,
        }
    }

    /// All objects that were looked at, instruction files not among them.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.migrated + self.already_there + self.failed()
    }

    /// Objects that are as they were.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}
