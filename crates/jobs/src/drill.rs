//! Rehearses the loss of a Region: proves that a replica opens while the Regions of its source are out
//! of reach.
//!
//! [`BlockedRegions`] is an HTTP client that refuses every request of this process to the Regions
//! that it names, and counts the refusals. With it, [`crate::verify`] shows which objects open.
//! [`Lag`] compares the listings of the source and of the replica, and asks S3 why an object was not
//! replicated. It is needed too: an object that never reached the replica is no failure of any
//! object there.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sealwax_jobs::{drill::BlockedRegions, listing::Listing, verify::VerifyAll};
//! use sealwax_s3::{
//!     DiscoveryFilter, KmsKeyring, PlacePolicy, SealedClient,
//!     aws_config::{self, BehaviorVersion, Region}, aws_sdk_s3,
//! };
//!
//! let blocked = BlockedRegions::new(["us-east-1"]);
//! let config = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(blocked.clone());
//! let config = config.region(Region::new("us-west-2")).load().await;
//! let keyring = KmsKeyring::builder(&config).discovery(DiscoveryFilter::accounts(["111122223333"])).build()?;
//! let places = PlacePolicy::bound().replica_of("invoices-west", "invoices");
//! let client = SealedClient::builder(aws_sdk_s3::Client::new(&config), keyring).places(places).build();
//!
//! let objects = Listing::objects(client.s3(), "invoices-west", "");
//! let summary = VerifyAll::new(client).run(objects).finish().await?;
//! println!("{summary:?}; refused: {:?}", blocked.refused());
//! # Ok(())
//! # }
//! ```

mod ages;
mod key_regions;
mod lag;
mod opening_times;
mod request;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use sealwax_s3::default_http_client;

pub use self::{
    ages::Ages,
    key_regions::{KeyRegions, RegionUse},
    lag::{Lag, Unreplicated},
    opening_times::OpeningTimes,
    status::ReplicationStatus,
};

/// An HTTP client for the SDK that refuses every request to some Regions, as if they were down, and
/// counts the refusals.
///
/// Set it by [`sealwax_s3::aws_config::ConfigLoader::http_client`]: then all clients of the
/// configuration use it, including those that fetch credentials. The signature and the host of a
/// request tell its Region. A request that may go to any Region is refused too. Clones share their
/// counts.
#[derive(Clone)]
pub struct BlockedRegions(Arc<Inner>);

struct Inner {
    regions: BTreeSet<String>,
    next: SharedHttpClient,
    refused: Mutex<BTreeMap<RefusedCalls, u64>>,
    /// Answered `Decrypt` calls by the ARN of the KMS key.
    decrypts: Mutex<BTreeMap<String, u64>>,
}

/// Most KMS keys that are counted one by one. Object metadata names them.
const MAX_KEYS: usize = 10_000;

/// Refused requests to one service in one Region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct RefusedCalls {
    /// The Region.
    pub region: String,
    /// The service, such as `s3`, `kms` or `sts`.
    pub service: String,
}

impl BlockedRegions {
    /// Creates a client that refuses requests to `regions` and sends all others as the SDK does.
    #[must_use]
    pub fn new(regions: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::over(regions, default_http_client())
    }

    /// Creates a client that refuses requests to `regions` and sends all others with `next`.
    #[must_use]
    pub fn over(
        regions: impl IntoIterator<Item = impl Into<String>>,
        next: impl HttpClient + 'static,
    ) -> Self {
        let regions = regions.into_iter().map(Into::into).collect();
        Self(Arc::new(Inner {
            regions,
            next: SharedHttpClient::new(next),
            refused: Mutex::default(),
            decrypts: Mutex::default(),
        }))
    }

    /// Returns the blocked Regions.
    pub fn regions(&self) -> impl Iterator<Item = &str> {
        self.0.regions.iter().map(String::as_str)
    }

    /// Returns the number of requests refused so far, including retries.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<RefusedCalls, u64> {
        self.0.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the KMS keys that were asked to decrypt outside of the blocked Regions and did, with
    /// the number of calls. One call can serve many objects that share an intermediate key. Calls
    /// are not counted if no Region is blocked.
    #[must_use]
    pub fn decrypts(&self) -> BTreeMap<String, u64> {
        self.0.decrypts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a `Decrypt` call that KMS answered.
    fn decrypted(&self, key: String) {
        let mut decrypts = self.0.decrypts.lock().unwrap_or_else(PoisonError::into_inner);
        if decrypts.len() < MAX_KEYS || decrypts.contains_key(&key) {
            *decrypts.entry(key).or_default() += 1;
        }
    }

    /// Counts a request if it must be refused.
    fn refusal(&self, request: &HttpRequest) -> Option<RefusedCalls> {
        let destination = request::Destination::of(request);
        let region = destination.blocked_by(&self.0.regions)?;
        let calls = RefusedCalls { region, service: destination.service };
        *self
            .0
            .refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(calls.clone())
            .or_default() += 1;
        Some(calls)
    }
}

impl HttpClient for BlockedRegions {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let next = self.0.next.http_connector(settings, components);
        SharedHttpConnector::new(Blocking { blocked: self.clone(), next })
    }
}

impl fmt::Debug for BlockedRegions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockedRegions").field("regions", &self.0.regions).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Blocking {
    blocked: BlockedRegions,
    next: SharedHttpConnector,
}

impl HttpConnector for Blocking {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match self.blocked.refusal(&request) {
            // A user error: the SDK does not retry it, for it would be refused again.
            Some(RefusedCalls { region, service }) => HttpConnectorFuture::ready(Err(ConnectorError::user(
                format!("a request to {service} of {region} was refused: that Region is blocked in this process")
                    .into(),
            ))),
            None => {
                let key = match self.blocked.0.regions.is_empty() {
                    true => None,
                    false => request::key_to_decrypt_with(&request),
                };
                let answer = self.next.call(request);
                let Some(key) = key else { return answer };
                let blocked = self.blocked.clone();
                HttpConnectorFuture::new(async move {
                    let answer = answer.await?;
                    if answer.status().is_success() {
                        blocked.decrypted(key);
                    }
                    Ok(answer)
                })
            }
        }
    }
}
