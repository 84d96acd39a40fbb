//! Objects that earlier runs of a job completed.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest as _, Sha256};

/// A set of completed objects.
#[derive(Debug, Default)]
pub(super) struct Completed {
    /// Ranges of lines of a plan: the first and the last line of each. They are few, for lines are
    /// completed nearly in order.
    lines: BTreeMap<u64, u64>,
    /// Digests of the objects of a listing, which may come in any order: 16 bytes each.
    names: HashSet<[u8; 16]>,
    count: u64,
}

impl Completed {
    pub(super) fn add_line(&mut self, line: u64) {
        if self.has_line(line) {
            return;
        }
        self.count += 1;
        let end = self.lines.remove(&(line + 1)).unwrap_or(line);
        match self.lines.range_mut(..line).next_back() {
            Some((_, before)) if *before + 1 == line => *before = end,
            _ => {
                self.lines.insert(line, end);
            }
        }
    }

    pub(super) fn has_line(&self, line: u64) -> bool {
        self.lines.range(..=line).next_back().is_some_and(|(_, end)| line <= *end)
    }

    pub(super) fn add_name(&mut self, object: &str, version_id: Option<&str>) {
        self.count += u64::from(self.names.insert(digest(object, version_id)));
    }

    pub(super) fn has_name(&self, object: &str, version_id: Option<&str>) -> bool {
        self.names.contains(&digest(object, version_id))
    }

    /// Returns the number of completed objects.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

fn digest(object: &str, version_id: Option<&str>) -> [u8; 16] {
    // The length in front keeps the two strings apart.
    let digest = Sha256::new_with_prefix(object.len().to_be_bytes()).chain_update(object);
    digest.chain_update(version_id.unwrap_or_default()).finalize()[..16]
        .try_into()
        .expect("32 bytes")
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn lines_are_a_set_in_few_ranges(lines in vec(1_u64..60, 0..120)) {
            let mut completed = Completed::default();
            let mut model = std::collections::BTreeSet::new();
            for line in lines {
                completed.add_line(line);
                model.insert(line);
                prop_assert_eq!(completed.count(), model.len() as u64);
            }
            for line in 0..62 {
                prop_assert_eq!(completed.has_line(line), model.contains(&line));
            }
            let ranges = model.iter().filter(|line| !model.contains(&(*line + 1))).count();
            prop_assert_eq!(completed.lines.len(), ranges);
        }
    }

    #[test]
    fn versions_of_an_object_are_distinct() {
        let mut completed = Completed::default();
        completed.add_name("s3://b/k", Some("v"));
        assert!(completed.has_name("s3://b/k", Some("v")) && !completed.has_name("s3://b/k", None));
        assert!(
            !completed.has_name("s3://b/kv", None) && !completed.has_name("s3://b/k", Some("w"))
        );
    }
}
