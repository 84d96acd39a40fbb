//! RSA-OAEP with SHA-256 and MGF1-SHA-1, against ciphertexts made by OpenSSL.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealwax_aws_lc::{OaepSha256Mgf1Sha1, Unauthentic};

const PRIVATE_KEY: &str =
    include_str!("../../../tests/vectors/s3ec/_keys/rsa2048-private-pkcs8.pem");

/// Bytes 0 to 31, encrypted by `openssl pkeyutl -encrypt -pkeyopt rsa_padding_mode:oaep -pkeyopt
/// rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha1`.
const SHA256_MGF1_SHA1: &str = concat!(
    "YU/Jb4/kfYNAPUbLSqQgNt/K3foMM2FnhScG72JvAnkWPvGhFCca1/F7JSaBKFCDfZB6UGmqBq7ZwTqHsRcAskmcgBfCgWpE6I8EWj8C9epvIz",
    "zp5FxfElYkWKB8xoshiMtK8k2FskfFP2YqGV2AX39a/LdnYFVFn9W2UkB3zdVvLYzjMAGFEJIch4DMc/F9HX5U83OvrKN4TesoJLtUbgNuKBYw",
    "H3ape5BTNwfvbv8rHI93ajE22OhBk36BlEiJydmKqiyJaUp7HrtnlvfJNhoLSGtCNE0cOBq0dTzGQEjWHdP5BkGCuZ4J1sIQuM8ff3acZ8l50o",
    "9McEkhl2dSlg==",
);

/// The same with `rsa_mgf1_md:sha256`.
const SHA256_MGF1_SHA256: &str = concat!(
    "cjudiFpC66myFU3abFr7NdiOKkbtCiVuFlB/qGPRW2gd0Pf7J6B2NoVql0O8KzFX0S44C+ZYffXF289jXpVpShpAV1aO2DrtuAV4LiWnGDvmOy",
    "NhPZr/NFzvByEUeYBnbwbHldT5HxovmrnJIHWMX5zViYDGEicrkue3xIbLisdP9vILOopwZ6V4D3oKAr/uzTDz2UrcelIvK5Mwx6CjknksfyqW",
    "SKQqaYNYTkef3IdnM719/5ucNUbQ7xtxdrb+u/ZTZW73X1Opmzlu2bVuUdgbSUxr9eGjo2FxnQGWGAXY9e+0VZ5Jt8iPs5jtqyqEeF2n/PVZZG",
    "1PZP+rmEWprg==",
);

fn key() -> OaepSha256Mgf1Sha1 {
    OaepSha256Mgf1Sha1::from_pkcs8(&der()).expect("a private key")
}

fn der() -> Vec<u8> {
    let base64: String = PRIVATE_KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(base64).expect("PEM")
}

#[test]
fn openssl_ciphertexts_decrypt() {
    let plaintext: Vec<u8> = (0..32).collect();
    let ciphertext = STANDARD.decode(SHA256_MGF1_SHA1).expect("base64");
    assert_eq!(*key().decrypt(&ciphertext).expect("genuine"), plaintext);
}

#[test]
fn every_failure_is_the_same_error() {
    let genuine = STANDARD.decode(SHA256_MGF1_SHA1).expect("base64");
    let other_mask = STANDARD.decode(SHA256_MGF1_SHA256).expect("base64");
    let mut flipped = genuine.clone();
    flipped[100] ^= 1;
    for bad in [
        &[][..],
        &[0; 256],
        &[0xff; 256],
        &genuine[1..],
        &flipped,
        &other_mask,
        &[genuine.clone(), vec![0]].concat(),
    ] {
        assert_eq!(key().decrypt(bad).err(), Some(Unauthentic));
    }
}

#[test]
fn other_bytes_are_not_a_key() {
    let der = der();
    for bad in [&[][..], &der[..der.len() - 1], &[der.clone(), vec![0]].concat(), b"junk"] {
        assert!(OaepSha256Mgf1Sha1::from_pkcs8(bad).is_none());
    }
}
