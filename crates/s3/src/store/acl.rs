//! An object's ACL, which S3 resets to "private" in a copy.

use aws_sdk_s3::types::{Grant, ObjectOwnership, Permission, Type};

use super::{Store, attributes::Attributes};
use crate::error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure};

/// Treatment of access control lists (ACLs), which S3 resets in a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AclPolicy {
    /// A copy keeps the object's ACL, or fails with
    /// [`AclUnreadable`](crate::ErrorKind::AclUnreadable) if the store does not tell it.
    #[default]
    Keep,
    /// A copy gets the default ACL, "private". For a store whose objects have no ACLs of their own.
    Ignore,
}

/// Grants in the form of S3's request headers. If all are empty, the owner alone has access, which
/// a copy grants anyway.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    full_control: Vec<String>,
    read: Vec<String>,
    read_acp: Vec<String>,
    write_acp: Vec<String>,
}

impl Grants {
    /// Adds the grants to the attributes of a copy.
    pub(crate) fn onto(self, attributes: Attributes) -> Attributes {
        let join = |grantees: Vec<String>| (!grantees.is_empty()).then(|| grantees.join(", "));
        Attributes {
            grant_full_control: join(self.full_control),
            grant_read: join(self.read),
            grant_read_acp: join(self.read_acp),
            grant_write_acp: join(self.write_acp),
            ..attributes
        }
    }

    fn of(owner: Option<&str>, grants: &[Grant]) -> Self {
        let mut kept = Self::default();
        for grant in grants {
            let Some(grantee) = grantee(grant) else { continue };
            match grant.permission() {
                Some(Permission::FullControl) => kept.full_control.push(grantee),
                Some(Permission::Read) => kept.read.push(grantee),
                Some(Permission::ReadAcp) => kept.read_acp.push(grantee),
                Some(Permission::WriteAcp) => kept.write_acp.push(grantee),
                _ => {}
            }
        }
        let owner_alone =
            Self { full_control: owner.map(by_id).into_iter().collect(), ..Self::default() };
        if kept == owner_alone { Self::default() } else { kept }
    }
}

impl Store {
    /// Returns the grants that a copy needs to keep the object's ACL.
    ///
    /// Most buckets have ACLs disabled. S3 is asked about that once per bucket.
    pub(crate) async fn grants_to_keep(
        &self,
        target: &ObjectRef,
        version_id: Option<&str>,
    ) -> Result<Grants, Error> {
        if self.acl_policy() == AclPolicy::Ignore || self.acls_are_disabled(&target.bucket).await {
            return Ok(Grants::default());
        }
        let request = self.s3().get_object_acl().bucket(&target.bucket).key(&target.key);
        match request.set_version_id(version_id.map(str::to_owned)).send().await {
            Ok(acl) => Ok(Grants::of(acl.owner().and_then(|owner| owner.id()), acl.grants())),
            Err(error) => {
                let failure = AwsFailure::new(&error);
                // A store without ACLs has none to keep.
                if matches!(failure.status, Some(405 | 501)) {
                    return Ok(Grants::default());
                }
                Err(unreadable(target.s3_failure("GetObjectAcl", failure)))
            }
        }
    }

    /// `true` if the bucket certainly has no ACLs because its owner owns all objects.
    pub(crate) async fn acls_are_disabled(&self, bucket: &str) -> bool {
        if let Some(disabled) = self.known_acls_disabled(bucket) {
            return disabled;
        }
        let controls = self.s3().get_bucket_ownership_controls().bucket(bucket).send().await;
        let controls = match controls {
            Ok(controls) => controls,
            Err(error) => {
                // An older bucket has no such setting, and has ACLs. A store that doesn't know the
                // call isn't asked again either.
                if matches!(AwsFailure::new(&error).status, Some(404 | 405 | 501)) {
                    self.remember_acls_disabled(bucket, false);
                }
                return false;
            }
        };
        let rules = controls.ownership_controls().map(|controls| controls.rules());
        let disabled = rules
            .unwrap_or_default()
            .iter()
            .any(|rule| *rule.object_ownership() == ObjectOwnership::BucketOwnerEnforced);
        self.remember_acls_disabled(bucket, disabled);
        disabled
    }
}

/// Names the cause if the store answered, and neither permission nor load is the reason.
fn unreadable(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Service if error.status().is_some() => error
            .with_kind(ErrorKind::AclUnreadable)
            .with_suffix("the store does not tell the object's ACL, which a copy would lose"),
        _ => error,
    }
}

/// Returns a grantee as in `x-amz-grant-*`: `id="…"`, `uri="…"` or `emailAddress="…"`.
fn grantee(grant: &Grant) -> Option<String> {
    let grantee = grant.grantee()?;
    match grantee.r#type() {
        Type::Group => grantee.uri().map(|uri| format!("uri=\"{uri}\"")),
        Type::AmazonCustomerByEmail => {
            grantee.email_address().map(|email| format!("emailAddress=\"{email}\""))
        }
        _ => grantee.id().map(by_id),
    }
}

fn by_id(id: &str) -> String {
    format!("id=\"{id}\"")
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::Grantee;

    use super::*;

    fn grant(kind: Type, value: &str, permission: Permission) -> Grant {
        let grantee = Grantee::builder().r#type(kind.clone());
        let grantee = if kind == Type::Group { grantee.uri(value) } else { grantee.id(value) };
        Grant::builder()
            .grantee(grantee.build().expect("a type is set"))
            .permission(permission)
            .build()
    }

    #[test]
    fn the_owner_alone_needs_no_header() {
        let owner = grant(Type::CanonicalUser, "me", Permission::FullControl);
        assert_eq!(Grants::of(Some("me"), &[owner]), Grants::default());
    }

    #[test]
    fn others_are_named_and_the_owner_with_them() {
        let grants = [
            grant(Type::CanonicalUser, "me", Permission::FullControl),
            grant(Type::CanonicalUser, "you", Permission::Read),
            grant(Type::Group, "http://acs.amazonaws.com/groups/global/AllUsers", Permission::Read),
        ];
        let attributes = Grants::of(Some("me"), &grants).onto(Attributes::default());
        assert_eq!(attributes.grant_full_control.as_deref(), Some("id=\"me\""));
        let read = "id=\"you\", uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"";
        assert_eq!(attributes.grant_read.as_deref(), Some(read));
        assert_eq!((attributes.grant_read_acp, attributes.grant_write_acp), (None, None));
    }
}
