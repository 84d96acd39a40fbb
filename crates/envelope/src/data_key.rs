//! Data keys, in clear and wrapped.

use std::fmt;

use zeroize::Zeroize;

use crate::{
    EncryptionContext, Error, Place, WrapContext,
    crypto::{self, Aes256Gcm, NONCE_LEN, TAG_LEN},
};

/// Length of a data key in bytes.
pub const DATA_KEY_LEN: usize = crypto::KEY_LEN;

/// Longest ciphertext of one encrypted data key that is read or written, in bytes. (AWS KMS: about 184.)
pub const MAX_ENCRYPTED_DATA_KEY_LEN: usize = 1024;

/// A data key in clear: 256 random bits that encrypt one object.
///
/// It cannot be cloned, compared or printed, and its memory is wiped on drop. It stays in one heap allocation, so that
/// moving it leaves no copies behind.
#[expect(missing_debug_implementations, reason = "a type that owns one must not derive Debug")]
pub struct PlaintextDataKey(Box<[u8; DATA_KEY_LEN]>);

impl PlaintextDataKey {
    /// A new data key from the system's random number generator.
    ///
    /// # Errors
    /// [`Error::RandomUnavailable`].
    pub fn generate() -> Result<Self, Error> {
        let mut key = Self(Box::new([0; DATA_KEY_LEN]));
        crypto::fill_random(key.0.as_mut())?;
        Ok(key)
    }

    /// Takes the key from `bytes` and wipes `bytes`, whatever the outcome.
    ///
    /// # Errors
    /// [`Error::Authentication`] where `bytes` are not [`DATA_KEY_LEN`] long: whatever was unwrapped, it was no data
    /// key.
    pub fn from_slice_wiping(bytes: &mut [u8]) -> Result<Self, Error> {
        let mut key = Self(Box::new([0; DATA_KEY_LEN]));
        let fits = bytes.len() == DATA_KEY_LEN;
        if fits {
            key.0.copy_from_slice(bytes);
        }
        bytes.zeroize();
        if fits { Ok(key) } else { Err(Error::Authentication) }
    }

    /// The bytes of the key. Every use can be found by this name.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; DATA_KEY_LEN] {
        &self.0
    }
}

impl Drop for PlaintextDataKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Length of a data key that is wrapped under an intermediate key, in bytes: nonce, ciphertext, tag.
pub(crate) const WRAPPED_UNDER_INTERMEDIATE_LEN: usize = NONCE_LEN + DATA_KEY_LEN + TAG_LEN;

/// A data key as it is stored: encrypted under one wrapping key, or under an *intermediate key* that is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncryptedDataKey {
    provider: String,
    wrapping_key: String,
    place: Option<Place>,
    ciphertext: Vec<u8>,
    holds: Holds,
}

/// What [`EncryptedDataKey::ciphertext`] holds.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Holds {
    /// The data key.
    DataKey,
    /// An intermediate key, under which this data key is wrapped.
    KeyOf(Box<[u8; WRAPPED_UNDER_INTERMEDIATE_LEN]>),
    /// An intermediate key, which is all that is asked for. Never stored.
    IntermediateKey,
}

impl EncryptedDataKey {
    /// Longest name of a provider, in bytes.
    pub const MAX_PROVIDER_LEN: usize = 32;
    /// Longest name of a wrapping key, in bytes.
    pub const MAX_WRAPPING_KEY_LEN: usize = 256;

    /// Describes a wrapped data key.
    ///
    /// - `provider`: who can unwrap it, 1 to 32 bytes of `a-z`, `0-9` and `-`, such as `aws-kms`.
    /// - `wrapping_key`: the key that it is encrypted under, 1 to 256 bytes of printable ASCII without `"` and `\`. For
    ///   AWS KMS the key's ARN.
    /// - `place`: where the object must be for this wrap to be accepted, if it is bound to a place.
    /// - `ciphertext`: 1 to [`MAX_ENCRYPTED_DATA_KEY_LEN`] bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`], naming the part that breaks these rules.
    pub fn new(
        provider: impl Into<String>,
        wrapping_key: impl Into<String>,
        place: Option<Place>,
        ciphertext: Vec<u8>,
    ) -> Result<Self, Error> {
        let (provider, wrapping_key) = (provider.into(), wrapping_key.into());
        let key = Self { provider, wrapping_key, place, ciphertext, holds: Holds::DataKey };
        check_names(&key.provider, &key.wrapping_key)?;
        if !(1..=MAX_ENCRYPTED_DATA_KEY_LEN).contains(&key.ciphertext.len()) {
            return Err(Error::Malformed("bad ciphertext length of an encrypted data key".into()));
        }
        Ok(key)
    }

    /// Who can unwrap it, such as `aws-kms` or `local`.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The wrapping key that it is encrypted under: for AWS KMS the key's ARN.
    #[must_use]
    pub fn wrapping_key(&self) -> &str {
        &self.wrapping_key
    }

    /// The place that this wrap is bound to, if any.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The ciphertext, as the provider gave it: of the data key, or of an intermediate key.
    #[must_use]
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// What the provider was given with the ciphertext, to authenticate: an object's encryption context, and what this wrap
    /// adds to it.
    #[must_use]
    pub fn binding<'a>(&'a self, context: &'a EncryptionContext) -> WrapContext<'a> {
        match self.holds {
            Holds::DataKey => WrapContext::new(context, self.place()),
            Holds::KeyOf(_) | Holds::IntermediateKey => WrapContext::of_intermediate_key(context),
        }
    }

    /// What the provider would have to be given with the ciphertext of the same key in another wrap, at `place`. `None`
    /// where that needs the intermediate key: it is to it that the place is bound.
    #[must_use]
    pub fn binding_at<'a>(
        &'a self,
        context: &'a EncryptionContext,
        place: Option<&'a Place>,
    ) -> Option<WrapContext<'a>> {
        match self.holds {
            Holds::DataKey => Some(WrapContext::new(context, place)),
            Holds::KeyOf(_) | Holds::IntermediateKey => {
                (self.place() == place).then(|| self.binding(context))
            }
        }
    }

    /// The data key, where `decrypted` is what the ciphertext holds.
    ///
    /// # Errors
    /// [`Error::Authentication`] where the data key is not wrapped under this intermediate key, with this context and
    /// place.
    pub fn open(
        &self,
        decrypted: PlaintextDataKey,
        context: &EncryptionContext,
    ) -> Result<PlaintextDataKey, Error> {
        match &self.holds {
            Holds::DataKey | Holds::IntermediateKey => Ok(decrypted),
            Holds::KeyOf(_) => self.open_under(&decrypted, context),
        }
    }

    /// As [`EncryptedDataKey::open`], with an intermediate key that stays in use.
    ///
    /// # Errors
    /// [`Error::Authentication`] as there, and where there is no intermediate key.
    pub fn open_under(
        &self,
        intermediate: &PlaintextDataKey,
        context: &EncryptionContext,
    ) -> Result<PlaintextDataKey, Error> {
        let Holds::KeyOf(wrapped) = &self.holds else { return Err(Error::Authentication) };
        let mut wrapped = wrapped.clone();
        let (nonce, rest) = wrapped.split_first_chunk_mut::<NONCE_LEN>().expect("60 bytes");
        let (data_key, tag) = rest.split_first_chunk_mut::<DATA_KEY_LEN>().expect("48 bytes");
        let tag: &[u8; TAG_LEN] = (&*tag).try_into().expect("16 bytes");
        let aad = WrapContext::new(context, self.place()).canonical_bytes();
        Aes256Gcm::new(intermediate.expose_secret()).open(*nonce, &aad, data_key, tag)?;
        PlaintextDataKey::from_slice_wiping(data_key)
    }

    /// The wrap of the intermediate key alone, if there is one between the wrapping key and the data key.
    #[must_use]
    pub fn intermediate(&self) -> Option<Self> {
        matches!(self.holds, Holds::KeyOf(_)).then(|| Self {
            place: None,
            holds: Holds::IntermediateKey,
            ..self.clone()
        })
    }

    /// The same data key and place, where `other` is another wrap of the same intermediate key; `None` without one.
    #[must_use]
    pub fn with_intermediate(&self, other: Self) -> Option<Self> {
        let holds = matches!(self.holds, Holds::KeyOf(_)).then(|| self.holds.clone())?;
        Some(Self { place: self.place.clone(), holds, ..other })
    }

    /// The data key as it is wrapped under the intermediate key, if there is one.
    pub(crate) fn wrapped_under_intermediate(
        &self,
    ) -> Option<&[u8; WRAPPED_UNDER_INTERMEDIATE_LEN]> {
        match &self.holds {
            Holds::KeyOf(wrapped) => Some(wrapped),
            Holds::DataKey | Holds::IntermediateKey => None,
        }
    }

    /// Whether both are wraps of one intermediate key with one data key, at the same place.
    #[must_use]
    pub fn shares_data_key(&self, other: &Self) -> bool {
        let wrapped = self.wrapped_under_intermediate();
        wrapped.is_some()
            && wrapped == other.wrapped_under_intermediate()
            && self.place == other.place
    }

    /// These wraps of the intermediate key `intermediate`, with `data_key` wrapped anew under that key for `binding`.
    ///
    /// # Errors
    /// [`Error::RandomUnavailable`].
    pub fn carry(
        wraps: &[Self],
        intermediate: &PlaintextDataKey,
        data_key: &PlaintextDataKey,
        binding: WrapContext<'_>,
    ) -> Result<Vec<Self>, Error> {
        let wrapped = wrap_under_intermediate(intermediate, data_key, binding)?;
        Ok(wraps
            .iter()
            .map(|wrap| wrap.clone().carrying(wrapped, binding.place().cloned()))
            .collect())
    }

    /// This wrap of an intermediate key with a data key, `wrapped` under that key and bound to `place`.
    pub(crate) fn carrying(
        self,
        wrapped: [u8; WRAPPED_UNDER_INTERMEDIATE_LEN],
        place: Option<Place>,
    ) -> Self {
        Self { place, holds: Holds::KeyOf(Box::new(wrapped)), ..self }
    }
}

/// A wrapping key that a data key was to be wrapped under, and could not be yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MissingWrap {
    provider: String,
    wrapping_key: String,
}

impl MissingWrap {
    /// Names it as [`EncryptedDataKey::new`] does.
    ///
    /// # Errors
    /// [`Error::Malformed`] for names that it does not take.
    pub fn new(
        provider: impl Into<String>,
        wrapping_key: impl Into<String>,
    ) -> Result<Self, Error> {
        let missing = Self { provider: provider.into(), wrapping_key: wrapping_key.into() };
        check_names(&missing.provider, &missing.wrapping_key)?;
        Ok(missing)
    }

    /// Who could unwrap it, such as `aws-kms`.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// The wrapping key: for AWS KMS the key's ARN.
    #[must_use]
    pub fn wrapping_key(&self) -> &str {
        &self.wrapping_key
    }

    /// Whether `key` is the wrap that was missing.
    #[must_use]
    pub fn is_filled_by(&self, key: &EncryptedDataKey) -> bool {
        (self.provider(), self.wrapping_key()) == (key.provider(), key.wrapping_key())
    }
}

fn check_names(provider: &str, wrapping_key: &str) -> Result<(), Error> {
    let provider_ok = (1..=EncryptedDataKey::MAX_PROVIDER_LEN).contains(&provider.len())
        && provider.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !provider_ok {
        return Err(Error::Malformed("bad provider name in an encrypted data key".into()));
    }
    let wrapping_key_ok = (1..=EncryptedDataKey::MAX_WRAPPING_KEY_LEN)
        .contains(&wrapping_key.len())
        && wrapping_key.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\');
    if !wrapping_key_ok {
        return Err(Error::Malformed("bad wrapping key name in an encrypted data key".into()));
    }
    Ok(())
}

/// Wraps a data key under an intermediate key: AES-256-GCM with a random nonce, the wrap's context as associated data.
pub(crate) fn wrap_under_intermediate(
    intermediate: &PlaintextDataKey,
    data_key: &PlaintextDataKey,
    binding: WrapContext<'_>,
) -> Result<[u8; WRAPPED_UNDER_INTERMEDIATE_LEN], Error> {
    let mut wrapped = [0; WRAPPED_UNDER_INTERMEDIATE_LEN];
    let (nonce, rest) = wrapped.split_first_chunk_mut::<NONCE_LEN>().expect("60 bytes");
    let (sealed, tag) = rest.split_first_chunk_mut::<DATA_KEY_LEN>().expect("48 bytes");
    crypto::fill_random(nonce)?;
    sealed.copy_from_slice(data_key.expose_secret());
    tag.copy_from_slice(&Aes256Gcm::new(intermediate.expose_secret()).seal(
        *nonce,
        &binding.canonical_bytes(),
        sealed,
    ));
    Ok(wrapped)
}

impl fmt::Debug for EncryptedDataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedDataKey")
            .field("provider", &self.provider)
            .field("wrapping_key", &self.wrapping_key)
            .field("place", &self.place)
            .field("intermediate", &!matches!(self.holds, Holds::DataKey))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_length_is_refused_and_wiped() {
        for len in [0, 16, 31, 33, 64] {
            let mut bytes = vec![7; len];
            assert_eq!(
                PlaintextDataKey::from_slice_wiping(&mut bytes).err(),
                Some(Error::Authentication)
            );
            assert!(bytes.iter().all(|b| *b == 0), "{len} bytes were not wiped");
        }
        let mut bytes = vec![7; 32];
        let key = PlaintextDataKey::from_slice_wiping(&mut bytes).expect("32 bytes");
        assert_eq!(key.expose_secret(), &[7; 32]);
        assert!(bytes.iter().all(|b| *b == 0), "the source was not wiped");
    }

    #[test]
    fn wraps_of_one_intermediate_key_with_one_data_key_at_one_place_share_it() {
        let place = |key| Some(Place::new("bucket", key).expect("a place"));
        let wrap = |name: &str| EncryptedDataKey::new("p", name, None, vec![1]).expect("a key");
        let carrying = |name, bytes, key| {
            wrap(name).carrying([bytes; WRAPPED_UNDER_INTERMEDIATE_LEN], place(key))
        };
        let one = carrying("a", 7, "k");
        assert!(one.shares_data_key(&carrying("b", 7, "k")), "under another wrapping key");
        assert!(!one.shares_data_key(&carrying("a", 8, "k")), "another data key");
        assert!(!one.shares_data_key(&carrying("a", 7, "elsewhere")), "another place");
        assert!(!wrap("a").shares_data_key(&wrap("a")), "no intermediate key");
        assert!(!one.shares_data_key(&wrap("a")) && !wrap("a").shares_data_key(&one));
    }

    #[test]
    fn names_and_lengths_are_bounded() {
        let new = |provider: &str, key: &str, len| {
            EncryptedDataKey::new(provider, key, None, vec![1; len])
        };
        assert!(new("aws-kms", "arn:aws:kms:us-east-1:000000000000:key/x", 184).is_ok());
        for (provider, key, len) in [
            ("", "k", 1),
            ("AWS", "k", 1),
            ("a".repeat(33).as_str(), "k", 1),
            ("p", "", 1),
            ("p", "quo\"te", 1),
            ("p", "back\\slash", 1),
            ("p", "new\nline", 1),
            ("p", "\u{e9}", 1),
            ("p", "k".repeat(257).as_str(), 1),
            ("p", "k", 0),
            ("p", "k", 1025),
        ] {
            assert!(
                matches!(new(provider, key, len), Err(Error::Malformed(_))),
                "{provider:?} {key:?} {len}"
            );
        }
    }
}
