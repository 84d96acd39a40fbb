//! The object's place, to which its wrapped keys are bound, and the scope of an intermediate key.

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

    /// Returns the length of the bucket and its `/`, or of the whole place without one.
    fn bucket_len(&self) -> usize {
        // The ARN of an access point has a `/` of its own.
        let own = usize::from(self.0.starts_with("arn:"));
        self.0.match_indices('/').nth(own).map_or(self.0.len(), |(at, slash)| at + slash.len())
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

/// The places of the objects that may use one intermediate key: all that begin with this prefix.
///
/// It ends in `/` and holds at least the bucket: `bucket/` or `bucket/folder/`. The key service
/// authenticates it with the intermediate key, so a key policy can hold a role to a prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

impl Scope {
    /// Returns the scope that holds `place` and ends after its bucket and `folders` further `/` of
    /// its key; after the last `/` if the key has fewer.
    #[must_use]
    pub fn of(place: &Place, folders: usize) -> Self {
        let bucket = place.bucket_len();
        let slashes = place.0[bucket..].match_indices('/');
        let ends = slashes.take(folders).map(|(at, slash)| bucket + at + slash.len());
        // The key may end in `/`: a scope is shorter than each of its places.
        let end = ends.filter(|end| *end < place.0.len()).last().unwrap_or(bucket);
        Self(place.0[..end].to_owned())
    }

    /// Returns the first `len` bytes of `place` as a scope, unless they are none.
    pub(crate) fn of_len(place: &Place, len: usize) -> Option<Self> {
        let has_bucket = (place.bucket_len()..place.0.len()).contains(&len);
        let prefix = place.0.get(..len).filter(|_| has_bucket)?;
        prefix.ends_with('/').then(|| Self(prefix.to_owned()))
    }

    /// Parses a scope that is stored as text; `None` unless it is the scope of some place.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let place = Place::parse(format!("{text}k")).ok()?;
        Self::of_len(&place, text.len())
    }

    /// `true` if an intermediate key of this scope may serve an object at `place`.
    #[must_use]
    pub fn contains(&self, place: &Place) -> bool {
        place.0.len() > self.0.len() && place.0.starts_with(&self.0)
    }

    /// Returns the scope as text, in the form used in the KMS encryption context.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn place(text: &str) -> Place {
        Place::parse(text.into()).expect("a place")
    }

    const ACCESS_POINT: &str = "arn:aws:s3:us-east-1:111122223333:accesspoint/ap";

    #[test]
    fn a_scope_contains_the_whole_arn_of_an_access_point() {
        let place = Place::new(ACCESS_POINT, "a/k").expect("a place");
        for (folders, scope) in [(0, format!("{ACCESS_POINT}/")), (1, format!("{ACCESS_POINT}/a/"))]
        {
            assert_eq!(Scope::of(&place, folders).as_str(), scope);
            assert_eq!(Scope::of_len(&place, scope.len()), Some(Scope(scope)));
        }
        let too_short = "arn:aws:s3:us-east-1:111122223333:accesspoint/".len();
        assert_eq!(Scope::of_len(&place, too_short), None, "all access points");
    }

    #[test]
    fn a_scope_is_the_bucket_and_some_folders() {
        for (text, folders, scope) in [
            ("b/k", 0, "b/"),
            ("b/k", 3, "b/"),
            ("b/a/k", 0, "b/"),
            ("b/a/k", 1, "b/a/"),
            ("b/a/c/k", 1, "b/a/"),
            ("b/a/", 1, "b/"),
            ("b/a/", usize::MAX, "b/"),
            ("b//k", 1, "b//"),
        ] {
            let place = place(text);
            let of = Scope::of(&place, folders);
            assert_eq!(of.as_str(), scope, "{text} {folders}");
            assert!(of.contains(&place), "{text} {folders}");
            assert_eq!(Scope::of_len(&place, scope.len()).as_ref(), Some(&of));
        }
    }

    #[test]
    fn a_scope_holds_the_places_below_it_only() {
        let scope = Scope::of(&place("b/a/k"), 1);
        for (text, expected) in [
            ("b/a/k", true),
            ("b/a/c/k", true),
            ("b/a/", false),
            ("b/ab/k", false),
            ("c/a/k", false),
        ] {
            assert_eq!(scope.contains(&place(text)), expected, "{text}");
        }
        for len in [0, 1, 3, 5, 6, usize::MAX] {
            assert_eq!(Scope::of_len(&place("b/a/k"), len), None, "{len}");
        }
        assert_eq!(Scope::of_len(&place("b/\u{e9}/k"), 3), None, "inside a character");
    }

    #[test]
    fn a_scope_is_parsed_if_a_place_has_it() {
        let longest = format!("b/{}/", "p".repeat(Place::MAX_LEN - "b//k".len()));
        let access_point = format!("{ACCESS_POINT}/");
        for text in ["b/", "b/a/", "b//", "b/\u{e9}/", &longest, &access_point] {
            assert_eq!(Scope::parse(text).as_ref().map(Scope::as_str), Some(text));
        }
        let all_access_points = "arn:aws:s3:us-east-1:111122223333:accesspoint/";
        let too_long = longest.replacen('p', "pp", 1);
        for text in ["", "b", "b/a", "b/a/k", all_access_points, &too_long] {
            assert_eq!(Scope::parse(text), None, "{text}");
        }
    }

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
