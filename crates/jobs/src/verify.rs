//! Verifies that objects open: with the keys of one Region alone, for example.
//!
//! Every object is accounted for: each object of the listing, or of the sample, has an outcome, and
//! the [`VerifySummary`] counts them all.
//!
//! ```no_run
//! # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
//! use futures_util::TryStreamExt as _;
//! use sealwax_jobs::{Summary as _, listing::Listing, verify::VerifyAll};
//! use sealwax_s3::VerifyDepth;
//!
//! let objects = Listing::objects(client.s3(), "invoices-west", "2026/");
//! let mut outcomes = VerifyAll::new(client).depth(VerifyDepth::FirstLast).run(objects);
//! while let Some(object) = outcomes.try_next().await? {
//!     if let Some(error) = object.outcome.error() {
//!         eprintln!("{error}");
//!     }
//! }
//! assert_eq!(outcomes.summary().failed(), 0);
//! # Ok(())
//! # }
//! ```

mod sample;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_core::Stream;
use futures_util::{TryStreamExt as _, future::ready};
use sealwax_s3::{
    Error, ErrorKind, InspectOutput, ListedObject, ObjectKind, SealedClient, VerifyDepth,
    VerifyOutput,
};
use tokio::time::Instant;

pub use self::sample::Sample;
use crate::{
    audit::{self, AuditedObject},
    engine::{JobLimits, Outcomes, Pool, RetryPolicy, RetryState, Summary, limit_setters},
};

/// Verifies the objects of a listing.
#[derive(Debug, Clone)]
pub struct VerifyAll {
    client: SealedClient,
    depth: VerifyDepth,
    limits: JobLimits,
    sample: Option<Sample>,
    claims: bool,
}

/// Verified object, with the outcome.
#[derive(Debug)]
#[non_exhaustive]
pub struct VerifiedObject {
    /// The object, as it was listed.
    pub object: ListedObject,
    /// Outcome of the verification.
    pub outcome: VerifyOutcome,
    /// Time from the first request to the outcome, retries included. By tokio's clock.
    pub elapsed: Duration,
    /// Keys that the object claims, if [`VerifyAll::claims`] is set.
    pub claims: Option<AuditedObject>,
}

/// Outcome of the verification of one object. Exhaustive: summaries and reports count every one.
#[derive(Debug)]
pub enum VerifyOutcome {
    /// The object opens.
    Opened(Box<VerifyOutput>),
    /// The object is marked as shredded, and no sidecar or instruction file has keys of it. Anyone
    /// who can write to the bucket can set that mark, as they can delete the object.
    Shredded(Error),
    /// The object is empty and its key ends in `/`: it represents a folder.
    FolderMarker,
    /// The object is the sidecar of another object, by its content.
    Sidecar,
    /// The object is the instruction file of another object, by its content.
    InstructionFile,
    /// No client encrypted the object.
    Unsealed(Error),
    /// The object doesn't open or could not be read.
    Failed(Error),
}

impl VerifyOutcome {
    /// Returns the error of an object that is not sealed, doesn't open or could not be read.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Unsealed(error) | Self::Failed(error) => Some(error),
            Self::Opened(_)
            | Self::Shredded(_)
            | Self::FolderMarker
            | Self::Sidecar
            | Self::InstructionFile => None,
        }
    }

    /// Returns the name in reports: `opened`, `shredded`, `folder-marker`, `sidecar`,
    /// `instruction-file`, or the name of an error kind such as `not-sealed`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Opened(_) => "opened",
            Self::Shredded(_) => "shredded",
            Self::FolderMarker => "folder-marker",
            Self::Sidecar => "sidecar",
            Self::InstructionFile => "instruction-file",
            Self::Unsealed(error) | Self::Failed(error) => error.kind().name(),
        }
    }
}

impl VerifyAll {
    /// Creates a job that verifies with the keyring, the places and the sidecars of `client`. To
    /// prove that the keys of one Region suffice, give the client a keyring without other keys.
    #[must_use]
    pub fn new(client: SealedClient) -> Self {
        Self {
            client,
            depth: VerifyDepth::default(),
            limits: JobLimits::default(),
            sample: None,
            claims: false,
        }
    }

    /// Sets how much of each object is opened: the keys alone unless set.
    #[must_use]
    pub fn depth(mut self, depth: VerifyDepth) -> Self {
        self.depth = depth;
        self
    }

    /// Verifies a sample of the objects: all of them unless set.
    #[must_use]
    pub fn sample(mut self, sample: Sample) -> Self {
        self.sample = Some(sample);
        self
    }

    /// Also reports which keys each object claims, of objects that don't open too. It costs nothing
    /// unless the client looks for sidecars: then one `GetObject` for each object.
    #[must_use]
    pub fn claims(mut self) -> Self {
        self.claims = true;
        self
    }

    limit_setters! {
        concurrency: "Sets the largest number of objects in work at a time: 64 unless set, and at least 1.",
        cancellation: "Sets a token that ends the job early. Objects in flight are finished.",
    }

    /// Verifies `objects`.
    pub fn run(
        self,
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    ) -> Outcomes<VerifySummary> {
        let Self { client, depth, limits, sample, claims } = self;
        let engine = limits.engine(RetryPolicy::READ);
        let objects = objects.try_filter(move |object| {
            ready(sample.as_ref().is_none_or(|sample| sample.contains(object)))
        });
        let work = move |object: ListedObject, mut retry: RetryState| {
            let client = client.clone();
            async move {
                let started = Instant::now();
                let (mut inspected, mut claimed) = (None, None);
                if claims && !object.is_folder_marker() {
                    claimed = Some(match audit::inspect(&client, &object, &mut retry).await {
                        Ok(mut found) => {
                            let claimed = AuditedObject::claims(object.clone(), &mut found);
                            inspected = Some(Arc::new(found));
                            claimed
                        }
                        Err(problem) => AuditedObject::unreadable(object.clone(), problem),
                    });
                }
                let outcome = verify(client, depth, &object, inspected, retry).await;
                VerifiedObject { object, outcome, elapsed: started.elapsed(), claims: claimed }
            }
        };
        Pool::new(engine, objects, work).into_outcomes()
    }
}

async fn verify(
    client: SealedClient,
    depth: VerifyDepth,
    object: &ListedObject,
    inspected: Option<Arc<InspectOutput>>,
    mut retry: RetryState,
) -> VerifyOutcome {
    if object.is_folder_marker() {
        return VerifyOutcome::FolderMarker;
    }
    let mut verify = client.verify().bucket(&object.bucket).key(&object.key).depth(depth);
    if let Some(version_id) = &object.version_id {
        verify = verify.version_id(version_id);
    }
    // Only the first attempt uses the inspection: the object may have changed since.
    let first = AtomicBool::new(true);
    let attempt = || match &inspected {
        Some(inspected) if first.swap(false, Ordering::Relaxed) => {
            verify.clone().inspected(Arc::clone(inspected)).send()
        }
        _ => verify.clone().send(),
    };
    match retry.run(attempt).await {
        Ok(verified) => VerifyOutcome::Opened(Box::new(verified)),
        Err(error) if error.kind() == ErrorKind::Shredded => VerifyOutcome::Shredded(error),
        // The object's content tells a companion, not its name alone.
        Err(error) if error.kind() == ErrorKind::NotSealed => {
            let kind = match &inspected {
                Some(inspected) => Ok(inspected.kind),
                None => audit::inspect(&client, object, &mut retry).await.map(|found| found.kind),
            };
            match kind {
                Ok(ObjectKind::FolderMarker) => VerifyOutcome::FolderMarker,
                Ok(ObjectKind::Sidecar) => VerifyOutcome::Sidecar,
                Ok(ObjectKind::InstructionFile) => VerifyOutcome::InstructionFile,
                Ok(_) => VerifyOutcome::Unsealed(error),
                Err(error) => VerifyOutcome::Failed(error),
            }
        }
        Err(error) => VerifyOutcome::Failed(error),
    }
}

/// Counts of verified objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifySummary {
    /// Objects that open, to the depth that was asked for.
    pub opened: u64,
    /// Bytes of plaintext in the objects that open.
    pub plaintext_bytes: u64,
    /// Bytes of that plaintext that were opened.
    pub opened_bytes: u64,
    /// Objects that are not sealed.
    pub unsealed: u64,
    /// Objects that were shredded.
    pub shredded: u64,
    /// Empty objects that represent folders.
    pub folder_markers: u64,
    /// Sidecars of other objects.
    pub sidecars: u64,
    /// Instruction files of other objects.
    pub instruction_files: u64,
    /// Objects that don't open or could not be read, by the name of the error kind.
    pub failures: BTreeMap<&'static str, u64>,
}

impl VerifySummary {
    /// Returns the number of objects that have nothing to open: companions, folder markers and
    /// shredded objects.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.shredded + self.folder_markers + self.sidecars + self.instruction_files
    }
}

impl Summary for VerifySummary {
    type Outcome = VerifiedObject;

    fn record(&mut self, object: &VerifiedObject) {
        match &object.outcome {
            VerifyOutcome::Opened(verified) => {
                self.opened += 1;
                let len = verified.info.plaintext_len();
                self.plaintext_bytes = self.plaintext_bytes.saturating_add(len);
                self.opened_bytes += verified.opened;
            }
            VerifyOutcome::Shredded(_) => self.shredded += 1,
            VerifyOutcome::FolderMarker => self.folder_markers += 1,
            VerifyOutcome::Sidecar => self.sidecars += 1,
            VerifyOutcome::InstructionFile => self.instruction_files += 1,
            VerifyOutcome::Unsealed(_) => self.unsealed += 1,
            VerifyOutcome::Failed(error) => {
                *self.failures.entry(error.kind().name()).or_default() += 1;
            }
        }
    }

    fn objects(&self) -> u64 {
        self.opened + self.unsealed + self.skipped() + self.failed()
    }

    /// Returns the number of sealed objects that don't open or could not be read.
    fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}
