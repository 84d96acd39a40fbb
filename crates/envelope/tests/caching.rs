//! The caching keyring over a keyring that counts its calls and can be switched off.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::sleep,
    time::Duration,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use futures_util::{FutureExt as _, future::join_all};
use sealwax_envelope::{
    BodyHeader, BoxFuture, CacheLimits, CachingKeyring, EncryptedDataKey, EncryptionContext,
    EncryptionMaterials, Error, KeyObject, Keyring, KeyringError, KeyringErrorKind, LocalKeyring,
    ObjectHeader, PLACE_PAIR, Place, PlaintextDataKey, SALT_PAIR, SCOPE_PAIR, Scope, Unwrap,
    WrapContext, WrappedForms, metadata,
};

#[derive(Debug, Clone)]
struct Counting(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keyring: LocalKeyring,
    generated: AtomicUsize,
    unwrapped: AtomicUsize,
    down: AtomicBool,
}

impl Counting {
    fn new() -> Self {
        let keyring = LocalKeyring::new("wrapping-key", &mut [7; 32]).expect("a keyring");
        let (generated, unwrapped, down) = Default::default();
        Self(Arc::new(Inner { keyring, generated, unwrapped, down }))
    }

    fn calls(&self) -> (usize, usize) {
        (self.0.generated.load(Ordering::Relaxed), self.0.unwrapped.load(Ordering::Relaxed))
    }

    fn switch(&self, down: bool) {
        self.0.down.store(down, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), KeyringError> {
        match self.0.down.load(Ordering::Relaxed) {
            true => Err(KeyringError::new(KeyringErrorKind::Unavailable, "wrapping-key")),
            false => Ok(()),
        }
    }
}

impl Keyring for Counting {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        self.0.generated.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            self.check()?;
            self.0.keyring.generate(wrap_context, plaintext_len).await
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        self.0.keyring.wrap(data_key, wrap_context)
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        self.0.keyring.rewrap(keys, wrap_context)
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        self.0.unwrapped.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match self.check() {
                Ok(()) => self.0.keyring.unwrap(keys).await,
                Err(error) => Unwrap::Failed(vec![error]),
            }
        })
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.0.keyring.accepts(key)
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        self.0.keyring.expected_keys(wrap_context)
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing waits")
}

fn context(tenant: &str) -> EncryptionContext {
    EncryptionContext::try_from_iter([("tenant", tenant)]).expect("a context")
}

fn place(key: &str) -> Place {
    Place::new("bucket", key).expect("a place")
}

/// Returns the header of a body whose salt begins with `number`.
fn body(number: u8) -> BodyHeader {
    BodyHeader::from_bytes(&[number; 56])
}

fn bound_to(context: &EncryptionContext, place: Option<&Place>) -> WrapContext {
    WrapContext::for_stored_data_key(context.clone(), place.cloned(), &body(0))
}

fn generate(
    keyring: &dyn Keyring,
    context: &EncryptionContext,
    place: &Place,
) -> ([u8; 32], Vec<EncryptedDataKey>) {
    generate_for(keyring, &bound_to(context, Some(place)))
}

fn generate_for(
    keyring: &dyn Keyring,
    wrap_context: &WrapContext,
) -> ([u8; 32], Vec<EncryptedDataKey>) {
    let materials = run(keyring.generate(wrap_context, Some(1)));
    let materials = materials.unwrap_or_else(|error| panic!("{error}"));
    let (data_key, keys, _) = materials.into_parts();
    (*data_key.expose_secret(), keys)
}

/// Returns the keys as stored, after `edit` changed the value of each of the object's metadata. So
/// an attacker makes keys claim a binding that they do not have.
fn edited(header: &ObjectHeader, edit: impl Fn(&str) -> String) -> Vec<EncryptedDataKey> {
    let metadata = header.to_metadata();
    let edited: Vec<_> = metadata.iter().map(|(name, value)| (*name, edit(value))).collect();
    let parsed = ObjectHeader::parse(edited.iter().map(|(name, value)| (*name, value.as_str())));
    parsed.expect("well-formed").keys().to_vec()
}

fn header(context: &EncryptionContext, keys: &[EncryptedDataKey]) -> ObjectHeader {
    ObjectHeader::new(context.clone(), keys.to_vec(), body(0), None).expect("a header")
}

fn unwrap(keyring: &dyn Keyring, keys: &[EncryptedDataKey]) -> Result<[u8; 32], KeyringErrorKind> {
    match run(keyring.unwrap(keys)) {
        Unwrap::Unwrapped(data_key) => Ok(*data_key.expose_secret()),
        Unwrap::Failed(failures) => Err(failures[0].kind()),
        Unwrap::NotMine => panic!("not mine"),
    }
}

/// FORMAT.md W5: no body is sealed under an intermediate key.
#[test]
fn ten_thousand_objects_cost_one_call_and_have_distinct_data_keys() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let (writer, reader) = (CachingKeyring::new(inner.clone()), CachingKeyring::new(inner.clone()));
    let mut data_keys = HashSet::new();
    for n in 0..10_000 {
        let place = place(&n.to_string());
        let (data_key, keys) = generate(&writer, &acme, &place);
        assert!(data_keys.insert(data_key), "two objects have one data key");
        assert_eq!(keys.iter().map(EncryptedDataKey::place).collect::<Vec<_>>(), [Some(&place)]);
        if n % 100 == 0 {
            assert_eq!(unwrap(&reader, &keys), Ok(data_key));
        }
    }
    assert_eq!(inner.calls(), (1, 1));
}

#[test]
fn a_reader_without_a_cache_unwraps_stored_keys() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let (data_key, keys) = generate(&CachingKeyring::new(inner.clone()), &acme, &place("a"));
    let header = header(&acme, &keys);
    let metadata = header.to_metadata();
    let parsed = ObjectHeader::parse(metadata.iter().map(|(name, value)| (*name, value.as_str())))
        .expect("parsed");
    assert_eq!(parsed, header);
    assert_eq!(unwrap(&inner, parsed.keys()), Ok(data_key));
}

/// FORMAT.md W5: an intermediate key has one encryption context.
#[test]
fn contexts_share_no_intermediate_key() {
    let inner = Counting::new();
    let keyring = CachingKeyring::new(inner.clone());
    let keys = ["a", "b", "a"]
        .map(|tenant| generate(&keyring, &context(tenant), &place("k")).1[0].ciphertext().to_vec());
    assert_eq!(inner.calls().0, 2);
    assert!(keys[0] == keys[2] && keys[0] != keys[1]);
}

/// Whatever the metadata claim, a wrapped key opens with its own binding only, whether or not the
/// reader has its intermediate key already.
#[test]
fn a_wrapped_key_is_bound_to_place_context_body_and_intermediate_key() {
    let (inner, acme, here) = (Counting::new(), context("acme"), place("folder/here"));
    let limits = CacheLimits::new().with_max_objects(1);
    let writer = CachingKeyring::with_limits(inner.clone(), limits);
    let (data_key, keys) = generate(&writer, &acme, &here);
    let (others_data_key, others) = generate(&writer, &acme, &here);
    assert_ne!(keys[0].intermediate_id(), others[0].intermediate_id());
    let scopes = writer.expected_keys(&bound_to(&acme, Some(&here)));
    assert_eq!(scopes[0].scope().map(ToString::to_string).as_deref(), Some("bucket/"));

    let stored = header(&acme, &keys);
    let id = |keys: &[EncryptedDataKey]| keys[0].intermediate_id().expect("one").to_string();
    let (own_id, other_id) = (id(&keys), id(&others));
    let with_id = |at: usize| {
        let mut bytes = URL_SAFE_NO_PAD.decode(&own_id).expect("base64url");
        bytes[at] ^= 1;
        edited(&stored, |text| text.replace(&own_id, &URL_SAFE_NO_PAD.encode(&bytes)))
    };
    let base64 = |keys: &[EncryptedDataKey]| STANDARD_NO_PAD.encode(keys[0].ciphertext());
    let body = |number| STANDARD_NO_PAD.encode(body(number).to_bytes());
    let forgeries = [
        ("another place", edited(&stored, |text| text.replace("/here", "/there"))),
        ("no place", {
            let unplaced =
                |text: &str| text.replace(r#""place":"bucket/folder/here","scope":7,"#, "");
            edited(&stored, unplaced)
        }),
        ("another context", edited(&stored, |text| text.replace("acme", "acme2"))),
        ("another body", edited(&stored, |text| text.replace(&body(0), &body(1)))),
        ("another scope", edited(&stored, |text| text.replace(r#""scope":7"#, r#""scope":14"#))),
        ("another r", with_id(0)),
        ("another c", with_id(31)),
        ("another id", edited(&stored, |text| text.replace(&own_id, &other_id))),
        (
            "another intermediate key",
            edited(&stored, |text| {
                text.replace(&own_id, &other_id).replace(&base64(&keys), &base64(&others))
            }),
        ),
        // The encrypted intermediate key, passed off as an encrypted data key.
        ("no intermediate key", {
            let direct = bound_to(&acme, Some(&here));
            let bare = EncryptedDataKey::new(
                keys[0].provider(),
                keys[0].wrapping_key(),
                keys[0].ciphertext().to_vec(),
                &direct,
            );
            vec![bare.expect("a key")]
        }),
    ];
    let (new, knowing) =
        (|| CachingKeyring::new(inner.clone()), CachingKeyring::new(inner.clone()));
    assert_eq!(unwrap(&knowing, &edited(&stored, str::to_owned)), Ok(data_key));
    assert_eq!(unwrap(&knowing, &others), Ok(others_data_key));
    for (what, forged) in &forgeries {
        for reader in [&inner as &dyn Keyring, &new(), &knowing] {
            assert_eq!(unwrap(reader, forged), Err(KeyringErrorKind::Rejected), "{what}");
        }
    }
    assert_eq!(unwrap(&knowing, &keys), Ok(data_key), "a forgery displaced it");
    // A reader that knows the intermediate key of the id does not need its wrapped form.
    let other_form = edited(&stored, |text| text.replace(&base64(&keys), &base64(&others)));
    assert_eq!(unwrap(&knowing, &other_form), Ok(data_key));
    for reader in [&inner as &dyn Keyring, &new()] {
        assert_eq!(unwrap(reader, &other_form), Err(KeyringErrorKind::Rejected));
    }
}

/// FORMAT.md R10: a cached key opens an object only if the reader accepts one of its wrapped keys.
#[test]
fn what_a_reader_opened_before_opens_no_object_that_it_must_not_open() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let reader = CachingKeyring::new(inner.clone());
    let (data_key, keys) = generate(&reader, &acme, &place("k"));
    assert_eq!(unwrap(&reader, &keys), Ok(data_key));
    // The same intermediate key, encrypted under a key that the reader does not accept.
    let stored = header(&acme, &keys);
    let others = edited(&stored, |text| text.replace("wrapping-key", "anothers-key"));
    assert_eq!(others[0].intermediate_id(), keys[0].intermediate_id());
    assert!(matches!(run(reader.unwrap(&others)), Unwrap::NotMine));
}

#[test]
fn by_form_an_object_opens_only_if_its_own_wrapped_form_does() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let writer = CachingKeyring::new(inner.clone());
    let [(one, one_keys), (other, other_keys)] =
        ["one", "other"].map(|key| generate(&writer, &acme, &place(key)));
    let damaged = edited(&header(&acme, &other_keys), |text| {
        let form = STANDARD_NO_PAD.encode(other_keys[0].ciphertext());
        let first = if form.starts_with('A') { "B" } else { "A" };
        text.replace(&form, &format!("{first}{}", &form[1..]))
    });
    assert_ne!(damaged[0].ciphertext(), other_keys[0].ciphertext());
    let (by_id, by_form) =
        (CachingKeyring::new(inner.clone()), CachingKeyring::new(inner.clone()).by_form());
    for reader in [&by_id, &by_form] {
        let (_, before) = inner.calls();
        for _ in 0..3 {
            assert_eq!(unwrap(reader, &one_keys), Ok(one));
            assert_eq!(unwrap(reader, &other_keys), Ok(other), "it has the same form");
        }
        assert_eq!(inner.calls().1, before + 1);
    }
    assert_eq!(unwrap(&by_id, &damaged), Ok(other), "by the key that another form held");
    assert_eq!(unwrap(&by_form, &damaged), Err(KeyringErrorKind::Rejected));
    // With a form that opens beside it, it does.
    let both = [damaged, other_keys].concat();
    assert_eq!(unwrap(&by_form, &both), Ok(other));
}

/// FORMAT.md W5: an intermediate key has one scope.
#[test]
fn objects_share_an_intermediate_key_only_within_its_scope() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let objects = ["k", "a/k", "a/l", "a/b/k", "b/k", "b/c/k", "b/c/l"];
    for (folders, scopes, calls) in [
        (0, ["bucket/"; 7], 1),
        (
            1,
            [
                "bucket/",
                "bucket/a/",
                "bucket/a/",
                "bucket/a/",
                "bucket/b/",
                "bucket/b/",
                "bucket/b/",
            ],
            3,
        ),
        (
            2,
            [
                "bucket/",
                "bucket/a/",
                "bucket/a/",
                "bucket/a/b/",
                "bucket/b/",
                "bucket/b/c/",
                "bucket/b/c/",
            ],
            5,
        ),
    ] {
        let limits = CacheLimits::new().with_scope_folders(folders);
        assert_eq!(limits.scope_folders(), folders);
        let keyring = CachingKeyring::with_limits(inner.clone(), limits);
        let before = inner.calls().0;
        let mut ids = HashMap::new();
        for (key, scope) in objects.iter().zip(scopes) {
            let wrap_context = bound_to(&acme, Some(&place(key)));
            let (data_key, keys) = generate_for(&keyring, &wrap_context);
            assert_eq!(keys[0].scope().map(Scope::as_str), Some(scope), "{key}");
            let pairs = keys[0].wrap_context().pairs();
            assert_eq!(pairs.get(SCOPE_PAIR).map(String::as_str), Some(scope), "{key}");
            assert!(!pairs.contains_key(PLACE_PAIR) && !pairs.contains_key(SALT_PAIR));
            assert_eq!(unwrap(&keyring, &keys), Ok(data_key), "{key}");
            let id = *keys[0].intermediate_id().expect("an intermediate key");
            assert_eq!(*ids.entry(scope).or_insert(id), id, "{key}");
            let expected = keyring.expected_keys(&wrap_context);
            assert_eq!(expected[0].scope(), keys[0].scope(), "{key}");
        }
        assert_eq!((ids.len(), inner.calls().0 - before), (calls, calls));
        assert_eq!(ids.values().collect::<HashSet<_>>().len(), calls);
    }
    // Without places there are no scopes.
    let keyring = CachingKeyring::new(inner.clone());
    let (data_key, keys) = generate_for(&keyring, &bound_to(&acme, None));
    assert_eq!((keys[0].scope(), unwrap(&inner, &keys)), (None, Ok(data_key)));
}

/// Returns a context of two pairs.
fn document(tenant: &str, document: &str) -> EncryptionContext {
    context(tenant).with("document", document).expect("a context")
}

/// FORMAT.md W5: contexts share an intermediate key if they share the pairs that it is bound to.
#[test]
fn objects_share_an_intermediate_key_if_they_share_its_pairs() {
    let inner = Counting::new();
    let contexts =
        [document("acme", "1"), document("acme", "2"), document("evil", "1"), context("acme")];
    for (names, calls, bound, same) in [
        (&["tenant"][..], 2, [1, 1, 1, 1], [0, 0, 2, 0]),
        (&["document"], 3, [1, 1, 1, 0], [0, 1, 0, 3]),
        (&[], 1, [0, 0, 0, 0], [0, 0, 0, 0]),
        (&["tenant", "document"], 4, [2, 2, 2, 1], [0, 1, 2, 3]),
        (&["elsewhere", "tenant", "tenant"], 2, [1, 1, 1, 1], [0, 0, 2, 0]),
        (&["Tenant"], 1, [0, 0, 0, 0], [0, 0, 0, 0]),
    ] {
        let keyring = CachingKeyring::new(inner.clone()).with_key_context(names.iter().copied());
        let before = inner.calls().0;
        let objects = contexts.each_ref().map(|context| generate(&keyring, context, &place("k")));
        assert_eq!(inner.calls().0 - before, calls, "{names:?}");
        let ids = objects.each_ref().map(|(_, keys)| keys[0].intermediate_id().copied());
        for (at, (context, (data_key, keys))) in contexts.iter().zip(&objects).enumerate() {
            let binding = keys[0].wrap_context();
            assert_eq!(ids[at], ids[same[at]], "{names:?} {context:?}");
            assert_eq!(binding.context().len(), bound[at], "{names:?} {context:?}");
            assert!(binding.context().is_part_of(context));
            assert_eq!(keys[0].data_key_context().context(), context);
            // Stored, parsed and opened without a cache, and by one that knows the key.
            let keys = edited(&header(context, keys), str::to_owned);
            assert_eq!(keys[0].wrap_context(), binding);
            for reader in [&inner as &dyn Keyring, &keyring] {
                assert_eq!(unwrap(reader, &keys), Ok(*data_key), "{names:?} {context:?}");
            }
            let expected = keyring.expected_keys(&bound_to(context, Some(&place("k"))));
            assert_eq!(expected[0].wrap_context().context(), binding.context());
        }
    }
}

/// Objects of one tenant share an intermediate key, and no data key: each is bound to all pairs.
#[test]
fn a_shared_intermediate_key_binds_the_data_key_to_all_pairs() {
    let inner = Counting::new();
    let keyring = CachingKeyring::new(inner.clone()).with_key_context(["tenant"]);
    let (context, place) = (document("acme", "1"), place("k"));
    let (data_key, keys) = generate(&keyring, &context, &place);
    let stored = header(&context, &keys);
    assert_eq!(unwrap(&keyring, &edited(&stored, str::to_owned)), Ok(data_key));
    for (what, from, to) in [
        ("another document", r#""document":"1""#, r#""document":"2""#),
        ("another tenant", "acme", "evil"),
        ("another pair for the intermediate key", r#"["tenant"]"#, r#"["document"]"#),
        ("no pair for the intermediate key", r#"["tenant"]"#, "[]"),
        ("all pairs for the intermediate key", r#""context":["tenant"],"#, ""),
    ] {
        let forged = edited(&stored, |text| text.replace(from, to));
        for reader in [&inner as &dyn Keyring, &keyring] {
            assert_eq!(unwrap(reader, &forged), Err(KeyringErrorKind::Rejected), "{what}");
        }
    }
}

/// Returns the stored list of keys.
fn keys_of(header: &ObjectHeader) -> String {
    let mut metadata = header.to_metadata().into_iter();
    metadata.find(|(name, _)| *name == metadata::KEYS).expect("the keys").1
}

/// FORMAT.md W20: no object, sidecar or copy has a wrapped key of a detached intermediate key.
#[test]
fn detached_keys_leave_no_wrapped_form_in_a_header() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let keyring = CachingKeyring::new(inner.clone()).with_wrapped_forms(WrappedForms::Detached);
    let (data_key, keys) = generate(&keyring, &acme, &place("k"));
    let header = header(&acme, &keys);
    assert_eq!((header.keys(), header.detached().len()), (&[][..], 1));
    let texts = [keys_of(&header), header.to_sidecar().expect("a sidecar")];
    for text in texts {
        assert!(text.contains("data-key") && !text.contains("wrapping-key"), "{text}");
        assert!(!text.contains(&STANDARD_NO_PAD.encode(keys[0].ciphertext())), "{text}");
    }
    // A rewrap adds a direct key, and leaves the detached one without wrapped forms.
    let direct = generate(&inner, &acme, &place("k")).1;
    let rewrapped = header.rewrapped([direct.clone(), keys.clone()].concat()).expect("a header");
    assert_eq!((rewrapped.keys(), rewrapped.detached()), (&direct[..], header.detached()));

    // The key store has the form, and opens the object.
    let object = KeyObject::of(&keys[0]).expect("an intermediate key");
    let parsed = KeyObject::parse(object.to_json().as_bytes()).expect("a key object");
    let [slot] = header.slots().try_into().expect("one group");
    let stored = slot.with_form(parsed.form()).expect("of this object");
    for reader in [&inner as &dyn Keyring, &keyring, &CachingKeyring::new(inner.clone())] {
        assert_eq!(unwrap(reader, std::slice::from_ref(&stored)), Ok(data_key));
    }
    // A key of the same binding and random half of the id, which only `c` tells apart.
    let id = object.id().to_string();
    let mut bytes = URL_SAFE_NO_PAD.decode(&id).expect("base64url");
    bytes[31] ^= 1;
    let other = object.to_json().replace(&id, &URL_SAFE_NO_PAD.encode(bytes));
    let other = KeyObject::parse(other.as_bytes()).expect("a key object");
    assert_eq!(slot.with_form(other.form()), None);
    // A detached key and one that is not are not forms of each other.
    let attached = CachingKeyring::new(inner.clone());
    let (_, others) = generate(&attached, &acme, &place("k"));
    let other = KeyObject::of(&others[0]).expect("an intermediate key");
    assert_eq!(slot.with_form(other.form()), None);
    let expected = keyring.expected_keys(&bound_to(&acme, Some(&place("k"))));
    assert!(expected[0].wrap_context().is_detached());
    let expected = ObjectHeader::new(acme.clone(), expected, body(0), None).expect("a header");
    assert_eq!(keys_of(&expected).len(), keys_of(&header).len(), "the size is known before");
}

/// The age of writing and that of reading are set apart.
#[test]
fn a_key_is_read_longer_or_shorter_than_it_is_written_with() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let short = Duration::from_millis(1);
    let long = Duration::from_secs(86_400);
    for (limits, calls) in [
        (CacheLimits::new().with_max_age(long).with_max_writing_age(short), (2, 1)),
        (CacheLimits::new().with_max_age(short).with_max_writing_age(long), (1, 2)),
        (CacheLimits::new().with_max_writing_age(short).with_max_age(long), (1, 1)),
    ] {
        let keyring = CachingKeyring::with_limits(inner.clone(), limits);
        let before = inner.calls();
        let (data_key, keys) = generate(&keyring, &acme, &place("a"));
        assert_eq!(unwrap(&keyring, &keys), Ok(data_key));
        sleep(2 * short);
        generate(&keyring, &acme, &place("b"));
        assert_eq!(unwrap(&keyring, &keys), Ok(data_key));
        let after = inner.calls();
        assert_eq!((after.0 - before.0, after.1 - before.1), calls, "{limits:?}");
    }
    let limits = CacheLimits::new().with_max_writing_age(long);
    assert_eq!((limits.max_age(), limits.max_writing_age()), (Duration::from_secs(300), long));
}

/// FORMAT.md W1: wrapped keys belong to one body.
#[test]
fn a_header_takes_no_keys_of_another_body_or_context() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let misuse =
        Err(Error::ApiMisuse("a wrapped key is bound to another body or encryption context"));
    for keyring in [&inner as &dyn Keyring, &CachingKeyring::new(inner.clone())] {
        let keys = generate(keyring, &acme, &place("k")).1;
        let of = |context: &EncryptionContext, number| {
            ObjectHeader::new(context.clone(), keys.clone(), body(number), None).map(drop)
        };
        assert_eq!(of(&acme, 0), Ok(()));
        assert_eq!(of(&acme, 1), misuse, "{keyring:?}");
        assert_eq!(of(&context("other"), 0), misuse, "{keyring:?}");
        let other = WrapContext::for_stored_data_key(acme.clone(), Some(place("k")), &body(1));
        let others = generate_for(keyring, &other).1;
        let stored = ObjectHeader::new(acme.clone(), others.clone(), body(1), None);
        let stored = stored.expect("a header");
        assert_eq!(stored.rewrapped(keys.clone()).map(drop), misuse, "{keyring:?}");
        assert_eq!(stored.rewrapped([others, keys].concat()).map(drop), misuse, "{keyring:?}");
    }
}

/// A wrapped key of another body of the same place and context, such as an older version of the
/// object, does not open.
#[test]
fn a_wrapped_key_of_another_body_is_rejected() {
    let (inner, acme) = (Counting::new(), context("acme"));
    for keyring in [&inner as &dyn Keyring, &CachingKeyring::new(inner.clone())] {
        let (data_key, keys) = generate(keyring, &acme, &place("k"));
        let header_of = |number| STANDARD_NO_PAD.encode(body(number).to_bytes());
        let stored = header(&acme, &keys);
        assert_eq!(unwrap(keyring, &edited(&stored, str::to_owned)), Ok(data_key));
        let forged = edited(&stored, |text| text.replace(&header_of(0), &header_of(1)));
        for reader in [keyring, &inner] {
            assert_eq!(unwrap(reader, &forged), Err(KeyringErrorKind::Rejected), "{reader:?}");
        }
    }
}

#[test]
fn within_its_limits_the_cache_needs_no_key_service() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let aged = |age| {
        let limits = CacheLimits::new().with_max_age(age);
        CachingKeyring::with_limits(inner.clone(), limits)
    };
    let keyring = aged(Duration::from_secs(86_400));
    let (data_key, keys) = generate(&keyring, &acme, &place("a"));
    assert_eq!(unwrap(&keyring, &keys), Ok(data_key));
    inner.switch(true);
    generate(&keyring, &acme, &place("b"));
    assert_eq!(unwrap(&keyring, &keys), Ok(data_key));

    // A key past its age is no longer used.
    inner.switch(false);
    let keyring = aged(Duration::from_millis(1));
    let (data_key, keys) = generate(&keyring, &acme, &place("a"));
    assert_eq!(unwrap(&keyring, &keys), Ok(data_key));
    inner.switch(true);
    sleep(Duration::from_millis(2));
    assert_eq!(unwrap(&keyring, &keys), Err(KeyringErrorKind::Unavailable));
    let failed = run(keyring.generate(&bound_to(&acme, None), None)).err().expect("too old");
    assert_eq!(failed.kind(), KeyringErrorKind::Unavailable);
    inner.switch(false);
    assert_eq!(unwrap(&keyring, &keys), Ok(data_key), "a failure was cached");
}

#[test]
fn objects_and_bytes_are_limited() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let limits = CacheLimits::new().with_max_objects(4).with_max_bytes(10);
    let keyring = CachingKeyring::with_limits(inner.clone(), limits);
    let put = |len| {
        drop(run(keyring.generate(&bound_to(&acme, None), len)).map_err(|error| panic!("{error}")));
    };
    (0..4).for_each(|_| put(Some(1)));
    assert_eq!(inner.calls().0, 1);
    put(Some(1));
    assert_eq!(inner.calls().0, 2, "four objects");
    put(Some(10));
    assert_eq!(inner.calls().0, 3, "ten bytes");
    put(None);
    put(Some(1));
    assert_eq!(inner.calls().0, 5, "an object of unknown length has its own key");
}

#[test]
fn reading_is_limited_by_the_number_of_keys_not_of_objects() {
    let inner = Counting::new();
    let limits = CacheLimits::new().with_max_objects(1).with_max_bytes(1).with_max_entries(1);
    let (writer, reader) =
        (CachingKeyring::new(inner.clone()), CachingKeyring::with_limits(inner.clone(), limits));
    let objects = ["a", "b"].map(|tenant| generate(&writer, &context(tenant), &place(tenant)).1);
    let read = |n: usize| {
        unwrap(&reader, &objects[n]).expect("the data key is unwrapped");
        inner.calls().1
    };
    assert_eq!([0, 0, 0, 1, 1, 0].map(read), [1, 1, 1, 2, 2, 3]);
}

#[test]
fn concurrent_misses_make_one_call() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let keyring = CachingKeyring::new(inner.clone());
    let wrap_context = bound_to(&acme, None);
    let all = run(join_all((0..50).map(|_| keyring.generate(&wrap_context, None))));
    let all: Vec<_> =
        all.into_iter().map(|it| it.unwrap_or_else(|error| panic!("{error}"))).collect();
    assert_eq!(inner.calls(), (1, 0));
    let readers = all.iter().map(|materials| keyring.unwrap(materials.encrypted_data_keys()));
    for (unwrapped, materials) in run(join_all(readers)).into_iter().zip(&all) {
        let Unwrap::Unwrapped(data_key) = unwrapped else {
            panic!("the data key is not unwrapped")
        };
        assert_eq!(data_key.expose_secret(), materials.data_key().expose_secret());
    }
    assert_eq!(inner.calls(), (1, 1));
}

#[test]
fn four_kms_keys_fit_beside_200_bytes() {
    #[derive(Debug)]
    struct FourKms;
    impl Keyring for FourKms {
        fn generate<'a>(
            &'a self,
            _: &'a WrapContext,
            _: Option<u64>,
        ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
            unreachable!("only measured")
        }
        fn wrap<'a>(
            &'a self,
            _: &'a PlaintextDataKey,
            _: &'a WrapContext,
        ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
            unreachable!("only measured")
        }
        fn rewrap<'a>(
            &'a self,
            _: &'a [EncryptedDataKey],
            _: &'a WrapContext,
        ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
            unreachable!("only measured")
        }
        fn unwrap<'a>(&'a self, _: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
            unreachable!("only measured")
        }
        fn accepts(&self, _: &EncryptedDataKey) -> bool {
            true
        }
        fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
            let arn = |region| {
                format!(
                    "arn:aws:kms:{region}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
                )
            };
            ["us-east-1", "us-west-2", "eu-west-1", "ap-southeast-2"]
                .map(|region| {
                    EncryptedDataKey::new("aws-kms", arn(region), vec![0; 184], wrap_context)
                        .expect("a key")
                })
                .to_vec()
        }
    }
    let context =
        EncryptionContext::try_from_iter([("tenant", "t".repeat(87))]).expect("a context");
    let place = Place::new("a-bucket-of-some-name", &"k".repeat(78)).expect("a place");
    assert_eq!((context.to_json().len(), place.as_str().len()), (100, 100));
    let wrap_context = bound_to(&context, Some(&place));
    let needed = |keyring: &dyn Keyring| {
        let keys = keyring.expected_keys(&wrap_context);
        let header = ObjectHeader::new(context.clone(), keys, body(0), Some((1 << 52) - 1));
        let header = header.expect("a header");
        header.check_fits([]).expect("it fits");
        header.to_metadata().iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    };
    let cached = CachingKeyring::new(FourKms);
    assert_eq!((needed(&FourKms), needed(&cached)), (1_781, 1_947));
    // `"context":[],`, and no keys.
    let of_no_pair = CachingKeyring::new(FourKms).with_key_context::<&str>([]);
    let detached = CachingKeyring::new(FourKms).with_wrapped_forms(WrappedForms::Detached);
    assert_eq!((needed(&of_no_pair), needed(&detached)), (1_947 + 13, 577));
}
