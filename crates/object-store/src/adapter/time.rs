//! Conversion of times between the AWS SDK and `chrono`.

use chrono::{DateTime, Utc};
use sealwax_s3::aws_sdk_s3::primitives::DateTime as AwsDateTime;

/// Converts a time from S3. A missing or impossible time becomes the start of 1970.
pub(crate) fn from_aws(time: Option<AwsDateTime>) -> DateTime<Utc> {
    time.and_then(|time| DateTime::from_timestamp(time.secs(), time.subsec_nanos()))
        .unwrap_or_default()
}

/// Converts a time for S3, which compares whole seconds.
pub(crate) fn to_aws(time: DateTime<Utc>) -> AwsDateTime {
    AwsDateTime::from_secs(time.timestamp())
}
