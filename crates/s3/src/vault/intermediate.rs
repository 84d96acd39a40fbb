//! Intermediate keys: wrapped again once for all objects that share one, not once per object.

use std::fmt;

use sealwax_envelope::{
    EncryptedDataKey, Keyring, KeyringErrorKind, Opener, PlaintextDataKey, Unwrap,
};

use super::object_keys::ObjectKeys;
use crate::{
    error::{Error, ErrorKind},
    single_flight::SingleFlightCache,
};

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
    ///
    /// If `proves`, the intermediate key is unwrapped if possible, to prove the data key. Without
    /// proof, each group gets new keys, because any of them may be the one that opens the object.
    pub(super) async fn wrapped(
        &self,
        object: &ObjectKeys<'_>,
        change: usize,
        (keyring, expected): (&dyn Keyring, &[EncryptedDataKey]),
        keys: &[EncryptedDataKey],
        proves: bool,
    ) -> Result<Option<MadeKeys>, Error> {
        let wrap_context = object.wrap_context()?;
        if expected.iter().any(|key| key.intermediate().is_some()) {
            // The keyring has its own intermediate keys, and saves calls itself.
            return Ok(None);
        }
        let mut unproven = Vec::new();
        for group in keys.chunk_by(EncryptedDataKey::shares_group) {
            let wraps: Vec<_> = group.iter().filter_map(EncryptedDataKey::intermediate).collect();
            if wraps.is_empty() {
                continue;
            }
            let moves = *group[0].data_key_context() != wrap_context;
            if moves && !group[0].may_serve(&wrap_context) {
                continue;
            }
            let must_open = moves || !keyring.can_rewrap(&wraps, group[0].wrap_context());
            if must_open || proves {
                let id = Id { change, opened: true, wraps: wraps.clone() };
                let slot = self.0.slot(&id);
                let made = slot.get_or_try_init(|| make(object, keyring, &id)).await?;
                if let Some(key) = &made.key {
                    match under(object, group, key, made, moves) {
                        Ok(keys) => return Ok(Some(MadeKeys { keys, proven: true })),
                        // Another group may hold the body's own key.
                        Err(error) if error.kind() == ErrorKind::Authentication => continue,
                        Err(error) => return Err(error),
                    }
                }
            }
            if must_open {
                continue;
            }
            let id = Id { change, opened: false, wraps };
            let slot = self.0.slot(&id);
            let made = slot.get_or_try_init(|| make(object, keyring, &id)).await?;
            let join = |form: &EncryptedDataKey| group[0].with_intermediate(form.clone());
            unproven.extend(made.wraps.iter().filter_map(join));
        }
        let made = MadeKeys { keys: unproven, proven: false };
        Ok((!made.keys.is_empty()).then_some(made))
    }

    /// Wraps the data key of `group` under the group's intermediate key for the object's new place,
    /// and keeps the wrapped forms of that intermediate key.
    ///
    /// Returns `None` if the intermediate key has another scope, or could not be unwrapped.
    pub(super) async fn moved(
        &self,
        object: &ObjectKeys<'_>,
        group: &[EncryptedDataKey],
    ) -> Result<Option<Vec<EncryptedDataKey>>, Error> {
        let wrap_context = object.wrap_context()?;
        let wraps: Vec<_> = group.iter().filter_map(EncryptedDataKey::intermediate).collect();
        // No key that is wrapped directly may.
        if !group[0].may_serve(&wrap_context) {
            return Ok(None);
        }
        let id = Id { change: usize::MAX, opened: true, wraps };
        let slot = self.0.slot(&id);
        let open = || async {
            let key = opened(object, &id.wraps).await?;
            Ok::<_, Error>(Made { wraps: id.wraps.clone(), key })
        };
        let made = slot.get_or_try_init(open).await?;
        match &made.key {
            Some(key) => under(object, group, key, made, true).map(Some),
            None => Ok(None),
        }
    }
}

/// Returns the data key of `group` with the new forms of its intermediate key `key`, after a proof
/// that it is the body's.
fn under(
    object: &ObjectKeys<'_>,
    group: &[EncryptedDataKey],
    key: &PlaintextDataKey,
    made: &Made,
    moves: bool,
) -> Result<Vec<EncryptedDataKey>, Error> {
    let failed = |error| object.target.envelope_error(error);
    let data_key = group[0].open_under(key).map_err(failed)?;
    // A wrapped key of anything but the body's own key would lose the object.
    let header = object.info.sealed_header(object.target)?;
    Opener::new(&data_key, &header.context().body_context(), header.body_header())
        .map_err(failed)?;
    if moves {
        let wrap_context = object.wrap_context()?;
        return EncryptedDataKey::wrap_under(key, &made.wraps, &data_key, &wrap_context)
            .map_err(failed);
    }
    let join = |form: &EncryptedDataKey| group[0].with_intermediate(form.clone());
    Ok(made.wraps.iter().filter_map(join).collect())
}

/// Unwraps an intermediate key; `None` if that is impossible, which is not remembered if it may
/// pass.
async fn opened(
    object: &ObjectKeys<'_>,
    wraps: &[EncryptedDataKey],
) -> Result<Option<PlaintextDataKey>, Error> {
    match object.vault.keyring().unwrap(wraps).await {
        Unwrap::Unwrapped(key) => Ok(Some(key)),
        Unwrap::NotMine => Ok(None),
        Unwrap::Failed(failures) => {
            let error = object.target.keyring_error(failures);
            // Any other failure, each object reports itself.
            if error.kind().is_retryable() { Err(error) } else { Ok(None) }
        }
    }
}

/// New wrapped keys of a data key.
pub(crate) struct MadeKeys {
    pub(crate) keys: Vec<EncryptedDataKey>,
    /// `true` if the data key met the body's commitment.
    pub(crate) proven: bool,
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
    if !id.opened {
        match keyring.rewrap(&id.wraps, wrap_context).await {
            Ok(Some(wraps)) => return Ok(Made { wraps, key: None }),
            Ok(None) => {}
            Err(error) if error.kind() == KeyringErrorKind::Throttled => return Err(failed(error)),
            Err(error) => {
                tracing::debug!(%error, "an intermediate key was not re-encrypted inside the key service");
            }
        }
    }
    let Some(key) = opened(object, &id.wraps).await? else { return Ok(nothing) };
    // `ReEncrypt` may take any of the wrapped forms, and only one of them has shown this key.
    let wraps = match keyring.wrap(&key, wrap_context).await {
        Ok(wraps) => wraps,
        Err(error) if id.opened && error.kind() == KeyringErrorKind::AccessDenied => {
            return Ok(nothing);
        }
        Err(error) => return Err(failed(error)),
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
