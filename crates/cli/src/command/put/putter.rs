//! Uploads of many files with one client.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use sealwax_files::FileState;
use sealwax_s3::{
    ErrorKind, ObjectInfo, PlaintextSource, Put, S3Uri, SealedClient,
    envelope::{EncryptedDataKey, EncryptionContext, Keyring, WrapContext},
    s3ec,
};

use super::put_request::{StoredObject, not_stored, with_stored};
use crate::{
    args::NewObjectArgs,
    comparison::{Comparison, has_content},
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
                has_content(get, Arc::new(read), state).await?
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
            && *info.encryption_context() == self.context
            && self.has_format_and_keys(&info))
    }

    /// `true` if the object has the format and, where it names them, the wrapping keys that this put
    /// would give it.
    fn has_format_and_keys(&self, info: &ObjectInfo) -> bool {
        match self.format {
            PutFormat::Native => {
                let names = |key: &EncryptedDataKey| {
                    (key.provider().to_owned(), key.wrapping_key().to_owned())
                };
                let has: HashSet<_> = info.keys().iter().map(names).collect();
                let expected = self.keyring.expected_keys(&WrapContext::for_names());
                expected.iter().map(names).all(|key| has.contains(&key))
            }
            PutFormat::S3ec { format, instruction_file } => {
                let storage = match instruction_file {
                    true => s3ec::Storage::InstructionFile,
                    false => s3ec::Storage::Metadata,
                };
                info.envelope()
                    .is_some_and(|found| (found.format(), found.storage()) == (format, storage))
            }
        }
    }
}
