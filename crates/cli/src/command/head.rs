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
    object_report,
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
    /// Plaintext length of a sealed object.
    plaintext_bytes: Option<u64>,
    stored_bytes: Option<u64>,
    content_type: Option<String>,
    content_encoding: Option<String>,
    cache_control: Option<String>,
    storage_class: Option<String>,
    server_side_encryption: Option<String>,
    version_id: Option<String>,
    e_tag: Option<String>,
    /// As in RFC 3339.
    last_modified: Option<String>,
    replication_status: Option<String>,
    /// User-defined metadata.
    metadata: BTreeMap<String, String>,
}

/// Shows an object's S3 metadata.
pub(super) async fn run(session: &Session, args: HeadArgs) -> Result<(), Failure> {
    let HeadArgs { object: SingleObjectArgs { uri, version_id, json }, file } = args;
    let client = session.client_builder(&uri, session.keyrings().empty());
    let client = client.s3ec(file.settings()).build();
    let call = client.s3().head_object().bucket(uri.bucket()).key(uri.key());
    let head = call.set_version_id(version_id.clone()).send().await;
    let head = head.map_err(|error| session.call_error("head", &uri, "HeadObject", &error))?;
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
            None => head.metadata.unwrap_or_default(),
        };
        Self {
            object: uri.to_string(),
            sealed: info.is_some(),
            shredded: None,
            plaintext_bytes: info.as_ref().map(ObjectInfo::plaintext_len),
            stored_bytes: head.content_length.and_then(|len| len.try_into().ok()),
            content_type: head.content_type,
            content_encoding: head.content_encoding,
            cache_control: head.cache_control,
            storage_class: head.storage_class.map(|class| class.as_str().to_owned()),
            server_side_encryption: head
                .server_side_encryption
                .map(|algorithm| algorithm.as_str().to_owned()),
            version_id: head.version_id,
            e_tag: head.e_tag,
            last_modified: head
                .last_modified
                .and_then(|time| time.fmt(DateTimeFormat::DateTime).ok()),
            replication_status: head.replication_status.map(|status| status.as_str().to_owned()),
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
            ("plaintext", &bytes(self.plaintext_bytes)),
            ("stored", &bytes(self.stored_bytes)),
            ("content type", &self.content_type),
            ("encoding", &self.content_encoding),
            ("cache control", &self.cache_control),
            ("storage class", &self.storage_class),
            ("SSE", &self.server_side_encryption),
            ("version", &self.version_id),
            ("e-tag", &self.e_tag),
            ("last modified", &self.last_modified),
            ("replication", &self.replication_status),
        ] {
            if let Some(value) = value {
                object_report::line(f, name, value)?;
            }
        }
        object_report::section(f, "user-defined metadata", &self.metadata)
    }
}
