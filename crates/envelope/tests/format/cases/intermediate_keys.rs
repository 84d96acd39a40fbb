//! Data keys under an intermediate key: its id, its scope, and the data key itself.

use super::*;

const DEEP: &str = "bucket/a/key";
const ACCESS_POINT: &str = "arn:aws:s3:us-east-1:111122223333:accesspoint/ap/key";

pub(super) fn all(cases: &mut Cases) {
    groups(cases);
    ids(cases);
    spelling_of_ids(cases);
    scopes(cases);
    spelling_of_scopes(cases);
    kinds(cases);
    data_keys(cases);
}

/// The object with one group, edited.
fn with(edit: impl FnOnce(&mut Group)) -> Stored {
    let recipe = small();
    let mut group = recipe.intermediate_group(Some(PLACE));
    edit(&mut group);
    recipe.stored(&[group])
}

/// The object with this key of its group alone.
fn with_key(key: Key) -> Stored {
    with(|group| group.keys = Some(vec![key]))
}

fn with_data_key(wrapped: Vec<u8>) -> Stored {
    with(|group| group.data_key = Some(wrapped))
}

/// Several groups, and members that belong together.
fn groups(cases: &mut Cases) {
    let recipe = small();
    let group = recipe.intermediate_group(Some(PLACE));

    // A genuine group of another object, and one that a holder of its intermediate key made.
    let other = recipe.clone().other().other_intermediate().intermediate_group(Some(PLACE));
    let shows = "a genuine group of another object, under another intermediate key";
    let planted = recipe.stored(std::slice::from_ref(&other));
    cases.refused("unwrap", "group-of-other-intermediate-key", &["R11"], shows, planted);
    let shows = "the same before the true group";
    let planted = recipe.stored(&[other.clone(), group.clone()]);
    cases.opened("group-of-other-intermediate-key-planted", &["R8"], shows, planted, &recipe);
    let made = recipe.clone().other_data_key().other_intermediate().intermediate_group(Some(PLACE));
    let shows = "another intermediate key, whose holder wrapped another data key for this body";
    let planted = recipe.stored(&[made]);
    cases.refused("commitment", "group-made-under-other-key", &["R12"], shows, planted);
    let shows = "a genuine wrapped key of another intermediate key, in the group of this one";
    let mixed = with_key(other.first_key());
    cases.refused("unwrap", "key-of-other-intermediate-key", &["R9"], shows, mixed);
    let shows = "the same before the true key";
    let mixed = with(|group| group.keys_mut().insert(0, other.first_key()));
    cases.opened("key-of-other-intermediate-key-planted", &["R8", "R9"], shows, mixed, &recipe);

    // Neighbours that differ in one member each; the last group is the true one.
    let deep = |scope| recipe.scoped_group(Some(DEEP), Some(scope));
    let of_other_object = recipe.clone().other().scoped_group(Some(DEEP), Some(9));
    let of_other_id = Group { intermediate: other.intermediate, ..of_other_object.clone() };
    let differing = recipe.stored(&[of_other_id, of_other_object, deep(9), deep(7)]).at(&[DEEP]);
    let shows = "neighbouring groups that differ in id, data key or scope alone";
    cases.opened("groups-differ-in-one-member", &["R3"], shows, differing, &recipe);

    for (name, stored, shows) in [
        ("intermediate-alone", with(|group| group.data_key = None), "an id without a data key"),
        (
            "data-key-alone",
            with(|group| (group.intermediate, group.scope) = (None, None)),
            "a data key without the id of its intermediate key",
        ),
    ] {
        cases.refused("malformed", name, &["R4"], shows, stored);
    }
    let members = recipe.stored(&[group]).metadata[KEYS].clone();
    let members = members.strip_prefix("[{").and_then(|text| text.strip_suffix("}]"));
    let (head, keys) = members.and_then(|text| text.split_once(",\"keys\":")).expect("keys");
    let [place, scope, id, data_key] = head.split(',').collect::<Vec<_>>()[..] else {
        panic!("four members before the keys: {head}")
    };
    let keys = format!("\"keys\":{keys}");
    for (name, order, shows) in [
        ("scope-before-place", [scope, place, id, data_key, &keys], "the scope before the place"),
        (
            "intermediate-before-scope",
            [place, id, scope, data_key, &keys],
            "the id before the scope",
        ),
        ("data-key-before-id", [place, scope, data_key, id, &keys], "the data key before the id"),
        ("keys-before-data-key", [place, scope, id, &keys, data_key], "keys before the data key"),
    ] {
        let reordered = recipe.sealed().set(KEYS, format!("[{{{}}}]", order.join(",")));
        cases.refused("malformed", name, &["R3"], shows, reordered);
    }
}

/// Ids that are well-formed, and not that of the key.
fn ids(cases: &mut Cases) {
    let recipe = small();
    let scope = Some("bucket/");
    // The data key is wrapped for the id in the metadata, so that only the check of the id differs.
    let with_id = |id: [u8; 32], intermediate: &[u8; 32], key: Key| {
        let context = recipe.inner_context(Some(PLACE), &id);
        with(|group| {
            group.intermediate = Some(id.into());
            group.data_key = Some(wrap_under(intermediate, &recipe.data_key, &context));
            group.keys = Some(vec![key]);
        })
    };
    let mut id = recipe.id();
    id[0] ^= 1;
    let changed = with_id(id, &recipe.intermediate_key, recipe.intermediate("first", scope));
    cases.refused("unwrap", "id-r-changed", &["R9"], "a bit of r", changed);
    let mut id = recipe.id();
    id[31] ^= 1;
    let changed = with_id(id, &recipe.intermediate_key, recipe.intermediate("first", scope));
    cases.refused("unwrap", "id-c-changed", &["R9"], "a bit of c", changed);
    let r: [u8; 16] = counting(0x10);
    let id = intermediate_id(&recipe.intermediate_key, &r);
    let other = with_id(id, &recipe.intermediate_key, recipe.intermediate("first", scope));
    let shows = "another r and its c, for which the intermediate key was not wrapped";
    cases.refused("unwrap", "id-of-other-r", &["R9"], shows, other);
    // Somebody who may call GenerateDataKey made this, for the context, scope and r of the victim.
    let made = Recipe { intermediate_key: counting(0x90), ..recipe.clone() };
    let key = made.intermediate("first", scope);
    let planted = with_id(recipe.id(), &made.intermediate_key, key.clone());
    let shows = "another intermediate key, wrapped for this context, scope and r";
    cases.refused("unwrap", "other-key-of-same-r", &["R9"], shows, planted);
    let shows = "the same before the true key";
    let both = with(|group| group.keys_mut().insert(0, key));
    cases.opened("other-key-of-same-r-planted", &["R8", "R9"], shows, both, &recipe);

    let shows = "a data key for another id of the same intermediate key";
    let id = intermediate_id(&recipe.intermediate_key, &r);
    let context = recipe.inner_context(Some(PLACE), &id);
    let of_other = wrap_under(&recipe.intermediate_key, &recipe.data_key, &context);
    cases.refused("unwrap", "data-key-of-other-id", &["R11"], shows, with_data_key(of_other));

    let marked = Recipe { r: [0xfb, 0xef, 0xbf].repeat(6)[..16].try_into().expect("16"), ..recipe };
    let shows = "an id whose characters differ between base64url and base64";
    let stored = marked.stored(&[marked.intermediate_group(Some(PLACE))]);
    cases.opened("id-of-marks", &["R3", "R9"], shows, stored, &marked);
    let value = base64url(&marked.id());
    let stored = marked.stored(&[marked.intermediate_group(Some(PLACE))]);
    let other_alphabet = value.replace('-', "+").replace('_', "/");
    let stored = stored.edit(KEYS, &value, &other_alphabet);
    cases.refused("malformed", "id-in-base64", &["R3"], "an id in base64, not base64url", stored);
}

fn spelling_of_ids(cases: &mut Cases) {
    let id = small().id();
    for (name, len, shows) in [("id-too-short", 31, "31 bytes"), ("id-too-long", 33, "33 bytes")] {
        let bytes = [id.as_slice(), &[0]].concat()[..len].to_vec();
        let stored = with(|group| group.intermediate = Some(bytes));
        cases.refused("malformed", name, &["R2", "R3"], shows, stored);
    }
    let text = base64url(&id);
    let quoted = format!("\"{text}\"");
    let last = text.chars().last().expect("a digit");
    // For 32 bytes the last digit has two unused bits, which are zero.
    let unused = char::from(u8::try_from(last).expect("ASCII") + 1);
    for (name, to, shows) in [
        ("id-empty", "\"\"".into(), "an empty id"),
        ("id-padded", format!("\"{text}=\""), "a padded id"),
        ("id-cut", format!("\"{}\"", &text[..42]), "42 characters"),
        (
            "id-unused-bits",
            format!("\"{}{unused}\"", &text[..42]),
            "an id whose unused bits are not zero",
        ),
        ("id-with-blank", format!("\"{text} \""), "a blank after the id"),
        ("id-null", "null".into(), "an id that is null"),
        ("id-a-list", format!("[{quoted}]"), "an id in a list"),
    ] {
        let stored = with(|_| {}).edit(KEYS, &quoted, &to);
        cases.refused("malformed", name, &["R3"], shows, stored);
    }
}

/// Scopes that are well-formed.
fn scopes(cases: &mut Cases) {
    let recipe = small();
    let deep = |scope: usize| recipe.scoped_group(Some(DEEP), Some(scope));
    let stored = |group: Group| recipe.stored(&[group]).at(&[DEEP]);
    let shows = "the longest scope of its place";
    cases.opened("scope-longest", &["R4"], shows, stored(deep(9)), &recipe);
    let wide = "bucket/é/key";
    let group = recipe.scoped_group(Some(wide), Some(10));
    let shows = "a scope that is counted in bytes";
    cases.opened("scope-in-bytes", &["R4"], shows, recipe.stored(&[group]).at(&[wide]), &recipe);
    let group = recipe.scoped_group(Some(ACCESS_POINT), Some(ACCESS_POINT.len() - 3));
    let shows = "the ARN of an access point as bucket";
    let at_access_point = recipe.stored(&[group]).at(&[ACCESS_POINT]);
    cases.opened("scope-of-access-point", &["R4"], shows, at_access_point, &recipe);
    let folder = "bucket/a/";
    let group = recipe.scoped_group(Some(folder), Some(7));
    let shows = "a place that ends in a slash";
    let at_folder = recipe.stored(&[group]).at(&[folder]);
    cases.opened("scope-of-folder", &["R4"], shows, at_folder, &recipe);

    let shorter = stored(Group { scope: Some(7), ..deep(9) });
    let shows = "a shorter scope than that of the wrapped key";
    cases.refused("unwrap", "scope-shorter", &["R9"], shows, shorter);
    let longer = stored(Group { scope: Some(9), ..deep(7) });
    let shows = "a longer scope than that of the wrapped key";
    cases.refused("unwrap", "scope-longer", &["R9"], shows, longer);
    let elsewhere = recipe.scoped_group(Some("bucket/b/key"), Some(9));
    let data_key = Some(recipe.under_intermediate(Some(DEEP)));
    let moved = stored(Group { data_key, keys: elsewhere.keys, ..deep(9) });
    let shows = "an intermediate key of another prefix";
    cases.refused("unwrap", "scope-of-other-prefix", &["R9"], shows, moved);
    for (name, group, scope, shows) in [
        (
            "scope-missing-in-wrap",
            recipe.intermediate_group(Some(PLACE)),
            None,
            "an intermediate key that was wrapped for no scope",
        ),
        (
            "scope-extra-in-wrap",
            recipe.intermediate_group(None),
            Some("bucket/"),
            "an intermediate key of a scope, in a group without a place",
        ),
    ] {
        let keys = vec![recipe.intermediate("first", scope)];
        let stored = recipe.stored(&[Group { keys: Some(keys), ..group }]).anywhere();
        cases.refused("unwrap", name, &["R9"], shows, stored);
    }
}

fn spelling_of_scopes(cases: &mut Cases) {
    let recipe = small();
    let group = |place: &str, scope: usize| {
        let whole = recipe.intermediate_group(Some(place));
        recipe.stored(&[Group { scope: Some(scope), ..whole }]).at(&[place])
    };
    for (name, stored, shows) in [
        ("scope-zero", group(PLACE, 0), "no byte"),
        ("scope-before-slash", group(PLACE, 6), "the bucket without its slash"),
        ("scope-after-slash", group(PLACE, 8), "a byte after the slash"),
        ("scope-whole-place", group(PLACE, 10), "the whole place"),
        ("scope-beyond-place", group(PLACE, 11), "more than the place"),
        ("scope-whole-folder", group("bucket/a/", 9), "the whole place, which ends in a slash"),
        ("scope-in-characters", group("bucket/é/key", 9), "a scope that is counted in characters"),
        (
            "scope-of-all-access-points",
            group(ACCESS_POINT, ACCESS_POINT.len() - 6),
            "a scope that ends before the access point's name",
        ),
        ("scope-missing", with(|group| group.scope = None), "no scope beside place and id"),
        ("scope-without-place", with(|group| group.place = None).anywhere(), "a scope of no place"),
        (
            "scope-without-id",
            recipe.stored(&[Group { scope: Some(7), ..recipe.group(Some(PLACE)) }]),
            "a scope where no intermediate key is",
        ),
    ] {
        cases.refused("malformed", name, &["R4"], shows, stored);
    }
    let huge = "9".repeat(400);
    for (name, to, shows) in [
        ("scope-leading-zero", "07", "a leading zero"),
        ("scope-negative", "-7", "a sign"),
        ("scope-signed", "+7", "a sign that JSON does not have"),
        ("scope-float", "7.0", "a fraction"),
        ("scope-exponent", "7e0", "an exponent"),
        ("scope-text", "\"7\"", "a text"),
        ("scope-null", "null", "null"),
        ("scope-true", "true", "a truth value"),
        ("scope-place", "\"bucket/\"", "the prefix itself"),
        ("scope-wraps-around", "18446744073709551623", "2^64 + 7"),
        ("scope-huge", huge.as_str(), "400 digits"),
    ] {
        let stored = with(|_| {}).edit(KEYS, "\"scope\":7,", &format!("\"scope\":{to},"));
        cases.refused("malformed", name, &["R3"], shows, stored);
    }
}

/// Keys of one kind in place of the other, and wrap contexts of an intermediate key.
fn kinds(cases: &mut Cases) {
    let recipe = small();
    let salt = base64(&recipe.salt);
    let r = base64url(&recipe.r);
    let (format, r) = (("format", "v1/intermediate"), ("intermediate", r.as_str()));
    let scope = ("scope", "bucket/");
    let (id, place, salt) = (base64url(&recipe.id()), ("place", PLACE), ("salt", salt.as_str()));
    let reserved: [(_, &[_], _); 6] = [
        (
            "data-key-as-intermediate-key",
            &[("format", "v1"), place, salt],
            "the intermediate key, wrapped as a data key",
        ),
        ("intermediate-key-with-place", &[format, r, scope, place], "it has no place"),
        ("intermediate-key-with-salt", &[format, r, scope, salt], "it has no salt"),
        (
            "intermediate-key-without-r",
            &[format, scope],
            "an intermediate key that was wrapped for no r",
        ),
        (
            "intermediate-key-with-id",
            &[format, ("intermediate", id.as_str()), scope],
            "an intermediate key that was wrapped for its id, not for r",
        ),
        (
            "intermediate-key-of-other-format",
            &[("format", "v1"), r, scope],
            "the format of a data key",
        ),
    ];
    for (name, reserved, shows) in reserved {
        let context = wrap_context(&recipe.context, reserved);
        let stored = with_key(wrap("first", &recipe.intermediate_key, &context));
        cases.refused("unwrap", name, &["R9"], shows, stored);
    }
    let other = recipe.clone().with_context(&[("tenant", "evil")]);
    let moved = with_key(other.intermediate("first", Some("bucket/")));
    let shows = "an intermediate key of another encryption context";
    cases.refused("unwrap", "intermediate-key-of-other-context", &["R8", "R9"], shows, moved);

    // The body is sealed under the intermediate key: a reader that confuses the two would open it.
    let confused = Recipe { data_key: recipe.intermediate_key, ..small() };
    let keys = vec![recipe.intermediate("first", None)];
    let keys = Group { keys: Some(keys), ..recipe.group(None) };
    let shows = "the wrap of an intermediate key in place of a data key's";
    let stored = confused.stored(&[keys]).anywhere();
    cases.refused("unwrap", "intermediate-key-as-data-key", &["R8"], shows, stored);
}

/// Data keys that do not open under the intermediate key, or are not that of the body.
fn data_keys(cases: &mut Cases) {
    let recipe = small();
    for (name, at, shows) in [
        ("data-key-nonce-changed", 0, "a bit of the nonce"),
        ("data-key-ciphertext-changed", 12, "a bit of the wrapped data key"),
        ("data-key-tag-changed", 59, "a bit of the tag"),
    ] {
        let mut wrapped = recipe.under_intermediate(Some(PLACE));
        wrapped[at] ^= 1;
        cases.refused("unwrap", name, &["R11"], shows, with_data_key(wrapped));
    }
    let moved = with_data_key(recipe.under_intermediate(Some("bucket/other")));
    let shows =
        "a data key of the same intermediate key, which the metadata says is bound to this place";
    cases.refused("unwrap", "data-key-place-changed", &["R11"], shows, moved);
    // The intermediate key without a scope, and the data key bound to a place.
    let removed = Group {
        data_key: Some(recipe.under_intermediate(Some(PLACE))),
        ..recipe.intermediate_group(None)
    };
    let removed = recipe.stored(&[removed]).anywhere();
    let shows = "a bound data key, said to be bound to no place";
    cases.refused("unwrap", "data-key-place-removed", &["R11"], shows, removed);
    let evil = recipe.clone().with_context(&[("tenant", "evil")]);
    let moved = with_data_key(evil.under_intermediate(Some(PLACE)));
    let shows = "wrapped with another encryption context";
    cases.refused("unwrap", "data-key-of-other-context", &["R11"], shows, moved);
    let other = Recipe { intermediate_key: counting(0x90), ..recipe.clone() };
    let context = recipe.inner_context(Some(PLACE), &recipe.id());
    let mixed = with_data_key(wrap_under(&other.intermediate_key, &recipe.data_key, &context));
    let shows = "under another intermediate key";
    cases.refused("unwrap", "data-key-of-other-intermediate-key", &["R11"], shows, mixed);
    let old = with_data_key(recipe.clone().other().under_intermediate(Some(PLACE)));
    let shows = "the data key of an older version, under the same intermediate key";
    cases.refused("unwrap", "data-key-of-old-version", &["R11"], shows, old);
    let exchanged = recipe.stored(&[recipe.clone().other().intermediate_group(None)]).anywhere();
    let shows =
        "another object's data key of the same intermediate key, where no place is asked for";
    cases.refused("unwrap", "data-key-of-other-object", &["R11"], shows, exchanged);
    let made = with_data_key(recipe.clone().other_data_key().under_intermediate(Some(PLACE)));
    let shows = "another data key, which a holder of the intermediate key wrapped for this body";
    cases.refused("commitment", "data-key-made-for-body", &["R12"], shows, made);

    // Encrypted in other ways than FORMAT.md has it.
    let nonce: [u8; 12] = counting(0xa0);
    let sealed = |key: &[u8; 32], associated: &[u8]| {
        [nonce.as_slice(), &seal(key, &nonce, associated, &recipe.data_key)].concat()
    };
    let derived = data_key_wrapping_key(&recipe.intermediate_key, &context);
    let without_id = recipe.data_key_context(Some(PLACE));
    for (name, wrapped, shows) in [
        (
            "data-key-under-key-itself",
            sealed(&recipe.intermediate_key, &context),
            "under the intermediate key itself, with the wrap context as associated data",
        ),
        (
            "data-key-with-associated-data",
            sealed(&derived, &context),
            "under the derived key, with the wrap context as associated data",
        ),
        (
            "data-key-without-id",
            wrap_under(&recipe.intermediate_key, &recipe.data_key, &without_id),
            "under a key that was derived without the id",
        ),
    ] {
        cases.refused("unwrap", name, &["R11"], shows, with_data_key(wrapped));
    }
}
