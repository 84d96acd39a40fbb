//! The object's place, to which its wrapped keys are bound.

use std::fmt;

use crate::Error;

/// An object's place: `bucket/key`. The bucket may be a logical name that several Regions share.
///
/// A place is a name, not an address. KMS authenticates it with each wrapped data key, so an
/// attacker who can only write to the bucket cannot swap two of its objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(String);

impl Place {
    /// Maximum length in bytes: a bucket name or access point ARN, a slash, and a key of at most
    /// 1,024 bytes (S3's limit).
    pub const MAX_LEN: usize = 1280;

    /// Creates the place of the object `key` in `bucket`: a name without a slash, or the ARN of an
    /// access point (`arn:PARTITION:SERVICE:REGION:ACCOUNT:accesspoint/NAME`).
    ///
    /// No other pair of a bucket and a key has the same place.
    ///
    /// # Errors
    /// [`Error::InvalidPlace`] if the bucket is neither, the key is empty, or the place exceeds
    /// [`Place::MAX_LEN`] bytes.
    pub fn new(bucket: &str, key: &str) -> Result<Self, Error> {
        if key.is_empty() {
            return Err(Error::InvalidPlace("the key is empty".into()));
        }
        if !is_bucket(bucket) {
            return Err(Error::InvalidPlace(format!(
                "{bucket:?} is neither a bucket name without a slash nor the ARN of an access \
                 point: use a logical bucket name for it"
            )));
        }
        let len = bucket.len() + 1 + key.len();
        if len > Self::MAX_LEN {
            return Err(Error::InvalidPlace(format!(
                "{len} bytes of bucket and key, more than the maximum of {}",
                Self::MAX_LEN
            )));
        }
        Ok(Self(format!("{bucket}/{key}")))
    }

    /// Parses a stored place.
    pub(crate) fn parse(text: String) -> Result<Self, Error> {
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return Err(Error::Malformed("a place has an invalid length".into()));
        }
        Ok(Self(text))
    }

    /// Returns the place as text, in the form used in the KMS encryption context.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `true` if a place can begin with this bucket. A place that begins with `arn:` has its key after
/// the second slash, every other one after the first.
fn is_bucket(bucket: &str) -> bool {
    if !bucket.starts_with("arn:") {
        return !bucket.is_empty() && !bucket.contains('/');
    }
    let Some((arn, name)) = bucket.split_once('/') else { return false };
    let parts: Vec<&str> = arn.split(':').collect();
    matches!(parts[..], [_, _, _, _, _, "accesspoint"]) && !name.is_empty() && !name.contains('/')
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const ACCESS_POINT: &str = "arn:aws:s3:us-east-1:111122223333:accesspoint/ap";

    #[test]
    fn a_bucket_is_a_name_or_an_access_point() {
        for bucket in ["b", "invoices.eu", "arn", ACCESS_POINT] {
            let place = Place::new(bucket, "/k/l").expect(bucket);
            assert_eq!(place.as_str(), format!("{bucket}//k/l"));
        }
        for bucket in [
            "",
            "/",
            "prod/eu",
            "prod/",
            "/prod",
            "arn:aws:s3:us-east-1:111122223333:accesspoint",
            "arn:aws:s3:us-east-1:111122223333:accesspoint:ap",
            "arn:aws:s3:us-east-1:111122223333:accesspoint/",
            "arn:aws:s3:us-east-1:111122223333:accesspoint/ap/object",
            "arn:aws:s3-outposts:us-west-2:111122223333:outpost/op-1/accesspoint/ap",
            "arn:aws:s3:us-east-1:111122223333:bucket/b",
            "arn:/k",
        ] {
            assert!(matches!(Place::new(bucket, "k"), Err(Error::InvalidPlace(_))), "{bucket:?}");
        }
        assert!(matches!(Place::new("b", ""), Err(Error::InvalidPlace(_))));
    }

    #[test]
    fn a_place_has_a_longest_length() {
        let longest = Place::MAX_LEN - "b/".len();
        assert_eq!(
            Place::new("b", &"k".repeat(longest)).map(|place| place.as_str().len()),
            Ok(Place::MAX_LEN)
        );
        let longer = Place::new("b", &"k".repeat(longest + 1));
        assert!(matches!(longer, Err(Error::InvalidPlace(_))));
    }

    proptest! {
        #[test]
        fn no_two_objects_share_a_place(text in "(arn:a:b:c:d:accesspoint/)?[ab/]{2,8}") {
            let mut seen = HashMap::new();
            for at in (0..text.len()).filter(|at| text.as_bytes()[*at] == b'/') {
                let (bucket, key) = (&text[..at], &text[at + 1..]);
                if let Ok(place) = Place::new(bucket, key) {
                    prop_assert_eq!(seen.insert(place, (bucket, key)), None);
                }
            }
        }
    }
}
