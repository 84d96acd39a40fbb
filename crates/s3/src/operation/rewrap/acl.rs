//! The object's ACL, which S3's copy resets to "private".

use aws_sdk_s3::types::{Grant, ObjectOwnership, Permission, Type};

use crate::{
    Attributes, SealedClient,
    aws_failure::AwsFailure,
    error::{Error, Target},
};

/// Grants as S3's request headers take them. All empty: the owner alone, which is what a copy gives anyway.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Grants {
    full_control: Vec<String>,
    read: Vec<String>,
    read_acp: Vec<String>,
    write_acp: Vec<String>,
}

impl Grants {
    /// Adds them to the attributes of a copy.
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

/// What the copy must grant so that the object's ACL stays as it is.
///
/// In most buckets ACLs are off; that is asked once per bucket and remembered.
pub(crate) async fn grants_to_keep(
    client: &SealedClient,
    target: &Target,
    version_id: Option<&str>,
) -> Result<Grants, Error> {
    if client.acls_are_off(&target.bucket).await {
        return Ok(Grants::default());
    }
    let request = client.s3().get_object_acl().bucket(&target.bucket).key(&target.key);
    match request.set_version_id(version_id.map(str::to_owned)).send().await {
        Ok(acl) => Ok(Grants::of(acl.owner().and_then(|owner| owner.id()), acl.grants())),
        Err(error) => {
            let failure = AwsFailure::new(&error);
            // A store without ACLs has none to keep.
            if matches!(failure.status, Some(405 | 501)) {
                return Ok(Grants::default());
            }
            Err(target.s3_failure("GetObjectAcl", failure))
        }
    }
}

impl SealedClient {
    /// Whether the bucket surely has no ACLs: its owner owns all objects.
    pub(in crate::operation) async fn acls_are_off(&self, bucket: &str) -> bool {
        if let Some(off) = self.known_acls_off(bucket) {
            return off;
        }
        let controls = match self.s3().get_bucket_ownership_controls().bucket(bucket).send().await {
            Ok(controls) => controls,
            Err(error) => {
                // An older bucket has none, and ACLs; a store that does not know of them is not asked again either.
                if matches!(AwsFailure::new(&error).status, Some(404 | 405 | 501)) {
                    self.remember_acls_off(bucket, false);
                }
                return false;
            }
        };
        let rules =
            controls.ownership_controls().map(|controls| controls.rules()).unwrap_or_default();
        let off = rules
            .iter()
            .any(|rule| *rule.object_ownership() == ObjectOwnership::BucketOwnerEnforced);
        self.remember_acls_off(bucket, off);
        off
    }
}

/// A grantee as in `x-amz-grant-*`: `id="…"`, `uri="…"` or `emailAddress="…"`.
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
