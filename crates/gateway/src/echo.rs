//! Checksums in answers.

use s3s::dto::ChecksumType;

use crate::checksums::ChecksumAlgorithm;

/// The checksum that a client sent, which is told again.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    pub(crate) crc32: Option<String>,
    pub(crate) crc32c: Option<String>,
    pub(crate) crc64nvme: Option<String>,
    pub(crate) sha1: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) checksum_type: Option<ChecksumType>,
}

impl Echo {
    /// Tells a checksum of a whole object or of a part, in base64.
    pub(crate) fn of(checksum: Option<(ChecksumAlgorithm, String)>) -> Self {
        let mut echo = Self::default();
        let Some((algorithm, value)) = checksum else { return echo };
        echo.checksum_type = Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT));
        *match algorithm {
            ChecksumAlgorithm::Crc32 => &mut echo.crc32,
            ChecksumAlgorithm::Crc32c => &mut echo.crc32c,
            ChecksumAlgorithm::Crc64Nvme => &mut echo.crc64nvme,
            ChecksumAlgorithm::Sha1 => &mut echo.sha1,
            ChecksumAlgorithm::Sha256 => &mut echo.sha256,
        } = Some(value);
        echo
    }
}
