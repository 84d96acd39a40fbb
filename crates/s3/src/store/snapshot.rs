//! An object's state as S3 describes it, and how S3 can tell whether it changed since.
//!
//! An entity tag says nothing about metadata: a rewrap keeps it, and so does a concurrent rewrap.
//! Every change moves `Last-Modified`, which has one-second resolution. So a copy is made on the
//! condition that the source was not modified since, once the second of its last change is over.
//! (With `x-amz-copy-source-if-match` beside it, S3 ignores that condition: Amazon S3 API
//! Reference, `CopyObject`. `If-Match` on the destination guards the body.)

use std::time::{Duration, SystemTime};

use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput,
    primitives::DateTime,
    types::{ChecksumMode, StorageClass},
};
use futures_util::FutureExt as _;
use tokio::time::sleep;

use super::{
    Store,
    known_store::StoreTrait,
    ranged_get::{check_version, without_checksum},
    server_clock::ServerClock,
};
use crate::error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure};

/// Added to `Last-Modified` in the condition: some stores compare it with the unrounded time of
/// the change.
const ROUNDING: Duration = Duration::from_secs(1);

/// The state of an object at the time of one `HeadObject`.
pub(crate) struct Snapshot {
    pub(crate) head: HeadObjectOutput,
    /// Time of the answer by S3's clock, or by the local one if S3 did not tell it.
    pub(crate) now: SystemTime,
    /// `true` if Amazon S3 itself answered, by its own word.
    pub(crate) is_amazon_s3: bool,
    last_modified: SystemTime,
}

impl Snapshot {
    /// Takes a snapshot of the current version.
    pub(crate) async fn take(store: &Store, target: &ObjectRef) -> Result<Self, Error> {
        Self::of_version(store, target, None).await
    }

    /// Takes a snapshot of one version.
    pub(crate) async fn of_version(
        store: &Store,
        target: &ObjectRef,
        version_id: Option<String>,
    ) -> Result<Self, Error> {
        let clock = ServerClock::default();
        let head = match store.head_with_checksums(target, version_id.clone(), &clock).await {
            Ok(head) => head,
            Err(failure) => return Err(store.head_failure(target, failure).await),
        };
        check_version(target, version_id.as_deref(), head.version_id())?;
        let last_modified = head.last_modified.and_then(|time| SystemTime::try_from(time).ok());
        let last_modified = last_modified.ok_or_else(|| {
            target.error(ErrorKind::Service, "HeadObject returned no Last-Modified")
        })?;
        let now = clock.time().unwrap_or_else(SystemTime::now);
        Ok(Self { head, now, is_amazon_s3: clock.is_amazon_s3(), last_modified })
    }

    /// `true` if the object did not change within `age` before the snapshot.
    pub(crate) fn is_older_than(&self, age: Duration) -> bool {
        self.now.duration_since(self.last_modified).is_ok_and(|passed| passed >= age)
    }

    /// Returns a snapshot that was taken after the second of the object's last change was over: if
    /// needed, it waits for that and takes another one.
    ///
    /// Fails if the object changed meanwhile.
    pub(crate) async fn settled(self, store: &Store, target: &ObjectRef) -> Result<Self, Error> {
        let settled_at = self.last_modified + 2 * ROUNDING;
        let Ok(wait) = settled_at.duration_since(self.now) else { return Ok(self) };
        sleep(wait.min(2 * ROUNDING)).await;
        let again = Self::take(store, target).await?;
        self.check_same(&again, target)?;
        Ok(again)
    }

    /// Fails if the object changed between `self` and `again`.
    pub(crate) fn check_same(&self, again: &Self, target: &ObjectRef) -> Result<(), Error> {
        if !self.is_of(&again.head) {
            return Err(
                target.error(ErrorKind::Conflict, "it changed while its new keys were being made")
            );
        }
        Ok(())
    }

    /// `true` if `head` describes the same object in the same state.
    pub(crate) fn is_of(&self, head: &HeadObjectOutput) -> bool {
        is_same_state(&self.head, head)
    }

    /// `true` if the object of `head` was stored before this snapshot was taken, by the store's
    /// clock.
    pub(crate) fn is_newer_than(&self, head: &HeadObjectOutput) -> bool {
        let stored = head.last_modified.and_then(|time| SystemTime::try_from(time).ok());
        stored.is_some_and(|stored| stored + ROUNDING < self.now)
    }

    /// Returns the time of the condition that the object was not modified since.
    pub(crate) fn unmodified_since(&self) -> DateTime {
        (self.last_modified + ROUNDING).into()
    }
}

impl Store {
    /// Sends a `HeadObject` that asks for the object's checksum, and once more without that if the
    /// store refuses the first because of it.
    async fn head_with_checksums(
        &self,
        target: &ObjectRef,
        version_id: Option<String>,
        clock: &ServerClock,
    ) -> Result<HeadObjectOutput, AwsFailure> {
        let head = self.s3().head_object().bucket(&target.bucket).key(&target.key);
        let head = head.set_version_id(version_id);
        let send = |is_asked: bool| {
            let head = head.clone().set_checksum_mode(is_asked.then_some(ChecksumMode::Enabled));
            let head = head.customize().interceptor(clock.clone());
            async move { head.send().await.map_err(|error| AwsFailure::new(&error)) }.boxed()
        };
        self.if_supported(&target.bucket, StoreTrait::RefusesChecksumMode, send).await
    }

    /// Returns the error for a failed `HeadObject`.
    ///
    /// Answers to HEAD have no body, so a 400 or 403 tells no reason. Credentials are a common one: a
    /// `GetObject` of one byte tells it. If it shows that the credentials are known, no other 403 is
    /// asked about.
    pub(crate) async fn head_failure(&self, target: &ObjectRef, failure: AwsFailure) -> Error {
        let is_untold = match failure.status {
            Some(400) => failure.bucket_region.is_none(),
            Some(403) => !failure.is_clock_off() && !self.known().has_known_credentials(),
            _ => false,
        };
        if is_untold && failure.problem.is_none() {
            let get = self.s3().get_object().bucket(&target.bucket).key(&target.key);
            let get = get.range("bytes=0-0").customize().config_override(without_checksum());
            if let Err(error) = get.send().boxed().await {
                let told = AwsFailure::new(&error);
                if told.problem.is_some() || told.code.as_deref() == Some("RequestTimeTooSkewed") {
                    return target.s3_failure("HeadObject", told);
                }
                if told.code.as_deref() == Some("AccessDenied") {
                    self.known().credentials_are_known();
                }
            }
        }
        target.s3_failure("HeadObject", failure)
    }
}

/// `true` if both answers describe the same object in the same state.
pub(crate) fn is_same_state(one: &HeadObjectOutput, other: &HeadObjectOutput) -> bool {
    let state = |head: &HeadObjectOutput| {
        (
            head.last_modified,
            head.e_tag.clone(),
            head.version_id.clone(),
            head.metadata.clone().unwrap_or_default(),
        )
    };
    state(one) == state(other)
}

/// `true` if S3 must restore the object before it can be read or copied. (Amazon S3 User Guide,
/// "Working with archived objects".)
pub(crate) fn is_archived(head: &HeadObjectOutput) -> bool {
    let archived =
        matches!(head.storage_class(), Some(StorageClass::Glacier | StorageClass::DeepArchive))
            || head.archive_status().is_some();
    archived && !head.restore().is_some_and(|restore| restore.contains("ongoing-request=\"false\""))
}

/// `true` if Object Lock keeps this version from being deleted.
pub(crate) fn is_locked(head: &HeadObjectOutput, now: DateTime) -> bool {
    head.object_lock_legal_hold_status().is_some_and(|hold| hold.as_str() == "ON")
        || head.object_lock_event_hold().is_some_and(|hold| hold.as_str() == "ON")
        || head.object_lock_retain_until_date().is_some_and(|until| *until > now)
}

#[cfg(test)]
mod checksum_mode_tests {
    use crate::{
        error::{ErrorKind, ObjectRef},
        store::{
            answers::{Answer, answering_elsewhere},
            snapshot::Snapshot,
        },
    };

    #[tokio::test]
    async fn a_store_that_tells_no_checksums_is_asked_without() {
        let is_first = std::sync::atomic::AtomicBool::new(true);
        let (store, requests) = answering_elsewhere(move |_| {
            match is_first.swap(false, std::sync::atomic::Ordering::Relaxed) {
                true => Answer::new(501, ""),
                false => {
                    let date = "Sat, 28 Nov 2026 12:00:00 GMT";
                    Answer::new(200, "").with("last-modified", date)
                }
            }
        });
        let (bucket, key) = (Some("bucket".into()), Some("key".into()));
        let target = ObjectRef::new("rewrap", store.s3(), bucket, key).expect("an object");
        Snapshot::take(&store, &target).await.expect("without");
        assert_eq!(requests.take(), ["HEAD /key", "HEAD /key"]);
        Snapshot::take(&store, &target).await.expect("known");
        assert_eq!(requests.take(), ["HEAD /key"]);
        let (store, requests) = answering_elsewhere(|_| Answer::new(501, ""));
        let failed = Snapshot::take(&store, &target).await;
        assert_eq!(failed.map(drop).map_err(|error| error.kind()), Err(ErrorKind::Unsupported));
        assert_eq!(requests.take(), ["HEAD /key", "HEAD /key"]);
    }
}
