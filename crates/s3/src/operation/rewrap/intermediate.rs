//! Intermediate keys are wrapped anew once for all objects that share one, and not once for each.

use std::fmt;

use sealwax_envelope::{
    EncryptedDataKey, EncryptionContext, Keyring, KeyringErrorKind, Opener, PlaintextDataKey,
    Unwrap, WrapContext,
};

use super::{edits::Wrap, object::Object};
use crate::{
    client::{envelope_error, wrap_error},
    error::Error,
    single_flight::SingleFlightCache,
};

/// The new wraps of intermediate keys, as far as they were made, for one set of edits.
#[derive(Default)]
pub(crate) struct IntermediateKeys(SingleFlightCache<Id, Made>);

/// An edit by its number, an encryption context, and all wraps of one intermediate key that an object has.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Id {
    edit: usize,
    /// Whether the key itself was needed.
    opened: bool,
    context: EncryptionContext,
    wraps: Vec<EncryptedDataKey>,
}

/// What became of one intermediate key.
struct Made {
    wraps: Vec<EncryptedDataKey>,
    /// The key itself, where it left the key service.
    key: Option<PlaintextDataKey>,
}

impl IntermediateKeys {
    /// As the keyring's `refresh`, of a wrap of an intermediate key.
    pub(super) async fn refreshed(
        &self,
        object: &Object<'_>,
        edit: usize,
        key: &EncryptedDataKey,
    ) -> Result<Option<EncryptedDataKey>, Error> {
        let context = object.info.encryption_context();
        let id = Id {
            edit,
            opened: false,
            context: context.clone(),
            wraps: key.intermediate().into_iter().collect(),
        };
        let made = self.0.slot(&id);
        let refresh = || async {
            let refreshed = object
                .client
                .keyring()
                .refresh(key, context)
                .await
                .map_err(wrap_error(object.target))?;
            let wraps =
                refreshed.as_ref().and_then(EncryptedDataKey::intermediate).into_iter().collect();
            Ok::<_, Error>(Made { wraps, key: None })
        };
        let made = made.get_or_try_init(refresh).await?;
        Ok(made.wraps.first().and_then(|wrap| key.with_intermediate(wrap.clone())))
    }

    /// The wraps that the keyring is to make, where one of `keys` is under an intermediate key: of that key, with the data
    /// key under it as before, or anew where its place changes. `None` where there is no such key, or none that can be
    /// used.
    pub(super) async fn wrapped(
        &self,
        object: &Object<'_>,
        wrap: &Wrap<'_>,
        keys: &[EncryptedDataKey],
    ) -> Result<Option<Vec<EncryptedDataKey>>, Error> {
        let (context, target) = (object.info.encryption_context(), object.target);
        if wrap.outline.iter().any(|new| new.intermediate().is_some()) {
            // The keyring has intermediate keys of its own, and spares calls itself.
            return Ok(None);
        }
        for group in keys.chunk_by(EncryptedDataKey::shares_data_key) {
            let wraps: Vec<_> = group.iter().filter_map(EncryptedDataKey::intermediate).collect();
            if wraps.is_empty() {
                continue;
            }
            let moves = group[0].place() != object.place.as_ref();
            let opened = moves || !wrap.keyring.can_rewrap(&wraps, context, None);
            let id = Id { edit: wrap.at, opened, context: context.clone(), wraps };
            let slot = self.0.slot(&id);
            let Some(made) =
                slot.get_or_try_init(|| make(object, wrap.keyring, &id)).await.map(Made::usable)?
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
            // A wrap of anything but the body's own key would lose the object.
            let data_key =
                group[0].open_under(intermediate, context).map_err(envelope_error(target))?;
            let header = object.info.sealed_header(target)?;
            Opener::new(&data_key, &context.body_context(), header.body_header())
                .map_err(envelope_error(target))?;
            let binding = WrapContext::new(context, object.place.as_ref());
            let carried = EncryptedDataKey::carry(&made.wraps, intermediate, &data_key, binding);
            return carried.map(Some).map_err(envelope_error(target));
        }
        Ok(None)
    }
}

impl Made {
    /// It, unless there was no way to make it.
    fn usable(&self) -> Option<&Self> {
        (!self.wraps.is_empty()).then_some(self)
    }
}

/// Wraps an intermediate key under the keys of `keyring`. No wraps: it cannot be had, and objects are to be tried alone.
async fn make(object: &Object<'_>, keyring: &dyn Keyring, id: &Id) -> Result<Made, Error> {
    let nothing = Made { wraps: Vec::new(), key: None };
    let failed = wrap_error(object.target);
    let re_encrypted = match keyring.rewrap(&id.wraps, &id.context, None).await {
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
    let key = match object.client.keyring().unwrap(&id.wraps, &id.context).await {
        Unwrap::Unwrapped(key) => key,
        Unwrap::NotMine => return Ok(nothing),
        Unwrap::Failed(failures) => {
            let error = object.target.keyring(failures);
            // What the next object would suffer too is not remembered; of all else, each object tells by itself.
            return if error.kind().is_retryable() { Err(error) } else { Ok(nothing) };
        }
    };
    let wraps = match re_encrypted {
        Some(wraps) => wraps,
        None => keyring
            .wrap(&key, WrapContext::of_intermediate_key(&id.context))
            .await
            .map_err(failed)?,
    };
    // Only of the intermediate key itself: a data key under it would be lost under another one.
    if wraps.iter().any(|wrap| wrap.intermediate().is_some()) {
        return Ok(nothing);
    }
    Ok(Made { wraps, key: Some(key) })
}

impl fmt::Debug for IntermediateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntermediateKeys").finish_non_exhaustive()
    }
}
