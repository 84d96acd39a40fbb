//! Counts by names that anybody may have invented, in bounded memory.

use std::collections::BTreeMap;

/// Returns the value of `name` in a map of at most `most` names. A new name in a full map has none, and
/// is counted in `others`.
pub(crate) fn bounded<'a, K: Ord, V: Default>(
    (map, most): (&'a mut BTreeMap<K, V>, usize),
    name: K,
    others: &mut u64,
) -> Option<&'a mut V> {
    if map.len() == most && !map.contains_key(&name) {
        *others += 1;
        return None;
    }
    Some(map.entry(name).or_default())
}
