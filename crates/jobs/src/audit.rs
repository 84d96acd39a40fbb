//! Audits which keys the objects of a bucket depend on, and which objects are not sealed.
//!
//! An audit costs one `HeadObject` for each object and uses no key. What it reports are the claims
//! of stored metadata, which everybody who can write to the bucket can change. [`Audit::prove`]
//! asks the key service for each claim. An object's metadata does not tell which material of a
//! rotated KMS key wrapped it; [`Audit::key_material`] asks KMS.
//!
//! Where it can't tell, an audit errs on the side that loses no object: one that may lack a Region
//! lacks it, and one that may depend on a key depends on it.
//!
//! ```no_run
//! # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
//! use futures_util::TryStreamExt as _;
//! use sealwax_jobs::{audit::Audit, listing::Listing};
//!
//! let objects = Listing::objects(client.s3(), "invoices", "");
//! let mut outcomes = Audit::new(client).run(objects);
//! while let Some(object) = outcomes.try_next().await? {
//!     if object.lacks("us-west-2", &[]) {
//!         println!("{} has no key in us-west-2", object.object);
//!     }
//! }
//! println!("{:?}", outcomes.summary());
//! # Ok(())
//! # }
//! ```

mod audit_summary;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_core::Stream;
use sealwax_s3::{
    Error, ErrorKind, InspectOutput, InspectedKey, KMS_PROVIDER, KeyAudit, KeyProof, KmsKeyArn,
    ListedObject, ObjectKind, SealedClient,
    envelope::{KeyMaterial, SharedKeySlot},
};

pub use self::audit_summary::{AuditSummary, IntermediateKeyUse, KeyUse};
use crate::engine::{JobLimits, Outcomes, Pool, RetryPolicy, RetryState, limit_setters};

/// Audits the objects of a listing.
#[derive(Debug, Clone)]
pub struct Audit {
    client: SealedClient,
    limits: JobLimits,
    questions: Questions,
}

/// Questions to the key service.
#[derive(Debug, Clone, Copy, Default)]
struct Questions {
    key_material: bool,
    proof: bool,
}

/// Outcome of the audit of one object.
#[derive(Debug)]
#[non_exhaustive]
pub struct AuditedObject {
    /// The object, as it was listed.
    pub object: ListedObject,
    /// Kind of the object.
    pub kind: ObjectKind,
    /// Keys that wrap its data key, as its metadata, its sidecar and the key store claim; of an object of the S3
    /// Encryption Client, the one that unwrapped it for a proof.
    pub keys: Vec<AuditedKey>,
    /// `true` if it may have keys that are not in `keys`: it is an object of the S3 Encryption
    /// Client, which does not name its wrapping key, and no proof did; its sidecar could not be
    /// read; it is itself a sidecar that was not looked for, or an instruction file that serves no
    /// object as it is now; or it could not be read.
    pub may_have_other_keys: bool,
    /// Detached intermediate keys that it depends on, as its metadata claims. Their wrapped keys are in a
    /// key store alone, so `keys` has them only if the client reads one.
    pub detached: Vec<DetachedKey>,
    /// Result of the proof of its keys: that of the best one. `None` if the audit did not ask, or
    /// if the object has no keys.
    pub proof: Option<AuditedProof>,
    /// Wrapping keys that the object still lacks.
    pub missing: Vec<String>,
    /// Its generation: 1 for a new object, and 1 more after each rewrap.
    pub generation: Option<u32>,
    /// Fault of the object, its metadata or its sidecar, or why it could not be read.
    pub problem: Option<Error>,
}

/// A key that wraps an object's data key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditedKey {
    /// Its provider, such as `aws-kms`.
    pub provider: String,
    /// Its name: an ARN for AWS KMS.
    pub wrapping_key: String,
    /// Region of a KMS key.
    pub region: Option<String>,
    /// `true` for a multi-Region key, which may have replicas in other Regions.
    pub multi_region: bool,
    /// `true` if the object's sidecar names it and not its metadata.
    pub in_sidecar: bool,
    /// `true` if only the key store names it.
    pub in_key_store: bool,
    /// Place that it is bound to, as `bucket/key`; `None` if it is bound to none.
    pub place: Option<String>,
    /// Id of the intermediate key that it wraps, which many objects can share.
    pub intermediate: Option<String>,
    /// Prefix of the places that the intermediate key serves.
    pub scope: Option<String>,
    /// `true` if the client reads the object from this place. Any other key opens nothing for it,
    /// and counts for nothing but [`AuditedObject::dependence`].
    pub is_at_place: bool,
    /// Proof that it opens the object.
    pub proof: AuditedProof,
    /// Its key material that wrapped the data key, or the intermediate key above that.
    pub material: AuditedMaterial,
}

/// Detached intermediate key of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DetachedKey {
    /// Its id.
    pub id: String,
    /// Prefix of the places that it serves; `None` if places are off.
    pub scope: Option<String>,
}

/// Material of a wrapping key that wrapped an object's data key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AuditedMaterial {
    /// Unknown: the audit did not ask.
    NotAsked,
    /// Unknown: the key service did not tell or failed, or the client's keyring does not accept the
    /// wrapping key.
    Unknown,
    /// The material.
    Known(KeyMaterial),
}

/// Result of the attempt to prove a key of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AuditedProof {
    /// A claim: the audit did not ask, or the client does not read with this key.
    Claimed,
    /// The key service rejects it, or it holds another key than the body's.
    Disproved,
    /// The key service denied the call, did not answer, or can't use the wrapping key; or the
    /// client's policy does not read objects of this format.
    Unknown,
    /// It was unwrapped with the object's encryption context. The format does not commit to the data
    /// key, so nothing less than the whole body proves that it opens the object.
    Unwrapped {
        /// Wrapping key that unwrapped it. `None` for a raw key, which has no name.
        by: Option<String>,
    },
    /// It was unwrapped, and met the body's commitment.
    Proven {
        /// Wrapping key that unwrapped it: the claimed one, or a replica of it. `None` for a raw
        /// key, which has no name.
        by: Option<String>,
    },
}

impl AuditedProof {
    /// Returns its name in reports, such as `proven`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Disproved => "disproved",
            Self::Unknown => "unknown",
            Self::Unwrapped { .. } => "unwrapped",
            Self::Proven { .. } => "proven",
        }
    }

    /// Returns the wrapping key that unwrapped the data key.
    fn by(&self) -> Option<&str> {
        match self {
            Self::Proven { by } | Self::Unwrapped { by } => by.as_deref(),
            Self::Claimed | Self::Disproved | Self::Unknown => None,
        }
    }

    /// `true` if the key counts as one that opens the object.
    fn is_good(&self) -> bool {
        matches!(self, Self::Proven { .. } | Self::Unwrapped { .. })
    }

    /// `true` if the key opens the object.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        matches!(self, Self::Proven { .. })
    }
}

impl AuditedMaterial {
    /// `true` if the material is known and older than the current one.
    #[must_use]
    pub fn is_older(&self) -> bool {
        matches!(self, Self::Known(material) if !material.is_newest)
    }
}

/// Dependence of an object on a wrapping key, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Dependence {
    /// The object does not name the key, or it was disproved.
    None,
    /// The key is one of several.
    Shared,
    /// The object may depend on the key without naming it.
    Unknown,
    /// No other key opens the object.
    Sole,
}

impl Dependence {
    /// Returns its name in reports, such as `sole`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Shared => "shared",
            Self::Unknown => "unknown",
            Self::Sole => "sole",
        }
    }
}

impl Audit {
    /// Creates a job that reads with `client`. Its keyring is not used unless [`Audit::prove`] or
    /// [`Audit::key_material`] is set. If the client looks for sidecars, each sealed object costs
    /// one `GetObject` more, and the sidecar's keys count as the object's. If it uses a key store, the
    /// keys there count too, at one list and one `GetObject` for each key object, not for each object.
    #[must_use]
    pub fn new(client: SealedClient) -> Self {
        Self { client, limits: JobLimits::default(), questions: Questions::default() }
    }

    /// Proves each key that an object claims: unwraps it alone, and compares the result with the
    /// body's commitment.
    ///
    /// It asks only about keys that the client reads with: its keyring accepts the wrapping key, and
    /// the place is the object's own or another accepted one. Only proven keys then count for
    /// [`AuditedObject::regions`], [`AuditedObject::lacks`] and as another key in
    /// [`AuditedObject::dependence`]. With AWS KMS it costs one `Decrypt` for each encrypted data
    /// key; objects that share an encrypted form of an intermediate key share one call, and up to
    /// 1,024 intermediate keys stay in memory until the job ends.
    ///
    /// A key that is disproved or stays unknown is a problem of the object; so is a sealed object of
    /// which no key could be asked about.
    ///
    /// An object of the S3 Encryption Client does not name its wrapping key. KMS does when it
    /// unwraps the data key, which then counts as the object's only key. Only V3 commits to its data
    /// key: keys of V2 and V1 are [`AuditedProof::Unwrapped`], not proven.
    #[must_use]
    pub fn prove(mut self) -> Self {
        self.questions.proof = true;
        self
    }

    /// Asks the key service which material of its wrapping key wrapped each data key, and whether
    /// that is the newest.
    ///
    /// It asks only about keys that the client reads with. No data key leaves KMS for that,
    /// and each wrapped key is authenticated. With AWS KMS it costs one `ReEncrypt` of a wrapping
    /// key to itself for each encrypted data key; objects that share an intermediate key share one
    /// call. A failed call is a problem of the object. Objects of the S3 Encryption Client do not
    /// name their wrapping key and are not asked about.
    #[must_use]
    pub fn key_material(mut self) -> Self {
        self.questions.key_material = true;
        self
    }

    limit_setters! {
        concurrency: "Sets the largest number of objects in work at a time: 64 unless set, and at least 1.",
        cancellation: "Sets a token that ends the job early. Objects in flight are finished.",
    }

    /// Audits `objects`. An object that can't be read is no `Err` item but has a
    /// [problem](AuditedObject::problem).
    pub fn run(
        self,
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    ) -> Outcomes<AuditSummary> {
        let Self { client, limits, questions } = self;
        let engine = limits.engine(RetryPolicy::READ);
        let keys = Arc::new(client.key_audit());
        let work = move |object, mut retry: RetryState| {
            let (client, keys) = (client.clone(), Arc::clone(&keys));
            async move { audit(&client, &keys, questions, object, &mut retry).await }
        };
        Pool::new(engine, objects, work).into_outcomes()
    }
}

/// Inspects an object.
pub(crate) async fn inspect(
    client: &SealedClient,
    object: &ListedObject,
    retry: &mut RetryState,
) -> Result<InspectOutput, Error> {
    let mut inspect = client.inspect().bucket(&object.bucket).key(&object.key);
    if let Some(version_id) = &object.version_id {
        inspect = inspect.version_id(version_id);
    }
    retry.run(|| inspect.clone().send()).await
}

async fn audit(
    client: &SealedClient,
    key_audit: &KeyAudit,
    questions: Questions,
    object: ListedObject,
    retry: &mut RetryState,
) -> AuditedObject {
    if object.is_folder_marker() {
        return AuditedObject::new(object, ObjectKind::FolderMarker);
    }
    let mut inspected = match inspect(client, &object, retry).await {
        Ok(inspected) => inspected,
        Err(problem) => return AuditedObject::unreadable(object, problem),
    };
    let mut found = AuditedObject::claims(object, &mut inspected);
    for (key, inspected_key) in found.keys.iter_mut().zip(&inspected.keys) {
        if questions.key_material {
            let material = material(key_audit, &inspected, inspected_key, retry).await;
            key.material = material.unwrap_or_else(|error| {
                found.problem.get_or_insert(error);
                AuditedMaterial::Unknown
            });
        }
        if questions.proof {
            let ask = || key_audit.prove(&inspected, inspected_key);
            key.proof = proven(ask, retry, &mut found.problem).await;
        }
    }
    // An instruction file whose object is gone, or has another format now, is the only sign of its key.
    let is_left = found.kind == ObjectKind::InstructionFile && found.may_have_other_keys;
    if questions.proof && (found.kind.is_sealed() || is_left) {
        let proof = if found.kind.is_encryption_client() || is_left {
            let ask = || key_audit.prove_unnamed(&inspected);
            let proof = proven(ask, retry, &mut found.problem).await;
            // Such an object has one wrapped key, which is known now.
            found.may_have_other_keys &= !proof.is_good();
            found.keys.extend(proof.by().map(|by| AuditedKey::unnamed(by, &proof)));
            proof
        } else {
            let proofs = found.keys.iter().map(|key| key.proof.clone());
            proofs.max().unwrap_or(AuditedProof::Claimed)
        };
        if proof == AuditedProof::Claimed {
            found.problem.get_or_insert_with(|| unasked(&found.object, &found.keys));
        }
        found.proof = (!is_left).then_some(proof);
    }
    found
}

/// Returns the result of one proof, and records as the object's problem why it is not proven. Only
/// throttled calls are repeated: an object in a Region that is down would take long.
async fn proven<F>(
    ask: impl Fn() -> F + Send + Sync,
    retry: &mut RetryState,
    problem: &mut Option<Error>,
) -> AuditedProof
where
    F: Future<Output = KeyProof> + Send,
{
    let asked = retry.run(|| async {
        match ask().await {
            KeyProof::Unknown(error) if is_repeated_or_fatal(error.kind()) => Err(error),
            proof => Ok(proof),
        }
    });
    match asked.await.unwrap_or_else(KeyProof::Unknown) {
        KeyProof::Proven { by } => AuditedProof::Proven { by },
        KeyProof::Unwrapped { by } => AuditedProof::Unwrapped { by },
        KeyProof::Disproved(error) => {
            problem.get_or_insert(error);
            AuditedProof::Disproved
        }
        KeyProof::Unknown(error) => {
            problem.get_or_insert(error);
            AuditedProof::Unknown
        }
        _ => AuditedProof::Claimed,
    }
}

/// `true` if a failed call is repeated, or ends the job.
fn is_repeated_or_fatal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Throttled | ErrorKind::Credentials)
}

/// Describes that no key of an object could be proven, because the client reads with none.
fn unasked(object: &ListedObject, keys: &[AuditedKey]) -> Error {
    let has_keys_at_place = keys.iter().any(|key| key.is_at_place);
    let (kind, message) = if keys.is_empty() || has_keys_at_place {
        (ErrorKind::NoMatchingKey, "the client's keyring accepts none of its wrapping keys")
    } else {
        (ErrorKind::PlaceMismatch, "its keys are bound to another place")
    };
    Error::new("prove the keys of", object.to_string(), kind, message)
}

/// Returns the material that wrapped `key`. Only throttled calls are repeated: an object in a Region
/// that is down would take long.
async fn material(
    key_audit: &KeyAudit,
    object: &InspectOutput,
    key: &InspectedKey,
    retry: &mut RetryState,
) -> Result<AuditedMaterial, Error> {
    let material = retry.run(|| async {
        match key_audit.material(object, key).await {
            Err(error) if is_repeated_or_fatal(error.kind()) => Err(error),
            other => Ok(other),
        }
    });
    let material = material.await??;
    Ok(material.map_or(AuditedMaterial::Unknown, AuditedMaterial::Known))
}

impl AuditedKey {
    fn new(inspected: &InspectedKey) -> Self {
        let key = &inspected.key;
        let arn = (key.provider() == KMS_PROVIDER)
            .then(|| key.wrapping_key().parse::<KmsKeyArn>().ok())
            .flatten();
        Self {
            provider: key.provider().to_owned(),
            wrapping_key: key.wrapping_key().to_owned(),
            region: arn.as_ref().map(|arn| arn.region().to_owned()),
            multi_region: arn.is_some_and(|arn| arn.is_multi_region()),
            in_sidecar: inspected.in_sidecar,
            in_key_store: inspected.in_key_store,
            place: key.place().map(|place| place.as_str().to_owned()),
            intermediate: key.intermediate_id().map(ToString::to_string),
            scope: key.scope().map(|scope| scope.as_str().to_owned()),
            is_at_place: inspected.is_at_place,
            proof: AuditedProof::Claimed,
            material: AuditedMaterial::NotAsked,
        }
    }

    /// Returns the key of an object that does not name it: `wrapping_key` unwrapped its data key.
    fn unnamed(wrapping_key: &str, proof: &AuditedProof) -> Self {
        let arn = wrapping_key.parse::<KmsKeyArn>().ok();
        Self {
            provider: KMS_PROVIDER.to_owned(),
            wrapping_key: wrapping_key.to_owned(),
            region: arn.as_ref().map(|arn| arn.region().to_owned()),
            multi_region: arn.is_some_and(|arn| arn.is_multi_region()),
            in_sidecar: false,
            in_key_store: false,
            place: None,
            intermediate: None,
            scope: None,
            is_at_place: true,
            proof: proof.clone(),
            material: AuditedMaterial::NotAsked,
        }
    }

    /// Returns the Region in which the key can be used: that of the key that proved it, or the
    /// claimed one.
    fn usable_region(&self) -> Option<String> {
        match self.proof.by() {
            Some(by) => by.parse::<KmsKeyArn>().ok().map(|arn| arn.region().to_owned()),
            None => self.region.clone(),
        }
    }

    /// `true` for `wrapping_key` and for its replicas in other Regions.
    pub(crate) fn is(&self, wrapping_key: &str) -> bool {
        if self.wrapping_key == wrapping_key {
            return true;
        }
        match (self.wrapping_key.parse::<KmsKeyArn>(), wrapping_key.parse()) {
            (Ok(this), Ok(other)) => self.provider == KMS_PROVIDER && this.is_related_to(&other),
            _ => false,
        }
    }
}

impl DetachedKey {
    fn new(slot: &SharedKeySlot) -> Self {
        let scope = slot.wrap_context().scope().map(|scope| scope.as_str().to_owned());
        Self { id: slot.intermediate_id().to_string(), scope }
    }
}

impl AuditedObject {
    fn new(object: ListedObject, kind: ObjectKind) -> Self {
        Self {
            object,
            kind,
            keys: Vec::new(),
            may_have_other_keys: kind == ObjectKind::Unreadable,
            detached: Vec::new(),
            proof: None,
            missing: Vec::new(),
            generation: None,
            problem: None,
        }
    }

    /// Describes an object that could not be read.
    pub(crate) fn unreadable(object: ListedObject, problem: Error) -> Self {
        Self { problem: Some(problem), ..Self::new(object, ObjectKind::Unreadable) }
    }

    /// Describes an object by its claims. The problem of the inspection becomes the object's.
    pub(crate) fn claims(object: ListedObject, inspected: &mut InspectOutput) -> Self {
        Self {
            keys: inspected.keys.iter().map(AuditedKey::new).collect(),
            missing: std::mem::take(&mut inspected.missing),
            may_have_other_keys: inspected.may_have_other_keys,
            detached: inspected.detached.iter().map(DetachedKey::new).collect(),
            generation: inspected.generation,
            problem: inspected.problem.take(),
            ..Self::new(object, inspected.kind)
        }
    }

    /// `true` if `key` counts as a key of the object: it is at its place and, if the audit asked for
    /// proofs, proven.
    fn counts(&self, key: &AuditedKey) -> bool {
        key.is_at_place && (self.proof.is_none() || key.proof.is_good())
    }

    pub(crate) fn counting_keys(&self) -> impl Iterator<Item = &AuditedKey> {
        self.keys.iter().filter(|key| self.counts(key))
    }

    /// Returns the intermediate keys that the object is under, as its metadata and its sidecar claim: their
    /// ids, each with the prefix of the places that it serves. They count at whatever place.
    #[must_use]
    pub fn intermediate_keys(&self) -> BTreeMap<&str, Option<&str>> {
        let of_keys = self.keys.iter().filter_map(|key| {
            let id = key.intermediate.as_deref()?;
            Some((id, key.scope.as_deref()))
        });
        let detached = self.detached.iter().map(|key| (key.id.as_str(), key.scope.as_deref()));
        of_keys.chain(detached).collect()
    }

    /// Returns the Regions in which the object has a KMS key: a proven one if the audit asked for
    /// proofs, else a claimed one. Keys that are bound to another place do not count.
    ///
    /// A multi-Region key counts in its own Region (if proven, in that of the replica that was
    /// used) and in `replicas`: the Regions that are known to have a replica of it.
    #[must_use]
    pub fn regions(&self, replicas: &[String]) -> BTreeSet<String> {
        let multi_region = self.counting_keys().any(|key| key.multi_region);
        self.counting_keys()
            .filter_map(AuditedKey::usable_region)
            .chain(replicas.iter().filter(|_| multi_region).cloned())
            .collect()
    }

    /// `true` if the object is or may be sealed, and has no key in `region`, as
    /// [`AuditedObject::regions`] counts. An object of the S3 Encryption Client does not name its
    /// wrapping key, so it may lack every Region; so may one that could not be read.
    #[must_use]
    pub fn lacks(&self, region: &str, replicas: &[String]) -> bool {
        (self.kind.is_sealed() || self.kind == ObjectKind::Unreadable)
            && !self.regions(replicas).contains(region)
    }

    /// Returns how the object depends on `wrapping_key`. A multi-Region key and its replicas are one
    /// key.
    ///
    /// Every claim of the key counts, at whatever place, unless it was disproved. Of other keys,
    /// only those count that are at the object's place and, if the audit asked for proofs, proven.
    /// An object under a detached key that no such key opens may depend on any: a writer to the
    /// bucket can remove the key object that would tell.
    #[must_use]
    pub fn dependence(&self, wrapping_key: &str) -> Dependence {
        let is_claimed =
            |key: &AuditedKey| key.is(wrapping_key) && key.proof != AuditedProof::Disproved;
        if self.keys.iter().any(is_claimed) {
            let has_another = self.counting_keys().any(|key| !key.is(wrapping_key));
            return if has_another { Dependence::Shared } else { Dependence::Sole };
        }
        // The key object under it may be missing from a key store, or hidden there.
        let is_unopened = !self.detached.is_empty() && self.counting_keys().next().is_none();
        let is_unknown = self.may_have_other_keys || is_unopened;
        if is_unknown { Dependence::Unknown } else { Dependence::None }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{audit_summary::MAX_NAMES, *};
    use crate::engine::Summary as _;

    pub(crate) const EAST: &str =
        "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    pub(crate) const WEST: &str =
        "arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";
    const MRK: &str = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
    const MRK_WEST: &str =
        "arn:aws:kms:us-west-2:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";

    pub(crate) fn claimed(name: &str) -> AuditedKey {
        let arn = name.parse::<KmsKeyArn>().ok();
        AuditedKey {
            provider: KMS_PROVIDER.to_owned(),
            wrapping_key: name.to_owned(),
            region: arn.as_ref().map(|arn| arn.region().to_owned()),
            multi_region: arn.is_some_and(|arn| arn.is_multi_region()),
            in_sidecar: false,
            in_key_store: false,
            place: Some("b/k".to_owned()),
            intermediate: None,
            scope: None,
            is_at_place: true,
            proof: AuditedProof::Claimed,
            material: AuditedMaterial::NotAsked,
        }
    }

    pub(crate) fn elsewhere(name: &str) -> AuditedKey {
        AuditedKey { place: Some("b/other".to_owned()), is_at_place: false, ..claimed(name) }
    }

    fn proven(name: &str, by: &str) -> AuditedKey {
        AuditedKey { proof: AuditedProof::Proven { by: Some(by.to_owned()) }, ..claimed(name) }
    }

    fn disproved(name: &str) -> AuditedKey {
        AuditedKey { proof: AuditedProof::Disproved, ..claimed(name) }
    }

    fn unknown(name: &str) -> AuditedKey {
        AuditedKey { proof: AuditedProof::Unknown, ..claimed(name) }
    }

    pub(crate) fn with(keys: impl Into<Vec<AuditedKey>>) -> AuditedObject {
        let found = AuditedObject::new(ListedObject::new("b", "k"), ObjectKind::Sealwax);
        AuditedObject { keys: keys.into(), ..found }
    }

    fn asked(keys: impl Into<Vec<AuditedKey>>) -> AuditedObject {
        let found = with(keys);
        let proof = found.keys.iter().map(|key| key.proof.clone()).max();
        AuditedObject { proof, ..found }
    }

    fn sealed(keys: &[&str]) -> AuditedObject {
        with(keys.iter().map(|name| claimed(name)).collect::<Vec<_>>())
    }

    pub(crate) fn of_kind(kind: ObjectKind) -> AuditedObject {
        let may_have_other_keys = kind.is_encryption_client();
        AuditedObject {
            may_have_other_keys,
            ..AuditedObject::new(ListedObject::new("b", "k"), kind)
        }
    }

    #[test]
    fn keys_at_another_place_count_for_nothing_but_a_dependence() {
        let found = with([claimed(EAST), elsewhere(WEST)]);
        assert!(found.lacks("us-west-2", &[]) && !found.lacks("us-east-1", &[]));
        assert_eq!(found.dependence(EAST), Dependence::Sole, "the other key is no help");
        assert_eq!(found.dependence(WEST), Dependence::Shared);
        assert_eq!(with([elsewhere(WEST)]).dependence(WEST), Dependence::Sole);
        let moved = with([elsewhere(MRK)]);
        assert!(moved.lacks("us-west-2", &["us-west-2".to_owned()]));

        let mut summary = AuditSummary::default();
        for object in [&found, &moved, &with([claimed(EAST), elsewhere(EAST)])] {
            summary.record(object);
        }
        assert_eq!(summary.elsewhere, [(WEST.to_owned(), 1), (MRK.to_owned(), 1)].into());
        assert_eq!(summary.keys.keys().collect::<Vec<_>>(), [EAST]);
        assert_eq!(summary.regions, [(vec![], 1), (vec!["us-east-1".to_owned()], 2)].into());
    }

    #[test]
    fn with_proofs_only_proven_keys_count() {
        let found = asked([proven(EAST, EAST), disproved(WEST)]);
        assert!(found.lacks("us-west-2", &[]) && !found.lacks("us-east-1", &[]));
        assert_eq!(found.dependence(EAST), Dependence::Sole);
        assert_eq!(found.dependence(WEST), Dependence::None);

        for other in [unknown(WEST), claimed(WEST)] {
            let found = asked([proven(EAST, EAST), other.clone()]);
            assert!(found.lacks("us-west-2", &[]), "{other:?}");
            assert_eq!(found.dependence(EAST), Dependence::Sole, "{other:?}");
            assert_eq!(found.dependence(WEST), Dependence::Shared, "{other:?} may be needed");
            assert_eq!(asked([other.clone()]).dependence(WEST), Dependence::Sole, "{other:?}");
        }
        let both = asked([proven(EAST, EAST), proven(WEST, WEST), disproved(WEST)]);
        assert!(!both.lacks("us-west-2", &[]), "one of two duplicates opens it");
        assert_eq!(both.dependence(WEST), Dependence::Shared);

        let mut summary = AuditSummary::default();
        for object in [found, both, asked([disproved(WEST)]), asked([unknown(WEST)])] {
            summary.record(&object);
        }
        let proofs = [("proven", 2), ("disproved", 1), ("unknown", 1)];
        assert_eq!(summary.proofs, proofs.into());
        let west =
            KeyUse { objects: 4, sole: 1, proven: 1, unwrapped: 0, disproved: 3, unknown: 1 };
        assert_eq!(summary.keys[WEST], west);
        assert_eq!(
            summary.keys[EAST],
            KeyUse { objects: 2, sole: 1, proven: 2, ..KeyUse::default() }
        );
    }

    /// An object of the S3 Encryption Client names no key. KMS did, and there is no other.
    #[test]
    fn an_unwrapped_key_is_the_only_one() {
        let proof = AuditedProof::Unwrapped { by: Some(EAST.to_owned()) };
        let keys = vec![AuditedKey::unnamed(EAST, &proof)];
        let found = of_kind(ObjectKind::EncryptionClientV2);
        let found = AuditedObject { keys, proof: Some(proof), may_have_other_keys: false, ..found };
        assert_eq!(found.dependence(EAST), Dependence::Sole);
        assert_eq!(found.dependence(WEST), Dependence::None);
        assert!(!found.lacks("us-east-1", &[]) && found.lacks("us-west-2", &[]));
    }

    fn under(name: &str, id: &str) -> AuditedKey {
        AuditedKey {
            intermediate: Some(id.to_owned()),
            scope: Some("b/".to_owned()),
            ..claimed(name)
        }
    }

    #[test]
    fn a_summary_counts_the_objects_that_share_an_intermediate_key() {
        let detached = |id: &str| {
            let key = DetachedKey { id: id.to_owned(), scope: Some("b/".to_owned()) };
            AuditedObject { detached: vec![key], ..with([]) }
        };
        let mut summary = AuditSummary::default();
        assert_eq!(summary.objects_per_intermediate_key(), None);
        for object in [
            with([under(EAST, "id-1"), under(WEST, "id-1")]),
            with([under(EAST, "id-1")]),
            with([under(EAST, "id-2"), claimed(WEST)]),
            with([under(EAST, "id-1"), under(EAST, "id-2")]),
            detached("id-3"),
            AuditedObject { detached: detached("id-3").detached, ..with([under(EAST, "id-3")]) },
            sealed(&[EAST]),
        ] {
            summary.record(&object);
        }
        let uses = |objects| IntermediateKeyUse { scope: Some("b/".to_owned()), objects };
        let expected = [("id-1", 3), ("id-2", 2), ("id-3", 2)];
        let expected = expected.map(|(id, objects)| (id.to_owned(), uses(objects)));
        assert_eq!(summary.intermediate_keys, expected.into());
        assert_eq!(summary.under_intermediate_keys, 6, "each object once");
        assert!(summary.has_all_intermediate_keys());
        assert_eq!(summary.objects_per_intermediate_key(), Some(7.0 / 3.0));
    }

    /// Ids are claims, of which a writer to the bucket can invent any number.
    #[test]
    fn intermediate_keys_are_counted_exactly_up_to_a_bound() {
        let mut summary = AuditSummary::default();
        for n in 0..MAX_NAMES {
            summary.record(&with([under(EAST, &format!("{n}"))]));
        }
        assert!(summary.has_all_intermediate_keys());
        for id in ["0", "new", "new", "newer"] {
            summary.record(&with([under(EAST, id)]));
        }
        assert_eq!(summary.intermediate_keys.len(), MAX_NAMES);
        assert_eq!(summary.intermediate_keys["0"].objects, 2);
        assert_eq!((summary.under_other_intermediate_keys, summary.others), (3, 0));
        assert_eq!(summary.under_intermediate_keys, MAX_NAMES as u64 + 4);
        assert!(!summary.has_all_intermediate_keys());
        let per_key = summary.objects_per_intermediate_key();
        assert_eq!(per_key, Some((MAX_NAMES as f64 + 4.0) / MAX_NAMES as f64));
    }

    /// A multi-Region key whose replica was deleted must not pass for one that is there.
    #[test]
    fn a_multi_region_key_is_proven_in_the_region_that_answered() {
        let found = asked([proven(MRK_WEST, MRK)]);
        assert!(found.lacks("us-west-2", &[]) && !found.lacks("us-east-1", &[]));
        assert!(!found.lacks("us-west-2", &["us-west-2".to_owned()]), "the caller says so");
        assert_eq!(found.dependence(MRK_WEST), Dependence::Sole);
    }

    #[test]
    fn what_an_object_does_not_tell_counts_against_it() {
        for kind in [
            ObjectKind::EncryptionClientV1,
            ObjectKind::EncryptionClientV2,
            ObjectKind::EncryptionClientV3,
            ObjectKind::EncryptionClientInstructed,
            ObjectKind::Unreadable,
        ] {
            let found = of_kind(kind);
            let found = AuditedObject { may_have_other_keys: true, ..found };
            assert!(found.lacks("us-east-1", &[]), "{kind:?}");
            assert_eq!(found.dependence(EAST), Dependence::Unknown, "{kind:?}");
        }
        for kind in [ObjectKind::Unsealed, ObjectKind::Shredded, ObjectKind::Sidecar] {
            assert!(!of_kind(kind).lacks("us-east-1", &[]), "{kind:?}");
            assert_eq!(of_kind(kind).dependence(EAST), Dependence::None, "{kind:?}");
        }
        let unread = AuditedObject { may_have_other_keys: true, ..sealed(&[EAST]) };
        assert_eq!(unread.dependence(WEST), Dependence::Unknown, "its sidecar could not be read");
        assert_eq!(unread.dependence(EAST), Dependence::Sole);
        // A writer who removes its key objects, or puts a worthless one there, does not make it unrelated.
        let detached = |keys: &[AuditedKey]| {
            let key = DetachedKey { id: "id-1".to_owned(), scope: None };
            AuditedObject { detached: vec![key], ..asked(keys) }
        };
        for keys in [&[][..], &[disproved(WEST)], &[elsewhere(WEST)]] {
            assert_eq!(detached(keys).dependence(EAST), Dependence::Unknown, "{keys:?}");
        }
        assert_eq!(detached(&[proven(WEST, WEST)]).dependence(EAST), Dependence::None);
        let order = [Dependence::None, Dependence::Shared, Dependence::Unknown, Dependence::Sole];
        assert!(order.is_sorted());
    }

    #[test]
    fn a_key_is_shared_or_the_only_one() {
        assert_eq!(sealed(&[EAST]).dependence(EAST), Dependence::Sole);
        assert_eq!(sealed(&[EAST, WEST]).dependence(EAST), Dependence::Shared);
        assert_eq!(sealed(&[EAST, EAST]).dependence(EAST), Dependence::Sole);
        assert_eq!(sealed(&[WEST]).dependence(EAST), Dependence::None);
        assert_eq!(sealed(&[MRK]).dependence(MRK_WEST), Dependence::Sole);
        assert_eq!(sealed(&[]).dependence(EAST), Dependence::None);
    }

    #[test]
    fn a_multi_region_key_covers_the_regions_that_are_known_to_have_it() {
        let west = ["us-west-2".to_owned()];
        assert!(sealed(&[EAST]).lacks("us-west-2", &west));
        assert!(!sealed(&[EAST, WEST]).lacks("us-west-2", &[]));
        assert!(sealed(&[MRK]).lacks("us-west-2", &[]));
        assert!(!sealed(&[MRK]).lacks("us-west-2", &west));
        assert!(
            !AuditedObject { kind: ObjectKind::Unsealed, ..sealed(&[]) }.lacks("us-west-2", &[])
        );
    }

    #[test]
    fn a_summary_counts_each_material_of_a_key_once_an_object() {
        let of = |materials: &[AuditedMaterial]| {
            let mut found = sealed(&vec![EAST; materials.len()]);
            found
                .keys
                .iter_mut()
                .zip(materials)
                .for_each(|(key, material)| key.material = material.clone());
            found
        };
        let known = |id: &str, is_newest| AuditedMaterial::Known(KeyMaterial::new(id, is_newest));
        let (newest, older, mut summary) =
            (known("b", true), known("a", false), AuditSummary::default());
        assert!(older.is_older() && !newest.is_older() && !AuditedMaterial::Unknown.is_older());
        for object in [
            of(std::slice::from_ref(&newest)),
            of(&[older.clone(), older.clone()]),
            of(&[newest.clone(), older.clone()]),
            of(&[AuditedMaterial::Unknown]),
            of(&[AuditedMaterial::NotAsked]),
        ] {
            summary.record(&object);
        }
        let counts = [(newest, 2), (older, 2), (AuditedMaterial::Unknown, 1)];
        assert_eq!(
            summary.materials,
            counts.map(|(material, count)| ((EAST.to_owned(), material), count)).into()
        );
        for n in 0..MAX_NAMES {
            summary.record(&of(&[known(&format!("invented-{n}"), false)]));
        }
        assert_eq!((summary.materials.len(), summary.others), (MAX_NAMES, 3));
    }

    #[test]
    fn a_summary_counts_everything_in_bounded_memory() {
        let mut summary = AuditSummary::default();
        for object in [sealed(&[EAST]), sealed(&[EAST, WEST]), sealed(&[WEST, WEST])] {
            summary.record(&object);
        }
        assert_eq!(summary.objects, 3);
        let two = KeyUse { objects: 2, sole: 1, ..KeyUse::default() };
        assert_eq!(summary.keys[EAST], two);
        assert_eq!(summary.keys[WEST], two);
        assert_eq!(summary.regions[&vec!["us-east-1".to_owned(), "us-west-2".to_owned()]], 1);
        for n in 0..MAX_NAMES + 5 {
            summary.record(&sealed(&[&format!("invented-{n}")]));
        }
        assert_eq!((summary.keys.len(), summary.others), (MAX_NAMES, 7));
        assert_eq!(summary.keys[EAST].objects, 2);
    }
}
