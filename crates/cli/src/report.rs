//! What `inspect` shows.

use std::{collections::BTreeMap, fmt};

use aws_sdk_s3::primitives::DateTimeFormat;
use sealwax_s3::{KMS_PROVIDER, KmsKeyArn, ObjectInfo, S3Uri, envelope::EncryptedDataKey};
use serde::Serialize;

use crate::text::{Counted, Printable};

/// What is known of an object without any key. Its names are those of the JSON, and stay as they are.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    object: String,
    /// Always false: no key was used.
    authenticated: bool,
    format: &'static str,
    plaintext_bytes: u64,
    encryption_context: BTreeMap<String, String>,
    generation: u32,
    keys: Vec<Key>,
    /// Wrapping keys that are still to wrap the data key.
    missing: Vec<String>,
    content_type: Option<String>,
    storage_class: Option<String>,
    version_id: Option<String>,
    e_tag: Option<String>,
    /// As in RFC 3339.
    last_modified: Option<String>,
    metadata: BTreeMap<String, String>,
}

/// One of the object's wrapped data keys.
#[derive(Debug, Serialize)]
struct Key {
    provider: String,
    wrapping_key: String,
    region: Option<String>,
    place: Option<String>,
}

impl Report {
    /// Reports what is known of the object at `uri`.
    pub(crate) fn new(uri: &S3Uri, info: ObjectInfo) -> Self {
        let context = info.encryption_context().iter();
        let last_modified = info.last_modified.and_then(|time| time.fmt(DateTimeFormat::DateTime).ok());
        Self {
            object: uri.to_string(),
            authenticated: false,
            format: info.header().format(),
            plaintext_bytes: info.plaintext_len(),
            encryption_context: context.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            generation: info.generation(),
            keys: info.keys().iter().map(Key::new).collect(),
            missing: info.header().missing().iter().map(|it| it.wrapping_key().to_owned()).collect(),
            content_type: info.content_type,
            storage_class: info.storage_class.map(|class| class.as_str().to_owned()),
            version_id: info.version_id,
            e_tag: info.e_tag,
            last_modified,
            metadata: info.metadata.into_iter().collect(),
        }
    }

    /// The report as one line of JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers only")
    }
}

impl Key {
    fn new(key: &EncryptedDataKey) -> Self {
        let arn = (key.provider() == KMS_PROVIDER).then(|| key.wrapping_key().parse::<KmsKeyArn>().ok()).flatten();
        Self {
            provider: key.provider().to_owned(),
            wrapping_key: key.wrapping_key().to_owned(),
            region: arn.map(|arn| arn.region().to_owned()),
            place: key.place().map(|place| place.as_str().to_owned()),
        }
    }
}

/// The report for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Printable(&self.object))?;
        line(f, "format", self.format)?;
        line(f, "plaintext", &Counted(self.plaintext_bytes, "byte").to_string())?;
        line(f, "generation", &self.generation.to_string())?;
        let stored = [
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
        writeln!(f, "  wrapping keys")?;
        for key in &self.keys {
            writeln!(f, "    {}", Printable(&key.wrapping_key))?;
            writeln!(f, "      provider {}", Printable(&key.provider))?;
            if let Some(region) = &key.region {
                writeln!(f, "      Region   {}", Printable(region))?;
            }
            writeln!(f, "      place    {}", Printable(key.place.as_deref().unwrap_or("(any)")))?;
        }
        if !self.missing.is_empty() {
            writeln!(f, "  missing wrapping keys")?;
            for key in &self.missing {
                writeln!(f, "    {}", Printable(key))?;
            }
        }
        section(f, "own metadata", &self.metadata)?;
        writeln!(f, "None of this is authenticated: no key was used.")
    }
}

pub(crate) fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<14} {}", Printable(value))
}

pub(crate) fn section(f: &mut fmt::Formatter<'_>, title: &str, pairs: &BTreeMap<String, String>) -> fmt::Result {
    if pairs.is_empty() {
        return Ok(());
    }
    writeln!(f, "  {title}")?;
    for (name, value) in pairs {
        writeln!(f, "    {} = {}", Printable(name), Printable(value))?;
    }
    Ok(())
}
