//! Forecasts of rewraps, computed from an object's metadata without using a key.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use sealwax_envelope::{
    EncryptedDataKey,
    s3ec::{Envelope, Storage},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    KeyChange,
    key_changes::{Step, Steps},
    rewrapper::Rewrapper,
    s3ec_rewrap::S3ecPlan,
    store_forecast::{MetadataWay, StoreForecast},
};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    kms::KmsKeyArn,
    object::ObjectInfo,
    operation::{
        Handle,
        forecast::{Forecast, ForecastAction},
        listed::Listed,
        permission::{Permission, Permissions},
    },
    store::{list::ListedObject, snapshot::Snapshot},
    vault::{new_keys::NewKeys, object_keys::ObjectKeys},
};

/// Maximum number of intermediate keys that are told apart. Beyond it, calls for some of them count
/// twice.
const MAX_INTERMEDIATE_KEYS: usize = 1 << 16;

/// Forecasts the effect of a [`Rewrapper`] on objects. Cloning is cheap.
///
/// A KMS call that many objects share counts for the first of them only.
#[derive(Debug, Clone)]
pub struct Forecaster {
    rewrapper: Rewrapper,
    counted: Arc<Counted>,
}

/// Changes of an object's keys, and the calls that they need.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RewrapCost {
    /// Wrapping keys that are new, or get a new wrapped key.
    pub add: Vec<String>,
    /// Wrapping keys that are removed.
    pub remove: Vec<String>,
    /// Wrapping keys whose wrapped keys are renewed if they are under older key material.
    pub refresh: Vec<String>,
    /// Way in which the data key is wrapped.
    pub data_key: DataKeyWay,
    /// Way in which the new metadata is stored.
    pub metadata: MetadataWay,
    /// Maximum number of KMS calls, by Region.
    pub kms_calls: BTreeMap<String, u64>,
    /// `true` if the copy is one more locked version: it keeps the object's Object Lock settings.
    pub is_locked: bool,
    /// Permissions that the rewrap needs and the forecast did not use.
    pub permissions: BTreeSet<Permission>,
}

/// Way of wrapping a data key under new keys. Exhaustive: summaries count every way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataKeyWay {
    /// No wrapping: keys are only removed, and a remaining key is shown to unwrap the data key.
    Proof,
    /// Inside the key service: AWS KMS `ReEncrypt`.
    ReEncrypt,
    /// Through this process: AWS KMS `Decrypt`, then `Encrypt`.
    DecryptEncrypt,
}

impl Forecaster {
    /// Creates a forecaster that has not counted any call.
    #[must_use]
    pub fn new(rewrapper: &Rewrapper) -> Self {
        Self { rewrapper: rewrapper.clone(), counted: Arc::default() }
    }

    /// Forecasts the rewrap of an object, without calling KMS.
    ///
    /// It takes one `HeadObject`, and one `GetObject` if the object may have a sidecar or an
    /// instruction file. Like the rewrap itself, it reads the ACL of an object that is to be copied,
    /// unless the bucket has ACLs disabled, and the tags of one that is to be copied in parts.
    pub async fn forecast(&self, object: &ListedObject) -> Forecast<RewrapCost> {
        let examined = Listed::examine("rewrap", &self.rewrapper.0.handle, object).await;
        let (listed, snapshot) = match examined {
            Ok(examined) => examined,
            Err(forecast) => return forecast,
        };
        let action = self.action(listed.target(), &snapshot).await;
        listed.forecast(&snapshot, action).await
    }

    async fn action(
        &self,
        target: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<ForecastAction<RewrapCost>, Error> {
        let wrapping = &*self.rewrapper.0;
        let Handle { store, .. } = &wrapping.handle;
        let info = wrapping.info(target, snapshot).await?;
        if let Some(envelope) = info.envelope() {
            return self.action_s3ec(target, snapshot, &info, envelope).await;
        }
        let object = wrapping.object_keys(target, info, snapshot).await?;
        let Steps { steps, .. } = wrapping.changes.steps(&object)?;
        if steps.is_empty() {
            return Ok(ForecastAction::Unchanged);
        }
        let stored = match object.is_sidecar {
            true => StoreForecast::companion(MetadataWay::Sidecar, target),
            false => StoreForecast::copy(store, target, snapshot).await?,
        };
        let mut costs = Costs {
            object: &object,
            counted: &self.counted,
            kms_calls: BTreeMap::new(),
            permissions: stored.permissions,
        };
        let (mut add, mut refresh) = (Vec::new(), Vec::new());
        let mut left = object.info.keys().to_vec();
        let mut way = None;
        for step in &steps {
            match step {
                Step::Prove { wanted, .. } => {
                    wanted.iter().for_each(|name| costs.call(DECRYPT, Some(name)));
                }
                Step::Refresh { at } => {
                    for key in &left {
                        if object.may_use(key)? {
                            costs.refresh(*at, key);
                            refresh.push(key.wrapping_key().to_owned());
                        }
                    }
                    way = way.or(Some(DataKeyWay::ReEncrypt));
                }
                Step::Remove(wrapping_key) => {
                    left.retain(|key| key.wrapping_key() != *wrapping_key);
                }
                Step::Wrap(new) => {
                    let by = costs.wrap(new)?;
                    // A way through this process outranks one inside the key service.
                    way = if way == Some(DataKeyWay::DecryptEncrypt) { way } else { Some(by) };
                    left.retain(|key| new.keeps(key));
                    left.extend(new.expected.iter().cloned());
                    add.extend(new.expected.iter().map(|key| key.wrapping_key().to_owned()));
                }
            }
        }
        let after = names(&left);
        let remove: Vec<_> = names(object.info.keys()).difference(&after).cloned().collect();
        add.retain(|name| after.contains(name));
        refresh.retain(|name| after.contains(name));
        if way.is_none() {
            costs.prove(&left)?;
        } else if !remove.is_empty() && way == Some(DataKeyWay::ReEncrypt) {
            // One key that stays is unwrapped before others go.
            costs.call(DECRYPT, left.first().map(EncryptedDataKey::wrapping_key));
        }
        Ok(ForecastAction::Change(RewrapCost {
            add,
            remove,
            refresh,
            data_key: way.unwrap_or(DataKeyWay::Proof),
            metadata: stored.metadata,
            kms_calls: costs.kms_calls,
            is_locked: stored.is_locked,
            permissions: costs.permissions.into_set(),
        }))
    }

    /// Forecasts the rewrap of an object of the S3 Encryption Client, whose only wrapped key is
    /// replaced.
    async fn action_s3ec(
        &self,
        target: &ObjectRef,
        snapshot: &Snapshot,
        info: &ObjectInfo,
        envelope: &Envelope,
    ) -> Result<ForecastAction<RewrapCost>, Error> {
        let wrapping = &*self.rewrapper.0;
        let Handle { store, vault, .. } = &wrapping.handle;
        let S3ecPlan { keyring, .. } = wrapping.plan_s3ec(target, snapshot, info, envelope)?;
        let in_file = envelope.storage() == Storage::InstructionFile;
        let StoreForecast { metadata, is_locked, mut permissions } = match in_file {
            true => StoreForecast::companion(MetadataWay::InstructionFile, target),
            false => StoreForecast::copy(store, target, snapshot).await?,
        };
        let add: Vec<_> = wrapping
            .changes
            .names()
            .into_iter()
            .flat_map(|name| match name {
                KeyChange::Replace(names) => names,
                _ => Vec::new(),
            })
            .collect();
        // The old wrapped key does not name its key. The first one that is asked counts.
        let algorithm = envelope.key().algorithm();
        let asked = vault.s3ec_keyrings().find(|keyring| keyring.accepts(algorithm));
        let arn = |name: Option<String>| name.and_then(|name| name.parse::<KmsKeyArn>().ok());
        let (from, to) =
            (arn(asked.and_then(|keyring| keyring.wrapping_key())), arn(keyring.wrapping_key()));
        let regions = [
            asked.and_then(|keyring| keyring.unwrap_region()),
            to.as_ref().map(|arn| arn.region().to_owned()),
        ];
        let mut kms_calls = BTreeMap::new();
        for region in regions.into_iter().flatten() {
            *kms_calls.entry(region).or_default() += 1;
        }
        let is_inside = !wrapping.proves_s3ec(envelope)
            && matches!((&from, &to), (Some(from), Some(to)) if from.region() == to.region());
        let (from_actions, to_actions) = match is_inside {
            true => (RE_ENCRYPT_FROM, RE_ENCRYPT_TO),
            false => (DECRYPT, ENCRYPT),
        };
        for (actions, arn) in [(from_actions, from), (to_actions, to)] {
            if let Some(arn) = arn {
                permissions.on_key(actions, arn.as_str());
            }
        }
        Ok(ForecastAction::Change(RewrapCost {
            add,
            remove: Vec::new(),
            refresh: Vec::new(),
            data_key: DataKeyWay::DecryptEncrypt,
            metadata,
            kms_calls,
            is_locked,
            permissions: permissions.into_set(),
        }))
    }
}

/// Permissions of the KMS calls that unwrap, wrap, and wrap again inside KMS.
const DECRYPT: &[&str] = &["kms:Decrypt"];
const ENCRYPT: &[&str] = &["kms:Encrypt"];
const RE_ENCRYPT_FROM: &[&str] = &["kms:ReEncryptFrom"];
const RE_ENCRYPT_TO: &[&str] = &["kms:ReEncryptTo"];

/// KMS calls for one object.
struct Costs<'a> {
    object: &'a ObjectKeys<'a>,
    counted: &'a Counted,
    kms_calls: BTreeMap<String, u64>,
    permissions: Permissions,
}

impl Costs<'_> {
    /// Counts the calls for new keys, and returns the way of wrapping.
    fn wrap(&mut self, new: &NewKeys<'_>) -> Result<DataKeyWay, Error> {
        let (object, wrap_context) = (self.object, self.object.wrap_context()?);
        let trusted = object.trusted_keys()?;
        let serves = |group: &&[EncryptedDataKey]| {
            *group[0].data_key_context() == wrap_context || group[0].may_serve(&wrap_context)
        };
        let group = trusted
            .chunk_by(EncryptedDataKey::shares_group)
            .filter(|group| group[0].intermediate_id().is_some())
            .find(serves);
        let (way, keys, counts) = match group {
            Some(group) => {
                let shared: Vec<_> =
                    group.iter().filter_map(EncryptedDataKey::intermediate).collect();
                // What replaces all others is proven, and wrapped in this process.
                let inside = !new.replaces_all
                    && *group[0].data_key_context() == wrap_context
                    && new.keyring.can_rewrap(&shared, group[0].wrap_context());
                let way = if inside { DataKeyWay::ReEncrypt } else { DataKeyWay::DecryptEncrypt };
                let first = self.counted.is_first(new.at, &shared);
                (way, shared, first)
            }
            None if new.keyring.can_rewrap(&trusted, &wrap_context) => {
                (DataKeyWay::ReEncrypt, trusted, true)
            }
            None => {
                if trusted.is_empty() {
                    let message = "the keyring has none of this object's wrapping keys";
                    return Err(object.target.error(ErrorKind::NoMatchingKey, message));
                }
                (DataKeyWay::DecryptEncrypt, trusted, true)
            }
        };
        let source = object.vault.keyring().first_choice(&keys);
        let (from, to) = match way {
            DataKeyWay::DecryptEncrypt => (DECRYPT, ENCRYPT),
            DataKeyWay::ReEncrypt | DataKeyWay::Proof => (RE_ENCRYPT_FROM, RE_ENCRYPT_TO),
        };
        self.permit(from, source.as_deref());
        if counts && way == DataKeyWay::DecryptEncrypt {
            self.count(source.as_deref());
        }
        for key in &new.expected {
            self.permit(to, Some(key.wrapping_key()));
            if counts {
                self.count(Some(key.wrapping_key()));
            }
        }
        Ok(way)
    }

    fn refresh(&mut self, at: usize, key: &EncryptedDataKey) {
        let first = key.intermediate().is_none_or(|shared| self.counted.is_first(at, &[shared]));
        self.permit(RE_ENCRYPT_FROM, Some(key.wrapping_key()));
        self.permit(RE_ENCRYPT_TO, Some(key.wrapping_key()));
        if first {
            self.count(Some(key.wrapping_key()));
        }
    }

    /// Counts the call that proves that one of the remaining keys works.
    fn prove(&mut self, left: &[EncryptedDataKey]) -> Result<(), Error> {
        let trusted = self.object.trusted_keys()?;
        let usable: Vec<_> = trusted.into_iter().filter(|key| left.contains(key)).collect();
        if usable.is_empty() {
            let message = "no key is removed, because none of the remaining keys could be used";
            return Err(self.object.target.error(ErrorKind::NoMatchingKey, message));
        }
        self.call(DECRYPT, self.object.vault.keyring().first_choice(&usable).as_deref());
        Ok(())
    }

    fn call(&mut self, actions: &[&'static str], wrapping_key: Option<&str>) {
        self.permit(actions, wrapping_key);
        self.count(wrapping_key);
    }

    /// Notes permissions on a key, if KMS has it.
    fn permit(&mut self, actions: &[&'static str], wrapping_key: Option<&str>) {
        if let Some(arn) = wrapping_key.and_then(|name| name.parse::<KmsKeyArn>().ok()) {
            self.permissions.on_key(actions, arn.as_str());
        }
    }

    /// Counts a call in the Region of a key, if KMS has it.
    fn count(&mut self, wrapping_key: Option<&str>) {
        if let Some(arn) = wrapping_key.and_then(|name| name.parse::<KmsKeyArn>().ok()) {
            *self.kms_calls.entry(arn.region().to_owned()).or_default() += 1;
        }
    }
}

/// Intermediate keys whose calls are counted already.
#[derive(Debug, Default)]
struct Counted(Mutex<HashSet<[u8; 16]>>);

impl Counted {
    fn is_first(&self, change: usize, wrapped: &[EncryptedDataKey]) -> bool {
        let mut digest = Sha256::new_with_prefix(change.to_be_bytes());
        for key in wrapped {
            digest.update(key.wrap_context().canonical_bytes());
            digest.update(key.wrapping_key());
            digest.update(key.ciphertext());
        }
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() == MAX_INTERMEDIATE_KEYS {
            counted.clear();
        }
        counted.insert(digest.finalize()[..16].try_into().expect("32 bytes"))
    }
}

/// Returns the names of wrapping keys, without duplicates.
fn names<'a>(keys: impl IntoIterator<Item = &'a EncryptedDataKey>) -> BTreeSet<String> {
    keys.into_iter().map(|key| key.wrapping_key().to_owned()).collect()
}
