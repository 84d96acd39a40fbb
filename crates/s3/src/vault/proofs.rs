//! Proofs: which of an object's wrapped keys open it.

use std::fmt;

use sealwax_envelope::{
    EncryptedDataKey, Keyring as _, ObjectHeader, Opener, PlaintextDataKey, UnwrappedKey,
};

use super::Vault;
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    single_flight::SingleFlightCache,
};

/// Result of the attempt to prove one wrapped key: it was unwrapped alone, and the result compared
/// with the commitment of the body.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyProof {
    /// The client does not read with this key: its keyring does not accept the wrapping key, or the
    /// place is not accepted. No key service was called.
    NotAsked,
    /// The key opens the object.
    Proven {
        /// Wrapping key that unwrapped it: the named one, or a replica of it. `None` for a raw key,
        /// which has no name.
        by: Option<String>,
    },
    /// The key service unwrapped it with this object's encryption context. The object's format does
    /// not commit to its data key, so nothing less than the whole body proves that it is this
    /// body's: V2 and V1 of the Amazon S3 Encryption Client.
    Unwrapped {
        /// Wrapping key that unwrapped it. `None` for a raw key, which has no name.
        by: Option<String>,
    },
    /// The key does not open the object: the key service rejects it, or it holds another key than
    /// the body's.
    Disproved(Error),
    /// The key service denied the call, did not answer, or can't use the wrapping key; or the
    /// client's policy does not read objects of this format.
    Unknown(Error),
}

/// Proves wrapped keys one by one. An intermediate key is unwrapped once for all objects that have
/// the same encrypted form of it.
///
/// A key cache is bypassed: it knows an intermediate key by its id, which is no proof of another
/// encrypted form under that id.
#[derive(Default)]
pub(crate) struct Proofs(SingleFlightCache<EncryptedDataKey, Answer>);

/// Answer of a key service about one ciphertext.
enum Answer {
    Unwrapped(UnwrappedKey),
    Rejected,
    NotMine,
}

impl Proofs {
    /// Proves `key` alone, a key of the object with `header`.
    pub(crate) async fn prove(
        &self,
        vault: &Vault,
        target: &ObjectRef,
        header: &ObjectHeader,
        key: &EncryptedDataKey,
    ) -> KeyProof {
        if !vault.keyring().accepts(key) {
            return KeyProof::NotAsked;
        }
        let opens = |data_key: &PlaintextDataKey| {
            let context = header.context().body_context();
            Opener::new(data_key, &context, header.body_header()).is_ok()
        };
        let judged = |answer: &Answer, opens: &dyn Fn(&PlaintextDataKey) -> bool| match answer {
            Answer::Unwrapped(unwrapped) if opens(unwrapped.key()) => {
                KeyProof::Proven { by: Some(unwrapped.wrapping_key().to_owned()) }
            }
            Answer::Unwrapped(_) | Answer::Rejected => {
                let message =
                    format!("its wrapped key under {} does not open it", key.wrapping_key());
                KeyProof::Disproved(target.error(ErrorKind::Authentication, message))
            }
            Answer::NotMine => KeyProof::NotAsked,
        };
        let Some(form) = key.intermediate() else {
            let answer = answer(vault, target, key).await;
            return answer.map_or_else(KeyProof::Unknown, |answer| judged(&answer, &opens));
        };
        let slot = self.0.slot(&form);
        let answer = slot.get_or_try_init(|| answer(vault, target, &form)).await;
        let opens_under = |intermediate: &PlaintextDataKey| {
            key.open_under(intermediate).is_ok_and(|data_key| opens(&data_key))
        };
        answer.map_or_else(KeyProof::Unknown, |answer| judged(answer, &opens_under))
    }

    /// Proves one of `keys`.
    ///
    /// # Errors
    /// The failure that says most, if none is proven.
    pub(crate) async fn prove_any(
        &self,
        vault: &Vault,
        target: &ObjectRef,
        header: &ObjectHeader,
        keys: &[EncryptedDataKey],
    ) -> Result<(), Error> {
        let is_shared = |key: &&EncryptedDataKey| key.intermediate().is_some();
        let (shared, own): (Vec<_>, Vec<_>) = keys.iter().partition(is_shared);
        let own: Vec<_> = own.into_iter().cloned().collect();
        let mut failure = match vault.prove(target, header, &own).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        for key in shared {
            match self.prove(vault, target, header, key).await {
                KeyProof::Proven { .. } => return Ok(()),
                KeyProof::Disproved(error) | KeyProof::Unknown(error) => {
                    failure = telling(failure, error);
                }
                KeyProof::NotAsked | KeyProof::Unwrapped { .. } => {}
            }
        }
        if failure.kind() == ErrorKind::NoMatchingKey {
            return Err(no_matching_key(target, keys));
        }
        Err(failure)
    }
}

/// Asks the key service about one ciphertext.
///
/// # Errors
/// What the service failed with, unless it rejects the ciphertext.
async fn answer(
    vault: &Vault,
    target: &ObjectRef,
    key: &EncryptedDataKey,
) -> Result<Answer, Error> {
    match vault.keyring().unwrap_one(key).await {
        Ok(Some(unwrapped)) => Ok(Answer::Unwrapped(unwrapped)),
        Ok(None) => Ok(Answer::NotMine),
        Err(failures) => match target.keyring_error(failures) {
            error if error.kind() == ErrorKind::Authentication => Ok(Answer::Rejected),
            error => Err(error),
        },
    }
}

/// Returns the failure that says more: what could not be asked, then what was disproved.
fn telling(one: Error, other: Error) -> Error {
    let rank = |error: &Error| match error.kind() {
        ErrorKind::NoMatchingKey => 0,
        ErrorKind::Authentication => 1,
        _ => 2,
    };
    if rank(&other) > rank(&one) { other } else { one }
}

/// Describes that the keyring has none of `keys`.
pub(crate) fn no_matching_key(target: &ObjectRef, keys: &[EncryptedDataKey]) -> Error {
    let names: Vec<_> = keys.iter().map(EncryptedDataKey::wrapping_key).collect();
    let message =
        format!("the keyring has none of this object's wrapping keys: {}", names.join(", "));
    target.error(ErrorKind::NoMatchingKey, message)
}

impl fmt::Debug for Proofs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proofs").finish_non_exhaustive()
    }
}
