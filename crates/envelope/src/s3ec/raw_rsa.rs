//! Keyring over a raw RSA key.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Admitted, ContentSuite, Error, Keyring, WrapAlgorithm, WrappedKey};
use crate::{
    BoxFuture, DATA_KEY_LEN, EncryptionContext, KeyringError, KeyringErrorKind, PlaintextDataKey,
    crypto::{Unauthentic, s3ec_primitives::RsaKey},
};

/// Wraps data keys under one RSA key with OAEP and SHA-1, bound to the content's suite. Also
/// unwraps data keys wrapped by older clients, if the reader's policy accepts them. A public key
/// can only write.
///
/// All failures to unwrap are the same error. For the oldest algorithm, RSAES-PKCS1-v1_5, the time
/// that a failure takes may still leak information (Bleichenbacher's attack). Allow legacy
/// algorithms only if no attacker can make you read many objects of their choice.
pub struct RawRsaKeyring {
    key: RsaKey,
    description: BTreeMap<String, String>,
}

impl RawRsaKeyring {
    /// Creates a keyring from a private key in PKCS#8, as PEM (`PRIVATE KEY`) or DER, of 2,048 to
    /// 8,192 bits.
    ///
    /// # Errors
    /// [`Error::Metadata`] for anything else.
    pub fn from_private_key(pkcs8: &[u8]) -> Result<Self, Error> {
        let der = der(pkcs8, "PRIVATE KEY");
        let key = RsaKey::from_pkcs8(&der)
            .ok_or(crate::Error::ApiMisuse("not an RSA private key in PKCS#8"))?;
        Ok(Self { key, description: BTreeMap::new() })
    }

    /// Creates a keyring from a public key, which can only write: a `SubjectPublicKeyInfo` as PEM
    /// (`PUBLIC KEY`) or DER.
    ///
    /// # Errors
    /// [`Error::Metadata`] for anything else.
    pub fn from_public_key(spki: &[u8]) -> Result<Self, Error> {
        let der = der(spki, "PUBLIC KEY");
        let key = RsaKey::from_public_der(&der)
            .ok_or(crate::Error::ApiMisuse("not an RSA public key"))?;
        Ok(Self { key, description: BTreeMap::new() })
    }

    /// Sets the materials description, stored in plaintext with each wrapped data key to identify
    /// the wrapping key. It is not authenticated.
    #[must_use]
    pub fn materials_description<N: Into<String>, V: Into<String>>(
        mut self,
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.description =
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        self
    }

    fn data_key(
        &self,
        algorithm: WrapAlgorithm,
        wrapped: &[u8],
        binding: &str,
    ) -> Result<PlaintextDataKey, Unauthentic> {
        let mut message = match algorithm {
            WrapAlgorithm::RsaOaepSha1 => self.key.oaep_sha1_unwrap(wrapped)?,
            WrapAlgorithm::RsaOaepSha256 => self.key.oaep_sha256_unwrap(wrapped)?,
            _ => self.key.pkcs1_unwrap(wrapped)?,
        };
        let data_key = match algorithm {
            WrapAlgorithm::RsaOaepSha1 => {
                // Length, data key and suite, without trailing bytes.
                let (len, rest) = message.split_first_mut().ok_or(Unauthentic)?;
                let (data_key, bound_to) =
                    rest.split_first_chunk_mut::<DATA_KEY_LEN>().ok_or(Unauthentic)?;
                let is_ours = usize::from(*len) == DATA_KEY_LEN
                    && bool::from(bound_to.ct_eq(binding.as_bytes()));
                if !is_ours {
                    return Err(Unauthentic);
                }
                data_key.as_mut_slice()
            }
            _ => message.as_mut_slice(),
        };
        PlaintextDataKey::from_slice_wiping(data_key).map_err(|_| Unauthentic)
    }
}

impl Keyring for RawRsaKeyring {
    fn accepts(&self, algorithm: WrapAlgorithm) -> bool {
        let is_rsa = matches!(
            algorithm,
            WrapAlgorithm::RsaOaepSha1 | WrapAlgorithm::RsaOaepSha256 | WrapAlgorithm::RsaPkcs1
        );
        is_rsa && self.key.is_private()
    }

    fn binds_context(&self) -> bool {
        false
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        suite: ContentSuite,
        _context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<WrappedKey, KeyringError>> {
        Box::pin(async move {
            let binding = suite.binding().as_bytes();
            let mut message = Zeroizing::new(Vec::with_capacity(1 + DATA_KEY_LEN + binding.len()));
            message.push(DATA_KEY_LEN as u8);
            message.extend_from_slice(data_key.expose_secret());
            message.extend_from_slice(binding);
            let wrapped = self
                .key
                .oaep_sha1_wrap(&message)
                .map_err(|Unauthentic| failed(KeyringErrorKind::Other))?;
            Ok(WrappedKey::new(WrapAlgorithm::RsaOaepSha1, wrapped, self.description.clone()))
        })
    }

    fn unwrap<'a>(
        &'a self,
        envelope: &'a Admitted,
    ) -> BoxFuture<'a, Result<PlaintextDataKey, KeyringError>> {
        Box::pin(async move {
            let envelope = envelope.envelope();
            if !self.accepts(envelope.key().algorithm()) {
                return Err(failed(KeyringErrorKind::NotFound));
            }
            let binding = envelope.content().suite().raw_key_binding();
            self.data_key(envelope.key().algorithm(), envelope.key().encrypted_data_key(), binding)
                .map_err(|Unauthentic| failed(KeyringErrorKind::Rejected))
        })
    }
}

/// Returns the bytes of a PEM block (RFC 7468), or `key` itself if it is not PEM. Each buffer has
/// its final length from the start: one that grows leaves copies of the key behind.
fn der(key: &[u8], label: &str) -> Zeroizing<Vec<u8>> {
    let block = std::str::from_utf8(key).ok().and_then(|text| {
        let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
        let (base64, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let mut joined = Zeroizing::new(Vec::with_capacity(base64.len()));
        for line in base64.split_ascii_whitespace() {
            joined.extend_from_slice(line.as_bytes());
        }
        let mut der = Zeroizing::new(vec![0; joined.len().div_ceil(4) * 3]);
        let len = STANDARD.decode_slice(&*joined, &mut der).ok()?;
        der.truncate(len);
        Some(der)
    });
    block.unwrap_or_else(|| Zeroizing::new(key.to_vec()))
}

fn failed(kind: KeyringErrorKind) -> KeyringError {
    KeyringError::new(kind, "(raw RSA key)")
}

impl fmt::Debug for RawRsaKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRsaKeyring")
            .field("is_private", &self.key.is_private())
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}
