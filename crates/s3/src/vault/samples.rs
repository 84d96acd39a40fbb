//! Sealed objects, keyrings and a store for tests without a server.

use std::sync::Arc;

use aws_config::{BehaviorVersion, Region, retry::RetryConfig};
use aws_credential_types::Credentials;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use sealwax_envelope::{
    BodyHeader, BodySalt, BoxFuture, CacheLimits, CachingKeyring, EncryptedDataKey,
    EncryptionContext, EncryptionMaterials, Keyring, KeyringError, KeyringErrorKind, LocalKeyring,
    MultiKeyring, ObjectHeader, Place, PlaintextDataKey, Sealer, Unwrap, WrapContext, geometry,
};

use super::{Vault, VaultSettings, object_keys::ObjectKeys, sidecar::Sidecar};
use crate::{
    error::ObjectRef,
    format::{ObjectFormat, UnencryptedObjects},
    limited_http::LimitedHttp,
    object::ObjectInfo,
    store::{Store, StoreSettings, acl::AclPolicy, checksum::BodyChecksum},
};

/// A store that gives one answer to all requests: status, headers and body.
#[derive(Debug, Clone)]
pub(crate) struct Answer(u16, Vec<(&'static str, &'static str)>, Vec<u8>);

impl HttpClient for Answer {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Answer {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let status = StatusCode::try_from(self.0).expect("an HTTP status");
        let mut answer = HttpResponse::new(status, SdkBody::from(self.2.clone()));
        answer.headers_mut().insert("content-length", self.2.len().to_string());
        for (name, value) in &self.1 {
            answer.headers_mut().insert(*name, *value);
        }
        HttpConnectorFuture::ready(Ok(answer))
    }
}

impl Answer {
    pub(crate) fn new(status: u16, body: Vec<u8>) -> Self {
        Self(status, Vec::new(), body)
    }

    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.1.push((name, value));
        self
    }

    pub(crate) fn store(self) -> Store {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(self);
        let settings = StoreSettings {
            part_len: geometry::CHUNK_LEN,
            copy_in_parts_above: u64::MAX,
            checksum: BodyChecksum::None,
            acls: AclPolicy::default(),
            timeout: LimitedHttp::DEFAULT_TIMEOUT,
        };
        Store::new(aws_sdk_s3::Client::from_conf(config.build()), settings)
    }
}

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
        let place = Place::new("bucket", key).expect("a place");
        WrapContext::for_stored_data_key(self.context.clone(), Some(place), &self.body)
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
    Vault::new(VaultSettings {
        keyring: Arc::new(keyring),
        places: Default::default(),
        sidecars: Default::default(),
        s3ec: Default::default(),
        unencrypted: UnencryptedObjects::Refuse,
    })
}

pub(crate) fn names(keys: &[EncryptedDataKey]) -> Vec<&str> {
    keys.iter().map(EncryptedDataKey::wrapping_key).collect()
}

/// A key service with one wrapping key. Each method named in `fails` fails.
#[derive(Debug)]
pub(crate) struct Service {
    key: LocalKeyring,
    /// It re-encrypts from this key.
    from: Option<LocalKeyring>,
    fails: Vec<(&'static str, KeyringErrorKind)>,
}

impl Service {
    pub(crate) fn new(name: &str) -> Self {
        Self { key: local(name), from: None, fails: Vec::new() }
    }

    pub(crate) fn re_encrypts_from(self, name: &str) -> Self {
        Self { from: Some(local(name)), ..self }
    }

    pub(crate) fn fails(mut self, method: &'static str, kind: KeyringErrorKind) -> Self {
        self.fails.push((method, kind));
        self
    }

    fn check(&self, method: &str) -> Result<(), KeyringError> {
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
