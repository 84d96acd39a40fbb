//! Names of buckets, and keys that belong to Sealwax.

use std::net::Ipv4Addr;

/// Prefix of the keys that belong to Sealwax, such as those of the key store.
const HIDDEN_PREFIX: &str = ".sealwax/";

/// Returns `true` for names that S3 allows for buckets.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&name.len())
        && bytes.iter().all(|&byte| is_letter(byte) || matches!(byte, b'.' | b'-'))
        && bytes.first().is_some_and(|&byte| is_letter(byte))
        && bytes.last().is_some_and(|&byte| is_letter(byte))
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err()
        // s3s refuses these as well. S3 reserves the prefix.
        && !name.starts_with("xn--")
}

/// Returns `true` for keys of Sealwax itself, which no client may see or change.
pub(crate) fn is_hidden(key_or_prefix: &str) -> bool {
    key_or_prefix.starts_with(HIDDEN_PREFIX)
}
