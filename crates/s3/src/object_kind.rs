//! What an object is, by its metadata.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use sealwax_envelope::{metadata, s3ec::INSTRUCTION_FILE_MARKER};

use crate::{operation::shred::SHREDDED, sidecars};

/// What an object is. Nobody vouches for it: it is what the object's metadata says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ObjectKind {
    /// Sealed by Sealwax.
    Sealwax,
    /// A sidecar of such an object.
    Sidecar,
    /// An object of Sealwax's whose keys were removed for good.
    Shredded,
    /// Of the Amazon S3 Encryption Client, format V1.
    EncryptionClientV1,
    /// Of that client, format V2.
    EncryptionClientV2,
    /// Of that client, format V3.
    EncryptionClientV3,
    /// Of that client, with its keys in an instruction file, format V1 or V2.
    EncryptionClientInstructed,
    /// An instruction file.
    InstructionFile,
    /// Neither: what is stored is what was uploaded.
    Unsealed,
    /// It could not be looked at.
    Unreadable,
}

impl ObjectKind {
    /// Its name in reports, such as `s3ec-v2`.
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

    /// Names are compared without regard to case: some stores change it.
    pub(super) fn by_metadata(head: &HeadObjectOutput) -> Self {
        let stored = || head.metadata().into_iter().flatten();
        let has = |name: &str| stored().any(|(stored, _)| stored.eq_ignore_ascii_case(name));
        match () {
            () if has(metadata::FORMAT) => Self::Sealwax,
            () if has(SHREDDED) => Self::Shredded,
            () if head.content_type() == Some(sidecars::CONTENT_TYPE) => Self::Sidecar,
            () if has(INSTRUCTION_FILE_MARKER) => Self::InstructionFile,
            // The keys of V3 may be in an instruction file; this much is in the object.
            () if has("x-amz-c") && has("x-amz-d") && has("x-amz-i") => Self::EncryptionClientV3,
            () if has("x-amz-key-v2") => Self::EncryptionClientV2,
            () if has("x-amz-key") => Self::EncryptionClientV1,
            () => Self::Unsealed,
        }
    }
}
