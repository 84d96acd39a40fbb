//! What is known about a store: how it differs from Amazon S3.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef,
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::OnceCell;

use super::{
    Store,
    conditions::{Proof, ProvenCondition},
};
use crate::{aws_hosts::is_aws_url, error::aws_failure::AwsFailure};

/// A way in which a store differs from Amazon S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreTrait {
    /// The store refuses requests that bring a checksum of the body. None is sent any more.
    RefusesBodyChecksums,
    /// The store refuses requests that ask for an object's checksum. Copies in parts do without.
    RefusesChecksumMode,
    /// The store ignores conditions of writes. The target of a write is read right before.
    IgnoresConditions,
    /// The store refuses to be told the object's length when a multipart upload is completed.
    RefusesObjectSize,
    /// The store refuses copies that say that tags are to be kept, by default.
    RefusesTaggingDirective,
}

impl StoreTrait {
    /// `true` if a store with the trait may answer like this.
    fn may_cause(self, failure: &AwsFailure) -> bool {
        const CODES: [&str; 3] = ["InvalidArgument", "InvalidRequest", "XNotImplemented"];
        match (failure.status, failure.code.as_deref()) {
            (Some(501), _) => true,
            (Some(400), Some(code)) => self == Self::RefusesBodyChecksums && CODES.contains(&code),
            // An answer to HEAD has no code.
            (Some(400), None) => self == Self::RefusesChecksumMode,
            _ => false,
        }
    }
}

impl fmt::Display for StoreTrait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RefusesBodyChecksums => {
                "the store refuses checksums of bodies, so none are sent; the objects' own \
                 authentication tags protect them"
            }
            Self::RefusesChecksumMode => "the store does not tell the checksums of objects",
            Self::IgnoresConditions => {
                "the store ignores conditions of writes, so each object is checked right before: a \
                 write of someone else in the moment between is not noticed"
            }
            Self::RefusesObjectSize => {
                "the store does not compare an upload's length when it is completed"
            }
            Self::RefusesTaggingDirective => "the store has no tags of objects",
        })
    }
}

/// Knowledge of the store at one endpoint, found out once.
///
/// A client has its own. Clients of one endpoint can share it:
/// [`SealedClientBuilder::known_store`](crate::SealedClientBuilder::known_store). Cloning is cheap,
/// and clones share everything.
#[derive(Clone, Default)]
pub struct KnownStore(Arc<Inner>);

#[derive(Default)]
struct Inner {
    traits: Mutex<BTreeSet<StoreTrait>>,
    on_trait: Option<Box<dyn Fn(StoreTrait) + Send + Sync>>,
    is_aws: OnceLock<bool>,
    has_known_credentials: AtomicBool,
    /// What was proven, by bucket. Each proof is made once.
    proofs: Mutex<Proofs>,
}

/// Proofs by bucket and condition, made or in the making.
type Proofs = HashMap<(String, ProvenCondition), Arc<OnceCell<Proof>>>;

impl KnownStore {
    /// Knows nothing yet, and calls `on_trait` once for each trait that a client finds.
    pub fn telling(on_trait: impl Fn(StoreTrait) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { on_trait: Some(Box::new(on_trait)), ..Inner::default() }))
    }

    /// `true` if the store was found to have the trait.
    #[must_use]
    pub fn has(&self, found: StoreTrait) -> bool {
        self.0.traits.lock().unwrap_or_else(PoisonError::into_inner).contains(&found)
    }

    pub(super) fn learn(&self, found: StoreTrait) {
        let is_new = self.0.traits.lock().unwrap_or_else(PoisonError::into_inner).insert(found);
        if is_new && let Some(on_trait) = &self.0.on_trait {
            on_trait(found);
        }
    }

    /// Knows that the store is not AWS.
    #[cfg(test)]
    pub(super) fn elsewhere() -> Self {
        let known = Self::default();
        known.0.is_aws.set(false).expect("new");
        known
    }

    /// `true` if the store knew the caller, and denied a call all the same.
    pub(super) fn has_known_credentials(&self) -> bool {
        self.0.has_known_credentials.load(Ordering::Relaxed)
    }

    pub(super) fn credentials_are_known(&self) {
        self.0.has_known_credentials.store(true, Ordering::Relaxed);
    }

    /// Returns the place of a proof, which is empty until it is made.
    pub(super) fn proof(&self, bucket: &str, condition: ProvenCondition) -> Arc<OnceCell<Proof>> {
        let mut proofs = self.0.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        if proofs.len() == super::MAX_BUCKETS {
            proofs.clear();
        }
        Arc::clone(proofs.entry((bucket.to_owned(), condition)).or_default())
    }
}

impl fmt::Debug for KnownStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownStore").field("traits", &self.0.traits).finish_non_exhaustive()
    }
}

impl Store {
    /// Returns what is known about the store.
    pub(super) fn known(&self) -> &KnownStore {
        &self.0.settings.known
    }

    /// Sends a request with something that not every store supports, and once more without it if the
    /// store refuses the first because of it: as far as that can be told, if the second succeeds.
    /// AWS gets it always.
    ///
    /// Boxed, as the futures of requests nest deeply.
    pub(super) fn if_supported<'a, T: Send + 'a>(
        &'a self,
        bucket: &'a str,
        refusal: StoreTrait,
        send: impl Fn(bool) -> BoxFuture<'a, Result<T, AwsFailure>> + Send + Sync + 'a,
    ) -> BoxFuture<'a, Result<T, AwsFailure>> {
        self.send_if_supported(bucket, refusal, send).boxed()
    }

    async fn send_if_supported<'a, T>(
        &self,
        bucket: &str,
        refusal: StoreTrait,
        send: impl Fn(bool) -> BoxFuture<'a, Result<T, AwsFailure>>,
    ) -> Result<T, AwsFailure> {
        if self.known().has(refusal) {
            return send(false).await;
        }
        let failure = match send(true).await {
            Err(failure) if refusal.may_cause(&failure) => failure,
            answer => return answer,
        };
        if self.is_aws(bucket).await {
            return Err(failure);
        }
        let output = send(false).await.map_err(|_| failure)?;
        self.known().learn(refusal);
        Ok(output)
    }

    /// `true` if requests go to AWS, by the host's name. It sends nothing.
    ///
    /// If no request can be made, such as without credentials, it is `true` too: the call itself
    /// then tells why.
    pub(super) async fn is_aws(&self, bucket: &str) -> bool {
        if let Some(known) = self.known().0.is_aws.get() {
            return *known;
        }
        let host = OnlyHost::default();
        let request = self.s3().head_bucket().bucket(bucket).customize();
        // The interceptor lets no request leave.
        let _ = request.interceptor(host.clone()).send().boxed().await;
        let Some(is_aws) = host.0.get().map(|url| is_aws_url(url)) else { return true };
        *self.known().0.is_aws.get_or_init(|| is_aws)
    }
}

/// An SDK interceptor that keeps a request's address, and stops the request.
#[derive(Debug, Clone, Default)]
struct OnlyHost(Arc<OnceLock<String>>);

#[dyn_dispatch_hint]
impl Intercept for OnlyHost {
    fn name(&self) -> &'static str {
        "OnlyHost"
    }

    fn read_before_signing(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let _ = self.0.set(context.request().uri().to_owned());
        Err("only its address was wanted".into())
    }
}
