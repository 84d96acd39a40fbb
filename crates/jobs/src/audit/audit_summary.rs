//! Counts of an audit, in bounded memory.

use std::collections::{BTreeMap, BTreeSet};

use sealwax_s3::ObjectKind;

use super::{AuditedKey, AuditedMaterial, AuditedObject, AuditedProof, Dependence};
use crate::{bounded::bounded, engine::Summary};

/// Most wrapping keys, intermediate keys, materials and sets of Regions that a summary tells apart. Without a
/// bound, a writer to the bucket could exhaust memory with invented names.
pub(super) const MAX_NAMES: usize = 10_000;

/// Counts of audited objects. It takes memory for each distinct name, up to 10,000 of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditSummary {
    /// All objects.
    pub objects: u64,
    /// Bytes that these objects have as stored, by their listing.
    pub stored_bytes: u64,
    /// Objects of each kind.
    pub kinds: BTreeMap<ObjectKind, u64>,
    /// Sealed objects by the result of the proof of their keys, if the audit asked.
    pub proofs: BTreeMap<&'static str, u64>,
    /// Objects that claim each wrapping key, at their place.
    pub keys: BTreeMap<String, KeyUse>,
    /// Objects that claim each wrapping key for another place only.
    pub elsewhere: BTreeMap<String, u64>,
    /// Objects by wrapping key and by the key material that wrapped them, if the audit asked.
    pub materials: BTreeMap<(String, AuditedMaterial), u64>,
    /// Objects whose keys are known, by the Regions in which they have a KMS key, as
    /// [`AuditedObject::regions`] counts, in alphabetical order.
    pub regions: BTreeMap<Vec<String>, u64>,
    /// Objects under an intermediate key, each once however many it has.
    pub under_intermediate_keys: u64,
    /// Objects that share each intermediate key, by its id: the first 10,000 keys.
    pub intermediate_keys: BTreeMap<String, IntermediateKeyUse>,
    /// Objects under further intermediate keys, one count for each object and key. Unless it is 0, there
    /// are more keys than `intermediate_keys` has.
    pub under_other_intermediate_keys: u64,
    /// Objects that still lack each wrapping key.
    pub missing: BTreeMap<String, u64>,
    /// Objects that could not be read or have a fault, by the name of the error kind.
    pub problems: BTreeMap<&'static str, u64>,
    /// Counts of further wrapping keys, materials and sets of Regions, beyond 10,000 of each.
    pub others: u64,
}

/// Objects that share an intermediate key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntermediateKeyUse {
    /// Prefix of the places that it serves, as the first of these objects claims; `None` if places
    /// are off.
    pub scope: Option<String>,
    /// Objects that claim it.
    pub objects: u64,
}

/// Objects that claim a wrapping key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUse {
    /// Objects that claim it at their place.
    pub objects: u64,
    /// Objects that depend on this key alone.
    pub sole: u64,
    /// Objects that it was proven to open. Zero if the audit did not ask, like the next three.
    pub proven: u64,
    /// Objects whose data key it unwrapped, without a proof that this is their body's.
    pub unwrapped: u64,
    /// Objects with a wrapped key under it that was disproved.
    pub disproved: u64,
    /// Objects with a wrapped key under it that could not be asked about.
    pub unknown: u64,
}

impl AuditSummary {
    /// `true` if [`AuditSummary::intermediate_keys`] has every intermediate key. Otherwise their number is
    /// the least that there are.
    #[must_use]
    pub fn has_all_intermediate_keys(&self) -> bool {
        self.under_other_intermediate_keys == 0
    }

    /// Returns the mean number of objects that share an intermediate key; `None` without such keys. Unless
    /// the summary [has all of them](Self::has_all_intermediate_keys), it is an upper bound.
    #[must_use]
    pub fn objects_per_intermediate_key(&self) -> Option<f64> {
        let keys = self.intermediate_keys.len();
        let objects = self.intermediate_keys.values().map(|uses| uses.objects).sum::<u64>();
        let objects = objects + self.under_other_intermediate_keys;
        (keys > 0).then(|| objects as f64 / keys as f64)
    }
}

impl Summary for AuditSummary {
    type Outcome = AuditedObject;

    fn record(&mut self, object: &AuditedObject) {
        self.objects += 1;
        // The store claims the lengths.
        let size = object.object.size.unwrap_or_default();
        self.stored_bytes = self.stored_bytes.saturating_add(size);
        *self.kinds.entry(object.kind).or_default() += 1;
        if let Some(problem) = &object.problem {
            *self.problems.entry(problem.kind().name()).or_default() += 1;
        }
        if let Some(proof) = &object.proof {
            *self.proofs.entry(proof.name()).or_default() += 1;
        }
        let at_place = |key: &&AuditedKey| key.is_at_place;
        let names = |keys: &mut dyn Iterator<Item = &AuditedKey>| -> BTreeSet<String> {
            keys.map(|key| key.wrapping_key.clone()).collect()
        };
        let here = names(&mut object.keys.iter().filter(at_place));
        let elsewhere = names(&mut object.keys.iter().filter(|key| !key.is_at_place));
        for name in &here {
            if let Some(uses) = bounded((&mut self.keys, MAX_NAMES), name.clone(), &mut self.others)
            {
                let own = object.keys.iter().filter(at_place);
                let own = || own.clone().filter(|key| key.wrapping_key == *name);
                uses.objects += 1;
                uses.sole += u64::from(object.dependence(name) == Dependence::Sole);
                uses.proven += u64::from(own().any(|key| key.proof.is_proven()));
                let has = |proof| u64::from(own().any(|key| key.proof == proof));
                let is_unwrapped =
                    |key: &AuditedKey| matches!(key.proof, AuditedProof::Unwrapped { .. });
                uses.unwrapped += u64::from(own().any(is_unwrapped));
                uses.disproved += has(AuditedProof::Disproved);
                uses.unknown += has(AuditedProof::Unknown);
            }
        }
        for name in elsewhere.difference(&here) {
            if let Some(count) =
                bounded((&mut self.elsewhere, MAX_NAMES), name.clone(), &mut self.others)
            {
                *count += 1;
            }
        }
        let asked = object.keys.iter().filter(|key| key.material != AuditedMaterial::NotAsked);
        let materials: BTreeSet<_> =
            asked.map(|key| (key.wrapping_key.clone(), key.material.clone())).collect();
        for material in materials {
            if let Some(count) =
                bounded((&mut self.materials, MAX_NAMES), material, &mut self.others)
            {
                *count += 1;
            }
        }
        let shared = object.intermediate_keys();
        self.under_intermediate_keys += u64::from(!shared.is_empty());
        for (id, scope) in shared {
            let keys = (&mut self.intermediate_keys, MAX_NAMES);
            let others = &mut self.under_other_intermediate_keys;
            if let Some(uses) = bounded(keys, id.to_owned(), others) {
                uses.objects += 1;
                uses.scope = uses.scope.take().or_else(|| scope.map(str::to_owned));
            }
        }
        for name in &object.missing {
            if let Some(count) =
                bounded((&mut self.missing, MAX_NAMES), name.clone(), &mut self.others)
            {
                *count += 1;
            }
        }
        if object.kind == ObjectKind::Sealwax || !object.keys.is_empty() {
            let regions = object.regions(&[]).into_iter().collect();
            if let Some(count) = bounded((&mut self.regions, MAX_NAMES), regions, &mut self.others)
            {
                *count += 1;
            }
        }
    }

    fn objects(&self) -> u64 {
        self.objects
    }

    /// Returns the number of objects that could not be read or have a fault.
    fn failed(&self) -> u64 {
        self.problems.values().sum()
    }
}
