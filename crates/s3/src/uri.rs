//! Addresses of objects: `s3://bucket/key`.

use std::{fmt, str::FromStr};

/// Address of one object.
///
/// ```
/// let uri: sealwax_s3::S3Uri = "s3://bucket/a/key".parse()?;
/// assert_eq!((uri.bucket(), uri.key()), ("bucket", "a/key"));
/// # Ok::<(), sealwax_s3::InvalidUri>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct S3Uri {
    bucket: String,
    key: String,
}

impl S3Uri {
    /// Creates the address of `key` in `bucket`: a name, or the ARN of an access point. A key has 1 to
    /// 1,024 bytes.
    ///
    /// # Errors
    /// The bucket name or the key is invalid.
    pub fn new(bucket: impl AsRef<str>, key: impl AsRef<str>) -> Result<Self, InvalidUri> {
        let (bucket, key) = (bucket.as_ref(), key.as_ref());
        let uri: Self = format!("s3://{bucket}/{key}").parse()?;
        // A bucket name with a slash would be cut there.
        if uri.bucket == bucket { Ok(uri) } else { Err(InvalidUri(format!("s3://{bucket}/{key}"))) }
    }

    /// Returns the bucket: a name, or the ARN of an access point.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Returns the key. Nothing in it is decoded.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl FromStr for S3Uri {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Self, InvalidUri> {
        let invalid = || InvalidUri(text.to_owned());
        let rest = text.strip_prefix("s3://").ok_or_else(invalid)?;
        // An access point ARN contains one slash: arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME.
        let skip =
            if rest.starts_with("arn:") { rest.find('/').map_or(0, |slash| slash + 1) } else { 0 };
        let slash = skip + rest[skip..].find('/').ok_or_else(invalid)?;
        let (bucket, key) = (&rest[..slash], &rest[slash + 1..]);
        if bucket.is_empty() || key.is_empty() || key.len() > 1024 {
            return Err(invalid());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Display for S3Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// Error for text that is not an object's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not s3://BUCKET/KEY with a key of 1 to 1,024 bytes")]
pub struct InvalidUri(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_names_and_access_points() {
        for (text, bucket, key) in [
            ("s3://b/k", "b", "k"),
            ("s3://b//k/", "b", "/k/"),
            ("s3://b/a b%20c?d#e", "b", "a b%20c?d#e"),
            (
                "s3://arn:aws:s3:us-west-2:123456789012:accesspoint/ap/k/l",
                "arn:aws:s3:us-west-2:123456789012:accesspoint/ap",
                "k/l",
            ),
        ] {
            let uri: S3Uri = text.parse().expect(text);
            assert_eq!((uri.bucket(), uri.key()), (bucket, key));
            assert_eq!(uri.to_string(), text);
        }
    }

    #[test]
    fn made_of_bucket_and_key() {
        let access_point = "arn:aws:s3:us-west-2:123456789012:accesspoint/ap";
        for (bucket, key) in [("b", "k"), ("b", "/k/"), (access_point, "k/l")] {
            let uri = S3Uri::new(bucket, key).expect(bucket);
            assert_eq!((uri.bucket(), uri.key()), (bucket, key));
        }
        for (bucket, key) in [("", "k"), ("b", ""), ("b/c", "k"), ("/", "k"), ("arn:x", "k")] {
            let refused = InvalidUri(format!("s3://{bucket}/{key}"));
            assert_eq!(S3Uri::new(bucket, key), Err(refused));
        }
    }

    #[test]
    fn refuses_what_names_no_object() {
        let long = format!("s3://b/{}", "k".repeat(1025));
        for text in [
            "",
            "b/k",
            "s3:/b/k",
            "s3://",
            "s3://b",
            "s3://b/",
            "s3:///k",
            "S3://b/k",
            "s3://arn:x/k",
            &long,
        ] {
            assert_eq!(text.parse::<S3Uri>(), Err(InvalidUri(text.to_owned())));
        }
    }
}
