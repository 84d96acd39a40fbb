//! The list of encrypted data keys as one metadata value.
//!
//! Canonical JSON. Neighbouring keys that are bound to the same place share a group, so that the place is stored once:
//! `[{"place":"bucket/key","keys":[["aws-kms","arn:aws:kms:…","base64…"],…]},…]`

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};

use super::{KEYS, MAX_ENCRYPTED_DATA_KEYS, malformed};
use crate::{EncryptedDataKey, Error, MAX_ENCRYPTED_DATA_KEY_LEN, Place, ascii_json};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    place: Option<String>,
    keys: Vec<(String, String, String)>,
}

/// Says what is wrong with a number of keys that no object has.
pub(super) fn check_count(count: usize) -> Result<(), String> {
    match count {
        0 => Err("no encrypted data key".into()),
        1..=MAX_ENCRYPTED_DATA_KEYS => Ok(()),
        _ => Err(format!("{count} encrypted data keys, of at most {MAX_ENCRYPTED_DATA_KEYS}")),
    }
}

pub(super) fn to_string(keys: &[EncryptedDataKey]) -> String {
    let groups: Vec<Group> = keys
        .chunk_by(|a, b| a.place() == b.place())
        .map(|group| Group {
            place: group[0].place().map(ToString::to_string),
            keys: group
                .iter()
                .map(|key| (key.provider().into(), key.wrapping_key().into(), BASE64.encode(key.ciphertext())))
                .collect(),
        })
        .collect();
    ascii_json::to_string(&groups)
}

/// Reads a list of at most [`super::METADATA_READ_LIMIT`] bytes, which the caller has bounded.
pub(super) fn parse(text: &str) -> Result<Vec<EncryptedDataKey>, Error> {
    let groups: Vec<Group> = serde_json::from_str(text).map_err(|_| malformed(KEYS))?;
    check_count(groups.iter().map(|group| group.keys.len()).sum()).map_err(Error::Malformed)?;
    let mut keys = Vec::new();
    for group in groups {
        let place = group.place.map(Place::parse).transpose()?;
        for (provider, wrapping_key, ciphertext) in group.keys {
            if ciphertext.len() > MAX_ENCRYPTED_DATA_KEY_LEN.div_ceil(3) * 4 {
                return Err(malformed(KEYS));
            }
            let ciphertext = BASE64.decode(ciphertext).map_err(|_| malformed(KEYS))?;
            keys.push(EncryptedDataKey::new(provider, wrapping_key, place.clone(), ciphertext)?);
        }
    }
    if to_string(&keys) != text {
        return Err(malformed(KEYS));
    }
    Ok(keys)
}
