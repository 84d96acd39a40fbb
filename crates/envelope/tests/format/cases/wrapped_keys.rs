//! Wrapped data keys that a reader rejects.

use super::*;

pub(super) fn all(cases: &mut Cases) {
    of_others(cases);
    of_other_bodies(cases);
    of_other_contexts(cases);
    damaged(cases);
}

/// The object with this key alone.
fn with(key: Key) -> Stored {
    let recipe = small();
    recipe.stored(&[Group { keys: Some(vec![key]), ..recipe.group(Some(PLACE)) }])
}

/// Wrapping keys that the reader does not have.
fn of_others(cases: &mut Cases) {
    let recipe = small();
    let Key(_, _, ciphertext) = recipe.key("first", Some(PLACE));
    for (name, key, shows) in [
        (
            "unknown-wrapping-key",
            recipe.key("attacker", Some(PLACE)),
            "a wrapping key that is not the reader's",
        ),
        ("only-kms", kms_key("us-east-1"), "a provider that the reader does not have"),
        (
            "name-of-other-provider",
            Key("other".into(), "first".into(), ciphertext),
            "a key of that name elsewhere",
        ),
    ] {
        cases.refused("no-matching-key", name, &["R7"], shows, with(key));
    }
    let mut renamed = recipe.key("second", Some(PLACE));
    renamed.1 = "first".into();
    let shows = "another wrapping key under this name";
    cases.refused("unwrap", "wrapping-key-renamed", &["R8"], shows, with(renamed));
}

/// Genuine wrapped keys, planted by somebody who can write to the bucket.
fn of_other_bodies(cases: &mut Cases) {
    let recipe = small();
    let old = recipe.clone().other().key("first", Some(PLACE));
    let shows = "the wrapped key of an older version: same place and context, other salt";
    cases.refused("unwrap", "key-of-old-version", &["R8"], shows, with(old.clone()));
    let keys = vec![old, recipe.key("first", Some(PLACE))];
    let shows = "the wrapped key of an older version before the true one";
    let both = recipe.stored(&[Group { keys: Some(keys), ..recipe.group(Some(PLACE)) }]);
    cases.opened("key-of-old-version-planted", &["R8"], shows, both, &recipe);

    let moved =
        recipe.stored(&[recipe.group(Some("bucket/other"))]).edit(KEYS, "bucket/other", PLACE);
    let shows = "the wrap of another object's key, which the metadata says is bound to this place";
    cases.refused("unwrap", "place-changed", &["R8"], shows, moved);
    let removed = recipe
        .stored(&[recipe.group(Some(PLACE))])
        .edit(KEYS, "\"place\":\"bucket/key\",", "")
        .anywhere();
    let shows = "a bound wrap, said to be bound to no place";
    cases.refused("unwrap", "place-removed", &["R8"], shows, removed);
}

fn of_other_contexts(cases: &mut Cases) {
    let recipe = small();
    let changed = recipe.sealed().edit(CONTEXT, "acme", "evil");
    cases.refused("unwrap", "context-changed", &["R8"], "another encryption context", changed);
    let added = recipe.sealed().edit(CONTEXT, "}", ",\"x\":\"\"}");
    cases.refused("unwrap", "context-added", &["R8"], "a pair more", added);
    let removed = recipe.sealed().without(CONTEXT);
    cases.refused("unwrap", "context-removed", &["R8"], "no encryption context", removed);

    let salt = base64(&recipe.salt);
    let (format, place, salt) = (("format", "v1"), ("place", PLACE), ("salt", salt.as_str()));
    let (other_salt, id) = (base64(&counting::<24>(0xe0)), base64url(&recipe.id()));
    let reserved: [(_, &[_], _); 8] = [
        ("wrap-of-other-format", &[("format", "v2"), place, salt], "a format that there is not"),
        ("wrap-without-format", &[place, salt], "no format"),
        ("wrap-without-salt", &[format, place], "no salt"),
        (
            "wrap-of-other-salt",
            &[format, place, ("salt", other_salt.as_str())],
            "the salt of another body, though the data key is this one's",
        ),
        ("wrap-of-salt-in-hex", &[format, place, ("salt", SALT_IN_HEX)], "the salt in hexadecimal"),
        (
            "wrap-with-intermediate-id",
            &[format, place, salt, ("intermediate-id", id.as_str())],
            "the id of an intermediate key, which did not wrap it",
        ),
        (
            "wrap-with-scope",
            &[format, place, salt, ("scope", "bucket/")],
            "a scope, which only an intermediate key has",
        ),
        ("wrap-with-other-pair", &[format, place, salt, ("more", "")], "a pair that there is not"),
    ];
    for (name, reserved, shows) in reserved {
        let key = wrap("first", &recipe.data_key, &wrap_context(&recipe.context, reserved));
        cases.refused("unwrap", name, &["R8"], shows, with(key));
    }
}

/// The salt of [`small`].
const SALT_IN_HEX: &str = "404142434445464748494a4b4c4d4e4f5051525354555657";

fn damaged(cases: &mut Cases) {
    let recipe = small();
    for (name, at, shows) in [
        ("wrap-salt-changed", 0, "a bit of the wrap's salt"),
        ("wrap-commitment-changed", 55, "a bit of the wrap's commitment"),
        ("wrap-ciphertext-changed", 56, "a bit of the wrapped key"),
        ("wrap-tag-changed", 103, "a bit of the wrap's tag"),
    ] {
        let mut key = recipe.key("first", Some(PLACE));
        key.2[at] ^= 0x80;
        cases.refused("unwrap", name, &["R8"], shows, with(key));
    }
    for (name, len, shows) in [
        ("wrap-of-16-bytes", 16, "a wrapped key of 16 bytes"),
        ("wrap-of-33-bytes", 33, "a wrapped key of 33 bytes"),
    ] {
        let mut key = recipe.key("first", Some(PLACE));
        let context = recipe.data_key_context(Some(PLACE));
        key.2 = message(&counting(0), &counting(0x60), &context, &counting::<64>(0x20)[..len]);
        cases.refused("unwrap", name, &["R8"], shows, with(key));
    }
    let mut short = recipe.key("first", Some(PLACE));
    short.2.truncate(71);
    cases.refused("unwrap", "wrap-too-short", &["R8"], "a wrap that is no message", with(short));
}
