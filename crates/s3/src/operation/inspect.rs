//! Reads which keys objects depend on.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use sealwax_envelope::{EncryptedDataKey, ObjectHeader, SharedKeySlot, metadata};

use super::{Handle, object_setters};
use crate::{
    error::{Error, ObjectRef, aws_failure::AwsFailure},
    format::ObjectFormat,
    object::ObjectInfo,
    store::ranged_get::check_version,
    vault::{object_kind::ObjectKind, sidecar::Sidecar},
};

/// Reads which keys an object depends on, in its metadata and in its sidecar, without using a key.
///
/// It costs one `HeadObject`, one `GetObject` if the client looks for sidecars, and up to two for an
/// object without metadata of an encrypting client: it may be a companion, or have an instruction
/// file. One with an instruction file costs one more. The result is not authenticated.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// let inspection = client.inspect().bucket("invoices").key("2026/0001.pdf").send().await?;
/// println!("{}", inspection.kind.name());
/// for inspected in &inspection.keys {
///     println!("  wrapped by {}", inspected.key.wrapping_key());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Inspect {
    handle: Handle,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
}

/// Result of an [`Inspect`]: the kind and the keys of an object.
#[derive(Debug)]
#[non_exhaustive]
pub struct InspectOutput {
    /// Kind of the object.
    pub kind: ObjectKind,
    /// Encrypted data keys of a sealed object: those in its metadata, then those that only its
    /// sidecar has, then those that only the key store has.
    pub keys: Vec<InspectedKey>,
    /// Data keys under detached intermediate keys, whose wrapped keys are in a key store alone.
    pub detached: Vec<SharedKeySlot>,
    /// Wrapping keys that the object still lacks, by its metadata and its sidecar.
    pub missing: Vec<String>,
    /// `true` if the object may have keys that are not in `keys`: it does not name its wrapping key,
    /// its sidecar cannot be used, its keys are detached and no key store is read, or it is itself the
    /// sidecar or instruction file of an object and the client does not look for such a file.
    pub may_have_other_keys: bool,
    /// Generation of a sealed object.
    pub generation: Option<u32>,
    /// Reason why the sidecar cannot be used, or why the mark of a shredded object is wrong.
    pub problem: Option<Error>,
    pub(super) target: ObjectRef,
    /// Answer of S3 that was inspected.
    pub(super) head: Box<HeadObjectOutput>,
    pub(super) version_id: Option<String>,
    /// Header in the object's metadata, if it is sealed.
    pub(super) header: Option<Box<ObjectHeader>>,
}

/// An encrypted data key, and where it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectedKey {
    /// The key itself: its names are claims.
    pub key: EncryptedDataKey,
    /// `true` if the key is bound to a place that the client reads the object from: the object's
    /// own, or one that its [`PlacePolicy`](crate::PlacePolicy) accepts. No other key opens the
    /// object for this client.
    pub is_at_place: bool,
    /// `true` if the key is in the object's sidecar and not in its metadata.
    pub in_sidecar: bool,
    /// `true` if the key is in the key store and neither in the object's metadata nor in its sidecar.
    pub in_key_store: bool,
}

impl Inspect {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, bucket: None, key: None, version_id: None }
    }

    object_setters!();

    /// Inspects this version. If an instruction file was ever stored beside the object, an unsealed
    /// version counts as encrypted by it; to find out costs one `ListObjectVersions`.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    /// Inspects the object.
    ///
    /// # Errors
    /// * [`NotFound`](crate::ErrorKind::NotFound) if the object does not exist;
    /// * [`Malformed`](crate::ErrorKind::Malformed) or
    ///   [`Unsupported`](crate::ErrorKind::Unsupported) if the object's metadata or instruction file
    ///   is damaged, or of a kind that no client reads;
    /// * the failure of S3.
    ///
    /// A damaged sidecar is not an error: [`InspectOutput::problem`] reports it.
    #[tracing::instrument(
        name = "inspect",
        skip_all,
        fields(bucket = self.bucket, key = self.key),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<InspectOutput, Error> {
        let Self { handle, bucket, key, version_id } = self;
        let s3 = handle.store.s3();
        let target = ObjectRef::new("inspect", s3, bucket, key)?;
        let request = s3.head_object().bucket(&target.bucket).key(&target.key);
        let head = request.set_version_id(version_id.clone()).send().await;
        let head = match head {
            Ok(head) => head,
            Err(error) => {
                return Err(handle.store.head_failure(&target, AwsFailure::new(&error)).await);
            }
        };
        check_version(&target, version_id.as_deref(), head.version_id())?;
        let Handle { store, vault, .. } = &handle;
        let kind = Box::pin(vault.kind(store, &target, version_id.as_deref(), &head)).await?;
        if kind == ObjectKind::Sealwax {
            let output = inspect_sealed(&handle, target, head).await?;
            return Ok(InspectOutput { version_id, ..output });
        }
        if kind.is_encryption_client() {
            let is_version = version_id.is_some();
            let envelope = vault.claimed_envelope(store, &target, head.metadata(), is_version);
            if let Some(envelope) = Box::pin(envelope).await? {
                // Its length must be that of such an object.
                ObjectInfo::of_head(&target, &head, ObjectFormat::S3ec(envelope))?;
            }
        }
        // The metadata of an older version may be that of another object than the companions.
        let problem = match (kind, &version_id) {
            (ObjectKind::Shredded, None) => {
                Box::pin(vault.check_shredded(store, &target)).await.err()
            }
            _ => None,
        };
        let may_have_other_keys = match kind {
            // Its keys are among those of the object that it belongs to.
            ObjectKind::Sidecar => vault.sidecars().suffix().is_none(),
            // Else it may be the only sign of an object's older version, or of its keys under
            // another suffix.
            ObjectKind::InstructionFile => {
                version_id.is_some() || !Box::pin(vault.serves_its_object(store, &target)).await?
            }
            ObjectKind::Shredded => problem.is_some(),
            kind => kind.is_encryption_client(),
        };
        Ok(InspectOutput {
            kind,
            keys: Vec::new(),
            detached: Vec::new(),
            missing: Vec::new(),
            may_have_other_keys,
            generation: None,
            problem,
            target,
            head: Box::new(head),
            version_id,
            header: None,
        })
    }
}

async fn inspect_sealed(
    Handle { store, vault, .. }: &Handle,
    target: ObjectRef,
    head: HeadObjectOutput,
) -> Result<InspectOutput, Error> {
    let metadata = metadata::pairs(head.metadata().into_iter().flatten());
    let header = ObjectHeader::parse(metadata).map_err(|error| target.envelope_error(error))?;
    // Its length must be that of a sealed object.
    ObjectInfo::of_head(&target, &head, ObjectFormat::Sealwax(header.clone()))?;
    let (mut joined, mut problem) = (header.clone(), None);
    if let Some(suffix) = vault.sidecars().suffix() {
        let sidecar = Sidecar::find(store, &target, suffix, &header).await;
        let with_sidecar = sidecar.and_then(|sidecar| match sidecar.header() {
            Some(more) => header.joined(more).map_err(|error| target.envelope_error(error)),
            None => Ok(header.clone()),
        });
        match with_sidecar {
            Ok(header) => joined = header,
            Err(error) if error.kind().is_retryable() => return Err(error),
            Err(error) => problem = Some(error),
        }
    }
    let (own, more): (Vec<_>, Vec<_>) =
        joined.keys().iter().cloned().partition(|key| header.keys().contains(key));
    let mut stored = Vec::new();
    if let Some(key_store) = vault.key_store() {
        for slot in joined.slots() {
            stored.extend(key_store.all_keys(store, &target, &slot).await?);
        }
        stored.retain(|key| !joined.keys().contains(key));
    }
    let mut keys = Vec::new();
    let of_metadata = own.into_iter().map(|key| (key, false, false));
    let of_sidecar = more.into_iter().map(|key| (key, true, false));
    let of_key_store = stored.into_iter().map(|key| (key, false, true));
    for (key, in_sidecar, in_key_store) in of_metadata.chain(of_sidecar).chain(of_key_store) {
        let is_at_place = vault.places().accepts(&target, &key, &[])?;
        keys.push(InspectedKey { key, is_at_place, in_sidecar, in_key_store });
    }
    let is_unread = vault.key_store().is_none() && !joined.detached().is_empty();
    Ok(InspectOutput {
        kind: ObjectKind::Sealwax,
        keys,
        detached: joined.detached().to_vec(),
        missing: joined.missing().iter().map(|it| it.wrapping_key().to_owned()).collect(),
        may_have_other_keys: problem.is_some() || is_unread,
        generation: Some(joined.generation()),
        problem,
        target,
        head: Box::new(head),
        version_id: None,
        header: Some(Box::new(header)),
    })
}
