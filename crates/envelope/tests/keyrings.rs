//! Multi-keyrings, shared keyrings, and the cache over a key service that re-encrypts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use sealwax_envelope::{
    BodyHeader, BoxFuture, CacheLimits, CachingKeyring, EncryptedDataKey, EncryptionContext,
    EncryptionMaterials, KeyMaterial, Keyring, KeyringError, KeyringErrorKind, LocalKeyring,
    MissingKey, MultiKeyring, ObjectHeader, Place, PlaintextDataKey, Unwrap, WrapContext, s3ec,
};

fn run<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing waits")
}

fn local(name: &str) -> LocalKeyring {
    LocalKeyring::new(name, &mut [name.as_bytes()[0]; 32]).expect("a keyring")
}

fn place(key: &str) -> Place {
    Place::new("bucket", key).expect("a place")
}

fn names(keys: &[EncryptedDataKey]) -> Vec<&str> {
    keys.iter().map(EncryptedDataKey::wrapping_key).collect()
}

/// Returns the binding of the data key of the body with a salt of `number`, at a place if given.
fn bound_to(place: Option<&Place>, number: u8) -> WrapContext {
    let body = BodyHeader::from_bytes(&[number; 56]);
    WrapContext::for_stored_data_key(context(), place.cloned(), &body)
}

fn context() -> EncryptionContext {
    EncryptionContext::try_from_iter([("tenant", "acme")]).expect("a context")
}

/// Returns the keys as stored, but with another encryption context, as an attacker can.
fn of_another_context(keys: &[EncryptedDataKey]) -> Vec<EncryptedDataKey> {
    let body = BodyHeader::from_bytes(&[0; 56]);
    let header = ObjectHeader::new(context(), keys.to_vec(), body, None).expect("a header");
    let metadata = header.to_metadata().into_iter();
    let forged: Vec<_> =
        metadata.map(|(name, value)| (name, value.replace("acme", "acme2"))).collect();
    let parsed = ObjectHeader::parse(forged.iter().map(|(name, value)| (*name, value.as_str())));
    parsed.expect("well-formed").keys().to_vec()
}

fn generate(
    keyring: &dyn Keyring,
    wrap_context: &WrapContext,
) -> (PlaintextDataKey, Vec<EncryptedDataKey>, Vec<MissingKey>) {
    let materials = run(keyring.generate(wrap_context, Some(1)));
    materials.unwrap_or_else(|error| panic!("{error}")).into_parts()
}

fn unwrap(
    keyring: &dyn Keyring,
    keys: &[EncryptedDataKey],
) -> Result<[u8; 32], Vec<(KeyringErrorKind, String)>> {
    match run(keyring.unwrap(keys)) {
        Unwrap::Unwrapped(data_key) => Ok(*data_key.expose_secret()),
        Unwrap::Failed(failures) => {
            Err(failures.iter().map(|it| (it.kind(), it.wrapping_key().to_owned())).collect())
        }
        Unwrap::NotMine => Err(Vec::new()),
    }
}

/// A key service that re-encrypts keys from `from` to `to` internally, or is down.
#[derive(Debug)]
struct Service {
    from: LocalKeyring,
    to: LocalKeyring,
    down: bool,
    calls: AtomicUsize,
}

impl Service {
    fn new(down: bool) -> Arc<Self> {
        Arc::new(Self { from: local("from"), to: local("to"), down, calls: AtomicUsize::new(0) })
    }

    fn calls(&self) -> usize {
        self.calls.swap(0, Ordering::Relaxed)
    }

    async fn re_encrypt(
        &self,
        key: &EncryptedDataKey,
        target: &WrapContext,
    ) -> Result<Option<EncryptedDataKey>, KeyringError> {
        let binding = key.wrap_context_for(target).filter(|_| self.from.accepts(key));
        let Some(binding) = binding else {
            return Ok(None);
        };
        self.calls.fetch_add(1, Ordering::Relaxed);
        match self.from.unwrap(std::slice::from_ref(key)).await {
            Unwrap::Unwrapped(data_key) => {
                let new = self.to.wrap(&data_key, &binding).await?.pop();
                Ok(new.map(|new| key.with_intermediate(new.clone()).unwrap_or(new)))
            }
            Unwrap::Failed(mut failures) => Err(failures.remove(0)),
            Unwrap::NotMine => unreachable!("the key is accepted"),
        }
    }
}

impl Keyring for Service {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(async move {
            let missing = MissingKey::new("local", "lacking").expect("a name");
            Ok(self.from.generate(wrap_context, len).await?.with_missing(vec![missing]))
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        self.from.wrap(data_key, wrap_context)
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move {
            for key in keys {
                if let Some(wrapped) = self.re_encrypt(key, wrap_context).await? {
                    return Ok(Some(vec![wrapped]));
                }
            }
            Ok(None)
        })
    }

    /// `to` is a replica of `from`.
    fn carry<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(self.re_encrypt(key, wrap_context))
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(self.re_encrypt(key, key.data_key_context()))
    }

    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        Box::pin(async { Ok(self.accepts(key).then(|| KeyMaterial::new("the first", false))) })
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        if self.down {
            return Box::pin(async {
                Unwrap::Failed(vec![KeyringError::new(KeyringErrorKind::Unavailable, "from")])
            });
        }
        self.from.unwrap(keys)
    }

    fn can_rewrap(&self, keys: &[EncryptedDataKey], wrap_context: &WrapContext) -> bool {
        keys.iter()
            .any(|key| self.from.accepts(key) && key.wrap_context_for(wrap_context).is_some())
    }

    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        keys.iter().find(|key| self.from.accepts(key)).map(|key| key.wrapping_key().to_owned())
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.from.accepts(key)
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        self.from.expected_keys(wrap_context)
    }

    fn s3ec(&self) -> Option<&dyn s3ec::Keyring> {
        Some(self)
    }
}

impl s3ec::Keyring for Service {
    fn accepts(&self, _: s3ec::WrapAlgorithm) -> bool {
        !self.down
    }

    fn binds_context(&self) -> bool {
        true
    }

    fn wrap<'a>(
        &'a self,
        _: &'a PlaintextDataKey,
        _: s3ec::ContentSuite,
        _: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<s3ec::WrappedKey, KeyringError>> {
        unreachable!("no test wraps")
    }

    fn unwrap<'a>(
        &'a self,
        _: &'a s3ec::Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>> {
        unreachable!("no test unwraps")
    }
}

#[test]
fn a_multi_keyring_wraps_with_each_and_unwraps_with_any() {
    let place = place("k");
    let wrap_context = bound_to(Some(&place), 0);
    let both = MultiKeyring::new(Arc::new(local("a")), [Arc::new(local("b")) as Arc<dyn Keyring>]);
    let (plaintext_key, generated, _) = generate(&both, &wrap_context);
    let data_key = *plaintext_key.expose_secret();
    let wrapped = run(both.wrap(&plaintext_key, &wrap_context)).expect("wrapped");
    for keys in [&generated, &wrapped] {
        assert_eq!(names(keys), ["a", "b"]);
        assert!(keys.iter().all(|key| both.accepts(key) && key.place() == Some(&place)));
        for keyring in [&local("a") as &dyn Keyring, &local("b"), &both] {
            assert_eq!(unwrap(keyring, keys), Ok(data_key));
        }
    }
    let expected = both.expected_keys(&wrap_context);
    assert_eq!(names(&expected), ["a", "b"]);
    for (expected, key) in expected.iter().zip(&generated) {
        assert_eq!(
            (expected.wrap_context(), expected.ciphertext().len()),
            (key.wrap_context(), key.ciphertext().len())
        );
    }

    let stranger = local("c");
    let strange = run(stranger.wrap(&plaintext_key, &wrap_context)).expect("wrapped");
    assert!(!both.accepts(&strange[0]) && !stranger.accepts(&generated[0]));
    assert_eq!(unwrap(&both, &strange), Err(Vec::new()), "no key service is called");
    // Each failure is reported, and the next keyring is tried.
    let rejected = |name: &str| (KeyringErrorKind::Rejected, name.to_owned());
    let forged = of_another_context(&generated);
    assert_eq!(unwrap(&both, &forged), Err(vec![rejected("a"), rejected("b")]));
    let damaged = EncryptedDataKey::new("local", "a", vec![0; 104], &wrap_context).expect("a key");
    assert_eq!(unwrap(&both, &[damaged, generated[1].clone()]), Ok(data_key));
    // Local keyrings cannot re-encrypt without exposing the key.
    assert_eq!(run(both.rewrap(&generated, &wrap_context)).expect("called"), None);
    assert_eq!(run(both.refresh(&generated[0])).expect("called"), None);
}

#[test]
fn a_multi_keyring_rewraps_if_all_keyrings_can() {
    let wrap_context = bound_to(Some(&place("k")), 0);
    let service = Service::new(false);
    let keys = generate(&service, &wrap_context).1;
    let of = |others: &[Arc<dyn Keyring>]| {
        MultiKeyring::new(Arc::clone(&service) as _, others.iter().cloned())
    };
    let rewrapped =
        run(of(&[Arc::clone(&service) as _]).rewrap(&keys, &wrap_context)).expect("called");
    assert_eq!(rewrapped.as_deref().map(names), Some(vec!["to", "to"]));
    let with_local: Arc<dyn Keyring> = Arc::new(local("b"));
    let mixed = of(&[Arc::clone(&with_local)]);
    assert_eq!(run(mixed.rewrap(&keys, &wrap_context)).expect("called"), None);
    // The keyring that has the wrapping key refreshes it.
    let refreshed =
        run(MultiKeyring::new(with_local, [Arc::clone(&service) as _]).refresh(&keys[0]));
    assert_eq!(refreshed.expect("called").as_ref().map(EncryptedDataKey::wrapping_key), Some("to"));
}

#[test]
fn a_pointer_to_a_keyring_is_a_keyring() {
    let service = Service::new(false);
    let shared: Arc<dyn Keyring> = Arc::clone(&service) as _;
    let wrap_context = bound_to(None, 0);
    let (data_key, _, missing) = generate(&shared, &wrap_context);
    assert_eq!(missing.iter().map(MissingKey::wrapping_key).collect::<Vec<_>>(), ["lacking"]);
    let keys = run(shared.wrap(&data_key, &wrap_context)).expect("wrapped");
    assert_eq!(unwrap(&shared, &keys), Ok(*data_key.expose_secret()));
    assert_eq!(shared.expected_keys(&wrap_context), service.expected_keys(&wrap_context));
    let others = local("to").expected_keys(&wrap_context);
    assert!(shared.accepts(&keys[0]) && !shared.accepts(&others[0]));
    assert_eq!(
        run(shared.rewrap(&keys, &wrap_context)).expect("called").as_deref().map(names),
        Some(vec!["to"])
    );
    assert!(run(shared.refresh(&keys[0])).expect("called").is_some());
    let proven = run(shared.unwrap_one(&keys[0])).unwrap_or_else(|_| panic!("called"));
    let proven = proven.expect("its key");
    assert_eq!(proven.key().expose_secret(), data_key.expose_secret());
    assert_eq!(proven.wrapping_key(), "from");
}

/// The keyring for objects of the S3 Encryption Client is found in any other keyring around it.
#[test]
fn a_keyring_of_keyrings_has_the_s3ec_keyring_of_the_first() {
    let service = |down| Service::new(down) as Arc<dyn Keyring>;
    let first = MultiKeyring::new(Arc::new(local("b")), [service(true), service(false)]);
    let keyrings: [&dyn Keyring; 4] =
        [&service(true), &Box::new(service(true)), &CachingKeyring::new(service(true)), &first];
    for keyring in keyrings {
        let s3ec = keyring.s3ec().expect("the service has one");
        assert!(s3ec.binds_context(), "{keyring:?}");
        assert!(!s3ec.accepts(s3ec::WrapAlgorithm::Kms), "the first: {keyring:?}");
    }
    assert!(local("b").s3ec().is_none());
}

#[test]
fn only_an_intermediate_key_serves_data_keys() {
    let unplaced = bound_to(None, 0);
    let direct = &local("a").expected_keys(&unplaced)[0];
    let cached = &CachingKeyring::new(local("a")).expected_keys(&unplaced)[0];
    assert!(!direct.may_serve(&unplaced), "the data key itself");
    assert!(cached.may_serve(&unplaced) && cached.may_serve(&bound_to(None, 1)));
    assert!(!cached.may_serve(&bound_to(Some(&place("k")), 0)), "it has no scope");
    assert!(!cached.may_serve(cached.wrap_context()), "an intermediate key");
}

#[test]
fn settings_are_as_they_were_set() {
    assert_eq!(local("b").name(), "b");
    let limits = CacheLimits::new()
        .with_max_age(Duration::from_secs(7))
        .with_max_objects(8)
        .with_max_bytes(9)
        .with_max_entries(10)
        .with_scope_folders(11);
    assert_eq!(limits.max_age(), Duration::from_secs(7));
    assert_eq!((limits.max_objects(), limits.max_bytes()), (8, 9));
    assert_eq!((limits.max_entries(), limits.scope_folders()), (10, 11));
}

#[test]
fn materials_name_the_wrapping_keys_that_are_missing() {
    let materials = run(Service::new(false).generate(&bound_to(None, 0), None));
    let materials = materials.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(materials.missing(), [MissingKey::new("local", "lacking").expect("a name")]);
}

/// A keyring with the default method unwraps the key and wraps it under the same wrapping key.
#[test]
fn a_key_is_carried_to_another_place_under_its_own_wrapping_key() {
    let (here, there) = (bound_to(Some(&place("here")), 0), bound_to(Some(&place("there")), 0));
    let other: Arc<dyn Keyring> = Arc::new(local("b"));
    let both = MultiKeyring::new(Arc::new(local("a")), [other]);
    let (shared, cache) = (Arc::new(both.clone()), CachingKeyring::new(both.clone()));
    let keyrings: [&dyn Keyring; 3] = [&both, &shared, &cache];
    for from in [&both as &dyn Keyring, &cache] {
        let (data_key, keys, _) = generate(from, &here);
        assert_eq!(names(&keys), ["a", "b"]);
        for (keyring, key) in keyrings.iter().flat_map(|it| keys.iter().map(move |key| (it, key))) {
            let carry = |target: &WrapContext| run(keyring.carry(key, target)).expect("carried");
            for target in [&there, &there.at(None), &here] {
                let carried = carry(target).expect("its wrapping key is in the keyring");
                assert!(carried.has_same_wrapping_key(key) && carried.wrap_context() == target);
                assert_eq!(carried.intermediate_id(), None, "a data key, wrapped directly");
                assert_eq!(unwrap(&both, &[carried]), Ok(*data_key.expose_secret()));
            }
            assert_eq!(carry(&bound_to(Some(&place("here")), 1)), None, "another body");
            let intermediate = cache.expected_keys(&here)[0].wrap_context().clone();
            assert_eq!(carry(&intermediate), None, "an intermediate key");
        }
        assert_eq!(run(local("c").carry(&keys[0], &there)).expect("not called"), None);
        assert_eq!(run(local("a").carry(&keys[1], &there)).expect("not called"), None);
        for forged in &of_another_context(&keys) {
            // To a place of the body that it claims to belong to.
            let target = forged.data_key_context().at(Some(place("there")));
            let failed = run(both.carry(forged, &target)).expect_err("it does not open");
            assert_eq!(
                (failed.kind(), failed.wrapping_key()),
                (KeyringErrorKind::Rejected, forged.wrapping_key())
            );
        }
    }
}

/// Every keyring around a key service passes the call on, so that the data key stays inside.
#[test]
fn a_key_service_carries_keys_itself() {
    let (here, there) = (bound_to(Some(&place("here")), 0), bound_to(Some(&place("there")), 0));
    let service = Service::new(false);
    let (data_key, keys, _) = generate(&service, &here);
    let shared: Arc<dyn Keyring> = Arc::clone(&service) as _;
    let multi = MultiKeyring::new(Arc::new(local("b")), [Arc::clone(&shared)]);
    let cache = CachingKeyring::new(Arc::clone(&service));
    for keyring in [&shared as &dyn Keyring, &Box::new(Arc::clone(&shared)), &multi, &cache] {
        let carried = run(keyring.carry(&keys[0], &there)).expect("called").expect("its key");
        assert_eq!((carried.wrapping_key(), carried.wrap_context()), ("to", &there));
        assert_eq!(unwrap(&local("to"), &[carried]), Ok(*data_key.expose_secret()));
        assert_eq!(service.calls(), 1, "{keyring:?}");
    }
    let down = Service::new(true);
    let of_local = generate(&local("b"), &here).1;
    assert_eq!(
        run(multi.carry(&of_local[0], &there)).expect("carried").map(|key| key.place().cloned()),
        Some(Some(place("there")))
    );
    assert_eq!(service.calls(), 0, "another keyring's key");
    assert_eq!(run(down.carry(&of_local[0], &there)).expect("not called"), None);
}

#[test]
fn the_keyring_with_the_wrapping_key_returns_its_material() {
    let wrap_context = bound_to(Some(&place("k")), 0);
    let (data_key, of_local, _) = generate(&local("b"), &wrap_context);
    let wrapped =
        |keyring: &dyn Keyring| run(keyring.wrap(&data_key, &wrap_context)).expect("wrapped");
    let (of_service, of_another) = (wrapped(&Service::new(false)), wrapped(&local("c")));
    let both =
        || MultiKeyring::new(Arc::new(local("b")), [Service::new(false) as Arc<dyn Keyring>]);
    let keyrings: [Arc<dyn Keyring>; 3] =
        [Arc::new(both()), Arc::new(Arc::new(both())), Arc::new(CachingKeyring::new(both()))];
    for keyring in keyrings {
        let material =
            |keys: &[EncryptedDataKey]| run(keyring.key_material(&keys[0])).expect("called");
        assert_eq!(material(&of_service), Some(KeyMaterial::new("the first", false)));
        assert_eq!(
            material(&of_local),
            Some(KeyMaterial::new("b", true)),
            "a local key has one material"
        );
        assert_eq!(material(&of_another), None);
    }
    // Another context than the one it was wrapped with.
    let forged = of_another_context(&of_local);
    let rejected = run(local("b").key_material(&forged[0])).expect_err("another context");
    assert_eq!((rejected.kind(), rejected.wrapping_key()), (KeyringErrorKind::Rejected, "b"));
}

/// Plans need no call to the key service, and no keyring promises more than its inner keyrings.
#[test]
fn keyrings_forecast_their_calls() {
    let (service, wrap_context) = (Service::new(false), bound_to(None, 0));
    let [own, others] =
        [service.expected_keys(&wrap_context), local("b").expected_keys(&wrap_context)];
    let from = Some("from".to_owned());
    let shared: Arc<dyn Keyring> = Arc::clone(&service) as _;
    let cache = CachingKeyring::new(Arc::clone(&service));
    let twice = MultiKeyring::new(Arc::clone(&shared), [Arc::clone(&shared)]);
    for keyring in [&shared as &dyn Keyring, &cache, &twice] {
        assert!(
            keyring.can_rewrap(&own, &wrap_context) && !keyring.can_rewrap(&others, &wrap_context),
            "{keyring:?}"
        );
        assert!(!keyring.can_rewrap(&own, &bound_to(None, 1)), "of another body: {keyring:?}");
        assert_eq!(
            (keyring.first_choice(&own), keyring.first_choice(&others)),
            (from.clone(), None),
            "{keyring:?}"
        );
    }
    let mixed = MultiKeyring::new(Arc::new(local("b")), [shared]);
    assert!(!mixed.can_rewrap(&own, &wrap_context), "one of its keyrings cannot");
    assert_eq!(mixed.first_choice(&own), from);
    // A keyring with the default methods.
    assert!(!local("b").can_rewrap(&others, &wrap_context));
    assert_eq!(local("b").first_choice(&others), None);
    assert_eq!(service.calls(), 0);
}

/// The key service re-encrypts the intermediate key once for all its objects, each of which stays
/// bound to its place.
#[test]
fn a_cache_rewraps_intermediate_keys() {
    let service = Service::new(false);
    let cache = CachingKeyring::new(Arc::clone(&service));
    let bindings = ["a", "b", "c"].map(|key| bound_to(Some(&place(key)), 0));
    let objects = bindings.each_ref().map(|wrap_context| {
        let (data_key, keys, missing) = generate(&cache, wrap_context);
        assert_eq!(missing.len(), 1, "the missing key of the inner keyring");
        (*data_key.expose_secret(), keys)
    });
    for (wrap_context, (data_key, keys)) in bindings.iter().zip(&objects) {
        let others = local("to").expected_keys(wrap_context);
        assert!(cache.accepts(&keys[0]) && !cache.accepts(&others[0]));
        let expected = cache.expected_keys(wrap_context);
        assert_eq!(names(&expected), names(keys));
        assert_eq!(expected[0].data_key_context(), wrap_context);
        assert_eq!(expected[0].ciphertext().len(), keys[0].ciphertext().len());
        for new in [
            run(cache.rewrap(keys, wrap_context)).expect("rewrapped").expect("possible"),
            vec![run(cache.refresh(&keys[0])).expect("refreshed").expect("possible")],
        ] {
            assert_eq!(names(&new), ["to"]);
            assert!(new[0].shares_group(&keys[0]), "the new key joins the group");
            assert_eq!(unwrap(&local("to"), &new).as_ref(), Ok(data_key));
        }
    }
    assert_eq!(service.calls(), 2, "one to rewrap, one to refresh");
    // Only the intermediate key, which the service does not expose, can bind another place.
    assert_eq!(run(cache.rewrap(&objects[0].1, &bindings[1])).expect("called"), None);
    // A data key that the service wraps directly needs no cache.
    let plain = generate(&service, &bindings[0]).1;
    let new = run(cache.rewrap(&plain, &bindings[1])).expect("rewrapped").expect("possible");
    assert_eq!(new[0].wrap_context(), &bindings[1]);
    assert!(run(cache.refresh(&plain[0])).expect("refreshed").is_some());
}

/// Each of several groups keeps its own: no proof says which has the object's data key.
#[test]
fn a_cache_rewraps_each_group_on_its_own() {
    let (service, wrap_context) = (Service::new(false), bound_to(Some(&place("k")), 0));
    let cache = || CachingKeyring::new(Arc::clone(&service));
    let (one, other) = (generate(&cache(), &wrap_context), generate(&cache(), &wrap_context));
    let keys = [one.1.clone(), other.1.clone()].concat();
    let new = run(cache().rewrap(&keys, &wrap_context)).expect("rewrapped").expect("possible");
    assert_eq!(names(&new), ["to", "to"]);
    for (new, (data_key, keys, _)) in new.iter().zip([&one, &other]) {
        assert!(new.shares_group(&keys[0]));
        let unwrapped = unwrap(&local("to"), std::slice::from_ref(new));
        assert_eq!(unwrapped, Ok(*data_key.expose_secret()));
    }
    // In the metadata each new key stands beside those of its group.
    let body = BodyHeader::from_bytes(&[0; 56]);
    let header = ObjectHeader::new(context(), keys.clone(), body, None).expect("a header");
    let all = [keys, new].concat();
    let rewrapped = header.rewrapped(all.clone()).expect("a header");
    let together = [0, 2, 1, 3].map(|at| all[at].clone());
    assert_eq!(rewrapped.keys(), together);
    let stored = rewrapped.to_metadata();
    let parsed = ObjectHeader::parse(stored.iter().map(|(name, value)| (*name, value.as_str())));
    assert_eq!(parsed.as_ref().map(ObjectHeader::keys), Ok(&together[..]));
}

/// Among several failures, the cache reports the one that the caller can act on.
#[test]
fn a_cache_reports_why_no_key_unwraps() {
    let both =
        |down| MultiKeyring::new(Arc::new(local("b")), [Service::new(down) as Arc<dyn Keyring>]);
    let wrap_context = bound_to(Some(&place("k")), 0);
    let keys = generate(&CachingKeyring::new(both(false)), &wrap_context).1;
    assert_eq!(names(&keys), ["b", "from"]);
    let forged = of_another_context(&keys);
    let Unwrap::Failed(failures) = run(CachingKeyring::new(both(true)).unwrap(&forged)) else {
        panic!("the data key is unwrapped")
    };
    assert_eq!(failures.len(), 1, "both keys hold one intermediate key, which is requested once");
    assert_eq!(
        (failures[0].kind(), failures[0].wrapping_key()),
        (KeyringErrorKind::Unavailable, "from")
    );
    let cause = std::error::Error::source(&failures[0]).expect("a cause").to_string();
    assert!(cause.contains("wrapping key b: ") && cause.contains("wrapping key from: "), "{cause}");
    // No key belongs to the keyring, so it is not called.
    assert_eq!(unwrap(&CachingKeyring::new(local("c")), &keys), Err(Vec::new()));
}

#[test]
fn each_kind_of_failure_has_its_own_text() {
    use KeyringErrorKind::*;
    let kinds = [AccessDenied, Disabled, NotFound, Rejected, Throttled, Unavailable, Other];
    let texts: std::collections::BTreeSet<_> = kinds.iter().map(ToString::to_string).collect();
    assert!(texts.len() == kinds.len() && texts.iter().all(|text| !text.is_empty()), "{texts:?}");
    let error = KeyringError::new(Throttled, "the-key");
    assert_eq!(error.to_string(), format!("wrapping key the-key: {Throttled}"));
}
