use proptest::prelude::*;

use super::*;
use crate::{IntermediateKeyId, Scope, WrappedForms, intermediate_key::WRAPPED_DATA_KEY_LEN};

/// Returns a key of [`sample`].
fn key(arn: &str, place: Option<&str>, len: usize) -> EncryptedDataKey {
    key_of(&sample_context(), arn, place, len)
}

fn key_of(
    context: &EncryptionContext,
    arn: &str,
    place: Option<&str>,
    len: usize,
) -> EncryptedDataKey {
    let place = place.map(|place| Place::parse(place.into()).expect("a place"));
    let wrap_context = WrapContext::for_stored_data_key(context.clone(), place, &sample_body());
    EncryptedDataKey::new("aws-kms", arn, vec![0xa5; len], &wrap_context).expect("a key")
}

/// Returns a key of [`sample`] under the intermediate key `number`.
fn key_under(number: u8, arn: &str, place: Option<&str>, folders: usize) -> EncryptedDataKey {
    key_under_a(number, arn, place, folders, (&sample_context(), WrappedForms::InObjects))
}

/// As [`key_under`], under an intermediate key that is bound to `context`.
fn key_under_a(
    number: u8,
    arn: &str,
    place: Option<&str>,
    folders: usize,
    (context, forms): (&EncryptionContext, WrappedForms),
) -> EncryptedDataKey {
    let place = place.map(|place| Place::parse(place.into()).expect("a place"));
    let scope = place.as_ref().map(|place| Scope::of(place, folders));
    let of_key = WrapContext::for_intermediate_key(context.clone(), scope, [number; 16], forms);
    let key = EncryptedDataKey::new("aws-kms", arn, vec![0xa5; 3], &of_key).expect("a key");
    let of_data_key = WrapContext::for_stored_data_key(sample_context(), place, &sample_body());
    let id = IntermediateKeyId::from_bytes([number; 32]);
    key.with_wrapped(id, [0x5a; WRAPPED_DATA_KEY_LEN], of_data_key)
}

fn sample_context() -> EncryptionContext {
    EncryptionContext::try_from_iter([("tenant", "acmé")]).expect("a context")
}

fn sample_body() -> BodyHeader {
    BodyHeader::from_bytes(&[9; 56])
}

fn arn(region: &str, n: usize) -> String {
    format!("arn:aws:kms:{region}:123456789012:key/{n:08}-12ab-34cd-56ef-1234567890ab")
}

fn sample() -> ObjectHeader {
    let keys =
        vec![key("arn:1", Some("b/k"), 3), key("arn:2", Some("b/k"), 4), key("arn:3", None, 5)];
    ObjectHeader::new(sample_context(), keys, sample_body(), Some(42)).expect("a header")
}

fn pairs(header: &ObjectHeader) -> Vec<(String, String)> {
    header.to_metadata().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn parse(metadata: &[(String, String)]) -> Result<ObjectHeader, Error> {
    ObjectHeader::parse(metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// FORMAT.md W2: each value has one spelling.
#[test]
fn the_canonical_spelling() {
    let expected = [
        ("sealwax-context", r#"{"tenant":"acm\u00e9"}"#),
        ("sealwax-format", "v1+Cobblestone-256"),
        ("sealwax-generation", "1"),
        (
            "sealwax-header",
            "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk",
        ),
        (
            "sealwax-keys",
            r#"[{"place":"b/k","keys":[["aws-kms","arn:1","paWl"],["aws-kms","arn:2","paWlpQ"]]},{"keys":[["aws-kms","arn:3","paWlpaU"]]}]"#,
        ),
        ("sealwax-length", "42"),
    ];
    let metadata = sample().to_metadata();
    assert_eq!(
        metadata.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn written_metadata_parses_in_any_case_and_with_other_names() {
    let mut metadata = pairs(&sample());
    metadata.iter_mut().for_each(|(name, _)| *name = name.to_uppercase());
    metadata.push(("mine".into(), "é, as some stores return it".into()));
    assert_eq!(parse(&metadata), Ok(sample()));
}

#[test]
fn four_kms_keys_fit_beside_200_bytes_of_context_and_place() {
    let context =
        EncryptionContext::try_from_iter([("tenant", "t".repeat(80))]).expect("a context");
    let place = format!("bucket/{}", "k".repeat(200 - 80 - 10 - 7));
    let keys = ["us-east-1", "us-west-2", "eu-central-1", "ap-southeast-2"];
    let keys = keys
        .iter()
        .enumerate()
        .map(|(n, region)| key_of(&context, &arn(region, n), Some(&place), 184))
        .collect();
    let header = ObjectHeader::new(context, keys, sample_body(), Some(u64::MAX >> 12));
    header.expect("a header").check_fits([("own", "some metadata of the user")]).expect("it fits");
}

/// FORMAT.md W3: nothing exceeds S3's limit.
#[test]
fn s3s_limit_holds_to_the_byte() {
    let header = sample();
    let ours: usize =
        header.to_metadata().iter().map(|(name, value)| name.len() + value.len()).sum();
    let own = "v".repeat(METADATA_LIMIT - ours - 1);
    assert_eq!(header.check_fits([("n", own.as_str())]), Ok(()));
    let over = Error::MetadataTooLarge { needed: METADATA_LIMIT + 1, limit: METADATA_LIMIT };
    assert_eq!(header.check_fits([("nn", own.as_str())]), Err(over));
}

/// FORMAT.md W2: user-defined names cannot be reserved names.
#[test]
fn reserved_names_are_rejected_in_any_case() {
    for name in ["sealwax-keys", "SealWax", "sealwaxes"] {
        assert!(
            matches!(sample().check_fits([(name, "v")]), Err(Error::InvalidMetadata(_))),
            "{name}"
        );
    }
}

#[test]
fn metadata_that_http_would_change_is_rejected() {
    let fits = |own: &[(&str, &str)]| sample().check_fits(own.iter().copied());
    assert_eq!(fits(&[("a-b_c.9", "printable ~ ASCII"), ("empty", "")]), Ok(()));
    for own in [
        [("", "v")].as_slice(),
        &[("a b", "v")],
        &[("é", "v")],
        &[("a:b", "v")],
        &[("n", "a\r\nb")],
        &[("n", "é")],
        &[("n", " v")],
        &[("n", "v ")],
        &[("n", "v"), ("N", "v")],
    ] {
        assert!(matches!(fits(own), Err(Error::InvalidMetadata(_))), "{own:?}");
    }
}

#[test]
fn an_object_without_the_format_name_is_not_sealed() {
    let metadata = [("x".to_owned(), "y".to_owned())];
    assert_eq!(parse(&metadata), Err(Error::NotSealed));
    let without = |gone: &str| {
        pairs(&sample()).into_iter().filter(|(name, _)| name != gone).collect::<Vec<_>>()
    };
    assert_eq!(
        parse(&[("sealwax-shredded".into(), "2026-11-25T00:00:00Z".into())]),
        Err(Error::NotSealed)
    );
    // A damaged sealed object.
    for gone in [FORMAT, GENERATION, HEADER, KEYS] {
        assert!(matches!(parse(&without(gone)), Err(Error::Malformed(_))), "without {gone}");
    }
}

#[test]
fn other_values_are_rejected() {
    let long_key = format!(r#"[{{"keys":[["p","k","{}"]]}}]"#, "A".repeat(1400));
    let many_keys = format!(r#"[{{"keys":[{}]}}]"#, vec![r#"["p","k","AA"]"#; 17].join(","));
    let cases = [
        (FORMAT, "v2+Cobblestone-256"),
        (GENERATION, "0"),
        (GENERATION, "01"),
        (GENERATION, "+1"),
        (GENERATION, "4294967296"),
        (PLAINTEXT_LEN, "-1"),
        (PLAINTEXT_LEN, "007"),
        (PLAINTEXT_LEN, "18446744073709551616"),
        (HEADER, "CQk"),
        (HEADER, "not base64!"),
        (CONTEXT, "{}"),
        (CONTEXT, "[]"),
        (CONTEXT, r#"{"a": "b"}"#),
        (CONTEXT, r#"{"sealwax:place":"b"}"#),
        (KEYS, "[]"),
        (KEYS, r#"[{"keys":[]}]"#),
        (KEYS, r#"[{"keys":[["p","k","AB"]]}]"#),
        (KEYS, r#"[{"keys":[["p","k","AAA="]]}]"#),
        (KEYS, r#"[{"keys":[["p","k"]]}]"#),
        (KEYS, r#"[{"keys":[["p","k","AA"]],"more":1}]"#),
        (KEYS, r#"[ {"keys":[["p","k","AA"]]}]"#),
        (KEYS, r#"[{"place":"","keys":[["p","k","AA"]]}]"#),
        (KEYS, r#"[{"keys":[["p","k","AA"]]},{"keys":[["p","k","AA"]]}]"#),
        (KEYS, &long_key),
        (KEYS, &many_keys),
        ("sealwax-unknown", "x"),
    ];
    for (name, value) in cases {
        let mut metadata = pairs(&sample());
        metadata.retain(|(known, _)| known != name);
        metadata.push((name.into(), value.into()));
        let error = parse(&metadata).expect_err(&format!("{name}: {value:.80}"));
        match name {
            FORMAT => assert_eq!(error, Error::UnsupportedFormat(value.into())),
            _ => assert!(matches!(error, Error::Malformed(_)), "{name}: {value:.80}: {error}"),
        }
    }
}

/// FORMAT.md R4: a scope is a prefix of the place that ends in `/`, and only groups of intermediate
/// keys in places have one.
#[test]
fn groups_of_intermediate_keys_have_one_spelling() {
    let parse_group = |members: &str| {
        let value = format!(r#"[{{{members},"keys":[["aws-kms","arn:1","paWl"]]}}]"#);
        let mut metadata = pairs(&sample());
        metadata.retain(|(name, _)| name != KEYS);
        metadata.push((KEYS.into(), value));
        parse(&metadata).map(|header| header.keys().to_vec())
    };
    let id = format!(r#""intermediate":"{}""#, IntermediateKeyId::from_bytes([7; 32]));
    let data_key = format!(r#""data-key":"{}""#, BASE64.encode([0x5a; WRAPPED_DATA_KEY_LEN]));
    let group = |place: &str, scope: &str| format!("{place}{scope}{id},{data_key}");
    let place = r#""place":"b/a/k","#;
    for (members, expected) in [
        (group(place, r#""scope":2,"#), key_under(7, "arn:1", Some("b/a/k"), 0)),
        (group(place, r#""scope":4,"#), key_under(7, "arn:1", Some("b/a/k"), 1)),
        (group("", ""), key_under(7, "arn:1", None, 0)),
    ] {
        assert_eq!(parse_group(&members), Ok(vec![expected]), "{members}");
    }
    let scoped = group(place, r#""scope":2,"#);
    let short = BASE64.encode([0x5a; WRAPPED_DATA_KEY_LEN - 1]);
    for members in [
        group(place, ""),
        group("", r#""scope":2,"#),
        r#""place":"b/a/k","scope":2"#.to_owned(),
        format!(r#""place":"b/a/k","scope":2,{data_key}"#),
        format!(r#""place":"b/a/k","scope":2,{id}"#),
        format!(r#""place":"b/a/k",{data_key}"#),
        format!(r#""place":"b/a/k","scope":2,{data_key},{id}"#),
        group(place, r#""scope":0,"#),
        group(place, r#""scope":1,"#),
        group(place, r#""scope":3,"#),
        group(place, r#""scope":5,"#),
        group(place, r#""scope":6,"#),
        group(place, r#""scope":-2,"#),
        group(place, r#""scope":2.0,"#),
        group(place, r#""scope":02,"#),
        group(place, r#""scope":"2","#),
        group(place, r#""scope":18446744073709551618,"#),
        group(r#""place":"b/a/","#, r#""scope":4,"#),
        // The second byte of a letter.
        group(r#""place":"b/\u00e9/k","#, r#""scope":3,"#),
        scoped.replace("BwcHBwcHBw", "BwcHBwcH"),
        scoped.replace(&id, &id.replace("Bwc\"", "Bwd\"")),
        scoped.replace(&id, &id.replacen("Bwc", "B+c", 1)),
        scoped.replace(&BASE64.encode([0x5a; WRAPPED_DATA_KEY_LEN]), &short),
    ] {
        let error = parse_group(&members).expect_err(&members);
        assert!(matches!(error, Error::Malformed(_)), "{members}: {error}");
    }
}

/// FORMAT.md W9: a new key of an intermediate key joins the group of that key and its data key.
#[test]
fn a_detached_key_stands_without_wrapped_forms_behind_the_others() {
    let under = |number, arn: &str| {
        let part = (&EncryptionContext::new(), WrappedForms::Detached);
        key_under_a(number, arn, Some("b/k"), 0, part)
    };
    let direct = key("arn:1", Some("b/k"), 3);
    let keys = vec![under(2, "arn:1"), under(2, "arn:2"), direct.clone(), under(4, "arn:1")];
    let header =
        ObjectHeader::new(sample_context(), keys.clone(), sample_body(), None).expect("a header");
    assert_eq!(header.keys(), std::slice::from_ref(&direct));
    assert_eq!(header.detached(), [keys[0].slot().expect("one"), keys[3].slot().expect("one")]);
    assert_eq!(header.slots(), header.detached());
    let metadata = pairs(&header);
    let keys_at = metadata.iter().position(|(name, _)| name == KEYS).expect("the keys");
    let stored = metadata[keys_at].1.clone();
    let slot = |number: u8| {
        let id = IntermediateKeyId::from_bytes([number; 32]);
        let wrapped = BASE64.encode([0x5a; WRAPPED_DATA_KEY_LEN]);
        format!(
            r#"{{"place":"b/k","scope":2,"context":[],"intermediate":"{id}","data-key":"{wrapped}"}}"#
        )
    };
    let direct = r#"{"place":"b/k","keys":[["aws-kms","arn:1","paWl"]]}"#;
    assert_eq!(stored, format!("[{direct},{},{}]", slot(2), slot(4)));
    assert_eq!(parse(&metadata), Ok(header.clone()));
    for other in [
        format!("[{},{direct},{}]", slot(2), slot(4)),
        format!("[{direct},{},{}]", slot(2), slot(2)),
        stored.replacen(r#","intermediate""#, r#","keys":[],"intermediate""#, 1),
        stored.replacen(r#"Wlpa"}"#, r#"Wlpa","keys":[]}"#, 1),
        stored.replacen(r#""context":[]"#, r#""context":["tenant"]"#, 1),
        stored.replacen(r#""context":[]"#, r#""context":["other"]"#, 1),
        stored.replacen(r#""context":[]"#, r#""context":null"#, 1),
        stored.replacen(r#""context":[],"#, "", 1).replacen(r#""scope":2,"#, "", 1),
        stored.replacen(r#""keys":"#, r#""context":[],"keys":"#, 1),
        r#"[{"place":"b/k"}]"#.to_owned(),
    ] {
        let mut metadata = metadata.clone();
        metadata[keys_at].1.clone_from(&other);
        assert_ne!(other, stored);
        assert!(matches!(parse(&metadata), Err(Error::Malformed(_))), "{other}");
    }
    let rewrapped = header.rewrapped(vec![under(4, "arn:9")]).expect("a header");
    assert_eq!((rewrapped.keys(), rewrapped.detached()), (&[][..], header.detached()));
    let one = header.without_detached(|slot| *slot == keys[0].slot().expect("one"));
    assert_eq!(one.detached(), [keys[3].slot().expect("one")]);
    let many = (0..=16).map(|number| under(number, "arn:1")).collect();
    assert_eq!(
        ObjectHeader::new(sample_context(), many, sample_body(), None),
        Err(Error::InvalidMetadata("17 encrypted data keys, more than the maximum of 16".into()))
    );
}

#[test]
fn a_new_key_joins_its_group() {
    let place = Some("b/k");
    let keys = vec![
        key_under(1, "arn:1", place, 0),
        key("arn:2", place, 3),
        key_under(2, "arn:3", place, 0),
    ];
    let header = ObjectHeader::new(sample_context(), keys.clone(), sample_body(), None);
    let header = header.expect("a header");
    assert_eq!(header.keys(), keys);
    let more = vec![
        key_under(2, "arn:4", place, 0),
        key_under(1, "arn:5", place, 0),
        key("arn:6", place, 3),
        key("arn:7", Some("b/other"), 3),
    ];
    let rewrapped = header.rewrapped([keys, more].concat()).expect("a header");
    let names = |header: &ObjectHeader| -> Vec<_> {
        header.keys().iter().map(|key| key.wrapping_key().to_owned()).collect()
    };
    let expected = ["arn:1", "arn:5", "arn:2", "arn:6", "arn:3", "arn:4", "arn:7"];
    assert_eq!(names(&rewrapped), expected);
    let metadata = pairs(&rewrapped);
    let stored = metadata.iter().find(|(name, _)| name == KEYS).expect("keys");
    assert_eq!(stored.1.matches(r#""keys":"#).count(), 4, "{}", stored.1);
    assert_eq!(parse(&metadata), Ok(rewrapped));
}

#[test]
fn repeated_names_and_excessive_metadata_are_rejected() {
    let mut metadata = pairs(&sample());
    metadata.push(("Sealwax-Keys".into(), "[]".into()));
    assert!(matches!(parse(&metadata), Err(Error::Malformed(_))));
    let flood = [("sealwax-format".to_owned(), "v".repeat(METADATA_READ_LIMIT))];
    assert!(matches!(parse(&flood), Err(Error::Malformed(_))));
}

/// FORMAT.md W7: only keys and generation change.
#[test]
fn a_rewrap_raises_the_generation_and_keeps_the_rest() {
    let header = sample();
    let rewrapped = header.rewrapped(vec![key("arn:9", Some("other/k"), 7)]).expect("a header");
    assert_eq!(rewrapped.generation(), 2);
    assert_eq!(rewrapped.keys().len(), 1);
    assert_eq!(
        (rewrapped.context(), rewrapped.body_header()),
        (header.context(), header.body_header())
    );
    assert_eq!(rewrapped.plaintext_len(), header.plaintext_len());
    assert_eq!([header.format(), rewrapped.format()], [FORMAT_V1; 2]);
    assert_eq!(
        header.rewrapped(Vec::new()),
        Err(Error::InvalidMetadata("no encrypted data key".into()))
    );
    let others = key_of(&EncryptionContext::new(), "arn:9", None, 7);
    assert!(matches!(header.rewrapped(vec![others]), Err(Error::ApiMisuse(_))));
    let most = vec![key("arn:9", None, 7); MAX_ENCRYPTED_DATA_KEYS];
    assert!(header.rewrapped(most.clone()).is_ok());
    let more = [most, vec![key("arn:9", None, 7)]].concat();
    assert!(matches!(header.rewrapped(more), Err(Error::InvalidMetadata(_))));
}

#[test]
fn missing_keys_are_recorded_until_they_are_added() {
    let missing = ["arn:8", "arn:9"].map(|arn| MissingKey::new("aws-kms", arn).expect("a name"));
    let header = sample().with_missing(missing.to_vec());
    assert_eq!(header.missing(), missing);
    let metadata = pairs(&header);
    assert!(
        metadata.contains(&(MISSING.into(), r#"[["aws-kms","arn:8"],["aws-kms","arn:9"]]"#.into()))
    );
    assert_eq!(parse(&metadata), Ok(header.clone()));
    let added = [header.keys(), &[key("arn:9", Some("b/k"), 7)]].concat();
    assert_eq!(header.rewrapped(added).expect("a header").missing(), &missing[..1]);
    assert!(header.with_missing(Vec::new()).missing().is_empty());
}

/// Parts of a key: provider and name, place, ciphertext, and for an intermediate key the number of
/// its id and of the folders in its scope.
type KeyParts = ((String, String), Option<(String, String)>, Vec<u8>, Option<(u8, usize)>);

fn any_key() -> impl Strategy<Value = KeyParts> {
    let place = proptest::option::of(("[a-z]{3,8}", ".{1,20}"));
    let names = ("[a-z0-9-]{1,8}", "[ !#-\\[\\]-~]{1,30}");
    let ciphertext = proptest::collection::vec(any::<u8>(), 1..64);
    (names, place, ciphertext, proptest::option::of((0..4_u8, 0..3_usize)))
}

/// Makes a key of the body `sample_body` with this context.
fn key_of_parts(context: &EncryptionContext, parts: KeyParts) -> EncryptedDataKey {
    let ((provider, name), place, ciphertext, under) = parts;
    let place = place.map(|(bucket, key)| Place::new(&bucket, &key).expect("a place"));
    let of_data_key =
        WrapContext::for_stored_data_key(context.clone(), place.clone(), &sample_body());
    let Some((number, folders)) = under else {
        let key = EncryptedDataKey::new(provider, name, ciphertext, &of_data_key);
        return key.expect("a key");
    };
    let scope = place.map(|place| Scope::of(&place, folders));
    // By chance some pairs of the context, and detached.
    let names: Vec<_> = context.iter().map(|(name, _)| name).take(folders).collect();
    let forms = if number % 3 == 0 { WrappedForms::Detached } else { WrappedForms::InObjects };
    let part = context.restricted_to(names);
    let of_key = WrapContext::for_intermediate_key(part, scope, [number; 16], forms);
    let key = EncryptedDataKey::new(provider, name, ciphertext, &of_key).expect("a key");
    let id = IntermediateKeyId::from_bytes([number; 32]);
    key.with_wrapped(id, [number; WRAPPED_DATA_KEY_LEN], of_data_key)
}

proptest! {
    #[test]
    fn every_header_round_trips_in_printable_ascii(
        keys in proptest::collection::vec(any_key(), 1..=MAX_ENCRYPTED_DATA_KEYS),
        context in proptest::collection::btree_map("[^:A-Z]{1,8}", ".{0,12}", 0..4),
        len: Option<u64>,
    ) {
        let context = EncryptionContext::try_from_iter(context).expect("no reserved name");
        let keys = keys.into_iter().map(|parts| key_of_parts(&context, parts)).collect();
        let header = ObjectHeader::new(context, keys, sample_body(), len).expect("a header");
        let metadata = pairs(&header);
        for (name, value) in &metadata {
            prop_assert!(!value.is_empty() && value.bytes().all(|b| (b' '..=b'~').contains(&b)), "{} {}", name, value);
            prop_assert_eq!(value.trim(), value);
        }
        prop_assert_eq!(parse(&metadata), Ok(header));
    }

    #[test]
    fn what_parses_is_canonical(flip in 0..400_usize, to in b' '..=b'~') {
        let mut metadata = pairs(&sample());
        let total: usize = metadata.iter().map(|(_, value)| value.len()).sum();
        let mut at = flip % total;
        for (_, value) in &mut metadata {
            if at < value.len() {
                value.replace_range(at..=at, char::from(to).encode_utf8(&mut [0; 4]));
                break;
            }
            at -= value.len();
        }
        if let Ok(header) = parse(&metadata) {
            prop_assert_eq!(pairs(&header), metadata);
        }
    }
}

/// FORMAT.md W17: a sidecar has one spelling.
#[test]
fn a_sidecar_is_the_metadata_as_json() {
    let context = EncryptionContext::new();
    let keys = vec![key_of(&context, "arn:1", None, 3)];
    let header = ObjectHeader::new(context, keys, sample_body(), None).expect("a header");
    let expected = concat!(
        r#"{"sealwax-format":"v1+Cobblestone-256","sealwax-generation":"1","sealwax-header":"#,
        r#""CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk","#,
        r#""sealwax-keys":"[{\"keys\":[[\"aws-kms\",\"arn:1\",\"paWl\"]]}]"}"#,
    );
    assert_eq!(header.to_sidecar().as_deref(), Ok(expected));
    assert_eq!(header.parse_sidecar(expected.as_bytes()), Ok(Some(header)));
}

/// FORMAT.md R17: all other spellings, and content above the limits, are rejected.
#[test]
fn other_spellings_of_a_sidecar_are_rejected() {
    let header = sample();
    let sidecar = header.to_sidecar().expect("a sidecar");
    let (_, rest) = sidecar.split_at(1);
    for (case, other) in [
        ("blank", format!("{{ {rest}")),
        ("name twice", format!("{{\"sealwax-length\":\"42\",{rest}")),
        ("name of others", sidecar.replacen('{', "{\"mine\":\"x\",", 1)),
        ("unknown name", sidecar.replacen('{', "{\"sealwax-aaa\":\"x\",", 1)),
        ("capitals", sidecar.replace("sealwax-length", "Sealwax-length")),
        ("number", sidecar.replace("\"42\"", "42")),
        ("more", format!("{sidecar}\n")),
        ("list", format!("[{sidecar}]")),
        ("cut", sidecar[..sidecar.len() - 1].to_owned()),
        ("nothing", String::new()),
        ("too long", sidecar.replacen('{', &format!("{{{}", " ".repeat(SIDECAR_LIMIT)), 1)),
    ] {
        assert!(
            matches!(header.parse_sidecar(other.as_bytes()), Err(Error::Malformed(_))),
            "{case}"
        );
    }
    assert_eq!(header.parse_sidecar(b"{}"), Err(Error::NotSealed));
    let later = sidecar.replace("v1+Cobblestone-256", "v2");
    assert!(matches!(header.parse_sidecar(later.as_bytes()), Err(Error::UnsupportedFormat(_))));
}

/// FORMAT.md R18: a sidecar of another body does not apply.
#[test]
fn only_keys_and_generation_of_a_sidecar_may_differ() {
    let header = sample();
    let rewrapped = header.rewrapped(vec![key("arn:4", Some("b/k"), 7)]).expect("a header");
    let missing = MissingKey::new("aws-kms".to_owned(), "arn:5".to_owned()).expect("a name");
    let rewrapped = rewrapped.with_missing(vec![missing]);
    let sidecar = rewrapped.to_sidecar().expect("a sidecar");
    assert_eq!(header.parse_sidecar(sidecar.as_bytes()), Ok(Some(rewrapped)));
    let context = EncryptionContext::try_from_iter([("tenant", "other")]).expect("a context");
    for (case, other) in [
        ("context", ObjectHeader { context, ..header.clone() }),
        ("length", ObjectHeader { plaintext_len: Some(41), ..header.clone() }),
        ("length absent", ObjectHeader { plaintext_len: None, ..header.clone() }),
        (
            "header",
            ObjectHeader { body_header: BodyHeader::from_bytes(&[8; 56]), ..header.clone() },
        ),
    ] {
        let sidecar = other.to_sidecar().expect("a sidecar");
        assert_eq!(header.parse_sidecar(sidecar.as_bytes()), Ok(None), "{case}");
    }
}

/// FORMAT.md W17: a sidecar may exceed S3's 2 KB of metadata, but not the limit of readers.
#[test]
fn a_sidecar_holds_more_keys_than_metadata() {
    let header = |count, len| {
        let keys = (0..count).map(|n| key(&arn("us-east-1", n), Some("b/k"), len)).collect();
        ObjectHeader::new(sample_context(), keys, sample_body(), None).expect("a header")
    };
    let most = header(MAX_ENCRYPTED_DATA_KEYS, 184);
    assert!(matches!(most.check_fits([]), Err(Error::MetadataTooLarge { .. })));
    let sidecar = most.to_sidecar().expect("it fits");
    assert_eq!(most.parse_sidecar(sidecar.as_bytes()), Ok(Some(most)));
    assert!(matches!(
        header(MAX_ENCRYPTED_DATA_KEYS, 1024).to_sidecar(),
        Err(Error::MetadataTooLarge { .. })
    ));
}

/// FORMAT.md W17: the exact limit. The limit of the whole sidecar is never reached.
#[test]
fn a_sidecar_holds_up_to_the_limit_of_readers() {
    let header = |value: String| {
        let context = EncryptionContext::try_from_iter([("q", value)]).expect("a context");
        let keys = vec![
            key_of(&context, "arn:1", Some("b/k"), 3),
            key_of(&context, "arn:2", Some("b/k"), 4),
            key_of(&context, "arn:3", None, 5),
        ];
        ObjectHeader::new(context, keys, sample_body(), None).expect("a header")
    };
    let without = header(String::new()).to_metadata();
    let rest = METADATA_READ_LIMIT
        - without.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let most = header("l".repeat(rest));
    let sidecar = most.to_sidecar().expect("it fits");
    assert_eq!(most.parse_sidecar(sidecar.as_bytes()), Ok(Some(most)));
    let needed = METADATA_READ_LIMIT + 1;
    let refused = header("l".repeat(rest + 1)).to_sidecar();
    assert_eq!(refused, Err(Error::MetadataTooLarge { needed, limit: METADATA_READ_LIMIT }));
    // Escaped twice, a quote takes two bytes of the metadata and four of the sidecar.
    let escaped = header("\"".repeat(rest / 2));
    let sidecar = escaped.to_sidecar().expect("it fits");
    assert!((SIDECAR_LIMIT - 1024..SIDECAR_LIMIT).contains(&sidecar.len()), "{}", sidecar.len());
    assert_eq!(escaped.parse_sidecar(sidecar.as_bytes()), Ok(Some(escaped)));
}

#[test]
fn a_header_joined_with_its_sidecar_has_the_keys_of_both() {
    let header = sample();
    let missing =
        |name: &str| MissingKey::new("aws-kms".to_owned(), name.to_owned()).expect("a name");
    let own = header.clone().with_missing(vec![missing("arn:4"), missing("arn:5")]);
    let keys = vec![header.keys()[0].clone(), key("arn:4", Some("b/k"), 7)];
    let sidecar = header.rewrapped(keys).expect("a header");
    let joined = own.joined(&sidecar).expect("a header");
    let names: Vec<_> = joined.keys().iter().map(EncryptedDataKey::wrapping_key).collect();
    assert_eq!(names, ["arn:1", "arn:2", "arn:4", "arn:3"], "a new key joins its group");
    assert_eq!((joined.generation(), joined.missing()), (2, &[missing("arn:5")][..]));
    let many = (0..14).map(|n| key(&format!("arn:1{n}"), None, 1)).collect();
    let joined = own.joined(&header.rewrapped(many).expect("a header"));
    assert!(matches!(&joined, Err(Error::InvalidMetadata(_))), "{joined:?}");
}
