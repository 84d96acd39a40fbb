//! Times, between the SDK's type and `chrono`'s.

use chrono::{DateTime, Utc};
use sealwax_s3::aws_sdk_s3::primitives::DateTime as AwsDateTime;

/// Of S3. Where it gave none, or one that no calendar has: the beginning of 1970.
pub(crate) fn from_aws(time: Option<AwsDateTime>) -> DateTime<Utc> {
    time.and_then(|time| DateTime::from_timestamp(time.secs(), time.subsec_nanos()))
        .unwrap_or_default()
}

/// For S3, which compares whole seconds.
pub(crate) fn to_aws(time: DateTime<Utc>) -> AwsDateTime {
    AwsDateTime::from_secs(time.timestamp())
}
