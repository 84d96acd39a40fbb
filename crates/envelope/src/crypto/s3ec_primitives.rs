//! Additional primitives for the formats of the S3 Encryption Client: AWS-LC through `aws-lc-rs`.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{
        AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, PaddedBlockDecryptingKey,
        StreamingDecryptingKey, UnboundCipherKey,
    },
    hkdf, key_wrap,
    key_wrap::KeyWrap as _,
    rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey,
        OaepPublicEncryptingKey, Pkcs1PrivateDecryptingKey, PrivateDecryptingKey,
        PublicEncryptingKey,
    },
};
use sealwax_aws_lc::OaepSha256Mgf1Sha1;
use zeroize::Zeroizing;

use super::{KEY_LEN, NONCE_LEN, RandomUnavailable, TAG_LEN, Unauthentic, fill_random};

/// HKDF with SHA-512 (RFC 5869).
pub(crate) struct Prk(hkdf::Prk);

impl Prk {
    pub(crate) fn extract(salt: &[u8], secret: &[u8; KEY_LEN]) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA512, salt).extract(secret))
    }

    pub(crate) fn expand(&self, info: &[&[u8]], out: &mut [u8]) {
        struct Len(usize);
        impl hkdf::KeyType for Len {
            fn len(&self) -> usize {
                self.0
            }
        }
        let expanded = self.0.expand(info, Len(out.len())).and_then(|okm| okm.fill(out));
        expanded.expect("the output is far below 255 × 64 bytes");
    }
}

/// Applies AES-256-CTR with a big-endian counter, without authentication.
pub(crate) fn ctr_in_place(key: &[u8; KEY_LEN], counter: [u8; 16], data: &mut [u8]) {
    let key = UnboundCipherKey::new(&AES_256, key)
        .and_then(DecryptingKey::ctr)
        .expect("32 bytes are an AES-256 key");
    key.decrypt(data, DecryptionContext::Iv128(counter.into()))
        .expect("a counter block of 16 bytes");
}

/// Decryption of AES-256-CBC with PKCS#7 padding in pieces, without authentication.
pub(crate) struct CbcOpener(StreamingDecryptingKey);

impl CbcOpener {
    pub(crate) fn new(key: &[u8; KEY_LEN], iv: &[u8; 16]) -> Self {
        let key = UnboundCipherKey::new(&AES_256, key).expect("32 bytes are an AES-256 key");
        let key = StreamingDecryptingKey::cbc_pkcs7(key, DecryptionContext::Iv128(iv.into()));
        Self(key.expect("an initialisation vector of 16 bytes"))
    }

    /// Decrypts a piece and returns the plaintext available so far.
    pub(crate) fn update(&mut self, piece: &[u8]) -> Result<Vec<u8>, Unauthentic> {
        let mut plaintext = vec![0; piece.len() + 16];
        let written =
            self.0.update(piece, &mut plaintext).map_err(|_| Unauthentic)?.written().len();
        plaintext.truncate(written);
        Ok(plaintext)
    }

    /// Returns the rest, without the padding.
    pub(crate) fn finish(self) -> Result<Zeroizing<Vec<u8>>, Unauthentic> {
        let mut plaintext = Zeroizing::new(vec![0; 16]);
        let written = self.0.finish(&mut plaintext).map_err(|_| Unauthentic)?.written().len();
        plaintext.truncate(written);
        Ok(plaintext)
    }
}

/// A wrapping key of 128, 192 or 256 bits.
pub(crate) struct AesKey(Zeroizing<Vec<u8>>);

impl AesKey {
    /// Returns `None` for other lengths.
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        matches!(bytes.len(), 16 | 24 | 32).then_some(Self(bytes))
    }

    fn gcm(&self) -> LessSafeKey {
        let algorithm = match self.0.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            _ => &AES_256_GCM,
        };
        LessSafeKey::new(UnboundKey::new(algorithm, &self.0).expect("the algorithm of this length"))
    }

    /// Returns `nonce ‖ ciphertext ‖ tag` with a random nonce.
    pub(crate) fn gcm_wrap(
        &self,
        key: &[u8; KEY_LEN],
        aad: &[u8],
    ) -> Result<Vec<u8>, RandomUnavailable> {
        let mut nonce = [0; NONCE_LEN];
        fill_random(&mut nonce)?;
        let mut wrapped = Vec::with_capacity(NONCE_LEN + KEY_LEN + TAG_LEN);
        wrapped.extend_from_slice(&nonce);
        wrapped.extend_from_slice(key);
        let unique = Nonce::assume_unique_for_key(nonce);
        let tag = self.gcm().seal_in_place_separate_tag(
            unique,
            Aad::from(aad),
            &mut wrapped[NONCE_LEN..],
        );
        wrapped.extend_from_slice(tag.expect("a key is far below GCM's length limit").as_ref());
        Ok(wrapped)
    }

    pub(crate) fn gcm_unwrap(
        &self,
        wrapped: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unauthentic> {
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(Unauthentic)?;
        let mut key = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let len = self
            .gcm()
            .open_in_place(nonce, Aad::from(aad), &mut key)
            .map_err(|_| Unauthentic)?
            .len();
        key.truncate(len);
        Ok(key)
    }

    /// Unwraps with AES key wrap (RFC 3394), which AWS-LC supports for 128-bit and 256-bit keys.
    pub(crate) fn key_unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unauthentic> {
        let cipher = match self.0.len() {
            16 => &key_wrap::AES_128,
            32 => &key_wrap::AES_256,
            _ => return Err(Unauthentic),
        };
        let kek = key_wrap::AesKek::new(cipher, &self.0).map_err(|_| Unauthentic)?;
        let mut key = Zeroizing::new(vec![0; wrapped.len()]);
        let len = kek.unwrap(wrapped, &mut key).map_err(|_| Unauthentic)?.len();
        key.truncate(len);
        Ok(key)
    }

    /// Unwraps with AES-ECB and PKCS#7 padding.
    pub(crate) fn ecb_unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unauthentic> {
        let algorithm = match self.0.len() {
            16 => &AES_128,
            24 => &AES_192,
            _ => &AES_256,
        };
        let cipher =
            UnboundCipherKey::new(algorithm, &self.0).and_then(PaddedBlockDecryptingKey::ecb_pkcs7);
        let mut key = Zeroizing::new(wrapped.to_vec());
        let len =
            cipher.and_then(|cipher| Ok(cipher.decrypt(&mut key, DecryptionContext::None)?.len()));
        key.truncate(len.map_err(|_| Unauthentic)?);
        Ok(key)
    }
}

/// An RSA key pair for wrapping, or its public half.
pub(crate) struct RsaKey {
    public: PublicEncryptingKey,
    private: Option<RsaPrivateKey>,
}

struct RsaPrivateKey {
    key: PrivateDecryptingKey,
    /// The same key, for OAEP with two different digests.
    mixed: OaepSha256Mgf1Sha1,
}

impl RsaKey {
    /// Parses a private key in PKCS#8 DER of 2,048 to 8,192 bits.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let key = PrivateDecryptingKey::from_pkcs8(der).ok()?;
        let mixed = OaepSha256Mgf1Sha1::from_pkcs8(der)?;
        Some(Self { public: key.public_key(), private: Some(RsaPrivateKey { key, mixed }) })
    }

    /// Parses a public key as `SubjectPublicKeyInfo` DER (RFC 5280 §4.1).
    pub(crate) fn from_public_der(der: &[u8]) -> Option<Self> {
        Some(Self { public: PublicEncryptingKey::from_der(der).ok()?, private: None })
    }

    pub(crate) fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// Wraps with OAEP, SHA-1 and no label.
    pub(crate) fn oaep_sha1_wrap(&self, message: &[u8]) -> Result<Vec<u8>, Unauthentic> {
        let key = OaepPublicEncryptingKey::new(self.public.clone()).map_err(|_| Unauthentic)?;
        let mut wrapped = vec![0; key.ciphertext_size()];
        let len = key
            .encrypt(&OAEP_SHA1_MGF1SHA1, message, &mut wrapped, None)
            .map_err(|_| Unauthentic)?
            .len();
        wrapped.truncate(len);
        Ok(wrapped)
    }

    pub(crate) fn oaep_sha1_unwrap(
        &self,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unauthentic> {
        self.oaep_unwrap(&OAEP_SHA1_MGF1SHA1, wrapped)
    }

    /// Unwraps with OAEP and SHA-256. Tries MGF1 with SHA-1 (Java), then with SHA-256 (Bouncy
    /// Castle under the same name).
    pub(crate) fn oaep_sha256_unwrap(
        &self,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unauthentic> {
        let private = self.private.as_ref().ok_or(Unauthentic)?;
        let as_java = private.mixed.decrypt(wrapped).map_err(|_| Unauthentic);
        as_java.or_else(|_| self.oaep_unwrap(&OAEP_SHA256_MGF1SHA256, wrapped))
    }

    fn oaep_unwrap(
        &self,
        algorithm: &'static aws_lc_rs::rsa::OaepAlgorithm,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unauthentic> {
        let private = self.private.as_ref().ok_or(Unauthentic)?;
        let key = OaepPrivateDecryptingKey::new(private.key.clone()).map_err(|_| Unauthentic)?;
        let mut message = Zeroizing::new(vec![0; key.min_output_size()]);
        let len =
            key.decrypt(algorithm, wrapped, &mut message, None).map_err(|_| Unauthentic)?.len();
        message.truncate(len);
        Ok(message)
    }

    /// Unwraps with RSAES-PKCS1-v1_5.
    pub(crate) fn pkcs1_unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unauthentic> {
        let private = self.private.as_ref().ok_or(Unauthentic)?;
        let key = Pkcs1PrivateDecryptingKey::new(private.key.clone()).map_err(|_| Unauthentic)?;
        let mut message = Zeroizing::new(vec![0; key.min_output_size()]);
        let len = key.decrypt(wrapped, &mut message).map_err(|_| Unauthentic)?.len();
        message.truncate(len);
        Ok(message)
    }
}
