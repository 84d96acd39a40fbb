//! Formats, algorithm suites, wrapping algorithms and the commitment policy, with their spelling.

use std::fmt;

/// Length of the tag, which follows the ciphertext, in bytes.
pub const TAG_LEN: usize = 16;
/// Maximum plaintext length in bytes: one AES-GCM message. (NIST SP 800-38D §5.2.1.1.)
pub const MAX_PLAINTEXT_LEN: u64 = (1 << 36) - 32;
/// Length of a message id and of a commitment, in bytes.
pub(super) const MESSAGE_ID_LEN: usize = 28;

/// Version of the envelope, not of the client that wrote it: clients since 2025 write V3.
///
/// Exhaustive: a new version needs a decision by each caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// AES-CBC, written by the oldest clients.
    V1,
    /// AES-GCM without key commitment, or AES-CBC.
    V2,
    /// AES-GCM with key commitment.
    V3,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "V1",
            Self::V2 => "V2",
            Self::V3 => "V3",
        })
    }
}

/// Location of the wrapped data key.
///
/// Exhaustive: the specification has no other location.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Storage {
    /// In the object's metadata.
    #[default]
    Metadata,
    /// In a separate object, the instruction file.
    InstructionFile,
}

/// Algorithm suite of the content, with its name in the specification.
///
/// Exhaustive: a new suite needs a decision by each caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentSuite {
    /// `ALG_AES_256_CBC_IV16_NO_KDF`: not authenticated, for reading only.
    AesCbc,
    /// `ALG_AES_256_GCM_IV12_TAG16_NO_KDF`.
    AesGcm,
    /// `ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY`.
    AesGcmCommitKey,
}

impl ContentSuite {
    /// Returns the name that a wrapped key is bound to: `x-amz-cek-alg` in V2, `x-amz-c` in V3.
    pub(crate) fn binding(self) -> &'static str {
        match self {
            Self::AesCbc => "AES/CBC/PKCS5Padding",
            Self::AesGcm => "AES/GCM/NoPadding",
            Self::AesGcmCommitKey => "115",
        }
    }

    /// Returns the name for a raw key: the Java client binds all suites without commitment by the
    /// name of AES-GCM. [`Envelope::admit`](super::Envelope::admit) therefore refuses AES-CBC under
    /// a raw key's current algorithms.
    #[cfg(feature = "s3ec")]
    pub(super) fn raw_key_binding(self) -> &'static str {
        match self {
            Self::AesCbc => Self::AesGcm.binding(),
            suite => suite.binding(),
        }
    }
}

impl fmt::Display for ContentSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AesCbc => "ALG_AES_256_CBC_IV16_NO_KDF",
            Self::AesGcm => "ALG_AES_256_GCM_IV12_TAG16_NO_KDF",
            Self::AesGcmCommitKey => "ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY",
        })
    }
}

/// Wrapping algorithm of the data key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WrapAlgorithm {
    /// AWS KMS, bound to the encryption context and the content's suite.
    KmsContext,
    /// AWS KMS, not bound to the content's suite. Legacy.
    Kms,
    /// AES-GCM under a raw key.
    AesGcm,
    /// AES key wrap (RFC 3394) under a raw key. Legacy.
    AesWrap,
    /// AES-ECB under a raw key, in V1. Legacy.
    AesEcb,
    /// RSA-OAEP with SHA-1 under a raw key.
    RsaOaepSha1,
    /// RSA-OAEP with SHA-256, and MGF1 with SHA-1, under a raw key. Legacy.
    RsaOaepSha256,
    /// RSAES-PKCS1-v1_5 under a raw key, in V1. Legacy.
    RsaPkcs1,
}

impl WrapAlgorithm {
    /// `true` if a reader must enable legacy wrapping algorithms.
    #[must_use]
    pub fn is_legacy(self) -> bool {
        match self {
            Self::KmsContext | Self::AesGcm | Self::RsaOaepSha1 => false,
            Self::Kms | Self::AesWrap | Self::AesEcb | Self::RsaOaepSha256 | Self::RsaPkcs1 => true,
        }
    }

    /// `true` if AWS KMS holds the wrapping key.
    #[must_use]
    pub fn is_kms(self) -> bool {
        matches!(self, Self::KmsContext | Self::Kms)
    }

    pub(super) fn of_v2(text: &str) -> Option<Self> {
        const ALL: [WrapAlgorithm; 6] = [
            WrapAlgorithm::KmsContext,
            WrapAlgorithm::Kms,
            WrapAlgorithm::AesGcm,
            WrapAlgorithm::AesWrap,
            WrapAlgorithm::RsaOaepSha1,
            WrapAlgorithm::RsaOaepSha256,
        ];
        ALL.into_iter().find(|algorithm| algorithm.name() == text)
    }

    pub(super) fn of_v3(text: &str) -> Option<Self> {
        [Self::KmsContext, Self::AesGcm, Self::RsaOaepSha1]
            .into_iter()
            .find(|it| it.v3() == Some(text))
    }

    /// Returns the value of `x-amz-wrap-alg`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::KmsContext => "kms+context",
            Self::Kms => "kms",
            Self::AesGcm => "AES/GCM",
            Self::AesWrap => "AESWrap",
            Self::AesEcb => "AES",
            Self::RsaOaepSha1 => "RSA-OAEP-SHA1",
            Self::RsaOaepSha256 => "RSA/ECB/OAEPWithSHA-256AndMGF1Padding",
            Self::RsaPkcs1 => "RSA",
        }
    }

    /// Returns the value of `x-amz-w`.
    pub(super) fn v3(self) -> Option<&'static str> {
        match self {
            Self::KmsContext => Some("12"),
            Self::AesGcm => Some("02"),
            Self::RsaOaepSha1 => Some("22"),
            _ => None,
        }
    }
}

impl fmt::Display for WrapAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Requirement that content is encrypted under a key that it commits to, with the names of the
/// official clients.
///
/// Exhaustive: these are the specification's policies, and a new one needs a decision by each
/// caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CommitmentPolicy {
    /// Writes V2; reads all formats.
    ForbidEncryptAllowDecrypt,
    /// Writes V3; reads all formats.
    RequireEncryptAllowDecrypt,
    /// Writes V3; reads only V3.
    #[default]
    RequireEncryptRequireDecrypt,
}

impl CommitmentPolicy {
    /// Returns the suite for new objects.
    #[must_use]
    pub fn suite(self) -> ContentSuite {
        match self {
            Self::ForbidEncryptAllowDecrypt => ContentSuite::AesGcm,
            Self::RequireEncryptAllowDecrypt | Self::RequireEncryptRequireDecrypt => {
                ContentSuite::AesGcmCommitKey
            }
        }
    }
}

impl fmt::Display for CommitmentPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
