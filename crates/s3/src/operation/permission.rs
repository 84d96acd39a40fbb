//! Permissions that work on an object needs and its forecast does not use.

use std::collections::BTreeSet;

/// A permission that work on an object needs, and that its forecast does not use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Permission {
    /// IAM action, such as `kms:Encrypt`.
    pub action: &'static str,
    /// Resource of the action: the key's ARN, or the bucket's name and `/*`.
    pub resource: String,
}

/// Permissions of the work on one object.
#[derive(Debug, Default)]
pub(crate) struct Permissions(BTreeSet<Permission>);

impl Permissions {
    /// Adds permissions on a KMS key.
    pub(crate) fn on_key(&mut self, actions: &[&'static str], arn: &str) {
        self.add(actions, arn);
    }

    /// Adds permissions on a bucket's objects.
    pub(crate) fn on_objects(&mut self, actions: &[&'static str], bucket: &str) {
        self.add(actions, &format!("{bucket}/*"));
    }

    fn add(&mut self, actions: &[&'static str], resource: &str) {
        let permission = |&action| Permission { action, resource: resource.to_owned() };
        self.0.extend(actions.iter().map(permission));
    }

    pub(crate) fn into_set(self) -> BTreeSet<Permission> {
        self.0
    }
}
