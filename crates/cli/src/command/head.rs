//! `sealwax head`.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use aws_sdk_s3::{operation::head_object::HeadObjectOutput, primitives::DateTimeFormat};
use clap::Args;
use sealwax_s3::{ErrorKind, ObjectInfo, S3Uri};
use serde::Serialize;

use crate::{
    args::{InstructionFileArgs, SingleObjectArgs},
    console::Lines,
    failure::Failure,
    object_report::{self, PlaintextLen},
    session::Session,
    terminal_text::{Counted, Printable},
};

const EXAMPLES: &str = "\
Examples:
  sealwax head s3://bucket/2026/report.pdf
  sealwax head s3://bucket/2026/report.pdf --json | jq .plaintext_bytes";

/// Show an object's S3 metadata, sealed or not.
///
/// For a sealed object, `sealwax inspect` shows more. No key is used, so the output is not
/// authenticated.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HeadArgs {
    #[command(flatten)]
    pub(crate) object: SingleObjectArgs,

    #[command(flatten)]
    pub(crate) file: InstructionFileArgs,
}

/// S3 metadata of an object. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Told {
    object: String,
    sealed: bool,
    /// When it was shredded, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    shredded: Option<String>,
    /// Length of a sealed object's plaintext.
    #[serde(flatten)]
    plaintext: PlaintextLen,
    stored_bytes: Option<u64>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    content_disposition: Option<String>,
    content_language: Option<String>,
    cache_control: Option<String>,
    expires: Option<String>,
    website_redirect: Option<String>,
    storage_class: Option<String>,
    server_side_encryption: Option<String>,
    sse_kms_key_id: Option<String>,
    bucket_key_enabled: Option<bool>,
    #[serde(flatten)]
    lock: ObjectLock,
    version_id: Option<String>,
    e_tag: Option<String>,
    /// As in RFC 3339.
    last_modified: Option<String>,
    replication_status: Option<String>,
    /// Ids of detached intermediate keys, whose wrapped keys are in the key store alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detached: Vec<String>,
    /// User-defined metadata.
    metadata: BTreeMap<String, String>,
}

/// Object Lock of a version, as far as the caller may see it.
#[derive(Debug, Serialize)]
struct ObjectLock {
    object_lock_mode: Option<String>,
    /// As in RFC 3339.
    object_lock_retain_until_date: Option<String>,
    object_lock_legal_hold_status: Option<String>,
    object_lock_event_hold: Option<String>,
    object_lock_event_hold_duration_days: Option<i32>,
    object_lock_event_hold_duration_years: Option<i32>,
}

impl ObjectLock {
    fn of(head: &HeadObjectOutput) -> Self {
        Self {
            object_lock_mode: head.object_lock_mode().map(|mode| mode.as_str().to_owned()),
            object_lock_retain_until_date: head
                .object_lock_retain_until_date()
                .and_then(|time| time.fmt(DateTimeFormat::DateTime).ok()),
            object_lock_legal_hold_status: head
                .object_lock_legal_hold_status()
                .map(|status| status.as_str().to_owned()),
            object_lock_event_hold: head
                .object_lock_event_hold()
                .map(|status| status.as_str().to_owned()),
            object_lock_event_hold_duration_days: head.object_lock_event_hold_duration_days,
            object_lock_event_hold_duration_years: head.object_lock_event_hold_duration_years,
        }
    }

    fn retention(&self) -> Option<String> {
        let until = self.object_lock_retain_until_date.as_deref()?;
        Some(format!("{} until {until}", self.object_lock_mode.as_deref().unwrap_or("locked")))
    }

    fn event_hold(&self) -> Option<String> {
        let status = self.object_lock_event_hold.as_deref()?;
        let days = self.object_lock_event_hold_duration_days.map(|count| (count, "day"));
        let years = self.object_lock_event_hold_duration_years.map(|count| (count, "year"));
        Some(match days.or(years) {
            Some((count, unit)) => {
                let count = Counted(count.unsigned_abs().into(), unit);
                format!("{status}; {count} of retention after its release")
            }
            None => status.to_owned(),
        })
    }
}

/// Shows an object's S3 metadata.
pub(super) async fn run(session: &Session, args: HeadArgs) -> Result<(), Failure> {
    let HeadArgs { object: SingleObjectArgs { uri, version_id, json }, file } = args;
    let client = session.client_builder(&uri, session.keyrings().empty());
    let client = client.s3ec(file.settings()).build();
    let call = client.s3().head_object().bucket(uri.bucket()).key(uri.key());
    let head = call.set_version_id(version_id.clone()).send().await;
    let head = match head {
        Ok(head) => head,
        Err(error) => return Err(client.head_error("head", &uri, &error).await.into()),
    };
    let mut look = client.head().uri(&uri);
    if let Some(version_id) = head.version_id.clone().or(version_id) {
        look = look.version_id(version_id);
    }
    let (info, shredded) = match look.send().await {
        Ok(info) => (Some(info), None),
        Err(error) if error.kind() == ErrorKind::NotSealed => (None, None),
        Err(error) if error.kind() == ErrorKind::Shredded => (None, Some(error)),
        Err(error) => return Err(error.into()),
    };
    let mut told = Told::new(&uri, head, info);
    told.shredded = shredded.map(|error| error.message().to_owned());
    let mut lines = Lines::new();
    if json {
        lines.json(&told)?;
    } else {
        lines.text(&told.to_string())?;
    }
    lines.finish()
}

impl Told {
    fn new(uri: &S3Uri, head: HeadObjectOutput, info: Option<ObjectInfo>) -> Self {
        let own: HashMap<_, _> = match &info {
            Some(info) => info.metadata.clone(),
            None => head.metadata.clone().unwrap_or_default(),
        };
        Self {
            object: uri.to_string(),
            sealed: info.is_some(),
            shredded: None,
            plaintext: info.as_ref().map(PlaintextLen::of).unwrap_or_default(),
            stored_bytes: head.content_length.and_then(|len| len.try_into().ok()),
            lock: ObjectLock::of(&head),
            content_type: head.content_type,
            content_encoding: head.content_encoding,
            content_disposition: head.content_disposition,
            content_language: head.content_language,
            cache_control: head.cache_control,
            expires: head.expires_string,
            website_redirect: head.website_redirect_location,
            storage_class: head.storage_class.map(|class| class.as_str().to_owned()),
            server_side_encryption: head
                .server_side_encryption
                .map(|algorithm| algorithm.as_str().to_owned()),
            sse_kms_key_id: head.ssekms_key_id,
            bucket_key_enabled: head.bucket_key_enabled,
            version_id: head.version_id,
            e_tag: head.e_tag,
            last_modified: head
                .last_modified
                .and_then(|time| time.fmt(DateTimeFormat::DateTime).ok()),
            replication_status: head.replication_status.map(|status| status.as_str().to_owned()),
            detached: info.as_ref().map(object_report::detached).unwrap_or_default(),
            metadata: own.into_iter().collect(),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Printable(&self.object))?;
        let sealed = match (self.sealed, &self.shredded) {
            (true, _) => "yes",
            (false, None) => "no",
            (false, Some(shredded)) => &format!("no: {shredded}"),
        };
        object_report::line(f, "sealed", sealed)?;
        let bytes = |count: Option<u64>| count.map(|count| Counted(count, "byte").to_string());
        for (name, value) in [
            ("plaintext", &self.plaintext.text()),
            ("stored", &bytes(self.stored_bytes)),
            ("content type", &self.content_type),
            ("encoding", &self.content_encoding),
            ("disposition", &self.content_disposition),
            ("language", &self.content_language),
            ("cache control", &self.cache_control),
            ("expires", &self.expires),
            ("redirect", &self.website_redirect),
            ("storage class", &self.storage_class),
            ("SSE", &self.server_side_encryption),
            ("SSE key", &self.sse_kms_key_id),
            ("retention", &self.lock.retention()),
            ("legal hold", &self.lock.object_lock_legal_hold_status),
            ("event hold", &self.lock.event_hold()),
            ("version", &self.version_id),
            ("e-tag", &self.e_tag),
            ("last modified", &self.last_modified),
            ("replication", &self.replication_status),
        ] {
            if let Some(value) = value {
                object_report::line(f, name, value)?;
            }
        }
        for id in &self.detached {
            object_report::line(f, "detached key", &format!("{id}, in the key store"))?;
        }
        object_report::section(f, "user-defined metadata", &self.metadata)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::ObjectLockEventHold;

    use super::*;

    #[test]
    fn an_event_hold_is_told_with_its_duration() {
        let hold = || HeadObjectOutput::builder().object_lock_event_hold(ObjectLockEventHold::On);
        let told = |head: HeadObjectOutput| ObjectLock::of(&head).event_hold();
        assert_eq!(told(hold().build()).as_deref(), Some("ON"));
        let days = hold().object_lock_event_hold_duration_days(1).build();
        let expected = "ON; 1 day of retention after its release";
        assert_eq!(told(days).as_deref(), Some(expected));
        let years = hold().object_lock_event_hold_duration_years(7).build();
        let expected = "ON; 7 years of retention after its release";
        assert_eq!(told(years).as_deref(), Some(expected));
        assert_eq!(told(HeadObjectOutput::builder().build()), None);
    }
}
