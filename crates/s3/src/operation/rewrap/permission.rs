//! Permissions that a rewrap needs and a forecast does not use.

use std::collections::BTreeSet;

/// A permission that a rewrap needs, and that its forecast does not use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Permission {
    /// IAM action, such as `kms:Encrypt`.
    pub action: &'static str,
    /// Resource of the action: the key's ARN, or the bucket's name and `/*`.
    pub resource: String,
}

/// Permissions of one object's rewrap.
#[derive(Debug, Default)]
pub(super) struct Permissions(BTreeSet<Permission>);

impl Permissions {
    /// Adds permissions on a KMS key.
    pub(super) fn on_key(&mut self, actions: &[&'static str], arn: &str) {
        self.add(actions, arn);
    }

    /// Adds permissions on a bucket's objects.
    pub(super) fn on_objects(&mut self, actions: &[&'static str], bucket: &str) {
        self.add(actions, &format!("{bucket}/*"));
    }

    fn add(&mut self, actions: &[&'static str], resource: &str) {
        let permission = |&action| Permission { action, resource: resource.to_owned() };
        self.0.extend(actions.iter().map(permission));
    }

    pub(super) fn into_set(self) -> BTreeSet<Permission> {
        self.0
    }
}
