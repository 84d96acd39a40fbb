//! Names of the sources of server-side copies.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::ObjectRef;

/// Characters that stay in `x-amz-copy-source`: RFC 3986 "unreserved", and the slash.
const COPY_SOURCE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Names an object, or one version of it, in `x-amz-copy-source`.
pub(super) fn copy_source(target: &ObjectRef, version_id: Option<&str>) -> String {
    let key = utf8_percent_encode(&target.key, COPY_SOURCE);
    // An access point is named by its ARN, with the word "object" before the key.
    let separator = if target.bucket.starts_with("arn:") { "/object/" } else { "/" };
    let source = format!("{}{separator}{key}", target.bucket);
    match version_id {
        Some(version_id) => {
            format!("{source}?versionId={}", utf8_percent_encode(version_id, NON_ALPHANUMERIC))
        }
        None => source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_sources_are_encoded() {
        let s3 = aws_sdk_s3::Client::from_conf(
            aws_sdk_s3::Config::builder()
                .behavior_version(aws_sdk_s3::config::BehaviorVersion::v2026_01_12())
                .build(),
        );
        let source = |bucket: &str, key: &str| {
            let target = ObjectRef::new("rewrap", &s3, Some(bucket.into()), Some(key.into()))
                .expect("a target");
            copy_source(&target, None)
        };
        assert_eq!(source("b", "a/b c+é?.txt"), "b/a/b%20c%2B%C3%A9%3F.txt");
        let access_point = "arn:aws:s3:us-west-2:123456789012:accesspoint/ap";
        assert_eq!(source(access_point, "k"), format!("{access_point}/object/k"));
    }
}
