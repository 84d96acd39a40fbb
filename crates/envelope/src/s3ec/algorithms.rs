//! Formats, algorithm suites, wrapping algorithms and the commitment policy, with their spelling.

use std::fmt;

/// Length of the tag, which follows the ciphertext, in bytes.
pub const TAG_LEN: usize = 16;
/// Maximum plaintext length in bytes: one AES-GCM message. (NIST SP 800-38D §5.2.1.1.)
pub const MAX_PLAINTEXT_LEN: u64 = (1 << 36) - 32;
/// Length of a message id and of a commitment, in bytes.
pub(super) const MESSAGE_ID_LEN: usize = 28;

/// Version of the envelope. It is not the version of the client that wrote it: the clients of 2025 and later write V3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// AES-CBC, of the oldest clients.
    V1,
    /// AES-GCM, without key commitment; or AES-CBC.
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

/// Where the wrapped data key is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Storage {
    /// In the object's metadata.
    #[default]
    Metadata,
    /// In an object of its own beside it.
    InstructionFile,
}

/// How the content is encrypted, by the name that the specification gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentSuite {
    /// `ALG_AES_256_CBC_IV16_NO_KDF`: read only, not authenticated.
    AesCbc,
    /// `ALG_AES_256_GCM_IV12_TAG16_NO_KDF`.
    AesGcm,
    /// `ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY`.
    AesGcmCommitKey,
}

impl ContentSuite {
    /// What a key wrap is bound to, in words: `x-amz-cek-alg` of V2, `x-amz-c` of V3.
    pub(crate) fn binding(self) -> &'static str {
        match self {
            Self::AesCbc => "AES/CBC/PKCS5Padding",
            Self::AesGcm => "AES/GCM/NoPadding",
            Self::AesGcmCommitKey => "115",
        }
    }

    #[cfg(feature = "s3ec")]
    /// The same for a raw key: Java binds every suite that does not commit by the name of AES-GCM, whatever it is.
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

/// How the data key is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WrapAlgorithm {
    /// AWS KMS, with the encryption context and the content's suite.
    KmsContext,
    /// AWS KMS, bound to no suite. Legacy.
    Kms,
    /// AES-GCM under a key of the caller's.
    AesGcm,
    /// AES key wrap (RFC 3394) under a key of the caller's. Legacy.
    AesWrap,
    /// AES-ECB under a key of the caller's, in V1. Legacy.
    AesEcb,
    /// RSA-OAEP with SHA-1 under a key of the caller's.
    RsaOaepSha1,
    /// RSA-OAEP with SHA-256, and MGF1 with SHA-1, under a key of the caller's. Legacy.
    RsaOaepSha256,
    /// RSAES-PKCS1-v1_5 under a key of the caller's, in V1. Legacy.
    RsaPkcs1,
}

impl WrapAlgorithm {
    /// Whether a reader must have been told to expect it.
    #[must_use]
    pub fn is_legacy(self) -> bool {
        match self {
            Self::KmsContext | Self::AesGcm | Self::RsaOaepSha1 => false,
            Self::Kms | Self::AesWrap | Self::AesEcb | Self::RsaOaepSha256 | Self::RsaPkcs1 => true,
        }
    }

    /// Whether AWS KMS holds the wrapping key.
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

    /// `x-amz-wrap-alg`.
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

    /// `x-amz-w`.
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
