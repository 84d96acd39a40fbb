//! The data key in the body of an `Encrypt` request, in memory that is wiped.

use std::fmt;

use aws_sdk_kms::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut,
    },
    error::BoxError,
    primitives::Blob,
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_types::body::SdkBody;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use sealwax_envelope::{DATA_KEY_LEN, Error, PlaintextDataKey};
use zeroize::Zeroizing;

/// Length of a data key in base64, in bytes.
const ENCODED_LEN: usize = DATA_KEY_LEN.div_ceil(3) * 4;

/// An SDK interceptor that puts a data key into the serialized body of a request.
///
/// The SDK serializes into strings that grow, and wipes none of them. So it gets random bytes
/// instead of the key. Before the request is signed and first sent, this replaces them by the key.
/// The new body is one buffer, shared by all attempts, and wiped when the last of them is dropped.
pub(super) struct SecretPlaintext {
    placeholder: String,
    /// The key in base64.
    key: Zeroizing<Vec<u8>>,
}

impl SecretPlaintext {
    /// Returns the interceptor, and the plaintext to give to the SDK.
    pub(super) fn new(data_key: &PlaintextDataKey) -> Result<(Self, Blob), Error> {
        let mut key = Zeroizing::new(vec![0; ENCODED_LEN]);
        let len = STANDARD.encode_slice(data_key.expose_secret(), &mut key);
        assert_eq!(len, Ok(ENCODED_LEN), "the length of a data key is constant");
        // Random, so that no text in the encryption context can be taken for it.
        let placeholder = PlaintextDataKey::generate()?;
        let placeholder = placeholder.expose_secret().as_slice();
        Ok((Self { placeholder: STANDARD.encode(placeholder), key }, Blob::new(placeholder)))
    }

    /// Returns the body with the key in it. `None` if the placeholder is not there exactly once.
    fn fill(&self, body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut places = body
            .windows(ENCODED_LEN)
            .enumerate()
            .filter(|(_, window)| *window == self.placeholder.as_bytes());
        let (Some((at, _)), None) = (places.next(), places.next()) else { return None };
        let mut filled = Zeroizing::new(body.to_vec());
        filled[at..at + ENCODED_LEN].copy_from_slice(&self.key);
        Some(filled)
    }
}

#[dyn_dispatch_hint]
impl Intercept for SecretPlaintext {
    fn name(&self) -> &'static str {
        "SecretPlaintext"
    }

    fn modify_before_retry_loop(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request().body().bytes().and_then(|body| self.fill(body));
        let body = body.ok_or("the request has no place for the data key")?;
        *context.request_mut().body_mut() = SdkBody::from(Bytes::from_owner(body));
        Ok(())
    }
}

impl fmt::Debug for SecretPlaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretPlaintext").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex, PoisonError},
        time::Duration,
    };

    use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
    use aws_sdk_kms::{
        Client,
        config::{
            Credentials, HttpClient, SharedCredentialsProvider,
            http::{HttpRequest, HttpResponse},
        },
    };
    use aws_smithy_runtime_api::{
        client::http::{
            HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
        },
        http::StatusCode,
    };

    use super::*;

    /// KMS that throttles the first attempt, and records the bodies of all.
    #[derive(Debug, Clone, Default)]
    struct Recording(Arc<Mutex<Vec<String>>>);

    impl HttpClient for Recording {
        fn http_connector(
            &self,
            _: &HttpConnectorSettings,
            _: &RuntimeComponents,
        ) -> SharedHttpConnector {
            SharedHttpConnector::new(self.clone())
        }
    }

    impl HttpConnector for Recording {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let body = request.body().bytes().expect("a body in memory");
            assert_eq!(
                request.headers().get("content-length"),
                Some(body.len().to_string().as_str())
            );
            let mut bodies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            bodies.push(String::from_utf8(body.to_vec()).expect("JSON"));
            let (status, body) = match bodies.len() {
                1 => (400, r#"{"__type":"ThrottlingException"}"#),
                _ => (200, r#"{"CiphertextBlob":"AAAA","KeyId":"k"}"#),
            };
            let status = StatusCode::try_from(status).expect("an HTTP status");
            HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
        }
    }

    #[tokio::test]
    async fn each_attempt_has_the_key_and_no_placeholder() {
        let credentials = Credentials::new("test", "test", None, None, "tests");
        let recording = Recording::default();
        let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .region(Region::new("us-east-1"))
            .retry_config(retries)
            .http_client(recording.clone())
            .build();
        let data_key = PlaintextDataKey::from_slice_wiping(&mut [7; 32]).expect("32 bytes");
        let (secret, plaintext) = SecretPlaintext::new(&data_key).expect("random");
        assert_ne!(plaintext.as_ref(), data_key.expose_secret());
        assert_eq!(format!("{secret:?}"), "SecretPlaintext { .. }");
        let placeholder = secret.placeholder.clone();
        let call = Client::new(&config).encrypt().key_id("k").plaintext(plaintext);
        // The key's own base64 in the context is not taken for the placeholder.
        let call = call.encryption_context("n", STANDARD.encode([7; 32]));
        let output = call.customize().interceptor(secret).send().await.expect("the second attempt");
        assert_eq!(output.key_id(), Some("k"));
        let bodies = recording.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(bodies.len(), 2);
        for body in bodies.iter() {
            let sent: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert_eq!(sent["Plaintext"], STANDARD.encode([7; 32]));
            assert!(!body.contains(&placeholder));
        }
    }

    #[test]
    fn a_body_without_exactly_one_placeholder_is_refused() {
        let data_key = PlaintextDataKey::from_slice_wiping(&mut [7; 32]).expect("32 bytes");
        let (secret, _) = SecretPlaintext::new(&data_key).expect("random");
        let one = format!("{{\"Plaintext\":\"{}\"}}", secret.placeholder);
        assert!(secret.fill(one.as_bytes()).is_some());
        for body in [String::new(), "{}".into(), one.repeat(2)] {
            assert!(secret.fill(body.as_bytes()).is_none(), "{body}");
        }
    }
}
