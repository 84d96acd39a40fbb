//! Replication status of an object, as S3 tells it.

use aws_sdk_s3::{Client, types::ReplicationStatus as S3Status};
use sealwax_s3::{Error, ErrorKind, ListedObject, S3Uri};

use crate::{engine::RetryState, s3_error::s3_error};

/// Replication status of an object of the source. (Amazon S3 User Guide, "Getting replication status
/// information".)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReplicationStatus {
    /// Replication has not happened yet.
    Pending,
    /// Replication failed: the rule's role or the keys of SSE-KMS did not allow it, for example. S3
    /// does not retry on its own.
    Failed,
    /// The object was replicated. If the replica lacks it, it was lost there since.
    Completed,
    /// The object is a replica, which S3 replicates only if a rule says so.
    Replica,
    /// S3 tells no status: no rule covered the object when it was stored, or the store doesn't
    /// tell.
    NotTold,
    /// The object was deleted from the source meanwhile.
    Gone,
    /// S3 could not be asked.
    Unreadable(ErrorKind),
}

impl ReplicationStatus {
    /// Asks S3 for the status of an object.
    pub(super) async fn of(s3: &Client, object: &ListedObject, mut retry: RetryState) -> Self {
        match retry.run(|| read(s3, object)).await {
            Ok(Some(S3Status::Pending)) => Self::Pending,
            Ok(Some(S3Status::Failed)) => Self::Failed,
            Ok(Some(S3Status::Complete | S3Status::Completed)) => Self::Completed,
            Ok(Some(S3Status::Replica)) => Self::Replica,
            Ok(_) => Self::NotTold,
            Err(error) if error.kind() == ErrorKind::NotFound => Self::Gone,
            Err(error) => Self::Unreadable(error.kind()),
        }
    }

    /// Returns the name in reports: S3's name, or one such as `not-told` or `access-denied`.
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

async fn read(s3: &Client, object: &ListedObject) -> Result<Option<S3Status>, Error> {
    let uri = S3Uri::new(&object.bucket, &object.key).map_err(|error| {
        Error::new("drill", object.to_string(), ErrorKind::InvalidInput, error.to_string())
    })?;
    let head = s3.head_object().bucket(uri.bucket()).key(uri.key());
    let head = head.set_version_id(object.version_id.clone()).send().await;
    let head = head.map_err(|error| s3_error("drill", s3, &uri, "HeadObject", &error))?;
    Ok(head.replication_status)
}
