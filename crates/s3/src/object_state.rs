//! State in which an object was seen, and how a later look recognizes it.

use std::{collections::HashMap, time::Duration};

use aws_sdk_s3::primitives::DateTime;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    format::of_formats,
    store::{list::ListedObject, lost_answer::Stored, snapshot::Snapshot},
};

/// Time after a change until `Last-Modified`, in whole seconds, can't be that of a later change.
const RESOLUTION: Duration = Duration::from_secs(2);

/// State in which an object was seen. Field names are stable JSON output.
///
/// A state is recognized by its version id. An object without one is recognized by its entity tag
/// and its metadata; or, in a listing, by entity tag and `Last-Modified`, because a change of the
/// metadata alone keeps the entity tag. Where only the body matters, the entity tag suffices.
/// `Last-Modified` counts whole seconds, so it says nothing
/// about a state that was seen within its second.
///
/// ```
/// use sealwax_s3::ObjectState;
///
/// let seen = |version: &str| {
///     let mut state = ObjectState::default();
///     state.version_id = Some(version.to_owned());
///     state
/// };
/// assert!(seen("a").is_still(&seen("a")));
/// assert!(!seen("a").is_still(&seen("b")));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ObjectState {
    /// The version id, in a versioned bucket; never `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The entity tag, without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e_tag: Option<String>,
    /// Time of the last change, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<i64>,
    /// `true` if a later change would have another `Last-Modified`.
    #[serde(default, rename = "settled", skip_serializing_if = "std::ops::Not::not")]
    pub is_settled: bool,
    /// Digest of the metadata of Sealwax and of the S3 Encryption Client; unknown in a listing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_digest: Option<String>,
    /// `true` if the entity tag alone tells the state, because only another body would matter.
    #[serde(default, rename = "by_body", skip_serializing_if = "std::ops::Not::not")]
    pub is_by_body: bool,
}

/// Short identity of a state, as one kind of look at the object shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateId([u8; 16]);

impl StateId {
    /// Returns its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    fn of(kind: u8, texts: [&str; 2]) -> Self {
        let mut digest = Sha256::new_with_prefix([kind]);
        for text in texts {
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        }
        Self(digest.finalize()[..16].try_into().expect("32 bytes"))
    }
}

impl ObjectState {
    /// Returns the state that a listing shows.
    #[must_use]
    pub fn of_listed(object: &ListedObject) -> Self {
        Self {
            version_id: real_version(object.version_id.as_deref()),
            e_tag: object.e_tag.as_deref().map(unquoted),
            last_modified: object.last_modified.as_ref().map(DateTime::secs),
            is_settled: false,
            metadata_digest: None,
            is_by_body: false,
        }
    }

    /// Returns the state of an object that a body like this one would leave in the same state,
    /// whatever its metadata is; `None` without an entity tag.
    pub(crate) fn of_body(e_tag: Option<&str>) -> Option<Self> {
        let e_tag = Some(unquoted(e_tag?));
        Some(Self { e_tag, is_by_body: true, ..Self::default() })
    }

    /// Returns the state of a snapshot.
    pub(crate) fn of_snapshot(snapshot: &Snapshot) -> Self {
        let head = &snapshot.head;
        Self {
            version_id: real_version(head.version_id()),
            e_tag: head.e_tag().map(unquoted),
            last_modified: head.last_modified().map(DateTime::secs),
            is_settled: snapshot.is_older_than(RESOLUTION),
            metadata_digest: Some(digest(head.metadata())),
            is_by_body: false,
        }
    }

    /// Returns the state after a write of `metadata`.
    pub(crate) fn of_stored(stored: &Stored, metadata: &HashMap<String, String>) -> Self {
        Self {
            version_id: real_version(stored.version_id.as_deref()),
            e_tag: stored.e_tag.as_deref().map(unquoted),
            last_modified: None,
            is_settled: false,
            metadata_digest: Some(digest(Some(metadata))),
            is_by_body: false,
        }
    }

    /// `true` if the object that is `now` in another state was not changed since it was in this one.
    #[must_use]
    pub fn is_still(&self, now: &Self) -> bool {
        now.shown().any(|now| self.recognized_by().any(|id| id == now))
    }

    /// Returns all identities of states that this sighting shows.
    pub fn shown(&self) -> impl Iterator<Item = StateId> {
        self.id().into_iter().chain(self.by_body())
    }

    /// Returns the identity by which this sighting tells the state; `None` if it tells too little.
    #[must_use]
    pub fn id(&self) -> Option<StateId> {
        self.by_version().or_else(|| self.by_metadata()).or_else(|| self.by_time())
    }

    /// Returns the identities of later sightings that show the same state.
    pub fn recognized_by(&self) -> impl Iterator<Item = StateId> {
        let body = self.by_body().filter(|_| self.is_by_body);
        let read = body.or_else(|| self.by_version()).or_else(|| self.by_metadata());
        read.into_iter().chain(self.by_time().filter(|_| self.is_settled))
    }

    fn by_version(&self) -> Option<StateId> {
        self.version_id.as_deref().map(|version_id| StateId::of(b'v', [version_id, ""]))
    }

    fn by_metadata(&self) -> Option<StateId> {
        let (e_tag, metadata) = (self.e_tag.as_deref()?, self.metadata_digest.as_deref()?);
        Some(StateId::of(b'm', [e_tag, metadata]))
    }

    fn by_body(&self) -> Option<StateId> {
        Some(StateId::of(b'b', [self.e_tag.as_deref()?, ""]))
    }

    fn by_time(&self) -> Option<StateId> {
        Some(StateId::of(b't', [self.e_tag.as_deref()?, &self.last_modified?.to_string()]))
    }
}

fn real_version(version_id: Option<&str>) -> Option<String> {
    version_id.filter(|id| *id != "null" && !id.is_empty()).map(str::to_owned)
}

fn unquoted(e_tag: &str) -> String {
    e_tag.trim_matches('"').to_owned()
}

/// Returns a digest of the metadata of formats, in 32 hexadecimal digits.
fn digest(metadata: Option<&HashMap<String, String>>) -> String {
    let mut digest = Sha256::new();
    for (name, value) in metadata.map(of_formats).into_iter().flatten() {
        for text in [name.as_str(), value] {
            digest.update(text.len().to_be_bytes());
            digest.update(text);
        }
    }
    digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(version_id: &str, e_tag: &str, seconds: i64, metadata: &str) -> ObjectState {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ObjectState {
            version_id: real_version(Some(version_id)),
            e_tag: known(e_tag),
            last_modified: (seconds > 0).then_some(seconds),
            is_settled: true,
            metadata_digest: known(metadata),
            is_by_body: false,
        }
    }

    #[test]
    fn a_state_is_recognized_by_what_a_change_would_change() {
        let versioned = state("v", "e", 7, "m");
        assert!(versioned.is_still(&state("v", "other", 8, "other")), "a version never changes");
        assert!(!versioned.is_still(&state("w", "e", 7, "m")));
        assert!(versioned.is_still(&state("", "e", 7, "")), "ListObjectsV2 has no version ids");
        assert!(!versioned.is_still(&state("", "e", 8, "")));

        let unversioned = state("null", "e", 7, "m");
        assert_eq!(unversioned.version_id, None);
        assert!(unversioned.is_still(&state("", "e", 9, "m")), "it has the same keys");
        assert!(!unversioned.is_still(&state("", "e", 7, "other")), "only the metadata changed");
        assert!(unversioned.is_still(&state("", "e", 7, "")), "as a listing shows it");
        for other in [state("", "e", 8, ""), state("", "f", 7, ""), state("", "e", 0, "")] {
            assert!(!unversioned.is_still(&other), "{other:?}");
        }
        assert!(!ObjectState::default().is_still(&ObjectState::default()));
    }

    #[test]
    fn a_second_that_is_not_over_proves_nothing() {
        let fresh = ObjectState { is_settled: false, ..state("", "e", 7, "m") };
        assert!(!fresh.is_still(&state("", "e", 7, "")), "a change of metadata may be hidden");
        assert!(fresh.is_still(&state("", "e", 7, "m")));
        let fresh = ObjectState { is_settled: false, ..state("v", "e", 7, "m") };
        assert!(fresh.is_still(&state("v", "e", 7, "")) && !fresh.is_still(&state("", "e", 7, "")));
    }

    #[test]
    fn a_body_is_recognized_by_every_sighting_until_another_one_is_stored() {
        let stored = ObjectState::of_body(Some("\"e\"")).expect("an entity tag");
        for now in [state("v", "e", 7, "m"), state("", "e", 8, ""), state("", "e", 0, "n")] {
            assert!(stored.is_still(&now), "{now:?}");
            assert!(!stored.is_still(&ObjectState { e_tag: Some("f".into()), ..now }));
        }
        assert!(!state("v", "e", 7, "m").is_still(&stored), "its metadata is unknown");
        assert_eq!(stored.recognized_by().count(), 1);
        assert_eq!(ObjectState::of_body(None), None);
    }

    #[test]
    fn user_defined_metadata_does_not_count() {
        let with = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            digest(Some(&pairs.collect()))
        };
        let keys = ("sealwax-keys", "k");
        assert_eq!(with(&[keys]), with(&[("Sealwax-Keys", "k"), ("mine", "x")]));
        assert_ne!(with(&[keys]), with(&[("sealwax-keys", "l")]));
        assert_eq!(digest(None), with(&[("mine", "x")]));
    }
}
