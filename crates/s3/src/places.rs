//! Which places an object's wraps may be bound to.

use std::collections::HashMap;

use sealwax_envelope::{EncryptedDataKey, Error as EnvelopeError, ObjectHeader, Place};

use crate::error::{Error, ErrorKind, ObjectRef};

/// How a client binds wrapped keys to the places of their objects, and which places it accepts on reading.
///
/// The default binds each wrap to `bucket/key` and accepts no other place.
///
/// ```
/// use sealwax_s3::PlacePolicy;
///
/// // What was sealed in `invoices-east` may also be read from its replica.
/// let policy = PlacePolicy::bound().replica_of("invoices-west", "invoices-east");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlacePolicy {
    off: bool,
    names: HashMap<String, String>,
    sources: HashMap<String, Vec<String>>,
}

impl PlacePolicy {
    /// Binds each wrap to `bucket/key`.
    #[must_use]
    pub fn bound() -> Self {
        Self::default()
    }

    /// Binds new wraps to no place, and accepts every place on reading. Whoever can write to the bucket can then
    /// exchange two objects of the same encryption context unnoticed.
    #[must_use]
    pub fn off() -> Self {
        Self { off: true, ..Self::default() }
    }

    /// Accepts objects in `bucket` whose wraps are bound to the same key in `source`: `bucket` is a replica of it, or an
    /// access point to it.
    #[must_use]
    pub fn replica_of(mut self, bucket: impl Into<String>, source: impl Into<String>) -> Self {
        self.sources.entry(bucket.into()).or_default().push(source.into());
        self
    }

    /// Calls `bucket` by the logical name `name` in places. Buckets of several Regions that share a name share their
    /// places: their replicas open as they are.
    #[must_use]
    pub fn bucket_name(mut self, bucket: impl Into<String>, name: impl Into<String>) -> Self {
        self.names.insert(bucket.into(), name.into());
        self
    }

    fn name<'a>(&'a self, bucket: &'a str) -> &'a str {
        self.names.get(bucket).map_or(bucket, String::as_str)
    }

    /// The place that a new wrap is bound to.
    pub(crate) fn to_bind(&self, target: &ObjectRef) -> Result<Option<Place>, Error> {
        if self.off {
            return Ok(None);
        }
        let place = Place::new(self.name(&target.bucket), &target.key)
            .map_err(|error| target.envelope_error(error))?;
        Ok(Some(place))
    }

    /// The object's keys that are bound to a place where it may be read, besides `accepted`. At least one.
    pub(crate) fn acceptable_keys(
        &self,
        target: &ObjectRef,
        header: &ObjectHeader,
        accepted: &[String],
    ) -> Result<Vec<EncryptedDataKey>, Error> {
        if self.off {
            return Ok(header.keys().to_vec());
        }
        let sources = self.sources.get(&target.bucket).map(Vec::as_slice).unwrap_or_default();
        let buckets = std::iter::once(self.name(&target.bucket))
            .chain(sources.iter().map(|source| self.name(source)));
        let places: Result<Vec<Place>, EnvelopeError> =
            buckets.map(|bucket| Place::new(bucket, &target.key)).collect();
        let places = places.map_err(|error| target.envelope_error(error))?;
        let is_accepted = |place: &Place| {
            places.contains(place) || accepted.iter().any(|other| other == place.as_str())
        };
        let keys: Vec<_> = header
            .keys()
            .iter()
            .filter(|key| key.place().is_some_and(is_accepted))
            .cloned()
            .collect();
        if keys.is_empty() {
            let mut bound: Vec<_> = header
                .keys()
                .iter()
                .map(|key| key.place().map_or("no place", Place::as_str))
                .collect();
            bound.dedup();
            let message = format!(
                "its keys are bound to {}, not to {}: declare {} a replica of that bucket (`replica_of`), or, if it was \
                 moved here on purpose, rewrap it while accepting that place (`accept_place`)",
                bound.join(" and "),
                places[0],
                target.bucket,
            );
            return Err(target.error(ErrorKind::PlaceMismatch, message));
        }
        Ok(keys)
    }
}
