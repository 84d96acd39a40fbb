//! Copies objects inside S3 to another place, without reading their bodies or sealing them again.

mod streamed;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use sealwax_envelope::{
    EncryptedDataKey, Keyring, MissingKey, ObjectHeader, SharedKeySlot, metadata,
};
use tracing::{Span, field::Empty};

use super::{Handle, head::Head, object_setters};
use crate::{
    error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure},
    format::{ObjectFormat, same_format_metadata},
    kms::WrapPolicy,
    object::{ObjectInfo, join_metadata},
    store::{
        Store,
        acl::Grants,
        attributes::Attributes,
        conditions::{WriteConditions, write_condition_setters},
        lost_answer::Stored,
        server_copy::{ServerCopy, SourceGuard},
        snapshot::Snapshot,
    },
    uri::S3Uri,
    vault::{
        carried_keys::CarriedKeys,
        intermediate::IntermediateKeys,
        key_report::{KeyReport, Opening},
        new_keys::NewKeys,
        object_keys::ObjectKeys,
        proofs::Proofs,
        sidecar::{self, Sidecar},
    },
};

/// The keys of a copy, those that it lacks, and what became of each.
type NewHeaderKeys = (Vec<EncryptedDataKey>, Vec<MissingKey>, KeyReport);

/// Copies an object inside S3 to another place, and wraps its data key for that place. The body is
/// copied unchanged.
///
/// The copy has the same wrapping keys. Each new wrapped key is made from the one under the same
/// wrapping key: by KMS `ReEncrypt` if possible. So a name that somebody wrote into the metadata
/// gains nothing. Wrapped keys that KMS rejects are dropped. Those whose wrapping keys the client's
/// keyring does not have are copied unchanged. They stay bound to their old place;
/// [`Get::accept_place`](crate::Get::accept_place) reads with them. With [`CopyObject::keyring`],
/// the copy has other wrapping keys instead, and none of the old ones.
///
/// Key objects on which the copy relies are stored in its bucket first: those of new intermediate keys,
/// and those of detached ones that the copy shares with its source.
///
/// The copy keeps the source's content headers, user-defined metadata, tags, storage class,
/// server-side encryption, Object Lock settings and website redirect. If the bucket has ACLs, it
/// keeps the ACL, too. [`CopyObject::attributes`] sets other attributes.
///
/// The copy is made of the source that was read first: of the same entity tag and, in a versioned
/// bucket, of the same version. Both buckets must be in the client's Region.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// let output = client
///     .copy()
///     .source_bucket("invoices")
///     .source_key("2026/0001.pdf")
///     .bucket("archive")
///     .key("invoices/2026/0001.pdf")
///     .if_none_match("*")
///     .send()
///     .await?;
/// println!("copied with {} keys", output.header.keys().len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct CopyObject {
    pub(super) handle: Handle,
    source_bucket: Option<String>,
    source_key: Option<String>,
    source_version_id: Option<String>,
    source_if_match: Option<String>,
    bucket: Option<String>,
    key: Option<String>,
    conditions: WriteConditions,
    accepted_places: Vec<String>,
    keyring: Option<Arc<dyn Keyring>>,
    wrap_policy: WrapPolicy,
    proves: bool,
    attributes: CopyAttributes,
    /// Client of another store, to which the bytes are sent.
    there: Option<Handle>,
    state_file: Option<PathBuf>,
    metadata: HashMap<String, String>,
    is_only_own_metadata: bool,
}

/// Attributes of a copy.
#[derive(Debug, Clone)]
enum CopyAttributes {
    /// Those of the source, except these.
    Over(Attributes),
    /// These alone.
    Only(Attributes),
}

/// Result of a [`CopyObject`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CopyObjectOutput {
    /// Entity tag of the copy, as returned by S3.
    pub e_tag: Option<String>,
    /// Version id of the copy, in a versioned bucket.
    pub version_id: Option<String>,
    /// Sealwax's metadata of the copy, as stored.
    pub header: ObjectHeader,
    /// Result for each wrapping key of the source.
    pub report: KeyReport,
    /// Properties of the source.
    pub source: ObjectInfo,
}

impl CopyObjectOutput {
    /// Describes how the copy may be less than its source: it lacks wrapping keys, or was not shown
    /// to open. `None` if it is not.
    ///
    /// Only a copy with [`CopyObject::prove_keys`] can be shown to open.
    #[must_use]
    pub fn losses(&self) -> Option<String> {
        let is_unproven = || {
            (!self.report.opens.is_proven())
                .then(|| "no key of the copy could be shown to open it".to_owned())
        };
        self.lost_keys().or_else(is_unproven)
    }

    /// Describes the wrapping keys of the source that the copy lacks, if any.
    #[must_use]
    pub fn lost_keys(&self) -> Option<String> {
        let of = |keys: &[String], why: &str| {
            (!keys.is_empty()).then(|| format!("{why}: {}", keys.join(", ")))
        };
        let lost = [
            of(&self.report.disproved, "dropped keys that do not open it"),
            of(&self.report.missing, "missing keys that could not be used"),
        ];
        let lost: Vec<_> = lost.into_iter().flatten().collect();
        (!lost.is_empty()).then(|| lost.join("; "))
    }
}

/// A copy that was made, and its source as it was then.
pub(super) struct MadeCopy {
    pub(super) output: CopyObjectOutput,
    pub(super) source: ObjectRef,
    pub(super) target: ObjectRef,
    pub(super) snapshot: Snapshot,
    /// All user metadata of the copy.
    pub(super) metadata: HashMap<String, String>,
    /// `true` if no other object has this metadata.
    pub(super) is_recognizable: bool,
    /// `true` if source and destination were known to be two objects before the copy.
    is_known_apart: bool,
}

impl MadeCopy {
    /// `true` if `head` describes the copy, and no other object.
    pub(super) fn is_copy(&self, head: &HeadObjectOutput) -> bool {
        let Self { output, snapshot, metadata, is_recognizable, .. } = self;
        let is_this_version = output.version_id.is_none() || head.version_id == output.version_id;
        let is_later = *is_recognizable || head.last_modified > snapshot.head.last_modified;
        is_this_version && is_later && same_format_metadata(head.metadata(), metadata)
    }

    /// Describes that the copy has replaced its source.
    pub(super) fn two_names(&self) -> Error {
        let message = "source and destination are two names of one object, which now opens under \
                       the destination's name";
        self.source.error(ErrorKind::InvalidInput, message)
    }

    /// Fails if the source is the copy. A source that can't be looked at is none, as far as the store
    /// tells.
    async fn check_source_is_no_copy(&self, store: &Store) -> Result<(), Error> {
        let Self { source, target, .. } = self;
        match Snapshot::take(store, source).await {
            Ok(now) if self.is_copy(&now.head) => {
                let copied = format!("copied to s3://{}/{}", target.bucket, target.key);
                Err(self.two_names().with_prefix(&copied))
            }
            _ => Ok(()),
        }
    }
}

impl CopyObject {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            source_bucket: None,
            source_key: None,
            source_version_id: None,
            source_if_match: None,
            bucket: None,
            key: None,
            conditions: WriteConditions::default(),
            accepted_places: Vec::new(),
            keyring: None,
            wrap_policy: WrapPolicy::All,
            proves: false,
            attributes: CopyAttributes::Over(Attributes::default()),
            there: None,
            state_file: None,
            metadata: HashMap::new(),
            is_only_own_metadata: false,
        }
    }

    /// Sets the source's bucket: a name, or the ARN of an access point.
    pub fn source_bucket(mut self, bucket: impl Into<String>) -> Self {
        self.source_bucket = Some(bucket.into());
        self
    }

    /// Sets the source's key.
    pub fn source_key(mut self, key: impl Into<String>) -> Self {
        self.source_key = Some(key.into());
        self
    }

    /// Sets the source's bucket and key at once.
    pub fn source_uri(self, uri: &S3Uri) -> Self {
        self.source_bucket(uri.bucket()).source_key(uri.key())
    }

    /// Copies this version of the source. If the source is copied onto itself, this version becomes
    /// the current one again.
    pub fn source_version_id(mut self, version_id: impl Into<String>) -> Self {
        self.source_version_id = Some(version_id.into());
        self
    }

    /// Copies only a source with this entity tag, or fails with [`ErrorKind::Conflict`].
    pub fn source_if_match(mut self, e_tag: impl Into<String>) -> Self {
        self.source_if_match = Some(e_tag.into());
        self
    }

    object_setters!();

    write_condition_setters!();

    /// Wraps the copy's data key under the wrapping keys of `keyring` instead of the source's. The
    /// source's wrapped keys are not copied.
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.keyring = Some(Arc::new(keyring));
        self
    }

    /// Sets how many of the source's wrapping keys the copy must have. Default: all.
    ///
    /// With fewer, keys that could not be used are recorded as missing in the copy. Keys that KMS
    /// rejects never count.
    pub fn wrap_policy(mut self, policy: WrapPolicy) -> Self {
        self.wrap_policy = policy;
        self
    }

    /// Proves the copy's keys before the copy is made: unwraps one and compares it with the body's
    /// commitment. [`KeyReport::opens`] says whether that was possible; a role that may not decrypt
    /// can't.
    ///
    /// Do this before the source is deleted.
    pub fn prove_keys(mut self) -> Self {
        self.proves = true;
        self
    }

    /// Accepts wrapped keys that are bound to `place` (`bucket/key`), for a source that was moved
    /// on purpose.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Sets the copy's attributes. They replace all of the source's, except its tags unless tags
    /// are set.
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = CopyAttributes::Only(attributes);
        self
    }

    /// Sets some of the copy's attributes. The others are the source's.
    ///
    /// Attributes that belong together are not mixed: if these say who has access, how S3 encrypts
    /// the copy, until when it is retained or how it is held, the source's settings of that kind are
    /// left out.
    pub fn override_attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = CopyAttributes::Over(attributes);
        self
    }

    /// Adds user-defined metadata to the source's, or replaces what the source has under this name.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Leaves out the source's user-defined metadata: the copy has what [`CopyObject::metadata`] adds.
    pub fn only_own_metadata(mut self) -> Self {
        self.is_only_own_metadata = true;
        self
    }

    /// Keeps the state of a multipart upload to another store in a state file at `path`, so that an
    /// upload of a process that was killed is continued or aborted.
    ///
    /// The file exists while the upload is in progress. It holds no plaintext key, and only its owner
    /// can read it. An upload that fails, or whose future is dropped, is aborted all the same. If the
    /// file exists, the process that wrote it was killed:
    ///
    /// * the copy sends only the parts that S3 lacks, if the source is the same version of the same
    ///   object, with the same attributes and metadata, and the copy's keys are under the same wrapping
    ///   keys; its wrapped keys are then those that the upload began with;
    /// * otherwise that upload is aborted, and the copy begins again.
    ///
    /// [`SealedClient::abort_unfinished`](crate::SealedClient::abort_unfinished) aborts an upload whose
    /// object is not copied any more. Only a copy by
    /// [`SealedClient::copy_to`](crate::SealedClient::copy_to) has a state file
    /// ([`ErrorKind::InvalidInput`]). Another process that uses the file fails the copy
    /// ([`ErrorKind::Locked`]), and so does a file of an upload to another object
    /// ([`ErrorKind::StateFileMismatch`]).
    pub fn state_file(mut self, path: impl AsRef<Path>) -> Self {
        self.state_file = Some(path.as_ref().to_owned());
        self
    }

    /// Sends the stored bytes through this process to the store of another client.
    pub(crate) fn there(mut self, there: Handle) -> Self {
        self.there = Some(there);
        self
    }

    /// Copies the object with one `HeadObject`, the KMS calls and one `CopyObject`.
    ///
    /// One more `HeadObject` shows whether source and destination are two names of one object, as
    /// through an access point or in a store that normalizes keys. Amazon S3 is asked only where the
    /// keys are alike. If the store does not tell, the source is looked at after the copy. Above
    /// 5 GiB, or above [`crate::SealedClientBuilder::copy_in_parts_above`], the copy takes one
    /// `UploadPartCopy` for each of the object's parts instead.
    ///
    /// # Errors
    /// As [`crate::Get::send`], and:
    ///
    /// * [`ErrorKind::InvalidInput`] if the source is the destination and no version is given, or if
    ///   both are names of one object;
    /// * [`ErrorKind::Changed`] if the source changed meanwhile;
    /// * [`ErrorKind::Conflict`] if a condition does not hold;
    /// * [`ErrorKind::Unsupported`] if the source must be restored from an archive first.
    ///
    /// On these errors, nothing was stored. There is one exception: if the store did not tell before
    /// the copy that both are names of one object, the message says that the object now opens under
    /// the destination's name.
    #[tracing::instrument(
        name = "copy",
        skip_all,
        fields(bucket = self.bucket, key = self.key, bytes = Empty),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<CopyObjectOutput, Error> {
        if let Some(there) = self.there.clone() {
            return Box::pin(self.send_to(there)).await;
        }
        let store = self.handle.store.clone();
        let made = self.make("copy", false).await?;
        if !made.is_known_apart {
            made.check_source_is_no_copy(&store).await?;
        }
        Ok(made.output)
    }

    /// Makes the copy, as part of `operation`.
    ///
    /// If `is_distinct`, the copy can be told from its source: it has other metadata, or was stored
    /// in a later second.
    pub(super) async fn make(
        &self,
        operation: &'static str,
        is_distinct: bool,
    ) -> Result<MadeCopy, Error> {
        let s3 = self.handle.store.s3();
        let (bucket, key) = (self.source_bucket.clone(), self.source_key.clone());
        let source = ObjectRef::new(operation, s3, bucket, key)?;
        let target = ObjectRef::new(operation, s3, self.bucket.clone(), self.key.clone())?;
        if self.state_file.is_some() {
            let message = "only a copy to another store can have a state file";
            return Err(target.error(ErrorKind::InvalidInput, message));
        }
        let is_onto_itself = (&source.bucket, &source.key) == (&target.bucket, &target.key);
        if is_onto_itself && self.source_version_id.is_none() {
            return Err(source.error(
                ErrorKind::InvalidInput,
                "source and destination of the copy are the same",
            ));
        }

        let Handle { store, vault, .. } = &self.handle;
        let version_id = self.source_version_id.clone();
        let mut snapshot = Snapshot::of_version(store, &source, version_id).await?;
        let format = vault.format_of(store, &source, snapshot.head.metadata()).await?;
        let info = ObjectInfo::of_head(&source, &snapshot.head, format)?;
        let sealed = info.sealed_header(&source)?.clone();
        snapshot.check_copyable(&source)?;
        self.check_source(&source, &info)?;

        let (info, header, report) = self.header_for(&source, &target, info).await?;
        Span::current().record("bytes", info.plaintext_len());
        tracing::debug!(generation = header.generation(), keys = header.keys().len(), "copying");
        // Only this copy has the wrapped keys that were made just now.
        let is_recognizable = header != sealed;
        let mut is_known_apart = true;
        if is_recognizable {
            is_known_apart = are_two_objects(store, &source, &snapshot, &target).await?;
        } else if is_distinct {
            snapshot = snapshot.settled(store, &source).await?;
        }
        let attributes = self.attributes_for(&source, &target, &snapshot).await?;
        let own = self.own_metadata(&info);
        header.check_fits(metadata::pairs(&own)).map_err(|error| target.envelope_error(error))?;
        let metadata = join_metadata(&ObjectFormat::Sealwax(header.clone()), &own);
        let is_ours = |head: &HeadObjectOutput| {
            is_recognizable && same_format_metadata(head.metadata(), &metadata)
        };
        let version_id = self.source_version_id.clone().or_else(|| info.version_id.clone());
        let copy = ServerCopy {
            store,
            source: &source,
            snapshot: &snapshot,
            guard: SourceGuard::Version(version_id),
            target: &target,
            conditions: self.conditions.clone(),
            attributes,
            metadata: metadata.clone(),
            is_ours: &is_ours,
        };
        match copy.send().await {
            Ok(Stored { e_tag, version_id }) => {
                let output = CopyObjectOutput { e_tag, version_id, header, report, source: info };
                Ok(MadeCopy {
                    output,
                    source,
                    target,
                    snapshot,
                    metadata,
                    is_recognizable,
                    is_known_apart,
                })
            }
            Err(error)
                if error.kind() == ErrorKind::Conflict
                    && self.source_has_changed(&source, &info).await =>
            {
                Err(source.error(ErrorKind::Changed, "it was replaced while it was being copied"))
            }
            Err(error) => Err(error),
        }
    }

    /// Fails if the source is not the required one.
    fn check_source(&self, source: &ObjectRef, info: &ObjectInfo) -> Result<(), Error> {
        if self.source_if_match.is_some() && self.source_if_match != info.e_tag {
            let message = "its entity tag is not the required one";
            return Err(source.error(ErrorKind::Conflict, message));
        }
        Ok(())
    }

    /// Returns the copy's user-defined metadata. S3 stores names in lower case.
    fn own_metadata(&self, source: &ObjectInfo) -> HashMap<String, String> {
        let mut own = match self.is_only_own_metadata {
            true => HashMap::new(),
            false => source.metadata.clone(),
        };
        own.retain(|name, _| !self.metadata.keys().any(|given| given.eq_ignore_ascii_case(name)));
        own.extend(self.metadata.clone());
        own
    }

    /// Returns the source with the keys of its sidecar, and the copy's metadata: the source's data
    /// key, wrapped for `target`.
    async fn header_for(
        &self,
        source: &ObjectRef,
        target: &ObjectRef,
        info: ObjectInfo,
    ) -> Result<(ObjectInfo, ObjectHeader, KeyReport), Error> {
        let Handle { store, vault, .. } = &self.handle;
        let places = &self.accepted_places;
        let object = ObjectKeys::find((store, vault), source, info, target, places, false).await?;
        let sealed = object.info.sealed_header(source)?;
        let (keys, missing, mut report) = match &self.keyring {
            Some(keyring) => self.other_keys(&object, &**keyring).await?,
            None => self.same_keys(&object).await?,
        };
        let new = object.under_new_intermediate_keys(&keys)?;
        // The keys are the same if they are bound to no place, or to a logical one that both share.
        let header = if keys == object.info.keys() {
            sealed.clone()
        } else {
            let others = sealed.clone().without_detached(|slot| object.has_stored(slot));
            others.rewrapped(keys).map_err(|error| target.envelope_error(error))?
        };
        let header = header.with_missing(missing);
        object.check_fits(&header)?;
        self.store_key_objects(&object, target, &header, &new).await?;
        if self.proves && !report.opens.is_proven() {
            report.opens = Opening::of(self.opens(target, &header).await?);
        }
        Ok((object.info, header, report))
    }

    /// Returns the source's keys, each wrapped for the copy under its own wrapping key.
    async fn same_keys(&self, object: &ObjectKeys<'_>) -> Result<NewHeaderKeys, Error> {
        let intermediate_keys = IntermediateKeys::default();
        let CarriedKeys { keys, disproved, missing: unknown } =
            CarriedKeys::of(object, &intermediate_keys, self.wrap_policy).await?;
        let report = KeyReport {
            disproved,
            missing: unknown.iter().map(|key| key.wrapping_key().to_owned()).collect(),
            ..KeyReport::default()
        };
        let sealed = object.info.sealed_header(object.target)?;
        let missing = sealed.missing().iter().chain(&unknown);
        let is_missing = |it: &&MissingKey| !keys.iter().any(|key| it.is_filled_by(key));
        let missing = missing.filter(is_missing).cloned().collect();
        Ok((keys, missing, report))
    }

    /// Returns the keys of `keyring` alone. Those that the source claims already count as claimed.
    async fn other_keys(
        &self,
        object: &ObjectKeys<'_>,
        keyring: &dyn Keyring,
    ) -> Result<NewHeaderKeys, Error> {
        let mut keys = object.info.keys().to_vec();
        let new = NewKeys::of(0, keyring, (true, true), object)?;
        let mut report = KeyReport::default();
        if new.plan(object, &mut keys)? {
            let made = new.make(object, &IntermediateKeys::default(), true).await?;
            keys = made.keys;
            report.opens = Opening::of(made.proven);
            report.added = keys.iter().map(|key| key.wrapping_key().to_owned()).collect();
        } else {
            report.claimed = new.present(object, &keys)?;
        }
        Ok((keys, Vec::new(), report))
    }

    /// Returns the client of the store that the copy is in.
    fn destination(&self) -> &Handle {
        self.there.as_ref().unwrap_or(&self.handle)
    }

    /// Stores the key objects on which a copy with `header` relies in the key store of its bucket:
    /// those of `new` keys, and those of detached keys that it shares with its source.
    async fn store_key_objects(
        &self,
        object: &ObjectKeys<'_>,
        target: &ObjectRef,
        header: &ObjectHeader,
        new: &[EncryptedDataKey],
    ) -> Result<(), Error> {
        let Handle { store, vault, .. } = self.destination();
        vault.publish(store, target, new).await?;
        if self.there.is_none() && object.target.bucket == target.bucket {
            return Ok(());
        }
        let is_new = |slot: &&SharedKeySlot| {
            new.iter().any(|key| key.intermediate_id() == Some(slot.intermediate_id()))
        };
        for slot in header.detached().iter().filter(|slot| !is_new(slot)) {
            let Handle { store: from, vault: of_source, .. } = &self.handle;
            let forms = of_source.stored_forms(from, object.target, slot).await?;
            vault.publish_again(store, target, slot, &forms).await?;
        }
        Ok(())
    }

    /// `true` if one of the keys in `header` opens the body; `false` if the caller may not know.
    async fn opens(&self, target: &ObjectRef, header: &ObjectHeader) -> Result<bool, Error> {
        let vault = &self.handle.vault;
        let there = self.destination();
        let keys = there.vault.openable_keys(&there.store, target, header, &[]).await?;
        let keyrings = [Some(vault.keyring()), self.keyring.as_ref()];
        let proofs = Proofs::default();
        for keyring in keyrings.into_iter().flatten() {
            let vault = vault.with_keyring(Arc::clone(keyring));
            match proofs.prove_any(&vault, target, header, &keys).await {
                Ok(()) => return Ok(true),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::NoMatchingKey | ErrorKind::AccessDenied
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Returns the copy's attributes.
    async fn attributes_for(
        &self,
        source: &ObjectRef,
        target: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<Attributes, Error> {
        let given = match &self.attributes {
            CopyAttributes::Only(attributes) => return Ok(attributes.clone()),
            CopyAttributes::Over(attributes) => attributes.clone(),
        };
        let (store, head) = (&self.handle.store, &snapshot.head);
        let grants = if given.has_acl() || store.acls_are_disabled(&target.bucket).await {
            Grants::default()
        } else {
            store.grants_to_keep(source, head.version_id()).await?
        };
        let kept = grants.onto(Attributes::of_stored(head, snapshot.now.into()));
        Ok(given.over(kept))
    }

    /// Deletes the sidecar at the source, where no object is any more, if its keys are those of the
    /// body at the destination. Returns its address.
    pub(super) async fn delete_orphan(
        &self,
        operation: &'static str,
    ) -> Result<Option<String>, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let Some(suffix) = vault.sidecars().suffix() else { return Ok(None) };
        let (bucket, key) = (self.source_bucket.clone(), self.source_key.clone());
        let source = ObjectRef::new(operation, store.s3(), bucket, key)?;
        let destination = Head::new(self.handle.clone())
            .bucket(self.bucket.clone().unwrap_or_default())
            .key(self.key.clone().unwrap_or_default());
        let Ok(moved) = destination.send().await else { return Ok(None) };
        let Some(header) = moved.header() else { return Ok(None) };
        match Sidecar::find(store, &source, suffix, header).await? {
            Sidecar::Present { .. } => {
                sidecar::delete(store, &source, suffix).await?;
                Ok(Some(format!("s3://{}/{}{suffix}", source.bucket, source.key)))
            }
            Sidecar::Absent | Sidecar::Stale { .. } => Ok(None),
        }
    }

    async fn source_has_changed(&self, source: &ObjectRef, info: &ObjectInfo) -> bool {
        let mut head = Head::new(self.handle.clone()).bucket(&source.bucket).key(&source.key);
        if let Some(version_id) = self.source_version_id.as_ref().or(info.version_id.as_ref()) {
            head = head.version_id(version_id);
        }
        head.send().await.map_or(true, |now| now.e_tag != info.e_tag)
    }
}

/// Fails if `target` is another name of the source, as it is through an access point or in a store
/// that normalizes keys. A copy would bind the only object to that name.
///
/// Returns `false` if the store does not tell. Amazon S3 has two names for one object only with the
/// same key, through an access point.
async fn are_two_objects(
    store: &Store,
    source: &ObjectRef,
    snapshot: &Snapshot,
    target: &ObjectRef,
) -> Result<bool, Error> {
    if snapshot.is_amazon_s3 && normalized(&source.key) != normalized(&target.key) {
        return Ok(true);
    }
    let head = store.s3().head_object().bucket(&target.bucket).key(&target.key).send().await;
    match head {
        Ok(head) if is_same(snapshot, &head) => {
            let message = format!("s3://{}/{} is another name of it", target.bucket, target.key);
            Err(source.error(ErrorKind::InvalidInput, message))
        }
        Ok(_) => Ok(true),
        Err(error) => Ok(AwsFailure::new(&error).status == Some(404)),
    }
}

/// `true` if `target` shows the very object of the snapshot. A replica has the same state, but another
/// replication status.
async fn is_another_name(store: &Store, snapshot: &Snapshot, target: &ObjectRef) -> bool {
    let head = store.s3().head_object().bucket(&target.bucket).key(&target.key).send().await;
    head.is_ok_and(|head| is_same(snapshot, &head))
}

fn is_same(snapshot: &Snapshot, head: &HeadObjectOutput) -> bool {
    snapshot.is_of(head) && head.replication_status == snapshot.head.replication_status
}

/// Returns a key without the differences that some stores ignore.
fn normalized(key: &str) -> String {
    let segments = key.split('/').filter(|segment| !matches!(*segment, "" | "."));
    segments.collect::<Vec<_>>().join("/").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::normalized;

    #[test]
    fn names_of_one_object_in_some_stores_are_alike() {
        for key in ["a/b", "a//b", "/a/b", "A/B", "a/./b", "a/b/"] {
            assert_eq!(normalized(key), "a/b", "{key}");
        }
        assert_ne!(normalized("a/b"), normalized("ab"));
    }
}
