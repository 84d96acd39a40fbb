//! Data keys, plaintext and encrypted.

use std::fmt;

use zeroize::Zeroize;

use crate::{
    EncryptionContext, Error, Place, WrapContext,
    crypto::{self, Aes256Gcm, NONCE_LEN, TAG_LEN},
};

/// Length of a data key in bytes.
pub const DATA_KEY_LEN: usize = crypto::KEY_LEN;

/// Maximum ciphertext length of one encrypted data key, in bytes. (AWS KMS: about 184.)
pub const MAX_ENCRYPTED_DATA_KEY_LEN: usize = 1024;

/// A plaintext data key: 256 random bits that encrypt one object.
///
/// It cannot be cloned, compared or printed, and its memory is wiped on drop. It stays in one heap
/// allocation, so moving it leaves no copies behind.
#[expect(missing_debug_implementations, reason = "a type that owns one must not derive Debug")]
pub struct PlaintextDataKey(Box<[u8; DATA_KEY_LEN]>);

impl PlaintextDataKey {
    /// Generates a data key with the operating system's random number generator.
    ///
    /// # Errors
    /// [`Error::RandomUnavailable`].
    pub fn generate() -> Result<Self, Error> {
        let mut key = Self(Box::new([0; DATA_KEY_LEN]));
        crypto::fill_random(key.0.as_mut())?;
        Ok(key)
    }

    /// Takes the key from `bytes` and wipes `bytes`, also on failure.
    ///
    /// # Errors
    /// [`Error::Authentication`] if `bytes` are not [`DATA_KEY_LEN`] long: the unwrapped bytes are
    /// not a data key.
    pub fn from_slice_wiping(bytes: &mut [u8]) -> Result<Self, Error> {
        let mut key = Self(Box::new([0; DATA_KEY_LEN]));
        let fits = bytes.len() == DATA_KEY_LEN;
        if fits {
            key.0.copy_from_slice(bytes);
        }
        bytes.zeroize();
        if fits { Ok(key) } else { Err(Error::Authentication) }
    }

    /// Returns the bytes of the key. The name makes every use easy to find.
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

/// Length of a data key encrypted under an intermediate key, in bytes: nonce, ciphertext, tag.
pub(crate) const WRAPPED_UNDER_INTERMEDIATE_LEN: usize = NONCE_LEN + DATA_KEY_LEN + TAG_LEN;

/// An encrypted data key as stored: encrypted under one wrapping key, either directly or through an
/// *intermediate key*.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EncryptedDataKey {
    provider: String,
    wrapping_key: String,
    place: Option<Place>,
    ciphertext: Vec<u8>,
    payload: Payload,
}

/// Content of [`EncryptedDataKey::ciphertext`].
#[derive(Clone, PartialEq, Eq, Hash)]
enum Payload {
    /// The data key.
    DataKey,
    /// An intermediate key. The data key, encrypted under it, is alongside.
    IntermediateKeyAnd(Box<[u8; WRAPPED_UNDER_INTERMEDIATE_LEN]>),
    /// An intermediate key without a data key. Never stored.
    IntermediateKey,
}

impl EncryptedDataKey {
    /// Maximum length of a provider name, in bytes.
    pub const MAX_PROVIDER_LEN: usize = 32;
    /// Maximum length of a wrapping key name, in bytes.
    pub const MAX_WRAPPING_KEY_LEN: usize = 256;

    /// Creates a data key encrypted directly under a wrapping key.
    ///
    /// - `provider`: the kind of keyring that can unwrap it, such as `aws-kms`; 1 to 32 bytes of
    ///   `a-z`, `0-9` and `-`.
    /// - `wrapping_key`: the key that it is encrypted under; 1 to 256 bytes of printable ASCII
    ///   without `"` and `\`. For AWS KMS the key's ARN.
    /// - `place`: the place that the object must have, if the key is bound to one.
    /// - `ciphertext`: 1 to [`MAX_ENCRYPTED_DATA_KEY_LEN`] bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`], naming the invalid argument.
    pub fn new(
        provider: impl Into<String>,
        wrapping_key: impl Into<String>,
        place: Option<Place>,
        ciphertext: Vec<u8>,
    ) -> Result<Self, Error> {
        let (provider, wrapping_key) = (provider.into(), wrapping_key.into());
        let key = Self { provider, wrapping_key, place, ciphertext, payload: Payload::DataKey };
        check_names(&key.provider, &key.wrapping_key)?;
        if !(1..=MAX_ENCRYPTED_DATA_KEY_LEN).contains(&key.ciphertext.len()) {
            return Err(Error::Malformed(
                "an encrypted data key has an invalid ciphertext length".into(),
            ));
        }
        Ok(key)
    }

    /// Returns the kind of keyring that can unwrap it, such as `aws-kms` or `local`.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Returns the wrapping key that it is encrypted under: for AWS KMS the key's ARN.
    #[must_use]
    pub fn wrapping_key(&self) -> &str {
        &self.wrapping_key
    }

    /// Returns the place that it is bound to, if any.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Returns the provider's ciphertext, either of the data key or of an intermediate key.
    #[must_use]
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }

    /// Returns the binding that the provider authenticates with the ciphertext: the object's
    /// encryption context and the key's own kind and place.
    #[must_use]
    pub fn binding<'a>(&'a self, context: &'a EncryptionContext) -> WrapContext<'a> {
        match self.payload {
            Payload::DataKey => WrapContext::new(context, self.place()),
            Payload::IntermediateKeyAnd(_) | Payload::IntermediateKey => {
                WrapContext::for_intermediate_key(context)
            }
        }
    }

    /// Returns the binding that the provider must give to a new ciphertext of the same key, so that
    /// the data key is bound to `target`.
    ///
    /// Returns `None` if that takes the intermediate key in plaintext. A data key under an
    /// intermediate key is bound to its place by that key, so a new ciphertext cannot move it.
    #[must_use]
    pub fn binding_for<'a>(&self, target: WrapContext<'a>) -> Option<WrapContext<'a>> {
        match self.payload {
            Payload::DataKey => target.is_for_data_key().then_some(target),
            Payload::IntermediateKeyAnd(_) | Payload::IntermediateKey => (self.place()
                == target.place())
            .then(|| WrapContext::for_intermediate_key(target.context())),
        }
    }

    /// Returns the data key, given the plaintext of the ciphertext.
    ///
    /// # Errors
    /// [`Error::Authentication`] if the data key was not encrypted under this intermediate key with
    /// this context and place.
    pub fn open(
        &self,
        decrypted: PlaintextDataKey,
        context: &EncryptionContext,
    ) -> Result<PlaintextDataKey, Error> {
        match &self.payload {
            Payload::DataKey | Payload::IntermediateKey => Ok(decrypted),
            Payload::IntermediateKeyAnd(_) => self.open_under(&decrypted, context),
        }
    }

    /// As [`EncryptedDataKey::open`], with an intermediate key that stays in use.
    ///
    /// # Errors
    /// [`Error::Authentication`] as there, and for a key without an intermediate key.
    pub fn open_under(
        &self,
        intermediate: &PlaintextDataKey,
        context: &EncryptionContext,
    ) -> Result<PlaintextDataKey, Error> {
        let Payload::IntermediateKeyAnd(wrapped) = &self.payload else {
            return Err(Error::Authentication);
        };
        let mut wrapped = wrapped.clone();
        let (nonce, rest) = wrapped.split_first_chunk_mut::<NONCE_LEN>().expect("60 bytes");
        let (data_key, tag) = rest.split_first_chunk_mut::<DATA_KEY_LEN>().expect("48 bytes");
        let tag: &[u8; TAG_LEN] = (&*tag).try_into().expect("16 bytes");
        let aad = WrapContext::new(context, self.place()).canonical_bytes();
        Aes256Gcm::new(intermediate.expose_secret()).open(*nonce, &aad, data_key, tag)?;
        PlaintextDataKey::from_slice_wiping(data_key)
    }

    /// Returns the encrypted intermediate key alone, if there is one.
    #[must_use]
    pub fn intermediate(&self) -> Option<Self> {
        matches!(self.payload, Payload::IntermediateKeyAnd(_)).then(|| Self {
            place: None,
            payload: Payload::IntermediateKey,
            ..self.clone()
        })
    }

    /// Returns the same data key and place with `other`, another encrypted form of the same
    /// intermediate key; `None` without an intermediate key.
    #[must_use]
    pub fn with_intermediate(&self, other: Self) -> Option<Self> {
        let payload =
            matches!(self.payload, Payload::IntermediateKeyAnd(_)).then(|| self.payload.clone())?;
        Some(Self { place: self.place.clone(), payload, ..other })
    }

    /// Returns the data key as encrypted under the intermediate key, if there is one.
    pub(crate) fn wrapped_under_intermediate(
        &self,
    ) -> Option<&[u8; WRAPPED_UNDER_INTERMEDIATE_LEN]> {
        match &self.payload {
            Payload::IntermediateKeyAnd(wrapped) => Some(wrapped),
            Payload::DataKey | Payload::IntermediateKey => None,
        }
    }

    /// `true` if both hold the same data key under the same intermediate key, at the same place.
    #[must_use]
    pub fn shares_data_key(&self, other: &Self) -> bool {
        let wrapped = self.wrapped_under_intermediate();
        wrapped.is_some()
            && wrapped == other.wrapped_under_intermediate()
            && self.place == other.place
    }

    /// Encrypts `data_key` under the intermediate key `intermediate` for `binding`, and returns it
    /// with each of `encrypted`, the encrypted forms of that intermediate key.
    ///
    /// # Errors
    /// [`Error::RandomUnavailable`].
    pub fn wrap_under(
        intermediate: &PlaintextDataKey,
        encrypted: &[Self],
        data_key: &PlaintextDataKey,
        binding: WrapContext<'_>,
    ) -> Result<Vec<Self>, Error> {
        let wrapped = wrap_under_intermediate(intermediate, data_key, binding)?;
        Ok(encrypted
            .iter()
            .map(|key| key.clone().with_wrapped(wrapped, binding.place().cloned()))
            .collect())
    }

    /// Adds the data key, encrypted under this intermediate key and bound to `place`.
    pub(crate) fn with_wrapped(
        self,
        wrapped: [u8; WRAPPED_UNDER_INTERMEDIATE_LEN],
        place: Option<Place>,
    ) -> Self {
        Self { place, payload: Payload::IntermediateKeyAnd(Box::new(wrapped)), ..self }
    }
}

/// An encrypted data key that an object still lacks: the wrapping key was unreachable on writing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MissingKey {
    provider: String,
    wrapping_key: String,
}

impl MissingKey {
    /// Names the wrapping key as in [`EncryptedDataKey::new`].
    ///
    /// # Errors
    /// [`Error::Malformed`] for names that it rejects.
    pub fn new(
        provider: impl Into<String>,
        wrapping_key: impl Into<String>,
    ) -> Result<Self, Error> {
        let missing = Self { provider: provider.into(), wrapping_key: wrapping_key.into() };
        check_names(&missing.provider, &missing.wrapping_key)?;
        Ok(missing)
    }

    /// Returns the kind of keyring that could unwrap it, such as `aws-kms`.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Returns the wrapping key: for AWS KMS the key's ARN.
    #[must_use]
    pub fn wrapping_key(&self) -> &str {
        &self.wrapping_key
    }

    /// `true` if `key` is the one that was missing.
    #[must_use]
    pub fn is_filled_by(&self, key: &EncryptedDataKey) -> bool {
        (self.provider(), self.wrapping_key()) == (key.provider(), key.wrapping_key())
    }
}

fn check_names(provider: &str, wrapping_key: &str) -> Result<(), Error> {
    let provider_ok = (1..=EncryptedDataKey::MAX_PROVIDER_LEN).contains(&provider.len())
        && provider.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !provider_ok {
        return Err(Error::Malformed("an encrypted data key has an invalid provider name".into()));
    }
    let wrapping_key_ok = (1..=EncryptedDataKey::MAX_WRAPPING_KEY_LEN)
        .contains(&wrapping_key.len())
        && wrapping_key.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\');
    if !wrapping_key_ok {
        return Err(Error::Malformed(
            "an encrypted data key has an invalid wrapping key name".into(),
        ));
    }
    Ok(())
}

/// Encrypts a data key under an intermediate key: AES-256-GCM with a random nonce and the binding
/// as associated data.
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
            .field("intermediate", &!matches!(self.payload, Payload::DataKey))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_length_is_rejected_and_wiped() {
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
    fn keys_share_a_data_key_by_intermediate_key_and_place() {
        let place = |key| Some(Place::new("bucket", key).expect("a place"));
        let direct = |name: &str| EncryptedDataKey::new("p", name, None, vec![1]).expect("a key");
        let indirect = |name, bytes, key| {
            direct(name).with_wrapped([bytes; WRAPPED_UNDER_INTERMEDIATE_LEN], place(key))
        };
        let one = indirect("a", 7, "k");
        assert!(one.shares_data_key(&indirect("b", 7, "k")), "under another wrapping key");
        assert!(!one.shares_data_key(&indirect("a", 8, "k")), "another data key");
        assert!(!one.shares_data_key(&indirect("a", 7, "elsewhere")), "another place");
        assert!(!direct("a").shares_data_key(&direct("a")), "no intermediate key");
        assert!(!one.shares_data_key(&direct("a")) && !direct("a").shares_data_key(&one));
    }

    /// A data key must never be re-encrypted as an intermediate key, nor change its place unseen.
    #[test]
    fn a_new_ciphertext_keeps_the_kind_of_key() {
        let context = EncryptionContext::new();
        let [here, there] = ["here", "there"].map(|key| Place::new("b", key).expect("a place"));
        let to = |place| WrapContext::new(&context, Some(place));
        let intermediate = WrapContext::for_intermediate_key(&context);
        let bytes = |binding: Option<WrapContext<'_>>| binding.map(WrapContext::canonical_bytes);

        let direct = EncryptedDataKey::new("p", "a", Some(here.clone()), vec![1]).expect("a key");
        assert_eq!(bytes(direct.binding_for(to(&there))), bytes(Some(to(&there))));
        assert_eq!(bytes(direct.binding_for(intermediate)), None);
        let indirect =
            direct.clone().with_wrapped([7; WRAPPED_UNDER_INTERMEDIATE_LEN], Some(here.clone()));
        assert_eq!(bytes(indirect.binding_for(to(&here))), bytes(Some(intermediate)));
        assert_eq!(bytes(indirect.binding_for(to(&there))), None);
        let alone = indirect.intermediate().expect("it has one");
        assert_eq!(bytes(alone.binding_for(intermediate)), bytes(Some(intermediate)));
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
