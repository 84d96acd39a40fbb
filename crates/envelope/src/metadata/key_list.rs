//! The list of encrypted data keys as one metadata value.
//!
//! Canonical JSON. Adjacent keys with the same binding share a group, so that the place is stored
//! once: `[{"place":"bucket/key","keys":[["aws-kms","arn:aws:kms:…","base64…"],…]},…]`. A group for
//! an intermediate key also has its scope, as a length in bytes of the place, the names of the pairs
//! that it is bound to, if they are not all, its id, and the data key that is wrapped under it:
//! `"scope":7,"context":["tenant"],"intermediate":"base64url","data-key":"base64…"`. A detached
//! intermediate key has no `keys`, and its group comes after those that have some.

use std::collections::HashSet;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};

use super::{KEYS, MAX_ENCRYPTED_DATA_KEYS, MISSING, malformed};
use crate::{
    BodyHeader, EncryptedDataKey, EncryptionContext, Error, IntermediateKeyId,
    MAX_ENCRYPTED_DATA_KEY_LEN, MissingKey, Place, Scope, SharedKeySlot, WrapContext, WrappedForms,
    ascii_json,
    intermediate_key::{WRAPPED_DATA_KEY_LEN, WrappedDataKey},
};

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    scope: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    context: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    intermediate: Option<String>,
    #[serde(rename = "data-key", skip_serializing_if = "Option::is_none", default)]
    data_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    keys: Option<Vec<(String, String, String)>>,
}

impl Group {
    /// Returns the group of `slot`, without keys.
    fn of(slot: &SharedKeySlot) -> Self {
        let own = slot.wrap_context().context();
        let all = slot.data_key_context().context();
        let names = || own.iter().map(|(name, _)| name.to_owned()).collect();
        Self {
            place: slot.place().map(ToString::to_string),
            scope: slot.wrap_context().scope().map(|scope| scope.as_str().len()),
            context: (own.len() < all.len()).then(names),
            intermediate: Some(slot.intermediate_id().to_string()),
            data_key: Some(BASE64.encode(slot.wrapped_data_key())),
            keys: None,
        }
    }
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
/// Keys under detached intermediate keys join `detached`, without the wrapped forms of these.
pub(super) fn grouped(
    keys: Vec<EncryptedDataKey>,
    mut detached: Vec<SharedKeySlot>,
) -> (Vec<EncryptedDataKey>, Vec<SharedKeySlot>) {
    let mut groups: Vec<Vec<EncryptedDataKey>> = Vec::new();
    for key in keys {
        if let Some(slot) = key.slot().filter(|slot| slot.wrap_context().is_detached()) {
            detached.push(slot);
            continue;
        }
        match groups.iter_mut().find(|group| group[0].shares_group(&key)) {
            Some(group) => group.push(key),
            None => groups.push(vec![key]),
        }
    }
    let mut seen = HashSet::new();
    detached.retain(|slot| seen.insert(slot.clone()));
    (groups.concat(), detached)
}

pub(super) fn to_string(keys: &[EncryptedDataKey], detached: &[SharedKeySlot]) -> String {
    let with_keys = keys.chunk_by(EncryptedDataKey::shares_group).map(|group| {
        let named = |key: &EncryptedDataKey| {
            (key.provider().into(), key.wrapping_key().into(), BASE64.encode(key.ciphertext()))
        };
        let keys = Some(group.iter().map(named).collect());
        match group[0].slot() {
            Some(slot) => Group { keys, ..Group::of(&slot) },
            None => {
                Group { place: group[0].place().map(ToString::to_string), keys, ..Group::default() }
            }
        }
    });
    ascii_json::to_string(&with_keys.chain(detached.iter().map(Group::of)).collect::<Vec<_>>())
}

/// Parses the list of a body with `context` and `header`. The caller has limited it to
/// [`super::METADATA_READ_LIMIT`] bytes.
pub(super) fn parse(
    text: &str,
    context: &EncryptionContext,
    header: &BodyHeader,
) -> Result<(Vec<EncryptedDataKey>, Vec<SharedKeySlot>), Error> {
    let groups: Vec<Group> = serde_json::from_str(text).map_err(|_| malformed(KEYS))?;
    let count = |group: &Group| group.keys.as_ref().map_or(1, Vec::len);
    check_count(groups.iter().map(count).sum()).map_err(Error::Malformed)?;
    let (mut keys, mut detached) = (Vec::new(), Vec::new());
    for Group { place, scope, context: names, intermediate, data_key, keys: wrapped } in groups {
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
        let Some((id, wrapped_data_key)) = under else {
            for key in wrapped.ok_or_else(|| malformed(KEYS))? {
                keys.push(encrypted(key, &of_data_key)?);
            }
            continue;
        };
        let forms = match wrapped {
            Some(_) => WrappedForms::InObjects,
            None => WrappedForms::Detached,
        };
        let own_context = match names {
            Some(names) => context.restricted_to(&names),
            None => context.clone(),
        };
        let binding = WrapContext::for_intermediate_key(own_context, scope, id.nonce(), forms);
        let Some(wrapped) = wrapped else {
            detached.push(SharedKeySlot::new(id, wrapped_data_key, of_data_key, binding));
            continue;
        };
        for key in wrapped {
            let form = encrypted(key, &binding)?;
            keys.push(form.with_wrapped(id, wrapped_data_key, of_data_key.clone()));
        }
    }
    // Groups that could be one, detached ones that are not the last, and names that are not some of
    // the context's in their order have another spelling.
    if to_string(&keys, &detached) != text {
        return Err(malformed(KEYS));
    }
    let distinct: HashSet<_> = detached.iter().collect();
    if distinct.len() < detached.len() {
        return Err(malformed(KEYS));
    }
    Ok((keys, detached))
}

fn encrypted(
    (provider, wrapping_key, ciphertext): (String, String, String),
    binding: &WrapContext,
) -> Result<EncryptedDataKey, Error> {
    if ciphertext.len() > MAX_ENCRYPTED_DATA_KEY_LEN.div_ceil(3) * 4 {
        return Err(malformed(KEYS));
    }
    let ciphertext = BASE64.decode(ciphertext).map_err(|_| malformed(KEYS))?;
    EncryptedDataKey::new(provider, wrapping_key, ciphertext, binding)
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
