//! Keys derived from other keys, computed independently of the library.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;

/// Key material of one sealed body. (FORMAT.md, "Body".)
#[derive(Clone, PartialEq, Eq)]
#[expect(missing_debug_implementations, reason = "a test that compares keys must not print them")]
pub struct BodyKey {
    /// The AES-256-GCM key.
    pub key: [u8; 32],
    /// The nonce of chunk 0.
    pub base_nonce: [u8; 12],
    /// The commitment, the last part of the body's header.
    pub commitment: [u8; 32],
}

impl BodyKey {
    /// Derives the key material of the body whose header begins with the 24-byte `salt`.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn derive(data_key: &[u8; 32], salt: &[u8], body_context: &[u8]) -> Self {
        let info =
            [b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0", salt, body_context].concat();
        let mut okm = Vec::new();
        for block in 1..=2 {
            let mut mac = Hmac::<Sha512>::new_from_slice(data_key).expect("any length");
            mac.update(&okm);
            mac.update(&info);
            mac.update(&[block]);
            okm.extend(mac.finalize().into_bytes());
        }
        let part = |from: usize, to: usize| okm[from..to].to_vec();
        Self {
            key: part(0, 32).try_into().expect("32 bytes"),
            base_nonce: part(32, 44).try_into().expect("12 bytes"),
            commitment: part(44, 76).try_into().expect("32 bytes"),
        }
    }
}

/// Derives the content key of an object of the S3 Encryption Client, format V3. (Its
/// specification, "Key derivation": HKDF with SHA-512.)
///
/// # Panics
/// Never.
#[must_use]
pub fn s3ec_content_key(data_key: &[u8; 32], message_id: &[u8]) -> [u8; 32] {
    let hmac = |key: &[u8], data: &[u8]| {
        let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("any length");
        mac.update(data);
        mac.finalize().into_bytes()
    };
    let prk = hmac(message_id, data_key);
    let okm = hmac(&prk, b"\x00\x73DERIVEKEY\x01");
    okm[..32].try_into().expect("32 of 64 bytes")
}

/// Returns the 15 round keys of AES-256, which a cipher keeps instead of the key. (FIPS 197 §5.2.)
#[must_use]
pub fn aes_256_key_schedule(key: &[u8; 32]) -> [[u8; 16]; 15] {
    let mut words: Vec<[u8; 4]> = key.as_chunks().0.to_vec();
    let mut round_constant = 1;
    for i in 8..60 {
        let mut word = words[i - 1];
        match i % 8 {
            0 => {
                word.rotate_left(1);
                word = word.map(substitute);
                word[0] ^= round_constant;
                round_constant = double(round_constant);
            }
            4 => word = word.map(substitute),
            _ => {}
        }
        let before = words[i - 8];
        words.push([0, 1, 2, 3].map(|at| word[at] ^ before[at]));
    }
    let bytes = words.concat();
    std::array::from_fn(|round| bytes[16 * round..16 * (round + 1)].try_into().expect("16 bytes"))
}

/// Doubles `byte` in AES's finite field. (FIPS 197 §4.2.)
fn double(byte: u8) -> u8 {
    (byte << 1) ^ if byte & 0x80 == 0 { 0 } else { 0x1b }
}

/// AES's S-box. (FIPS 197 §5.1.1.)
fn substitute(byte: u8) -> u8 {
    let product = |a: u8, b: u8| {
        let (mut sum, mut power) = (0, a);
        for bit in 0..8 {
            sum ^= if b >> bit & 1 == 0 { 0 } else { power };
            power = double(power);
        }
        sum
    };
    // The inverse is the 254th power.
    let inverse = (0..254).fold(1, |power, _| product(power, byte));
    (1..5).fold(inverse, |sum, turn| sum ^ inverse.rotate_left(turn)) ^ 0x63
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 197 (update 1), appendix A.3.
    #[test]
    fn the_key_schedule_matches_the_standard() {
        let key = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
        let schedule =
            aes_256_key_schedule(&hex::decode(key).expect("hex").try_into().expect("32 bytes"));
        assert_eq!(hex::encode(&schedule.concat()[..32]), key);
        assert_eq!(hex::encode(schedule[2]), "9ba354118e6925afa51a8b5f2067fcde");
        assert_eq!(hex::encode(schedule[14]), "fe4890d1e6188d0b046df344706c631e");
    }
}
