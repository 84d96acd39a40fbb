//! The names of envelope metadata. S3 tells no capitals from small letters; these are the small ones.

pub(super) const KEY_V1: &str = "x-amz-key";
pub(super) const KEY_V2: &str = "x-amz-key-v2";
pub(super) const IV: &str = "x-amz-iv";
pub(super) const DESCRIPTION: &str = "x-amz-matdesc";
pub(super) const WRAP_ALGORITHM: &str = "x-amz-wrap-alg";
pub(super) const CONTENT_ALGORITHM: &str = "x-amz-cek-alg";
pub(super) const TAG_LEN: &str = "x-amz-tag-len";
/// Informational: nobody trusts it.
pub(super) const PLAINTEXT_LEN: &str = "x-amz-unencrypted-content-length";
/// Of a client of 2020 (CVE-2022-2582): never written, ignored.
const PLAINTEXT_MD5: &str = "x-amz-unencrypted-content-md5";
/// Marks the object that is an instruction file. It is always written, and never required.
pub const INSTRUCTION_FILE_MARKER: &str = "x-amz-crypto-instr-file";

pub(super) const SUITE_V3: &str = "x-amz-c";
pub(super) const COMMITMENT_V3: &str = "x-amz-d";
pub(super) const MESSAGE_ID_V3: &str = "x-amz-i";
pub(super) const KEY_V3: &str = "x-amz-3";
pub(super) const WRAP_ALGORITHM_V3: &str = "x-amz-w";
pub(super) const CONTEXT_V3: &str = "x-amz-t";
pub(super) const DESCRIPTION_V3: &str = "x-amz-m";

/// What V1 and V2 have, and V3 must not.
pub(super) const LEGACY: [&str; 7] =
    [KEY_V1, KEY_V2, IV, DESCRIPTION, WRAP_ALGORITHM, CONTENT_ALGORITHM, TAG_LEN];
/// What a V3 object holds itself, whether it has an instruction file or not.
pub(super) const CONTENT_V3: [&str; 3] = [SUITE_V3, COMMITMENT_V3, MESSAGE_ID_V3];
/// What V3 holds in the object or in its instruction file.
pub(super) const KEYS_V3: [&str; 4] = [KEY_V3, WRAP_ALGORITHM_V3, CONTEXT_V3, DESCRIPTION_V3];

/// The constant that `name` is, in any case.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let all = LEGACY.iter().chain(&CONTENT_V3).chain(&KEYS_V3);
    all.chain(&[PLAINTEXT_LEN, PLAINTEXT_MD5, INSTRUCTION_FILE_MARKER])
        .find(|known| known.eq_ignore_ascii_case(name))
        .copied()
}

/// Whether a metadata name belongs to the S3 Encryption Client, in any case: no metadata of the user's own may have it.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    known(name).is_some()
}
