//! Reading which keys an object depends on.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use sealwax_envelope::{EncryptedDataKey, EncryptionContext, ObjectHeader, metadata};

use super::{Handle, object_setters};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    object::ObjectInfo,
    store::companion::Companion,
    vault::{object_kind::ObjectKind, sidecar::Sidecar},
};

/// Reads which keys an object depends on, in its metadata and in its sidecar, without using a key.
///
/// It costs one `HeadObject`, one `GetObject` where the client looks for sidecars, and one more
/// `HeadObject` for an object that may have an instruction file. Nothing of it is authenticated.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// let inspection = client.inspect().bucket("bucket").key("2026/1.pdf").send().await?;
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

/// Keys and kind of an object.
#[derive(Debug)]
#[non_exhaustive]
pub struct InspectOutput {
    /// Kind of the object.
    pub kind: ObjectKind,
    /// Encrypted data keys of a sealed object: those in its metadata, then those that only its
    /// sidecar has.
    pub keys: Vec<InspectedKey>,
    /// Wrapping keys that the object still lacks.
    pub missing: Vec<String>,
    /// The generation of a sealed object.
    pub generation: Option<u32>,
    /// Fault of the sidecar, if it cannot be used.
    pub problem: Option<Error>,
    pub(super) target: ObjectRef,
    pub(super) context: EncryptionContext,
}

/// An encrypted data key, and where it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectedKey {
    /// The encrypted data key.
    pub key: EncryptedDataKey,
    /// `true` if the object's sidecar has it and not its metadata.
    pub in_sidecar: bool,
}

impl Inspect {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, bucket: None, key: None, version_id: None }
    }

    object_setters!();

    /// Inspects this version. Instruction files are looked up for unversioned names only.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    /// Inspects the object.
    ///
    /// # Errors
    /// S3 refuses a call, or the object's metadata is damaged. A damaged sidecar is no error but
    /// [`InspectOutput::problem`].
    #[tracing::instrument(name = "inspect", skip_all, fields(bucket = self.bucket, key = self.key), err(level = "debug"))]
    pub async fn send(self) -> Result<InspectOutput, Error> {
        let Self { handle, bucket, key, version_id } = self;
        let s3 = handle.store.s3();
        let target = ObjectRef::new("audit", s3, bucket, key)?;
        let is_versioned = version_id.is_some();
        let request = s3.head_object().bucket(&target.bucket).key(&target.key);
        let head = request.set_version_id(version_id).send().await;
        let head = head.map_err(|error| target.s3_error("HeadObject", &error))?;
        let kind = ObjectKind::of(&head);
        if kind == ObjectKind::Sealwax {
            return inspect_sealed(&handle, target, &head).await;
        }
        let is_instructed = kind == ObjectKind::Unsealed
            && !is_versioned
            && has_instruction_file(&handle, &target).await?;
        let kind = if is_instructed { ObjectKind::EncryptionClientInstructed } else { kind };
        Ok(InspectOutput {
            kind,
            keys: Vec::new(),
            missing: Vec::new(),
            generation: None,
            problem: None,
            target,
            context: EncryptionContext::new(),
        })
    }
}

async fn inspect_sealed(
    Handle { store, vault, .. }: &Handle,
    target: ObjectRef,
    head: &HeadObjectOutput,
) -> Result<InspectOutput, Error> {
    let metadata = metadata::pairs(head.metadata().into_iter().flatten());
    let header = ObjectHeader::parse(metadata).map_err(|error| target.envelope_error(error))?;
    let info = ObjectInfo::of_head(&target, head, ObjectFormat::Sealwax(header.clone()))?;
    let inspected =
        |key: &EncryptedDataKey, in_sidecar| InspectedKey { key: key.clone(), in_sidecar };
    let mut keys: Vec<_> = info.keys().iter().map(|key| inspected(key, false)).collect();
    let mut problem = None;
    if let Some(suffix) = vault.sidecars().suffix() {
        match Sidecar::find(store, &target, suffix, &header).await {
            Ok(sidecar) => {
                let more = sidecar.header().into_iter().flat_map(ObjectHeader::keys);
                let more = more.filter(|key| !info.keys().contains(key));
                keys.extend(more.map(|key| inspected(key, true)));
            }
            Err(error) if error.kind().is_retryable() => return Err(error),
            Err(error) => problem = Some(error),
        }
    }
    let missing = header.missing().iter();
    Ok(InspectOutput {
        kind: ObjectKind::Sealwax,
        keys,
        missing: missing.map(|missing| missing.wrapping_key().to_owned()).collect(),
        generation: Some(info.generation()),
        problem,
        target,
        context: info.encryption_context().clone(),
    })
}

/// `true` if an instruction file of the Amazon S3 Encryption Client is beside the object.
async fn has_instruction_file(
    Handle { store, vault, .. }: &Handle,
    target: &ObjectRef,
) -> Result<bool, Error> {
    let file = Companion::of(target, vault.s3ec().file_suffix());
    let Some(file) = file else { return Ok(false) };
    let at = file.object();
    let head = store.s3().head_object().bucket(&at.bucket).key(&at.key).send().await;
    match head.map_err(|error| at.s3_error("HeadObject", &error)) {
        Ok(head) => Ok(ObjectKind::of(&head) == ObjectKind::InstructionFile),
        // Without the permission to list, S3 answers 403 instead of 404.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::AccessDenied | ErrorKind::NotFound | ErrorKind::NoSuchBucket
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
