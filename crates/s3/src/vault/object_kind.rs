//! Classification of objects by their metadata.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use sealwax_envelope::{
    metadata,
    s3ec::{Format, INSTRUCTION_FILE_MARKER},
};

use super::sidecar;
use crate::format::SHREDDED;

/// Kind of an object, as its metadata claims it. Nothing of it is authenticated.
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
            Self::Unsealed => "unsealed",
            Self::Unreadable => "unreadable",
        }
    }

    /// Classifies an object by its `HeadObject` response.
    ///
    /// An object with an instruction file of format V1 or V2 has no metadata of its own and counts
    /// as [`ObjectKind::Unsealed`].
    #[must_use]
    pub fn of(head: &HeadObjectOutput) -> Self {
        // Some stores change the case of names.
        let stored = || head.metadata().into_iter().flatten();
        let has = |name: &str| stored().any(|(stored, _)| stored.eq_ignore_ascii_case(name));
        if has(metadata::FORMAT) {
            Self::Sealwax
        } else if has(SHREDDED) {
            Self::Shredded
        } else if head.content_type() == Some(sidecar::CONTENT_TYPE) {
            Self::Sidecar
        } else if has(INSTRUCTION_FILE_MARKER) {
            Self::InstructionFile
        } else {
            match Format::claimed(metadata::pairs(stored())) {
                Some(Format::V3) => Self::EncryptionClientV3,
                Some(Format::V2) => Self::EncryptionClientV2,
                Some(Format::V1) => Self::EncryptionClientV1,
                None => Self::Unsealed,
            }
        }
    }
}
