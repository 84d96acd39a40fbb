//! Cryptographic primitives: the only module that calls a cryptographic library.
//!
//! Each backend provides [`Aes256Gcm`] (NIST SP 800-38D, 96-bit nonce, 128-bit tag),
//! `hkdf_expand_sha512` (RFC 5869 §2.3) and `sha512` (FIPS 180-4). Random bytes come from the
//! operating system.

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
#[cfg(feature = "aws-lc-rs")]
use aws_lc as backend;

#[cfg(feature = "rustcrypto")]
#[cfg_attr(feature = "aws-lc-rs", allow(dead_code))]
mod rustcrypto;
#[cfg(all(feature = "rustcrypto", not(feature = "aws-lc-rs")))]
use rustcrypto as backend;

#[cfg(feature = "s3ec")]
pub(crate) mod s3ec_primitives;

#[cfg(not(any(feature = "aws-lc-rs", feature = "rustcrypto")))]
compile_error!(
    "sealwax-envelope needs a cipher: enable the feature `aws-lc-rs` (default) or `rustcrypto`"
);

#[cfg(test)]
mod backend_tests;
#[cfg(all(test, feature = "s3ec"))]
mod s3ec_primitives_tests;

pub(crate) use backend::{Aes256Gcm, hkdf_expand_sha512, sha512};

/// Length of an AES-256 key, and of every data key, in bytes.
pub(crate) const KEY_LEN: usize = 32;
/// Length of a GCM nonce in bytes.
pub(crate) const NONCE_LEN: usize = 12;
/// Length of a GCM tag in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// Fills `out` with random bytes of the operating system. (AWS-LC's generator takes tens of
/// milliseconds to seed itself.)
pub(crate) fn fill_random(out: &mut [u8]) -> Result<(), RandomUnavailable> {
    getrandom::fill(out).map_err(|_| RandomUnavailable)
}

/// The data does not authenticate. Deliberately without details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unauthentic;

/// The operating system returned no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RandomUnavailable;
