//! Permissions that an apply needs beyond those that its plan used.

use std::collections::{BTreeMap, BTreeSet};

use sealwax_s3::Permission;
use serde::{Deserialize, Serialize};

/// Maximum number of permissions that are counted one by one. Objects can name any number of keys.
const MAX_PERMISSIONS: usize = 256;
/// Resource of all further permissions for an action.
const OTHER_RESOURCES: &str = "others";

/// A permission that an apply needs. Field names are stable JSON output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PermissionNeed {
    /// IAM action, such as `kms:Encrypt`.
    pub action: String,
    /// Key ARN, or the bucket's name and `/*`; beyond 256 permissions, `others`.
    pub resource: String,
    /// Objects whose rewrap needs it.
    pub objects: u64,
    /// `true` if S3 denied it to the plan. Otherwise nothing tells, because to try it would be to
    /// write, or to use a key.
    pub denied: bool,
}

/// Needs by action and resource.
#[derive(Debug, Default)]
pub(super) struct Permissions(BTreeMap<(String, String), PermissionNeed>);

impl Permissions {
    /// Counts the permissions of one object's rewrap.
    pub(super) fn count(&mut self, permissions: BTreeSet<Permission>) {
        for Permission { action, resource, .. } in permissions {
            self.one(action, resource, false);
        }
    }

    /// Counts an object for which S3 denied this permission.
    pub(super) fn denied(&mut self, action: &str, resource: String) {
        self.one(action, resource, true);
    }

    fn one(&mut self, action: &str, resource: String, denied: bool) {
        let mut name = (action.to_owned(), resource);
        if self.0.len() >= MAX_PERMISSIONS && !self.0.contains_key(&name) {
            OTHER_RESOURCES.clone_into(&mut name.1);
        }
        let need = self.0.entry(name).or_insert_with_key(|(action, resource)| PermissionNeed {
            action: action.clone(),
            resource: resource.clone(),
            ..PermissionNeed::default()
        });
        need.objects += 1;
        need.denied |= denied;
    }

    /// Returns the needs, sorted by action and resource.
    pub(super) fn into_needs(self) -> Vec<PermissionNeed> {
        self.0.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_objects_name_are_counted_up_to_a_bound() {
        let mut permissions = Permissions::default();
        for number in 0..MAX_PERMISSIONS + 10 {
            permissions.denied("kms:Decrypt", format!("{number:04}"));
        }
        let needs = permissions.into_needs();
        assert_eq!(needs.len(), MAX_PERMISSIONS + 1);
        let others = needs.last().expect("some");
        assert_eq!((others.resource.as_str(), others.objects), (OTHER_RESOURCES, 10));
    }
}
