//! The object as it is before its rewrap, and how S3 can tell whether it changed since.
//!
//! An entity tag tells nothing of metadata: a rewrap leaves it as it is, and so would the rewrap of a rival. What every
//! change moves is `Last-Modified`, in whole seconds. So a copy is made on the condition that the source was not modified
//! since, once the second of its last change is over. (With `x-amz-copy-source-if-match` beside it, S3 would pass over
//! that condition: Amazon S3 API Reference, `CopyObject`. The body is held by `If-Match` on the destination.)

use std::time::{Duration, SystemTime};

use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput, primitives::DateTime, types::ChecksumMode,
};
use tokio::time::sleep;

use crate::{
    SealedClient,
    error::{Error, ErrorKind, Target},
    server_clock::ServerClock,
};

/// Added to `Last-Modified` in the condition: some stores compare it with the unrounded time of the change.
const ROUNDING: Duration = Duration::from_secs(1);

/// The object as S3 described it.
pub(crate) struct Present {
    pub(crate) head: HeadObjectOutput,
    /// The time by S3's clock.
    pub(crate) now: SystemTime,
    last_modified: SystemTime,
}

impl Present {
    pub(crate) async fn look(client: &SealedClient, target: &Target) -> Result<Self, Error> {
        Self::look_at(client, target, None).await
    }

    /// At one version.
    pub(crate) async fn look_at(
        client: &SealedClient,
        target: &Target,
        version_id: Option<String>,
    ) -> Result<Self, Error> {
        let clock = ServerClock::default();
        let head = client
            .s3()
            .head_object()
            .bucket(&target.bucket)
            .key(&target.key)
            .set_version_id(version_id);
        let head = head
            .checksum_mode(ChecksumMode::Enabled)
            .customize()
            .interceptor(clock.clone())
            .send()
            .await;
        let head = head.map_err(|error| target.s3("HeadObject", &error))?;
        let last_modified = head.last_modified.and_then(|time| SystemTime::try_from(time).ok());
        let last_modified = last_modified
            .ok_or_else(|| target.error(ErrorKind::Service, "HeadObject gave no Last-Modified"))?;
        Ok(Self { head, now: clock.time().unwrap_or_else(SystemTime::now), last_modified })
    }

    /// The same object, seen after the second of its last change is over: waits for that, and then looks again.
    pub(crate) async fn settled(
        self,
        client: &SealedClient,
        target: &Target,
    ) -> Result<Self, Error> {
        let settled_at = self.last_modified + 2 * ROUNDING;
        let Ok(wait) = settled_at.duration_since(self.now) else { return Ok(self) };
        sleep(wait.min(2 * ROUNDING)).await;
        let again = Self::look(client, target).await?;
        self.check_same(&again, target)?;
        Ok(again)
    }

    /// Fails if the object is not `again` as it was.
    pub(crate) fn check_same(&self, again: &Self, target: &Target) -> Result<(), Error> {
        let state = |present: &Self| {
            let head = &present.head;
            (
                present.last_modified,
                head.e_tag.clone(),
                head.version_id.clone(),
                head.metadata.clone(),
            )
        };
        if state(again) != state(self) {
            return Err(
                target.error(ErrorKind::Conflict, "it changed while its new keys were being made")
            );
        }
        Ok(())
    }

    /// The time that S3 is to compare the object's last change with.
    pub(crate) fn unmodified_since(&self) -> DateTime {
        (self.last_modified + ROUNDING).into()
    }
}
