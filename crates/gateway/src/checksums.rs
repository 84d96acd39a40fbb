//! Checksums that clients announce, and their verification over the plaintext.

use std::fmt;

use aws_smithy_checksums::{ChecksumAlgorithm as Smithy, http::HttpChecksum};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use crc_fast::{CrcAlgorithm, checksum_combine};
use md5::{Digest as _, Md5};

/// Checksum algorithms of S3 that the gateway verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum ChecksumAlgorithm {
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl ChecksumAlgorithm {
    /// All algorithms.
    pub(crate) const ALL: [Self; 5] =
        [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// Returns the name in headers' values and XML, such as `CRC64NVME`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// Returns the name of the header and trailer that carry the value.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// Returns the length of a digest in bytes.
    pub(crate) fn digest_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Returns the algorithm with that name, in any case.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name().eq_ignore_ascii_case(name))
    }

    /// Returns the algorithm of a lower-case header name.
    pub(crate) fn from_header(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.header() == name)
    }

    /// Decodes a value from a header or trailer; `None` if it can't be one of this algorithm.
    pub(crate) fn decode(self, value: &str) -> Option<Vec<u8>> {
        let digest = BASE64.decode(value).ok()?;
        (digest.len() == self.digest_len()).then_some(digest)
    }

    /// `true` for a cyclic redundancy check, which can be combined from those of parts.
    pub(crate) fn is_crc(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
    }

    /// Returns the checksum of the parts' checksums, which are in base64, with the number of parts.
    /// (Amazon S3 User Guide, "Checking object integrity", composite checksums.)
    pub(crate) fn of_parts<'a>(self, parts: impl Iterator<Item = &'a str>) -> Option<String> {
        let (mut hasher, mut count) = (self.hasher(), 0);
        for part in parts {
            hasher.update(&self.decode(part)?);
            count += 1;
        }
        Some(format!("{}-{count}", encode(&hasher.finish())))
    }

    /// Returns the checksum of all bytes of the parts, from the checksums in base64 and the lengths.
    /// `None` for an algorithm that is no CRC.
    pub(crate) fn of_whole<'a>(
        self,
        parts: impl Iterator<Item = (&'a str, u64)>,
    ) -> Option<String> {
        let crc = match self {
            Self::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
            Self::Crc32c => CrcAlgorithm::Crc32Iscsi,
            Self::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            Self::Sha1 | Self::Sha256 => return None,
        };
        let mut whole = None;
        for (part, len) in parts {
            let digest = self.decode(part)?;
            let part = digest.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            whole = Some(match whole {
                None => part,
                Some(before) => checksum_combine(crc, before, part, len),
            });
        }
        let bytes = whole?.to_be_bytes();
        Some(encode(&bytes[bytes.len() - self.digest_len()..]))
    }

    /// Starts a computation.
    pub(crate) fn hasher(self) -> Hasher {
        let smithy = match self {
            Self::Crc32 => Smithy::Crc32,
            Self::Crc32c => Smithy::Crc32c,
            Self::Crc64Nvme => Smithy::Crc64Nvme,
            Self::Sha1 => Smithy::Sha1,
            Self::Sha256 => Smithy::Sha256,
        };
        Hasher { state: smithy.into_impl() }
    }
}

impl fmt::Display for ChecksumAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A running checksum.
pub(crate) struct Hasher {
    state: Box<dyn HttpChecksum>,
}

impl Hasher {
    /// Adds bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
    }

    /// Returns the digest, big-endian.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.state.finalize().to_vec()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

/// Decodes the value of `Content-MD5`.
pub(crate) fn decode_md5(value: &str) -> Option<[u8; 16]> {
    BASE64.decode(value).ok()?.try_into().ok()
}

/// Encodes a digest as headers and XML carry it.
pub(crate) fn encode(digest: &[u8]) -> String {
    BASE64.encode(digest)
}

/// Digests that a body must have, each computed once.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    /// SHA-256, for `x-amz-content-sha256` and `x-amz-checksum-sha256` alike.
    sha256: Option<Hasher>,
    content_sha256: Option<[u8; 32]>,
    md5: Option<(Md5, [u8; 16])>,
    /// The checksum's algorithm, and its computation unless `sha256` does it.
    checksum: Option<(ChecksumAlgorithm, Option<Hasher>)>,
}

/// A digest that differs from the announced one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// `x-amz-content-sha256`.
    ContentSha256,
    /// `Content-MD5`.
    Md5,
    /// `x-amz-checksum-*`.
    Checksum(ChecksumAlgorithm),
}

impl Verifier {
    /// Starts the computations of what is announced. A checksum's value may follow in a trailer.
    pub(crate) fn new(
        content_sha256: Option<[u8; 32]>,
        md5: Option<[u8; 16]>,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Self {
        let is_sha256 = checksum == Some(ChecksumAlgorithm::Sha256);
        Self {
            sha256: (content_sha256.is_some() || is_sha256)
                .then(|| ChecksumAlgorithm::Sha256.hasher()),
            content_sha256,
            md5: md5.map(|expected| (Md5::new(), expected)),
            checksum: checksum.map(|it| (it, (!is_sha256).then(|| it.hasher()))),
        }
    }

    /// Adds bytes of the payload.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.sha256 {
            hasher.update(bytes);
        }
        if let Some((hasher, _)) = &mut self.md5 {
            hasher.update(bytes);
        }
        if let Some((_, Some(hasher))) = &mut self.checksum {
            hasher.update(bytes);
        }
    }

    /// Compares the digests. `checksum` is the announced value, from a header or a trailer.
    pub(crate) fn finish(self, checksum: Option<&[u8]>) -> Result<(), Mismatch> {
        let sha256 = self.sha256.map(Hasher::finish);
        if let Some(expected) = self.content_sha256
            && sha256.as_deref() != Some(expected.as_slice())
        {
            return Err(Mismatch::ContentSha256);
        }
        if let Some((hasher, expected)) = self.md5
            && hasher.finalize().as_slice() != expected
        {
            return Err(Mismatch::Md5);
        }
        if let Some((algorithm, hasher)) = self.checksum {
            let actual = hasher.map(Hasher::finish).or(sha256);
            if checksum.is_none() || actual.as_deref() != checksum {
                return Err(Mismatch::Checksum(algorithm));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_check_vectors() {
        for (algorithm, expected) in [
            (ChecksumAlgorithm::Crc32, "cbf43926"),
            (ChecksumAlgorithm::Crc32c, "e3069283"),
            (ChecksumAlgorithm::Crc64Nvme, "ae8b14860a799888"),
            (ChecksumAlgorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (
                ChecksumAlgorithm::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            let mut hasher = algorithm.hasher();
            hasher.update(b"1234");
            hasher.update(b"56789");
            let digest = hasher.finish();
            assert_eq!(hex::encode(&digest), expected, "{algorithm}");
            assert_eq!(digest.len(), algorithm.digest_len());
            assert_eq!(algorithm.decode(&encode(&digest)), Some(digest));
            assert_eq!(ChecksumAlgorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(ChecksumAlgorithm::from_header(algorithm.header()), Some(algorithm));
        }
        assert_eq!(ChecksumAlgorithm::from_name("md5"), None);
        assert_eq!(ChecksumAlgorithm::Crc32.decode("AAAAAAA="), None);
        assert_eq!(ChecksumAlgorithm::Crc32.decode("AAAAAA"), None);
    }

    #[test]
    fn every_announced_digest_is_compared() {
        let body = b"body";
        let digest_of = |algorithm: ChecksumAlgorithm| {
            let mut hasher = algorithm.hasher();
            hasher.update(body);
            hasher.finish()
        };
        let sha256: [u8; 32] = digest_of(ChecksumAlgorithm::Sha256).try_into().expect("32 bytes");
        let md5: [u8; 16] = Md5::digest(body).into();
        for algorithm in ChecksumAlgorithm::ALL {
            let checksum = digest_of(algorithm);
            let verify = |sha256, md5, checksum: &[u8]| {
                let mut verifier = Verifier::new(Some(sha256), Some(md5), Some(algorithm));
                verifier.update(&body[..1]);
                verifier.update(&body[1..]);
                verifier.finish(Some(checksum))
            };
            assert_eq!(verify(sha256, md5, &checksum), Ok(()));
            assert_eq!(verify([0; 32], md5, &checksum), Err(Mismatch::ContentSha256));
            assert_eq!(verify(sha256, [0; 16], &checksum), Err(Mismatch::Md5));
            let wrong = vec![7; checksum.len()];
            assert_eq!(verify(sha256, md5, &wrong), Err(Mismatch::Checksum(algorithm)));
            assert_eq!(verify(sha256, md5, &[]), Err(Mismatch::Checksum(algorithm)));
        }
    }
}
