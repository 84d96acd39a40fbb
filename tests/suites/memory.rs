//! What is left of keys in the memory of a process that used them: nothing of ours.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;

const MASK: u8 = 0xa5;
const HEADER_LEN: usize = 56;

/// Runs the process; returns how often each of its secrets, and what derives from them, was found.
fn found(scenario: &str) -> BTreeMap<String, usize> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scanned_process"))
        .arg(scenario)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the process starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    let (mut secrets, mut headers) = (Vec::new(), Vec::new());
    for line in lines.by_ref().take_while(|line| line != "end") {
        let (name, bytes) = line.rsplit_once(' ').expect("a name and bytes");
        let bytes = hex::decode(bytes).expect("hexadecimal");
        match name {
            "header" => headers.push(bytes),
            name => secrets.push((name.to_owned(), masked(&bytes))),
        }
    }
    assert_eq!(headers.len(), 2, "it did its work");

    let mut needles = Vec::new();
    for (name, secret) in &secrets {
        needles.push((name.clone(), secret.clone()));
        // As KMS sends it: the whole of it, and what an unaligned copy has in common with it.
        needles.push((format!("{name} in Base64"), STANDARD.encode(secret).into_bytes()));
        for header in headers.iter().filter(|_| name == "data key") {
            let (key, derived_header) = body_key(secret, &header[..24]);
            // Each body has one data key; with another one, the commitment is another.
            if derived_header == header[24..HEADER_LEN] {
                needles.push(("body key, and so the beginning of its key schedule".into(), key));
            }
        }
    }
    let mut input = child.stdin.take().expect("piped");
    for (name, needle) in &needles {
        writeln!(input, "{name} {}", hex::encode(masked(needle))).expect("written");
    }
    drop(input);
    let mut found = BTreeMap::new();
    for line in lines {
        let (name, count) = line.rsplit_once(' ').expect("a name and a number");
        *found.entry(name.to_owned()).or_default() += count.parse::<usize>().expect("a number");
    }
    assert!(child.wait().expect("it ends").success());
    println!("{scenario}: {found:?}");
    found
}

fn masked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ MASK).collect()
}

/// The body's key and commitment. (FORMAT.md, "Body"; the encryption context is empty.)
fn body_key(data_key: &[u8], salt: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let info = [b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0", salt, b"sealwax/v1\0\0\0\0\0"].concat();
    let mut okm = Vec::new();
    for block in 1..=2 {
        let mut mac = Hmac::<Sha512>::new_from_slice(data_key).expect("any length");
        mac.update(&okm);
        mac.update(&info);
        mac.update(&[block]);
        okm.extend(mac.finalize().into_bytes());
    }
    (okm[..32].to_vec(), okm[44..76].to_vec())
}

#[test]
fn nothing_is_left_of_keys_that_were_made_and_wrapped_here() {
    let found = found("local");
    assert!(found["kept key"] > 0, "the search does not find what is there");
    let names = ["data key", "intermediate key", "body key, and so the beginning of its key schedule"];
    for name in names {
        assert_eq!(found.get(name), Some(&0), "{name}");
    }
    for (name, count) in &found {
        assert!(name == "kept key" || *count == 0, "{name}: {count}");
    }
}

/// KMS sends keys in Base64, and what the HTTP layer keeps of that is not ours to wipe: SECURITY.md says so.
#[test]
fn nothing_of_ours_is_left_of_keys_that_kms_made() {
    let found = found("kms");
    assert!(found["kept key"] > 0, "the search does not find what is there");
    for (name, count) in &found {
        assert!(name == "kept key" || name.ends_with("in Base64") || *count == 0, "{name}: {count}");
    }
}
