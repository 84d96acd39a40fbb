//! Output of `sealwax audit`: lines of objects, and counts.

use std::{cmp::Reverse, collections::BTreeMap};

use sealwax_jobs::{
    audit::{
        AuditSummary, AuditedKey, AuditedMaterial, AuditedObject, AuditedProof, DetachedKey,
        IntermediateKeyUse, KeyUse,
    },
    listing::LeftAlone,
    stored_keys::StoredKeyCounts,
};
use sealwax_s3::error_chain;
use serde::Serialize;

use super::name_table::NameTable;
use crate::terminal_text::{Counted, Printable, Width};

/// Line of one object. Field names are stable JSON output.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    object: String,
    version_id: Option<String>,
    is_latest: Option<bool>,
    format: &'static str,
    /// Claimed wrapping keys.
    wrapping_keys: Vec<Key>,
    /// Ids of detached intermediate keys, whose wrapped keys are in a key store alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detached: Vec<String>,
    /// Proof of the best of its keys; absent without `--prove`.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'static str>,
    missing: Vec<String>,
    generation: Option<u32>,
    /// Dependence on the keys of `--depends-on`: `sole`, `unknown`, `shared` or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    depends: Option<&'static str>,
    /// `true` if it may have keys that are not listed: the answer to --lacks or --depends-on is
    /// unknown.
    may_have_other_keys: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Key {
    provider: String,
    wrapping_key: String,
    region: Option<String>,
    multi_region: bool,
    in_sidecar: bool,
    /// `true` if only the key store has it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_key_store: bool,
    /// Place that it is bound to; null if it is bound to none.
    place: Option<String>,
    /// Id of the intermediate key that it wraps, which many objects can share.
    #[serde(skip_serializing_if = "Option::is_none")]
    intermediate: Option<String>,
    /// Prefix of the places that the intermediate key serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    /// `true` if the object is read from this place. Other keys count for nothing.
    is_at_place: bool,
    /// `claimed`, `proven`, `unwrapped`, `disproved` or `unknown`.
    proof: &'static str,
    /// Wrapping key that unwrapped it: the claimed one, or a replica of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    proven_by: Option<String>,
    /// Absent if it was not requested; null if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    material: Option<Option<Material>>,
}

#[derive(Debug, Serialize)]
struct Material {
    id: String,
    is_newest: bool,
}

/// Returns the key material: `None` if it was not requested, `Some(None)` if unknown.
fn material(material: &AuditedMaterial) -> Option<Option<Material>> {
    match material {
        AuditedMaterial::Known(known) => {
            Some(Some(Material { id: known.id.clone(), is_newest: known.is_newest }))
        }
        AuditedMaterial::Unknown => Some(None),
        _ => None,
    }
}

impl Line {
    pub(super) fn new(found: &AuditedObject, depends: Option<&'static str>) -> Self {
        let key = |key: &AuditedKey| Key {
            provider: key.provider.clone(),
            wrapping_key: key.wrapping_key.clone(),
            region: key.region.clone(),
            multi_region: key.multi_region,
            in_sidecar: key.in_sidecar,
            in_key_store: key.in_key_store,
            place: key.place.clone(),
            intermediate: key.intermediate.clone(),
            scope: key.scope.clone(),
            is_at_place: key.is_at_place,
            proof: key.proof.name(),
            proven_by: match &key.proof {
                AuditedProof::Proven { by } | AuditedProof::Unwrapped { by } => by.clone(),
                _ => None,
            },
            material: material(&key.material),
        };
        Self {
            object: found.object.to_string(),
            version_id: found.object.version_id.clone(),
            is_latest: found.object.is_latest,
            format: found.kind.name(),
            wrapping_keys: found.keys.iter().map(key).collect(),
            detached: found.detached.iter().map(|DetachedKey { id, .. }| id.clone()).collect(),
            proof: found.proof.as_ref().map(AuditedProof::name),
            missing: found.missing.clone(),
            generation: found.generation,
            depends,
            may_have_other_keys: found.may_have_other_keys,
            problem: found.problem.as_ref().map(|error| error_chain(error)),
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = Printable(&self.object).to_string();
        if let Some(id) = &self.version_id {
            text.push_str(&format!(" version {}", Printable(id)));
        }
        text.push_str(&format!(": {}", self.format));
        match self.depends {
            Some(depends) => text.push_str(&format!(", {depends}")),
            // A detached object names what it depends on.
            None if self.may_have_other_keys && self.detached.is_empty() => {
                text.push_str(", unknown");
            }
            None => {}
        }
        if let (true, Some(proof)) = (self.wrapping_keys.is_empty(), self.proof) {
            text.push_str(&format!(", key {proof}"));
        }
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            self.wrapping_keys.iter().partition(|key| key.is_at_place);
        // An object of the S3 Encryption Client claims nothing.
        let named = if self.format.starts_with("s3ec") { "under" } else { "claims" };
        for (what, keys) in [(named, here), ("bound to another place:", elsewhere)] {
            let keys: Vec<_> = keys.into_iter().map(Key::text).collect();
            if !keys.is_empty() {
                text.push_str(&format!(", {what} {}", keys.join(" ")));
            }
        }
        if !self.detached.is_empty() {
            let ids = self.detached.join(" ");
            text.push_str(&format!(", detached intermediate key {}", Printable(&ids)));
        }
        if let Some(problem) = &self.problem {
            text.push_str(&format!(": {}", Printable(problem)));
        }
        text
    }
}

impl Line {
    /// Returns the cells of a table: object, version, format, dependence, and the keys that count.
    pub(super) fn row(&self) -> [String; 5] {
        let keys = self.wrapping_keys.iter().filter(|key| key.is_at_place);
        let keys: Vec<_> = keys.map(|key| key.wrapping_key.clone()).collect();
        [
            self.object.clone(),
            self.version_id.clone().unwrap_or_default(),
            self.format.to_owned(),
            self.depends.unwrap_or_default().to_owned(),
            keys.join(" "),
        ]
    }
}

impl Key {
    fn text(&self) -> String {
        let place = (!self.is_at_place).then(|| match &self.place {
            Some(place) => Printable(place).to_string(),
            None => "no place".into(),
        });
        let proof = (self.proof != AuditedProof::Claimed.name()).then(|| self.proof.to_owned());
        let material = self.material.as_ref().map(|material| match material {
            None => "unknown material".into(),
            Some(Material { is_newest: true, .. }) => "current material".into(),
            Some(Material { id, .. }) => format!("older material {}", Printable(id)),
        });
        let shared = self.intermediate.as_ref();
        let shared = shared.map(|id| format!("intermediate key {}", Printable(id)));
        let notes: Vec<_> = [place, shared, proof, material].into_iter().flatten().collect();
        let name = Printable(&self.wrapping_key);
        if notes.is_empty() { name.to_string() } else { format!("{name} ({})", notes.join(", ")) }
    }
}

/// Counts. Field names are stable JSON output.
#[derive(Debug, Serialize)]
pub(super) struct Counts {
    objects: u64,
    stored_bytes: u64,
    formats: BTreeMap<&'static str, u64>,
    /// Objects by the proof of the best of their keys; absent without `--prove`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    proofs: BTreeMap<&'static str, u64>,
    /// Claimed wrapping keys.
    wrapping_keys: Vec<KeyCount>,
    /// Wrapping keys that objects claim for another place only.
    elsewhere: BTreeMap<String, u64>,
    /// Key materials of the wrapping keys, if requested.
    materials: Vec<MaterialCount>,
    regions: Vec<RegionsCount>,
    under_intermediate_keys: UnderIntermediateKeys,
    /// The first 10,000 of them.
    intermediate_keys: Vec<IntermediateKeyCount>,
    key_store: KeyStoreCounts,
    missing: BTreeMap<String, u64>,
    problems: BTreeMap<&'static str, u64>,
    /// Counts that the lists have no room for.
    others: u64,
}

#[derive(Debug, Serialize)]
struct KeyCount {
    wrapping_key: String,
    objects: u64,
    sole: u64,
    /// Absent without `--prove`.
    #[serde(flatten)]
    proofs: Option<ProofCounts>,
}

#[derive(Debug, Serialize)]
struct ProofCounts {
    proven: u64,
    unwrapped: u64,
    disproved: u64,
    unknown: u64,
}

#[derive(Debug, Serialize)]
struct MaterialCount {
    wrapping_key: String,
    /// Null if unknown.
    material: Option<Material>,
    objects: u64,
}

/// Objects under intermediate keys.
#[derive(Debug, Serialize)]
struct UnderIntermediateKeys {
    /// Objects, each once.
    objects: u64,
    /// Different intermediate keys: a lower bound unless `keys_are_all`.
    keys: u64,
    keys_are_all: bool,
    /// Mean number of objects that share a key: an upper bound unless `keys_are_all`; null without keys.
    objects_per_key: Option<f64>,
}

/// Counts of the key store.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct KeyStoreCounts {
    /// Objects below its prefix, or the default one, that the audit left out.
    #[serde(serialize_with = "left_out")]
    pub(super) left_out: LeftAlone,
    /// Keys that it has, by its listing; null if the audit read no key store, or may not list it.
    pub(super) stored: Option<StoredKeyCounts>,
    /// Why it could not be listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
}

fn left_out<S: serde::Serializer>(left_out: &LeftAlone, serializer: S) -> Result<S::Ok, S::Error> {
    let LeftAlone { objects, bytes, .. } = *left_out;
    serde_json::json!({ "objects": objects, "stored_bytes": bytes }).serialize(serializer)
}

#[derive(Debug, Serialize)]
struct IntermediateKeyCount {
    id: String,
    /// Null if it serves any place.
    scope: Option<String>,
    objects: u64,
}

#[derive(Debug, Serialize)]
struct RegionsCount {
    regions: Vec<String>,
    objects: u64,
}

impl Counts {
    pub(super) fn new(summary: &AuditSummary, key_store: &KeyStoreCounts) -> Self {
        let key = |(name, uses): (&String, &KeyUse)| KeyCount {
            wrapping_key: name.clone(),
            objects: uses.objects,
            sole: uses.sole,
            proofs: (!summary.proofs.is_empty()).then_some(ProofCounts {
                proven: uses.proven,
                unwrapped: uses.unwrapped,
                disproved: uses.disproved,
                unknown: uses.unknown,
            }),
        };
        let materials =
            |((name, found), count): (&(String, AuditedMaterial), &u64)| MaterialCount {
                wrapping_key: name.clone(),
                material: material(found).flatten(),
                objects: *count,
            };
        let intermediate = |(id, uses): (&String, &IntermediateKeyUse)| IntermediateKeyCount {
            id: id.clone(),
            scope: uses.scope.clone(),
            objects: uses.objects,
        };
        let regions = |(regions, count): (&Vec<String>, &u64)| RegionsCount {
            regions: regions.clone(),
            objects: *count,
        };
        Self {
            objects: summary.objects,
            stored_bytes: summary.stored_bytes,
            formats: summary.kinds.iter().map(|(kind, count)| (kind.name(), *count)).collect(),
            proofs: summary.proofs.clone(),
            wrapping_keys: summary.keys.iter().map(key).collect(),
            elsewhere: summary.elsewhere.clone(),
            materials: summary.materials.iter().map(materials).collect(),
            regions: summary.regions.iter().map(regions).collect(),
            under_intermediate_keys: UnderIntermediateKeys {
                objects: summary.under_intermediate_keys,
                keys: summary.intermediate_keys.len() as u64,
                keys_are_all: summary.has_all_intermediate_keys(),
                objects_per_key: summary.objects_per_intermediate_key(),
            },
            intermediate_keys: summary.intermediate_keys.iter().map(intermediate).collect(),
            key_store: key_store.clone(),
            missing: summary.missing.clone(),
            problems: summary.problems.clone(),
            others: summary.others,
        }
    }
}

/// Returns the key materials as rows: wrapping key, material, age and number of objects.
pub(super) fn materials(summary: &AuditSummary) -> Vec<[String; 4]> {
    let row = |((key, found), count): (&(String, AuditedMaterial), &u64)| {
        let (age, id) = age(found);
        [key.clone(), id, age.to_owned(), count.to_string()]
    };
    summary.materials.iter().map(row).collect()
}

/// Returns the age and the id of a key material.
fn age(found: &AuditedMaterial) -> (&'static str, String) {
    match material(found).flatten() {
        Some(Material { id, is_newest: true }) => ("current", id),
        Some(Material { id, .. }) => ("older", id),
        None => ("unknown", "-".into()),
    }
}

/// Number of intermediate keys that the table lists. JSON has the first 10,000.
const LISTED_KEYS: usize = 10;

/// Returns the sentence about intermediate keys: objects under them, keys, and objects for each key.
pub(super) fn sharing(summary: &AuditSummary) -> Option<String> {
    let per_key = summary.objects_per_intermediate_key()?;
    let keys = Counted(summary.intermediate_keys.len() as u64, "intermediate key");
    let (least, most) = match summary.has_all_intermediate_keys() {
        true => ("", ""),
        false => ("at least ", "at most "),
    };
    let objects = match summary.under_intermediate_keys {
        1 => "object",
        _ => "objects",
    };
    Some(format!("{objects} under {least}{keys}, {most}{per_key:.1} per key"))
}

/// Returns the part of the table about intermediate keys: those that most objects share.
fn intermediate_keys(summary: &AuditSummary, width: Width) -> String {
    let Some(sharing) = sharing(summary) else { return String::new() };
    let mut keys: Vec<_> = summary.intermediate_keys.iter().collect();
    keys.sort_by_key(|(_, uses)| Reverse(uses.objects));
    let mut table = NameTable::new(&["objects"], "intermediate key and its scope");
    for (id, IntermediateKeyUse { scope, objects, .. }) in keys.iter().take(LISTED_KEYS) {
        table.row([*objects], [format!("{id} {}", scope.as_deref().unwrap_or("(any)"))]);
    }
    let mut text = format!("\n{:>12}  {sharing}\n", summary.under_intermediate_keys);
    text.push_str(&table.text(width));
    if let more @ 1.. = keys.len().saturating_sub(LISTED_KEYS) {
        text.push_str(&format!("{:>12}  {} more\n", "", Counted(more as u64, "intermediate key")));
    }
    text
}

impl KeyStoreCounts {
    /// Returns its part of the table.
    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(StoredKeyCounts { intermediate_keys, key_objects, others, .. }) = self.stored {
            let (keys, are) = (Counted(intermediate_keys, "intermediate key"), "in the key store");
            text.push_str(&format!(
                "{key_objects:>12}  {} of {keys} {are}\n",
                objects_of_keys(key_objects)
            ));
            if others > 0 {
                text.push_str(&format!("{others:>12}  other objects {are}\n"));
            }
        }
        if self.left_out.objects > 0 {
            let LeftAlone { objects, bytes, .. } = self.left_out;
            let what = if objects == 1 { "object" } else { "objects" };
            text.push_str(&format!(
                "{objects:>12}  {what} of the key store left out, {} stored\n",
                Counted(bytes, "byte")
            ));
        }
        if text.is_empty() { text } else { format!("\n{text}") }
    }
}

fn objects_of_keys(count: u64) -> &'static str {
    if count == 1 { "key object" } else { "key objects" }
}

/// Returns the counts as a table for an output of this width.
pub(super) fn table(summary: &AuditSummary, key_store: &KeyStoreCounts, width: Width) -> String {
    let mut text =
        format!("{:>12}  bytes stored\n{:>12}  objects\n", summary.stored_bytes, summary.objects);
    for (kind, count) in &summary.kinds {
        text.push_str(&format!("{count:>12}    {}\n", kind.name()));
    }
    let is_proof = !summary.proofs.is_empty();
    if is_proof {
        text.push_str(&format!("\n{:>12}  best key\n", "objects"));
    }
    for (proof, count) in &summary.proofs {
        text.push_str(&format!("{count:>12}  {proof}\n"));
    }
    let proofs: &[_] = match is_proof {
        true => &["proven", "unwrapped", "disproved", "unknown"],
        false => &[],
    };
    let mut keys =
        NameTable::new(&[&["objects", "only key"], proofs].concat(), "claimed wrapping key");
    for (key, uses) in &summary.keys {
        let KeyUse { objects, sole, proven, unwrapped, disproved, unknown, .. } = *uses;
        let figures = [objects, sole, proven, unwrapped, disproved, unknown];
        keys.row(figures.into_iter().take(2 + proofs.len()), [key.clone()]);
    }
    text.push_str(&keys.text(width));
    let title = format!("{:8}  key material and wrapping key", "");
    let mut materials = NameTable::new(&["objects"], title);
    for ((key, found), count) in &summary.materials {
        let (age, id) = age(found);
        materials.row([*count], [format!("{age:8}"), id, key.clone()]);
    }
    text.push_str(&materials.text(width));
    if !summary.regions.is_empty() {
        let keys = if is_proof { "proven" } else { "claimed" };
        text.push_str(&format!("\n{:>12}  Regions of {keys} KMS keys\n", "objects"));
    }
    for (regions, count) in &summary.regions {
        let names = if regions.is_empty() { "(none)".into() } else { regions.join(", ") };
        text.push_str(&format!("{count:>12}  {}\n", Printable(&names)));
    }
    text.push_str(&intermediate_keys(summary, width));
    text.push_str(&key_store.text());
    for (title, counts) in [
        ("wrapping key claimed for another place", &summary.elsewhere),
        ("wrapping key recorded as missing", &summary.missing),
    ] {
        let mut keys = NameTable::new(&["objects"], title);
        for (key, count) in counts {
            keys.row([*count], [key.clone()]);
        }
        text.push_str(&keys.text(width));
    }
    if !summary.problems.is_empty() {
        text.push_str(&format!("\n{:>12}  problem\n", "objects"));
    }
    for (kind, count) in &summary.problems {
        text.push_str(&format!("{count:>12}  {kind}\n"));
    }
    if summary.others > 0 {
        text.push_str(&format!(
            "\n{:>12}  with other keys or Regions, which are too many to list\n",
            summary.others
        ));
    }
    text
}
