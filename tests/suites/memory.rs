//! The memory of a process that used keys: Sealwax leaves no key in it.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealwax_s3::envelope::{EncryptionContext, geometry::HEADER_LEN};
use sealwax_tests::{BodyKey, aes_256_key_schedule};

const MASK: u8 = 0xa5;

/// Runs the process. Returns the number of occurrences of each secret and of each key derived from
/// it.
fn found(scenario: &str) -> BTreeMap<String, usize> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scanned_process"))
        .arg(scenario)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the process starts");
    let mut lines =
        BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    let (mut secrets, mut headers) = (Vec::<(String, [u8; 32])>::new(), Vec::new());
    for line in lines.by_ref().take_while(|line| line != "end") {
        let (name, bytes) = line.rsplit_once(' ').expect("a name and bytes");
        let bytes = hex::decode(bytes).expect("hexadecimal");
        match name {
            "header" => headers.push(bytes),
            name => secrets.push((name.to_owned(), masked(&bytes).try_into().expect("32 bytes"))),
        }
    }
    assert_eq!(headers.len(), 3, "it did its work");

    let mut needles = Vec::new();
    for (name, secret) in &secrets {
        needles.extend(spellings(name, secret));
        // As KMS sends it.
        needles.push((format!("{name} in Base64"), STANDARD.encode(secret).into_bytes()));
        for header in &headers {
            let derived =
                BodyKey::derive(secret, &header[..24], &EncryptionContext::new().body_context());
            // Each body has one data key. Another key gives another commitment.
            if derived.commitment == header[24..HEADER_LEN] {
                needles.extend(spellings(&format!("body key of a {name}"), &derived.key));
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

/// Returns the key; its second half, because the allocator overwrites the start of freed memory;
/// and the last two round keys of its key schedule.
fn spellings(name: &str, key: &[u8; 32]) -> [(String, Vec<u8>); 3] {
    [
        (name.to_owned(), key.to_vec()),
        (format!("half of {name}"), key[16..].to_vec()),
        (format!("key schedule of {name}"), aes_256_key_schedule(key)[13..].concat()),
    ]
}

/// Asserts that only kept keys were found, and keys whose names end with `but`.
#[track_caller]
fn assert_nothing_left(found: &BTreeMap<String, usize>, but: &str) {
    assert!(
        found["kept key"] > 0 && found["half of kept key"] > 0,
        "the search does not find a kept key"
    );
    assert!(
        found["body key of a kept key"] > 0,
        "the search does not find the key of a cipher that is in use"
    );
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("aes") {
        let schedule = found["key schedule of body key of a kept key"];
        assert!(
            schedule > 0,
            "the search does not find the key schedule of a cipher that is in use"
        );
    }
    for name in ["data key", "intermediate key", "evicted key", "body key of a data key"] {
        for name in [name.to_owned(), format!("half of {name}"), format!("key schedule of {name}")]
        {
            assert_eq!(found.get(&name), Some(&0), "{name}");
        }
    }
    for (name, count) in found {
        assert!(name.contains("kept key") || name.ends_with(but) || *count == 0, "{name}: {count}");
    }
}

#[test]
fn no_trace_is_left_of_locally_generated_keys() {
    assert_nothing_left(&found("local"), "kept key");
}

/// KMS sends keys in Base64, and Sealwax cannot wipe the buffers of the HTTP client (SECURITY.md).
#[test]
fn sealwax_leaves_no_trace_of_keys_that_kms_generated() {
    assert_nothing_left(&found("kms"), "in Base64");
}
