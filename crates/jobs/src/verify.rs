//! Proving that many objects open: with the keys of one Region alone, say.
//!
//! Nothing is skipped unsaid: each object of the listing, or of the sample, has its outcome, and the [`VerifySummary`]
//! counts them all.
//!
//! ```no_run
//! # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
//! use futures_util::TryStreamExt as _;
//! use sealwax_jobs::{listing::Listing, verify::{VerifyAll, VerifySummary}};
//! use sealwax_s3::VerifyDepth;
//!
//! let objects = Listing::objects(client.s3(), "invoices-west", "2026/");
//! let mut outcomes = VerifyAll::new(client).depth(VerifyDepth::FirstLast).run(objects);
//! let mut summary = VerifySummary::default();
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

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use futures_core::Stream;
use futures_util::{StreamExt as _, future::ready};
use sealwax_s3::{Error, ErrorKind, ListedObject, SealedClient, VerifyDepth, VerifyOutput};
use tokio_util::task::AbortOnDropHandle;

pub use self::sample::Sample;

mod sample;

/// How many objects are looked at together, unless set.
const DEFAULT_CONCURRENCY: usize = 64;
/// How often an object is tried again where the service throttles or does not answer, beyond the SDK's own tries.
const MAX_RETRIES: u32 = 4;
/// Pause before the first of these; each further one waits twice as long.
const PAUSE: Duration = Duration::from_millis(250);

/// Verifies the objects of a listing.
#[derive(Debug, Clone)]
pub struct VerifyAll {
    client: SealedClient,
    depth: VerifyDepth,
    concurrency: usize,
    sample: Option<Sample>,
    sidecar_suffix: Option<String>,
}

/// What was found of one object.
#[derive(Debug)]
#[non_exhaustive]
pub struct VerifyOutcome {
    /// The object, as it was listed.
    pub object: ListedObject,
    /// That it opens, or why it does not.
    pub result: Result<VerifyOutput, Error>,
    /// It is not sealed, because it is the sidecar of another object.
    pub is_sidecar: bool,
}

/// The outcomes, in the order in which they come. An error is the listing's, and the last item.
pub type VerifyOutcomes = Pin<Box<dyn Stream<Item = Result<VerifyOutcome, Error>> + Send>>;

impl VerifyAll {
    /// Verifies with `client`: its keyring, its places, its sidecars. To prove that a Region's keys are enough, give it a
    /// keyring that has no others.
    #[must_use]
    pub fn new(client: SealedClient) -> Self {
        let sidecar_suffix = client.sidecars().suffix().map(str::to_owned);
        Self {
            client,
            depth: VerifyDepth::default(),
            concurrency: DEFAULT_CONCURRENCY,
            sample: None,
            sidecar_suffix,
        }
    }

    /// How much of each object is opened: the keys alone unless set.
    #[must_use]
    pub fn depth(mut self, depth: VerifyDepth) -> Self {
        self.depth = depth;
        self
    }

    /// Verifies a sample of the objects: all unless set.
    #[must_use]
    pub fn sample(mut self, sample: Sample) -> Self {
        self.sample = Some(sample);
        self
    }

    /// How many objects are looked at together: 64 unless set, and at least 1.
    #[must_use]
    pub fn concurrency(mut self, objects: usize) -> Self {
        self.concurrency = objects.max(1);
        self
    }

    /// Verifies `objects`, as the stream is read. Dropping it stops the work.
    #[must_use]
    pub fn run(
        self,
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    ) -> VerifyOutcomes {
        let (sample, concurrency) = (self.sample, self.concurrency);
        let wanted = objects.filter(move |object| {
            ready(
                object
                    .as_ref()
                    .map_or(true, |object| sample.as_ref().is_none_or(|sample| sample.has(object))),
            )
        });
        let verify = move |object: Result<ListedObject, Error>| {
            let this = self.clone();
            async move {
                let object = object?;
                in_task(object.to_string(), async move { this.verify(object).await }).await
            }
        };
        Box::pin(wanted.map(verify).buffer_unordered(concurrency))
    }

    async fn verify(self, object: ListedObject) -> VerifyOutcome {
        let mut verify =
            self.client.verify().bucket(&object.bucket).key(&object.key).depth(self.depth);
        if let Some(version_id) = &object.version_id {
            verify = verify.version_id(version_id);
        }
        let result = retrying(|| verify.clone().send()).await;
        let is_sidecar =
            self.sidecar_suffix.as_deref().is_some_and(|suffix| object.key.ends_with(suffix))
                && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotSealed);
        VerifyOutcome { object, result, is_sidecar }
    }
}

/// Does `work` on the object that is named so in a task of its own, so that several threads share the work on many. It
/// ends when this is dropped.
pub(crate) async fn in_task<T: Send + 'static>(
    object: String,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    let task = AbortOnDropHandle::new(tokio::spawn(work));
    task.await.map_err(|died| Error::new("list", object, ErrorKind::Io, died.to_string()))
}

/// Does `work`, again and more slowly where the service asks for that or does not answer.
pub(crate) async fn retrying<T, F>(work: impl Fn() -> F + Send) -> Result<T, Error>
where
    T: Send,
    F: Future<Output = Result<T, Error>> + Send,
{
    let mut attempt = 0;
    loop {
        let done = work().await;
        if attempt == MAX_RETRIES || !done.as_ref().is_err_and(|error| error.kind().is_retryable())
        {
            return done;
        }
        tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await;
        attempt += 1;
    }
}

/// How many objects were found to be what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifySummary {
    /// Objects that open, as deeply as was asked.
    pub opened: u64,
    /// Bytes of plaintext that these have.
    pub plaintext_bytes: u64,
    /// Bytes of plaintext of these that were opened.
    pub opened_bytes: u64,
    /// Objects that are not sealed.
    pub unsealed: u64,
    /// Sidecars of other objects.
    pub sidecars: u64,
    /// Objects that do not open, or could not be looked at, by what the matter is.
    pub failures: BTreeMap<&'static str, u64>,
}

impl VerifySummary {
    /// Adds an outcome.
    pub fn count(&mut self, outcome: &VerifyOutcome) {
        match &outcome.result {
            Ok(verified) => {
                self.opened += 1;
                self.plaintext_bytes += verified.info.plaintext_len();
                self.opened_bytes += verified.opened;
            }
            Err(_) if outcome.is_sidecar => self.sidecars += 1,
            Err(error) if error.kind() == ErrorKind::NotSealed => self.unsealed += 1,
            Err(error) => *self.failures.entry(error.kind().name()).or_default() += 1,
        }
    }

    /// All objects that were looked at.
    #[must_use]
    pub fn objects(&self) -> u64 {
        self.opened + self.unsealed + self.sidecars + self.failed()
    }

    /// Sealed objects that do not open, or could not be looked at.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}
