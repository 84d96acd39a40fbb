//! Classification of objects: what each one is, as far as its metadata, its content and its
//! companions tell.

use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput,
    primitives::{DateTime, DateTimeFormat},
};
use futures_util::TryStreamExt as _;
use sealwax_envelope::{
    ObjectHeader,
    metadata::{self, SIDECAR_LIMIT},
    s3ec::{
        Detected, Format, INSTRUCTION_FILE_MARKER, MAX_INSTRUCTION_FILE_LEN, detect,
        is_instruction_file,
    },
};

use super::{Vault, sidecar};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::SHREDDED,
    store::{
        Store,
        companion::{Companion, Found, read_bounded},
        list::ListPages,
    },
};

/// Maximum length of a companion object, in bytes.
const MAX_COMPANION_LEN: usize = MAX_INSTRUCTION_FILE_LEN;
const _: () = assert!(SIDECAR_LIMIT <= MAX_COMPANION_LEN);
/// Number of versions at an instruction file's address that are read. With more of them, there may
/// be one.
const MAX_FILE_VERSIONS: usize = 20;

/// Kind of an object, as it claims. Nothing of it is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ObjectKind {
    /// An object that Sealwax sealed.
    Sealwax,
    /// The sidecar of a sealed object.
    Sidecar,
    /// A sealed object whose keys were shredded.
    Shredded,
    /// An object of the Amazon S3 Encryption Client, format V1.
    EncryptionClientV1,
    /// An object of that client, format V2.
    EncryptionClientV2,
    /// An object of that client, format V3.
    EncryptionClientV3,
    /// An object of that client with its keys in an instruction file, format V1 or V2.
    EncryptionClientInstructed,
    /// An instruction file.
    InstructionFile,
    /// An empty object whose key ends in `/`: some tools represent a folder by it.
    FolderMarker,
    /// An object that no client encrypted.
    Unsealed,
    /// An object that could not be read.
    Unreadable,
}

impl ObjectKind {
    /// `true` for a sealed object of any format, whose keys or key may be needed to open it.
    #[must_use]
    pub fn is_sealed(self) -> bool {
        self == Self::Sealwax || self.is_encryption_client()
    }

    /// `true` for an object of the Amazon S3 Encryption Client. It has one wrapped key and does not
    /// name the wrapping key.
    #[must_use]
    pub fn is_encryption_client(self) -> bool {
        matches!(
            self,
            Self::EncryptionClientV1
                | Self::EncryptionClientV2
                | Self::EncryptionClientV3
                | Self::EncryptionClientInstructed
        )
    }

    /// `true` for a companion object: a sidecar or an instruction file. Its keys are those of
    /// another object.
    #[must_use]
    pub fn is_companion(self) -> bool {
        matches!(self, Self::Sidecar | Self::InstructionFile)
    }

    /// Returns the name in reports, such as `s3ec-v2`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sealwax => "sealwax",
            Self::Sidecar => "sidecar",
            Self::Shredded => "shredded",
            Self::EncryptionClientV1 => "s3ec-v1",
            Self::EncryptionClientV2 => "s3ec-v2",
            Self::EncryptionClientV3 => "s3ec-v3",
            Self::EncryptionClientInstructed => "s3ec-instructed",
            Self::InstructionFile => "instruction-file",
            Self::FolderMarker => "folder-marker",
            Self::Unsealed => "unsealed",
            Self::Unreadable => "unreadable",
        }
    }

    /// Classifies the object at `key` by its `HeadObject` response alone.
    ///
    /// Whatever a sealed object's metadata has beside its format, the object counts as sealed: a
    /// mark must not hide it. An object with an instruction file of format V1 or V2 has no metadata
    /// of its own, and not every instruction file has a mark: both count as
    /// [`ObjectKind::Unsealed`] here. [`crate::SealedClient::inspect`] recognizes them, and checks
    /// the content of what claims to be a sidecar or an instruction file.
    #[must_use]
    pub fn of(key: &str, head: &HeadObjectOutput) -> Self {
        let stored = || metadata::pairs(head.metadata().into_iter().flatten());
        // Some stores change the case of names.
        let has = |name: &str| stored().any(|(stored, _)| stored.eq_ignore_ascii_case(name));
        if stored().any(|(name, _)| metadata::is_format_name(name)) {
            return Self::Sealwax;
        }
        match Format::claimed(stored()) {
            Some(Format::V3) => Self::EncryptionClientV3,
            Some(Format::V2) => Self::EncryptionClientV2,
            Some(Format::V1) => Self::EncryptionClientV1,
            None if has(SHREDDED) => Self::Shredded,
            None if is_folder_marker(key, head.content_length()) => Self::FolderMarker,
            None if head.content_type() == Some(sidecar::CONTENT_TYPE) => Self::Sidecar,
            None if has(INSTRUCTION_FILE_MARKER) => Self::InstructionFile,
            None => Self::Unsealed,
        }
    }
}

/// `true` for an empty object whose key ends in `/`: some tools represent a folder by it. No sealed
/// object is empty as stored.
pub(crate) fn is_folder_marker(key: &str, stored_len: Option<i64>) -> bool {
    stored_len == Some(0) && key.ends_with('/')
}

/// Returns the mark of a shredded object as text: the time of the shredding.
///
/// Anyone who can write to the bucket can set the mark, so nothing but a time is repeated.
pub(crate) fn shredded_at<'a>(
    stored: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<String> {
    let (_, time) = stored.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(SHREDDED))?;
    let time = DateTime::from_str(time, DateTimeFormat::DateTime).ok();
    let time = time.and_then(|time| time.fmt(DateTimeFormat::DateTime).ok());
    Some(time.unwrap_or_else(|| "an unknown date".into()))
}

impl Vault {
    /// Classifies the object at `target` by its `HeadObject` response `head` and, where that does
    /// not decide, by its content and its companions.
    ///
    /// No mark, no content type and no name makes an object a companion: its content must be that
    /// of one. Else a writer to the bucket could hide any object from the jobs that skip companions.
    pub(crate) async fn kind(
        &self,
        store: &Store,
        target: &ObjectRef,
        version_id: Option<&str>,
        head: &HeadObjectOutput,
    ) -> Result<ObjectKind, Error> {
        let kind = ObjectKind::of(&target.key, head);
        if !kind.is_companion() && kind != ObjectKind::Unsealed {
            return Ok(kind);
        }
        let may_be = |claims: bool, suffix: &str| claims || target.key.ends_with(suffix);
        let may_be_sidecar = may_be(kind == ObjectKind::Sidecar, self.sidecars().suffix_to_write());
        let may_be_file = may_be(kind == ObjectKind::InstructionFile, self.s3ec().file_suffix());
        let is_short = head.content_length().is_some_and(|len| len <= MAX_COMPANION_LEN as i64);
        if (may_be_sidecar || may_be_file) && is_short {
            match read_bounded(store, target, version_id, MAX_COMPANION_LEN).await? {
                Found::Object { bytes, .. } => {
                    if may_be_sidecar && ObjectHeader::of_sidecar(&bytes).is_ok() {
                        return Ok(ObjectKind::Sidecar);
                    }
                    if may_be_file && is_instruction_file(&bytes) {
                        return Ok(ObjectKind::InstructionFile);
                    }
                }
                Found::Nothing => {
                    return Err(target.error(ErrorKind::NotFound, "it was deleted meanwhile"));
                }
                // What cannot be read does not pass for a companion.
                Found::Denied(_) => {}
            }
        }
        Ok(match self.has_instruction_file(store, target, version_id.is_some()).await? {
            true => ObjectKind::EncryptionClientInstructed,
            false => ObjectKind::Unsealed,
        })
    }

    /// `true` if there is an instruction file of the Amazon S3 Encryption Client beside the object;
    /// with `any_version`, also if there was one: nothing tells which version of the object it
    /// belongs to.
    async fn has_instruction_file(
        &self,
        store: &Store,
        target: &ObjectRef,
        any_version: bool,
    ) -> Result<bool, Error> {
        let Some(file) = Companion::of(target, self.s3ec().file_suffix()) else { return Ok(false) };
        let found = file.read(store, MAX_INSTRUCTION_FILE_LEN).await?;
        if matches!(found, Found::Object { bytes, .. } if is_instruction_file(&bytes)) {
            return Ok(true);
        }
        if !any_version {
            return Ok(false);
        }
        let at = file.object();
        let pages = ListPages::versions(store.s3(), &at.bucket, &at.key);
        let mut versions = std::pin::pin!(pages.into_stream());
        let mut looked_at = 0;
        while let Some(version) = versions.try_next().await? {
            if version.key != at.key {
                // Listings are in the order of keys: the versions of the key itself come first.
                break;
            }
            if version.size.is_some_and(|len| len > MAX_INSTRUCTION_FILE_LEN as u64) {
                continue;
            }
            if looked_at == MAX_FILE_VERSIONS {
                return Ok(true);
            }
            looked_at += 1;
            let version_id = version.version_id.as_deref();
            let found = read_bounded(store, at, version_id, MAX_INSTRUCTION_FILE_LEN).await?;
            if matches!(found, Found::Object { bytes, .. } if is_instruction_file(&bytes)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// `true` if the instruction file at `target` holds the key of the object beside it, as that
    /// object is now.
    pub(crate) async fn serves_its_object(
        &self,
        store: &Store,
        target: &ObjectRef,
    ) -> Result<bool, Error> {
        let Some(key) = target.key.strip_suffix(self.s3ec().file_suffix()) else {
            return Ok(false);
        };
        if key.is_empty() {
            return Ok(false);
        }
        let head = store.s3().head_object().bucket(&target.bucket).key(key).send().await;
        match head.map_err(|error| target.s3_error("HeadObject", &error)) {
            Ok(head) => {
                let stored = || metadata::pairs(head.metadata().into_iter().flatten());
                Ok(match ObjectKind::of(key, &head) {
                    ObjectKind::Unsealed => true,
                    ObjectKind::EncryptionClientV3 => {
                        matches!(detect(stored()), Ok(Detected::Pending(_)))
                    }
                    _ => false,
                })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Checks that an object with the mark of a shredded one has no keys in a companion.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if it has: the mark is wrong.
    pub(crate) async fn check_shredded(
        &self,
        store: &Store,
        target: &ObjectRef,
    ) -> Result<(), Error> {
        let still = |at: &ObjectRef| {
            let message = format!(
                "it is marked as shredded, but s3://{}/{} still holds keys of it; shred the \
                 object again, or delete that object",
                at.bucket, at.key
            );
            Err(target.error(ErrorKind::Malformed, message))
        };
        if let Some(sidecar) = Companion::of(target, self.sidecars().suffix_to_write())
            && let Found::Object { bytes, .. } = sidecar.read(store, SIDECAR_LIMIT).await?
            && ObjectHeader::of_sidecar(&bytes).is_ok()
        {
            return still(sidecar.object());
        }
        match Companion::of(target, self.s3ec().file_suffix()) {
            Some(file) if self.has_instruction_file(store, target, false).await? => {
                still(file.object())
            }
            _ => Ok(()),
        }
    }
}
