//! Multi-keyrings, shared keyrings, and the cache over a key service that re-encrypts.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::FutureExt as _;
use sealwax_envelope::{
    BoxFuture, CachingKeyring, EncryptedDataKey, EncryptionContext, EncryptionMaterials,
    KeyMaterial, Keyring, KeyringError, KeyringErrorKind, LocalKeyring, MissingKey, MultiKeyring,
    Place, PlaintextDataKey, Unwrap, WrapContext,
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

fn unwrap(
    keyring: &dyn Keyring,
    keys: &[EncryptedDataKey],
    context: &EncryptionContext,
) -> Result<[u8; 32], Vec<(KeyringErrorKind, String)>> {
    match run(keyring.unwrap(keys, context)) {
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
        target: WrapContext<'_>,
    ) -> Result<Option<EncryptedDataKey>, KeyringError> {
        let Some(binding) = key.binding_for(target).filter(|_| self.from.accepts(key)) else {
            return Ok(None);
        };
        self.calls.fetch_add(1, Ordering::Relaxed);
        match self.from.unwrap(std::slice::from_ref(key), target.context()).await {
            Unwrap::Unwrapped(data_key) => Ok(self.to.wrap(&data_key, binding).await?.pop()),
            Unwrap::Failed(mut failures) => Err(failures.remove(0)),
            Unwrap::NotMine => unreachable!("the key is accepted"),
        }
    }
}

impl Keyring for Service {
    fn generate<'a>(
        &'a self,
        binding: WrapContext<'a>,
        len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(async move {
            let missing = MissingKey::new("local", "lacking").expect("a name");
            Ok(self.from.generate(binding, len).await?.with_missing(vec![missing]))
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        self.from.wrap(data_key, binding)
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        binding: WrapContext<'a>,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move {
            for key in keys {
                if let Some(wrapped) = self.re_encrypt(key, binding).await? {
                    return Ok(Some(vec![wrapped]));
                }
            }
            Ok(None)
        })
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move { self.re_encrypt(key, WrapContext::new(context, key.place())).await })
    }

    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        _context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        Box::pin(async { Ok(self.accepts(key).then(|| KeyMaterial::new("the first", false))) })
    }

    fn unwrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Unwrap> {
        if self.down {
            return Box::pin(async {
                Unwrap::Failed(vec![KeyringError::new(KeyringErrorKind::Unavailable, "from")])
            });
        }
        self.from.unwrap(keys, context)
    }

    fn can_rewrap(&self, keys: &[EncryptedDataKey], binding: WrapContext<'_>) -> bool {
        keys.iter().any(|key| self.from.accepts(key) && key.binding_for(binding).is_some())
    }

    fn first_choice(&self, keys: &[EncryptedDataKey]) -> Option<String> {
        keys.iter().find(|key| self.from.accepts(key)).map(|key| key.wrapping_key().to_owned())
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.from.accepts(key)
    }

    fn expected_keys(&self, binding: WrapContext<'_>) -> Vec<EncryptedDataKey> {
        self.from.expected_keys(binding)
    }
}

#[test]
fn a_multi_keyring_wraps_with_each_and_unwraps_with_any() {
    let (context, place) = (EncryptionContext::new(), place("k"));
    let binding = WrapContext::new(&context, Some(&place));
    let both = MultiKeyring::new(Arc::new(local("a")), [Arc::new(local("b")) as Arc<dyn Keyring>]);
    let materials = run(both.generate(binding, None)).unwrap_or_else(|error| panic!("{error}"));
    let (plaintext_key, generated, _) = materials.into_parts();
    let data_key = *plaintext_key.expose_secret();
    let wrapped = run(both.wrap(&plaintext_key, binding)).expect("wrapped");
    for keys in [&generated, &wrapped] {
        assert_eq!(names(keys), ["a", "b"]);
        assert!(keys.iter().all(|key| both.accepts(key) && key.place() == Some(&place)));
        for keyring in [&local("a") as &dyn Keyring, &local("b"), &both] {
            assert_eq!(unwrap(keyring, keys, &context), Ok(data_key));
        }
    }
    let expected = both.expected_keys(binding);
    assert_eq!(names(&expected), ["a", "b"]);
    for (expected, key) in expected.iter().zip(&generated) {
        assert_eq!(
            (expected.place(), expected.ciphertext().len()),
            (key.place(), key.ciphertext().len())
        );
    }

    let stranger = local("c");
    let strange = run(stranger.wrap(&plaintext_key, binding)).expect("wrapped");
    assert!(!both.accepts(&strange[0]) && !stranger.accepts(&generated[0]));
    assert_eq!(unwrap(&both, &strange, &context), Err(Vec::new()), "no key service is called");
    // Each failure is reported, and the next keyring is tried.
    let other = EncryptionContext::try_from_iter([("a", "b")]).expect("a context");
    let rejected = |name: &str| (KeyringErrorKind::Rejected, name.to_owned());
    assert_eq!(unwrap(&both, &generated, &other), Err(vec![rejected("a"), rejected("b")]));
    let damaged =
        EncryptedDataKey::new("local", "a", Some(place.clone()), vec![0; 104]).expect("a key");
    assert_eq!(unwrap(&both, &[damaged, generated[1].clone()], &context), Ok(data_key));
    // Local keyrings cannot re-encrypt without exposing the key.
    assert_eq!(run(both.rewrap(&generated, binding)).expect("called"), None);
    assert_eq!(run(both.refresh(&generated[0], &context)).expect("called"), None);
}

#[test]
fn a_multi_keyring_rewraps_if_all_keyrings_can() {
    let (context, place) = (EncryptionContext::new(), place("k"));
    let service = Service::new(false);
    let binding = WrapContext::new(&context, Some(&place));
    let materials = run(service.generate(binding, None));
    let keys = materials.unwrap_or_else(|error| panic!("{error}")).into_parts().1;
    let of = |others: &[Arc<dyn Keyring>]| {
        MultiKeyring::new(Arc::clone(&service) as _, others.iter().cloned())
    };
    let rewrapped = run(of(&[Arc::clone(&service) as _]).rewrap(&keys, binding)).expect("called");
    assert_eq!(rewrapped.as_deref().map(names), Some(vec!["to", "to"]));
    let with_local: Arc<dyn Keyring> = Arc::new(local("b"));
    assert_eq!(run(of(&[Arc::clone(&with_local)]).rewrap(&keys, binding)).expect("called"), None);
    // The keyring that has the wrapping key refreshes it.
    let refreshed =
        run(MultiKeyring::new(with_local, [Arc::clone(&service) as _]).refresh(&keys[0], &context));
    assert_eq!(refreshed.expect("called").as_ref().map(EncryptedDataKey::wrapping_key), Some("to"));
}

#[test]
fn a_pointer_to_a_keyring_is_a_keyring() {
    let (context, service) = (EncryptionContext::new(), Service::new(false));
    let shared: Arc<dyn Keyring> = Arc::clone(&service) as _;
    let binding = WrapContext::new(&context, None);
    let materials = run(shared.generate(binding, None)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        materials.missing().iter().map(MissingKey::wrapping_key).collect::<Vec<_>>(),
        ["lacking"]
    );
    let keys = run(shared.wrap(materials.data_key(), binding)).expect("wrapped");
    assert_eq!(unwrap(&shared, &keys, &context), Ok(*materials.data_key().expose_secret()));
    assert_eq!(shared.expected_keys(binding), service.expected_keys(binding));
    let others = local("to").expected_keys(binding);
    assert!(shared.accepts(&keys[0]) && !shared.accepts(&others[0]));
    assert_eq!(
        run(shared.rewrap(&keys, binding)).expect("called").as_deref().map(names),
        Some(vec!["to"])
    );
    assert!(run(shared.refresh(&keys[0], &context)).expect("called").is_some());
}

#[test]
fn the_keyring_with_the_wrapping_key_returns_its_material() {
    let (context, place) = (EncryptionContext::new(), place("k"));
    let binding = WrapContext::new(&context, Some(&place));
    let materials =
        run(local("b").generate(binding, None)).unwrap_or_else(|error| panic!("{error}"));
    let of_local = &materials.encrypted_data_keys()[0];
    let of_service =
        &run(Service::new(false).wrap(materials.data_key(), binding)).expect("wrapped")[0];
    let of_another = &run(local("c").wrap(materials.data_key(), binding)).expect("wrapped")[0];
    let both =
        || MultiKeyring::new(Arc::new(local("b")), [Service::new(false) as Arc<dyn Keyring>]);
    let keyrings: [Arc<dyn Keyring>; 3] =
        [Arc::new(both()), Arc::new(Arc::new(both())), Arc::new(CachingKeyring::new(both()))];
    for keyring in keyrings {
        let material = |key| run(keyring.key_material(key, &context)).expect("called");
        assert_eq!(material(of_service), Some(KeyMaterial::new("the first", false)));
        assert_eq!(
            material(of_local),
            Some(KeyMaterial::new("b", true)),
            "a local key has one material"
        );
        assert_eq!(material(of_another), None);
    }
    // Another context than the one it was wrapped with.
    let other = EncryptionContext::try_from_iter([("a", "b")]).expect("a context");
    let rejected = run(local("b").key_material(of_local, &other)).expect_err("another context");
    assert_eq!((rejected.kind(), rejected.wrapping_key()), (KeyringErrorKind::Rejected, "b"));
}

/// Plans need no call to the key service, and no keyring promises more than its inner keyrings.
#[test]
fn keyrings_forecast_their_calls() {
    let (context, service) = (EncryptionContext::new(), Service::new(false));
    let binding = WrapContext::new(&context, None);
    let [own, others] = [service.expected_keys(binding), local("b").expected_keys(binding)];
    let from = Some("from".to_owned());
    let shared: Arc<dyn Keyring> = Arc::clone(&service) as _;
    let cache = CachingKeyring::new(Arc::clone(&service));
    let twice = MultiKeyring::new(Arc::clone(&shared), [Arc::clone(&shared)]);
    for keyring in [&shared as &dyn Keyring, &cache, &twice] {
        assert!(
            keyring.can_rewrap(&own, binding) && !keyring.can_rewrap(&others, binding),
            "{keyring:?}"
        );
        assert_eq!(
            (keyring.first_choice(&own), keyring.first_choice(&others)),
            (from.clone(), None),
            "{keyring:?}"
        );
    }
    let mixed = MultiKeyring::new(Arc::new(local("b")), [shared]);
    assert!(!mixed.can_rewrap(&own, binding), "one of its keyrings cannot");
    assert_eq!(mixed.first_choice(&own), from);
    // A keyring with the default methods.
    assert!(!local("b").can_rewrap(&others, binding));
    assert_eq!(local("b").first_choice(&others), None);
    assert_eq!(service.calls(), 0);
}

/// The key service re-encrypts the intermediate key once for all its objects, each of which stays
/// bound to its place.
#[test]
fn a_cache_rewraps_intermediate_keys() {
    let (context, service) = (EncryptionContext::new(), Service::new(false));
    let cache = CachingKeyring::new(Arc::clone(&service));
    let places = ["a", "b", "c"].map(place);
    let objects = places.each_ref().map(|place| {
        let materials = run(cache.generate(WrapContext::new(&context, Some(place)), Some(1)));
        let materials = materials.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(materials.missing().len(), 1, "the missing key of the inner keyring");
        let (data_key, keys, _) = materials.into_parts();
        (*data_key.expose_secret(), keys)
    });
    for (place, (data_key, keys)) in places.iter().zip(&objects) {
        let binding = WrapContext::new(&context, Some(place));
        let others = local("to").expected_keys(binding);
        assert!(cache.accepts(&keys[0]) && !cache.accepts(&others[0]));
        let expected = cache.expected_keys(binding);
        assert_eq!((names(&expected), expected[0].place()), (names(keys), Some(place)));
        assert_eq!(expected[0].ciphertext().len(), keys[0].ciphertext().len());
        for new in [
            run(cache.rewrap(keys, binding)).expect("rewrapped").expect("possible"),
            vec![run(cache.refresh(&keys[0], &context)).expect("refreshed").expect("possible")],
        ] {
            assert_eq!((names(&new), new[0].place()), (vec!["to"], Some(place)));
            assert_eq!(unwrap(&local("to"), &new, &context).as_ref(), Ok(data_key));
        }
    }
    assert_eq!(service.calls(), 2, "one to rewrap, one to refresh");
    // Only the intermediate key, which the service does not expose, can bind another place.
    let elsewhere = WrapContext::new(&context, Some(&places[1]));
    assert_eq!(run(cache.rewrap(&objects[0].1, elsewhere)).expect("called"), None);
    // A data key that the service wraps directly needs no cache.
    let plain = run(service.generate(WrapContext::new(&context, Some(&places[0])), None));
    let plain = plain.unwrap_or_else(|error| panic!("{error}")).into_parts().1;
    let new = run(cache.rewrap(&plain, elsewhere)).expect("rewrapped").expect("possible");
    assert_eq!(new[0].place(), Some(&places[1]));
    assert!(run(cache.refresh(&plain[0], &context)).expect("refreshed").is_some());
}

/// Among several failures, the cache reports the one that the caller can act on.
#[test]
fn a_cache_reports_why_no_key_unwraps() {
    let (context, place) = (EncryptionContext::new(), place("k"));
    let both =
        |down| MultiKeyring::new(Arc::new(local("b")), [Service::new(down) as Arc<dyn Keyring>]);
    let materials =
        run(CachingKeyring::new(both(false))
            .generate(WrapContext::new(&context, Some(&place)), None));
    let keys = materials.unwrap_or_else(|error| panic!("{error}")).into_parts().1;
    assert_eq!(names(&keys), ["b", "from"]);
    let other = EncryptionContext::try_from_iter([("a", "b")]).expect("a context");
    let Unwrap::Failed(failures) = run(CachingKeyring::new(both(true)).unwrap(&keys, &other))
    else {
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
    assert_eq!(unwrap(&CachingKeyring::new(local("c")), &keys, &context), Err(Vec::new()));
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
