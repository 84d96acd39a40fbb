//! Bucket names from ARNs.

/// Returns the name in `arn:PARTITION:s3:::NAME`.
pub(crate) fn bucket_of_arn(arn: &str) -> Option<&str> {
    match arn.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "s3", "", "", name] if !name.is_empty() => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns() {
        assert_eq!(bucket_of_arn("arn:aws-cn:s3:::b"), Some("b"));
        for arn in [
            "arn:aws:s3:::",
            "arn:aws:s3:us-east-1:1:accesspoint/a",
            "b",
            "arn:aws:sqs:::b",
            "arn:aws:s3:::b:c",
        ] {
            assert_eq!(bucket_of_arn(arn), None, "{arn}");
        }
    }
}
