//! Names of buckets and keys, in the forms that events use.

use percent_encoding::percent_decode_str;

/// Returns the name in `arn:PARTITION:s3:::NAME`.
pub(crate) fn bucket_of_arn(arn: &str) -> Option<&str> {
    match arn.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "s3", "", "", name] if !name.is_empty() => Some(name),
        _ => None,
    }
}

/// Decodes a key of an event or a manifest, in which `+` is a space.
pub(crate) fn url_decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(Into::into)
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
