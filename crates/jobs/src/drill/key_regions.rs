//! Regions of the keys that objects claim.

use std::collections::{BTreeMap, BTreeSet};

use sealwax_s3::ObjectKind;

use crate::audit::AuditedObject;

/// Most Regions, and most sets of them, that are told apart. Object metadata names them.
const MAX_NAMES: usize = 1000;

/// Objects by the Regions of the KMS keys that they claim at their place.
///
/// A claim is what metadata says: everybody who can write to the bucket can change it. Only opening
/// an object proves a key of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRegions {
    /// Objects with a key in each Region.
    pub regions: BTreeMap<String, RegionUse>,
    /// Objects in Sealwax's format by the set of their keys' Regions. An object without a KMS key,
    /// for example with a local key alone, is in the empty set.
    pub sets: BTreeMap<BTreeSet<String>, u64>,
    /// Sealed objects that may have a key that they don't name: those of the S3 Encryption Client,
    /// and those whose sidecar could not be read.
    pub unnamed: u64,
    /// Objects whose metadata could not be read.
    pub unreadable: u64,
    /// Objects with further Regions, beyond 1,000 of them or of their sets.
    pub others: u64,
}

/// Objects with a key in a Region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegionUse {
    /// Objects that claim a key there.
    pub objects: u64,
    /// Objects that claim no other key.
    pub sole: u64,
}

impl KeyRegions {
    /// Counts an object.
    pub fn record(&mut self, object: &AuditedObject) {
        if object.kind == ObjectKind::Unreadable {
            self.unreadable += 1;
            return;
        }
        self.unnamed += u64::from(object.kind.is_sealed() && object.may_have_other_keys);
        if object.kind != ObjectKind::Sealwax {
            return;
        }
        let regions = object.regions(&[]);
        let has_another = |region: &str| {
            let mut at_place = object.keys.iter().filter(|key| key.is_at_place);
            object.may_have_other_keys || at_place.any(|key| key.region.as_deref() != Some(region))
        };
        let mut is_other = false;
        for region in &regions {
            if self.regions.len() == MAX_NAMES && !self.regions.contains_key(region) {
                is_other = true;
                continue;
            }
            let uses = self.regions.entry(region.clone()).or_default();
            uses.objects += 1;
            uses.sole += u64::from(!has_another(region));
        }
        if self.sets.len() == MAX_NAMES && !self.sets.contains_key(&regions) {
            is_other = true;
        } else {
            *self.sets.entry(regions).or_default() += 1;
        }
        self.others += u64::from(is_other);
    }

    /// Returns the objects with a key in `region`.
    #[must_use]
    pub fn with_key_in(&self, region: &str) -> RegionUse {
        self.regions.get(region).copied().unwrap_or_default()
    }

    /// `true` if no sealed object was counted whose metadata could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.unnamed == 0 && self.others == 0
    }

    /// `true` if the objects tell that none of them has a key in `region`: each one whose metadata
    /// could be read names its keys.
    #[must_use]
    pub fn rules_out(&self, region: &str) -> bool {
        let is_certain = self.unnamed == 0 && self.others == 0;
        is_certain && self.with_key_in(region).objects == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::{EAST, WEST, claimed, elsewhere, of_kind, with};

    #[test]
    fn keys_count_in_their_region_and_at_their_place() {
        let mut keys = KeyRegions::default();
        let mut local = claimed(EAST);
        (local.provider, local.region) = ("local".to_owned(), None);
        for object in [
            with([claimed(EAST)]),
            with([claimed(EAST), claimed(WEST)]),
            with([claimed(EAST), elsewhere(WEST)]),
            with([claimed(EAST), local.clone()]),
            with([local]),
            AuditedObject { may_have_other_keys: true, ..with([claimed(EAST)]) },
            of_kind(ObjectKind::EncryptionClientV2),
            of_kind(ObjectKind::Unreadable),
            of_kind(ObjectKind::Unsealed),
        ] {
            keys.record(&object);
        }
        let uses = |objects, sole| RegionUse { objects, sole };
        assert_eq!(keys.with_key_in("us-east-1"), uses(5, 2));
        assert_eq!(keys.with_key_in("us-west-2"), uses(1, 0));
        assert_eq!((keys.unnamed, keys.unreadable, keys.others), (2, 1, 0));
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let sets: BTreeMap<BTreeSet<String>, u64> =
            [(set(&[]), 1), (set(&["us-east-1"]), 4), (set(&["us-east-1", "us-west-2"]), 1)].into();
        assert_eq!(keys.sets, sets);
        assert!(!keys.rules_out("eu-west-1"), "two objects do not name their keys");
        assert!(!keys.is_empty() && KeyRegions::default().is_empty());
    }

    #[test]
    fn invented_regions_take_bounded_memory() {
        let mut keys = KeyRegions::default();
        for n in 0..MAX_NAMES + 5 {
            let mut key = claimed(EAST);
            key.region = Some(format!("invented-{n}"));
            keys.record(&with([key]));
        }
        assert_eq!((keys.regions.len(), keys.sets.len(), keys.others), (MAX_NAMES, MAX_NAMES, 5));
    }
}
