//! Tests of FORMAT.md: its examples are correct, and each MUST has a test.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use futures_util::FutureExt as _;
use sealwax_envelope::{
    BodyHeader, EncryptedDataKey, EncryptionContext, FORMAT_PAIR, IntermediateKeyId, KeyObject,
    KeyObjectName, Keyring as _, LocalKeyring, ObjectHeader, Place, Scope, SharedKeySlot,
    StreamOpener, Unwrap, WrapContext,
    geometry::{
        CHUNK_LEN, HEADER_LEN, SEALED_CHUNK_LEN, body_len, chunk_count, chunk_span, plaintext_len,
    },
    metadata,
};

use crate::{
    construct::{self, Group, Key, Recipe, Stored},
    vectors,
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn document() -> String {
    fs::read_to_string(Path::new(ROOT).join("docs/FORMAT.md")).expect("the document")
}

/// Returns the text under a heading of the examples.
fn section(title: &str) -> String {
    let document = document();
    let (_, section) =
        document.split_once(&format!("\n### {title}\n")).unwrap_or_else(|| panic!("no {title:?}"));
    section.split("\n#").next().expect("a text").to_owned()
}

/// Parses the code block under a heading: `name: value`. Lines that start with a space continue the
/// previous one.
fn example(title: &str) -> BTreeMap<String, String> {
    let section = section(title);
    let block = section.split("```").nth(1).expect("a code block");
    let mut values: Vec<(String, String)> = Vec::new();
    for line in block.lines().skip(1) {
        match line.strip_prefix(' ') {
            Some(more) => values.last_mut().expect("a value").1.push_str(more.trim_start()),
            None => {
                let (name, value) = line.split_once(':').expect("a name and a value");
                values.push((name.into(), value.trim_start().into()));
            }
        }
    }
    values.into_iter().collect()
}

/// Returns the rows of the `index`th table under a heading, as numbers.
fn table(title: &str, index: usize) -> Vec<Vec<u64>> {
    let section = section(title);
    let tables: Vec<_> =
        section.split("\n\n").filter(|paragraph| paragraph.trim().starts_with('|')).collect();
    let cells = |line: &str| -> Vec<u64> {
        let digits = |cell: &str| cell.trim().replace(',', "").parse().expect("a number");
        line.trim_matches('|').split('|').map(digits).collect()
    };
    tables[index].trim().lines().skip(2).map(cells).collect()
}

fn bytes(example: &BTreeMap<String, String>, name: &str) -> Vec<u8> {
    hex::decode(&example[name]).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn array<const N: usize>(example: &BTreeMap<String, String>, name: &str) -> [u8; N] {
    bytes(example, name).try_into().unwrap_or_else(|_| panic!("{name} has {N} bytes"))
}

#[test]
fn example_of_a_body_context() {
    let example = example("Body context");
    let context = EncryptionContext::from_json(&example["context"]).expect("a context");
    assert_eq!(hex::encode(context.body_context()), example["body context"]);
    assert_eq!(
        hex::encode(EncryptionContext::new().body_context()),
        example["of an empty context"]
    );
}

#[test]
fn example_of_a_wrap_context() {
    let example = example("Wrap context");
    let context = EncryptionContext::from_json(&example["context"]).expect("a context");
    let (bucket, key) = example["place"].split_once('/').expect("a slash");
    let place = Place::new(bucket, key).expect("a place");
    let of = |binding: &WrapContext| hex::encode(binding.canonical_bytes());
    let salt: [u8; 24] = array(&example, "salt");
    assert_eq!(construct::base64(&salt), example["salt, as text"]);
    let header: [u8; 56] = [salt.as_slice(), &[0; 32]].concat().try_into().expect("56 bytes");
    let header = BodyHeader::from_bytes(&header);
    let bound = WrapContext::for_stored_data_key(context, Some(place), &header);
    assert_eq!(of(&bound), example["of a data key"]);
    assert_eq!(of(&bound.at(None)), example["of a data key without a place"]);

    // The library has wrap contexts of intermediate keys that it reads.
    let recipe = Recipe::new("");
    let key = |place: Option<&str>| {
        let stored = recipe.stored(&[recipe.intermediate_group(place)]);
        let header = ObjectHeader::parse(metadata::pairs(&stored.metadata)).expect("an object");
        header.keys()[0].clone()
    };
    let (scoped, unscoped) = (key(Some(&example["place"])), key(None));
    assert_eq!(of(scoped.wrap_context()), example["of the intermediate key"]);
    assert_eq!(of(unscoped.wrap_context()), example["of the intermediate key without a scope"]);
    assert_eq!(scoped.scope().map(Scope::as_str), Some(example["scope"].as_str()));
    let id = |key: &EncryptedDataKey| key.intermediate_id().map(IntermediateKeyId::to_string);
    assert_eq!(id(&scoped), Some(example["id"].clone()));

    let (intermediate, r) = (array(&example, "intermediate key"), array(&example, "r"));
    assert_eq!(construct::base64url(&r), example["r, as text"]);
    let id = construct::intermediate_id(&intermediate, &r);
    assert_eq!(hex::encode(&id[16..]), example["c"]);
    assert_eq!(construct::base64url(&id), example["id"]);
    let inner = recipe.inner_context(Some(&example["place"]), &id);
    assert_eq!(hex::encode(inner), example["of a data key under the intermediate key"]);
}

/// FORMAT.md says how many bytes each part of the metadata takes, and that four KMS keys fit.
#[test]
fn the_metadata_budget_adds_up() {
    let document = document();
    let (_, budget) = document.split_once("\n## Metadata budget\n").expect("the section");
    let rows = budget.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| part"));
    let bytes = |row: &str| {
        row.trim_matches(['|', ' ']).rsplit('|').next()?.trim().replace(',', "").parse().ok()
    };
    let rows: Vec<usize> = rows.map_while(bytes).collect();
    let (sum, parts) = rows.split_last().expect("rows");
    assert_eq!((parts.iter().sum::<usize>(), parts.len()), (*sum, 9));

    let place = format!("bucket/{}/key", "p".repeat(95));
    let recipe = Recipe::new("").with_context(&[("tenant", &"t".repeat(81))]);
    let group = recipe.scoped_group(Some(&place), Some(103));
    let arn = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
    let kms = Key("aws-kms".into(), arn.into(), vec![0; 184]);
    let Stored { metadata: mut values, .. } =
        recipe.stored(&[Group { keys: Some(vec![kms.clone(); 4]), ..group.clone() }]);
    assert_eq!(values["sealwax-context"].len() + place.len(), 200);
    values.insert("sealwax-generation".into(), u32::MAX.to_string());
    values.insert("sealwax-length".into(), ((1_u64 << 52) - 1).to_string());
    let len = |values: &BTreeMap<String, String>| {
        values.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    };
    assert_eq!(len(&values), *sum);
    let header = ObjectHeader::parse(metadata::pairs(&values)).expect("an object");
    header.check_fits([]).expect("it fits");

    // The prose after the table: what `context` costs, and what is left of a detached group.
    let len_with = |group: Group| {
        let Stored { metadata, .. } = recipe.stored(&[group]);
        let keys = metadata["sealwax-keys"].clone();
        len(&BTreeMap::from_iter(values.clone().into_iter().chain([("sealwax-keys".into(), keys)])))
    };
    let whole = || Group { keys: Some(vec![kms.clone(); 4]), ..group.clone() };
    assert_eq!(len_with(whole()), *sum);
    for (names, cost) in [(&["tenant"][..], 21), (&[], 13), (&["ab", "c"], 12 + 5 + 4)] {
        let context = Some(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(len_with(Group { context, ..whole() }) - *sum, cost, "{names:?}");
    }
    let wrapped_keys = parts[7];
    let detached = len_with(Group { keys: None, ..group.clone() });
    assert_eq!((detached, *sum - wrapped_keys - detached), (587, 10));
    for claim in
        ["costs 12 bytes", "21 bytes for `tenant`", "13 bytes", "and 10 bytes", "587 bytes"]
    {
        assert!(budget.contains(claim), "{claim}");
    }
}

#[test]
fn examples_of_json() {
    let examples = example("JSON");
    for (code_points, json) in &examples {
        let code_point = |text: &str| {
            u32::from_str_radix(text, 16).ok().and_then(char::from_u32).expect("a letter")
        };
        let text: String = code_points.split(' ').map(code_point).collect();
        let context = EncryptionContext::try_from_iter([("a", text.as_str())]).expect("a context");
        assert_eq!(context.to_json(), format!("{{\"a\":{json}}}"), "{code_points}");
        assert_eq!(construct::json_string(&text), *json);
    }
    assert!(examples.len() > 3);
}

#[test]
fn examples_of_lengths() {
    let rows = table("Lengths", 0);
    for row in &rows {
        let [plaintext, chunks, body] = row[..] else { panic!("three columns") };
        assert_eq!((chunk_count(plaintext), body_len(plaintext)), (Some(chunks), Some(body)));
        assert_eq!(plaintext_len(body), Some(plaintext));
    }
    let invalid = table("Lengths", 1);
    for row in &invalid {
        let [first, last] = row[..] else { panic!("two columns") };
        assert!((first..=last).all(|body| plaintext_len(body).is_none()), "{first} to {last}");
        assert!(first == 0 || plaintext_len(first - 1).is_some());
        assert!(plaintext_len(last + 1).is_some());
    }
    let bytes = table("Lengths", 2);
    for row in &bytes {
        let [byte, chunk, begins, at] = row[..] else { panic!("four columns") };
        let span = chunk_span(byte..byte + 1, byte + 1).expect("a range");
        assert_eq!((span.first_chunk, span.body.start, span.skip as u64), (chunk, begins, at));
    }
    assert!(rows.len() > 3 && invalid.len() > 1 && bytes.len() > 2);
    assert_eq!(
        (HEADER_LEN, CHUNK_LEN, SEALED_CHUNK_LEN),
        (56, construct::CHUNK, construct::SEALED_CHUNK)
    );
}

/// Asserts that an example object decrypts with the library, equals its derivation without the
/// library, and equals a vector.
fn assert_object(title: &str, vector: &str) {
    let example = example(title);
    let vector =
        vectors::stored().into_iter().find(|other| other.name == vector).expect("a vector");
    let metadata: BTreeMap<_, _> =
        example.clone().into_iter().filter(|(name, _)| name.starts_with("sealwax-")).collect();
    assert_eq!(metadata, vector.metadata);
    assert_eq!(bytes(&example, "body"), vector.body());
    assert_eq!(example["wrapping key"], vector.wrapping_keys["first"]);
    assert_eq!(Some(vec![example["place"].clone()]), vector.places);

    let pairs = metadata::pairs(&metadata);
    let header = ObjectHeader::parse(pairs).expect("an object");
    assert_eq!(header.context().to_json(), example["context"]);
    assert_eq!(header.keys()[0].place().map(Place::as_str), Some(example["place"].as_str()));
    let keyring =
        LocalKeyring::new("first", &mut bytes(&example, "wrapping key")).expect("a keyring");
    let unwrapped = keyring.unwrap(header.keys()).now_or_never().expect("nothing waits");
    let Unwrap::Unwrapped(data_key) = unwrapped else { panic!("it does not open") };
    assert_eq!(data_key.expose_secret()[..], bytes(&example, "data key"));
    let body_context = header.context().body_context();
    assert_eq!(body_context, bytes(&example, "body context"));
    let derived =
        construct::derive(data_key.expose_secret(), &array(&example, "salt"), &body_context);
    let parts = ["key", "base nonce", "commitment"].map(|name| bytes(&example, name));
    assert_eq!(derived[..], parts.concat());
    let mut opener =
        StreamOpener::new(&data_key, &body_context, *header.body_header()).expect("the commitment");
    opener.feed(&bytes(&example, "body")).expect("the body");
    let plaintext: Vec<u8> = opener.finish().expect("the end").flatten().collect();
    assert_eq!(plaintext, bytes(&example, "plaintext"));

    // The wrapped key, computed from the values in the example.
    let wrap_context = bytes(&example, "wrap context");
    let wrapped: [u8; 32] = match example.get("intermediate key") {
        Some(_) => array(&example, "intermediate key"),
        None => *data_key.expose_secret(),
    };
    let wrap = construct::message(
        &array(&example, "wrapping key"),
        &array(&example, "salt of the wrap"),
        &wrap_context,
        &wrapped,
    );
    assert_eq!(wrap, header.keys()[0].ciphertext());
}

#[test]
fn example_of_an_object() {
    assert_object("An object", "small-object");
}

#[test]
fn example_of_an_object_under_an_intermediate_key() {
    let title = "An object under an intermediate key";
    assert_object(title, "intermediate-key");
    let example = example(title);
    let context = hex::decode(&example["wrap context of the data key"]).expect("hex");
    let intermediate = array(&example, "intermediate key");
    let key = construct::data_key_wrapping_key(&intermediate, &context);
    assert_eq!(key[..], bytes(&example, "K"));
    let wrapped = construct::wrap_under(&intermediate, &array(&example, "data key"), &context);
    assert_eq!(wrapped, bytes(&example, "data key, wrapped"));
    let id = construct::intermediate_id(&intermediate, &array(&example, "r"));
    assert_eq!(construct::base64url(&id), example["id"]);
    assert!(example["place"].starts_with(&example["scope"]));
    assert!(
        example["sealwax-keys"]
            .contains(&format!("\"data-key\":\"{}\"", construct::base64(&wrapped)))
    );
}

/// Asserts that an example of a key object has the bytes that the document describes, equals a
/// vector, and opens that object with the library.
fn assert_key_object(title: &str, vector: &str) -> SharedKeySlot {
    let example = example(title);
    let vector =
        vectors::stored().into_iter().find(|other| other.name == vector).expect("a vector");
    let (name, content) = (&example["name"], &example["content"]);
    assert_eq!(vector.key_objects, BTreeMap::from([(name.clone(), content.clone())]));
    assert_eq!(example["wrapping key"], vector.wrapping_keys["first"]);
    for name in ["sealwax-keys", "sealwax-context", "sealwax-header"] {
        let shown = match name {
            "sealwax-context" => Some(&example["context"]),
            name => example.get(name),
        };
        assert!(shown.is_none_or(|value| *value == vector.metadata[name]), "{name}");
    }

    let object = KeyObject::parse(content.as_bytes()).expect("a key object");
    assert_eq!((object.name().to_string(), object.to_json()), (name.clone(), content.clone()));
    assert_eq!(KeyObjectName::parse(name), Some(object.name()));
    let form = object.form();
    assert_eq!(form.scope().map(Scope::as_str), Some(example["scope"].as_str()));
    assert_eq!(form.wrap_context().canonical_bytes(), bytes(&example, "wrap context"));
    let made = construct::message(
        &array(&example, "wrapping key"),
        &array(&example, "salt of the wrap"),
        &bytes(&example, "wrap context"),
        &array::<32>(&example, "intermediate key"),
    );
    assert_eq!(form.ciphertext(), made);
    let id =
        construct::intermediate_id(&array(&example, "intermediate key"), &array(&example, "r"));
    assert_eq!(object.id().to_string(), construct::base64url(&id));

    let constructed = construct::KeyObject {
        ciphertext: made,
        context: form
            .wrap_context()
            .pairs()
            .into_iter()
            .filter(|(name, _)| !name.contains(':'))
            .collect(),
        format: form.wrap_context().pairs()[FORMAT_PAIR].clone(),
        id,
        provider: form.provider().to_owned(),
        scope: Some(example["scope"].clone()),
        wrapping_key: form.wrapping_key().to_owned(),
    };
    assert_eq!((&constructed.name(), &constructed.content()), (name, content));
    let parts: Vec<_> = name.split('/').collect();
    let labels = ["the context", "the wrapping key"].into_iter().zip(["context", "wrapping key"]);
    for (((hashed, of), bytes_of), at) in labels.zip(constructed.hashed()).zip([0, 2]) {
        assert_eq!(bytes(&example, &format!("hashed of {hashed}")), bytes_of);
        assert_eq!(construct::base64url(&bytes(&example, &format!("H({of})"))), parts[at]);
    }

    let header = ObjectHeader::parse(metadata::pairs(&vector.metadata)).expect("an object");
    let [slot] = header.slots().try_into().expect("one group");
    assert_eq!(slot.key_object_name("local", "first"), object.name());
    let key = slot.with_key_object(&object.name(), content.as_bytes()).expect("of this object");
    let keyring =
        LocalKeyring::new("first", &mut bytes(&example, "wrapping key")).expect("a keyring");
    let unwrapped = keyring.unwrap(&[key]).now_or_never().expect("nothing waits");
    let Unwrap::Unwrapped(data_key) = unwrapped else { panic!("it does not open") };
    StreamOpener::new(&data_key, &header.context().body_context(), *header.body_header())
        .expect("the commitment");
    slot
}

#[test]
fn example_of_a_key_object() {
    let slot = assert_key_object("A key object", "key-object");
    assert!(!slot.wrap_context().is_detached());
}

#[test]
fn example_of_a_detached_key() {
    let slot = assert_key_object("A detached key", "detached");
    assert!(slot.wrap_context().is_detached());
}

#[test]
fn example_of_a_key_for_a_part_of_the_context() {
    let title = "A key for a part of the context";
    let slot = assert_key_object(title, "key-object-of-key-context");
    assert_eq!(
        (slot.wrap_context().context().len(), slot.data_key_context().context().len()),
        (1, 2)
    );
    let example = example(title);
    let context = bytes(&example, "wrap context of the data key");
    let intermediate = array(&example, "intermediate key");
    let key = construct::data_key_wrapping_key(&intermediate, &context);
    assert_eq!(key[..], bytes(&example, "K"));
    let data_key = Recipe::new("").data_key;
    let wrapped = construct::wrap_under(&intermediate, &data_key, &context);
    let member = format!("\"data-key\":\"{}\"", construct::base64(&wrapped));
    assert!(example["sealwax-keys"].contains(&member));
}

/// Returns the numbers in `text`: `R1`, `W2`, …
fn numbers(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let is_number = |word: &&str| {
        word.strip_prefix(['R', 'W'])
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    };
    words.filter(is_number).map(ToOwned::to_owned).collect()
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn each_must_has_a_number_and_a_test() {
    let document = document();
    // Lists under a heading with MUST consist of MUSTs; elsewhere each MUST has a number.
    let mut defined = BTreeSet::new();
    for section in document.split("\n## ") {
        let (heading, text) = section.split_once('\n').expect("a heading");
        for item in text.split("\n- ").skip(1).filter(|_| heading.ends_with("MUST")) {
            let number = item
                .strip_prefix("**")
                .and_then(|item| item.split_once("** "))
                .expect("a number")
                .0;
            assert_eq!(numbers(number).len(), 1, "{item}");
            assert!(defined.insert(number.to_owned()), "{number} is given twice");
        }
        let convention =
            "The key words MUST, MUST NOT and MAY are those of RFC 2119. Each MUST has a number";
        assert!(
            !text.replace(convention, "").contains("MUST"),
            "a MUST without a number in {heading:?}"
        );
    }
    assert!(defined.contains("R19") && defined.contains("W17"), "{defined:?}");

    let mut named: BTreeSet<_> =
        vectors::stored().into_iter().flat_map(|vector| vector.musts).collect();
    let mut files = Vec::new();
    ["crates", "tests"]
        .iter()
        .for_each(|directory| sources(&Path::new(ROOT).join(directory), &mut files));
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        text.lines()
            .filter(|line| line.contains("FORMAT.md"))
            .for_each(|line| named.extend(numbers(line)));
    }
    assert_eq!(named, defined, "the MUSTs that tests name, and those that there are");
}
