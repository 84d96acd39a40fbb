//! The list of encrypted data keys as one metadata value.
//!
//! Canonical JSON. Adjacent keys with the same binding share a group, so that the place is stored
//! once: `[{"place":"bucket/key","keys":[["aws-kms","arn:aws:kms:…","base64…"],…]},…]`. A group for
//! an intermediate key also has its scope, as a length in bytes of the place, its id, and the data
//! key that is wrapped under it: `"scope":7,"intermediate":"base64url","data-key":"base64…"`.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};

use super::{KEYS, MAX_ENCRYPTED_DATA_KEYS, MISSING, malformed};
use crate::{
    BodyHeader, EncryptedDataKey, EncryptionContext, Error, IntermediateKeyId,
    MAX_ENCRYPTED_DATA_KEY_LEN, MissingKey, Place, Scope, WrapContext, ascii_json,
    intermediate_key::{WRAPPED_DATA_KEY_LEN, WrappedDataKey},
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    scope: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    intermediate: Option<String>,
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

/// Returns `keys` with those of one group next to each other: each joins the first of its group.
pub(super) fn grouped(keys: Vec<EncryptedDataKey>) -> Vec<EncryptedDataKey> {
    let mut groups: Vec<Vec<EncryptedDataKey>> = Vec::new();
    for key in keys {
        match groups.iter_mut().find(|group| group[0].shares_group(&key)) {
            Some(group) => group.push(key),
            None => groups.push(vec![key]),
        }
    }
    groups.concat()
}

pub(super) fn to_string(keys: &[EncryptedDataKey]) -> String {
    let groups: Vec<Group> = keys
        .chunk_by(EncryptedDataKey::shares_group)
        .map(|group| Group {
            place: group[0].place().map(ToString::to_string),
            scope: group[0].scope().map(|scope| scope.as_str().len()),
            intermediate: group[0].intermediate_id().map(ToString::to_string),
            data_key: group[0].wrapped_data_key().map(|wrapped| BASE64.encode(wrapped)),
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

/// Parses the list of a body with `context` and `header`. The caller has limited it to
/// [`super::METADATA_READ_LIMIT`] bytes.
pub(super) fn parse(
    text: &str,
    context: &EncryptionContext,
    header: &BodyHeader,
) -> Result<Vec<EncryptedDataKey>, Error> {
    let groups: Vec<Group> = serde_json::from_str(text).map_err(|_| malformed(KEYS))?;
    check_count(groups.iter().map(|group| group.keys.len()).sum()).map_err(Error::Malformed)?;
    let mut keys = Vec::new();
    for Group { place, scope, intermediate, data_key, keys: wrapped } in groups {
        let place = place.map(Place::parse).transpose()?;
        let under = match (intermediate, data_key) {
            (None, None) => None,
            (Some(id), Some(data_key)) => Some((
                IntermediateKeyId::parse(&id).ok_or_else(|| malformed(KEYS))?,
                wrapped_data_key(&data_key)?,
            )),
            _ => return Err(malformed(KEYS)),
        };
        // An intermediate key has a scope exactly where places are used.
        let scope = match (&place, &under, scope) {
            (Some(place), Some(_), Some(len)) => {
                Some(Scope::of_len(place, len).ok_or_else(|| malformed(KEYS))?)
            }
            (None, _, None) | (Some(_), None, None) => None,
            _ => return Err(malformed(KEYS)),
        };
        let of_data_key = WrapContext::for_stored_data_key(context.clone(), place, header);
        let of_ciphertext = match under {
            Some((id, _)) => WrapContext::for_intermediate_key(context.clone(), scope, id.nonce()),
            None => of_data_key.clone(),
        };
        for (provider, wrapping_key, ciphertext) in wrapped {
            if ciphertext.len() > MAX_ENCRYPTED_DATA_KEY_LEN.div_ceil(3) * 4 {
                return Err(malformed(KEYS));
            }
            let ciphertext = BASE64.decode(ciphertext).map_err(|_| malformed(KEYS))?;
            let key = EncryptedDataKey::new(provider, wrapping_key, ciphertext, &of_ciphertext)?;
            keys.push(match under {
                Some((id, wrapped)) => key.with_wrapped(id, wrapped, of_data_key.clone()),
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

fn wrapped_data_key(text: &str) -> Result<WrappedDataKey, Error> {
    if text.len() > WRAPPED_DATA_KEY_LEN.div_ceil(3) * 4 {
        return Err(malformed(KEYS));
    }
    BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| malformed(KEYS))
}
