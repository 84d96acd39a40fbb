//! The test vectors: stored objects and the expected result of reading them.

mod intermediate_keys;
mod key_store;
mod sidecars;
mod wrapped_keys;

use crate::construct::{
    CHUNK, Group, Key, PLACE, Recipe, SEALED_CHUNK, Stored, base64, base64url, body_context,
    context, counting, data_key_wrapping_key, derive, intermediate_id, json_context, message,
    plaintext, seal, sealed_chunk, wrap, wrap_context, wrap_under,
};

const CONTEXT: &str = "sealwax-context";
const FORMAT: &str = "sealwax-format";
const GENERATION: &str = "sealwax-generation";
const HEADER: &str = "sealwax-header";
const KEYS: &str = "sealwax-keys";
const LENGTH: &str = "sealwax-length";
const MISSING: &str = "sealwax-missing";

const HEADER_LEN: usize = 56;

/// One vector.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) musts: &'static [&'static str],
    pub(crate) shows: &'static str,
    pub(crate) stored: Stored,
    pub(crate) expect: String,
    pub(crate) released: Vec<u8>,
}

#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn add(
        &mut self,
        name: &'static str,
        musts: &'static [&'static str],
        shows: &'static str,
        stored: Stored,
        outcome: (impl Into<String>, Vec<u8>),
    ) {
        self.0.push(Case {
            name,
            musts,
            shows,
            stored,
            expect: outcome.0.into(),
            released: outcome.1,
        });
    }

    fn opened(
        &mut self,
        name: &'static str,
        musts: &'static [&'static str],
        shows: &'static str,
        stored: Stored,
        recipe: &Recipe,
    ) {
        self.add(name, musts, shows, stored, ("opened", recipe.plaintext.clone()));
    }

    /// Adds a case that is rejected before any byte is released.
    fn refused(
        &mut self,
        failure: &str,
        name: &'static str,
        musts: &'static [&'static str],
        shows: &'static str,
        stored: Stored,
    ) {
        self.add(name, musts, shows, stored, (failure, Vec::new()));
    }
}

/// Returns all vectors.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Cases::default();
    opened(&mut cases);
    format(&mut cases);
    limits(&mut cases);
    spelling_of_context(&mut cases);
    spelling_of_keys(&mut cases);
    spelling_of_the_rest(&mut cases);
    lengths(&mut cases);
    places(&mut cases);
    wrapped_keys::all(&mut cases);
    intermediate_keys::all(&mut cases);
    commitment_and_header(&mut cases);
    chunks(&mut cases);
    sidecars::all(&mut cases);
    key_store::all(&mut cases);
    cases.0
}

pub(crate) fn small() -> Recipe {
    Recipe::new("Sealwax\n")
}

/// Two whole chunks and five bytes.
fn three_chunks() -> Recipe {
    Recipe::new(plaintext(2 * CHUNK + 5))
}

fn kms_key(region: &str) -> Key {
    let arn = format!("arn:aws:kms:{region}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab");
    Key("aws-kms".into(), arn, vec![0xa5; 184])
}

fn opened(cases: &mut Cases) {
    let recipe = small();
    cases.opened("small-object", &["R12", "R14"], "a small object", recipe.sealed(), &recipe);
    let under = recipe.stored(&[recipe.intermediate_group(Some(PLACE))]);
    cases.opened(
        "intermediate-key",
        &["R9", "R11"],
        "a data key under an intermediate key",
        under,
        &recipe,
    );

    let empty = Recipe::new("").with_context(&[]);
    cases.opened(
        "empty",
        &["R5"],
        "an empty plaintext, and an empty encryption context",
        empty.sealed(),
        &empty,
    );
    let almost = Recipe::new(plaintext(CHUNK - 1));
    cases.opened(
        "one-chunk",
        &["R5"],
        "the longest plaintext of one chunk",
        almost.sealed(),
        &almost,
    );
    let whole = Recipe::new(plaintext(CHUNK));
    cases.opened(
        "whole-chunk",
        &["R5"],
        "a whole chunk is followed by an empty one",
        whole.sealed(),
        &whole,
    );
    let three = three_chunks();
    cases.opened(
        "three-chunks",
        &["R14"],
        "two whole chunks, and a short one",
        three.sealed(),
        &three,
    );
    let unknown = three.sealed().without(LENGTH);
    cases.opened(
        "length-unknown",
        &["R5"],
        "the length was unknown when the upload began",
        unknown,
        &three,
    );

    let missing = recipe
        .sealed()
        .set(MISSING, r#"[["aws-kms","arn:aws:kms:us-west-2:111122223333:key/1234"]]"#);
    cases.opened("missing", &["R3"], "a wrap that is still missing", missing, &recipe);

    let wide = small().with_context(&[
        ("\u{ff01}", "é\u{7f}"),
        ("\u{1f511}", "\"\\/\u{8}\t\n\u{c}\r\u{1}"),
        ("a", ""),
    ]);
    let shows = "a context with all kinds of escapes; its names in the order of UTF-8, which is not that of UTF-16";
    cases.opened("context-escapes", &["R3", "R12"], shows, wide.sealed(), &wide);

    let mut capitals =
        recipe.sealed().set("mine", "é, as some stores return it").set("x-sealwax", "mine too");
    capitals.metadata = capitals
        .metadata
        .into_iter()
        .map(|(name, value)| {
            (if name.starts_with("sealwax") { name.to_uppercase() } else { name }, value)
        })
        .collect();
    cases.opened(
        "names-in-capitals",
        &["R3"],
        "names in capitals, beside the user's own metadata",
        capitals,
        &recipe,
    );

    let keys = vec![
        kms_key("us-east-1"),
        recipe.key("second", Some(PLACE)),
        recipe.key("first", Some(PLACE)),
    ];
    let several = recipe.stored(&[Group { keys: Some(keys), ..recipe.group(Some(PLACE)) }]);
    cases.opened(
        "third-key",
        &["R7"],
        "only the third key is one that the reader may use",
        several,
        &recipe,
    );

    let mut damaged = recipe.key("first", Some(PLACE));
    damaged.2[70] ^= 1;
    let keys = vec![damaged, recipe.key("first", Some(PLACE))];
    let damaged = recipe.stored(&[Group { keys: Some(keys), ..recipe.group(Some(PLACE)) }]);
    cases.opened(
        "first-wrap-damaged",
        &["R8"],
        "one wrap is damaged, another one opens",
        damaged,
        &recipe,
    );

    let groups = [
        recipe.group(Some("old/key")),
        recipe.intermediate_group(Some("other/key")),
        recipe.group(None),
    ];
    let [old, other, unbound] = groups;
    let mixed = [old, other, recipe.intermediate_group(Some(PLACE)), unbound];
    let shows = "four groups of keys, of which one is bound to the object's place";
    cases.opened("four-groups", &["R3", "R6"], shows, recipe.stored(&mixed), &recipe);

    let mut group = recipe.intermediate_group(Some(PLACE));
    group.keys_mut().insert(0, kms_key("us-east-1"));
    let shows = "an intermediate key wrapped twice, once by a wrapping key of the reader";
    cases.opened(
        "intermediate-key-wrapped-twice",
        &["R7", "R9"],
        shows,
        recipe.stored(&[group]),
        &recipe,
    );

    let replica =
        recipe.stored(&[recipe.group(Some("source/key"))]).at(&["replica/key", "source/key"]);
    cases.opened(
        "accepted-place",
        &["R6"],
        "a replica, whose reader accepts the source's place",
        replica,
        &recipe,
    );
    let unbound = recipe.stored(&[recipe.group(None)]).anywhere();
    cases.opened(
        "unbound",
        &["R6"],
        "a key without a place, and a reader that asks for none",
        unbound,
        &recipe,
    );
    let unbound = recipe.stored(&[recipe.intermediate_group(None)]).anywhere();
    let shows =
        "a data key without a place under an intermediate key, and a reader that asks for none";
    cases.opened("intermediate-key-unbound", &["R4", "R6", "R9"], shows, unbound, &recipe);

    let salt = [0xfb, 0xef, 0xbf].repeat(8).try_into().expect("24 bytes");
    let marked = Recipe { salt, ..small() };
    let shows = "a salt of which all characters differ between base64 and base64url";
    cases.opened("salt-of-marks", &["R8"], shows, marked.sealed(), &marked);
}

fn format(cases: &mut Cases) {
    let recipe = small();
    let mut plain = recipe.sealed();
    plain.metadata = context(&[("mine", "value"), ("x-sealwax-format", "v1+Cobblestone-256")]);
    cases.refused(
        "not-sealed",
        "not-sealed",
        &["R1"],
        "an object with the user's own metadata alone",
        plain,
    );
    let mut shredded = recipe.sealed();
    shredded.metadata = context(&[("sealwax-shredded", "2026-11-25T00:00:00Z")]);
    cases.refused(
        "not-sealed",
        "shredded",
        &["R1"],
        "an object whose last key was removed",
        shredded,
    );
    let stripped = recipe.sealed().without(FORMAT).set("sealwax-unknown", "x");
    cases.refused(
        "malformed",
        "without-format",
        &["R1"],
        "Sealwax's metadata without its format",
        stripped,
    );
    for (name, value, shows) in [
        ("later-version", "v2+Cobblestone-256", "a later version"),
        ("other-suite", "v1+Cobblestone-128", "another suite"),
        ("format-in-other-case", "V1+Cobblestone-256", "a value that differs in case"),
    ] {
        let other = recipe.sealed().set(FORMAT, value).without(KEYS).set("sealwax-unknown", "x");
        cases.refused("unsupported", name, &["R1"], shows, other);
    }
}

fn many_pairs(count: usize) -> Recipe {
    let context = (0..count).map(|n| (format!("name-{n}"), n.to_string())).collect();
    Recipe { context, ..small() }
}

/// Metadata of `total` bytes, padded with KMS keys.
fn metadata_of(total: usize) -> Stored {
    let recipe = small();
    let len = |stored: &Stored| {
        stored.metadata.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    };
    let mut group = recipe.group(Some(PLACE));
    let filler =
        |name: usize, wrap: usize| Key("aws-kms".into(), "k".repeat(name), vec![0xa5; wrap]);
    group.keys_mut().extend((0..5).map(|_| filler(1, 1024)));
    for wrap in 1..=1024 {
        let mut group = group.clone();
        group.keys_mut().push(filler(1, wrap));
        let missing = total - len(&recipe.stored(&[group.clone()])).min(total);
        if missing < 256 {
            group.keys_mut().pop();
            group.keys_mut().push(filler(1 + missing, wrap));
            let stored = recipe.stored(&[group]);
            assert_eq!(len(&stored), total);
            return stored;
        }
    }
    unreachable!("some length of the last key fits");
}

fn limits(cases: &mut Cases) {
    let recipe = small();
    let with_key = |key: Key| {
        let keys = vec![key, recipe.key("first", Some(PLACE))];
        recipe.stored(&[Group { keys: Some(keys), ..recipe.group(Some(PLACE)) }])
    };
    let key = |provider: usize, name: usize, wrap: usize| {
        with_key(Key("p".repeat(provider), "k".repeat(name), vec![0xa5; wrap]))
    };
    let shows = "a provider, a wrapping key and a ciphertext of the greatest length";
    cases.opened("longest-key", &["R2"], shows, key(32, 256, 1024), &recipe);
    let shows = "a provider, a wrapping key and a ciphertext of one byte";
    cases.opened("shortest-key", &["R2"], shows, key(1, 1, 1), &recipe);
    let punctuation = Key("0-z-9".into(), " !#$%&'()*+,-./:;<=>?@[]^_`{|}~".into(), vec![0]);
    cases.opened(
        "key-of-all-characters",
        &["R2"],
        "every kind of character",
        with_key(punctuation),
        &recipe,
    );
    for (name, stored, shows) in [
        ("provider-too-long", key(33, 1, 1), "a provider of 33 bytes"),
        ("provider-empty", key(0, 1, 1), "a provider without a name"),
        ("wrapping-key-too-long", key(1, 257, 1), "a wrapping key's name of 257 bytes"),
        ("wrapping-key-empty", key(1, 0, 1), "a wrapping key without a name"),
        ("ciphertext-too-long", key(1, 1, 1025), "an encrypted data key of 1,025 bytes"),
        ("ciphertext-empty", key(1, 1, 0), "an encrypted data key of no bytes"),
        (
            "provider-in-capitals",
            with_key(Key("P".into(), "k".into(), vec![0])),
            "a provider in capitals",
        ),
        (
            "wrapping-key-quoted",
            with_key(Key("p".into(), "\"".into(), vec![0])),
            "a wrapping key named by a quote",
        ),
        (
            "wrapping-key-not-ascii",
            with_key(Key("p".into(), "é".into(), vec![0])),
            "a wrapping key not in ASCII",
        ),
    ] {
        cases.refused("malformed", name, &["R2"], shows, stored);
    }

    let many = |count: usize| {
        let mut group = recipe.group(Some(PLACE));
        let mut groups = vec![Group { place: Some("old/key".into()), ..group.clone() }];
        groups[0].keys = Some(vec![Key("aws-kms".into(), "k".into(), vec![0]); 8]);
        group.keys_mut().extend(vec![Key("aws-kms".into(), "k".into(), vec![0]); count - 9]);
        groups.push(group);
        recipe.stored(&groups)
    };
    cases.opened("sixteen-keys", &["R2"], "as many keys as there can be", many(16), &recipe);
    cases.refused(
        "malformed",
        "seventeen-keys",
        &["R2"],
        "a key too many, in two groups",
        many(17),
    );
    cases.refused(
        "malformed",
        "no-keys",
        &["R2"],
        "no key at all",
        recipe.sealed().set(KEYS, "[]"),
    );

    let place =
        |len: usize| format!("bucket/{}", "é".repeat((len - 7) / 2) + &"k".repeat((len - 7) % 2));
    let at = |place: &str| recipe.stored(&[recipe.group(Some(place))]).at(&[place]);
    cases.opened(
        "longest-place",
        &["R2"],
        "a place of 1,280 bytes, though of fewer letters",
        at(&place(1280)),
        &recipe,
    );
    cases.refused(
        "malformed",
        "place-too-long",
        &["R2"],
        "a place of 1,281 bytes",
        at(&place(1281)),
    );
    cases.refused("malformed", "place-empty", &["R2"], "a place of no bytes", at(""));

    let most = many_pairs(64);
    cases.opened(
        "sixty-four-pairs",
        &["R2"],
        "as many pairs of context as there can be",
        most.sealed(),
        &most,
    );
    cases.refused(
        "malformed",
        "sixty-five-pairs",
        &["R2"],
        "a pair too many",
        many_pairs(65).sealed(),
    );

    let full = metadata_of(8192).set("mine", "not counted");
    cases.opened("metadata-8192", &["R2"], "as much metadata as is read", full, &recipe);
    cases.refused("malformed", "metadata-8193", &["R2"], "a byte too many", metadata_of(8193));
    let flood = recipe.sealed().set("sealwax-unknown", "x".repeat(8192)).without(FORMAT);
    cases.refused(
        "malformed",
        "metadata-flood",
        &["R1", "R2"],
        "the limit comes before the format",
        flood,
    );
    let nested = recipe.sealed().set(KEYS, "[".repeat(7000));
    cases.refused("malformed", "keys-nested", &["R2", "R3"], "lists in lists", nested);

    for (name, len, shows) in
        [("data-key-too-short", 59, "59 bytes"), ("data-key-too-long", 61, "61 bytes")]
    {
        let mut group = recipe.intermediate_group(Some(PLACE));
        group.data_key = Some(vec![0xa5; len]);
        cases.refused("malformed", name, &["R2"], shows, recipe.stored(&[group]));
    }
}

fn spelling_of_context(cases: &mut Cases) {
    let recipe = small().with_context(&[("a", "é/1"), ("b", "2")]);
    for (name, json, shows) in [
        ("context-with-blanks", r#"{"a":"\u00e9/1", "b":"2"}"#, "a blank between tokens"),
        ("context-unsorted", r#"{"b":"2","a":"\u00e9/1"}"#, "names in another order"),
        (
            "context-name-twice",
            r#"{"a":"\u00e9/1","a":"\u00e9/1","b":"2"}"#,
            "a name that occurs twice",
        ),
        ("context-hex-in-capitals", r#"{"a":"\u00E9/1","b":"2"}"#, "an escape in capitals"),
        (
            "context-needless-escape",
            r#"{"a":"\u00e9/\u0031","b":"2"}"#,
            "an escape that nothing asks for",
        ),
        ("context-escaped-slash", r#"{"a":"\u00e9\/1","b":"2"}"#, "an escaped slash"),
        ("context-not-escaped", r#"{"a":"é/1","b":"2"}"#, "a letter that is not in ASCII"),
        ("context-not-text", r#"{"a":"\u00e9/1","b":2}"#, "a number for a value"),
        ("context-a-list", r#"["a","b"]"#, "a list"),
        ("context-not-json", "a=1", "no JSON"),
        ("context-lone-surrogate", r#"{"a":"\ud83d","b":"2"}"#, "half of a character"),
    ] {
        cases.refused("malformed", name, &["R3"], shows, recipe.sealed().set(CONTEXT, json));
    }
    let order = "names in the order of UTF-16";
    let unsorted = small().with_context(&[("\u{ff01}", ""), ("\u{1f511}", "")]).sealed();
    let unsorted = unsorted.set(CONTEXT, r#"{"\ud83d\udd11":"","\uff01":""}"#);
    cases.refused("malformed", "context-utf-16-order", &["R3"], order, unsorted);
    for (name, reserved, shows) in [
        ("context-name-empty", "", "an empty name"),
        ("context-name-of-ours", "sealwax:place", "a name that the wrap context reserves"),
        ("context-name-of-aws", "aws:s3:arn", "a name that AWS reserves"),
        (
            "context-name-of-aws-crypto",
            "aws-crypto-public-key",
            "a name that AWS's encryption clients reserve",
        ),
        ("context-name-of-ours-in-capitals", "Sealwax:place", "the same, with a capital"),
        ("context-name-of-aws-in-capitals", "AWS:x", "the same, in capitals"),
    ] {
        cases.refused(
            "malformed",
            name,
            &["R3"],
            shows,
            small().with_context(&[(reserved, "bucket/key")]).sealed(),
        );
    }
    let twice = small().with_context(&[("Tenant", "evil"), ("tenant", "acme")]).sealed();
    let shows = "two names that differ in case, which are one condition key of IAM";
    cases.refused("malformed", "context-names-differ-in-case", &["R3"], shows, twice);
    let empty = small().with_context(&[]).sealed().set(CONTEXT, "{}");
    cases.refused("malformed", "context-empty", &["R3"], "an empty context is absent", empty);
}

fn spelling_of_keys(cases: &mut Cases) {
    let recipe = small();
    let sealed = recipe.sealed();
    let wrap = &sealed.metadata[KEYS].clone();
    let ciphertext = wrap.rsplit('"').nth(1).expect("a ciphertext");
    let last = ciphertext.chars().last().expect("a digit");
    // For 104 bytes the last base64 digit has two unused bits, which are zero.
    let unused = char::from(u8::try_from(last).expect("ASCII") + 1);
    for (name, from, to, shows) in [
        ("keys-with-blanks", "[{", "[ {", "a blank between tokens"),
        ("keys-padded", "\"]]", "=\"]]", "padded base64"),
        (
            "keys-unused-bits",
            &format!("{last}\"]]"),
            &format!("{unused}\"]]"),
            "base64 whose unused bits are not zero",
        ),
        ("keys-base64-length", "\"]]", "AA\"]]", "base64 of a length that it never has"),
        ("keys-other-alphabet", "YGFi", "-_Fi", "base64 of another alphabet"),
        ("keys-more-members", "]]}", "]],\"more\":1}", "a member that is not in the table"),
        ("keys-more-parts", "\"]]", "\",\"\"]]", "a key of four parts"),
        ("keys-fewer-parts", "\"local\",", "", "a key of two parts"),
        ("keys-null-place", "\"bucket/key\"", "null", "a place that is null"),
        ("keys-null-scope", "\"keys\"", "\"scope\":null,\"keys\"", "a scope that is null"),
        (
            "keys-null-intermediate",
            "\"keys\"",
            "\"intermediate\":null,\"data-key\":null,\"keys\"",
            "an id and a data key that are null",
        ),
        ("keys-null-data-key", "\"keys\"", "\"data-key\":null,\"keys\"", "a data key that is null"),
        (
            "keys-member-twice",
            "\"place\":\"bucket/key\",",
            "\"place\":\"bucket/key\",\"place\":\"bucket/key\",",
            "a member that occurs twice",
        ),
        (
            "keys-empty-group",
            "}]",
            "},{\"place\":\"other/key\",\"keys\":[]}]",
            "a group without keys",
        ),
    ] {
        cases.refused("malformed", name, &["R3"], shows, sealed.clone().edit(KEYS, from, to));
    }
    let (place, keys) = wrap[2..wrap.len() - 2].split_once(',').expect("two members");
    let swapped = sealed.clone().set(KEYS, format!("[{{{keys},{place}}}]"));
    cases.refused(
        "malformed",
        "keys-members-swapped",
        &["R3"],
        "members in another order",
        swapped,
    );
    let object = sealed.set(KEYS, &wrap[1..wrap.len() - 1]);
    cases.refused("malformed", "keys-not-a-list", &["R3"], "a group that is in no list", object);
    let values = wrap.replace("{\"place\":", "[").replace(",\"keys\":", ",null,").replace('}', "]");
    let list = recipe.sealed().set(KEYS, values);
    cases.refused(
        "malformed",
        "keys-group-a-list",
        &["R3"],
        "a group without names for its members",
        list,
    );
    let twice = recipe.stored(&[recipe.group(Some(PLACE)), recipe.group(Some(PLACE))]);
    cases.refused(
        "malformed",
        "keys-same-place",
        &["R3"],
        "neighbouring groups of one place",
        twice,
    );
    let twice = recipe
        .stored(&[recipe.intermediate_group(Some(PLACE)), recipe.intermediate_group(Some(PLACE))]);
    cases.refused(
        "malformed",
        "keys-same-group",
        &["R3"],
        "neighbouring groups of one place, scope, id and data key",
        twice,
    );
    let surrogate = recipe.sealed().edit(KEYS, "bucket/key", "bucket/\\udd11");
    cases.refused("malformed", "place-lone-surrogate", &["R3"], "half of a character", surrogate);
}

fn spelling_of_the_rest(cases: &mut Cases) {
    let sealed = small().sealed();
    let unknown = sealed.clone().set("sealwax-more", "x");
    cases.refused(
        "malformed",
        "name-unknown",
        &["R3"],
        "a name of ours that is not in the table",
        unknown,
    );
    let unknown = sealed.clone().set("SealWaxes", "x");
    cases.refused("malformed", "name-reserved", &["R3"], "a name that begins as ours do", unknown);
    let kelvin =
        sealed.clone().without(KEYS).set("sealwax-\u{212a}eys", sealed.metadata[KEYS].clone());
    let shows = "the Kelvin sign, which is a small k to Unicode, in a name";
    cases.refused("malformed", "name-not-ascii", &["R3"], shows, kelvin);
    let twice = sealed.clone().set("Sealwax-Keys", sealed.metadata[KEYS].clone());
    cases.refused(
        "malformed",
        "name-twice",
        &["R3"],
        "a name that occurs twice, in two cases",
        twice,
    );
    for (name, gone, shows) in [
        ("without-keys", KEYS, "no keys"),
        ("without-generation", GENERATION, "no generation"),
        ("without-header", HEADER, "no header"),
    ] {
        cases.refused("malformed", name, &["R3"], shows, sealed.clone().without(gone));
    }
    for (name, field, value, shows) in [
        ("generation-zero", GENERATION, "0", "there is no generation 0"),
        ("generation-leading-zero", GENERATION, "01", "a leading zero"),
        ("generation-signed", GENERATION, "+1", "a sign"),
        ("generation-too-great", GENERATION, "4294967296", "2^32"),
        ("length-leading-zero", LENGTH, "08", "a leading zero"),
        ("length-negative", LENGTH, "-8", "a sign"),
        ("length-blank", LENGTH, " 8", "a blank"),
        ("length-other-digits", LENGTH, "\u{0668}", "digits that are not in ASCII"),
        ("length-too-great", LENGTH, "18446744073709551616", "2^64"),
    ] {
        cases.refused("malformed", name, &["R2", "R3"], shows, sealed.clone().set(field, value));
    }
    let many = format!("[{}]", vec![r#"["aws-kms","arn"]"#; 17].join(","));
    for (name, value, shows) in [
        ("missing-none", "[]", "a list of no missing wraps, which is left out"),
        ("missing-blank", r#"[["aws-kms", "arn"]]"#, "a blank between tokens"),
        ("missing-present", r#"[["local","first"]]"#, "a wrap that is there is called missing"),
        ("missing-provider", r#"[["AWS","arn"]]"#, "a provider in capitals"),
        ("missing-wrapping-key", r#"[["aws-kms",""]]"#, "a wrapping key without a name"),
        ("missing-ciphertext", r#"[["aws-kms","arn","AA"]]"#, "a missing wrap with a ciphertext"),
        ("missing-object", r#"{"aws-kms":"arn"}"#, "an object in place of a list"),
        ("missing-too-many", many.as_str(), "17 missing wraps"),
    ] {
        cases.refused("malformed", name, &["R2", "R3"], shows, sealed.clone().set(MISSING, value));
    }
    let recipe = small();
    let last = sealed.clone().set(GENERATION, "4294967295");
    cases.opened("last-generation", &["R2"], "2^32 - 1", last, &recipe);
    let header = &sealed.metadata[HEADER];
    let shorter = sealed.clone().set(HEADER, base64(&sealed.body[..55]));
    cases.refused("malformed", "header-too-short", &["R3"], "55 bytes", shorter);
    let longer = sealed.clone().set(HEADER, base64(&sealed.body[..57]));
    cases.refused("malformed", "header-too-long", &["R3"], "57 bytes", longer);
    let padded = sealed.clone().set(HEADER, format!("{header}="));
    cases.refused("malformed", "header-padded", &["R3"], "padded base64", padded);
}

fn lengths(cases: &mut Cases) {
    let recipe = small();
    for (name, len, shows) in [
        ("body-empty", 0, "no body"),
        ("body-without-chunk", HEADER_LEN, "a header without a chunk"),
        ("body-too-short", HEADER_LEN + 15, "a chunk without a whole tag"),
    ] {
        let cut = recipe.sealed().without(LENGTH).body(|body| body.truncate(len));
        cases.refused("length", name, &["R5"], shows, cut);
    }
    let whole = Recipe::new(plaintext(CHUNK));
    for (name, rest, shows) in [
        ("cut-at-chunk", 0, "the empty last chunk is missing"),
        ("cut-in-last-tag", 15, "the empty last chunk lacks a byte"),
    ] {
        let cut = whole
            .sealed()
            .without(LENGTH)
            .body(|body| body.truncate(HEADER_LEN + SEALED_CHUNK + rest));
        cases.refused("length", name, &["R5"], shows, cut);
    }
    let cut = three_chunks().sealed().body(|body| body.truncate(HEADER_LEN + SEALED_CHUNK + 1000));
    cases.refused(
        "length",
        "body-shorter-than-told",
        &["R5"],
        "the body is shorter than its metadata says",
        cut,
    );
    let longer = recipe.sealed().body(|body| body.extend([0; 16]));
    cases.refused(
        "length",
        "body-longer-than-told",
        &["R5"],
        "the body is longer than its metadata says",
        longer,
    );
    let told = recipe.sealed().set(LENGTH, "18446744073709551615");
    cases.refused(
        "length",
        "greatest-length-told",
        &["R2", "R5"],
        "2^64 - 1 is a number, and not the length",
        told,
    );
    // The reader has no wrapping key here: it compares the length before it calls a keyring.
    let first = recipe
        .stored(&[Group { keys: Some(vec![kms_key("us-east-1")]), ..recipe.group(None) }])
        .set(LENGTH, "9");
    cases.refused(
        "length",
        "length-comes-first",
        &["R5"],
        "lengths are compared before keys are looked at",
        first,
    );
}

fn places(cases: &mut Cases) {
    let recipe = small();
    let other = recipe.stored(&[recipe.group(Some("bucket/other"))]);
    cases.refused(
        "place",
        "other-place",
        &["R6"],
        "an object that was copied from another place",
        other,
    );
    let other = recipe.stored(&[recipe.intermediate_group(Some("bucket/other"))]);
    let shows = "as other-place, with an intermediate key";
    cases.refused("place", "other-place-intermediate", &["R6"], shows, other);
    let case = recipe.stored(&[recipe.group(Some("bucket/KEY"))]);
    cases.refused("place", "place-in-capitals", &["R6"], "places differ in case", case);
    let unbound = recipe.stored(&[recipe.group(None)]);
    cases.refused(
        "place",
        "no-place",
        &["R6"],
        "a key without a place, and a reader that asks for one",
        unbound,
    );
    let mut broken = recipe.group(Some(PLACE));
    broken.keys_mut()[0].2[103] ^= 1;
    let broken = recipe.stored(&[recipe.group(Some("bucket/other")), broken]);
    let shows = "the key of the reader's place is damaged; that of another place is not for it";
    cases.refused("unwrap", "other-place-is-whole", &["R6", "R8"], shows, broken);
}

fn commitment_and_header(cases: &mut Cases) {
    let recipe = small();
    let other = recipe.clone().other();
    // Somebody who may call GenerateDataKey made this, for the context, place and salt of the victim.
    let made = recipe.clone().other_data_key();
    let shows = "another data key, wrapped for this context, place and salt";
    let planted = recipe.stored(&[made.group(Some(PLACE))]);
    cases.refused("commitment", "other-data-key", &["R12"], shows, planted);
    let salt = |stored: Stored| stored.body(|body| body[0] ^= 1).header_of_body();
    let shows = "a bit of the salt, in body and metadata";
    cases.refused("unwrap", "salt-changed", &["R8"], shows, salt(recipe.sealed()));
    let mut changed = recipe.clone();
    changed.salt[0] ^= 1;
    let shows = "a bit of the salt, in body and metadata, for which the data key was wrapped again";
    let rewrapped = salt(recipe.stored(&[changed.group(Some(PLACE))]));
    cases.refused("commitment", "salt-changed-and-wrapped", &["R12"], shows, rewrapped);
    let commitment = recipe.sealed().body(|body| body[55] ^= 1).header_of_body();
    cases.refused(
        "commitment",
        "commitment-changed",
        &["R12"],
        "a bit of the commitment, in both",
        commitment,
    );
    let derived = derive(&other.data_key, &recipe.salt, &body_context(&recipe.context));
    let foreign = recipe
        .sealed()
        .body(|body| body[24..HEADER_LEN].copy_from_slice(&derived[44..]))
        .header_of_body();
    let shows = "the commitment of another data key; this object's data key would open the chunks";
    cases.refused("commitment", "other-commitment", &["R12"], shows, foreign);
    let evil = context(&[("tenant", "evil")]);
    let wrapped = recipe.clone().with_context(&[("tenant", "evil")]).group(Some(PLACE));
    let changed = recipe.stored(&[wrapped]);
    let shows =
        "another encryption context, in which the data key was wrapped, but not the body sealed";
    cases.refused(
        "commitment",
        "context-of-wrap-alone",
        &["R12"],
        shows,
        changed.set(CONTEXT, json_context(&evil)),
    );

    let mixed = Stored { body: other.body(), ..recipe.sealed() };
    cases.refused(
        "header-mismatch",
        "body-of-other-object",
        &["R13"],
        "another object's body",
        mixed,
    );
    let again = Recipe { salt: counting(0xe0), ..recipe.clone() };
    let mixed = Stored { body: again.body(), ..recipe.sealed() };
    let shows = "the body of another sealing under the same data key";
    cases.refused("header-mismatch", "body-of-other-sealing", &["R13"], shows, mixed);
    for (name, at, shows) in [
        ("body-salt-changed", 23, "a bit of the salt, in the body alone"),
        ("body-commitment-changed", 24, "a bit of the commitment, in the body alone"),
    ] {
        cases.refused(
            "header-mismatch",
            name,
            &["R13"],
            shows,
            recipe.sealed().body(|body| body[at] ^= 1),
        );
    }
    let other = recipe.sealed().body(|body| body[0] ^= 1);
    let body = recipe.body();
    let replaced = Stored { body, ..other.header_of_body() };
    cases.refused(
        "unwrap",
        "metadata-salt-changed",
        &["R8"],
        "a bit of the salt, in the metadata alone",
        replaced,
    );
}

fn chunks(cases: &mut Cases) {
    let (small, three) = (small(), three_chunks());
    let (two, whole) = (Recipe::new(plaintext(CHUNK + 9)), Recipe::new(plaintext(CHUNK)));
    let at = |chunk: usize, byte: usize| HEADER_LEN + chunk * SEALED_CHUNK + byte;
    let mut add = |name, shows, stored: Stored, recipe: &Recipe, chunk: usize| {
        let released = recipe.plaintext[..chunk * CHUNK].to_vec();
        cases.add(name, &["R14"], shows, stored, (format!("chunk {chunk}"), released));
    };
    for (name, byte, shows) in [
        ("chunk-changed", at(0, 0), "the first bit of the only chunk"),
        ("chunk-tag-changed", at(0, 8 + 15), "a bit of the only tag"),
    ] {
        add(name, shows, small.sealed().body(|body| body[byte] ^= 0x80), &small, 0);
    }
    let changed = two.sealed().body(|body| body[at(0, 5000)] ^= 1);
    add(
        "first-of-two-changed",
        "a bit of the first of two chunks: nothing is released",
        changed,
        &two,
        0,
    );
    let changed = two.sealed().body(|body| body[at(1, 0)] ^= 1);
    add(
        "second-of-two-changed",
        "a bit of the second of two chunks: the first is released",
        changed,
        &two,
        1,
    );
    let changed = whole.sealed().body(|body| body[at(1, 15)] ^= 1);
    add("empty-chunk-changed", "a bit of the tag of an empty last chunk", changed, &whole, 1);

    let chunk = |number: usize| three.body()[at(number, 0)..at(number + 1, 0)].to_vec();
    let replaced = |number: usize, by: Vec<u8>| {
        three.sealed().body(|body| body[at(number, 0)..at(number + 1, 0)].copy_from_slice(&by))
    };
    let swapped = three.sealed().body(|body| {
        body.splice(at(0, 0)..at(2, 0), [chunk(1), chunk(0)].concat());
    });
    add("chunks-swapped", "two chunks in each other's place", swapped, &three, 0);
    add(
        "chunk-twice",
        "the first chunk again in place of the second",
        replaced(1, chunk(0)),
        &three,
        1,
    );
    let foreign = three.clone().other().body()[at(1, 0)..at(2, 0)].to_vec();
    add(
        "chunk-of-other-object",
        "a chunk of another object, same number",
        replaced(1, foreign),
        &three,
        1,
    );
    let removed = three.sealed().without(LENGTH).body(|body| {
        body.drain(at(1, 0)..at(2, 0));
    });
    add(
        "middle-chunk-removed",
        "a whole chunk is missing, and the metadata tell no length",
        removed,
        &three,
        1,
    );
    let cut = three.sealed().without(LENGTH).body(|body| body.truncate(at(1, 1000)));
    add(
        "cut-in-chunk",
        "cut where a shorter body could end, and the metadata tell no length",
        cut,
        &three,
        1,
    );
    let longer = two.sealed().without(LENGTH).body(|body| body.extend([0; 16]));
    add("extended", "16 bytes more, and the metadata tell no length", longer, &two, 1);
    let derived = derive(&whole.data_key, &whole.salt, &body_context(&whole.context));
    let counted = whole.sealed().body(|body| {
        body.truncate(at(1, 0));
        body.extend(sealed_chunk(&derived, 2, &[]));
    });
    add(
        "chunk-number-skipped",
        "the last chunk is sealed with the number after its own",
        counted,
        &whole,
        1,
    );

    let mut truncated = |name, shows, keep: usize, chunks: usize| {
        let len = two.body().len();
        let stored = two.sealed().announced(len).body(|body| body.truncate(keep));
        cases.add(
            name,
            &["R14"],
            shows,
            stored,
            ("truncated", two.plaintext[..chunks * CHUNK].to_vec()),
        );
    };
    truncated("arrives-without-header", "the connection ends in the header", 30, 0);
    truncated("arrives-in-part", "the connection ends in the last chunk", at(1, 20), 1);
    truncated("arrives-to-chunk", "the connection ends between chunks", at(1, 0), 1);
}
