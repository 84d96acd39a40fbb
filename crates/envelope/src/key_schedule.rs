//! The key schedule of a body (C2SP chunked-encryption v1, "Key derivation").

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    Error, PlaintextDataKey,
    crypto::{Aes256Gcm, KEY_LEN, NONCE_LEN, fill_random, hkdf_expand_sha512},
    geometry::{HEADER_LEN, MAX_CHUNKS},
};

const INFO: &[u8] = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0";
/// Length of a body's salt, in bytes.
pub(crate) const SALT_LEN: usize = 24;
const COMMITMENT_LEN: usize = 32;

/// The random salt of a new body, to be used once.
///
/// The data key's [`WrapContext`](crate::WrapContext) borrows it, so that the wrapped keys are
/// bound to this body alone. The [`Sealer`](crate::Sealer) consumes it, so no second body has it.
///
/// ```compile_fail
/// # use sealwax_envelope::{BodySalt, PlaintextDataKey, Sealer};
/// # let data_key = PlaintextDataKey::generate()?;
/// let salt = BodySalt::generate()?;
/// let one = Sealer::new(&data_key, b"context", salt);
/// let two = Sealer::new(&data_key, b"context", salt);
/// # Ok::<(), sealwax_envelope::Error>(())
/// ```
pub struct BodySalt([u8; SALT_LEN]);

impl BodySalt {
    /// Generates a salt with the operating system's random number generator.
    ///
    /// # Errors
    /// [`Error::RandomUnavailable`].
    pub fn generate() -> Result<Self, Error> {
        let mut salt = [0; SALT_LEN];
        fill_random(&mut salt)?;
        Ok(Self(salt))
    }

    pub(crate) fn bytes(&self) -> &[u8; SALT_LEN] {
        &self.0
    }
}

impl fmt::Debug for BodySalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySalt").finish_non_exhaustive()
    }
}

/// The first 56 bytes of a body: a random salt, and a commitment to the data key and the encryption
/// context.
///
/// Each new body has a new salt, so the header also identifies the body.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BodyHeader {
    salt: [u8; SALT_LEN],
    commitment: [u8; COMMITMENT_LEN],
}

impl BodyHeader {
    /// Parses the header at the start of a body.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Self {
        let (salt, commitment) = bytes.split_at(SALT_LEN);
        Self {
            salt: salt.try_into().expect("24 bytes"),
            commitment: commitment.try_into().expect("56 - 24 bytes"),
        }
    }

    /// Returns the header of a body to come, with a commitment of zeros: for measuring metadata
    /// before there is a data key.
    #[must_use]
    pub fn expected(salt: &BodySalt) -> Self {
        Self { salt: *salt.bytes(), commitment: [0; COMMITMENT_LEN] }
    }

    /// Returns the body's salt.
    pub(crate) fn salt(&self) -> &[u8; SALT_LEN] {
        &self.salt
    }

    /// Returns the stored form of the header.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..SALT_LEN].copy_from_slice(&self.salt);
        bytes[SALT_LEN..].copy_from_slice(&self.commitment);
        bytes
    }
}

impl fmt::Debug for BodyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyHeader").finish_non_exhaustive()
    }
}

/// The key and base nonce of one body.
pub(crate) struct BodyKey {
    cipher: Aes256Gcm,
    base_nonce: [u8; NONCE_LEN],
}

impl BodyKey {
    /// Derives the key of a new body.
    pub(crate) fn for_sealing(
        data_key: &PlaintextDataKey,
        context: &[u8],
        BodySalt(salt): BodySalt,
    ) -> (Self, BodyHeader) {
        let (key, commitment) = derive(data_key, &salt, context);
        (key, BodyHeader { salt, commitment })
    }

    /// Derives the key of a stored body, and returns it only if the commitment matches.
    pub(crate) fn for_opening(
        data_key: &PlaintextDataKey,
        context: &[u8],
        header: &BodyHeader,
    ) -> Result<Self, Error> {
        let (key, commitment) = derive(data_key, &header.salt, context);
        if bool::from(commitment.ct_eq(&header.commitment)) {
            Ok(key)
        } else {
            Err(Error::Authentication)
        }
    }

    /// Returns the cipher and the nonce of chunk `chunk`: base nonce XOR chunk number, big-endian.
    pub(crate) fn chunk(&self, chunk: u64) -> Result<(&Aes256Gcm, [u8; NONCE_LEN]), Error> {
        if chunk >= MAX_CHUNKS {
            return Err(Error::TooLong);
        }
        let mut nonce = self.base_nonce;
        for (byte, counter) in nonce[NONCE_LEN - 8..].iter_mut().zip(chunk.to_be_bytes()) {
            *byte ^= counter;
        }
        Ok((&self.cipher, nonce))
    }
}

/// `key ‖ base nonce ‖ commitment = HKDF-Expand-SHA512(data key, INFO ‖ salt ‖ context)`
fn derive(
    data_key: &PlaintextDataKey,
    salt: &[u8; SALT_LEN],
    context: &[u8],
) -> (BodyKey, [u8; COMMITMENT_LEN]) {
    let mut derived = Zeroizing::new([0; KEY_LEN + NONCE_LEN + COMMITMENT_LEN]);
    hkdf_expand_sha512(data_key.expose_secret(), &[INFO, salt, context], derived.as_mut());
    let (key, rest) = derived.split_first_chunk::<KEY_LEN>().expect("76 bytes");
    let (base_nonce, commitment) = rest.split_first_chunk::<NONCE_LEN>().expect("44 bytes");
    let commitment = commitment.try_into().expect("32 bytes");
    (BodyKey { cipher: Aes256Gcm::new(key), base_nonce: *base_nonce }, commitment)
}
