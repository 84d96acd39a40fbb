//! Metadata names of the envelope. Compared without regard to case, because some stores change it.

pub(super) const KEY_V1: &str = "x-amz-key";
pub(super) const KEY_V2: &str = "x-amz-key-v2";
pub(super) const IV: &str = "x-amz-iv";
pub(super) const DESCRIPTION: &str = "x-amz-matdesc";
pub(super) const WRAP_ALGORITHM: &str = "x-amz-wrap-alg";
pub(super) const CONTENT_ALGORITHM: &str = "x-amz-cek-alg";
pub(super) const TAG_LEN: &str = "x-amz-tag-len";
/// Informational, not trusted.
pub(super) const PLAINTEXT_LEN: &str = "x-amz-unencrypted-content-length";
/// Written by a client of 2020 (CVE-2022-2582). Ignored here, never written.
const PLAINTEXT_MD5: &str = "x-amz-unencrypted-content-md5";
/// Marks an instruction file. Always written, never required.
pub const INSTRUCTION_FILE_MARKER: &str = "x-amz-crypto-instr-file";

pub(super) const SUITE_V3: &str = "x-amz-c";
pub(super) const COMMITMENT_V3: &str = "x-amz-d";
pub(super) const MESSAGE_ID_V3: &str = "x-amz-i";
pub(super) const KEY_V3: &str = "x-amz-3";
pub(super) const WRAP_ALGORITHM_V3: &str = "x-amz-w";
pub(super) const CONTEXT_V3: &str = "x-amz-t";
pub(super) const DESCRIPTION_V3: &str = "x-amz-m";

/// Names of V1 and V2, which V3 must not have.
pub(super) const LEGACY: [&str; 7] =
    [KEY_V1, KEY_V2, IV, DESCRIPTION, WRAP_ALGORITHM, CONTENT_ALGORITHM, TAG_LEN];
/// Names in the metadata of a V3 object, with or without an instruction file.
pub(super) const CONTENT_V3: [&str; 3] = [SUITE_V3, COMMITMENT_V3, MESSAGE_ID_V3];
/// Names of V3 in the object's metadata or in its instruction file.
pub(super) const KEYS_V3: [&str; 4] = [KEY_V3, WRAP_ALGORITHM_V3, CONTEXT_V3, DESCRIPTION_V3];

/// Returns the constant that equals `name`, ignoring case.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let all = LEGACY.iter().chain(&CONTENT_V3).chain(&KEYS_V3);
    all.chain(&[PLAINTEXT_LEN, PLAINTEXT_MD5, INSTRUCTION_FILE_MARKER])
        .find(|known| known.eq_ignore_ascii_case(name))
        .copied()
}

/// `true` if a metadata name is reserved for the S3 Encryption Client, ignoring case. User-defined
/// metadata cannot use it.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    known(name).is_some()
}

/// Pair that binds a data key wrapped by KMS to the content's suite.
pub(super) const SUITE_PAIR: &str = "aws:x-amz-cek-alg";
/// Pair by which V1 clients named the KMS key.
pub(super) const KEY_ID_PAIR: &str = "kms_cmk_id";
