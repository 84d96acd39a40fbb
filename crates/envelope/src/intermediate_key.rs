//! Intermediate keys: their ids, and the data keys under them.
//!
//! A data key is wrapped under a key that is derived from the intermediate key for this data key
//! alone. So no number of data keys, no copy of the process's memory and no reused nonce endangers
//! the intermediate key. (FORMAT.md, "Intermediate keys".)

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{
    Error, PlaintextDataKey,
    crypto::{Aes256Gcm, KEY_LEN, NONCE_LEN, TAG_LEN, fill_random, hkdf_expand_sha512},
};

/// Length of a data key that is wrapped under an intermediate key, in bytes: nonce, ciphertext, tag.
pub(crate) const WRAPPED_DATA_KEY_LEN: usize = NONCE_LEN + KEY_LEN + TAG_LEN;

/// A data key, wrapped under an intermediate key.
pub(crate) type WrappedDataKey = [u8; WRAPPED_DATA_KEY_LEN];

/// Random part of the id of an intermediate key, which the key service authenticates.
pub(crate) type IntermediateNonce = [u8; 16];

const CHECK_LEN: usize = 16;
const ID_LEN: usize = size_of::<IntermediateNonce>() + CHECK_LEN;

/// Draws the random part of the id of a new intermediate key.
pub(crate) fn new_nonce() -> Result<IntermediateNonce, Error> {
    let mut nonce = IntermediateNonce::default();
    fill_random(&mut nonce)?;
    Ok(nonce)
}

/// Identity of an intermediate key: 16 random bytes, and 16 bytes derived from the key and those.
///
/// The derived bytes tell the true key from every other. Prints as 43 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntermediateKeyId([u8; ID_LEN]);

impl IntermediateKeyId {
    /// Returns the id of `key`.
    pub(crate) fn of(key: &PlaintextDataKey, nonce: IntermediateNonce) -> Self {
        let mut id = [0; ID_LEN];
        let (random, check) = id.split_at_mut(nonce.len());
        random.copy_from_slice(&nonce);
        let info: [&[u8]; 2] = [b"sealwax/v1/intermediate-id\0", &nonce];
        hkdf_expand_sha512(key.expose_secret(), &info, check);
        Self(id)
    }

    /// Fails unless this is the id of `key`.
    pub(crate) fn verify(&self, key: &PlaintextDataKey) -> Result<(), Error> {
        let is_same = Self::of(key, self.nonce()).0.ct_eq(&self.0);
        if bool::from(is_same) { Ok(()) } else { Err(Error::Authentication) }
    }

    pub(crate) fn nonce(&self) -> IntermediateNonce {
        *self.0.first_chunk().expect("32 bytes")
    }

    pub(crate) fn from_bytes(bytes: [u8; ID_LEN]) -> Self {
        Self(bytes)
    }

    /// Parses the text form; `None` for any other spelling.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = (text.len() == ID_LEN.div_ceil(3) * 4 - 1).then_some(text)?;
        URL_SAFE_NO_PAD.decode(bytes).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for IntermediateKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for IntermediateKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IntermediateKeyId({self})")
    }
}

/// Wraps `data_key` under an intermediate key. `binding` are the bytes of the data key's
/// wrap context, which has the id too.
pub(crate) fn wrap_data_key(
    intermediate: &PlaintextDataKey,
    data_key: &PlaintextDataKey,
    binding: &[u8],
) -> Result<WrappedDataKey, Error> {
    let mut wrapped = [0; WRAPPED_DATA_KEY_LEN];
    let (nonce, rest) = wrapped.split_first_chunk_mut::<NONCE_LEN>().expect("60 bytes");
    let (sealed, tag) = rest.split_first_chunk_mut::<KEY_LEN>().expect("48 bytes");
    fill_random(nonce)?;
    sealed.copy_from_slice(data_key.expose_secret());
    tag.copy_from_slice(&cipher(intermediate, binding).seal(*nonce, &[], sealed));
    Ok(wrapped)
}

/// Unwraps the data key in `wrapped`, given the bytes that it was wrapped with.
pub(crate) fn unwrap_data_key(
    intermediate: &PlaintextDataKey,
    wrapped: &WrappedDataKey,
    binding: &[u8],
) -> Result<PlaintextDataKey, Error> {
    let mut wrapped = *wrapped;
    let (nonce, rest) = wrapped.split_first_chunk_mut::<NONCE_LEN>().expect("60 bytes");
    let (data_key, tag) = rest.split_first_chunk_mut::<KEY_LEN>().expect("48 bytes");
    let tag: &[u8; TAG_LEN] = (&*tag).try_into().expect("16 bytes");
    cipher(intermediate, binding).open(*nonce, &[], data_key, tag)?;
    PlaintextDataKey::from_slice_wiping(data_key)
}

/// Returns the cipher of one data key under the intermediate key.
fn cipher(intermediate: &PlaintextDataKey, binding: &[u8]) -> Aes256Gcm {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    let info: [&[u8]; 2] = [b"sealwax/v1/data-key\0", binding];
    hkdf_expand_sha512(intermediate.expose_secret(), &info, key.as_mut());
    Aes256Gcm::new(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PlaintextDataKey {
        PlaintextDataKey::from_slice_wiping(&mut [byte; 32]).expect("32 bytes")
    }

    #[test]
    fn an_id_names_one_key() {
        let id = IntermediateKeyId::of(&key(1), [7; 16]);
        assert_eq!(id.nonce(), [7; 16]);
        assert_eq!(id.verify(&key(1)), Ok(()));
        assert_eq!(id.verify(&key(2)), Err(Error::Authentication));
        for at in 0..ID_LEN {
            let mut other = id.0;
            other[at] ^= 1;
            let other = IntermediateKeyId(other);
            assert_eq!(other.verify(&key(1)), Err(Error::Authentication), "byte {at}");
        }
    }

    #[test]
    fn an_id_has_one_spelling() {
        let text = IntermediateKeyId::of(&key(1), [7; 16]).to_string();
        assert_eq!(text.len(), 43);
        assert_eq!(IntermediateKeyId::parse(&text).map(|id| id.to_string()), Some(text.clone()));
        let last = text.chars().last().expect("43 characters");
        let unused_bits = (b'A'..=b'z')
            .map(char::from)
            .filter(|other| *other != last)
            .map(|other| format!("{}{other}", &text[..42]))
            .filter(|other| {
                IntermediateKeyId::parse(other).is_some_and(|id| id.to_string() != *other)
            });
        assert_eq!(unused_bits.count(), 0);
        for other in [format!("{text}="), text[..42].to_owned(), format!("{text}A"), "+".repeat(43)]
        {
            assert_eq!(IntermediateKeyId::parse(&other), None, "{other}");
        }
    }

    #[test]
    fn a_data_key_opens_under_its_own_key_and_binding_only() {
        let wrapped = wrap_data_key(&key(1), &key(3), b"binding").expect("random bytes");
        let open = |by: u8, wrapped: &WrappedDataKey, binding: &[u8]| {
            unwrap_data_key(&key(by), wrapped, binding).map(|key| *key.expose_secret())
        };
        assert_eq!(open(1, &wrapped, b"binding"), Ok([3; 32]));
        let failed = Err(Error::Authentication);
        assert_eq!(open(2, &wrapped, b"binding"), failed, "another key");
        assert_eq!(open(1, &wrapped, b"bindings"), failed, "another binding");
        for at in 0..WRAPPED_DATA_KEY_LEN {
            let mut other = wrapped;
            other[at] ^= 1;
            assert_eq!(open(1, &other, b"binding"), failed, "byte {at}");
        }
        let again = wrap_data_key(&key(1), &key(3), b"binding").expect("random bytes");
        assert_ne!(wrapped, again, "the nonce is random");
    }
}
