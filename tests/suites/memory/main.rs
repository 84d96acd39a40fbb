//! The memory of a process that used keys: Sealwax leaves no key in it.

mod kms_proxy;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealwax_s3::envelope::{EncryptionContext, geometry::HEADER_LEN};
use sealwax_tests::{BodyKey, aes_256_key_schedule, s3ec_content_key};

use self::kms_proxy::KmsProxy;

const MASK: u8 = 0xa5;

/// Number of occurrences of each secret, and of each key derived from it, by name and form.
type Found = BTreeMap<String, usize>;

/// Runs the process. Its KMS, if it uses one, is at `kms`.
fn found(scenario: &str, kms: Option<&KmsProxy>) -> Found {
    let mut child = Command::new(env!("CARGO_BIN_EXE_scanned_process"))
        .arg(scenario)
        .args(kms.map(KmsProxy::url))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the process starts");
    let mut lines =
        BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    let (mut secrets, mut headers, mut messages) =
        (Vec::<(String, [u8; 32])>::new(), Vec::new(), Vec::new());
    for line in lines.by_ref().take_while(|line| line != "end") {
        let (name, bytes) = line.rsplit_once(' ').expect("a name and bytes");
        let bytes = hex::decode(bytes).expect("hexadecimal");
        match name {
            "header" => headers.push(bytes),
            "message" => messages.push(bytes),
            name => {
                let secret = (name.to_owned(), masked(&bytes).try_into().expect("32 bytes"));
                // A key that is read again is the same key.
                if !secrets.contains(&secret) {
                    secrets.push(secret);
                }
            }
        }
    }
    let of_kms = if kms.is_some() { 3 } else { 0 };
    assert_eq!((headers.len(), messages.len()), (3 + of_kms, 1), "it did its work");

    let mut needles = Vec::new();
    for (name, secret) in &secrets {
        needles.extend(spellings(name, secret));
        for header in &headers {
            let derived =
                BodyKey::derive(secret, &header[..24], &EncryptionContext::new().body_context());
            // Each body has one data key. Another key gives another commitment.
            if derived.commitment == header[24..HEADER_LEN] {
                needles.extend(spellings(&format!("body key of a {name}"), &derived.key));
            }
        }
        if name.starts_with("S3EC") {
            for message in &messages {
                let content = s3ec_content_key(secret, message);
                needles.extend(spellings(&format!("content key of an {name}"), &content));
            }
        }
    }
    let mut input = child.stdin.take().expect("piped");
    for (name, needle) in &needles {
        writeln!(input, "{name} {}", hex::encode(masked(needle))).expect("written");
    }
    drop(input);
    let mut found = Found::new();
    for line in lines {
        let (name, count) = line.rsplit_once(' ').expect("a name and a number");
        *found.entry(name.to_owned()).or_default() += count.parse::<usize>().expect("a number");
    }
    assert!(child.wait().expect("it ends").success());
    let left: Vec<_> = found.iter().filter(|(_, count)| **count > 0).collect();
    println!("{scenario}, {:?}: {} keys, found {left:?}", kms.map(KmsProxy::url), secrets.len());
    found
}

fn masked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ MASK).collect()
}

/// Returns the forms of a key: the key; its second half, because the allocator overwrites the start
/// of freed memory; the last two round keys of its key schedule; Base64, as KMS sends it, and the end
/// of that; and hexadecimal.
fn spellings(name: &str, key: &[u8; 32]) -> [(String, Vec<u8>); 7] {
    let base64 = STANDARD.encode(key).into_bytes();
    [
        (name.to_owned(), key.to_vec()),
        (format!("half of {name}"), key[16..].to_vec()),
        (format!("key schedule of {name}"), aes_256_key_schedule(key)[13..].concat()),
        (format!("{name} in Base64"), base64.clone()),
        (format!("half of {name} in Base64"), base64[20..].to_vec()),
        (format!("{name} in hexadecimal"), hex::encode(key).into_bytes()),
        (format!("{name} in capital hexadecimal"), hex::encode_upper(key).into_bytes()),
    ]
}

/// Asserts that only kept keys were found, and what `may_be_left` accepts.
#[track_caller]
fn assert_nothing_left(found: &Found, names: &[&str], may_be_left: impl Fn(&str) -> bool) {
    assert!(
        found["kept key"] > 0 && found["half of kept key"] > 0,
        "the search does not find a kept key"
    );
    assert!(
        found["kept key in Base64"] > 0 && found["kept key in hexadecimal"] > 0,
        "the search does not find the text of a kept key"
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
    for name in names {
        for name in [
            (*name).to_owned(),
            format!("half of {name}"),
            format!("key schedule of {name}"),
            format!("{name} in hexadecimal"),
        ] {
            assert_eq!(found.get(&name), Some(&0), "{name}");
        }
    }
    for (name, count) in found {
        assert!(
            name.contains("kept key") || may_be_left(name) || *count == 0,
            "{name}: {count} copies"
        );
    }
}

/// Names of the secrets that every scenario has.
const LOCAL: [&str; 6] = [
    "data key",
    "intermediate key",
    "evicted key",
    "body key of a data key",
    "S3EC data key",
    "content key of an S3EC data key",
];

#[test]
fn no_trace_is_left_of_locally_generated_keys() {
    assert_nothing_left(&found("local", None), &LOCAL, |_| false);
}

/// Over HTTP and TLS, with each operation of KMS that has a key in its request or its response.
///
/// Of requests nothing is left: their bodies are Sealwax's. KMS answers with keys in Base64, in the
/// buffers of the HTTP client and of TLS, which Sealwax cannot wipe (SECURITY.md).
#[test]
fn sealwax_leaves_no_trace_of_keys_that_kms_sees() {
    for tls in [false, true] {
        let proxy = KmsProxy::start(tls);
        let found = found("kms", Some(&proxy));
        let operations = ["Decrypt", "Encrypt", "GenerateDataKey", "ReEncrypt"];
        assert_eq!(proxy.operations(), operations.map(str::to_owned).into());
        let names = [&LOCAL[..], &["received key", "sent key"]].concat();
        // A key that was only ever sent must not be left in any form.
        let is_of_an_answer = |name: &str| {
            name.ends_with("in Base64") && !name.contains("sent key") && !name.contains("body key")
        };
        assert_nothing_left(&found, &names, is_of_an_answer);
        assert_eq!(found["sent key in Base64"] + found["half of sent key in Base64"], 0);
    }
}
