//! Content keys: the data key itself or, in V3, a key derived from it that the object commits to.

use subtle::ConstantTimeEq as _;

use super::{Content, Error, algorithms::MESSAGE_ID_LEN};
use crate::{
    PlaintextDataKey,
    crypto::{NONCE_LEN, s3ec_primitives::Prk},
};

/// The suite's number, 115, big-endian: associated data of the content, and prefix of both labels.
const SUITE_ID: [u8; 2] = [0x00, 0x73];
/// Nonce of V3: each content has its own key.
const FIXED_NONCE: [u8; NONCE_LEN] = [0x01; NONCE_LEN];

/// Key, nonce and associated data for AES-256-GCM.
pub(super) struct GcmKey {
    /// Not an array: moving one leaves copies behind.
    pub(super) key: PlaintextDataKey,
    pub(super) nonce: [u8; NONCE_LEN],
    pub(super) aad: &'static [u8],
}

impl GcmKey {
    /// Returns the key of V2: the data key, with a nonce that must be unused under that key.
    pub(super) fn plain(data_key: &PlaintextDataKey, nonce: [u8; NONCE_LEN]) -> Self {
        let key = PlaintextDataKey::filled(|key| key.copy_from_slice(data_key.expose_secret()));
        Self { key, nonce, aad: &[] }
    }

    /// Returns the key of V3 and the commitment to the data key.
    pub(super) fn committing(
        data_key: &PlaintextDataKey,
        message_id: &[u8; MESSAGE_ID_LEN],
    ) -> (Self, [u8; MESSAGE_ID_LEN]) {
        let prk = Prk::extract(message_id, data_key.expose_secret());
        let mut commitment = [0; MESSAGE_ID_LEN];
        prk.expand(&[&SUITE_ID, b"COMMITKEY"], &mut commitment);
        let key = PlaintextDataKey::filled(|key| prk.expand(&[&SUITE_ID, b"DERIVEKEY"], key));
        (Self { key, nonce: FIXED_NONCE, aad: &SUITE_ID }, commitment)
    }

    /// Returns the key of stored content; for V3 only if the commitment matches.
    pub(super) fn of_content(
        content: &Content,
        data_key: &PlaintextDataKey,
    ) -> Result<Self, Error> {
        match content {
            Content::AesGcm { iv } => Ok(Self::plain(data_key, *iv)),
            Content::AesGcmCommitKey { message_id, commitment } => {
                let (key, expected) = Self::committing(data_key, message_id);
                if bool::from(expected.ct_eq(commitment)) {
                    Ok(key)
                } else {
                    Err(Error::Authentication)
                }
            }
            Content::AesCbc { .. } => Err(Error::Unsupported("AES-CBC has no AES-GCM key".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first two are also in the Go client: `v4/internal/key_derivation_test.go`.
    #[test]
    fn known_answers() {
        let zeros = format!("{}01", "00".repeat(31));
        for (data_key, message_id, key, commitment) in [
            (
                "80d90dc4cc7e77d8a6332efa44eba56230a7fe7b89af37d1e501ab2e07c0a163",
                "b8ea76bed24c7b85382a148cb9dcd1cfdfb765f55ded4dfa6e0c4c79",
                "6dd14f546cc006e639126e83f5d4d1b118576bb5df97f38c6fb3a1db87bbc338",
                "f89818bc0a346d3a3426b68e9509b6b2ae5fe1f904aa329fb73625db",
            ),
            (
                "501afb8227d22e75e68010414b8abdaf3064c081e8e922dafef4992036394d60",
                "61a00b4981a5aacfd136c55cb726e32d2a547dc7600a7d4675c69127",
                "e14786a714748d1d2c3a4a6816dec56ddf1881bbeabb4f39420ffb9f63700b2f",
                "5c1e73e47f6fe3a70d6d094283aceaa76d2975feb829212d88f0afc1",
            ),
            (
                zeros.as_str(),
                &"01".repeat(28),
                "018d5b35aceadc7427db8ba7dfba101a07540e6619b3730181f60f5c590e5eb8",
                "aabd72a0c0b36ac56e56256f84c879569916e1dac4bbc093f1ef2a58",
            ),
        ] {
            let mut data_key = hex::decode(data_key).expect("hex");
            let data_key = PlaintextDataKey::from_slice_wiping(&mut data_key).expect("32 bytes");
            let message_id = hex::decode(message_id).expect("hex").try_into().expect("28 bytes");
            let (derived, committed) = GcmKey::committing(&data_key, &message_id);
            assert_eq!(
                (hex::encode(derived.key.expose_secret()), hex::encode(committed)),
                (key.into(), commitment.into())
            );
        }
    }
}
