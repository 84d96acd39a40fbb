//! The checksum that S3 keeps of an object, and that its copy keeps too.

use aws_sdk_s3::{
    operation::{
        complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder,
        head_object::HeadObjectOutput,
    },
    types::{
        ChecksumAlgorithm, ChecksumType, CompletedPart, CopyPartResult,
        builders::CompletedPartBuilder,
    },
};

/// Returns the checksum's algorithm, if there is a checksum.
pub(super) fn algorithm(head: &HeadObjectOutput) -> Option<ChecksumAlgorithm> {
    let present = [
        (head.checksum_crc64_nvme(), ChecksumAlgorithm::Crc64Nvme),
        (head.checksum_crc32_c(), ChecksumAlgorithm::Crc32C),
        (head.checksum_crc32(), ChecksumAlgorithm::Crc32),
        (head.checksum_sha512(), ChecksumAlgorithm::Sha512),
        (head.checksum_sha256(), ChecksumAlgorithm::Sha256),
        (head.checksum_sha1(), ChecksumAlgorithm::Sha1),
        (head.checksum_md5(), ChecksumAlgorithm::Md5),
        (head.checksum_xxhash64(), ChecksumAlgorithm::Xxhash64),
        (head.checksum_xxhash3(), ChecksumAlgorithm::Xxhash3),
        (head.checksum_xxhash128(), ChecksumAlgorithm::Xxhash128),
    ];
    present.into_iter().find_map(|(checksum, algorithm)| checksum.map(|_| algorithm))
}

/// Returns the checksum's type for a multipart upload. Only for CRCs can the whole object's checksum
/// be computed from those of the parts. (Amazon S3 User Guide, "Checking object integrity in Amazon S3".)
pub(super) fn of_upload(head: &HeadObjectOutput) -> Option<ChecksumType> {
    match algorithm(head)? {
        ChecksumAlgorithm::Crc64Nvme => Some(ChecksumType::FullObject),
        ChecksumAlgorithm::Crc32 | ChecksumAlgorithm::Crc32C => head.checksum_type().cloned(),
        _ => Some(ChecksumType::Composite),
    }
}

/// Makes S3 compare the whole copy with the object's checksum, if that covers the whole object.
pub(super) fn expect(
    request: CompleteMultipartUploadFluentBuilder,
    head: &HeadObjectOutput,
) -> CompleteMultipartUploadFluentBuilder {
    let of_whole = of_upload(head).filter(|kind| *kind == ChecksumType::FullObject);
    // A checksum of parts ends with their number.
    let whole = |checksum: &Option<String>| {
        checksum.clone().filter(|text| of_whole.is_some() && !text.contains('-'))
    };
    request
        .set_checksum_type(of_upload(head))
        .set_checksum_crc64_nvme(whole(&head.checksum_crc64_nvme))
        .set_checksum_crc32_c(whole(&head.checksum_crc32_c))
        .set_checksum_crc32(whole(&head.checksum_crc32))
}

/// Describes a copied part with its checksums.
pub(super) fn completed(part: CopyPartResult) -> CompletedPartBuilder {
    CompletedPart::builder()
        .set_e_tag(part.e_tag)
        .set_checksum_crc64_nvme(part.checksum_crc64_nvme)
        .set_checksum_crc32_c(part.checksum_crc32_c)
        .set_checksum_crc32(part.checksum_crc32)
        .set_checksum_sha512(part.checksum_sha512)
        .set_checksum_sha256(part.checksum_sha256)
        .set_checksum_sha1(part.checksum_sha1)
        .set_checksum_md5(part.checksum_md5)
        .set_checksum_xxhash64(part.checksum_xxhash64)
        .set_checksum_xxhash3(part.checksum_xxhash3)
        .set_checksum_xxhash128(part.checksum_xxhash128)
}
