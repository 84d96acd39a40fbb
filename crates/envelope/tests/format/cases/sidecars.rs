//! Objects with a sidecar.

use super::*;

/// Maximum length of a sidecar in bytes.
const LIMIT: usize = 16_384;

/// An object without a key of the reader in its metadata.
fn lacking(recipe: &Recipe) -> Stored {
    recipe.stored(&[Group {
        keys: Some(vec![recipe.key("second", Some(PLACE))]),
        ..recipe.group(Some(PLACE))
    }])
}

/// Content of a sidecar that adds the reader's key.
fn adding(recipe: &Recipe) -> Stored {
    recipe.sealed().set(GENERATION, "2")
}

pub(super) fn all(cases: &mut Cases) {
    opened(cases);
    ignored(cases);
    malformed(cases);
    of_other_bodies(cases);
    forged(cases);
}

fn opened(cases: &mut Cases) {
    let recipe = small();
    let beside = |sidecar: &Stored| lacking(&recipe).beside(sidecar.to_sidecar());
    cases.opened(
        "sidecar",
        &["R16", "R19"],
        "the sidecar's key opens it",
        beside(&adding(&recipe)),
        &recipe,
    );
    let under = recipe.stored(&[recipe.intermediate_group(Some(PLACE))]).set(GENERATION, "2");
    let shows = "the sidecar has the data key under an intermediate key";
    cases.opened("sidecar-intermediate-key", &["R9", "R11", "R19"], shows, beside(&under), &recipe);
    let missing = adding(&recipe)
        .set(MISSING, r#"[["aws-kms","arn:aws:kms:us-west-2:111122223333:key/1234"]]"#);
    cases.opened(
        "sidecar-missing",
        &["R17"],
        "a wrap is missing, by the sidecar alone",
        beside(&missing),
        &recipe,
    );

    let mut damaged = recipe.key("first", Some(PLACE));
    damaged.2[70] ^= 1;
    let damaged =
        recipe.stored(&[Group { keys: Some(vec![damaged]), ..recipe.group(Some(PLACE)) }]);
    let shows = "the object's own wrap is damaged, and the sidecar's opens it";
    let stored = damaged.beside(adding(&recipe).to_sidecar());
    cases.opened("sidecar-after-damaged-wrap", &["R16"], shows, stored, &recipe);
    let elsewhere =
        recipe.stored(&[recipe.group(Some("other/key"))]).beside(adding(&recipe).to_sidecar());
    let shows = "the object's own key is bound to another place, the sidecar's to this one";
    cases.opened("sidecar-after-other-place", &["R16", "R19"], shows, elsewhere, &recipe);

    let flipped = beside(&adding(&recipe)).body(|body| body[HEADER_LEN] ^= 1);
    let shows = "the sidecar's key opens a body that was changed";
    cases.refused("chunk 0", "sidecar-chunk-changed", &["R14", "R19"], shows, flipped);
}

/// Sidecars that are not read or do not apply.
fn ignored(cases: &mut Cases) {
    let recipe = small();
    let not_looked_for = lacking(&recipe).beside(adding(&recipe).to_sidecar()).without_sidecars();
    let shows = "the reader's policy looks for no sidecar";
    cases.refused("no-matching-key", "sidecar-not-looked-for", &["R16"], shows, not_looked_for);
    let needless = recipe.sealed().beside("not a sidecar");
    cases.opened(
        "sidecar-not-needed",
        &["R16"],
        "its own key opens it, whatever is beside it",
        needless,
        &recipe,
    );
    let elsewhere =
        recipe.stored(&[recipe.group(Some("other/key"))]).beside(lacking(&recipe).to_sidecar());
    let shows = "neither opens it: the failure is that of its own keys";
    cases.refused("place", "sidecar-of-no-use", &["R16"], shows, elsewhere);
}

/// Each of these has a key that would open the object.
fn malformed(cases: &mut Cases) {
    let recipe = small();
    let fine = adding(&recipe).to_sidecar();
    let (start, rest) = fine.split_at(1);
    let unsorted = {
        let (first, others) = rest.split_once(",\"sealwax-format\"").expect("a second name");
        let others = others.strip_suffix('}').expect("its end");
        format!("{start}\"sealwax-format\"{others},{first}}}")
    };
    for (name, shows, sidecar) in [
        ("sidecar-empty", "nothing", String::new()),
        ("sidecar-not-json", "no JSON", fine.replacen('{', "[", 1)),
        (
            "sidecar-too-long",
            "longer than a reader looks",
            format!("{fine}{}", " ".repeat(LIMIT + 1 - fine.len())),
        ),
        ("sidecar-with-blank", "a needless blank", format!("{start} {rest}")),
        ("sidecar-with-end-of-line", "an end of line after it", format!("{fine}\n")),
        ("sidecar-unsorted", "names in another order", unsorted),
        (
            "sidecar-name-twice",
            "a name twice",
            format!("{start}\"sealwax-generation\":\"2\",{rest}"),
        ),
        ("sidecar-needless-escape", "a needless escape", fine.replacen("\"2\"", "\"\\u0032\"", 1)),
        ("sidecar-number", "a number instead of a text", fine.replacen("\"2\"", "2", 1)),
        (
            "sidecar-name-in-capitals",
            "a name in capitals",
            fine.replacen("sealwax-generation", "Sealwax-generation", 1),
        ),
        (
            "sidecar-other-name",
            "a name that is not the format's",
            format!("{start}\"mine\":\"\",{rest}"),
        ),
        (
            "sidecar-unknown-name",
            "an unknown name",
            adding(&recipe).set("sealwax-new", "1").to_sidecar(),
        ),
        (
            "sidecar-generation-0",
            "no generation",
            adding(&recipe).set(GENERATION, "0").to_sidecar(),
        ),
        (
            "sidecar-without-generation",
            "a name is missing",
            adding(&recipe).without(GENERATION).to_sidecar(),
        ),
        ("sidecar-other-format", "another format", adding(&recipe).set(FORMAT, "v2").to_sidecar()),
    ] {
        assert_ne!(sidecar, fine, "{name}");
        let stored = lacking(&recipe).beside(sidecar);
        cases.refused("no-matching-key", name, &["R17"], shows, stored);
    }
}

fn of_other_bodies(cases: &mut Cases) {
    let recipe = small();
    let other = small().with_context(&[("tenant", "other")]);
    for (name, shows, sidecar) in [
        ("sidecar-of-other-body", "of another sealing, before or after", adding(&small().other())),
        ("sidecar-of-other-context", "of another encryption context", adding(&other)),
        ("sidecar-of-other-length", "of another length", adding(&recipe).set(LENGTH, "9")),
        (
            "sidecar-without-length",
            "without the length that the object has",
            adding(&recipe).without(LENGTH),
        ),
    ] {
        let stored = lacking(&recipe).beside(sidecar.to_sidecar());
        cases.refused("no-matching-key", name, &["R18"], shows, stored);
    }
}

fn forged(cases: &mut Cases) {
    let recipe = small();
    let of_context = recipe.clone().with_context(&[]).key("first", Some(PLACE));
    let of_context = Group { keys: Some(vec![of_context]), ..recipe.group(Some(PLACE)) };
    let under_other = small().other().other_intermediate().intermediate_group(Some(PLACE));
    let made_under_other =
        small().other_data_key().other_intermediate().intermediate_group(Some(PLACE));
    for (name, shows, group) in [
        (
            "sidecar-of-old-version",
            "its key is that of an older version: same place and context, other salt",
            small().other().group(Some(PLACE)),
        ),
        (
            "sidecar-other-data-key",
            "its key is another data key, wrapped for this context, place and salt",
            small().other_data_key().group(Some(PLACE)),
        ),
        (
            "sidecar-other-place",
            "its key is bound to another place",
            recipe.group(Some("other/key")),
        ),
        (
            "sidecar-key-of-other-context",
            "its key is bound to another encryption context",
            of_context,
        ),
        (
            "sidecar-group-of-other-intermediate-key",
            "a genuine group of another object, under another intermediate key",
            under_other,
        ),
        (
            "sidecar-group-made-under-other-intermediate-key",
            "another intermediate key, whose holder wrapped another data key for this body",
            made_under_other,
        ),
    ] {
        let sidecar = recipe.stored(&[group]).set(GENERATION, "2").to_sidecar();
        cases.refused("no-matching-key", name, &["R19"], shows, lacking(&recipe).beside(sidecar));
    }

    let sidecar = |groups: &[Group]| recipe.stored(groups).set(GENERATION, "2").to_sidecar();
    let planted = sidecar(&[
        small().other().other_intermediate().intermediate_group(Some(PLACE)),
        recipe.intermediate_group(Some(PLACE)),
    ]);
    let shows = "a group of another intermediate key before the true one";
    let stored = lacking(&recipe).beside(planted);
    cases.opened("sidecar-second-group", &["R8", "R19"], shows, stored, &recipe);
    let mut changed = recipe.intermediate_group(Some(PLACE));
    changed.scope = None;
    let shows = "a group without its scope";
    let stored = lacking(&recipe).beside(sidecar(&[changed]));
    cases.refused("no-matching-key", "sidecar-without-scope", &["R4", "R17"], shows, stored);
}
