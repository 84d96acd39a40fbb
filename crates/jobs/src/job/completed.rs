//! Objects that earlier runs of a job completed, and the state in which they left each.

use std::collections::HashSet;

use sealwax_s3::{ObjectState, StateId};
use sha2::{Digest as _, Sha256};

/// A set of objects in the states in which the job left them.
///
/// An object that is found in another state was changed since, and is not in the set. Each object
/// takes 16 bytes for each way of recognizing its state, of which there are at most two.
#[derive(Debug, Default)]
pub(super) struct Completed(HashSet<[u8; 16]>);

impl Completed {
    /// Adds an object (`s3://bucket/key`) in the state in which the job left it.
    pub(super) fn add(&mut self, object: &str, state: &ObjectState) {
        self.0.extend(state.recognized_by().map(|id| digest(object, id)));
    }

    /// `true` if the job left the object in the state that it is in `now`.
    pub(super) fn has(&self, object: &str, now: &ObjectState) -> bool {
        !self.0.is_empty() && now.shown().any(|id| self.0.contains(&digest(object, id)))
    }

    /// Returns the number of states.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

fn digest(object: &str, state: StateId) -> [u8; 16] {
    // The part of fixed length comes first and keeps the two apart.
    let digest = Sha256::new_with_prefix(state.as_bytes()).chain_update(object);
    digest.finalize()[..16].try_into().expect("32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(id: &str) -> ObjectState {
        let mut state = ObjectState::default();
        state.version_id = Some(id.to_owned());
        state
    }

    #[test]
    fn an_object_is_completed_in_the_state_in_which_it_was_left() {
        let mut completed = Completed::default();
        completed.add("s3://b/k", &version("v"));
        assert!(completed.has("s3://b/k", &version("v")));
        assert!(!completed.has("s3://b/k", &version("w")), "it was overwritten since");
        assert!(!completed.has("s3://b/k2", &version("v")));
        assert!(!completed.has("s3://b/k", &ObjectState::default()), "nothing is known of it");
        completed.add("s3://b/k3", &ObjectState::default());
        assert_eq!(completed.len(), 1);
    }
}
