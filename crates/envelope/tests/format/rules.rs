//! MUSTs of FORMAT.md that no vector can show: what a cache keeps, and what a writer creates.

use std::sync::Arc;

use futures_util::FutureExt as _;
use sealwax_envelope::{
    BodySalt, CachingKeyring, EncryptedDataKey, EncryptionContext, EncryptionMaterials, Error,
    Keyring, KeyringErrorKind, LocalKeyring, MultiKeyring, ObjectHeader, Place, Unwrap,
    WrapContext, metadata,
};

use crate::construct::{
    Group, Key, PLACE, Recipe, Stored, intermediate_id, wrap_under, wrapping_key,
};

fn local(name: &str) -> LocalKeyring {
    LocalKeyring::new(name, &mut wrapping_key(name)).expect("a wrapping key")
}

fn keys(stored: &Stored) -> Vec<EncryptedDataKey> {
    let header = ObjectHeader::parse(metadata::pairs(&stored.metadata)).expect("an object");
    header.keys().to_vec()
}

#[derive(Debug, PartialEq)]
enum Outcome {
    DataKey([u8; 32]),
    NotMine,
    Failed(KeyringErrorKind),
}

fn unwrap(keyring: &dyn Keyring, stored: &Stored) -> Outcome {
    match keyring.unwrap(&keys(stored)).now_or_never().expect("nothing waits") {
        Unwrap::Unwrapped(data_key) => Outcome::DataKey(*data_key.expose_secret()),
        Unwrap::NotMine => Outcome::NotMine,
        Unwrap::Failed(failures) => Outcome::Failed(failures[0].kind()),
    }
}

const REJECTED: Outcome = Outcome::Failed(KeyringErrorKind::Rejected);

/// A deep place, in which an intermediate key can have several scopes.
const DEEP: &str = "bucket/a/key";

/// FORMAT.md R10: each of these opens if the cache ignores a part of what it should compare.
#[test]
fn a_cached_intermediate_key_serves_its_own_context_scope_and_id_only() {
    let recipe = Recipe::new("");
    let known = recipe.scoped_group(Some(DEEP), Some(9));
    let keyring = CachingKeyring::new(local("first"));
    let opened = Outcome::DataKey(recipe.data_key);
    assert_eq!(unwrap(&keyring, &recipe.stored(std::slice::from_ref(&known))), opened);
    // The wrapped key is no longer needed: the intermediate key is cached.
    let mut damaged = known.clone();
    damaged.keys_mut()[0].2[103] ^= 1;
    assert_eq!(unwrap(&keyring, &recipe.stored(&[damaged.clone()])), opened);

    let scope = Group { scope: Some(7), ..known.clone() };
    assert_eq!(unwrap(&keyring, &recipe.stored(&[scope])), REJECTED, "another scope");

    let evil = recipe.clone().with_context(&[("tenant", "evil")]);
    let context = Group { keys: known.keys.clone(), ..evil.scoped_group(Some(DEEP), Some(9)) };
    assert_eq!(unwrap(&keyring, &evil.stored(&[context])), REJECTED, "another context");

    // The data key is wrapped for the changed id, so only the comparison of ids stops it.
    let with_id = |id: [u8; 32]| {
        let context = recipe.inner_context(Some(DEEP), &id);
        let data_key = wrap_under(&recipe.intermediate_key, &recipe.data_key, &context);
        recipe.stored(&[Group {
            intermediate: Some(id.into()),
            data_key: Some(data_key),
            ..known.clone()
        }])
    };
    let mut other_check = recipe.id();
    other_check[31] ^= 1;
    assert_eq!(unwrap(&keyring, &with_id(other_check)), REJECTED, "another c");
    let other_r = intermediate_id(&recipe.intermediate_key, &[0x11; 16]);
    assert_eq!(unwrap(&keyring, &with_id(other_r)), REJECTED, "another r");

    let theirs =
        Group { keys: Some(vec![recipe.intermediate("second", Some("bucket/a/"))]), ..known };
    let not_for_the_reader = recipe.stored(&[theirs]);
    assert_eq!(unwrap(&keyring, &not_for_the_reader), Outcome::NotMine, "no key of the reader");
    assert_eq!(unwrap(&keyring, &recipe.stored(&[damaged])), opened, "it is still cached");
}

/// FORMAT.md R9: a key that fails the check is not cached.
#[test]
fn an_intermediate_key_that_does_not_match_its_id_is_not_cached() {
    let recipe = Recipe::new("");
    let made = Recipe { intermediate_key: [0x99; 32], ..recipe.clone() };
    let planted = Group {
        keys: Some(vec![made.intermediate("first", Some("bucket/"))]),
        ..recipe.intermediate_group(Some(PLACE))
    };
    let keyring = CachingKeyring::new(local("first"));
    assert_eq!(unwrap(&keyring, &recipe.stored(&[planted])), REJECTED);
    let genuine = recipe.stored(&[recipe.intermediate_group(Some(PLACE))]);
    assert_eq!(unwrap(&keyring, &genuine), Outcome::DataKey(recipe.data_key));
}

fn generate(keyring: &dyn Keyring, tenant: &str, place: &str) -> EncryptionMaterials {
    let context = EncryptionContext::new().with("tenant", tenant).expect("a context");
    let (bucket, key) = place.split_once('/').expect("a slash");
    let place = Place::new(bucket, key).expect("a place");
    let salt = BodySalt::generate().expect("random bytes");
    let binding = WrapContext::for_data_key(context, Some(place), &salt);
    let materials = keyring.generate(&binding, Some(1)).now_or_never().expect("nothing waits");
    materials.unwrap_or_else(|error| panic!("{error}"))
}

/// FORMAT.md W6: an intermediate key that was read wraps no new data key.
#[test]
fn a_writer_uses_no_intermediate_key_that_it_read() {
    let recipe = Recipe::new("");
    let keyring = CachingKeyring::new(local("first"));
    let stored = recipe.stored(&[recipe.intermediate_group(Some(PLACE))]);
    assert_eq!(unwrap(&keyring, &stored), Outcome::DataKey(recipe.data_key));
    let read = keys(&stored)[0].clone();
    let materials = generate(&keyring, "acme", PLACE);
    let new = &materials.encrypted_data_keys()[0];
    assert_eq!((new.scope(), read.scope().is_some()), (read.scope(), true));
    assert_ne!(new.intermediate_id(), read.intermediate_id());
}

/// FORMAT.md W9: a wrapped intermediate key joins the group that it came from, and no other.
#[test]
fn a_new_wrapped_key_joins_only_the_group_of_its_intermediate_key() {
    let (recipe, other) = (Recipe::new(""), Recipe::new("").other_intermediate());
    let deep = |recipe: &Recipe, scope| recipe.scoped_group(Some(DEEP), Some(scope));
    let groups = [deep(&recipe, 9), deep(&other, 9), deep(&recipe, 7)];
    let [one, of_other, wider] = keys(&recipe.stored(&groups)).try_into().expect("three keys");
    let form = |key: &EncryptedDataKey| {
        let name = key.intermediate().expect("an intermediate key");
        EncryptedDataKey::new("local", "new", vec![1], name.wrap_context()).expect("a key")
    };
    let joined = one.with_intermediate(form(&one)).expect("its own group");
    assert!(joined.shares_group(&one));
    assert_eq!(joined.wrapping_key(), "new");
    assert_eq!(one.with_intermediate(form(&of_other)), None, "of another id");
    assert_eq!(one.with_intermediate(form(&wider)), None, "of another scope");
    assert_eq!(one.with_intermediate(of_other.intermediate().expect("one")), None);
}

/// FORMAT.md W10: a worthless ciphertext under the attacker's name yields no wrapped key.
#[test]
fn a_wrapping_key_is_carried_on_from_its_own_wrapped_key_alone() {
    let recipe = Recipe::new("");
    let second: Arc<dyn Keyring> = Arc::new(local("second"));
    let keyring = MultiKeyring::new(Arc::new(local("first")), [second]);
    let worthless = Key("local".into(), "second".into(), vec![0; 104]);
    let genuine = recipe.key("first", Some(PLACE));
    let group = Group { keys: Some(vec![worthless, genuine]), ..recipe.group(Some(PLACE)) };
    let keys = keys(&recipe.stored(&[group]));
    let target = keys[1].wrap_context().at(Some(Place::new("bucket", "copy").expect("a place")));
    let carry =
        |key: &EncryptedDataKey| keyring.carry(key, &target).now_or_never().expect("nothing waits");
    let refused = carry(&keys[0]).expect_err("a worthless ciphertext");
    assert_eq!((refused.kind(), refused.wrapping_key()), (KeyringErrorKind::Rejected, "second"));
    let carried = carry(&keys[1]).expect("the genuine key").expect("a wrapped key");
    assert_eq!((carried.wrapping_key(), carried.wrap_context()), ("first", &target));
}

/// FORMAT.md W14: no data key is wrapped under an intermediate key whose scope lacks the place.
#[test]
fn a_copy_out_of_scope_cannot_use_the_intermediate_key() {
    let recipe = Recipe::new("");
    let keys = keys(&recipe.stored(&[recipe.scoped_group(Some(DEEP), Some(9))]));
    let form = keys[0].intermediate().expect("an intermediate key");
    let keyring = local("first");
    let open = |key: &EncryptedDataKey| {
        let keys = std::slice::from_ref(key);
        match keyring.unwrap(keys).now_or_never().expect("nothing waits") {
            Unwrap::Unwrapped(key) => key,
            _ => panic!("it does not open"),
        }
    };
    let (intermediate, data_key) = (open(&form), open(&keys[0]));
    let wrap = |bucket: &str, key: &str| {
        let place = Place::new(bucket, key).expect("a place");
        let target = keys[0].data_key_context().at(Some(place));
        EncryptedDataKey::wrap_under(&intermediate, std::slice::from_ref(&form), &data_key, &target)
    };
    let inside = wrap("bucket", "a/copy").expect("inside of the scope");
    assert_eq!(inside[0].intermediate_id(), keys[0].intermediate_id());
    assert_eq!(inside[0].scope(), keys[0].scope());
    assert_eq!(open(&inside[0]).expose_secret(), &recipe.data_key);
    for (bucket, key) in [("bucket", "b/copy"), ("bucket", "copy"), ("other", "a/copy")] {
        assert!(matches!(wrap(bucket, key), Err(Error::ApiMisuse(_))), "{bucket}/{key}");
    }
}
