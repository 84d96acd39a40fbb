//! Forecasts of rewraps: computed from an object's metadata, without using a key.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use sealwax_envelope::{
    EncryptedDataKey,
    s3ec::{Envelope, Storage},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    EditName, copy,
    edits::{Change, Wrap},
    landing::is_archived,
    object::Object,
    present::Present,
    rewrapper::{Absence, ObjectState, Rewrapper, Skipped},
    wrapping::Wrapping,
};
use crate::{
    KmsKeyArn,
    error::{Error, ErrorKind, Target},
    list::ListedObject,
};

/// Most intermediate keys that are told apart. Beyond that, calls for some of them count twice.
const MAX_INTERMEDIATE_KEYS: usize = 1 << 16;

/// Forecasts what a [`Rewrapper`] would do to objects. Cloning is cheap.
///
/// A call of KMS that many objects share is counted with the first object forecast.
#[derive(Debug, Clone)]
pub struct Forecaster {
    rewrapper: Rewrapper,
    counted: Arc<Counted>,
}

/// Forecast of the rewrap of one object.
#[derive(Debug)]
#[non_exhaustive]
pub struct Forecast {
    /// State of the object, for [`Rewrapper::rewrap_planned`]. That of the listing, where the
    /// object was not read.
    pub state: ObjectState,
    /// Length of the stored body in bytes.
    pub size: Option<u64>,
    /// What a rewrap would do.
    pub action: ForecastAction,
}

/// Action of a rewrap. Exhaustive: a plan describes every action.
#[derive(Debug)]
pub enum ForecastAction {
    /// The object already has the wanted keys.
    Unchanged,
    /// The object gets new keys.
    Rewrap(RewrapCost),
    /// Skipped: not eligible for rewrap.
    Skip(Skipped),
    /// The rewrap would fail.
    Fail(Error),
}

/// Changes of an object's keys, and the calls that they take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RewrapCost {
    /// Wrapping keys that are new, or get a new wrapped key.
    pub add: Vec<String>,
    /// Wrapping keys that are removed.
    pub remove: Vec<String>,
    /// Wrapping keys whose wrapped keys are renewed if they are under older key material.
    pub refresh: Vec<String>,
    /// How the data key is wrapped.
    pub data_key: DataKeyWay,
    /// How the new metadata is stored.
    pub metadata: MetadataWay,
    /// Largest number of KMS calls, by Region.
    pub kms_calls: BTreeMap<String, u64>,
}

/// How a data key is wrapped under new keys. Exhaustive: summaries count every way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataKeyWay {
    /// Not at all: keys are only removed, and a remaining key is shown to unwrap it.
    Proof,
    /// Inside the key service: AWS KMS `ReEncrypt`.
    ReEncrypt,
    /// Through this process: AWS KMS `Decrypt`, then `Encrypt`.
    DecryptEncrypt,
}

/// How new metadata is stored. Exhaustive: summaries count every way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetadataWay {
    /// One `CopyObject` of the object onto itself.
    Copy,
    /// `UploadPartCopy` of each of its parts.
    MultipartCopy,
    /// An object beside it.
    Sidecar,
    /// The instruction file of an object of the S3 Encryption Client.
    InstructionFile,
}

impl Forecaster {
    pub(super) fn new(rewrapper: Rewrapper) -> Self {
        Self { rewrapper, counted: Arc::default() }
    }

    /// Forecasts the rewrap of an object: by one `HeadObject`, and one `GetObject` where it may
    /// have a sidecar or an instruction file; never by a call of KMS.
    pub async fn forecast(&self, object: &ListedObject) -> Forecast {
        let listed = |action| {
            let (e_tag, version_id) = (object.e_tag.clone(), object.version_id.clone());
            let state = ObjectState { e_tag, version_id, generation: None };
            Forecast { state, size: object.size, action }
        };
        let target = match self.rewrapper.target(object) {
            Ok(target) => target,
            Err(error) => return listed(ForecastAction::Fail(error)),
        };
        let present = match self.rewrapper.look(&target, object).await {
            Ok(present) => present,
            Err(Absence::Skipped(why)) => return listed(ForecastAction::Skip(why)),
            Err(Absence::Failed(error)) => return listed(ForecastAction::Fail(error)),
        };
        let action = match self.action(&target, &present).await {
            Ok(action) => action,
            Err(error) if error.kind() == ErrorKind::NotSealed => {
                ForecastAction::Skip(Skipped::NotSealed)
            }
            Err(error) if error.kind().is_retryable() => {
                return listed(ForecastAction::Fail(error));
            }
            Err(error) => ForecastAction::Fail(error),
        };
        let size =
            present.head.content_length().and_then(|len| len.try_into().ok()).or(object.size);
        Forecast { state: ObjectState::of(&present), size, action }
    }

    async fn action(&self, target: &Target, present: &Present) -> Result<ForecastAction, Error> {
        let wrapping = &*self.rewrapper.0;
        let client = &wrapping.client;
        let info = wrapping.info(target, present).await?;
        if let Some(envelope) = info.envelope() {
            return self.action_s3ec(target, present, envelope);
        }
        let is_sidecar = wrapping.landing.is_sidecar(present);
        if !is_sidecar {
            copy::check_possible(target, &present.head)?;
        }
        let object = Object::find(wrapping, target, info, target, is_sidecar).await?;
        let changes = wrapping.edits.changes(&object)?;
        if changes.is_empty() {
            return Ok(ForecastAction::Unchanged);
        }
        if !is_sidecar {
            check_not_archived(target, &present.head)?;
        }
        let mut costs =
            Costs { object: &object, counted: &self.counted, kms_calls: BTreeMap::new() };
        let (mut add, mut refresh) = (Vec::new(), Vec::new());
        let mut left = object.info.keys().to_vec();
        let mut way = None;
        for change in &changes {
            match change {
                Change::Refresh { at } => {
                    for key in left.iter().filter(|key| client.keyring().accepts(key)) {
                        costs.refresh(*at, key);
                        refresh.push(key.wrapping_key().to_owned());
                    }
                    way = way.or(Some(DataKeyWay::ReEncrypt));
                }
                Change::Remove(wrapping_key) => {
                    left.retain(|key| key.wrapping_key() != *wrapping_key);
                }
                Change::Wrap(wrap) => {
                    let by = costs.wrap(wrap)?;
                    // One that passes through this process says more than one that does not.
                    way = if way == Some(DataKeyWay::DecryptEncrypt) { way } else { Some(by) };
                    left.retain(|key| wrap.keeps(key));
                    left.extend(wrap.outline.iter().cloned());
                    add.extend(wrap.outline.iter().map(|key| key.wrapping_key().to_owned()));
                }
            }
        }
        let after = names(&left);
        let remove = names(object.info.keys()).difference(&after).cloned().collect();
        add.retain(|name| after.contains(name));
        refresh.retain(|name| after.contains(name));
        if way.is_none() {
            costs.prove(&left)?;
        }
        Ok(ForecastAction::Rewrap(RewrapCost {
            add,
            remove,
            refresh,
            data_key: way.unwrap_or(DataKeyWay::Proof),
            metadata: match copy::in_parts(client, &present.head) {
                _ if is_sidecar => MetadataWay::Sidecar,
                true => MetadataWay::MultipartCopy,
                false => MetadataWay::Copy,
            },
            kms_calls: costs.kms_calls,
        }))
    }

    /// Forecasts the rewrap of an object of the S3 Encryption Client, whose one wrapped key is
    /// replaced.
    fn action_s3ec(
        &self,
        target: &Target,
        present: &Present,
        envelope: &Envelope,
    ) -> Result<ForecastAction, Error> {
        let Wrapping { client, edits, .. } = &*self.rewrapper.0;
        self.rewrapper.0.s3ec_keyring(target)?;
        copy::check_possible(target, &present.head)?;
        let in_file = envelope.storage() == Storage::InstructionFile;
        if !in_file {
            check_not_archived(target, &present.head)?;
        }
        let add: Vec<_> = edits
            .names()
            .into_iter()
            .flat_map(|name| match name {
                EditName::Replace(names) => names,
                _ => Vec::new(),
            })
            .collect();
        // The old wrap does not name its key: its Region is taken to be the client's.
        let home = client.s3().config().region().map(|region| region.as_ref().to_owned());
        let mut kms_calls = BTreeMap::new();
        let wrapped_in = add
            .iter()
            .filter_map(|name| name.parse::<KmsKeyArn>().ok())
            .map(|arn| arn.region().to_owned());
        for region in home.into_iter().chain(wrapped_in) {
            *kms_calls.entry(region).or_default() += 1;
        }
        Ok(ForecastAction::Rewrap(RewrapCost {
            add,
            remove: Vec::new(),
            refresh: Vec::new(),
            data_key: DataKeyWay::DecryptEncrypt,
            metadata: match copy::in_parts(client, &present.head) {
                _ if in_file => MetadataWay::InstructionFile,
                true => MetadataWay::MultipartCopy,
                false => MetadataWay::Copy,
            },
            kms_calls,
        }))
    }
}

/// The calls of KMS for one object.
struct Costs<'a> {
    object: &'a Object<'a>,
    counted: &'a Counted,
    kms_calls: BTreeMap<String, u64>,
}

impl Costs<'_> {
    /// Those of new wraps, and by which way they are made.
    fn wrap(&mut self, wrap: &Wrap<'_>) -> Result<DataKeyWay, Error> {
        let (object, context) = (self.object, self.object.info.encryption_context());
        let trusted = object.trusted_keys()?;
        let group = trusted
            .chunk_by(EncryptedDataKey::shares_data_key)
            .find(|group| group[0].intermediate().is_some());
        let (way, keys, counts) = match group {
            Some(group) => {
                let wraps: Vec<_> =
                    group.iter().filter_map(EncryptedDataKey::intermediate).collect();
                let inside = group[0].place() == object.place.as_ref()
                    && wrap.keyring.can_rewrap(&wraps, context, None);
                let way = if inside { DataKeyWay::ReEncrypt } else { DataKeyWay::DecryptEncrypt };
                let first = self.counted.is_first(wrap.at, context.to_json(), &wraps);
                (way, wraps, first)
            }
            None if wrap.keyring.can_rewrap(&trusted, context, object.place.as_ref()) => {
                (DataKeyWay::ReEncrypt, trusted, true)
            }
            None => {
                if trusted.is_empty() {
                    let message = "none of its wrapping keys is the keyring's";
                    return Err(object.target.error(ErrorKind::NoMatchingKey, message));
                }
                (DataKeyWay::DecryptEncrypt, trusted, true)
            }
        };
        if counts {
            if way == DataKeyWay::DecryptEncrypt {
                self.call(object.client.keyring().first_choice(&keys).as_deref());
            }
            for new in &wrap.outline {
                self.call(Some(new.wrapping_key()));
            }
        }
        Ok(way)
    }

    fn refresh(&mut self, at: usize, key: &EncryptedDataKey) {
        let context = self.object.info.encryption_context();
        let first = key
            .intermediate()
            .is_none_or(|wrap| self.counted.is_first(at, context.to_json(), &[wrap]));
        if first {
            self.call(Some(key.wrapping_key()));
        }
    }

    /// That which shows that one of the keys that are left can be used.
    fn prove(&mut self, left: &[EncryptedDataKey]) -> Result<(), Error> {
        let trusted = self.object.trusted_keys()?;
        let usable: Vec<_> = trusted.into_iter().filter(|key| left.contains(key)).collect();
        if usable.is_empty() {
            let message = "nothing is removed, because none of the keys left could be used";
            return Err(self.object.target.error(ErrorKind::NoMatchingKey, message));
        }
        self.call(self.object.client.keyring().first_choice(&usable).as_deref());
        Ok(())
    }

    fn call(&mut self, wrapping_key: Option<&str>) {
        if let Some(arn) = wrapping_key.and_then(|name| name.parse::<KmsKeyArn>().ok()) {
            *self.kms_calls.entry(arn.region().to_owned()).or_default() += 1;
        }
    }
}

/// The intermediate keys that were counted.
#[derive(Debug, Default)]
struct Counted(Mutex<HashSet<[u8; 16]>>);

impl Counted {
    fn is_first(&self, edit: usize, context: String, wraps: &[EncryptedDataKey]) -> bool {
        let mut digest = Sha256::new_with_prefix(edit.to_be_bytes());
        digest.update(context);
        for wrap in wraps {
            digest.update(wrap.wrapping_key());
            digest.update(wrap.ciphertext());
        }
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() == MAX_INTERMEDIATE_KEYS {
            counted.clear();
        }
        counted.insert(digest.finalize()[..16].try_into().expect("32 bytes"))
    }
}

/// Refuses what S3 copies only after it was restored. (Amazon S3 User Guide, "Restoring an archived object".)
fn check_not_archived(target: &Target, head: &HeadObjectOutput) -> Result<(), Error> {
    if is_archived(head) {
        return Err(target.error(
            ErrorKind::Unsupported,
            "it is archived: restore it first, or give it a sidecar",
        ));
    }
    Ok(())
}

/// Returns the names of wrapping keys, each once.
fn names<'a>(keys: impl IntoIterator<Item = &'a EncryptedDataKey>) -> BTreeSet<String> {
    keys.into_iter().map(|key| key.wrapping_key().to_owned()).collect()
}
