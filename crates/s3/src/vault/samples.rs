//! Sealed objects and keyrings for tests without a server.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use sealwax_envelope::{
    BodyHeader, BodySalt, BoxFuture, CacheLimits, CachingKeyring, EncryptedDataKey,
    EncryptionContext, EncryptionMaterials, KeyMaterial, Keyring, KeyringError, KeyringErrorKind,
    LocalKeyring, MultiKeyring, ObjectHeader, Place, PlaintextDataKey, Sealer, Unwrap, WrapContext,
    geometry,
};

use super::{Vault, VaultSettings, object_keys::ObjectKeys, sidecar::Sidecar};
use crate::{
    error::ObjectRef,
    format::{ObjectFormat, UnencryptedObjects},
    object::ObjectInfo,
    store::answers::Answer,
};

/// A body, its place and its data key.
pub(crate) struct Sample {
    pub(crate) target: ObjectRef,
    pub(crate) data_key: PlaintextDataKey,
    context: EncryptionContext,
    body: BodyHeader,
}

impl Sample {
    /// Seals an empty body, for the object `bucket/key`.
    pub(crate) fn new(key: &str) -> Self {
        let context = EncryptionContext::new().with("tenant", "acme").expect("a context");
        let store = Answer::new(500, Vec::new()).store();
        let (bucket, key) = (Some("bucket".to_owned()), Some(key.to_owned()));
        let target = ObjectRef::new("rewrap", store.s3(), bucket, key).expect("an object");
        let data_key = PlaintextDataKey::generate().expect("random");
        let salt = BodySalt::generate().expect("random");
        let body = *Sealer::new(&data_key, &context.body_context(), salt).header();
        Self { target, data_key, context, body }
    }

    /// Returns the binding of the data key at `bucket/key`.
    pub(crate) fn binding(&self, key: &str) -> WrapContext {
        self.binding_to(Some(Place::new("bucket", key).expect("a place")))
    }

    pub(crate) fn binding_to(&self, place: Option<Place>) -> WrapContext {
        WrapContext::for_stored_data_key(self.context.clone(), place, &self.body)
    }

    /// Wraps the data key for the object's own place.
    pub(crate) async fn wrapped(&self, keyring: &dyn Keyring) -> Vec<EncryptedDataKey> {
        keyring.wrap(&self.data_key, &self.binding(&self.target.key)).await.expect("wrapped")
    }

    /// Wraps `data_key` for this object under an intermediate key of `keyring`, whose scope is the
    /// object's folder at the depth `folders`.
    pub(crate) async fn shared(
        &self,
        keyring: &str,
        data_key: &PlaintextDataKey,
        folders: usize,
    ) -> Vec<EncryptedDataKey> {
        let limits = CacheLimits::new().with_scope_folders(folders);
        let binding = self.binding(&self.target.key);
        let cache = CachingKeyring::with_limits(local(keyring), limits);
        cache.wrap(data_key, &binding).await.expect("wrapped")
    }

    pub(crate) fn header(&self, keys: Vec<EncryptedDataKey>) -> ObjectHeader {
        let header = ObjectHeader::new(self.context.clone(), keys, self.body, Some(0));
        header.expect("a header")
    }

    /// Returns the object with `keys`, to be wrapped for `bucket/to`.
    pub(crate) fn object<'a>(
        &'a self,
        vault: &'a Vault,
        keys: Vec<EncryptedDataKey>,
        to: &str,
    ) -> ObjectKeys<'a> {
        let len = geometry::body_len(0).expect("a length");
        let head = HeadObjectOutput::builder().content_length(len.try_into().expect("short"));
        let format = ObjectFormat::Sealwax(self.header(keys.clone()));
        let info = ObjectInfo::of_head(&self.target, &head.build(), format).expect("described");
        let place = Some(Place::new("bucket", to).expect("a place"));
        ObjectKeys {
            vault,
            target: &self.target,
            info,
            own_keys: keys,
            sidecar: Sidecar::Absent,
            stored_keys: Vec::new(),
            place,
            accepted_places: &[],
            is_sidecar: false,
        }
    }
}

pub(crate) fn local(name: &str) -> LocalKeyring {
    LocalKeyring::new(name, &mut [name.as_bytes()[0]; 32]).expect("a keyring")
}

pub(crate) fn both(first: impl Keyring + 'static, second: impl Keyring + 'static) -> MultiKeyring {
    MultiKeyring::new(Arc::new(first), [Arc::new(second) as Arc<dyn Keyring>])
}

pub(crate) fn vault(keyring: impl Keyring + 'static) -> Vault {
    vault_with(keyring, |_| {})
}

/// Returns a vault whose settings, after the defaults, `change` makes.
pub(crate) fn vault_with(
    keyring: impl Keyring + 'static,
    change: impl FnOnce(&mut VaultSettings),
) -> Vault {
    let mut settings = VaultSettings {
        keyring: Arc::new(keyring),
        places: Default::default(),
        sidecars: Default::default(),
        key_store: Default::default(),
        s3ec: Default::default(),
        unencrypted: UnencryptedObjects::Refuse,
    };
    change(&mut settings);
    Vault::new(settings)
}

pub(crate) fn names(keys: &[EncryptedDataKey]) -> Vec<&str> {
    keys.iter().map(EncryptedDataKey::wrapping_key).collect()
}

/// Methods of a key service that were called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    pub(crate) fn note(&self, call: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call.to_owned());
    }

    /// Returns the calls since the last call of this function.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A key service with one wrapping key, which reports key material and refreshes each wrapped key.
/// Each method named in `fails` fails.
#[derive(Debug)]
pub(crate) struct Service {
    key: LocalKeyring,
    calls: Calls,
    /// It re-encrypts from this key.
    from: Option<LocalKeyring>,
    fails: Vec<(&'static str, KeyringErrorKind)>,
}

impl Service {
    pub(crate) fn new(name: &str) -> Self {
        Self { key: local(name), calls: Calls::default(), from: None, fails: Vec::new() }
    }

    pub(crate) fn re_encrypts_from(self, name: &str) -> Self {
        Self { from: Some(local(name)), ..self }
    }

    pub(crate) fn fails(mut self, method: &'static str, kind: KeyringErrorKind) -> Self {
        self.fails.push((method, kind));
        self
    }

    pub(crate) fn calls(&self) -> Calls {
        self.calls.clone()
    }

    fn check(&self, method: &str) -> Result<(), KeyringError> {
        self.calls.note(method);
        match self.fails.iter().find(|(failing, _)| *failing == method) {
            Some((_, kind)) => Err(KeyringError::new(*kind, "service")),
            None => Ok(()),
        }
    }

    fn re_encrypted<'a>(
        &self,
        keys: &'a [EncryptedDataKey],
        target: &WrapContext,
    ) -> Option<(&'a EncryptedDataKey, WrapContext)> {
        let from = self.from.as_ref()?;
        keys.iter()
            .filter(|key| from.accepts(key))
            .find_map(|key| Some((key, key.wrap_context_for(target)?)))
    }
}

impl Keyring for Service {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        self.key.generate(wrap_context, len)
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        Box::pin(async {
            self.check("wrap")?;
            self.key.wrap(data_key, wrap_context).await
        })
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move {
            self.check("rewrap")?;
            let Some((key, binding)) = self.re_encrypted(keys, wrap_context) else {
                return Ok(None);
            };
            let from = self.from.as_ref().expect("re-encrypted from it");
            let Unwrap::Unwrapped(opened) = from.unwrap(std::slice::from_ref(key)).await else {
                return Err(KeyringError::new(KeyringErrorKind::Rejected, key.wrapping_key()));
            };
            self.key.wrap(&opened, &binding).await.map(Some)
        })
    }

    fn refresh<'a>(
        &'a self,
        key: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move {
            self.check("refresh")?;
            let form = key.intermediate().unwrap_or_else(|| key.clone());
            let Unwrap::Unwrapped(opened) = self.key.unwrap(std::slice::from_ref(&form)).await
            else {
                return Ok(None);
            };
            let refreshed = self.key.wrap(&opened, form.wrap_context()).await?.swap_remove(0);
            Ok(match key.intermediate() {
                Some(_) => key.with_intermediate(refreshed),
                None => Some(refreshed),
            })
        })
    }

    fn key_material<'a>(
        &'a self,
        _: &'a EncryptedDataKey,
    ) -> BoxFuture<'a, Result<Option<KeyMaterial>, KeyringError>> {
        Box::pin(async { self.check("key_material").map(|()| Some(KeyMaterial::new("m1", true))) })
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        Box::pin(async {
            match self.check("unwrap") {
                Err(error) if keys.iter().any(|key| self.accepts(key)) => {
                    Unwrap::Failed(vec![error])
                }
                _ => self.key.unwrap(keys).await,
            }
        })
    }

    fn can_rewrap(&self, keys: &[EncryptedDataKey], wrap_context: &WrapContext) -> bool {
        self.re_encrypted(keys, wrap_context).is_some()
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.key.accepts(key)
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        self.key.expected_keys(wrap_context)
    }
}
