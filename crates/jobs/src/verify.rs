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
//!     if let Err(error) = &object.result {
//!         eprintln!("{error}");
//!     }
//! }
//! assert_eq!(outcomes.summary().failed(), 0);
//! # Ok(())
//! # }
//! ```

mod sample;

use std::{collections::BTreeMap, sync::Arc};

use futures_core::Stream;
use futures_util::{TryStreamExt as _, future::ready};
use sealwax_s3::{Error, ErrorKind, ListedObject, SealedClient, VerifyDepth, VerifyOutput};
use tokio_util::sync::CancellationToken;

pub use self::sample::Sample;
use crate::engine::{Engine, Outcomes, Pool, RetryPolicy, RetryState, Summary};

/// Default number of objects in work at a time.
const DEFAULT_CONCURRENCY: usize = 64;

/// Verifies the objects of a listing.
#[derive(Debug, Clone)]
pub struct VerifyAll {
    client: SealedClient,
    depth: VerifyDepth,
    concurrency: usize,
    cancellation: CancellationToken,
    sample: Option<Sample>,
}

/// Outcome of the verification of one object.
#[derive(Debug)]
#[non_exhaustive]
pub struct VerifiedObject {
    /// The object, as it was listed.
    pub object: ListedObject,
    /// Result of the verification: an error if the object doesn't open.
    pub result: Result<VerifyOutput, Error>,
    /// `true` if the object is not sealed because it is the sidecar of another object.
    pub is_sidecar: bool,
}

impl VerifyAll {
    /// Creates a job that verifies with the keyring, the places and the sidecars of `client`. To
    /// prove that the keys of one Region suffice, give the client a keyring without other keys.
    #[must_use]
    pub fn new(client: SealedClient) -> Self {
        Self {
            client,
            depth: VerifyDepth::default(),
            concurrency: DEFAULT_CONCURRENCY,
            cancellation: CancellationToken::new(),
            sample: None,
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

    /// Sets the largest number of objects in work at a time: 64 unless set, and at least 1.
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

    /// Verifies `objects`.
    pub fn run(
        self,
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    ) -> Outcomes<VerifySummary> {
        let Self { client, depth, concurrency, cancellation, sample } = self;
        let engine = Engine::new(concurrency, &cancellation, RetryPolicy::READ);
        let objects = objects.try_filter(move |object| {
            ready(sample.as_ref().is_none_or(|sample| sample.contains(object)))
        });
        let suffix: Option<Arc<str>> = client.sidecars().suffix().map(Into::into);
        let work =
            move |object, retry| verify(client.clone(), depth, suffix.clone(), object, retry);
        Pool::new(engine, objects, work).into_outcomes()
    }
}

async fn verify(
    client: SealedClient,
    depth: VerifyDepth,
    sidecar_suffix: Option<Arc<str>>,
    object: ListedObject,
    mut retry: RetryState,
) -> VerifiedObject {
    let mut verify = client.verify().bucket(&object.bucket).key(&object.key).depth(depth);
    if let Some(version_id) = &object.version_id {
        verify = verify.version_id(version_id);
    }
    let result = retry.run(|| verify.clone().send()).await;
    let is_sidecar = sidecar_suffix.is_some_and(|suffix| object.key.ends_with(&*suffix))
        && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotSealed);
    VerifiedObject { object, result, is_sidecar }
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
    /// Sidecars of other objects.
    pub sidecars: u64,
    /// Objects that don't open or could not be read, by the name of the error kind.
    pub failures: BTreeMap<&'static str, u64>,
}

impl Summary for VerifySummary {
    type Outcome = VerifiedObject;

    fn record(&mut self, object: &VerifiedObject) {
        match &object.result {
            Ok(verified) => {
                self.opened += 1;
                let len = verified.info.plaintext_len();
                self.plaintext_bytes = self.plaintext_bytes.saturating_add(len);
                self.opened_bytes += verified.opened;
            }
            Err(_) if object.is_sidecar => self.sidecars += 1,
            Err(error) if error.kind() == ErrorKind::NotSealed => self.unsealed += 1,
            Err(error) => *self.failures.entry(error.kind().name()).or_default() += 1,
        }
    }

    fn objects(&self) -> u64 {
        self.opened + self.unsealed + self.sidecars + self.failed()
    }

    /// Returns the number of sealed objects that don't open or could not be read.
    fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}
