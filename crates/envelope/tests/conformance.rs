//! The conformance test passes for true keyrings, and names the fault of each other one.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::FutureExt as _;
use sealwax_envelope::{
    BodyHeader, BodySalt, BoxFuture, CachingKeyring, EncryptedDataKey, EncryptionMaterials, Error,
    FORMAT_PAIR, INTERMEDIATE_PAIR, KeyMaterial, Keyring, KeyringError, KeyringErrorKind,
    LocalKeyring, MultiKeyring, Opener, PLACE_PAIR, PartBuffer, PlaintextDataKey, SALT_PAIR,
    SCOPE_PAIR, Sealer, Unwrap, UnwrappedKey, WrapContext, WrappedForms, conformance,
    geometry::HEADER_LEN,
};

/// A fault of a keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It does not authenticate this pair.
    Ignores(&'static str),
    IgnoresAll,
    /// It takes a detached intermediate key for one that is not.
    TakesDetached,
    /// It takes what it decrypts for the data key, without a look at the id.
    ReturnsWhatItDecrypts,
    /// It takes the id of an intermediate key on trust.
    IgnoresIds,
    UnwrapsAny,
    ProvesAny,
    ProvesAnother,
    ProvesNone,
    RewrapsAny,
    RewrapsInPlace,
    CarriesAny,
    CarriesAnother,
    RefreshesAny,
    ReportsAny,
    ExpectsOthers,
    Refuses,
}

/// Wraps under one key, with a fault.
#[derive(Debug)]
struct Faulty(Fault);

impl Faulty {
    fn bytes(&self, wrap_context: &WrapContext) -> Vec<u8> {
        let mut pairs = wrap_context.pairs();
        match self.0 {
            Fault::Ignores(name) => drop(pairs.remove(name)),
            Fault::IgnoresAll => pairs = BTreeMap::new(),
            Fault::TakesDetached if wrap_context.is_detached() => {
                pairs.insert(FORMAT_PAIR.to_owned(), "v1/intermediate".to_owned());
            }
            _ => {}
        }
        format!("{pairs:?}").into_bytes()
    }

    fn seal(&self, key: &PlaintextDataKey, wrap_context: &WrapContext) -> EncryptedDataKey {
        let salt = BodySalt::generate().expect("random");
        let sealer = Sealer::new(&wrapping_key(), &self.bytes(wrap_context), salt);
        let mut buffer = PartBuffer::new(Some(sealer.header()), 1);
        buffer.put_slice(key.expose_secret());
        let ciphertext = sealer.last_part().seal(buffer).expect("sealed");
        EncryptedDataKey::new("faulty", "k", ciphertext, wrap_context).expect("a key")
    }

    fn decrypt(&self, key: &EncryptedDataKey) -> Result<PlaintextDataKey, Error> {
        let (header, body) = key.ciphertext().split_first_chunk::<HEADER_LEN>().expect("a header");
        let (context, header) = (self.bytes(key.wrap_context()), BodyHeader::from_bytes(header));
        let opener = Opener::new(&wrapping_key(), &context, &header)?;
        let mut body = body.to_vec();
        opener.open_chunks(0, &mut body)?;
        PlaintextDataKey::from_slice_wiping(&mut body[..32])
    }

    fn open(&self, key: &EncryptedDataKey) -> Result<PlaintextDataKey, KeyringError> {
        let opened = self.decrypt(key).and_then(|decrypted| key.open(decrypted));
        opened.map_err(|_| KeyringError::new(KeyringErrorKind::Rejected, "k"))
    }

    /// Re-encrypts without exposing the data key to the caller.
    fn again(&self, key: &EncryptedDataKey, target: &WrapContext) -> Option<EncryptedDataKey> {
        Some(self.seal(&self.open(key).ok()?, target))
    }
}

fn wrapping_key() -> PlaintextDataKey {
    PlaintextDataKey::from_slice_wiping(&mut [7; 32]).expect("32 bytes")
}

fn any_key() -> PlaintextDataKey {
    PlaintextDataKey::from_slice_wiping(&mut [9; 32]).expect("32 bytes")
}

impl Keyring for Faulty {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        _: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(async move {
            if self.0 == Fault::Refuses {
                return Err(KeyringError::new(KeyringErrorKind::AccessDenied, "k"));
            }
            let data_key = PlaintextDataKey::generate().expect("random");
            let wrapped = self.seal(&data_key, wrap_context);
            Ok(EncryptionMaterials::new(data_key, vec![wrapped]).expect("a key"))
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move { Ok(vec![self.seal(data_key, wrap_context)]) })
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move {
            let is_own = self.0 == Fault::RewrapsAny || keys[0].is_key_of(wrap_context);
            let target = match self.0 {
                Fault::RewrapsInPlace => keys[0].wrap_context(),
                _ => wrap_context,
            };
            Ok(self.again(&keys[0], target).filter(|_| is_own).map(|key| vec![key]))
        })
    }

    fn carry<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            let is_own = self.0 == Fault::CarriesAny || key.is_key_of(wrap_context);
            let carried = match self.0 {
                Fault::CarriesAnother if self.open(key).is_ok() => {
                    Some(self.seal(&any_key(), wrap_context))
                }
                _ => self.again(key, wrap_context),
            };
            Ok(carried.filter(|_| is_own))
        })
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        let refreshed = match self.0 {
            Fault::RefreshesAny => Some(key.clone()),
            _ => self.again(key, key.wrap_context()),
        };
        Box::pin(async { Ok(refreshed) })
    }

    fn key_material<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        let is_known = self.0 == Fault::ReportsAny || self.open(key).is_ok();
        let material = KeyMaterial::new("first", true);
        Box::pin(async move { Ok(is_known.then_some(material)) })
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        Box::pin(async {
            let opened = match self.0 {
                Fault::UnwrapsAny => Ok(self.open(&keys[0]).unwrap_or_else(|_| any_key())),
                Fault::IgnoresIds if keys[0].intermediate().is_some() => self.open(&keys[0]),
                Fault::ReturnsWhatItDecrypts | Fault::IgnoresIds => self
                    .decrypt(&keys[0])
                    .map_err(|_| KeyringError::new(KeyringErrorKind::Rejected, "k")),
                _ => self.open(&keys[0]),
            };
            opened.map_or_else(|error| Unwrap::Failed(vec![error]), Unwrap::Unwrapped)
        })
    }

    fn unwrap_one<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<UnwrappedKey>, Vec<KeyringError>>> {
        Box::pin(async {
            let opened = match self.0 {
                Fault::ProvesNone => return Ok(None),
                Fault::ProvesAnother => Ok(any_key()),
                Fault::ProvesAny => Ok(self.open(key).unwrap_or_else(|_| any_key())),
                _ => self.open(key),
            };
            let named = |opened| Some(UnwrappedKey::new(opened, "k"));
            opened.map(named).map_err(|error| vec![error])
        })
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        key.provider() == "faulty"
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        let name = if self.0 == Fault::ExpectsOthers { "other" } else { "k" };
        vec![EncryptedDataKey::new("faulty", name, vec![0; 104], wrap_context).expect("a key")]
    }
}

/// A keyring of a user's own over a cache, which forgets to bypass it for proofs.
#[derive(Debug)]
struct ProvesByCache(CachingKeyring);

impl Keyring for ProvesByCache {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        self.0.generate(wrap_context, plaintext_len)
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        self.0.wrap(data_key, wrap_context)
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        self.0.rewrap(keys, wrap_context)
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        self.0.unwrap(keys)
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.0.accepts(key)
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        self.0.expected_keys(wrap_context)
    }
}

fn check(keyring: &dyn Keyring) -> Result<(), String> {
    let checked = conformance::check(keyring).now_or_never().expect("nothing waits");
    checked.map_err(|violation| violation.to_string())
}

fn local(name: &str) -> LocalKeyring {
    LocalKeyring::new(name, &mut [name.as_bytes()[0]; 32]).expect("a keyring")
}

#[test]
fn the_keyrings_of_this_crate_conform() {
    let both = || {
        let other: Arc<dyn Keyring> = Arc::new(local("b"));
        MultiKeyring::new(Arc::new(local("a")), [other])
    };
    for keyring in [
        &local("a") as &dyn Keyring,
        &both(),
        &Arc::new(both()),
        &CachingKeyring::new(local("a")),
        &CachingKeyring::new(both()),
        &CachingKeyring::new(CachingKeyring::new(both())),
        &CachingKeyring::new(both()).with_key_context(["tenant"]),
        &CachingKeyring::new(both()).with_key_context::<&str>([]),
        &CachingKeyring::new(local("a")).with_wrapped_forms(WrappedForms::Detached),
        &MultiKeyring::new(Arc::new(CachingKeyring::new(local("a"))), []),
        &Faulty(Fault::None),
        &CachingKeyring::new(Faulty(Fault::None)),
    ] {
        assert_eq!(check(keyring), Ok(()), "{keyring:?}");
    }
}

/// The check changes each pair alone, so it finds each that a keyring does not authenticate.
#[test]
fn a_pair_that_a_keyring_ignores_is_found() {
    for (fault, with) in [
        (Fault::Ignores(PLACE_PAIR), "another place"),
        (Fault::Ignores(SALT_PAIR), "another salt"),
        (Fault::Ignores(FORMAT_PAIR), "another format"),
        (Fault::Ignores("tenant"), "another encryption context"),
        (Fault::Ignores(INTERMEDIATE_PAIR), "another id"),
        (Fault::Ignores(SCOPE_PAIR), "another scope"),
        (Fault::IgnoresAll, "another place"),
        (Fault::TakesDetached, "the format of a detached key"),
    ] {
        let expected = format!("`unwrap` accepts a wrapped key with {with}");
        assert_eq!(check(&Faulty(fault)), Err(expected), "{fault:?}");
    }
}

#[test]
fn each_method_is_checked() {
    for (fault, expected) in [
        (Fault::UnwrapsAny, "`unwrap` accepts a wrapped key with another place"),
        (Fault::ProvesAny, "`unwrap_one` accepts a wrapped key with another place"),
        (Fault::ProvesNone, "`unwrap_one` does not open the result of `generate` of a data key"),
        (Fault::ProvesAnother, "`unwrap_one` does not open the result of `generate` of a data key"),
        (Fault::ReturnsWhatItDecrypts, "a data key under an intermediate key opens as another key"),
        (Fault::IgnoresIds, "`unwrap` accepts an intermediate key with the id of another one"),
        (Fault::RewrapsInPlace, "a re-encrypted key has another binding than asked for"),
        (Fault::CarriesAnother, "a re-encrypted key opens as another key"),
        (Fault::RewrapsAny, "`rewrap` makes a data key the key of another body"),
        (Fault::CarriesAny, "`carry` makes a data key the key of another body"),
        (Fault::RefreshesAny, "`refresh` accepts a wrapped key with another place"),
        (Fault::ReportsAny, "`key_material` accepts a wrapped key with another place"),
        (Fault::ExpectsOthers, "`wrap` does not return the `expected_keys`"),
        (Fault::Refuses, "`generate` of a data key fails: wrapping key k: access denied"),
    ] {
        assert_eq!(check(&Faulty(fault)), Err(expected.to_owned()), "{fault:?}");
    }
}

#[test]
fn a_proof_by_a_cached_key_is_found() {
    let expected = "`unwrap_one` accepts a changed ciphertext of an intermediate key";
    let keyring = ProvesByCache(CachingKeyring::new(local("a")));
    assert_eq!(check(&keyring), Err(expected.to_owned()));
}
