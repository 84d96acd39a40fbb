//! What a rewrap would do to many objects: told without changing any, and without asking KMS.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    future::ready,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use futures_core::Stream;
use sealwax_envelope::{
    EncryptedDataKey,
    s3ec::{Envelope, Storage},
};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    Action, DataKeyWay, EditName, MetadataWay, PlanHeader, PlannedObject, PriceTable, Rewrapper,
    Skipped, Stop, Summary,
    line::{PlanEnd, VERSION},
    one::{Absence, Seen, names},
    pool::{self, Tries},
    window::Window,
};
use crate::{
    KmsKeyArn,
    error::{Error, ErrorKind, Target},
    listing::ListedObject,
    operation::rewrap::{
        copy,
        edits::{Change, Wrap},
        landing::is_archived,
        object::Object,
        present::Present,
        wrapping::Wrapping,
    },
};

/// Intermediate keys that are told apart, at most; beyond, some count twice.
const MAX_INTERMEDIATE_KEYS: usize = 1 << 16;
/// How many objects are looked at at once, unless set.
pub(super) const DEFAULT_CONCURRENCY: usize = 128;

/// Looks at objects and writes a plan.
#[must_use = "nothing happens before `send`"]
pub struct Planning {
    rewrapper: Rewrapper,
    concurrency: usize,
    prices: PriceTable,
    settings: Map<String, Value>,
    stop: Stop,
    on_object: Box<dyn FnMut(&PlannedObject) + Send>,
}

impl Rewrapper {
    /// Says what a rewrap of an object would do: by one `HeadObject`, and without KMS.
    pub async fn plan_one(&self, object: &ListedObject) -> PlannedObject {
        let counted = Counted::default();
        self.planned(object, &counted).await.unwrap_or_else(|error| impossible(object, &error))
    }

    /// Says what a rewrap of many objects would do.
    pub fn plan(&self) -> Planning {
        Planning {
            rewrapper: self.clone(),
            concurrency: DEFAULT_CONCURRENCY,
            prices: PriceTable::default(),
            settings: Map::new(),
            stop: Stop::new(),
            on_object: Box::new(|_| {}),
        }
    }

    /// As [`Rewrapper::plan_one`]; fails where a later try may not.
    async fn planned(
        &self,
        object: &ListedObject,
        counted: &Counted,
    ) -> Result<PlannedObject, Error> {
        let target = match self.target(object) {
            Ok(target) => target,
            Err(error) => return Ok(impossible(object, &error)),
        };
        let present = match self.look(&target, object).await {
            Ok(present) => present,
            Err(Absence::Skipped(why)) => return Ok(planned(object, skip(why))),
            Err(Absence::Failed(error)) if error.kind().is_retryable() => return Err(error),
            Err(Absence::Failed(error)) => return Ok(impossible(object, &error)),
        };
        let seen = Seen::of_present(&present);
        let action = match self.action(&target, &present, counted).await {
            Ok(action) => action,
            Err(error) if error.kind().is_retryable() => return Err(error),
            Err(error) if error.kind() == ErrorKind::NotSealed => skip(Skipped::NotSealed),
            Err(error) => impossible_action(&error),
        };
        let size =
            present.head.content_length().and_then(|len| len.try_into().ok()).or(object.size);
        Ok(seen.describe(PlannedObject { size, ..planned(object, action) }))
    }

    async fn action(
        &self,
        target: &Target,
        present: &Present,
        counted: &Counted,
    ) -> Result<Action, Error> {
        let wrapping = &*self.0;
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
            return Ok(Action::Nothing);
        }
        if !is_sidecar {
            check_not_archived(target, &present.head)?;
        }
        let mut costs = Costs { object: &object, counted, kms_calls: BTreeMap::new() };
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
        Ok(Action::Rewrap {
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
        })
    }
}

impl Rewrapper {
    /// What is done with an object of the S3 Encryption Client: its one wrap is replaced.
    fn action_s3ec(
        &self,
        target: &Target,
        present: &Present,
        envelope: &Envelope,
    ) -> Result<Action, Error> {
        let Wrapping { client, edits, .. } = &*self.0;
        self.0.s3ec_keyring(target)?;
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
        Ok(Action::Rewrap {
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
        })
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
#[derive(Default)]
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

impl Planning {
    /// How many objects are looked at at once, at most: 128 unless set.
    pub fn concurrency(self, objects: usize) -> Self {
        Self { concurrency: objects, ..self }
    }

    /// What the estimate is made with; [`PriceTable::default`] unless set.
    pub fn prices(self, prices: PriceTable) -> Self {
        Self { prices, ..self }
    }

    /// What is to be found again in [`PlanHeader::settings`]. Nothing secret.
    pub fn settings(self, settings: Map<String, Value>) -> Self {
        Self { settings, ..self }
    }

    /// What asks it to end early.
    pub fn stop(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// Tells each object once it is in the plan.
    pub fn on_object(self, tell: impl FnMut(&PlannedObject) + Send + 'static) -> Self {
        Self { on_object: Box::new(tell), ..self }
    }

    /// Writes the plan of `objects`, which `source` names, to `plan`: JSON lines, the first of which is a [`PlanHeader`],
    /// and the last one says that it is complete. The order is that in which answers came.
    ///
    /// # Errors
    /// The objects cannot be listed, or the plan cannot be written. Where it was asked to end early, the summary is of
    /// what was seen, and the plan lacks its last line: it cannot be applied.
    pub async fn send(
        self,
        objects: impl Stream<Item = Result<ListedObject, Error>> + Unpin + Send,
        source: impl Into<String>,
        mut plan: impl Write + Send,
    ) -> Result<Summary, Error> {
        let Self { rewrapper, concurrency, prices, settings, stop, mut on_object } = self;
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let edits = rewrapper.0.edits.names();
        let header =
            PlanHeader { sealwax_plan: VERSION, source: source.into(), edits, begun, settings };
        let mut line = |line: String| plan.write_all((line + "\n").as_bytes()).map_err(unwritten);
        line(json(&header))?;
        let (window, counted) =
            (Arc::new(Window::up_to(concurrency)), Arc::new(Counted::default()));
        let mut summary = Summary::default();
        let work = |object: ListedObject| {
            let (rewrapper, counted) = (rewrapper.clone(), Arc::clone(&counted));
            let (window, stop) = (Arc::clone(&window), stop.clone());
            async move {
                let mut tries = Tries::new(window, stop);
                loop {
                    match rewrapper.planned(&object, &counted).await {
                        Err(error) if tries.again(Some(error.kind())).await => {}
                        Err(error) => return impossible(&object, &error),
                        Ok(planned) => {
                            tries.again(None).await;
                            return planned;
                        }
                    }
                }
            }
        };
        let take = |object: PlannedObject| {
            let written = line(json(&object));
            if written.is_ok() {
                summary.count(&object);
                on_object(&object);
            }
            ready(written)
        };
        pool::each(objects, Arc::clone(&window), stop.clone(), work, take).await?;
        let summary = summary.estimated(&prices);
        if !stop.is_asked() {
            line(json(&PlanEnd { summary: summary.clone() }))?;
        }
        plan.flush().map_err(unwritten)?;
        Ok(summary)
    }
}

impl fmt::Debug for Planning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planning").field("rewrapper", &self.rewrapper).finish_non_exhaustive()
    }
}

fn unwritten(error: std::io::Error) -> Error {
    Error::of("write", "the plan", ErrorKind::Io, error.to_string())
}

fn json(line: &impl serde::Serialize) -> String {
    serde_json::to_string(line).expect("names are strings")
}

fn planned(object: &ListedObject, action: Action) -> PlannedObject {
    PlannedObject {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        version_id: object.version_id.clone(),
        e_tag: object.e_tag.clone(),
        generation: None,
        size: object.size,
        action,
    }
}

fn skip(why: Skipped) -> Action {
    Action::Skip { why: why.name().to_owned() }
}

fn impossible(object: &ListedObject, error: &Error) -> PlannedObject {
    planned(object, impossible_action(error))
}

fn impossible_action(error: &Error) -> Action {
    Action::Impossible { kind: error.kind().name().to_owned(), why: error.to_string() }
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
