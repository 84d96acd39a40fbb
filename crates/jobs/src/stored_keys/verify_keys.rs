//! Verifies the keys of a key store.

use std::collections::BTreeMap;

use futures_core::Stream;
use sealwax_s3::{Error, ErrorKind, KeyProof, ProvenForm, StoredKey, StoredKeys};
use serde::Serialize;

use super::CountsByKey;
use crate::engine::{JobLimits, Outcomes, Pool, RetryPolicy, RetryState, Summary, limit_setters};

/// Unwraps each wrapped form of the intermediate keys in a key store that the client's keyring may
/// use, and compares it with the id.
#[derive(Debug, Clone)]
pub struct VerifyKeys {
    store: StoredKeys,
    limits: JobLimits,
}

/// An intermediate key that was verified, with the outcome.
#[derive(Debug)]
#[non_exhaustive]
pub struct VerifiedKey {
    /// The intermediate key, as it was listed.
    pub key: StoredKey,
    /// The valid key objects, each with its proof. Empty if they could not be read.
    pub forms: Vec<ProvenForm>,
    /// Outcome for the intermediate key.
    pub outcome: VerifiedKeyOutcome,
}

/// Outcome of the verification of one intermediate key. Exhaustive: summaries and reports count every
/// one.
#[derive(Debug)]
pub enum VerifiedKeyOutcome {
    /// At least one key object holds the key, under a wrapping key that the client may use.
    Proven,
    /// Failure: none of the key objects was shown to hold the key.
    Failed(Error),
}

impl VerifiedKey {
    fn new(key: StoredKey, place: &str, result: Result<Vec<ProvenForm>, Error>) -> Self {
        match result {
            Ok(forms) => {
                let outcome = failure_of(&forms).map_or(VerifiedKeyOutcome::Proven, |failure| {
                    let (kind, why) = failure;
                    VerifiedKeyOutcome::Failed(Error::new("verify keys", place, kind, why))
                });
                Self { key, forms, outcome }
            }
            Err(error) => {
                Self { key, forms: Vec::new(), outcome: VerifiedKeyOutcome::Failed(error) }
            }
        }
    }

    /// Returns the error of a key that was not proven.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match &self.outcome {
            VerifiedKeyOutcome::Proven => None,
            VerifiedKeyOutcome::Failed(error) => Some(error),
        }
    }

    /// `true` if all valid key objects are of a detached key, and there is one: no object carries the
    /// wrapped forms.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        !self.forms.is_empty() && self.forms.iter().all(|it| it.form.wrap_context().is_detached())
    }

    /// Returns how many key objects are not valid, or have more than 64 beside them.
    #[must_use]
    pub fn unusable(&self) -> u64 {
        self.key.key_objects().saturating_sub(self.forms.len() as u64)
    }
}

/// Returns why an intermediate key counts as failed; `None` if one of its forms is proven.
fn failure_of(forms: &[ProvenForm]) -> Option<(ErrorKind, String)> {
    if forms.iter().any(|it| matches!(it.proof, KeyProof::Proven { .. })) {
        return None;
    }
    // What was not answered may still open it.
    let unknown = forms.iter().find_map(|it| match &it.proof {
        KeyProof::Unknown(error) => Some(error),
        _ => None,
    });
    let disproved = forms.iter().find_map(|it| match &it.proof {
        KeyProof::Disproved(error) => Some(error),
        _ => None,
    });
    Some(match (unknown.or(disproved), forms) {
        (Some(error), _) => (error.kind(), error.message().to_owned()),
        (None, []) => {
            let why = "none of its key objects is valid";
            (ErrorKind::Malformed, why.to_owned())
        }
        (None, _) => {
            let why = "none of its key objects is under a wrapping key that may be used";
            (ErrorKind::NoMatchingKey, why.to_owned())
        }
    })
}

impl VerifyKeys {
    /// Creates a job that verifies the intermediate keys of `store`, by [`StoredKeys::prove`].
    #[must_use]
    pub fn new(store: StoredKeys) -> Self {
        Self { store, limits: JobLimits::default() }
    }

    limit_setters! {
        concurrency: "Sets the largest number of intermediate keys in work at a time: 64 unless set, and at least \
                       1.",
        cancellation: "Sets a token that ends the job early. Intermediate keys in work are finished.",
    }

    /// Verifies `keys`: those of [`StoredKeys::list`], or some of them.
    pub fn run(
        self,
        keys: impl Stream<Item = Result<StoredKey, Error>> + Send + 'static,
    ) -> Outcomes<VerifyKeysSummary> {
        let Self { store, limits } = self;
        let engine = limits.engine(RetryPolicy::READ);
        let work = move |key: StoredKey, mut retry: RetryState| {
            let store = store.clone();
            async move {
                let result = loop {
                    let result = store.prove(&key).await;
                    if !retry.should_retry(unanswered(&result)).await {
                        break result;
                    }
                };
                let place = format!("s3://{}/{}{}", store.bucket(), store.prefix(), key.folder());
                VerifiedKey::new(key, &place, result)
            }
        };
        Pool::new(engine, keys, work).into_outcomes()
    }
}

/// Returns the kind of the first failure that says nothing about the key.
fn unanswered(result: &Result<Vec<ProvenForm>, Error>) -> Option<ErrorKind> {
    match result {
        Err(error) => Some(error.kind()),
        Ok(forms) => forms.iter().find_map(|it| match &it.proof {
            KeyProof::Unknown(error) => Some(error.kind()),
            _ => None,
        }),
    }
}

/// Counts of verified intermediate keys. Field names are stable JSON output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerifyKeysSummary {
    /// Intermediate keys that were proven.
    pub proven: u64,
    /// Intermediate keys that were not proven, by the name of the error kind.
    pub failures: BTreeMap<&'static str, u64>,
    /// Intermediate keys that are detached, by the claims of all their key objects.
    pub detached: u64,
    /// Key objects that hold their key, by wrapping key.
    pub proven_by: CountsByKey,
    /// Key objects that do not hold the key that their name says.
    pub disproved: u64,
    /// Key objects about which the key service gave no answer.
    pub unknown: u64,
    /// Key objects under wrapping keys that the client may not use.
    pub not_asked: u64,
    /// Objects with the name of a key object that are none, or that no reader looks at.
    pub unusable: u64,
}

impl Summary for VerifyKeysSummary {
    type Outcome = VerifiedKey;

    fn record(&mut self, key: &VerifiedKey) {
        match &key.outcome {
            VerifiedKeyOutcome::Proven => self.proven += 1,
            VerifiedKeyOutcome::Failed(error) => {
                *self.failures.entry(error.kind().name()).or_default() += 1;
            }
        }
        self.detached += u64::from(key.is_detached());
        for ProvenForm { form, proof, .. } in &key.forms {
            match proof {
                KeyProof::Proven { .. } => self.proven_by.add([&form.wrapping_key().to_owned()]),
                KeyProof::Disproved(_) => self.disproved += 1,
                KeyProof::NotAsked => self.not_asked += 1,
                _ => self.unknown += 1,
            }
        }
        self.unusable += if key.forms.is_empty() { 0 } else { key.unusable() };
    }

    /// Returns the number of intermediate keys that were verified.
    fn objects(&self) -> u64 {
        self.proven + self.failed()
    }

    /// Returns the number of intermediate keys that were not proven.
    fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}
