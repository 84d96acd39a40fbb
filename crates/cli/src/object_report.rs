//! Report on an object: its header and metadata, read without a key.

use std::{collections::BTreeMap, fmt};

use aws_sdk_s3::primitives::DateTimeFormat;
use sealwax_s3::{
    InspectOutput, InspectedKey, KMS_PROVIDER, KmsKeyArn, ObjectFormat, ObjectInfo, S3Uri,
    envelope::{ObjectHeader, SharedKeySlot},
    error_chain,
    s3ec::{Envelope, Storage},
};
use serde::Serialize;

use crate::terminal_text::{Counted, Printable};

/// Header and metadata of an object. Field names are stable JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct ObjectReport {
    object: String,
    /// Always `false`: no key was used.
    authenticated: bool,
    format: String,
    #[serde(flatten)]
    plaintext: PlaintextLen,
    /// Present only for objects of the S3 Encryption Client, as are the next two fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    wrapping_algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_suite: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_instruction_file: Option<bool>,
    encryption_context: BTreeMap<String, String>,
    /// Description of a raw key in an object of the S3 Encryption Client. Nothing binds it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    materials_description: BTreeMap<String, String>,
    generation: u32,
    /// Claimed wrapping keys, those of the sidecar included.
    keys: Vec<Key>,
    /// Ids of detached intermediate keys, whose wrapped keys are in the key store alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detached: Vec<String>,
    /// Wrapping keys that still have to wrap the data key.
    missing: Vec<String>,
    /// Reason why the sidecar can't be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    content_type: Option<String>,
    storage_class: Option<String>,
    version_id: Option<String>,
    e_tag: Option<String>,
    /// As in RFC 3339.
    last_modified: Option<String>,
    metadata: BTreeMap<String, String>,
}

/// One of the object's encrypted data keys.
#[derive(Debug, Serialize)]
struct Key {
    provider: String,
    wrapping_key: String,
    region: Option<String>,
    place: Option<String>,
    /// `true` if the object is read from this place. Other keys open nothing here.
    is_at_place: bool,
    in_sidecar: bool,
    /// `true` if only the key store has it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_key_store: bool,
    /// Id of the intermediate key that it wraps, which many objects can share.
    intermediate: Option<String>,
    /// Prefix of the places that the intermediate key serves.
    scope: Option<String>,
}

impl ObjectReport {
    /// Builds the report of the object at `uri`. `keys` are those of an object in Sealwax's format.
    pub(crate) fn new(uri: &S3Uri, info: ObjectInfo, keys: Option<InspectOutput>) -> Self {
        let key = info.envelope().map(Envelope::key);
        let (context, materials_description) = match key {
            Some(key) if key.algorithm().is_kms() => (key.description().clone(), BTreeMap::new()),
            Some(key) => (BTreeMap::new(), key.description().clone()),
            None => {
                let context = info.encryption_context().iter();
                let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
                (context.map(owned).collect(), BTreeMap::new())
            }
        };
        let (keys, detached, missing, problem) =
            keys.map_or_else(Default::default, |it| (it.keys, it.detached, it.missing, it.problem));
        let detached = ids_of(&detached);
        let last_modified =
            info.last_modified.and_then(|time| time.fmt(DateTimeFormat::DateTime).ok());
        Self {
            object: uri.to_string(),
            authenticated: false,
            format: format(&info),
            wrapping_algorithm: info
                .envelope()
                .map(|envelope| envelope.key().algorithm().to_string()),
            content_suite: info.envelope().map(|envelope| envelope.content().suite().to_string()),
            in_instruction_file: info
                .envelope()
                .map(|envelope| envelope.storage() == Storage::InstructionFile),
            plaintext: PlaintextLen::of(&info),
            encryption_context: context,
            materials_description,
            generation: info.generation(),
            keys: keys.iter().map(Key::new).collect(),
            detached,
            missing,
            problem: problem.map(|problem| error_chain(&problem)),
            content_type: info.content_type,
            storage_class: info.storage_class.map(|class| class.as_str().to_owned()),
            version_id: info.version_id,
            e_tag: info.e_tag,
            last_modified,
            metadata: info.metadata.into_iter().collect(),
        }
    }
}

/// Plaintext length of an object. Field names are stable JSON output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PlaintextLen {
    /// Absent if only a bound is known.
    plaintext_bytes: Option<u64>,
    /// Upper bound of AES-CBC in old objects of the S3 Encryption Client, whose padding only the
    /// content tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext_bytes_at_most: Option<u64>,
}

impl PlaintextLen {
    /// Returns the length of the object's plaintext.
    pub(crate) fn of(info: &ObjectInfo) -> Self {
        let lens = info.plaintext_lens();
        match lens.start() == lens.end() {
            true => Self::exactly(*lens.end()),
            false => Self { plaintext_bytes: None, plaintext_bytes_at_most: Some(*lens.end()) },
        }
    }

    /// Returns a known length.
    pub(crate) fn exactly(bytes: u64) -> Self {
        Self { plaintext_bytes: Some(bytes), plaintext_bytes_at_most: None }
    }

    /// Returns the length or its bound, if either is known.
    pub(crate) fn at_most(self) -> Option<u64> {
        self.plaintext_bytes.or(self.plaintext_bytes_at_most)
    }

    /// `true` if only a bound is known.
    pub(crate) fn is_bound(self) -> bool {
        self.plaintext_bytes_at_most.is_some()
    }

    /// Describes it for people, if it is known.
    pub(crate) fn text(self) -> Option<String> {
        let bytes = Counted(self.at_most()?, "byte").to_string();
        Some(if self.is_bound() { format!("at most {bytes}") } else { bytes })
    }
}

/// Returns the name of the object's format.
pub(crate) fn format(info: &ObjectInfo) -> String {
    format_name(info.format())
}

/// Returns the ids of the detached intermediate keys that the object depends on.
pub(crate) fn detached(info: &ObjectInfo) -> Vec<String> {
    info.header().map(detached_of).unwrap_or_default()
}

/// Returns the ids of the detached intermediate keys in a header.
pub(crate) fn detached_of(header: &ObjectHeader) -> Vec<String> {
    ids_of(header.detached())
}

fn ids_of(slots: &[SharedKeySlot]) -> Vec<String> {
    slots.iter().map(|slot| slot.intermediate_id().to_string()).collect()
}

/// Returns how many wrapping keys a new object has, in words.
pub(crate) fn number_of_keys(keys: usize, detached: usize) -> String {
    match (keys, detached) {
        (0, 1..) => "detached key".to_owned(),
        _ => Counted(keys as u64, "key").to_string(),
    }
}

/// Returns the name of a format.
pub(crate) fn format_name(format: &ObjectFormat) -> String {
    match format {
        ObjectFormat::Sealwax(header) => header.format().to_owned(),
        ObjectFormat::S3ec(envelope) => {
            format!("Amazon S3 Encryption Client {}", envelope.format())
        }
        _ => "not encrypted".to_owned(),
    }
}

impl Key {
    fn new(inspected: &InspectedKey) -> Self {
        let key = &inspected.key;
        let arn = (key.provider() == KMS_PROVIDER)
            .then(|| key.wrapping_key().parse::<KmsKeyArn>().ok())
            .flatten();
        Self {
            provider: key.provider().to_owned(),
            wrapping_key: key.wrapping_key().to_owned(),
            region: arn.map(|arn| arn.region().to_owned()),
            place: key.place().map(|place| place.as_str().to_owned()),
            is_at_place: inspected.is_at_place,
            in_sidecar: inspected.in_sidecar,
            in_key_store: inspected.in_key_store,
            intermediate: key.intermediate_id().map(ToString::to_string),
            scope: key.scope().map(|scope| scope.as_str().to_owned()),
        }
    }
}

/// Text form of the report.
impl fmt::Display for ObjectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Printable(&self.object))?;
        line(f, "format", &self.format)?;
        line(f, "plaintext", &self.plaintext.text().unwrap_or_default())?;
        let generation = (!self.keys.is_empty()).then(|| self.generation.to_string());
        let stored = [
            ("content", &self.content_suite),
            ("wrapped by", &self.wrapping_algorithm),
            ("generation", &generation),
            ("content type", &self.content_type),
            ("storage class", &self.storage_class),
            ("version", &self.version_id),
            ("e-tag", &self.e_tag),
            ("last modified", &self.last_modified),
        ];
        for (name, value) in stored {
            if let Some(value) = value {
                line(f, name, value)?;
            }
        }
        section(f, "encryption context", &self.encryption_context)?;
        section(f, "materials description (of a raw key: not bound)", &self.materials_description)?;
        if self.in_instruction_file == Some(true) {
            writeln!(f, "  the encrypted data key is in an instruction file")?;
        }
        if !self.keys.is_empty() {
            writeln!(f, "  claimed wrapping keys")?;
        }
        for key in &self.keys {
            writeln!(f, "    {}", Printable(&key.wrapping_key))?;
            writeln!(f, "      provider {}", Printable(&key.provider))?;
            if let Some(region) = &key.region {
                writeln!(f, "      Region   {}", Printable(region))?;
            }
            let place = Printable(key.place.as_deref().unwrap_or("(any)"));
            let note = if key.is_at_place { "" } else { " (another place: it opens nothing here)" };
            writeln!(f, "      place    {place}{note}")?;
            if let Some(id) = &key.intermediate {
                let scope = Printable(key.scope.as_deref().unwrap_or("(any)"));
                writeln!(f, "      intermediate key {}, scope {scope}", Printable(id))?;
            }
            if key.in_sidecar {
                writeln!(f, "      in the sidecar")?;
            }
            if key.in_key_store {
                writeln!(f, "      in the key store")?;
            }
        }
        for id in &self.detached {
            writeln!(f, "  detached key {}, in the key store", Printable(id))?;
        }
        if !self.missing.is_empty() {
            writeln!(f, "  missing wrapping keys")?;
            for key in &self.missing {
                writeln!(f, "    {}", Printable(key))?;
            }
        }
        section(f, "user-defined metadata", &self.metadata)?;
        if let Some(problem) = &self.problem {
            writeln!(f, "Problem: {}", Printable(problem))?;
        }
        writeln!(f, "Not authenticated: no key was used. This is what the metadata claims.")
    }
}

pub(crate) fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<14} {}", Printable(value))
}

pub(crate) fn section(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    pairs: &BTreeMap<String, String>,
) -> fmt::Result {
    if pairs.is_empty() {
        return Ok(());
    }
    writeln!(f, "  {title}")?;
    for (name, value) in pairs {
        writeln!(f, "    {} = {}", Printable(name), Printable(value))?;
    }
    Ok(())
}
