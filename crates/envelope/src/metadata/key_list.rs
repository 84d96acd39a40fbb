//! The list of encrypted data keys as one metadata value.
//!
//! Canonical JSON. Adjacent keys that are bound to the same place share a group, so that the place
//! is stored once: `[{"place":"bucket/key","keys":[["aws-kms","arn:aws:kms:…","base64…"],…]},…]`.
//! A group for an intermediate key also has the data key, encrypted under that key, as
//! `"data-key":"base64…"`.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};

use super::{KEYS, MAX_ENCRYPTED_DATA_KEYS, MISSING, malformed};
use crate::{
    EncryptedDataKey, Error, MAX_ENCRYPTED_DATA_KEY_LEN, MissingKey, Place, ascii_json,
    data_key::WRAPPED_UNDER_INTERMEDIATE_LEN,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    place: Option<String>,
    #[serde(rename = "data-key", skip_serializing_if = "Option::is_none", default)]
    data_key: Option<String>,
    keys: Vec<(String, String, String)>,
}

/// Describes the problem with an invalid number of keys.
pub(super) fn check_count(count: usize) -> Result<(), String> {
    match count {
        0 => Err("no encrypted data key".into()),
        1..=MAX_ENCRYPTED_DATA_KEYS => Ok(()),
        _ => Err(format!(
            "{count} encrypted data keys, more than the maximum of {MAX_ENCRYPTED_DATA_KEYS}"
        )),
    }
}

pub(super) fn to_string(keys: &[EncryptedDataKey]) -> String {
    let groups: Vec<Group> = keys
        .chunk_by(|a, b| {
            (a.place(), a.wrapped_under_intermediate())
                == (b.place(), b.wrapped_under_intermediate())
        })
        .map(|group| Group {
            place: group[0].place().map(ToString::to_string),
            data_key: group[0].wrapped_under_intermediate().map(|wrapped| BASE64.encode(wrapped)),
            keys: group
                .iter()
                .map(|key| {
                    (
                        key.provider().into(),
                        key.wrapping_key().into(),
                        BASE64.encode(key.ciphertext()),
                    )
                })
                .collect(),
        })
        .collect();
    ascii_json::to_string(&groups)
}

/// Parses a list. The caller has limited it to [`super::METADATA_READ_LIMIT`] bytes.
pub(super) fn parse(text: &str) -> Result<Vec<EncryptedDataKey>, Error> {
    let groups: Vec<Group> = serde_json::from_str(text).map_err(|_| malformed(KEYS))?;
    check_count(groups.iter().map(|group| group.keys.len()).sum()).map_err(Error::Malformed)?;
    let mut keys = Vec::new();
    for group in groups {
        let place = group.place.map(Place::parse).transpose()?;
        let data_key = group.data_key.map(|text| wrapped_under_intermediate(&text)).transpose()?;
        for (provider, wrapping_key, ciphertext) in group.keys {
            if ciphertext.len() > MAX_ENCRYPTED_DATA_KEY_LEN.div_ceil(3) * 4 {
                return Err(malformed(KEYS));
            }
            let ciphertext = BASE64.decode(ciphertext).map_err(|_| malformed(KEYS))?;
            let key = EncryptedDataKey::new(provider, wrapping_key, place.clone(), ciphertext)?;
            keys.push(match data_key {
                Some(wrapped) => key.with_wrapped(wrapped, place.clone()),
                None => key,
            });
        }
    }
    if to_string(&keys) != text {
        return Err(malformed(KEYS));
    }
    Ok(keys)
}

/// Formats missing keys: `[["aws-kms","arn:aws:kms:…"],…]`.
pub(super) fn missing_to_string(missing: &[MissingKey]) -> String {
    ascii_json::to_string(
        &missing.iter().map(|it| (it.provider(), it.wrapping_key())).collect::<Vec<_>>(),
    )
}

/// Parses the output of [`missing_to_string`], limited to [`super::METADATA_READ_LIMIT`] bytes.
pub(super) fn parse_missing(text: &str) -> Result<Vec<MissingKey>, Error> {
    let names: Vec<(String, String)> =
        serde_json::from_str(text).map_err(|_| malformed(MISSING))?;
    if !(1..=MAX_ENCRYPTED_DATA_KEYS).contains(&names.len()) {
        return Err(malformed(MISSING));
    }
    let missing: Vec<_> = names
        .into_iter()
        .map(|(provider, key)| MissingKey::new(provider, key))
        .collect::<Result<_, _>>()?;
    if missing_to_string(&missing) != text {
        return Err(malformed(MISSING));
    }
    Ok(missing)
}

fn wrapped_under_intermediate(text: &str) -> Result<[u8; WRAPPED_UNDER_INTERMEDIATE_LEN], Error> {
    if text.len() > WRAPPED_UNDER_INTERMEDIATE_LEN.div_ceil(3) * 4 {
        return Err(malformed(KEYS));
    }
    BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| malformed(KEYS))
}
