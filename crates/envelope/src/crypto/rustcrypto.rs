//! RustCrypto: `aes-gcm`, `hmac` and `sha2`, with their `zeroize` features.

use aes_gcm::{
    Aes256Gcm as Cipher, KeyInit as _,
    aead::{AeadInOut as _, inout::InOutBuf},
};
use hmac::{Hmac, Mac as _, digest::FixedOutput as _};
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use super::{KEY_LEN, NONCE_LEN, TAG_LEN, Unauthentic};

/// AES-256-GCM under one key.
pub(crate) struct Aes256Gcm(Cipher);

impl Aes256Gcm {
    pub(crate) fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(Cipher::new(key.into()))
    }

    /// Encrypts `data` in place; returns the tag.
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
    ) -> [u8; TAG_LEN] {
        self.0
            .encrypt_inout_detached(&nonce.into(), aad, data.into())
            .expect("a chunk is far below GCM's length limit")
            .into()
    }

    /// Decrypts `data` in place. On failure `data` holds zeros.
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Unauthentic> {
        if self
            .0
            .decrypt_inout_detached(&nonce.into(), aad, (&mut *data).into(), tag.into())
            .is_err()
        {
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
        let mut buffers = InOutBuf::new(data, &mut *out).map_err(|_| Unauthentic)?;
        if self
            .0
            .decrypt_inout_detached(&nonce.into(), aad, buffers.reborrow(), tag.into())
            .is_err()
        {
            out.fill(0);
            return Err(Unauthentic);
        }
        Ok(())
    }
}

/// Computes `out = HKDF-Expand-SHA512(prk, info)` (RFC 5869 §2.3) over the concatenated slices of
/// `info`.
///
/// Built on HMAC because the `hkdf` crate rejects keys shorter than the hash. RFC 5869 advises
/// against them, but the chunked-encryption specification permits them.
pub(crate) fn hkdf_expand_sha512(prk: &[u8; KEY_LEN], info: &[&[u8]], out: &mut [u8]) {
    const HASH_LEN: usize = 64;
    let keyed = Hmac::<Sha512>::new_from_slice(prk).expect("HMAC takes keys of any length");
    let mut previous = Zeroizing::new([0_u8; HASH_LEN]);
    for (index, block) in out.chunks_mut(HASH_LEN).enumerate() {
        let mut mac = keyed.clone();
        if index > 0 {
            mac.update(&*previous);
        }
        for part in info {
            mac.update(part);
        }
        mac.update(&[u8::try_from(index + 1).expect("the output is far below 255 × 64 bytes")]);
        // In place: `finalize` returns a copy that is not wiped.
        mac.finalize_into((&mut *previous).into());
        block.copy_from_slice(&previous[..block.len()]);
    }
}

/// Computes SHA-512 (FIPS 180-4).
pub(crate) fn sha512(data: &[u8]) -> [u8; 64] {
    Sha512::digest(data).into()
}
