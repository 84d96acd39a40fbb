//! Which checksum S3 is to keep of a body.

use aws_sdk_s3::{
    config::{Builder, RequestChecksumCalculation},
    types::{ChecksumAlgorithm, ChecksumType},
};

/// Which checksum is sent with a body, for S3 to verify on arrival and to keep.
///
/// It guards nothing that the body's own tags do not; but with it a damaged part is refused on arrival, and S3's own
/// tools can verify what is stored. (Amazon S3 User Guide, "Checking object integrity".)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyChecksum {
    /// CRC-64/NVME of each part, from which S3 makes that of the whole object.
    #[default]
    Crc64Nvme,
    /// None: for stores that do not know it.
    None,
}

impl BodyChecksum {
    pub(crate) fn algorithm(self) -> Option<ChecksumAlgorithm> {
        match self {
            Self::Crc64Nvme => Some(ChecksumAlgorithm::Crc64Nvme),
            Self::None => None,
        }
    }

    /// Of a multipart upload.
    pub(crate) fn of_whole(self) -> Option<ChecksumType> {
        self.algorithm().map(|_| ChecksumType::FullObject)
    }

    /// A request's settings: without this, the SDK would add a checksum of its own.
    pub(crate) fn onto(self, config: Builder) -> Builder {
        match self {
            Self::Crc64Nvme => config,
            Self::None => {
                config.request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            }
        }
    }
}
