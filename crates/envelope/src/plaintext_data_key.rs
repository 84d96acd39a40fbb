//! Plaintext data keys.

use zeroize::Zeroize as _;

use crate::{Error, crypto};

/// Length of a data key in bytes.
pub const DATA_KEY_LEN: usize = crypto::KEY_LEN;

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

    /// Returns a key that `fill` writes in place.
    #[cfg(feature = "s3ec")]
    pub(crate) fn filled(fill: impl FnOnce(&mut [u8; DATA_KEY_LEN])) -> Self {
        let mut key = Self(Box::new([0; DATA_KEY_LEN]));
        fill(&mut key.0);
        key
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
}
