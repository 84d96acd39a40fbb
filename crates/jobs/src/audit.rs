//! Audits which keys the objects of a bucket depend on, and which objects are not sealed.
//!
//! An audit costs one `HeadObject` for each object and uses no key, so nothing that it finds is
//! authenticated. An object's metadata does not tell which material of a rotated KMS key wrapped
//! it; [`Audit::key_material`] asks KMS.
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

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_core::Stream;
use sealwax_s3::{
    Error, ErrorKind, InspectOutput, KMS_PROVIDER, KeyMaterials, KmsKeyArn, ListedObject,
    ObjectKind, SealedClient,
    envelope::{EncryptedDataKey, KeyMaterial},
};
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, Outcomes, Pool, RetryPolicy, RetryState, Summary};

/// Default number of objects in work at a time.
const DEFAULT_CONCURRENCY: usize = 64;
/// Most wrapping keys, key materials and sets of Regions that a summary tells apart. Without a
/// bound, a writer to the bucket could exhaust memory with invented names.
const MAX_NAMES: usize = 10_000;

/// Audits the objects of a listing.
#[derive(Debug, Clone)]
pub struct Audit {
    client: SealedClient,
    concurrency: usize,
    cancellation: CancellationToken,
    key_material: bool,
}

/// Outcome of the audit of one object.
#[derive(Debug)]
#[non_exhaustive]
pub struct AuditedObject {
    /// The object, as it was listed.
    pub object: ListedObject,
    /// Kind of the object.
    pub kind: ObjectKind,
    /// Keys that wrap its data key, by its metadata and its sidecar.
    pub keys: Vec<AuditedKey>,
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
    /// Its key material that wrapped the data key, or the intermediate key above that.
    pub material: AuditedMaterial,
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

impl AuditedMaterial {
    /// `true` if the material is known and older than the current one.
    #[must_use]
    pub fn is_older(&self) -> bool {
        matches!(self, Self::Known(material) if !material.is_newest)
    }
}

/// Dependence of an object on a wrapping key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dependence {
    /// The object does not name the key.
    None,
    /// The key is one of several.
    Shared,
    /// Only this key opens the object.
    Sole,
}

impl Audit {
    /// Creates a job that reads with `client`. Its keyring is not used unless
    /// [`Audit::key_material`] is set. If the client looks for sidecars, each sealed object costs
    /// one `GetObject` more.
    #[must_use]
    pub fn new(client: SealedClient) -> Self {
        Self {
            client,
            concurrency: DEFAULT_CONCURRENCY,
            cancellation: CancellationToken::new(),
            key_material: false,
        }
    }

    /// Asks the key service which material of its wrapping key wrapped each data key, and whether
    /// that is the newest.
    ///
    /// It asks only about keys that the client's keyring accepts. No data key leaves KMS for that,
    /// and each wrapped key is authenticated. With AWS KMS it costs one `ReEncrypt` of a wrapping
    /// key to itself for each encrypted data key; objects that share an intermediate key share one
    /// call. A failed call is a problem of the object. Objects of the S3 Encryption Client do not
    /// name their wrapping key and are not asked about.
    #[must_use]
    pub fn key_material(mut self) -> Self {
        self.key_material = true;
        self
    }

    /// Sets the largest number of objects in work at a time: 64 unless set, and at least 1.
    #[must_use]
    pub fn concurrency(mut self, objects: usize) -> Self {
        self.concurrency = objects;
        self
    }

    /// Sets a token that ends the job early. Objects in flight are finished.
    #[must_use]
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.cancellation = token;
        self
    }

    /// Audits `objects`. An object that can't be read is no `Err` item but has a
    /// [problem](AuditedObject::problem).
    pub fn run(
        self,
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    ) -> Outcomes<AuditSummary> {
        let Self { client, concurrency, cancellation, key_material } = self;
        let engine = Engine::new(concurrency, &cancellation, RetryPolicy::READ);
        let materials = key_material.then(|| Arc::new(client.key_materials()));
        let work = move |object, retry| audit(client.clone(), materials.clone(), object, retry);
        Pool::new(engine, objects, work).into_outcomes()
    }
}

async fn audit(
    client: SealedClient,
    materials: Option<Arc<KeyMaterials>>,
    object: ListedObject,
    mut retry: RetryState,
) -> AuditedObject {
    let mut inspect = client.inspect().bucket(&object.bucket).key(&object.key);
    if let Some(version_id) = &object.version_id {
        inspect = inspect.version_id(version_id);
    }
    let mut inspected = match retry.run(|| inspect.clone().send()).await {
        Ok(inspected) => inspected,
        Err(problem) => {
            let unreadable = AuditedObject::new(object, ObjectKind::Unreadable);
            return AuditedObject { problem: Some(problem), ..unreadable };
        }
    };
    let mut problem = inspected.problem.take();
    let mut keys = Vec::new();
    for inspected_key in &inspected.keys {
        let key = &inspected_key.key;
        let material = match &materials {
            Some(materials) => material(materials, &inspected, key, &mut retry).await,
            None => Ok(AuditedMaterial::NotAsked),
        };
        let material = material.unwrap_or_else(|error| {
            problem.get_or_insert(error);
            AuditedMaterial::Unknown
        });
        keys.push(AuditedKey { material, ..AuditedKey::new(key, inspected_key.in_sidecar) });
    }
    AuditedObject {
        keys,
        missing: inspected.missing,
        generation: inspected.generation,
        problem,
        ..AuditedObject::new(object, inspected.kind)
    }
}

/// Returns the material that wrapped `key`. Only throttled calls are repeated: an object in a Region
/// that is down would take long.
async fn material(
    materials: &KeyMaterials,
    object: &InspectOutput,
    key: &EncryptedDataKey,
    retry: &mut RetryState,
) -> Result<AuditedMaterial, Error> {
    let material = retry.run(|| async {
        match materials.of(object, key).await {
            Err(error) if error.kind() == ErrorKind::Throttled => Err(error),
            other => Ok(other),
        }
    });
    let material = material.await??;
    Ok(material.map_or(AuditedMaterial::Unknown, AuditedMaterial::Known))
}

impl AuditedKey {
    fn new(key: &EncryptedDataKey, in_sidecar: bool) -> Self {
        let arn = (key.provider() == KMS_PROVIDER)
            .then(|| key.wrapping_key().parse::<KmsKeyArn>().ok())
            .flatten();
        Self {
            provider: key.provider().to_owned(),
            wrapping_key: key.wrapping_key().to_owned(),
            region: arn.as_ref().map(|arn| arn.region().to_owned()),
            multi_region: arn.is_some_and(|arn| arn.is_multi_region()),
            in_sidecar,
            material: AuditedMaterial::NotAsked,
        }
    }

    /// `true` for `wrapping_key` and for its replicas in other Regions.
    fn is(&self, wrapping_key: &str) -> bool {
        if self.wrapping_key == wrapping_key {
            return true;
        }
        match (self.wrapping_key.parse::<KmsKeyArn>(), wrapping_key.parse()) {
            (Ok(this), Ok(other)) => self.provider == KMS_PROVIDER && this.is_related_to(&other),
            _ => false,
        }
    }
}

impl AuditedObject {
    fn new(object: ListedObject, kind: ObjectKind) -> Self {
        Self {
            object,
            kind,
            keys: Vec::new(),
            missing: Vec::new(),
            generation: None,
            problem: None,
        }
    }

    /// Returns the Regions in which the object has a KMS key. A multi-Region key counts in its own
    /// Region and in `replicas`: the Regions that are known to have a replica of it.
    #[must_use]
    pub fn regions<'a>(&'a self, replicas: &'a [String]) -> BTreeSet<&'a str> {
        let own = self.keys.iter().filter_map(|key| key.region.as_deref());
        let multi_region = self.keys.iter().any(|key| key.multi_region);
        own.chain(replicas.iter().map(String::as_str).filter(|_| multi_region)).collect()
    }

    /// `true` if the object is sealed and has no key in `region`.
    #[must_use]
    pub fn lacks(&self, region: &str, replicas: &[String]) -> bool {
        self.kind == ObjectKind::Sealwax && !self.regions(replicas).contains(region)
    }

    /// Returns how the object depends on `wrapping_key`. A multi-Region key and its replicas are one
    /// key.
    #[must_use]
    pub fn dependence(&self, wrapping_key: &str) -> Dependence {
        let uses = self.keys.iter().filter(|key| key.is(wrapping_key)).count();
        match uses {
            0 => Dependence::None,
            _ if uses == self.keys.len() => Dependence::Sole,
            _ => Dependence::Shared,
        }
    }
}

/// Counts of audited objects. It takes memory for each distinct wrapping key, up to a bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditSummary {
    /// All objects.
    pub objects: u64,
    /// Bytes that these objects have as stored, by their listing.
    pub stored_bytes: u64,
    /// Objects of each kind.
    pub kinds: BTreeMap<ObjectKind, u64>,
    /// Objects under each wrapping key.
    pub keys: BTreeMap<String, KeyUse>,
    /// Objects by wrapping key and by the key material that wrapped them, if the audit asked.
    pub materials: BTreeMap<(String, AuditedMaterial), u64>,
    /// Sealed objects by the Regions in which they have a KMS key, in alphabetical order.
    pub regions: BTreeMap<Vec<String>, u64>,
    /// Objects that still lack each wrapping key.
    pub missing: BTreeMap<String, u64>,
    /// Objects that could not be read or have a fault, by the name of the error kind.
    pub problems: BTreeMap<&'static str, u64>,
    /// Counts of further wrapping keys, materials and sets of Regions, beyond 10,000 of each.
    pub others: u64,
}

/// Objects that use a wrapping key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUse {
    /// Objects whose data key it wraps.
    pub objects: u64,
    /// Objects that only this key opens.
    pub sole: u64,
}

impl Summary for AuditSummary {
    type Outcome = AuditedObject;

    fn record(&mut self, object: &AuditedObject) {
        self.objects += 1;
        // The store claims the lengths.
        let size = object.object.size.unwrap_or_default();
        self.stored_bytes = self.stored_bytes.saturating_add(size);
        *self.kinds.entry(object.kind).or_default() += 1;
        if let Some(problem) = &object.problem {
            *self.problems.entry(problem.kind().name()).or_default() += 1;
        }
        let names: BTreeSet<&str> =
            object.keys.iter().map(|key| key.wrapping_key.as_str()).collect();
        for name in &names {
            if let Some(uses) = bounded(&mut self.keys, (*name).to_owned(), &mut self.others) {
                uses.objects += 1;
                uses.sole += u64::from(names.len() == 1);
            }
        }
        let asked = object.keys.iter().filter(|key| key.material != AuditedMaterial::NotAsked);
        let materials: BTreeSet<_> =
            asked.map(|key| (key.wrapping_key.clone(), key.material.clone())).collect();
        for material in materials {
            if let Some(count) = bounded(&mut self.materials, material, &mut self.others) {
                *count += 1;
            }
        }
        for name in &object.missing {
            if let Some(count) = bounded(&mut self.missing, name.clone(), &mut self.others) {
                *count += 1;
            }
        }
        if object.kind == ObjectKind::Sealwax {
            let regions = object.regions(&[]).into_iter().map(str::to_owned).collect();
            if let Some(count) = bounded(&mut self.regions, regions, &mut self.others) {
                *count += 1;
            }
        }
    }

    fn objects(&self) -> u64 {
        self.objects
    }

    /// Returns the number of objects that could not be read or have a fault.
    fn failed(&self) -> u64 {
        self.problems.values().sum()
    }
}

/// Returns the value of `name`. `None` for a new name in a full map.
fn bounded<'a, K: Ord, V: Default>(
    map: &'a mut BTreeMap<K, V>,
    name: K,
    others: &mut u64,
) -> Option<&'a mut V> {
    if map.len() == MAX_NAMES && !map.contains_key(&name) {
        *others += 1;
        return None;
    }
    Some(map.entry(name).or_default())
}

#[cfg(test)]
mod tests {
    use sealwax_s3::envelope::WrapContext;

    use super::*;

    const EAST: &str =
        "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const WEST: &str =
        "arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";
    const MRK: &str = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
    const MRK_WEST: &str =
        "arn:aws:kms:us-west-2:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";

    fn sealed(keys: &[&str]) -> AuditedObject {
        let key = |name: &&str| {
            let key =
                EncryptedDataKey::new(KMS_PROVIDER, *name, vec![1], &WrapContext::for_names())
                    .expect("a key");
            AuditedKey::new(&key, false)
        };
        let mut found = AuditedObject::new(ListedObject::new("b", "k"), ObjectKind::Sealwax);
        found.keys = keys.iter().map(key).collect();
        found
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
        let with = |materials: &[AuditedMaterial]| {
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
            with(std::slice::from_ref(&newest)),
            with(&[older.clone(), older.clone()]),
            with(&[newest.clone(), older.clone()]),
            with(&[AuditedMaterial::Unknown]),
            with(&[AuditedMaterial::NotAsked]),
        ] {
            summary.record(&object);
        }
        let counts = [(newest, 2), (older, 2), (AuditedMaterial::Unknown, 1)];
        assert_eq!(
            summary.materials,
            counts.map(|(material, count)| ((EAST.to_owned(), material), count)).into()
        );
        for n in 0..MAX_NAMES {
            summary.record(&with(&[known(&format!("invented-{n}"), false)]));
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
        assert_eq!(summary.keys[EAST], KeyUse { objects: 2, sole: 1 });
        assert_eq!(summary.keys[WEST], KeyUse { objects: 2, sole: 1 });
        assert_eq!(summary.regions[&vec!["us-east-1".to_owned(), "us-west-2".to_owned()]], 1);
        for n in 0..MAX_NAMES + 5 {
            summary.record(&sealed(&[&format!("invented-{n}")]));
        }
        assert_eq!((summary.keys.len(), summary.others), (MAX_NAMES, 7));
        assert_eq!(summary.keys[EAST].objects, 2);
    }
}
