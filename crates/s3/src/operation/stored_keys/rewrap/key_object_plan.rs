//! Key objects that an intermediate key has after a rewrap, decided without a call.

use sealwax_envelope::{KeyObjectName, Keyring, LOCAL_PROVIDER};

use super::{StoredKey, wrapping_keys};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    kms::KMS_PROVIDER,
    operation::rewrap::key_changes::{Change, KeyChanges},
};

/// Key objects of an intermediate key after a rewrap, by their names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyObjectPlan {
    /// Names of the key objects that stay or come, at least one.
    pub(super) stays: Vec<KeyObjectName>,
    /// Names of the key objects that go.
    pub(super) doomed: Vec<KeyObjectName>,
}

/// Reason why a rewrap of keys is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The changes are for an object of the S3 Encryption Client.
    S3ec,
    /// A keyring does not tell the names of its wrapping keys.
    Unnamed,
    /// Number of key objects that the listing left out: one that is to be removed may be among them.
    Unlisted(u64),
    /// No key object would be left.
    Last,
}

impl Refusal {
    pub(super) fn error(&self, target: &ObjectRef) -> Error {
        let (kind, message) = match self {
            Self::S3ec => {
                (ErrorKind::Unsupported, "no key object is of the S3 Encryption Client".to_owned())
            }
            Self::Unnamed => {
                (ErrorKind::InvalidInput, "the keyring has no key to wrap under".to_owned())
            }
            Self::Unlisted(others) => (
                ErrorKind::Unsupported,
                format!(
                    "it has {others} more key objects than anybody looks at, and one that is to be \
                     removed may be among them: delete those that are no keys first"
                ),
            ),
            Self::Last => (
                ErrorKind::InvalidInput,
                "no key object would be left: without one, objects can be lost".to_owned(),
            ),
        };
        target.error(kind, message)
    }
}

impl KeyObjectPlan {
    /// Applies `changes` to the names in the listing, in their order.
    pub(super) fn new(key: &StoredKey, changes: &KeyChanges) -> Result<Self, Refusal> {
        let mut stays = key.names().to_vec();
        let check_all_are_listed = || match key.others() {
            0 => Ok(()),
            others => Err(Refusal::Unlisted(others)),
        };
        for change in changes.all() {
            match change {
                Change::Add(keyring) => {
                    let new = wanted(key, &**keyring)?.into_iter();
                    let new: Vec<_> = new.filter(|name| !stays.contains(name)).collect();
                    stays.extend(new);
                }
                Change::Replace(keyring) => {
                    check_all_are_listed()?;
                    stays = wanted(key, &**keyring)?;
                }
                Change::Remove(wrapping_key) => {
                    // The provider that a name belongs to is known to its holder alone.
                    let is_it = |name: &KeyObjectName| {
                        let providers = [KMS_PROVIDER, LOCAL_PROVIDER];
                        providers.iter().any(|it| *name == name.under(it, wrapping_key))
                    };
                    if !stays.iter().any(is_it) {
                        check_all_are_listed()?;
                    }
                    stays.retain(|name| !is_it(name));
                }
                Change::Refresh => {}
                Change::ReplaceS3ec(_) => return Err(Refusal::S3ec),
            }
        }
        if stays.is_empty() {
            return Err(Refusal::Last);
        }
        let doomed = key.names().iter().filter(|name| !stays.contains(name)).cloned().collect();
        Ok(Self { stays, doomed })
    }
}

/// Returns the names of the key objects under the wrapping keys of `keyring`.
fn wanted(key: &StoredKey, keyring: &dyn Keyring) -> Result<Vec<KeyObjectName>, Refusal> {
    let names = wrapping_keys(keyring);
    if names.is_empty() {
        return Err(Refusal::Unnamed);
    }
    let first = &key.names()[0];
    Ok(names.iter().map(|(provider, name)| first.under(provider, name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::samples::local;

    const ID: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn name(wrapping_key: &str) -> KeyObjectName {
        let hash = "AAAAAAAAAAAAAAAAAAAAAA";
        let name = KeyObjectName::parse(&format!("{hash}/{ID}/{hash}")).expect("a name");
        name.under(LOCAL_PROVIDER, wrapping_key)
    }

    fn stored(names: &[&str], others: u64) -> StoredKey {
        let mut key = StoredKey::new(name(names[0]), None);
        key.names.extend(names[1..].iter().map(|it| name(it)));
        key.others = others;
        key
    }

    fn add(name: &str) -> KeyChanges {
        KeyChanges::new().add_keys(local(name))
    }

    #[test]
    fn changes_are_applied_in_their_order() {
        let (two, replace) = (["a", "b"], |name: &str| KeyChanges::new().replace_keys(local(name)));
        for (changes, stays, doomed) in [
            (add("c"), &["a", "b", "c"][..], &[][..]),
            (add("a"), &["a", "b"], &[]),
            (add("c").remove_key("a"), &["b", "c"], &["a"]),
            (add("c").remove_key("c"), &["a", "b"], &[]),
            (KeyChanges::new().remove_key("a"), &["b"], &["a"]),
            (KeyChanges::new().remove_key("a").add_keys(local("a")), &["a", "b"], &[]),
            (KeyChanges::new().remove_key("other"), &["a", "b"], &[]),
            (replace("c"), &["c"], &["a", "b"]),
            (replace("a"), &["a"], &["b"]),
            (replace("c").add_keys(local("a")), &["a", "c"], &["b"]),
            (KeyChanges::new().refresh_keys(), &["a", "b"], &[]),
        ] {
            let plan = KeyObjectPlan::new(&stored(&two, 0), &changes).expect("allowed");
            let sorted = |names: &[&str]| {
                let mut names: Vec<_> = names.iter().map(|it| name(it)).collect();
                names.sort();
                names
            };
            let KeyObjectPlan { stays: mut kept, doomed: mut gone } = plan;
            kept.sort();
            gone.sort();
            assert_eq!((kept, gone), (sorted(stays), sorted(doomed)), "{changes:?}");
        }
    }

    #[test]
    fn what_is_refused_is_known_from_the_listing() {
        let one = || KeyChanges::new().remove_key("a");
        for (changes, others, refusal) in [
            (one(), 0, Refusal::Last),
            (one().remove_key("b"), 0, Refusal::Last),
            (add("c").remove_key("other"), 7, Refusal::Unlisted(7)),
            (KeyChanges::new().replace_keys(local("a")), 7, Refusal::Unlisted(7)),
        ] {
            let plan = KeyObjectPlan::new(&stored(&["a"], others), &changes);
            assert_eq!(plan.expect_err("refused"), refusal, "{changes:?}");
        }
        for changes in [add("c").remove_key("a"), add("c").remove_key("c"), add("c").refresh_keys()]
        {
            let plan = KeyObjectPlan::new(&stored(&["a"], 7), &changes);
            assert!(plan.is_ok(), "each is named or listed: {plan:?}");
        }
    }
}
