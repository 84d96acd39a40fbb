//! AWS-LC through `aws-lc-rs`. The library wipes its key schedules and HKDF state on drop.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest, hkdf,
};

use super::{KEY_LEN, NONCE_LEN, TAG_LEN, Unauthentic};

/// AES-256-GCM under one key.
pub(crate) struct Aes256Gcm(LessSafeKey);

impl Aes256Gcm {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `data` in place; returns the tag.
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
    ) -> [u8; TAG_LEN] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
            .expect("a chunk is far below GCM's length limit");
        tag.as_ref().try_into().expect("GCM tags have 16 bytes")
    }

    /// Decrypts `data` in place. On failure `data` holds zeros.
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Unauthentic> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        if self.0.open_in_place_separate_tag(nonce, Aad::from(aad), tag, data).is_err() {
            // The library decrypts while it authenticates, so the buffer now has unverified data.
            data.fill(0);
            return Err(Unauthentic);
        }
        Ok(())
    }

    /// Decrypts `data` into `out`, which has the same length. On failure `out` holds zeros.
    pub(crate) fn open_into(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        data: &[u8],
        tag: &[u8; TAG_LEN],
        out: &mut [u8],
    ) -> Result<(), Unauthentic> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        if self.0.open_separate_gather(nonce, Aad::from(aad), data, tag, out).is_err() {
            // As above.
            out.fill(0);
            return Err(Unauthentic);
        }
        Ok(())
    }
}

/// Computes `out = HKDF-Expand-SHA512(prk, info)` (RFC 5869 §2.3) over the concatenated slices of
/// `info`.
pub(crate) fn hkdf_expand_sha512(prk: &[u8; KEY_LEN], info: &[&[u8]], out: &mut [u8]) {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA512, prk);
    prk.expand(info, Len(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("the output is far below 255 × 64 bytes");
}

/// Computes SHA-512 (FIPS 180-4).
pub(crate) fn sha512(data: &[u8]) -> [u8; 64] {
    let digest = digest::digest(&digest::SHA512, data);
    digest.as_ref().try_into().expect("SHA-512 has 64 bytes")
}
