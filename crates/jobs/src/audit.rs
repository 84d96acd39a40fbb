//! Which keys the objects of a bucket depend on, and which of them are not sealed at all.
//!
//! One `HeadObject` an object, and no key: nothing that is found is authenticated. Which material of a rotated KMS key
//! wrapped an object, its metadata does not tell: [`Audit::key_material`] has KMS asked.
//!
//! ```no_run
//! # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
//! use futures_util::TryStreamExt as _;
//! use sealwax_jobs::{audit::{Audit, AuditSummary}, listing::Listing};
//!
//! let mut found = Audit::new(client.clone()).run(Listing::objects(client.s3(), "invoices", ""));
//! let mut summary = AuditSummary::default();
//! while let Some(object) = found.try_next().await? {
//!     if object.lacks("us-west-2", &[]) {
//!         println!("{} has no key in us-west-2", object.object);
//!     }
//!     summary.count(&object);
//! }
//! # Ok(())
//! # }
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_core::Stream;
use futures_util::StreamExt as _;
pub use sealwax_s3::ObjectKind;
use sealwax_s3::{
    Error, ErrorKind, InspectOutput, KMS_PROVIDER, KeyMaterials, KmsKeyArn, ListedObject,
    SealedClient,
    envelope::{EncryptedDataKey, KeyMaterial},
};

use crate::verify::{in_task, retrying};

/// How many objects are looked at together, unless set.
const DEFAULT_CONCURRENCY: usize = 64;
/// How many wrapping keys, materials of them, and sets of Regions a summary tells apart: whoever can write to the
/// bucket can invent names.
const MAX_NAMES: usize = 10_000;

/// Looks at the objects of a listing.
#[derive(Debug, Clone)]
pub struct Audit {
    client: SealedClient,
    concurrency: usize,
    key_material: bool,
}

/// What was found of one object.
#[derive(Debug)]
#[non_exhaustive]
pub struct AuditedObject {
    /// The object, as it was listed.
    pub object: ListedObject,
    /// What it is.
    pub kind: ObjectKind,
    /// The keys that wrap its data key, in its metadata and in its sidecar, as far as these name them.
    pub keys: Vec<AuditedKey>,
    /// Wrapping keys that are still to wrap its data key.
    pub missing: Vec<String>,
    /// How often it was wrapped.
    pub generation: Option<u32>,
    /// Why it could not be looked at, or what is wrong with its metadata or its sidecar.
    pub problem: Option<Error>,
}

/// A key that wraps an object's data key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditedKey {
    /// Its provider, such as `aws-kms`.
    pub provider: String,
    /// Its name: for AWS KMS an ARN.
    pub wrapping_key: String,
    /// Its Region, of a KMS key.
    pub region: Option<String>,
    /// Whether it is a multi-Region key, which may have replicas in other Regions.
    pub multi_region: bool,
    /// Whether the object's sidecar names it, and not its metadata.
    pub in_sidecar: bool,
    /// Which material of it wrapped the data key, or the intermediate key that this is under.
    pub material: AuditedMaterial,
}

/// What is known of the material of a wrapping key that wrapped an object's data key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AuditedMaterial {
    /// Nothing: it was not asked about.
    NotAsked,
    /// Nothing: the key service does not tell it, or failed, or the client's keyring does not accept the wrapping key.
    Unknown,
    /// Which it is.
    Known(KeyMaterial),
}

impl AuditedMaterial {
    /// Whether it is known to be an older one.
    #[must_use]
    pub fn is_older(&self) -> bool {
        matches!(self, Self::Known(material) if !material.is_newest)
    }
}

/// How an object depends on a wrapping key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dependence {
    /// It does not name the key.
    None,
    /// The key is one of several.
    Shared,
    /// The key alone opens it.
    Sole,
}

impl Audit {
    /// Looks with `client`, whose keyring is not used unless [`Audit::key_material`] is set. Where it looks for
    /// sidecars, each sealed object costs a `GetObject` more.
    #[must_use]
    pub fn new(client: SealedClient) -> Self {
        Self { client, concurrency: DEFAULT_CONCURRENCY, key_material: false }
    }

    /// Asks the key service which material of its wrapping key wrapped each data key, and whether it is the newest:
    /// about the keys that the client's keyring accepts, and no others. No data key leaves KMS for that; it
    /// authenticates each wrap.
    ///
    /// With AWS KMS this is one `ReEncrypt` of a wrapping key to itself for each wrap, or for each wrap of an
    /// intermediate key, whatever number of objects shares it. Where it fails, the object has a problem. Objects of the
    /// S3 Encryption Client do not name their wrapping key, and are not asked about.
    #[must_use]
    pub fn key_material(mut self) -> Self {
        self.key_material = true;
        self
    }

    /// How many objects are looked at together: 64 unless set, and at least 1.
    #[must_use]
    pub fn concurrency(mut self, objects: usize) -> Self {
        self.concurrency = objects.max(1);
        self
    }

    /// Looks at `objects`, as the stream is read. An error is the listing's, and the last item; an object that could not
    /// be looked at is no error, but has a problem.
    #[must_use]
    pub fn run(
        self,
        objects: impl Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    ) -> std::pin::Pin<Box<dyn Stream<Item = Result<AuditedObject, Error>> + Send>> {
        let (client, concurrency) = (self.client, self.concurrency);
        let materials = self.key_material.then(|| Arc::new(client.key_materials()));
        let look = move |object: Result<ListedObject, Error>| {
            let (client, materials) = (client.clone(), materials.clone());
            async move {
                let object = object?;
                let named = object.to_string();
                in_task(named, async move { look(&client, object, materials.as_deref()).await })
                    .await
            }
        };
        Box::pin(objects.map(look).buffer_unordered(concurrency))
    }
}

async fn look(
    client: &SealedClient,
    object: ListedObject,
    materials: Option<&KeyMaterials>,
) -> AuditedObject {
    match retrying(|| inspect(client, &object)).await {
        Ok(found) => describe(object, found, materials).await,
        Err(problem) => AuditedObject {
            problem: Some(problem),
            ..AuditedObject::of(object, ObjectKind::Unreadable)
        },
    }
}

async fn inspect(client: &SealedClient, object: &ListedObject) -> Result<InspectOutput, Error> {
    let inspect = client.inspect().bucket(&object.bucket).key(&object.key);
    match &object.version_id {
        Some(version_id) => inspect.version_id(version_id).send().await,
        None => inspect.send().await,
    }
}

async fn describe(
    object: ListedObject,
    mut inspected: InspectOutput,
    materials: Option<&KeyMaterials>,
) -> AuditedObject {
    let mut problem = inspected.problem.take();
    let mut keys = Vec::new();
    for key in &inspected.keys {
        let material = match materials {
            Some(materials) => material(materials, &inspected, &key.key).await,
            None => Ok(AuditedMaterial::NotAsked),
        };
        let material = material.unwrap_or_else(|error| {
            problem.get_or_insert(error);
            AuditedMaterial::Unknown
        });
        keys.push(AuditedKey { material, ..AuditedKey::new(&key.key, key.in_sidecar) });
    }
    AuditedObject {
        keys,
        missing: inspected.missing,
        generation: inspected.generation,
        problem,
        ..AuditedObject::of(object, inspected.kind)
    }
}

/// What throttles is asked again, and more slowly. A Region that is down would hold up all objects, each for a while.
async fn material(
    materials: &KeyMaterials,
    object: &InspectOutput,
    key: &EncryptedDataKey,
) -> Result<AuditedMaterial, Error> {
    let asked = retrying(|| async {
        match materials.of(object, key).await {
            Err(error) if error.kind() == ErrorKind::Throttled => Err(error),
            told => Ok(told),
        }
    });
    let material = asked.await??;
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

    /// Whether it is `wrapping_key`, or another Region's replica of it.
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
    fn of(object: ListedObject, kind: ObjectKind) -> Self {
        Self {
            object,
            kind,
            keys: Vec::new(),
            missing: Vec::new(),
            generation: None,
            problem: None,
        }
    }

    /// The Regions in which it has a KMS key. A multi-Region key counts in its own Region, and in `replicas`: those that are
    /// known to have a replica of it.
    #[must_use]
    pub fn regions<'a>(&'a self, replicas: &'a [String]) -> BTreeSet<&'a str> {
        let own = self.keys.iter().filter_map(|key| key.region.as_deref());
        let multi_region = self.keys.iter().any(|key| key.multi_region);
        own.chain(replicas.iter().map(String::as_str).filter(|_| multi_region)).collect()
    }

    /// Whether it is sealed by Sealwax and has no key in `region`.
    #[must_use]
    pub fn lacks(&self, region: &str, replicas: &[String]) -> bool {
        self.kind == ObjectKind::Sealwax && !self.regions(replicas).contains(region)
    }

    /// How it depends on `wrapping_key`. A multi-Region key and its replicas are one key.
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

/// How many objects depend on what, in memory for each distinct wrapping key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditSummary {
    /// All objects that were looked at.
    pub objects: u64,
    /// Bytes that they have, as stored, as far as the listing tells.
    pub stored_bytes: u64,
    /// Objects of each kind.
    pub kinds: BTreeMap<ObjectKind, u64>,
    /// Objects under each wrapping key, and those that it alone opens.
    pub keys: BTreeMap<String, KeyUse>,
    /// Objects by wrapping key and by the material of it that wrapped them, where that was asked about.
    pub materials: BTreeMap<(String, AuditedMaterial), u64>,
    /// Sealed objects by the Regions in which they have a KMS key, in the order of the alphabet.
    pub regions: BTreeMap<Vec<String>, u64>,
    /// Objects that each wrapping key is still to wrap.
    pub missing: BTreeMap<String, u64>,
    /// Objects that could not be looked at, or have something wrong, by what the matter is.
    pub problems: BTreeMap<&'static str, u64>,
    /// Counts of wrapping keys, materials and sets of Regions that are not in the above, because these have 10,000
    /// already.
    pub others: u64,
}

/// How many objects use a wrapping key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUse {
    /// Those that it wraps.
    pub objects: u64,
    /// Those of them that it alone opens.
    pub sole: u64,
}

impl AuditSummary {
    /// Adds an object.
    pub fn count(&mut self, found: &AuditedObject) {
        self.objects += 1;
        self.stored_bytes += found.object.size.unwrap_or_default();
        *self.kinds.entry(found.kind).or_default() += 1;
        if let Some(problem) = &found.problem {
            *self.problems.entry(problem.kind().name()).or_default() += 1;
        }
        let names: BTreeSet<&str> =
            found.keys.iter().map(|key| key.wrapping_key.as_str()).collect();
        for name in &names {
            if let Some(uses) = bounded(&mut self.keys, (*name).to_owned(), &mut self.others) {
                uses.objects += 1;
                uses.sole += u64::from(names.len() == 1);
            }
        }
        let asked = found.keys.iter().filter(|key| key.material != AuditedMaterial::NotAsked);
        let materials: BTreeSet<_> =
            asked.map(|key| (key.wrapping_key.clone(), key.material.clone())).collect();
        for material in materials {
            if let Some(count) = bounded(&mut self.materials, material, &mut self.others) {
                *count += 1;
            }
        }
        for name in &found.missing {
            if let Some(count) = bounded(&mut self.missing, name.clone(), &mut self.others) {
                *count += 1;
            }
        }
        if found.kind == ObjectKind::Sealwax {
            let regions = found.regions(&[]).into_iter().map(str::to_owned).collect();
            if let Some(count) = bounded(&mut self.regions, regions, &mut self.others) {
                *count += 1;
            }
        }
    }

    /// Objects that could not be looked at, or have something wrong.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.problems.values().sum()
    }
}

/// The value of `name`, unless it is a new one of too many.
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
            let key = EncryptedDataKey::new(KMS_PROVIDER, *name, None, vec![1]).expect("a key");
            AuditedKey::new(&key, false)
        };
        let mut found = AuditedObject::of(ListedObject::new("b", "k"), ObjectKind::Sealwax);
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
            summary.count(&object);
        }
        let counts = [(newest, 2), (older, 2), (AuditedMaterial::Unknown, 1)];
        assert_eq!(
            summary.materials,
            counts.map(|(material, count)| ((EAST.to_owned(), material), count)).into()
        );
        for n in 0..MAX_NAMES {
            summary.count(&with(&[known(&format!("invented-{n}"), false)]));
        }
        assert_eq!((summary.materials.len(), summary.others), (MAX_NAMES, 3));
    }

    #[test]
    fn a_summary_counts_everything_in_bounded_memory() {
        let mut summary = AuditSummary::default();
        for object in [sealed(&[EAST]), sealed(&[EAST, WEST]), sealed(&[WEST, WEST])] {
            summary.count(&object);
        }
        assert_eq!(summary.objects, 3);
        assert_eq!(summary.keys[EAST], KeyUse { objects: 2, sole: 1 });
        assert_eq!(summary.keys[WEST], KeyUse { objects: 2, sole: 1 });
        assert_eq!(summary.regions[&vec!["us-east-1".to_owned(), "us-west-2".to_owned()]], 1);
        for n in 0..MAX_NAMES + 5 {
            summary.count(&sealed(&[&format!("invented-{n}")]));
        }
        assert_eq!((summary.keys.len(), summary.others), (MAX_NAMES, 7));
        assert_eq!(summary.keys[EAST].objects, 2);
    }
}
