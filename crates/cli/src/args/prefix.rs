//! `s3://bucket` and `s3://bucket/prefix`.

use std::{fmt, path::Path, str::FromStr};

use sealwax_s3::S3Uri;

use crate::failure::Failure;

/// Bucket, and prefix of the keys in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) bucket: String,
    /// Empty for all keys.
    pub(crate) key: String,
}

impl Prefix {
    /// Returns the same prefix as a folder: with a trailing slash, unless it is the whole bucket.
    pub(crate) fn into_folder(mut self) -> Self {
        if !self.key.is_empty() && !self.key.ends_with('/') {
            self.key.push('/');
        }
        self
    }

    /// `true` for a folder: the whole bucket, or a prefix with a trailing slash.
    pub(crate) fn is_folder(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }

    /// Returns the object with this key, or with this name in this folder.
    ///
    /// # Errors
    /// The key would be empty or too long.
    pub(crate) fn object(&self, name: &str) -> Result<S3Uri, Failure> {
        let name = if self.is_folder() { name } else { "" };
        format!("{self}{name}").parse().map_err(Failure::usage)
    }

    /// Returns the object at a relative path in this folder.
    ///
    /// # Errors
    /// As [`Prefix::object`].
    pub(crate) fn below(&self, relative: &str) -> Result<S3Uri, Failure> {
        format!("{self}{relative}").parse().map_err(Failure::usage)
    }
}

/// `true` for a path that was meant as the address of an object.
pub(crate) fn is_in_s3(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(b"s3://")
}

/// Returns the last name of a key.
pub(crate) fn name_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || "not s3://BUCKET or s3://BUCKET/PREFIX".to_owned();
        let rest = text.strip_prefix("s3://").ok_or_else(|| without_scheme(text, form()))?;
        // An access point ARN has one slash of its own: arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME.
        let skip = if rest.starts_with("arn:") { rest.find('/').ok_or_else(form)? + 1 } else { 0 };
        let (bucket, key) = match rest[skip..].find('/') {
            Some(slash) => (&rest[..skip + slash], &rest[skip + slash + 1..]),
            None => (rest, ""),
        };
        if bucket.is_empty() || bucket.ends_with('/') {
            return Err(form());
        }
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() })
    }
}

/// Returns the error for a text that lacks `s3://`, with a guess if the rest may be a bucket.
fn without_scheme(text: &str, form: String) -> String {
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    let bucket = text.split('/').next().unwrap_or_default();
    match (3..=63).contains(&bucket.len()) && bucket.bytes().all(is_plain) {
        true => format!("{form}: did you mean s3://{text}?"),
        false => form,
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_with_or_without_a_prefix() {
        for (text, bucket, key) in [
            ("s3://b", "b", ""),
            ("s3://b/", "b", ""),
            ("s3://b/p", "b", "p"),
            ("s3://b/p/q/", "b", "p/q/"),
            ("s3://arn:aws:s3:r:1:accesspoint/ap", "arn:aws:s3:r:1:accesspoint/ap", ""),
            ("s3://arn:aws:s3:r:1:accesspoint/ap/p/q", "arn:aws:s3:r:1:accesspoint/ap", "p/q"),
        ] {
            assert_eq!(
                text.parse(),
                Ok(Prefix { bucket: bucket.into(), key: key.into() }),
                "{text}"
            );
        }
        for text in ["", "b", "s3://", "s3:///p", "http://b/p", "s3://arn:x", "s3://arn:x/"] {
            let form = "not s3://BUCKET or s3://BUCKET/PREFIX";
            assert_eq!(text.parse::<Prefix>(), Err(form.to_owned()), "{text:?}");
        }
        let error = "bucket/key".parse::<Prefix>().expect_err("no scheme");
        assert!(error.ends_with(": did you mean s3://bucket/key?"), "{error}");
    }
}
