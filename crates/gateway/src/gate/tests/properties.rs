//! The signed, the authorized and the routed request are the same.

use proptest::prelude::*;
use s3s::path::{S3Path, parse_path_style};

use super::*;

/// Ways in which a client may send a character of a key.
fn encoded_keys() -> impl Strategy<Value = (String, String)> {
    let character = prop_oneof![
        3 => prop::sample::select(vec!['a', 'Z', '0', '-', '_', '.', '~', '/']),
        2 => prop::sample::select(vec!['+', '!', '*', '\'', '(', ')', ';', ':', '@', '&', '=', '$', ',']),
        2 => prop::sample::select(vec!['%', '?', '#', ' ', '"', '<', '\\', '\n', '\u{1}', '\u{7f}']),
        1 => any::<char>().prop_filter("NUL is refused", |it| *it != '\0'),
    ];
    let encoded = (character, 0..3_u8).prop_map(|(character, way)| {
        let mut bytes = [0; 4];
        let bytes = character.encode_utf8(&mut bytes).as_bytes();
        let is_plain =
            character.is_ascii_alphanumeric() || "-_.~/+!*'();:@&=$,".contains(character);
        let sent: String = match way {
            0 if is_plain => character.into(),
            1 => bytes.iter().map(|it| format!("%{it:02x}")).collect(),
            _ if character == '/' => character.into(),
            _ => bytes.iter().map(|it| format!("%{it:02X}")).collect(),
        };
        (character, sent)
    });
    prop::collection::vec(encoded, 1..40).prop_map(|characters| {
        let key = characters.iter().map(|(character, _)| *character).collect();
        let sent = characters.into_iter().map(|(_, sent)| sent).collect();
        (key, sent)
    })
}

fn as_s3s_sees(uri: &Uri) -> S3Path {
    // As in `ops::prepare` of s3s.
    parse_path_style(&percent::decode(uri.path()).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn one_key_from_the_signature_to_s3s((key, sent) in encoded_keys(), as_host in any::<bool>()) {
        prop_assume!(!is_hidden(&key));
        let (host, uri) = match as_host {
            true => ("bucket-1.example.com", format!("/{sent}")),
            false => ("example.com", format!("/bucket-1/{sent}")),
        };
        let (request, _) = TestRequest::new("GET", &uri).on(host).signed();
        let admitted = gate(&["example.com"]).admit(request, now());
        let admitted = admitted.map_err(|it| TestCaseError::fail(it.to_string()))?;
        prop_assert_eq!(admitted.bucket.as_deref(), Some("bucket-1"));
        prop_assert_eq!(admitted.key.as_deref(), Some(&*key));
        prop_assert_eq!(as_s3s_sees(admitted.request.uri()), S3Path::object("bucket-1", &key));
    }

    /// Whatever the path, s3s sees the bucket and key that were authorized.
    #[test]
    fn no_path_is_read_in_two_ways(path in "(/|[a-c]{3}|-|\\.|%2[fF]|%2e|%|\\+|%25|%3f|%00|[ä%]){0,12}") {
        let uri = format!("/{path}");
        let Ok(uri) = uri.parse::<Uri>() else { return Ok(()) };
        let Ok(target) = Target::parse(None, uri.path()) else { return Ok(()) };
        let handed_on = uri_of(&target, &Query::default()).unwrap();
        let expected = match (&target.bucket, &target.key) {
            (Some(bucket), Some(key)) => S3Path::object(bucket, key),
            (Some(bucket), None) => S3Path::bucket(bucket),
            (None, _) => S3Path::root(),
        };
        prop_assert_eq!(as_s3s_sees(&handed_on), expected);
        prop_assert_eq!(Target::parse(None, handed_on.path()), Ok(target));
    }

    #[test]
    fn queries_are_read_in_one_way(
        pairs in prop::collection::btree_map("[a-z +&=%ä-]{1,4}", ".{0,6}", 0..5),
    ) {
        let sent: Vec<_> = pairs.iter().map(|(name, value)| {
            format!("{}={}", percent::encode(name), percent::encode(value).replace("%20", "+"))
        }).collect();
        let query = Query::parse(&sent.join("&")).unwrap();
        let handed_on = query.canonical(None);
        let reread = Query::parse(&handed_on).unwrap();
        prop_assert_eq!(&reread.canonical(None), &handed_on);
        for (name, value) in &pairs {
            prop_assert_eq!(query.get(name), Some(value.as_str()));
            prop_assert_eq!(reread.get(name), Some(value.as_str()));
        }
    }

    #[test]
    fn a_changed_request_line_is_refused(
        (_, sent) in encoded_keys(),
        at in any::<prop::sample::Index>(),
        character in prop::sample::select(vec!['a', 'b', '/', '%', '+', '?', '&', '=', '.', '~', '0']),
        version in "[a-z0-9]{1,8}",
    ) {
        let uri = format!("/bucket-1/{sent}?versionId={version}");
        let (mut request, _) = TestRequest::new("GET", &uri).signed();
        let mut changed = uri.clone();
        let at = at.index(uri.len() - 1) + 1;
        changed.replace_range(at..=at, character.encode_utf8(&mut [0; 4]));
        let before = (percent::decode(uri.split('?').next().unwrap()), Query::parse(&version));
        prop_assume!(changed != uri);
        let Ok(parsed) = changed.parse::<Uri>() else { return Ok(()) };
        let query = Query::parse(parsed.query().unwrap_or_default());
        let path = percent::decode(parsed.path());
        // Another spelling of the same: `%2b` and `+`, in the path.
        let same_query = Query::parse(&format!("versionId={version}")) == query;
        prop_assume!(!(path == before.0 && same_query));
        *request.uri_mut() = parsed;
        let expected = match (&path, &query) {
            (_, Err(refusal)) => refusal.code(),
            (None, _) => Code::InvalidURI,
            _ => Code::SignatureDoesNotMatch,
        };
        prop_assert_eq!(code(gate(&[]).admit(request, now())), expected, "{} {}", uri, changed);
    }

    #[test]
    fn a_changed_header_or_signature_is_refused(
        which in 0..5_usize,
        at in any::<prop::sample::Index>(),
        with in prop::sample::select(b"09afgZ".to_vec()),
    ) {
        let (mut request, signature) = TestRequest::new("PUT", "/bucket-1/key")
            .body(b"abc")
            .with("x-amz-meta-a", "value")
            .with("content-type", "text/plain")
            .signed();
        let change = |value: &str, from: usize| {
            let mut bytes = value.as_bytes().to_vec();
            let at = from + at.index(bytes.len() - from);
            let is_other = bytes[at] != with;
            bytes[at] = with;
            (HeaderValue::from_bytes(&bytes).unwrap(), is_other)
        };
        let name = ["x-amz-meta-a", "content-type", "host", "x-amz-content-sha256", "authorization"][which];
        let value = request.headers()[name].to_str().unwrap().to_owned();
        let from = if name == "authorization" { value.len() - signature.len() } else { 0 };
        let (changed, is_other) = change(&value, from);
        prop_assume!(is_other);
        request.headers_mut().insert(name, changed.clone());
        let expected = match name {
            "x-amz-content-sha256" if b"gZ".contains(&with) => Code::InvalidArgument,
            _ => Code::SignatureDoesNotMatch,
        };
        prop_assert_eq!(code(gate(&[]).admit(request, now())), expected, "{}: {:?}", name, changed);
    }

    #[test]
    fn sources_of_copies_are_read_as_s3s_reads_them((key, sent) in encoded_keys()) {
        prop_assume!(!is_hidden(&key));
        let request = TestRequest::new("PUT", "/bucket-1/key")
            .with("x-amz-copy-source", &format!("bucket-1/{sent}"));
        let admitted = request.admit().map_err(|it| TestCaseError::fail(it.to_string()))?;
        prop_assert_eq!(&admitted.copy_source.unwrap().key, &key);
        let header = admitted.request.headers()["x-amz-copy-source"].to_str().unwrap();
        match s3s::dto::CopySource::parse(header).unwrap() {
            s3s::dto::CopySource::Bucket { bucket, key: parsed, version_id: None } => {
                prop_assert_eq!((&*bucket, &*parsed), ("bucket-1", &*key));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
