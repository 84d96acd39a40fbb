//! Objects under an intermediate key that a key store has, or that is bound to a part of the
//! encryption context.

use super::*;
use crate::construct::KeyObject;

/// Maximum length of a key object in bytes.
const LIMIT: usize = 16_384;
const BUCKET: Option<&str> = Some("bucket/");
const DEEP: &str = "bucket/a/key";
const ACCESS_POINT: &str = "arn:aws:s3:us-east-1:111122223333:accesspoint/ap/";

pub(super) fn all(cases: &mut Cases) {
    opened(cases);
    opened_detached(cases);
    parts_of_contexts(cases);
    spelling_of_parts(cases);
    spelling_of_detached_groups(cases);
    limits(cases);
    not_looked_for(cases);
    malformed(cases);
    of_other_names(cases);
    of_other_bindings(cases);
    forged(cases);
    moved_between_object_and_store(cases);
}

/// An object whose intermediate key is wrapped by another wrapping key than the reader's.
fn lacking(recipe: &Recipe) -> Stored {
    recipe.stored(&[lacking_group(recipe)])
}

fn lacking_group(recipe: &Recipe) -> Group {
    let keys = Some(vec![recipe.intermediate("second", BUCKET)]);
    Group { keys, ..recipe.intermediate_group(Some(PLACE)) }
}

/// The key object that opens the object.
fn key_object(recipe: &Recipe) -> KeyObject {
    recipe.key_object("first", BUCKET)
}

fn detached() -> Recipe {
    small().detached()
}

/// An object under a detached intermediate key.
fn alone(recipe: &Recipe) -> Stored {
    recipe.stored(&[recipe.intermediate_group(Some(PLACE))])
}

/// A key service's answer to the attacker: another intermediate key for the same context, scope and
/// `r`.
fn made_for_same_r(recipe: &Recipe) -> Recipe {
    Recipe { intermediate_key: counting(0x90), ..recipe.clone() }
}

fn opened(cases: &mut Cases) {
    let recipe = small();
    let stored = lacking(&recipe).key_object(&key_object(&recipe));
    let shows = "the key store has the intermediate key under the reader's wrapping key";
    cases.opened("key-object", &["R20", "R23"], shows, stored.clone(), &recipe);
    let flipped = stored.body(|body| body[HEADER_LEN] ^= 1);
    let shows = "a key object opens a body that was changed";
    cases.refused("chunk 0", "key-object-chunk-changed", &["R14", "R23"], shows, flipped);

    let mut damaged = recipe.intermediate_group(Some(PLACE));
    damaged.keys_mut()[0].2[70] ^= 1;
    let damaged = recipe.stored(&[damaged]).key_object(&key_object(&recipe));
    let shows = "the object's own wrapped key is damaged, and that of the key store opens it";
    cases.opened("key-object-after-damaged-wrap", &["R20"], shows, damaged, &recipe);

    let unbound = recipe.intermediate_group(None);
    let unbound = Group { keys: Some(vec![recipe.intermediate("second", None)]), ..unbound };
    let object = recipe.key_object("first", None);
    let unbound = recipe.stored(&[unbound]).key_object(&object).anywhere();
    let shows = "an intermediate key without a scope";
    cases.opened("key-object-without-scope", &["R20", "R22"], shows, unbound, &recipe);
    let point = format!("{ACCESS_POINT}é/");
    let place = format!("{point}key");
    let group = recipe.scoped_group(Some(&place), Some(point.len()));
    let keys = Some(vec![recipe.intermediate("second", Some(&point))]);
    let at_point = recipe.stored(&[Group { keys, ..group }]).at(&[&place]);
    let at_point = at_point.key_object(&recipe.key_object("first", Some(&point)));
    let shows = "a scope that is escaped, with the ARN of an access point";
    cases.opened("key-object-scope-escaped", &["R21", "R22"], shows, at_point, &recipe);
    let empty = small().with_context(&[]);
    let stored = lacking(&empty).key_object(&key_object(&empty));
    let shows = "an empty encryption context, which a key object leaves out";
    cases.opened("key-object-without-context", &["R21", "R22"], shows, stored, &empty);
    let wide = small().with_context(&[
        ("\u{ff01}", "é\u{7f}"),
        ("\u{1f511}", "\"\\/\u{8}\t\n\u{c}\r\u{1}"),
        ("a", ""),
    ]);
    let stored = lacking(&wide).key_object(&key_object(&wide));
    let shows = "a context with all kinds of escapes";
    cases.opened("key-object-context-escapes", &["R21"], shows, stored, &wide);

    let other = recipe.clone().other_intermediate();
    let groups = [lacking_group(&other), lacking_group(&recipe)];
    let two = recipe.stored(&groups).key_object(&key_object(&recipe));
    let shows = "two groups, of which the key store has the second";
    cases.opened("key-object-of-second-group", &["R20"], shows, two, &recipe);
    let two = recipe.stored(&groups).key_object(&key_object(&other));
    let shows = "two groups, of which the key store has the first";
    cases.opened("key-object-of-first-group", &["R20"], shows, two, &recipe);

    let sidecar = |groups: &[Group]| recipe.stored(groups).set(GENERATION, "2").to_sidecar();
    let both = lacking(&recipe).key_object(&key_object(&recipe)).beside("not a sidecar");
    let shows = "the key object opens it, whatever the sidecar is";
    cases.opened("key-object-and-sidecar", &["R16", "R20"], shows, both, &recipe);
    let junk = |stored: Stored| stored.key_object_at(key_object(&recipe).name(), "junk");
    let both = junk(lacking(&recipe)).beside(sidecar(&[recipe.group(Some(PLACE))]));
    let shows = "the sidecar opens it, whatever the key object is";
    cases.opened("sidecar-and-key-object", &["R16", "R21"], shows, both, &recipe);
    let direct =
        Group { keys: Some(vec![recipe.key("second", Some(PLACE))]), ..recipe.group(Some(PLACE)) };
    let of_sidecar = recipe.stored(&[direct]).beside(sidecar(&[lacking_group(&recipe)]));
    let shows = "the key store has the intermediate key that the sidecar names";
    let of_sidecar = of_sidecar.key_object(&key_object(&recipe));
    cases.opened("sidecar-of-key-object", &["R19", "R20"], shows, of_sidecar, &recipe);
}

fn opened_detached(cases: &mut Cases) {
    let recipe = detached();
    let stored = alone(&recipe).key_object(&key_object(&recipe));
    let shows = "a detached intermediate key";
    cases.opened("detached", &["R9", "R20"], shows, stored.clone(), &recipe);
    let missing = stored.set(MISSING, r#"[["local","first"]]"#);
    let shows = "a detached key, and a missing key of the reader's wrapping key";
    cases.opened("detached-missing", &["R3", "R20"], shows, missing, &recipe);
    let unbound = recipe.stored(&[recipe.intermediate_group(None)]);
    let unbound = unbound.key_object(&recipe.key_object("first", None)).anywhere();
    let shows = "a detached key without a scope";
    cases.opened("detached-without-scope", &["R4", "R22"], shows, unbound, &recipe);

    let direct = |name: &str| {
        let keys = Some(vec![recipe.key(name, Some(PLACE))]);
        Group { keys, ..recipe.group(Some(PLACE)) }
    };
    let group = recipe.intermediate_group(Some(PLACE));
    let beside = recipe.stored(&[direct("second"), group.clone()]);
    let shows = "a detached key beside a wrapped key that is not the reader's";
    let beside = beside.key_object(&key_object(&recipe));
    cases.opened("detached-beside-keys", &["R20"], shows, beside, &recipe);
    let needless = recipe.stored(&[direct("first"), group.clone()]);
    let shows = "a detached key that nothing has, beside a wrapped key of the reader";
    cases.opened("detached-not-needed", &["R20"], shows, needless, &recipe);

    let other = recipe.clone().other_intermediate();
    let two = [other.intermediate_group(Some(PLACE)), group.clone()];
    let two = recipe.stored(&two).key_object(&key_object(&recipe));
    let shows = "two detached keys, of which the key store has the second";
    cases.opened("detached-twice", &["R3", "R20"], shows, two, &recipe);
    let of_other = recipe.clone().other().intermediate_group(Some(PLACE)).data_key;
    let two = [Group { data_key: of_other, ..group.clone() }, group.clone()];
    let two = recipe.stored(&two).key_object(&key_object(&recipe));
    let shows = "two detached groups that differ in the data key alone";
    cases.opened("detached-differ-in-data-key", &["R3", "R8"], shows, two, &recipe);
    let keys = Some(vec![recipe.intermediate("second", BUCKET)]);
    let two = recipe.stored(&[Group { keys, ..group.clone() }, group]);
    let two = two.key_object(&key_object(&recipe));
    let shows = "neighbouring groups of which one has keys, and the other is detached";
    cases.opened("detached-differs-in-keys", &["R3"], shows, two, &recipe);
}

/// An object of two pairs, whose intermediate key is bound to the tenant.
fn of_tenant() -> Recipe {
    small().with_context(&[("document", "7"), ("tenant", "acme")]).with_key_context(&["tenant"])
}

/// Intermediate keys that are bound to some pairs of the encryption context.
fn parts_of_contexts(cases: &mut Cases) {
    let recipe = of_tenant();
    let shows = "an intermediate key that is bound to one pair of two";
    cases.opened("key-context", &["R8", "R9", "R11"], shows, alone(&recipe), &recipe);
    let stored = lacking(&recipe).key_object(&key_object(&recipe));
    cases.opened(
        "key-object-of-key-context",
        &["R22"],
        "the same by a key object",
        stored,
        &recipe,
    );
    let none = small().with_key_context(&[]);
    let shows = "an intermediate key that is bound to no pair";
    cases.opened("key-context-of-no-pair", &["R8", "R9"], shows, alone(&none), &none);
    let none = none.detached();
    let stored = alone(&none).key_object(&key_object(&none));
    cases.opened("detached-key-context-of-no-pair", &["R22"], "the same, detached", stored, &none);
    let wide = small()
        .with_context(&[("\u{ff01}", "1"), ("\u{1f511}", "2"), ("a", "3")])
        .with_key_context(&["\u{ff01}", "\u{1f511}"]);
    let shows = "names in the order of UTF-8, which is not that of UTF-16";
    cases.opened("key-context-order", &["R3"], shows, alone(&wide), &wide);
    let wide = wide.with_key_context(&["\u{1f511}", "\u{ff01}"]);
    let shows = "names in the order of UTF-16";
    cases.refused("malformed", "key-context-utf-16-order", &["R3"], shows, alone(&wide));
    let of_document = of_tenant().with_key_context(&["document"]);
    let neighbours = [
        Group {
            data_key: recipe.intermediate_group(Some(PLACE)).data_key,
            ..lacking_group(&of_document)
        },
        recipe.intermediate_group(Some(PLACE)),
    ];
    let shows = "neighbouring groups that differ in the names of the pairs alone";
    let two = recipe.stored(&neighbours);
    cases.opened("groups-differ-in-key-context", &["R3"], shows, two, &recipe);

    // The wrapped key is bound to the tenant; the group says something else.
    let claiming = |names: Option<&[&str]>| {
        let context = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        recipe.stored(&[Group { context, ..recipe.intermediate_group(Some(PLACE)) }])
    };
    for (name, names, shows) in [
        ("key-context-of-other-pair", Some(["document"].as_slice()), "another pair"),
        ("key-context-fewer", Some(&[]), "no pair"),
        ("key-context-more", None, "all pairs"),
    ] {
        let shows = format!("bound to one pair, and {shows} by its group");
        let shows = String::leak(shows);
        cases.refused("unwrap", name, &["R8", "R9"], shows, claiming(names));
    }
    let evil = recipe.clone().with_context(&[("document", "7"), ("tenant", "evil")]);
    let keys = Some(vec![evil.intermediate("first", BUCKET)]);
    let moved = recipe.stored(&[Group { keys, ..recipe.intermediate_group(Some(PLACE)) }]);
    let shows = "an intermediate key of another tenant";
    cases.refused("unwrap", "key-context-of-other-tenant", &["R8", "R9"], shows, moved);
    // The intermediate key is the same for both documents, the data key is not.
    let other = recipe.clone().with_context(&[("document", "8"), ("tenant", "acme")]);
    let data_key = Some(other.under_intermediate(Some(PLACE)));
    let moved = recipe.stored(&[Group { data_key, ..recipe.intermediate_group(Some(PLACE)) }]);
    let shows = "the data key of another document under the same intermediate key";
    cases.refused("unwrap", "key-context-data-key-of-other-pair", &["R11"], shows, moved);
    let of_part = {
        let context = small().inner_context(Some(PLACE), &recipe.id());
        wrap_under(&recipe.intermediate_key, &recipe.data_key, &context)
    };
    let group = Group { data_key: Some(of_part), ..recipe.intermediate_group(Some(PLACE)) };
    let shows = "a data key that is bound to the intermediate key's pairs alone";
    cases.refused("unwrap", "key-context-of-data-key", &["R11"], shows, recipe.stored(&[group]));
}

fn spelling_of_parts(cases: &mut Cases) {
    let stored = alone(&of_tenant());
    let member = "\"context\":[\"tenant\"],";
    for (name, to, shows) in [
        ("key-context-unknown-name", "\"context\":[\"other\"],", "a name that the context lacks"),
        ("key-context-name-twice", "\"context\":[\"tenant\",\"tenant\"],", "a name twice"),
        ("key-context-unsorted", "\"context\":[\"tenant\",\"document\"],", "another order"),
        ("key-context-all", "\"context\":[\"document\",\"tenant\"],", "all names"),
        ("key-context-null", "\"context\":null,", "null"),
        ("key-context-text", "\"context\":\"tenant\",", "a text"),
        ("key-context-number", "\"context\":[0],", "a number for a name"),
        ("key-context-pairs", "\"context\":{\"tenant\":\"acme\"},", "the pairs themselves"),
        ("key-context-in-capitals", "\"context\":[\"Tenant\"],", "a name in another case"),
        ("key-context-empty-name", "\"context\":[\"\"],", "an empty name"),
        ("key-context-with-blank", "\"context\":[ \"tenant\"],", "a blank between tokens"),
        ("key-context-escaped", "\"context\":[\"\\u0074enant\"],", "a needless escape"),
        (
            "key-context-member-twice",
            "\"context\":[\"tenant\"],\"context\":[\"tenant\"],",
            "a member that occurs twice",
        ),
    ] {
        cases.refused("malformed", name, &["R3"], shows, stored.clone().edit(KEYS, member, to));
    }
    let scope = "\"scope\":7,";
    let early = stored.clone().edit(KEYS, &format!("{scope}{member}"), &format!("{member}{scope}"));
    let shows = "the names before the scope";
    cases.refused("malformed", "key-context-before-scope", &["R3"], shows, early);
    let late = stored.edit(KEYS, member, "");
    let late = late.edit(KEYS, ",\"data-key\"", ",\"context\":[\"tenant\"],\"data-key\"");
    let shows = "the names after the id";
    cases.refused("malformed", "key-context-after-id", &["R3"], shows, late);
    let empty = small().with_context(&[]);
    let empty = alone(&empty).edit(KEYS, scope, "\"scope\":7,\"context\":[],");
    let shows = "no names, which are all of an empty encryption context";
    cases.refused("malformed", "key-context-of-empty-context", &["R3"], shows, empty);
    for (name, to, shows) in [
        ("key-context-without-id", "\"context\":[],\"keys\"", "names without an intermediate key"),
        ("key-context-null-without-id", "\"context\":null,\"keys\"", "the same, null"),
    ] {
        let stored = small().sealed().edit(KEYS, "\"keys\"", to);
        cases.refused("malformed", name, &["R3", "R4"], shows, stored);
    }
}

/// Each of these has the key object that would open it.
fn spelling_of_detached_groups(cases: &mut Cases) {
    let recipe = detached();
    let group = recipe.intermediate_group(Some(PLACE));
    let direct = recipe.group(Some(PLACE));
    let with = |groups: &[Group]| recipe.stored(groups).key_object(&key_object(&recipe));
    let own = std::slice::from_ref(&group);
    for (name, to, shows) in [
        ("detached-empty-keys", "\",\"keys\":[]}]", "an empty list of keys"),
        ("detached-null-keys", "\",\"keys\":null}]", "keys that are null"),
    ] {
        let stored = with(own).edit(KEYS, "\"}]", to);
        cases.refused("malformed", name, &["R3"], shows, stored);
    }
    for (name, group, shows) in [
        (
            "detached-without-data-key",
            Group { data_key: None, ..group.clone() },
            "no data key under the intermediate key",
        ),
        (
            "detached-without-id",
            Group { intermediate: None, scope: None, ..group.clone() },
            "a data key without the id of its intermediate key",
        ),
        ("detached-no-scope", Group { scope: None, ..group.clone() }, "no scope beside the place"),
        (
            "detached-without-intermediate",
            Group { keys: None, ..direct.clone() },
            "neither keys nor an intermediate key",
        ),
    ] {
        cases.refused("malformed", name, &["R4"], shows, with(&[group]));
    }
    let nothing = with(own).set(KEYS, "[{}]");
    let shows = "a group without members";
    cases.refused("malformed", "detached-no-members", &["R4"], shows, nothing);
    let shows = "a detached key before a group with keys, which opens the object";
    let first = with(&[group.clone(), direct.clone()]);
    cases.refused("malformed", "detached-first", &["R3"], shows, first);
    let shows = "two equal groups without keys";
    let twice = with(&[group.clone(), group.clone()]);
    cases.refused("malformed", "detached-equal", &["R3"], shows, twice);
    let other = recipe.clone().other_intermediate().intermediate_group(Some(PLACE));
    let shows = "two equal groups without keys, and another one between them";
    let twice = with(&[group.clone(), other, group]);
    cases.refused("malformed", "detached-equal-apart", &["R3"], shows, twice);
}

fn limits(cases: &mut Cases) {
    let recipe = detached();
    let group = recipe.intermediate_group(Some(PLACE));
    // Detached groups that differ in the data key; the last one is the true one.
    let detached = |count: u8| -> Vec<Group> {
        let other = |number| Group { data_key: Some(vec![number; 60]), ..group.clone() };
        (1..count).map(other).chain([group.clone()]).collect()
    };
    let with = |groups: &[Group]| recipe.stored(groups).key_object(&key_object(&recipe));
    let beside = |count: usize| {
        let keys = Some(vec![Key("aws-kms".into(), "k".into(), vec![0]); count]);
        with(&[Group { keys, ..recipe.group(Some(PLACE)) }, group.clone()])
    };
    let shows = "as many keys as there can be, of which one is detached";
    cases.opened("sixteen-keys-and-detached", &["R2"], shows, beside(15), &recipe);
    let shows = "sixteen keys and a detached one";
    cases.refused("malformed", "seventeen-keys-and-detached", &["R2"], shows, beside(16));
    let shows = "as many detached keys as there can be";
    cases.opened("sixteen-detached", &["R2", "R8"], shows, with(&detached(16)), &recipe);
    let shows = "a detached key too many";
    cases.refused("malformed", "seventeen-detached", &["R2"], shows, with(&detached(17)));
}

/// Key objects that the reader has no reason to read.
fn not_looked_for(cases: &mut Cases) {
    let (recipe, detached) = (small(), detached());
    let off = |recipe: &Recipe, stored: Stored| {
        stored.key_object(&key_object(recipe)).without_key_store()
    };
    let shows = "the reader's policy looks for no key objects";
    let stored = off(&recipe, lacking(&recipe));
    cases.refused("no-matching-key", "key-object-not-looked-for", &["R20"], shows, stored);
    let stored = off(&detached, alone(&detached));
    cases.refused("no-key-object", "detached-not-looked-for", &["R20"], shows, stored);
    let needless = alone(&recipe).key_object_at(key_object(&recipe).name(), "junk");
    let shows = "its own key opens it, whatever is in the key store";
    cases.opened("key-object-not-needed", &["R20"], shows, needless, &recipe);
    let shows = "a detached key whose key object is missing";
    let missing = alone(&detached);
    cases.refused("no-key-object", "detached-without-key-object", &["R20"], shows, missing);
    let mut damaged = recipe.intermediate_group(Some(PLACE));
    damaged.keys_mut()[0].2[70] ^= 1;
    let shows = "neither opens it: the failure is that of its own keys";
    let damaged = recipe.stored(&[damaged]);
    cases.refused("unwrap", "key-object-of-no-use", &["R20"], shows, damaged);

    let elsewhere = |recipe: &Recipe| {
        let stored = recipe.stored(&[recipe.intermediate_group(Some("bucket/other"))]);
        stored.key_object(&key_object(recipe))
    };
    let shows = "an object that was copied from another place, and a key object that would open it";
    cases.refused("place", "key-object-at-other-place", &["R6", "R20"], shows, elsewhere(&recipe));
    let shows = "the same with a detached key";
    cases.refused("place", "detached-at-other-place", &["R6", "R20"], shows, elsewhere(&detached));
    let mixed = [recipe.group(Some("bucket/other")), detached.intermediate_group(Some(PLACE))];
    let mixed = recipe.stored(&mixed);
    let shows = "keys for another place, and a detached key whose key object is missing";
    cases.refused("place", "detached-beside-other-place", &["R6", "R20"], shows, mixed);
    let unbound = recipe.stored(&[Group {
        keys: Some(vec![recipe.intermediate("second", None)]),
        ..recipe.intermediate_group(None)
    }]);
    let unbound = unbound.key_object(&recipe.key_object("first", None));
    let shows = "a group without a place, and a reader that asks for one";
    cases.refused("place", "key-object-without-place", &["R6", "R20"], shows, unbound);

    let theirs = alone(&detached).key_object(&detached.key_object("second", BUCKET));
    let shows = "the key object of a wrapping key that the reader does not have";
    cases.refused("no-key-object", "key-object-not-for-reader", &["R7", "R20"], shows, theirs);
    let mut of_kms = key_object(&detached);
    (of_kms.provider, of_kms.ciphertext) = ("aws-kms".into(), vec![0xa5; 184]);
    let shows = "a key object of another provider, and of the same wrapping key name";
    let theirs = alone(&detached).key_object(&of_kms);
    cases.refused("no-key-object", "key-object-of-other-provider", &["R7"], shows, theirs);
}

/// Content that would open the object in another spelling.
fn malformed(cases: &mut Cases) {
    let recipe = detached().with_context(&[("b", "é/1"), ("c", "2")]);
    let object = key_object(&recipe);
    let fine = object.content();
    let edited = |from: &str, to: &str| {
        let edited = fine.replacen(from, to, 1);
        assert_ne!(edited, fine, "{from}");
        edited
    };
    let changed = |change: &dyn Fn(&mut KeyObject)| {
        let mut object = object.clone();
        change(&mut object);
        object.content()
    };
    let (start, rest) = fine.split_at(1);
    let ciphertext = format!("\"ciphertext\":\"{}\",", base64(&object.ciphertext));
    let last = base64(&object.ciphertext).chars().last().expect("a digit");
    // For 104 bytes the last base64 digit has two unused bits, which are zero.
    let unused = char::from(u8::try_from(last).expect("ASCII") + 1);
    let id = base64url(&object.id);
    let context = r#""context":{"b":"\u00e9/1","c":"2"},"#;
    let members = fine.strip_prefix(&format!("{{{ciphertext}")).expect("its beginning");
    let values = [
        &ciphertext[13..],
        &context[10..],
        "\"v1/detached\",",
        &format!("\"{id}\",\"local\",\"bucket/\",\"first\""),
    ];
    for (name, shows, content) in [
        ("key-object-empty", "nothing", String::new()),
        ("key-object-not-json", "no JSON", fine.replacen('{', "[", 1)),
        ("key-object-a-list", "values without names", format!("[{}]", values.concat())),
        (
            "key-object-too-long",
            "longer than a reader looks",
            format!("{fine}{}", " ".repeat(LIMIT + 1 - fine.len())),
        ),
        ("key-object-with-blank", "a needless blank", format!("{start} {rest}")),
        ("key-object-with-end-of-line", "an end of line after it", format!("{fine}\n")),
        (
            "key-object-unsorted",
            "members in another order",
            format!("{{{},{}}}", members.trim_end_matches('}'), ciphertext.trim_end_matches(',')),
        ),
        ("key-object-member-twice", "a member twice", format!("{start}{ciphertext}{rest}")),
        (
            "key-object-more-members",
            "a member that is not in the table",
            edited("\"format\"", "\"extra\":\"\",\"format\""),
        ),
        ("key-object-needless-escape", "a needless escape", edited("local", "\\u006cocal")),
        ("key-object-not-escaped", "a letter that is not in ASCII", edited("\\u00e9", "é")),
        ("key-object-number", "a number for a text", edited("\"c\":\"2\"", "\"c\":2")),
        ("key-object-without-ciphertext", "no ciphertext", edited(&ciphertext, "")),
        ("key-object-without-format", "no format", edited("\"format\":\"v1/detached\",", "")),
        ("key-object-without-id", "no id", edited(&format!("\"id\":\"{id}\","), "")),
        ("key-object-without-provider", "no provider", edited("\"provider\":\"local\",", "")),
        (
            "key-object-without-wrapping-key",
            "no wrapping key",
            edited(",\"wrapping-key\":\"first\"", ""),
        ),
        ("key-object-context-unsorted", "pairs in another order", {
            edited(context, r#""context":{"c":"2","b":"\u00e9/1"},"#)
        }),
        (
            "key-object-context-name-twice",
            "a pair twice",
            edited("\"c\":\"2\"", "\"c\":\"2\",\"c\":\"2\""),
        ),
        ("key-object-padded", "padded base64", edited("\",\"context\"", "=\",\"context\"")),
        (
            "key-object-unused-bits",
            "base64 whose unused bits are not zero",
            edited(&format!("{last}\",\"context\""), &format!("{unused}\",\"context\"")),
        ),
        ("key-object-other-alphabet", "base64 of another alphabet", edited("YGFi", "-_Fi")),
        ("key-object-id-cut", "an id of 42 characters", edited(&id, &id[..42])),
        ("key-object-id-padded", "a padded id", edited(&id, &format!("{id}="))),
        (
            "key-object-no-ciphertext",
            "a ciphertext of no bytes",
            changed(&|object| object.ciphertext.clear()),
        ),
        (
            "key-object-long-ciphertext",
            "a ciphertext of 1,025 bytes",
            changed(&|object| object.ciphertext.resize(1025, 0)),
        ),
        (
            "key-object-later-format",
            "a later format",
            changed(&|object| {
                object.format = "v2/detached".into();
            }),
        ),
        (
            "key-object-of-data-key",
            "the format of a data key",
            changed(&|object| {
                object.format = "v1".into();
            }),
        ),
        (
            "key-object-scope-cut",
            "a scope without its slash",
            changed(&|object| {
                object.scope = Some("bucket".into());
            }),
        ),
        (
            "key-object-scope-empty",
            "an empty scope",
            changed(&|object| {
                object.scope = Some(String::new());
            }),
        ),
    ] {
        assert_ne!(content, fine, "{name}");
        let stored = alone(&recipe).key_object_at(object.name(), content);
        cases.refused("no-key-object", name, &["R21"], shows, stored);
    }
    let stored = alone(&recipe).key_object(&object);
    let shows = "the key object of which the cases are other spellings";
    cases.opened("key-object-in-its-spelling", &["R21"], shows, stored, &recipe);

    // Members that are absent, present as null or empty.
    let unscoped = recipe.key_object("first", None);
    let none = detached().with_context(&[]);
    let without_context = key_object(&none);
    let null = |object: &KeyObject, before: &str, member: &str| {
        let content = object.content();
        let edited = content.replacen(before, &format!("{member},{before}"), 1);
        assert_ne!(content, edited);
        edited
    };
    let content = null(&unscoped, "\"wrapping-key\"", "\"scope\":null");
    let stored = recipe.stored(&[recipe.intermediate_group(None)]).anywhere();
    let stored = stored.key_object_at(unscoped.name(), content);
    let shows = "a scope that is null";
    cases.refused("no-key-object", "key-object-null-scope", &["R21"], shows, stored);
    for (name, member, shows) in [
        ("key-object-null-context", "\"context\":null", "a context that is null"),
        ("key-object-empty-context", "\"context\":{}", "an empty context is absent"),
    ] {
        let content = null(&without_context, "\"format\"", member);
        let stored = alone(&none).key_object_at(without_context.name(), content);
        cases.refused("no-key-object", name, &["R21"], shows, stored);
    }
}

/// Genuine key objects, planted under the name that the reader looks for.
fn of_other_names(cases: &mut Cases) {
    let (attached, detached) = (small(), detached());
    type Made = fn(&Recipe) -> KeyObject;
    let planted: [(_, _, _, Made); 4] = [
        (
            "key-object-of-other-id",
            "detached-key-object-of-other-id",
            "the key object of another intermediate key",
            |recipe| key_object(&recipe.clone().other_intermediate()),
        ),
        (
            "key-object-of-other-context",
            "detached-key-object-of-other-context",
            "the key object of another encryption context",
            |recipe| key_object(&recipe.clone().with_context(&[("tenant", "evil")])),
        ),
        (
            "key-object-of-part-of-context",
            "detached-key-object-of-part-of-context",
            "a key object that is bound to no pair of the encryption context",
            |recipe| key_object(&recipe.clone().with_key_context(&[])),
        ),
        (
            "key-object-of-other-wrapping-key",
            "detached-key-object-of-other-wrapping-key",
            "the key object of another wrapping key",
            |recipe| recipe.key_object("second", BUCKET),
        ),
    ];
    for (of_attached, of_detached, shows, object) in planted {
        let at = |recipe: &Recipe, stored: Stored| {
            let (name, object) = (key_object(recipe).name(), object(recipe));
            assert_ne!(object.name(), name);
            stored.key_object_at(name, object.content())
        };
        let stored = at(&attached, lacking(&attached));
        cases.refused("no-matching-key", of_attached, &["R21", "R22"], shows, stored);
        let stored = at(&detached, alone(&detached));
        cases.refused("no-key-object", of_detached, &["R21", "R22"], shows, stored);
    }
    let renamed = alone(&detached).key_object_at(
        detached.key_object("second", BUCKET).name(),
        key_object(&detached).content(),
    );
    let shows = "the key object under the name of another wrapping key";
    cases.refused("no-key-object", "key-object-renamed", &["R20", "R21"], shows, renamed);
}

/// Genuine key objects of the same name, and of another binding than the group's.
fn of_other_bindings(cases: &mut Cases) {
    let (attached, detached) = (small(), detached());
    let deep = |recipe: &Recipe| {
        let group = recipe.scoped_group(Some(DEEP), Some(9));
        let keys = vec![recipe.intermediate("second", Some("bucket/a/"))];
        let keys = group.keys.is_some().then_some(keys);
        recipe.stored(&[Group { keys, ..group }]).at(&[DEEP])
    };
    for (of_attached, of_detached, scope, shows) in [
        (
            "key-object-of-wider-scope",
            "detached-key-object-of-wider-scope",
            Some("bucket/"),
            "a wider scope than the group's",
        ),
        (
            "key-object-of-narrower-scope",
            "detached-key-object-of-narrower-scope",
            Some("bucket/a/b/"),
            "a narrower scope than the group's",
        ),
        (
            "key-object-of-other-scope",
            "detached-key-object-of-other-scope",
            Some("other/"),
            "the scope of another bucket",
        ),
        ("key-object-of-no-scope", "detached-key-object-of-no-scope", None, "no scope"),
    ] {
        let object = |recipe: &Recipe| recipe.key_object("first", scope);
        let stored = deep(&attached).key_object(&object(&attached));
        cases.refused("no-matching-key", of_attached, &["R22"], shows, stored);
        let stored = deep(&detached).key_object(&object(&detached));
        cases.refused("no-key-object", of_detached, &["R22"], shows, stored);
    }
    let unplaced = detached.stored(&[detached.intermediate_group(None)]).anywhere();
    let unplaced = unplaced.key_object(&key_object(&detached));
    let shows = "a scope, where the group has none";
    cases.refused("no-key-object", "key-object-of-a-scope", &["R22"], shows, unplaced);
    let shows = "the key object of a detached key, for a group with keys";
    let stored = lacking(&attached).key_object(&key_object(&detached));
    cases.refused("no-matching-key", "key-object-of-detached-key", &["R22"], shows, stored);
    let shows = "the key object of a key that is not detached, for a group without keys";
    let stored = alone(&detached).key_object(&key_object(&attached));
    cases.refused("no-key-object", "detached-key-object-not-detached", &["R22"], shows, stored);
}

/// Key objects whose content says what the reader looks for.
fn forged(cases: &mut Cases) {
    let recipe = detached();
    let with = |ciphertext: Vec<u8>| {
        alone(&recipe).key_object(&KeyObject { ciphertext, ..key_object(&recipe) })
    };
    let wrapped = |recipe: &Recipe, scope: Option<&str>| recipe.intermediate("first", scope).2;
    let evil = recipe.clone().with_context(&[("tenant", "evil")]);
    let other_r = Recipe { r: counting(0x10), ..recipe.clone() };
    let (mut damaged, mut cut) = (wrapped(&recipe, BUCKET), wrapped(&recipe, BUCKET));
    damaged[70] ^= 1;
    cut.pop();
    for (name, shows, ciphertext) in [
        (
            "key-object-claims-id",
            "a genuine wrapped key of another intermediate key",
            wrapped(&recipe.clone().other_intermediate(), BUCKET),
        ),
        (
            "key-object-claims-r",
            "the intermediate key, wrapped for another r",
            wrapped(&other_r, BUCKET),
        ),
        (
            "key-object-claims-context",
            "a wrapped key of another encryption context",
            wrapped(&evil, BUCKET),
        ),
        (
            "key-object-claims-scope",
            "a wrapped key of another scope",
            wrapped(&recipe, Some("bucket/a/")),
        ),
        ("key-object-claims-a-scope", "a wrapped key without a scope", wrapped(&recipe, None)),
        (
            "key-object-claims-detached",
            "the wrapped key of an intermediate key that is not detached",
            wrapped(&small(), BUCKET),
        ),
        (
            "key-object-claims-wrapping-key",
            "a wrapped key under another wrapping key",
            recipe.intermediate("second", BUCKET).2,
        ),
        (
            "key-object-of-wrapped-data-key",
            "the wrapped data key of the object",
            recipe.key("first", Some(PLACE)).2,
        ),
        ("key-object-damaged", "a bit of the ciphertext", damaged),
        ("key-object-cut", "a ciphertext that lacks a byte", cut),
    ] {
        cases.refused("unwrap", name, &["R8", "R9", "R23"], shows, with(ciphertext));
    }
    // Whoever planted this key object also wrapped the data key, for this id.
    let made = made_for_same_r(&recipe);
    let context = recipe.inner_context(Some(PLACE), &recipe.id());
    let data_key = Some(wrap_under(&made.intermediate_key, &recipe.data_key, &context));
    let group = Group { data_key, ..recipe.intermediate_group(Some(PLACE)) };
    let object = KeyObject { ciphertext: wrapped(&made, BUCKET), ..key_object(&recipe) };
    let stored = recipe.stored(&[group]).key_object(&object);
    let shows = "another intermediate key, wrapped for this context, scope and r";
    cases.refused("unwrap", "key-object-claims-c", &["R9", "R23"], shows, stored);
    let made = recipe.clone().other_data_key();
    let stored = recipe.stored(&[made.intermediate_group(Some(PLACE))]);
    let stored = stored.key_object(&key_object(&recipe));
    let shows = "another data key, which a holder of the intermediate key wrapped for this body";
    cases.refused("commitment", "key-object-data-key-made", &["R12", "R23"], shows, stored);
    let other = recipe.clone().other();
    let stored = recipe.stored(&[other.intermediate_group(Some(PLACE))]);
    let stored = stored.key_object(&key_object(&recipe));
    let shows = "the data key of another object under the same detached key";
    cases.refused("unwrap", "detached-data-key-of-other-object", &["R11"], shows, stored);

    // The same beside the true one: another group of the object names it.
    let other = recipe.clone().other().other_intermediate();
    let groups = [other.intermediate_group(Some(PLACE)), recipe.intermediate_group(Some(PLACE))];
    let stored = recipe.stored(&groups);
    let stored = stored.key_object(&key_object(&other)).key_object(&key_object(&recipe));
    let shows = "a genuine group and key object of another object before the true ones";
    cases.opened("key-object-of-other-object-planted", &["R8", "R23"], shows, stored, &recipe);
}

/// Wrapped keys that an attacker moves from the key store into the object, or back.
fn moved_between_object_and_store(cases: &mut Cases) {
    let (attached, detached) = (small(), detached());
    let keys = Some(vec![detached.intermediate("first", BUCKET)]);
    let moved = detached.stored(&[Group { keys, ..detached.intermediate_group(Some(PLACE)) }]);
    let shows = "the wrapped key of a detached key in the object itself";
    cases.refused("unwrap", "detached-key-in-object", &["R9"], shows, moved.clone());
    let shows = "the same, with the key object that it was taken from";
    let moved = moved.key_object(&key_object(&detached));
    cases.refused("unwrap", "detached-key-in-object-and-store", &["R9", "R22"], shows, moved);
    let removed = Group { keys: None, ..attached.intermediate_group(Some(PLACE)) };
    let removed = attached.stored(&[removed]);
    let shows = "a group whose keys were removed, and the key object of its intermediate key";
    let stored = removed.clone().key_object(&key_object(&attached));
    cases.refused("no-key-object", "keys-removed-from-group", &["R22"], shows, stored);
    let format = "v1/detached".into();
    let stored = removed.key_object(&KeyObject { format, ..key_object(&attached) });
    let shows = "the same, and the key object claims to be of a detached key";
    cases.refused("unwrap", "keys-removed-and-claimed", &["R9", "R23"], shows, stored);
    let format = "v1/intermediate".into();
    let object = KeyObject { format, ..key_object(&detached) };
    let stored = lacking(&attached).key_object(&object);
    let shows = "a detached key's key object that claims to be of another kind";
    cases.refused("no-matching-key", "key-object-claims-not-detached", &["R9"], shows, stored);
    let sidecar = detached.stored(&[Group {
        keys: Some(vec![detached.intermediate("first", BUCKET)]),
        ..detached.intermediate_group(Some(PLACE))
    }]);
    let stored = alone(&detached).beside(sidecar.set(GENERATION, "2").to_sidecar());
    let shows = "the wrapped key of a detached key in a sidecar";
    cases.refused("no-key-object", "detached-key-in-sidecar", &["R9", "R19"], shows, stored);
}
