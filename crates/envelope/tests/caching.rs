//! The caching keyring over a keyring that counts its calls and can be switched off.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::sleep,
    time::Duration,
};

use futures_util::{FutureExt as _, future::join_all};
use sealwax_envelope::{
    BodyHeader, BoxFuture, CacheLimits, CachingKeyring, EncryptedDataKey, EncryptionContext,
    EncryptionMaterials, Keyring, KeyringError, KeyringErrorKind, LocalKeyring, ObjectHeader,
    Place, PlaintextDataKey, Unwrap, WrapContext,
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
        binding: WrapContext<'a>,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        self.0.generated.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            self.check()?;
            self.0.keyring.generate(binding, plaintext_len).await
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        self.0.keyring.wrap(data_key, binding)
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        self.0.keyring.rewrap(keys, binding)
    }

    fn unwrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Unwrap> {
        self.0.unwrapped.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            match self.check() {
                Ok(()) => self.0.keyring.unwrap(keys, context).await,
                Err(error) => Unwrap::Failed(vec![error]),
            }
        })
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.0.keyring.accepts(key)
    }

    fn expected_keys(&self, binding: WrapContext<'_>) -> Vec<EncryptedDataKey> {
        self.0.keyring.expected_keys(binding)
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

fn generate(
    keyring: &dyn Keyring,
    context: &EncryptionContext,
    place: &Place,
) -> ([u8; 32], Vec<EncryptedDataKey>) {
    let materials = run(keyring.generate(WrapContext::new(context, Some(place)), Some(1)));
    let materials = materials.unwrap_or_else(|error| panic!("{error}"));
    let (data_key, keys, _) = materials.into_parts();
    (*data_key.expose_secret(), keys)
}

fn unwrap(
    keyring: &dyn Keyring,
    keys: &[EncryptedDataKey],
    context: &EncryptionContext,
) -> Result<[u8; 32], KeyringErrorKind> {
    match run(keyring.unwrap(keys, context)) {
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
            assert_eq!(unwrap(&reader, &keys, &acme), Ok(data_key));
        }
    }
    assert_eq!(inner.calls(), (1, 1));
}

#[test]
fn a_reader_without_a_cache_unwraps_stored_keys() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let (data_key, keys) = generate(&CachingKeyring::new(inner.clone()), &acme, &place("a"));
    let header = ObjectHeader::new(acme.clone(), keys, BodyHeader::from_bytes(&[0; 56]), None)
        .expect("a header");
    let metadata = header.to_metadata();
    let parsed = ObjectHeader::parse(metadata.iter().map(|(name, value)| (*name, value.as_str())))
        .expect("parsed");
    assert_eq!(parsed, header);
    assert_eq!(unwrap(&inner, parsed.keys(), &acme), Ok(data_key));
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

#[test]
fn a_wrapped_key_is_bound_to_place_context_and_intermediate_key() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let keyring = CachingKeyring::new(inner.clone());
    let stored = |keys: Vec<EncryptedDataKey>, edit: fn(&str) -> String| {
        let header = ObjectHeader::new(
            EncryptionContext::new(),
            keys,
            BodyHeader::from_bytes(&[0; 56]),
            None,
        );
        let metadata = header.expect("a header").to_metadata();
        let edited = metadata.iter().map(|(name, value)| (*name, edit(value))).collect::<Vec<_>>();
        let parsed =
            ObjectHeader::parse(edited.iter().map(|(name, value)| (*name, value.as_str())));
        parsed.expect("well-formed").keys().to_vec()
    };
    let (data_key, keys) = generate(&keyring, &acme, &place("here"));
    assert_eq!(unwrap(&keyring, &stored(keys.clone(), str::to_owned), &acme), Ok(data_key));

    let elsewhere = stored(keys.clone(), |text| text.replace("bucket/here", "bucket/there"));
    let other = generate(&keyring, &context("other"), &place("here")).1;
    let of_other = keys[0]
        .with_intermediate(other[0].intermediate().expect("an intermediate key"))
        .expect("an intermediate key");
    // The encrypted intermediate key, passed off as an encrypted data key.
    let bare = EncryptedDataKey::new(
        keys[0].provider(),
        keys[0].wrapping_key(),
        None,
        keys[0].ciphertext().to_vec(),
    );
    for reader in [&keyring as &dyn Keyring, &inner] {
        assert_eq!(
            unwrap(reader, &elsewhere, &acme),
            Err(KeyringErrorKind::Rejected),
            "another place"
        );
        assert_eq!(
            unwrap(reader, &keys, &context("other")),
            Err(KeyringErrorKind::Rejected),
            "another context"
        );
        assert_eq!(
            unwrap(reader, std::slice::from_ref(&of_other), &acme),
            Err(KeyringErrorKind::Rejected)
        );
        assert_eq!(
            unwrap(reader, std::slice::from_ref(bare.as_ref().expect("a key")), &acme),
            Err(KeyringErrorKind::Rejected)
        );
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
    assert_eq!(unwrap(&keyring, &keys, &acme), Ok(data_key));
    inner.switch(true);
    generate(&keyring, &acme, &place("b"));
    assert_eq!(unwrap(&keyring, &keys, &acme), Ok(data_key));

    // A key past its age is no longer used.
    inner.switch(false);
    let keyring = aged(Duration::from_millis(1));
    let (data_key, keys) = generate(&keyring, &acme, &place("a"));
    assert_eq!(unwrap(&keyring, &keys, &acme), Ok(data_key));
    inner.switch(true);
    sleep(Duration::from_millis(2));
    assert_eq!(unwrap(&keyring, &keys, &acme), Err(KeyringErrorKind::Unavailable));
    let failed = run(keyring.generate(WrapContext::new(&acme, None), None)).err().expect("too old");
    assert_eq!(failed.kind(), KeyringErrorKind::Unavailable);
    inner.switch(false);
    assert_eq!(unwrap(&keyring, &keys, &acme), Ok(data_key), "a failure was cached");
}

#[test]
fn objects_and_bytes_are_limited() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let limits = CacheLimits::new().with_max_objects(4).with_max_bytes(10);
    let keyring = CachingKeyring::with_limits(inner.clone(), limits);
    let put = |len| {
        drop(
            run(keyring.generate(WrapContext::new(&acme, None), len))
                .map_err(|error| panic!("{error}")),
        );
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
    let objects = ["a", "b"]
        .map(|tenant| (context(tenant), generate(&writer, &context(tenant), &place(tenant)).1));
    let read = |n: usize| {
        let (context, keys) = &objects[n];
        unwrap(&reader, keys, context).expect("the data key is unwrapped");
        inner.calls().1
    };
    assert_eq!([0, 0, 0, 1, 1, 0].map(read), [1, 1, 1, 2, 2, 3]);
}

#[test]
fn concurrent_misses_make_one_call() {
    let (inner, acme) = (Counting::new(), context("acme"));
    let keyring = CachingKeyring::new(inner.clone());
    let all = run(join_all((0..50).map(|_| keyring.generate(WrapContext::new(&acme, None), None))));
    let all: Vec<_> =
        all.into_iter().map(|it| it.unwrap_or_else(|error| panic!("{error}"))).collect();
    assert_eq!(inner.calls(), (1, 0));
    let readers =
        all.iter().map(|materials| keyring.unwrap(materials.encrypted_data_keys(), &acme));
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
            _: WrapContext<'a>,
            _: Option<u64>,
        ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
            unreachable!("only measured")
        }
        fn wrap<'a>(
            &'a self,
            _: &'a PlaintextDataKey,
            _: WrapContext<'a>,
        ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
            unreachable!("only measured")
        }
        fn rewrap<'a>(
            &'a self,
            _: &'a [EncryptedDataKey],
            _: WrapContext<'a>,
        ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
            unreachable!("only measured")
        }
        fn unwrap<'a>(
            &'a self,
            _: &'a [EncryptedDataKey],
            _: &'a EncryptionContext,
        ) -> BoxFuture<'a, Unwrap> {
            unreachable!("only measured")
        }
        fn accepts(&self, _: &EncryptedDataKey) -> bool {
            true
        }
        fn expected_keys(&self, binding: WrapContext<'_>) -> Vec<EncryptedDataKey> {
            let arn = |region| {
                format!(
                    "arn:aws:kms:{region}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
                )
            };
            ["us-east-1", "us-west-2", "eu-west-1", "ap-southeast-2"]
                .map(|region| {
                    EncryptedDataKey::new(
                        "aws-kms",
                        arn(region),
                        binding.place().cloned(),
                        vec![0; 184],
                    )
                    .expect("a key")
                })
                .to_vec()
        }
    }
    let context =
        EncryptionContext::try_from_iter([("tenant", "t".repeat(80))]).expect("a context");
    let place = Place::new("a-bucket-of-some-name", &"k".repeat(80)).expect("a place");
    let expected =
        CachingKeyring::new(FourKms).expected_keys(WrapContext::new(&context, Some(&place)));
    let header =
        ObjectHeader::new(context, expected, BodyHeader::from_bytes(&[0; 56]), Some(1 << 40))
            .expect("a header");
    header.check_fits([]).expect("it fits");
}
