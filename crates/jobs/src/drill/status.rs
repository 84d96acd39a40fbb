//! What S3 itself says of an object's replication.

use aws_sdk_s3::{Client, types::ReplicationStatus as Said};
use sealwax_s3::{Error, ErrorKind, ListedObject, S3Uri};

use crate::{s3_error::s3_error, verify::retrying};

/// What S3 says of the replication of an object of the source. (Amazon S3 User Guide, "Getting replication status
/// information".)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReplicationStatus {
    /// It is to be replicated, and was not yet.
    Pending,
    /// It could not be replicated: by the rule's role, say, or the keys of SSE-KMS. S3 does not try it again by itself.
    Failed,
    /// It was replicated: what the replica lacks, it lost since then.
    Completed,
    /// It is a replica itself, which S3 does not replicate on unless a rule says so.
    Replica,
    /// S3 tells none: no rule covered the object when it was stored. Or the store is one that does not tell.
    NotTold,
    /// The object is gone from the source by now.
    Gone,
    /// S3 did not let itself be asked.
    Unreadable(ErrorKind),
}

impl ReplicationStatus {
    /// Asks S3 about an object.
    pub(super) async fn of(s3: &Client, object: &ListedObject) -> Self {
        let asked = retrying(|| async {
            let uri = S3Uri::new(&object.bucket, &object.key).map_err(|error| {
                Error::new("drill", object.to_string(), ErrorKind::InvalidInput, error.to_string())
            })?;
            let head = s3.head_object().bucket(uri.bucket()).key(uri.key());
            let head = head.set_version_id(object.version_id.clone()).send().await;
            Ok::<_, Error>(
                head.map_err(|error| s3_error("drill", s3, &uri, "HeadObject", &error))?
                    .replication_status,
            )
        });
        match asked.await {
            Ok(Some(Said::Pending)) => Self::Pending,
            Ok(Some(Said::Failed)) => Self::Failed,
            Ok(Some(Said::Complete | Said::Completed)) => Self::Completed,
            Ok(Some(Said::Replica)) => Self::Replica,
            Ok(_) => Self::NotTold,
            Err(error) if error.kind() == ErrorKind::NotFound => Self::Gone,
            Err(error) => Self::Unreadable(error.kind()),
        }
    }

    /// Its name in reports: as S3 has it, else such as `not-told` or `access-denied`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Failed => "FAILED",
            Self::Completed => "COMPLETED",
            Self::Replica => "REPLICA",
            Self::NotTold => "not-told",
            Self::Gone => "gone",
            Self::Unreadable(kind) => kind.name(),
        }
    }
}
