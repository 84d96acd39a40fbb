//! Uploads of many files with one client.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use percent_encoding::percent_decode_str;
use sealwax_files::FileState;
use sealwax_s3::{
    ErrorKind, ObjectInfo, PlaintextSource, Put, S3Uri, SealedClient,
    envelope::{EncryptionContext, Keyring},
    s3ec,
};

use super::put_request::{StoredObject, not_stored, with_stored};
use crate::{
    args::{NewObjectArgs, Pair},
    comparison::{Comparison, Differences, has_keys_of, having_content, tags_of},
    failure::Failure,
    local_files::LocalFile,
    mtime,
    session::Session,
    state_directory,
};

/// Uploads files with one client, which has one memory budget and one keyring.
pub(in crate::command) struct Putter {
    pub(in crate::command) client: SealedClient,
    pub(in crate::command) keyring: Arc<dyn Keyring>,
    pub(in crate::command) context: EncryptionContext,
    pub(in crate::command) settings: PutSettings,
    format: PutFormat,
    /// Objects that lack each of the wrapping keys.
    lacking: Mutex<BTreeMap<String, u64>>,
}

/// Settings of all uploads.
#[derive(Debug, Clone)]
pub(in crate::command) struct PutSettings {
    pub(in crate::command) stored: NewObjectArgs,
    /// Keep interrupted uploads, to resume them.
    pub(in crate::command) resume: bool,
    pub(in crate::command) dry_run: bool,
}

/// Format of new objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command) enum PutFormat {
    Native,
    /// One of the S3 Encryption Client's.
    S3ec {
        format: s3ec::Format,
        instruction_file: bool,
    },
}

impl PutFormat {
    /// Stores the object in this format.
    pub(super) async fn send(self, put: Put) -> Result<StoredObject, sealwax_s3::Error> {
        match self {
            Self::Native => put.send().await.map(StoredObject::from),
            Self::S3ec { instruction_file, .. } => {
                let put = put.s3ec();
                let put = if instruction_file { put.instruction_file() } else { put };
                put.send().await.map(StoredObject::from)
            }
        }
    }
}

/// State that the destination must have, so that it is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::command) enum Expected {
    Any,
    /// No object, as `--no-overwrite` demands it.
    NoObject,
    /// No object was listed there.
    Absent,
    /// The object with this entity tag was listed there.
    ETag(String),
}

/// Result of one upload.
pub(in crate::command) enum PutDone {
    /// The object is what this upload would store, by the comparison.
    Unchanged,
    /// Length in bytes of what a dry run would store.
    Planned(u64),
    /// Stored, and the file's state when it was opened.
    Stored(Box<StoredObject>, FileState),
}

/// Returns the failure of a write whose destination is not what was listed.
pub(in crate::command) fn changed_since(failure: Failure, uri: &S3Uri) -> Failure {
    let advice = "another program stored it: rerun the command to compare it again";
    failure.and(&format!(": {uri} changed since it was listed")).advise(advice)
}

impl Putter {
    pub(in crate::command) fn new(
        client: SealedClient,
        keyring: Arc<dyn Keyring>,
        context: EncryptionContext,
        settings: PutSettings,
    ) -> Self {
        let format = PutFormat::Native;
        Self { client, keyring, context, settings, format, lacking: Mutex::default() }
    }

    /// Sets the format of new objects.
    pub(super) fn in_format(self, format: PutFormat) -> Self {
        Self { format, ..self }
    }

    /// Uploads a file, unless the comparison shows that this is not needed.
    pub(in crate::command) async fn put(
        &self,
        file: LocalFile,
        uri: &S3Uri,
        comparison: Comparison,
        expected: Expected,
    ) -> Result<PutDone, Failure> {
        let path = &file.path.clone();
        // All that follows is about this open file, whatever takes its name.
        let opened = tokio::task::spawn_blocking(move || {
            let file = file.open()?;
            Ok((file.metadata()?, file))
        });
        let (metadata, file) = opened
            .await
            .map_err(Failure::other)?
            .map_err(|error| Failure::io("cannot read the file", error))?;
        let state = FileState::from(&metadata);
        let modified = metadata.modified().ok();
        let is_same = match comparison {
            Comparison::None => false,
            Comparison::Metadata => self.is_there(uri, metadata.len(), modified).await?,
            Comparison::Content => {
                let get = self.client.get().uri(uri).encryption_context(self.context.clone());
                let read = file.try_clone();
                let read = read.map_err(|error| Failure::io("cannot read the file", error))?;
                match having_content(get, Arc::new(read), state).await? {
                    Some(info) => {
                        self.differences(&info)?.is_empty() && self.has_tags_given(uri).await
                    }
                    None => false,
                }
            }
        };
        if is_same {
            return Ok(PutDone::Unchanged);
        }
        if self.settings.dry_run {
            return Ok(PutDone::Planned(metadata.len()));
        }
        let put = self
            .client
            .put()
            .uri(uri)
            .body(PlaintextSource::open_file(file, path))
            .encryption_context(self.context.clone());
        let mut put = with_stored(put, &self.settings.stored, path, uri)?;
        let has_own = self.settings.stored.metadata()?.iter().any(|pair| pair.name == mtime::NAME);
        if let Some(modified) = modified.filter(|_| !has_own).map(mtime::text) {
            put = put.metadata(mtime::NAME, modified);
        }
        put = match &expected {
            Expected::Any => put,
            Expected::NoObject | Expected::Absent => put.if_none_match("*"),
            Expected::ETag(e_tag) => put.if_match(e_tag),
        };
        if self.settings.resume {
            put = put.state_file(self.state_file(path, uri)?);
        }
        let output = self.format.send(put).await.map_err(|error| match expected {
            Expected::Absent | Expected::ETag(_) if error.kind() == ErrorKind::Conflict => {
                changed_since(error.into(), uri)
            }
            expected => not_stored(error, expected == Expected::NoObject),
        })?;
        let mut lacking = self.lacking.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &output.missing {
            *lacking.entry(name.clone()).or_default() += 1;
        }
        drop(lacking);
        Ok(PutDone::Stored(Box::new(output), state))
    }

    fn state_file(&self, path: &Path, uri: &S3Uri) -> Result<PathBuf, Failure> {
        state_directory::path_for(path, uri)
    }

    /// Says how many objects lack which wrapping keys.
    pub(in crate::command) fn report_lacking(&self, session: &Session) {
        for (key, count) in &*self.lacking.lock().unwrap_or_else(PoisonError::into_inner) {
            session.say(format!(
                "{count} of them lack {key}: add it later with `sealwax rewrap --add`"
            ));
        }
    }

    /// `true` if metadata says that the object is identical to what this put would store.
    async fn is_there(
        &self,
        uri: &S3Uri,
        len: u64,
        modified: Option<SystemTime>,
    ) -> Result<bool, Failure> {
        let info = match self.client.head().uri(uri).send().await {
            Ok(info) => info,
            Err(error) => {
                return match error.kind() {
                    ErrorKind::NotFound
                    | ErrorKind::NotSealed
                    | ErrorKind::Shredded
                    | ErrorKind::Malformed
                    | ErrorKind::Truncated => Ok(false),
                    _ => Err(error.into()),
                };
            }
        };
        Ok(info.plaintext_lens().contains(&len)
            && modified.is_some()
            && mtime::of(&info.metadata) == modified
            && self.differences(&info)?.is_empty())
    }

    /// Returns in what an object of the same content is not what this put would store, as far as its
    /// metadata tells. Only attributes that are given are compared.
    ///
    /// # Errors
    /// The arguments have a name of user-defined metadata twice.
    fn differences(&self, info: &ObjectInfo) -> Result<Differences, Failure> {
        let given = self.settings.stored.given();
        let headers = [
            (&given.cache_control, &info.cache_control),
            (&given.content_disposition, &info.content_disposition),
            (&given.content_encoding, &info.content_encoding),
            (&given.content_language, &info.content_language),
            (&given.content_type, &info.content_type),
            (&given.expires, &info.expires),
        ];
        let has_headers = headers.iter().all(|(given, stored)| given.is_none() || given == stored);
        let pairs = self.settings.stored.metadata()?;
        let has_pairs = pairs.iter().all(|Pair { name, value }| {
            info.metadata
                .iter()
                .any(|(stored, it)| stored.eq_ignore_ascii_case(name) && it == value)
        });
        let mut differences = Differences::default();
        match self.format {
            PutFormat::Native => {
                differences.add(!has_keys_of(info, &*self.keyring), "wrapping keys");
            }
            // It names no wrapping key.
            PutFormat::S3ec { format, instruction_file } => {
                let storage = match instruction_file {
                    true => s3ec::Storage::InstructionFile,
                    false => s3ec::Storage::Metadata,
                };
                let found = info.envelope().map(|found| (found.format(), found.storage()));
                differences.add(found != Some((format, storage)), "format");
            }
        }
        differences.add(*info.encryption_context() != self.context, "encryption context");
        differences.add(!has_headers, "content headers");
        differences.add(!has_pairs, "metadata");
        Ok(differences)
    }

    /// Returns the differences of an object that is unchanged by its listing; `None` if its
    /// metadata cannot be read.
    pub(in crate::command) async fn differences_of(&self, uri: &S3Uri) -> Option<Differences> {
        let info = self.client.head().uri(uri).send().await.ok()?;
        self.differences(&info).ok()
    }

    /// `true` if the object has the tags that are given, or the store does not tell.
    async fn has_tags_given(&self, uri: &S3Uri) -> bool {
        let Some(given) = self.settings.stored.given().tagging else { return true };
        let text = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let tag = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (text(name), text(value))
        };
        let mut given: Vec<_> = given.split('&').map(tag).collect();
        given.sort_unstable();
        let stored = tags_of(&self.client, (uri.bucket(), uri.key())).await;
        stored.is_none_or(|stored| stored == given)
    }
}
