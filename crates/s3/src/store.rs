//! Amazon S3 alone: what the service does, without any key or format of encryption.
//!
//! The meaning of an object's metadata is decided on the floors above.

pub(crate) mod acl;
#[cfg(test)]
pub(crate) mod answers;
pub(crate) mod attributes;
pub(crate) mod checksum;
pub(crate) mod companion;
pub(crate) mod condition_proof;
pub(crate) mod conditions;
mod copy_source;
pub(crate) mod deletion;
pub(crate) mod known_store;
pub(crate) mod list;
pub(crate) mod lost_answer;
pub(crate) mod multipart;
pub(crate) mod part_limiter;
pub(crate) mod ranged_get;
pub(crate) mod server_clock;
pub(crate) mod server_copy;
pub(crate) mod snapshot;
pub(crate) mod tags;
pub(crate) mod unclaimed;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_s3::Client;
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use self::{
    acl::AclPolicy,
    checksum::BodyChecksum,
    condition_proof::ConditionPolicy,
    known_store::KnownStore,
    part_limiter::PartLimiter,
    unclaimed::{UnclaimedUpload, UnclaimedUploads},
};
use crate::{
    attempts::AttemptEvents, request_headers::RequestHeaders, sdk_limits::with_sdk_limits,
};

/// Maximum number of buckets whose settings are remembered. An inventory or a plan can name any.
const MAX_BUCKETS: usize = 1024;
/// Number of bodies that are sent at a time, before it is known how fast the line is.
const UPLOADS_AT_FIRST: usize = 4;
/// Number of bodies that are received at a time at first.
const DOWNLOADS_AT_FIRST: usize = 16;

/// The SDK's client and the settings that all requests share. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    s3: Client,
    settings: StoreSettings,
    /// `true` for buckets whose ACLs are disabled, as far as S3 was asked.
    acls_disabled: Mutex<HashMap<String, bool>>,
    /// Set once a copy showed that the store makes copies, and replaces metadata if asked to.
    makes_copies: OnceCell<()>,
    /// Buckets in which the store deletes objects, or versions of them (`true`), as it says.
    deletes: Mutex<HashSet<(String, bool)>>,
    uploads: PartLimiter,
    downloads: PartLimiter,
    /// Aborts of uploads whose futures were dropped.
    aborts: TaskTracker,
    unclaimed: UnclaimedUploads,
}

/// Settings of a [`Store`].
#[derive(Debug, Clone)]
pub(crate) struct StoreSettings {
    /// Plaintext bytes in one part of an upload or download, a multiple of the chunk length.
    pub(crate) part_len: usize,
    /// Objects above this many stored bytes are copied in parts.
    pub(crate) copy_in_parts_above: u64,
    pub(crate) checksum: BodyChecksum,
    pub(crate) conditions: ConditionPolicy,
    pub(crate) known: KnownStore,
    /// Time after which a call without progress ends.
    pub(crate) timeout: Duration,
    pub(crate) acls: AclPolicy,
    /// Headers of every request to a bucket.
    pub(crate) headers: RequestHeaders,
}

impl Store {
    /// Creates a store over `s3`, which gets limits of its calls.
    pub(crate) fn new(s3: Client, settings: StoreSettings) -> Self {
        Self(Arc::new(Inner {
            uploads: PartLimiter::new(UPLOADS_AT_FIRST, settings.timeout),
            downloads: PartLimiter::new(DOWNLOADS_AT_FIRST, settings.timeout),
            s3: with_interceptors(&settings.headers.onto(&with_sdk_limits(&s3, settings.timeout))),
            settings,
            acls_disabled: Mutex::default(),
            makes_copies: OnceCell::new(),
            deletes: Mutex::default(),
            aborts: TaskTracker::new(),
            unclaimed: UnclaimedUploads::default(),
        }))
    }

    pub(crate) fn s3(&self) -> &Client {
        &self.0.s3
    }

    pub(crate) fn part_len(&self) -> usize {
        self.0.settings.part_len
    }

    pub(crate) fn copy_in_parts_above(&self) -> u64 {
        self.0.settings.copy_in_parts_above
    }

    pub(crate) fn acl_policy(&self) -> AclPolicy {
        self.0.settings.acls
    }

    /// The limit of bodies that are sent at a time.
    pub(crate) fn uploads(&self) -> &PartLimiter {
        &self.0.uploads
    }

    /// The limit of bodies that are received at a time.
    pub(crate) fn downloads(&self) -> &PartLimiter {
        &self.0.downloads
    }

    /// The tracker of background aborts.
    pub(crate) fn aborts(&self) -> &TaskTracker {
        &self.0.aborts
    }

    /// Incomplete uploads that may be this client's, which does not know their ids.
    pub(crate) fn unclaimed_uploads(&self) -> Vec<UnclaimedUpload> {
        self.0.unclaimed.all()
    }

    /// Waits until all background aborts have ended.
    pub(crate) async fn settle(&self) {
        self.0.aborts.close();
        self.0.aborts.wait().await;
        self.0.aborts.reopen();
    }

    fn known_acls_disabled(&self, bucket: &str) -> Option<bool> {
        self.0.acls_disabled.lock().unwrap_or_else(PoisonError::into_inner).get(bucket).copied()
    }

    fn is_known_to_delete(&self, (bucket, of_versions): (&str, bool)) -> bool {
        let known = self.0.deletes.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&(bucket.to_owned(), of_versions))
    }

    fn remember_to_delete(&self, (bucket, of_versions): (&str, bool)) {
        let mut known = self.0.deletes.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == MAX_BUCKETS {
            known.clear();
        }
        known.insert((bucket.to_owned(), of_versions));
    }

    fn remember_acls_disabled(&self, bucket: &str, disabled: bool) {
        let mut known = self.0.acls_disabled.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == MAX_BUCKETS {
            known.clear();
        }
        known.insert(bucket.to_owned(), disabled);
    }
}

fn with_interceptors(s3: &Client) -> Client {
    let config = s3.config().to_builder().interceptor(AttemptEvents);
    Client::from_conf(config.build())
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}
