//! Limits of Amazon S3.
//!
//! Sources: Amazon S3 User Guide, "Amazon S3 multipart upload limits" and "Naming Amazon S3
//! objects"; Amazon S3 API Reference, `CopyObject`.

/// Maximum number of parts of one multipart upload.
pub const MAX_PARTS: u64 = 10_000;
/// Minimum length of a part in bytes, except for the last one: 5 MiB.
pub const MIN_PART_LEN: u64 = 5 << 20;
/// Maximum length in bytes that one `CopyObject` or `UploadPartCopy` copies: 5 GiB.
pub const MAX_COPY_LEN: u64 = 5 << 30;
/// Maximum number of objects that one `DeleteObjects` deletes.
pub const MAX_DELETED_OBJECTS: usize = 1_000;
/// Maximum length of an object key in bytes of UTF-8.
pub const MAX_KEY_LEN: usize = 1024;
/// Maximum length of a bucket's name, or of the ARN of an access point, in bytes. (Names of today
/// have at most 63, those before March 2018 in us-east-1 at most 255.)
pub(crate) const MAX_BUCKET_LEN: usize = 255;
