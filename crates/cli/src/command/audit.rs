//! `sealwax audit`.

use futures_util::TryStreamExt as _;
use sealwax_jobs::audit::{Audit, AuditSummary, AuditedMaterial, AuditedObject, Dependence};
use sealwax_s3::{KmsKeyArn, ObjectKind};
use serde::Serialize;

use crate::{
    args::AuditArgs,
    aws::Session,
    error::{Exit, Failure},
    interrupt::unless_stopped,
    output::Lines,
    progress::Cleared,
    text::{Counted, Printable},
};

/// What is printed of one object. Its names are those of the JSON, and stay as they are.
#[derive(Debug, Serialize)]
struct Line {
    object: String,
    version_id: Option<String>,
    is_latest: Option<bool>,
    format: &'static str,
    wrapping_keys: Vec<Key>,
    missing: Vec<String>,
    generation: Option<u32>,
    /// Of the keys that were asked about: `sole`, `shared` or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    depends: Option<&'static str>,
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
    /// Where it was asked about; null where nobody tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    material: Option<Option<Material>>,
}

#[derive(Debug, Serialize)]
struct Material {
    id: String,
    is_newest: bool,
}

/// Tells which keys objects depend on.
pub(super) async fn run(session: &Session, args: AuditArgs) -> Result<(), Failure> {
    let filter = Filter::new(&args);
    let asks = args.key_material || args.stale;
    let client = match asks {
        true => {
            let kms =
                session.kms_keyring(args.reader.clone(), &[], args.kms_calls_per_second).await?;
            session.client_of(&args.objects.prefix.bucket, session.with_local(kms))
        }
        false => session.client_of(&args.objects.prefix.bucket, session.keyring([])),
    };
    let listing = args.objects.list(client.s3());
    let (mut lines, mut summary) = (Lines::new(), AuditSummary::default());
    let progress = Cleared(session.job_progress(None));
    let counting = progress.0.count(|| args.objects.list_again(client.s3()));
    let done = unless_stopped(async {
        let audit = Audit::new(client).concurrency(args.objects.concurrency.into());
        let mut found = if asks { audit.key_material() } else { audit }.run(listing);
        while let Some(object) = found.try_next().await? {
            summary.count(&object);
            if let Some(line) = filter.line(&object) {
                let mut told = Ok(());
                progress.0.suspend(|| {
                    told = if args.json { lines.json(&line) } else { lines.line(line.text()) }
                });
                told?;
            }
            progress.0.one_more(summary.failed());
        }
        Ok::<_, Failure>(())
    })
    .await;
    drop((counting, progress));
    match (args.json, filter.lists_any()) {
        (true, _) => lines.json(&serde_json::json!({ "summary": Report::new(&summary) }))?,
        (false, false) => lines.line(table(&summary).trim_end())?,
        (false, true) => session.say(format!("{} looked at", Counted(summary.objects, "object"))),
    }
    lines.finish()?;
    done.map_err(|signal| {
        Failure::stopped(
            signal,
            "the other objects were not looked at; run it again for all of them",
        )
    })??;
    if summary.objects == 0 {
        let error = format!("{} has no object", args.objects.prefix);
        return Err(Failure::new(Exit::NotFound, error, "check the bucket and the prefix"));
    }
    let failed = summary.failed();
    let what = format!(
        "{failed} of {} could not be looked at, or have something wrong",
        Counted(summary.objects, "object")
    );
    Failure::of_many(failed, summary.objects, what)
}

/// Which objects are listed.
struct Filter {
    lacks: Vec<String>,
    depends_on: Vec<KmsKeyArn>,
    solely: bool,
    unsealed: bool,
    stale: bool,
    all: bool,
    replicated_to: Vec<String>,
}

impl Filter {
    fn new(args: &AuditArgs) -> Self {
        Self {
            lacks: args.lacks.clone(),
            depends_on: args.depends_on.clone(),
            solely: args.solely,
            unsealed: args.unsealed,
            stale: args.stale,
            all: args.list,
            replicated_to: args.replicated_to.clone(),
        }
    }

    fn lists_any(&self) -> bool {
        self.all
            || self.unsealed
            || self.stale
            || !self.lacks.is_empty()
            || !self.depends_on.is_empty()
    }

    /// The line of an object that is meant. What could not be looked at may be meant.
    fn line(&self, object: &AuditedObject) -> Option<Line> {
        let dependence = self.depends_on.iter().map(|key| object.dependence(key.as_str()));
        let depends = dependence.filter_map(name).max();
        let depends_as_asked = depends.is_some_and(|depends| depends == SOLE || !self.solely);
        let meant = self.all
            || self.lists_any() && object.kind == ObjectKind::Unreadable
            || self.unsealed && object.kind == ObjectKind::Unsealed
            || self.stale && object.keys.iter().any(|key| is_stale(&key.material))
            || self.lacks.iter().any(|region| object.lacks(region, &self.replicated_to))
            || depends_as_asked;
        meant.then(|| Line::new(object, depends))
    }
}

/// Whether the material is an older one, or may be.
fn is_stale(material: &AuditedMaterial) -> bool {
    material.is_older() || *material == AuditedMaterial::Unknown
}

/// The material, where it was asked about; `None` in it where nobody tells.
fn material(material: &AuditedMaterial) -> Option<Option<Material>> {
    match material {
        AuditedMaterial::Known(known) => {
            Some(Some(Material { id: known.id.clone(), is_newest: known.is_newest }))
        }
        AuditedMaterial::Unknown => Some(None),
        _ => None,
    }
}

const SOLE: &str = "sole";

fn name(dependence: Dependence) -> Option<&'static str> {
    match dependence {
        Dependence::Sole => Some(SOLE),
        Dependence::Shared => Some("shared"),
        _ => None,
    }
}

impl Line {
    fn new(found: &AuditedObject, depends: Option<&'static str>) -> Self {
        let key = |key: &sealwax_jobs::audit::AuditedKey| Key {
            provider: key.provider.clone(),
            wrapping_key: key.wrapping_key.clone(),
            region: key.region.clone(),
            multi_region: key.multi_region,
            in_sidecar: key.in_sidecar,
            material: material(&key.material),
        };
        Self {
            object: found.object.to_string(),
            version_id: found.object.version_id.clone(),
            is_latest: found.object.is_latest,
            format: found.kind.name(),
            wrapping_keys: found.keys.iter().map(key).collect(),
            missing: found.missing.clone(),
            generation: found.generation,
            depends,
            problem: found.problem.as_ref().map(super::verify::message),
        }
    }

    fn text(&self) -> String {
        let mut text = Printable(&self.object).to_string();
        if let Some(id) = &self.version_id {
            text.push_str(&format!(" version {}", Printable(id)));
        }
        text.push_str(&format!(": {}", self.format));
        if let Some(depends) = self.depends {
            text.push_str(&format!(", {depends}"));
        }
        let keys: Vec<_> = self.wrapping_keys.iter().map(Key::text).collect();
        if !keys.is_empty() {
            text.push_str(&format!(", under {}", keys.join(" ")));
        }
        if let Some(problem) = &self.problem {
            text.push_str(&format!(": {}", Printable(problem)));
        }
        text
    }
}

impl Key {
    fn text(&self) -> String {
        let material = match &self.material {
            None => String::new(),
            Some(None) => " (material not told)".into(),
            Some(Some(Material { is_newest: true, .. })) => " (newest material)".into(),
            Some(Some(Material { id, .. })) => format!(" (older material {})", Printable(id)),
        };
        format!("{}{material}", Printable(&self.wrapping_key))
    }
}

/// The counts, in JSON.
#[derive(Debug, Serialize)]
struct Report {
    objects: u64,
    stored_bytes: u64,
    formats: std::collections::BTreeMap<&'static str, u64>,
    wrapping_keys: Vec<KeyCount>,
    /// Of the wrapping keys that were asked about.
    materials: Vec<MaterialCount>,
    regions: Vec<RegionsCount>,
    missing: std::collections::BTreeMap<String, u64>,
    problems: std::collections::BTreeMap<&'static str, u64>,
    /// Counts that are in none of the lists, because these are full.
    others: u64,
}

#[derive(Debug, Serialize)]
struct KeyCount {
    wrapping_key: String,
    objects: u64,
    sole: u64,
}

#[derive(Debug, Serialize)]
struct MaterialCount {
    wrapping_key: String,
    /// Null where nobody tells.
    material: Option<Material>,
    objects: u64,
}

#[derive(Debug, Serialize)]
struct RegionsCount {
    regions: Vec<String>,
    objects: u64,
}

impl Report {
    fn new(summary: &AuditSummary) -> Self {
        let key = |(name, uses): (&String, &sealwax_jobs::audit::KeyUse)| KeyCount {
            wrapping_key: name.clone(),
            objects: uses.objects,
            sole: uses.sole,
        };
        let materials =
            |((name, found), count): (&(String, AuditedMaterial), &u64)| MaterialCount {
                wrapping_key: name.clone(),
                material: material(found).flatten(),
                objects: *count,
            };
        let regions = |(regions, count): (&Vec<String>, &u64)| RegionsCount {
            regions: regions.clone(),
            objects: *count,
        };
        Self {
            objects: summary.objects,
            stored_bytes: summary.stored_bytes,
            formats: summary.kinds.iter().map(|(kind, count)| (kind.name(), *count)).collect(),
            wrapping_keys: summary.keys.iter().map(key).collect(),
            materials: summary.materials.iter().map(materials).collect(),
            regions: summary.regions.iter().map(regions).collect(),
            missing: summary.missing.clone(),
            problems: summary.problems.clone(),
            others: summary.others,
        }
    }
}

/// The counts, for people.
fn table(summary: &AuditSummary) -> String {
    let mut text =
        format!("{:>12}  bytes stored\n{:>12}  objects\n", summary.stored_bytes, summary.objects);
    for (kind, count) in &summary.kinds {
        text.push_str(&format!("{count:>12}    {}\n", kind.name()));
    }
    if !summary.keys.is_empty() {
        text.push_str(&format!("\n{:>12} {:>12}  wrapping key\n", "objects", "by it alone"));
    }
    for (key, uses) in &summary.keys {
        text.push_str(&format!("{:>12} {:>12}  {}\n", uses.objects, uses.sole, Printable(key)));
    }
    if !summary.materials.is_empty() {
        text.push_str(&format!("\n{:>12}  {:8}  material, and its wrapping key\n", "objects", ""));
    }
    for ((key, found), count) in &summary.materials {
        let (age, id) = match material(found).flatten() {
            Some(Material { id, is_newest: true }) => ("newest", id),
            Some(Material { id, .. }) => ("older", id),
            None => ("not told", "-".into()),
        };
        text.push_str(&format!("{count:>12}  {age:8}  {}  {}\n", Printable(&id), Printable(key)));
    }
    if !summary.regions.is_empty() {
        text.push_str(&format!("\n{:>12}  Regions of its KMS keys\n", "objects"));
    }
    for (regions, count) in &summary.regions {
        let names = if regions.is_empty() { "(none)".into() } else { regions.join(", ") };
        text.push_str(&format!("{count:>12}  {}\n", Printable(&names)));
    }
    for (title, counts) in [("missing wrapping key", &summary.missing)] {
        if !counts.is_empty() {
            text.push_str(&format!("\n{:>12}  {title}\n", "objects"));
        }
        for (key, count) in counts {
            text.push_str(&format!("{count:>12}  {}\n", Printable(key)));
        }
    }
    if !summary.problems.is_empty() {
        text.push_str(&format!("\n{:>12}  problem\n", "objects"));
    }
    for (kind, count) in &summary.problems {
        text.push_str(&format!("{count:>12}  {kind}\n"));
    }
    if summary.others > 0 {
        text.push_str(&format!(
            "\n{:>12}  more of keys or Regions: too many names to count each\n",
            summary.others
        ));
    }
    text
}
