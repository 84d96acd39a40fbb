//! Intermediate keys: wrapped again once for all objects that share one, not once per object.

use std::fmt;

use sealwax_envelope::{
    EncryptedDataKey, Keyring, KeyringErrorKind, Opener, PlaintextDataKey, Unwrap,
};

use super::object_keys::ObjectKeys;
use crate::{error::Error, single_flight::SingleFlightCache};

/// New wrapped forms of intermediate keys, made once for one set of key changes.
#[derive(Default)]
pub(crate) struct IntermediateKeys(SingleFlightCache<Id, Made>);

/// A key change by its number, and all wrapped forms of one intermediate key that an object has.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Id {
    change: usize,
    /// `true` if the key itself was needed.
    opened: bool,
    wraps: Vec<EncryptedDataKey>,
}

/// The new wrapped forms of one intermediate key.
struct Made {
    wraps: Vec<EncryptedDataKey>,
    /// The key itself, if it left the key service.
    key: Option<PlaintextDataKey>,
}

impl IntermediateKeys {
    /// Returns `key` under the newest material of its wrapping key; `None` if it is already.
    ///
    /// A wrapped form of an intermediate key is refreshed once for all objects.
    pub(crate) async fn refresh(
        &self,
        object: &ObjectKeys<'_>,
        change: usize,
        key: &EncryptedDataKey,
    ) -> Result<Option<EncryptedDataKey>, Error> {
        if key.intermediate().is_some() {
            return self.refreshed(object, change, key).await;
        }
        let refreshed = object.vault.keyring().refresh(key).await;
        refreshed.map_err(|error| object.target.keyring_error(vec![error]))
    }

    async fn refreshed(
        &self,
        object: &ObjectKeys<'_>,
        change: usize,
        key: &EncryptedDataKey,
    ) -> Result<Option<EncryptedDataKey>, Error> {
        let wraps = key.intermediate().into_iter().collect();
        let id = Id { change, opened: false, wraps };
        let made = self.0.slot(&id);
        let refresh = || async {
            let refreshed = object
                .vault
                .keyring()
                .refresh(key)
                .await
                .map_err(|error| object.target.keyring_error(vec![error]))?;
            let wraps =
                refreshed.as_ref().and_then(EncryptedDataKey::intermediate).into_iter().collect();
            Ok::<_, Error>(Made { wraps, key: None })
        };
        let made = made.get_or_try_init(refresh).await?;
        Ok(made.wraps.first().and_then(|wrap| key.with_intermediate(wrap.clone())))
    }

    /// Makes the keys `expected` of `keyring`, if one of `keys` is under an intermediate key: by
    /// wrapping that key again.
    ///
    /// The data key stays under it, and is wrapped under it again if its place changes. Returns
    /// `None` if there is no such key, or none that can be used.
    pub(super) async fn wrapped(
        &self,
        object: &ObjectKeys<'_>,
        change: usize,
        (keyring, expected): (&dyn Keyring, &[EncryptedDataKey]),
        keys: &[EncryptedDataKey],
    ) -> Result<Option<Vec<EncryptedDataKey>>, Error> {
        let (target, wrap_context) = (object.target, object.wrap_context()?);
        if expected.iter().any(|key| key.intermediate().is_some()) {
            // The keyring has its own intermediate keys, and saves calls itself.
            return Ok(None);
        }
        for group in keys.chunk_by(EncryptedDataKey::shares_group) {
            let wraps: Vec<_> = group.iter().filter_map(EncryptedDataKey::intermediate).collect();
            if wraps.is_empty() {
                continue;
            }
            let moves = *group[0].data_key_context() != wrap_context;
            if moves && !group[0].may_serve(&wrap_context) {
                continue;
            }
            let opened = moves || !keyring.can_rewrap(&wraps, group[0].wrap_context());
            let id = Id { change, opened, wraps };
            let slot = self.0.slot(&id);
            let Some(made) =
                slot.get_or_try_init(|| make(object, keyring, &id)).await.map(Made::usable)?
            else {
                continue;
            };
            let Some(intermediate) = &made.key else {
                return Ok(Some(
                    made.wraps
                        .iter()
                        .filter_map(|new| group[0].with_intermediate(new.clone()))
                        .collect(),
                ));
            };
            // A wrapped key of anything but the body's own key would lose the object.
            let data_key =
                group[0].open_under(intermediate).map_err(|error| target.envelope_error(error))?;
            let header = object.info.sealed_header(target)?;
            Opener::new(&data_key, &header.context().body_context(), header.body_header())
                .map_err(|error| target.envelope_error(error))?;
            let wrapped =
                EncryptedDataKey::wrap_under(intermediate, &made.wraps, &data_key, &wrap_context);
            return wrapped.map(Some).map_err(|error| target.envelope_error(error));
        }
        Ok(None)
    }
}

impl Made {
    /// Returns `None` if there was no way to make it.
    fn usable(&self) -> Option<&Self> {
        (!self.wraps.is_empty()).then_some(self)
    }
}

/// Wraps an intermediate key under the keys of `keyring`.
///
/// Without a wrapped form in the result, it can't be unwrapped, and each object is tried alone.
async fn make(object: &ObjectKeys<'_>, keyring: &dyn Keyring, id: &Id) -> Result<Made, Error> {
    let nothing = Made { wraps: Vec::new(), key: None };
    let failed = |error| object.target.keyring_error(vec![error]);
    let Some(wrap_context) = id.wraps.first().map(EncryptedDataKey::wrap_context) else {
        return Ok(nothing);
    };
    let re_encrypted = match keyring.rewrap(&id.wraps, wrap_context).await {
        Ok(wraps) => wraps,
        Err(error) if error.kind() == KeyringErrorKind::Throttled => return Err(failed(error)),
        Err(error) => {
            tracing::debug!(%error, "an intermediate key was not re-encrypted inside the key service");
            None
        }
    };
    if let Some(wraps) = re_encrypted.clone().filter(|_| !id.opened) {
        return Ok(Made { wraps, key: None });
    }
    let key = match object.vault.keyring().unwrap(&id.wraps).await {
        Unwrap::Unwrapped(key) => key,
        Unwrap::NotMine => return Ok(nothing),
        Unwrap::Failed(failures) => {
            let error = object.target.keyring_error(failures);
            // A temporary failure is not remembered. Any other one, each object reports itself.
            return if error.kind().is_retryable() { Err(error) } else { Ok(nothing) };
        }
    };
    let wraps = match re_encrypted {
        Some(wraps) => wraps,
        None => keyring.wrap(&key, wrap_context).await.map_err(failed)?,
    };
    // A wrapped form must hold the intermediate key itself, and not be under another one: the data
    // key under it would be lost.
    if wraps.iter().any(|wrap| wrap.intermediate_id().is_some()) {
        return Ok(nothing);
    }
    Ok(Made { wraps, key: Some(key) })
}

impl fmt::Debug for IntermediateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntermediateKeys").finish_non_exhaustive()
    }
}
