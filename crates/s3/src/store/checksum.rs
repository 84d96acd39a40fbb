//! Checksums that S3 keeps of bodies.

use aws_sdk_s3::{
    config::{Builder, RequestChecksumCalculation},
    types::{ChecksumAlgorithm, ChecksumType},
};

/// Checksum that is sent with a body, which S3 verifies on arrival and keeps.
///
/// The body's authentication tags guard every byte already. With a checksum, S3 refuses a damaged
/// part on arrival, and S3's own tools can verify the stored body. (Amazon S3 User Guide, "Checking
/// object integrity".)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyChecksum {
    /// CRC-64/NVME of each part. S3 computes the checksum of the whole object from them.
    #[default]
    Crc64Nvme,
    /// No checksum, for stores that do not support it.
    None,
}

impl BodyChecksum {
    pub(crate) fn algorithm(self) -> Option<ChecksumAlgorithm> {
        match self {
            Self::Crc64Nvme => Some(ChecksumAlgorithm::Crc64Nvme),
            Self::None => None,
        }
    }

    /// Returns the checksum type of a multipart upload.
    pub(crate) fn of_whole(self) -> Option<ChecksumType> {
        self.algorithm().map(|_| ChecksumType::FullObject)
    }

    /// Adapts a request's settings. Without this, the SDK would add its own checksum.
    pub(crate) fn onto(self, config: Builder) -> Builder {
        match self {
            Self::Crc64Nvme => config,
            Self::None => {
                config.request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            }
        }
    }
}
