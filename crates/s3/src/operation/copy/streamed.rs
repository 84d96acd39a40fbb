//! Copies to another store: the stored bytes pass through this process, and are not opened.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    sync::Arc,
};

use sealwax_envelope::{ObjectHeader, metadata};
use sha2::{Digest as _, Sha256};
use tracing::Span;

use super::{CopyAttributes, CopyObject, CopyObjectOutput, is_another_name};
use crate::{
    download::fetch::Fetcher,
    error::{Error, ErrorKind, ObjectRef},
    format::{ObjectFormat, are_under_same_keys},
    object::ObjectInfo,
    operation::{Handle, abort::check_target},
    store::{
        attributes::Attributes, conditions::WriteConditions, ranged_get::Pin, snapshot::Snapshot,
    },
    upload::{
        BodySealer, Upload, Uploaded, recorded_upload,
        source::Parts,
        state_file::{
            NewStateFile, ObjectIdentity, StateFile, UploadSource, UploadStart, state_file_failed,
        },
    },
};

impl CopyObject {
    /// Copies the object into the store of `there`.
    pub(super) async fn send_to(&self, there: Handle) -> Result<CopyObjectOutput, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let (bucket, key) = (self.source_bucket.clone(), self.source_key.clone());
        let source = ObjectRef::new("copy", store.s3(), bucket, key)?;
        let target =
            ObjectRef::new("copy", there.store.s3(), self.bucket.clone(), self.key.clone())?;

        let version_id = self.source_version_id.clone();
        let snapshot = Snapshot::of_version(store, &source, version_id).await?;
        let format = vault.format_of(store, &source, snapshot.head.metadata()).await?;
        let info = ObjectInfo::of_head(&source, &snapshot.head, format)?;
        info.sealed_header(&source)?;
        snapshot.check_copyable(&source)?;
        self.check_source(&source, &info)?;
        if is_another_name(&there.store, &snapshot, &target).await {
            let message = "source and destination are one object in one store";
            return Err(source.error(ErrorKind::InvalidInput, message));
        }

        let (info, header, report) = self.header_for(&source, &target, info).await?;
        Span::current().record("bytes", info.plaintext_len());
        let own = self.own_metadata(&info);
        header.check_fits(metadata::pairs(&own)).map_err(|error| target.envelope_error(error))?;
        let attributes = self.attributes_elsewhere(&source, &snapshot).await?;
        let stored_len = snapshot.head.content_length().and_then(|len| u64::try_from(len).ok());
        let stored_len = stored_len.ok_or_else(|| {
            source.error(ErrorKind::Service, "HeadObject returned no Content-Length")
        })?;

        let version_id = self.source_version_id.clone().or_else(|| info.version_id.clone());
        let identity = ObjectIdentity {
            bucket: source.bucket.clone(),
            key: source.key.clone(),
            version_id: version_id.clone(),
            e_tag: info.e_tag.clone(),
            len: stored_len,
            attributes: digest(&attributes, &own),
        };
        let fetcher = Fetcher {
            store: store.clone(),
            target: source,
            pin: Pin::new(version_id, info.e_tag.clone()),
            stored_len,
        };
        let streamed = Streamed {
            there,
            target,
            fetcher,
            identity,
            attributes,
            user_metadata: own,
            conditions: self.conditions.clone(),
            state_file: self.state_file.clone(),
        };
        let (Uploaded { e_tag, version_id, .. }, header) = streamed.send(header).await?;
        Ok(CopyObjectOutput { e_tag, version_id, header, report, source: info })
    }

    /// Returns the copy's attributes: what belongs to the content, and tags. Access, server-side
    /// encryption, storage class and Object Lock name things of the source's account and store.
    async fn attributes_elsewhere(
        &self,
        source: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<Attributes, Error> {
        let head = &snapshot.head;
        let given = match &self.attributes {
            CopyAttributes::Only(attributes) => attributes.clone(),
            CopyAttributes::Over(attributes) => {
                let kept = Attributes {
                    cache_control: head.cache_control.clone(),
                    content_disposition: head.content_disposition.clone(),
                    content_encoding: head.content_encoding.clone(),
                    content_language: head.content_language.clone(),
                    content_type: head.content_type.clone(),
                    website_redirect_location: head.website_redirect_location.clone(),
                    expires: head.expires_string.clone(),
                    ..Attributes::default()
                };
                attributes.clone().over(kept)
            }
        };
        let tagging = match given.tagging {
            Some(tagging) => Some(tagging),
            None if head.tag_count().is_some_and(|count| count > 0) => {
                self.handle.store.tags_to_keep(source, head).await?
            }
            None => None,
        };
        Ok(Attributes { tagging, ..given })
    }
}

/// A copy of one version of a source, ready to be sent.
struct Streamed {
    there: Handle,
    target: ObjectRef,
    fetcher: Fetcher,
    identity: ObjectIdentity,
    attributes: Attributes,
    user_metadata: HashMap<String, String>,
    conditions: WriteConditions,
    state_file: Option<PathBuf>,
}

impl Streamed {
    /// Continues the upload of a killed process, or sends the copy with `header`. Returns the header
    /// that the copy has.
    async fn send(self, header: ObjectHeader) -> Result<(Uploaded, ObjectHeader), Error> {
        if let Some((state_file, begun)) = self.unfinished(&header).await? {
            let upload = self.upload(&begun, None);
            match upload.resume(self.body(), BodySealer::Stored, state_file).await {
                Ok(uploaded) => return Ok((uploaded, begun)),
                // Somebody aborted it, or a lifecycle rule. Its state file is deleted.
                Err(error) if error.kind() == ErrorKind::UploadNotFound => {}
                Err(error) => return Err(error),
            }
        }
        let source = || UploadSource::Object(self.identity.clone());
        let new = self.state_file.clone().map(|path| NewStateFile { path, source: source() });
        let uploaded = self.upload(&header, new).run(self.body(), BodySealer::Stored).await?;
        Ok((uploaded, header))
    }

    /// Returns the upload of a killed process, if it is one of this copy, and the header that it began
    /// with. An upload of another version, or under other keys, is aborted.
    async fn unfinished(
        &self,
        header: &ObjectHeader,
    ) -> Result<Option<(Arc<StateFile>, ObjectHeader)>, Error> {
        let Some(path) = &self.state_file else { return Ok(None) };
        let target = &self.target;
        let opened = StateFile::open(path).await.map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => {
                target.error(ErrorKind::Locked, "another process is copying it")
            }
            _ => state_file_failed(target)(error),
        });
        let opened = opened?;
        let Some(state_file) = opened else { return Ok(None) };
        check_target(&state_file, target)?;
        let UploadStart { source, metadata, .. } = state_file.start();
        let UploadSource::Object(identity) = source else {
            let message = "the upload that the state file describes is that of a file";
            return Err(target.error(ErrorKind::StateFileMismatch, message));
        };
        let begun = ObjectHeader::parse(metadata::pairs(metadata)).ok();
        let begun = begun.filter(|begun| is_same_copy(begun, header));
        match begun.filter(|_| *identity == self.identity) {
            Some(begun) => Ok(Some((state_file, begun))),
            None => {
                recorded_upload(&self.there.store, target, state_file).abort().await?;
                Ok(None)
            }
        }
    }

    fn body(&self) -> Parts {
        Parts::Stored { fetcher: self.fetcher.clone(), offset: 0 }
    }

    fn upload(&self, header: &ObjectHeader, state_file: Option<NewStateFile>) -> Upload {
        Upload {
            store: self.there.store.clone(),
            budget: self.there.budget.clone(),
            target: self.target.clone(),
            format: ObjectFormat::Sealwax(header.clone()),
            attributes: self.attributes.clone(),
            user_metadata: self.user_metadata.clone(),
            conditions: self.conditions.clone(),
            late_conditions: None,
            on_progress: None,
            state_file,
        }
    }
}

/// `true` if both are headers of one copy, apart from how its data key was wrapped: each wrapping is
/// another ciphertext. Detached keys must be the same ones, as key objects are of them.
fn is_same_copy(begun: &ObjectHeader, header: &ObjectHeader) -> bool {
    begun.body_header() == header.body_header()
        && begun.context() == header.context()
        && begun.plaintext_len() == header.plaintext_len()
        && begun.generation() == header.generation()
        && begun.missing() == header.missing()
        && begun.detached() == header.detached()
        && are_under_same_keys(begun.keys(), header.keys())
}

/// Returns a digest of what a copy gets beside its body and its keys.
fn digest(attributes: &Attributes, user_metadata: &HashMap<String, String>) -> String {
    let user_metadata: BTreeMap<_, _> = user_metadata.iter().collect();
    let text = format!("{attributes:?} {user_metadata:?}");
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
