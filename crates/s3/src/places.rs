//! Places that an object's wrapped keys may be bound to.

use std::collections::HashMap;

use sealwax_envelope::{
    EncryptedDataKey, Error as EnvelopeError, ObjectHeader, Place, SharedKeySlot,
};

use crate::error::{Error, ErrorKind, ObjectRef};

/// Policy on places: how a client binds wrapped keys to the place of their object (`bucket/key`),
/// and which places it accepts on reading.
///
/// By default each wrapped key is bound to `bucket/key`, and no other place is accepted.
///
/// ```
/// use sealwax_s3::PlacePolicy;
///
/// // Objects that were sealed in `invoices-east` can also be read from its replica.
/// let policy = PlacePolicy::bound().replica_of("invoices-west", "invoices-east");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlacePolicy {
    off: bool,
    names: HashMap<String, String>,
    sources: HashMap<String, Vec<String>>,
}

impl PlacePolicy {
    /// Binds each wrapped key to `bucket/key`.
    #[must_use]
    pub fn bound() -> Self {
        Self::default()
    }

    /// Binds new wrapped keys to no place, and accepts every place on reading. An attacker who can
    /// write to the bucket can then swap two objects of the same encryption context unnoticed.
    #[must_use]
    pub fn off() -> Self {
        Self { off: true, ..Self::default() }
    }

    /// Accepts objects in `bucket` whose wrapped keys are bound to the same key in `source`, because
    /// `bucket` is a replica of `source` or an access point to it.
    #[must_use]
    pub fn replica_of(mut self, bucket: impl Into<String>, source: impl Into<String>) -> Self {
        self.sources.entry(bucket.into()).or_default().push(source.into());
        self
    }

    /// Uses the logical name `name` for `bucket` in places. Buckets of several Regions that share a
    /// name share their places, so their replicas open without a rewrap.
    #[must_use]
    pub fn bucket_name(mut self, bucket: impl Into<String>, name: impl Into<String>) -> Self {
        self.names.insert(bucket.into(), name.into());
        self
    }

    fn name<'a>(&'a self, bucket: &'a str) -> &'a str {
        self.names.get(bucket).map_or(bucket, String::as_str)
    }

    /// Returns the place that new wrapped keys are bound to.
    pub(crate) fn to_bind(&self, target: &ObjectRef) -> Result<Option<Place>, Error> {
        if self.off {
            return Ok(None);
        }
        let place = Place::new(self.name(&target.bucket), &target.key)
            .map_err(|error| target.envelope_error(error))?;
        Ok(Some(place))
    }

    /// `true` if `key` is bound to an acceptable place of the object at `target`.
    pub(crate) fn accepts(
        &self,
        target: &ObjectRef,
        key: &EncryptedDataKey,
        accepted: &[String],
    ) -> Result<bool, Error> {
        Ok(self.off || is_acceptable(key.place(), &self.acceptable_places(target)?, accepted))
    }

    /// `true` if `key` is bound to the place of the object at `target`, or to its place in a source.
    /// Nothing is, where places are off.
    pub(crate) fn is_bound_here(
        &self,
        target: &ObjectRef,
        key: &EncryptedDataKey,
    ) -> Result<bool, Error> {
        Ok(!self.off && is_acceptable(key.place(), &self.acceptable_places(target)?, &[]))
    }

    /// Returns the place of the object at `target`, then those of its sources.
    fn acceptable_places(&self, target: &ObjectRef) -> Result<Vec<Place>, Error> {
        let sources = self.sources.get(&target.bucket).map(Vec::as_slice).unwrap_or_default();
        let buckets = std::iter::once(self.name(&target.bucket))
            .chain(sources.iter().map(|source| self.name(source)));
        let places: Result<Vec<Place>, EnvelopeError> =
            buckets.map(|bucket| Place::new(bucket, &target.key)).collect();
        places.map_err(|error| target.envelope_error(error))
    }

    /// Returns the object's data keys under intermediate keys that are bound to an acceptable place,
    /// whether the object has their wrapped forms or not.
    pub(crate) fn acceptable_slots(
        &self,
        target: &ObjectRef,
        header: &ObjectHeader,
        accepted: &[String],
    ) -> Result<Vec<SharedKeySlot>, Error> {
        let mut slots = header.slots();
        if !self.off {
            let places = self.acceptable_places(target)?;
            slots.retain(|slot| is_acceptable(slot.place(), &places, accepted));
        }
        Ok(slots)
    }

    /// Returns the object's keys that are bound to an acceptable place: at least one, unless there is
    /// a detached data key that is bound to one. The places in `accepted` are acceptable too.
    pub(crate) fn acceptable_keys(
        &self,
        target: &ObjectRef,
        header: &ObjectHeader,
        accepted: &[String],
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        if self.off {
            return Ok(header.keys().to_vec());
        }
        let places = self.acceptable_places(target)?;
        let is_here = |place| is_acceptable(place, &places, accepted);
        let acceptable = header.keys().iter().filter(|key| is_here(key.place()));
        let keys: Vec<_> = acceptable.cloned().collect();
        // A detached data key has its wrapped keys elsewhere.
        if keys.is_empty() && !header.detached().iter().any(|slot| is_here(slot.place())) {
            let of_keys = header.keys().iter().map(EncryptedDataKey::place);
            let of_slots = header.detached().iter().map(SharedKeySlot::place);
            let mut bound: Vec<_> = of_keys
                .chain(of_slots)
                .map(|place| place.map_or("no place", Place::as_str))
                .collect();
            bound.dedup();
            let message = format!(
                "its keys are bound to {}, not to {}: declare {} a replica of that bucket; or, if \
                 the object was moved on purpose, rewrap it with that place accepted",
                bound.join(" and "),
                places[0],
                target.bucket,
            );
            return Err(target.error(ErrorKind::PlaceMismatch, message));
        }
        Ok(keys)
    }
}

fn is_acceptable(place: Option<&Place>, places: &[Place], accepted: &[String]) -> bool {
    place.is_some_and(|place| {
        places.contains(place) || accepted.iter().any(|other| other == place.as_str())
    })
}

#[cfg(test)]
mod tests {
    use sealwax_envelope::Keyring as _;

    use super::*;
    use crate::vault::samples::{Sample, local};

    /// Keys that a policy accepts, by the buckets that they are bound to. The last one is bound
    /// to no place.
    #[tokio::test]
    async fn a_policy_accepts_the_places_that_it_names() {
        let sample = Sample::new("here");
        let mut keys = Vec::new();
        let buckets = ["bucket", "origin", "name", "other"];
        let mut places: Vec<_> =
            buckets.iter().map(|it| Some(Place::new(it, "here").expect("a place"))).collect();
        places.push(Some(Place::new("bucket", "there").expect("a place")));
        places.push(None);
        for place in places {
            let binding = sample.binding_to(place);
            keys.extend(local("a").wrap(&sample.data_key, &binding).await.expect("wrapped"));
        }
        let bound = PlacePolicy::bound;
        for (policy, to_bind, expected) in [
            (bound(), Some("bucket/here"), "bucket"),
            (PlacePolicy::default(), Some("bucket/here"), "bucket"),
            (bound().replica_of("bucket", "origin"), Some("bucket/here"), "bucket origin"),
            (
                bound().replica_of("bucket", "other").replica_of("bucket", "origin"),
                Some("bucket/here"),
                "bucket origin other",
            ),
            (bound().replica_of("elsewhere", "origin"), Some("bucket/here"), "bucket"),
            (bound().bucket_name("bucket", "name"), Some("name/here"), "name"),
            (bound().bucket_name("elsewhere", "name"), Some("bucket/here"), "bucket"),
            (
                bound().replica_of("bucket", "origin").bucket_name("origin", "name"),
                Some("bucket/here"),
                "bucket name",
            ),
        ] {
            let place = policy.to_bind(&sample.target).expect("a place");
            assert_eq!(place.as_ref().map(Place::as_str), to_bind, "{policy:?}");
            let expected: Vec<_> = expected.split(' ').map(|it| format!("{it}/here")).collect();
            let mut accepted = Vec::new();
            for key in &keys {
                let place = key.place().map_or("", Place::as_str);
                let is_expected = expected.iter().any(|expected| expected == place);
                let accepts = policy.accepts(&sample.target, key, &[]).expect("valid");
                assert_eq!(accepts, is_expected, "{policy:?} {place}");
                let here = policy.is_bound_here(&sample.target, key).expect("valid");
                assert_eq!(here, is_expected, "{policy:?} {place}");
                // A place that is accepted on request is not the object's.
                let there = ["bucket/there".to_owned()];
                let accepts = policy.accepts(&sample.target, key, &there).expect("valid");
                assert_eq!(accepts, is_expected || place == "bucket/there", "{policy:?} {place}");
                accepted.extend(is_expected.then(|| key.clone()));
            }
            let header = sample.header(keys.clone());
            let found = policy.acceptable_keys(&sample.target, &header, &[]).expect("some");
            assert_eq!(found, accepted, "{policy:?}");
        }
    }

    #[tokio::test]
    async fn without_places_every_key_is_accepted_and_none_is_bound_here() {
        let sample = Sample::new("here");
        let policy = PlacePolicy::off();
        assert_eq!(policy.to_bind(&sample.target).expect("none"), None);
        let bound = sample.binding("here");
        for binding in [bound, sample.binding("there"), sample.binding_to(None)] {
            let keys = local("a").wrap(&sample.data_key, &binding).await.expect("wrapped");
            assert!(policy.accepts(&sample.target, &keys[0], &[]).expect("valid"));
            assert!(!policy.is_bound_here(&sample.target, &keys[0]).expect("valid"));
            let header = sample.header(keys.clone());
            let found = policy.acceptable_keys(&sample.target, &header, &[]);
            assert_eq!(found.expect("all"), keys);
        }
    }

    #[tokio::test]
    async fn an_object_whose_keys_are_elsewhere_names_both_places() {
        let sample = Sample::new("here");
        let mut keys = Vec::new();
        for binding in [sample.binding("there"), sample.binding_to(None)] {
            keys.extend(local("a").wrap(&sample.data_key, &binding).await.expect("wrapped"));
        }
        let header = sample.header(keys);
        let failed = PlacePolicy::bound().acceptable_keys(&sample.target, &header, &[]);
        let failed = failed.expect_err("no key is bound here");
        assert_eq!(failed.kind(), ErrorKind::PlaceMismatch);
        assert_eq!(
            failed.message(),
            "its keys are bound to bucket/there and no place, not to bucket/here: declare bucket a \
             replica of that bucket; or, if the object was moved on purpose, rewrap it with that \
             place accepted"
        );
    }
}
