//! Malformed and unusual objects: all cases recorded with the official Python client that need no
//! S3, and more. Each results in an error or in the whole plaintext, never in a wrong byte.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealwax_envelope::{
    EncryptionContext,
    s3ec::{Error, ReadPolicy, detect},
};

use crate::samples::{Keys, Sample, allow_decrypt, everything, sample};

type Edit = Box<dyn Fn(&mut Sample)>;

/// Expected result of a case.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expect {
    Opens,
    Authentication,
    Malformed,
    InstructionFile,
    Unsupported,
    Policy,
    LegacyContent,
    LegacyWrap,
    Context,
    Truncated,
}

impl Expect {
    fn of(result: &Result<Vec<u8>, Error>) -> Self {
        match result {
            Ok(_) => Self::Opens,
            Err(Error::Authentication) => Self::Authentication,
            Err(Error::Malformed(_)) => Self::Malformed,
            Err(Error::InstructionFile) => Self::InstructionFile,
            Err(Error::Unsupported(_)) => Self::Unsupported,
            Err(Error::CommitmentPolicy { .. }) => Self::Policy,
            Err(Error::LegacyContent(_)) => Self::LegacyContent,
            Err(Error::LegacyWrap(_)) => Self::LegacyWrap,
            Err(Error::ContextMismatch(_) | Error::NoContext(_)) => Self::Context,
            Err(Error::Truncated) => Self::Truncated,
            Err(other) => panic!("{other}"),
        }
    }
}

fn set(name: &'static str, value: &'static str) -> Edit {
    Box::new(move |sample| {
        sample.metadata.insert(name.into(), value.into());
    })
}

fn remove(name: &'static str) -> Edit {
    Box::new(move |sample| assert!(sample.metadata.remove(name).is_some(), "{name}"))
}

/// Changes the bytes that a metadata value encodes in base64.
fn bytes(name: &'static str, change: fn(&mut Vec<u8>)) -> Edit {
    Box::new(move |sample| {
        let value = sample.metadata.get_mut(name).expect("the name");
        let mut bytes = STANDARD.decode(&value).expect("base64");
        change(&mut bytes);
        *value = STANDARD.encode(bytes);
    })
}

fn replace(name: &'static str, from: &'static str, to: &'static str) -> Edit {
    Box::new(move |sample| {
        let value = sample.metadata.get_mut(name).expect("the name");
        assert!(value.contains(from), "{value}");
        *value = value.replace(from, to);
    })
}

fn body(change: fn(&mut Vec<u8>)) -> Edit {
    Box::new(move |sample| change(&mut sample.body))
}

fn context(name: &'static str, value: &'static str) -> Edit {
    Box::new(move |sample| sample.context.insert(name, value).expect("a pair"))
}

fn file(change: fn(String) -> String) -> Edit {
    Box::new(move |sample| {
        let file =
            String::from_utf8(sample.instruction_file.take().expect("a file")).expect("text");
        sample.instruction_file = Some(change(file).into_bytes());
    })
}

fn both(one: Edit, other: Edit) -> Edit {
    Box::new(move |sample| {
        one(sample);
        other(sample);
    })
}

fn nothing() -> Edit {
    Box::new(|_| {})
}

fn cases() -> Vec<(&'static str, &'static str, Edit, ReadPolicy, Expect)> {
    use Expect::{
        Authentication, Context, LegacyContent, LegacyWrap, Malformed, Opens, Policy, Truncated,
        Unsupported,
    };
    let strict = ReadPolicy::new();
    let allow = allow_decrypt();
    let all = everything();
    let wraps = allow_decrypt().legacy_wrapping_algorithms(true);
    let modes = allow_decrypt().legacy_unauthenticated_modes(true);
    let legacy_but_strict =
        ReadPolicy::new().legacy_wrapping_algorithms(true).legacy_unauthenticated_modes(true);
    let (v3, v2, cbc) = ("v3-kms-block16", "v2-kms-block16", "v2-kmsv1-cbc");
    let (v3_file, v2_file) = ("v3-kms-instruction", "v2-kms-instruction");
    vec![
        ("V3 baseline", v3, nothing(), strict, Opens),
        ("x-amz-c=116", v3, set("x-amz-c", "116"), allow, Unsupported),
        ("x-amz-c=AES/GCM/NoPadding", v3, set("x-amz-c", "AES/GCM/NoPadding"), allow, Unsupported),
        ("the same, default policy", v3, set("x-amz-c", "AES/GCM/NoPadding"), strict, Unsupported),
        (
            "x-amz-c=AES/CBC/PKCS5Padding",
            v3,
            set("x-amz-c", "AES/CBC/PKCS5Padding"),
            all,
            Unsupported,
        ),
        ("x-amz-c=0115", v3, set("x-amz-c", "0115"), allow, Unsupported),
        ("no x-amz-c", v3, remove("x-amz-c"), allow, Malformed),
        ("no x-amz-d", v3, remove("x-amz-d"), allow, Malformed),
        ("no x-amz-i", v3, remove("x-amz-i"), allow, Malformed),
        ("no x-amz-w", v3, remove("x-amz-w"), allow, Malformed),
        ("no x-amz-3", v3, remove("x-amz-3"), allow, Malformed),
        ("no x-amz-t", v3, remove("x-amz-t"), allow, Malformed),
        ("x-amz-w=02", v3, set("x-amz-w", "02"), allow, Authentication),
        ("x-amz-w=22", v3, set("x-amz-w", "22"), allow, Authentication),
        ("x-amz-w=11", v3, set("x-amz-w", "11"), allow, Unsupported),
        ("x-amz-w=kms+context", v3, set("x-amz-w", "kms+context"), allow, Unsupported),
        ("x-amz-d flipped", v3, bytes("x-amz-d", |it| it[3] ^= 1), allow, Authentication),
        ("x-amz-d of 27 bytes", v3, bytes("x-amz-d", |it| it.truncate(27)), allow, Malformed),
        ("x-amz-d of 29 bytes", v3, bytes("x-amz-d", |it| it.push(0)), allow, Malformed),
        ("x-amz-i flipped", v3, bytes("x-amz-i", |it| it[3] ^= 1), allow, Authentication),
        ("x-amz-i of 12 bytes", v3, bytes("x-amz-i", |it| it.truncate(12)), allow, Malformed),
        ("x-amz-i of zeros", v3, bytes("x-amz-i", |it| it.fill(0)), allow, Malformed),
        ("x-amz-d not base64", v3, set("x-amz-d", "not base64!"), allow, Malformed),
        ("x-amz-d without padding", "v3-kms-ctx", replace("x-amz-d", "=", ""), allow, Malformed),
        ("x-amz-3 not base64", v3, set("x-amz-3", "not base64!"), allow, Malformed),
        ("x-amz-3 flipped", v3, bytes("x-amz-3", |it| it[40] ^= 1), allow, Authentication),
        ("x-amz-3 too long", v3, bytes("x-amz-3", |it| it.resize(6145, 1)), allow, Malformed),
        ("x-amz-t wrong suite", v3, replace("x-amz-t", "115", "114"), allow, Malformed),
        ("x-amz-t extra pair", v3, replace("x-amz-t", "{", r#"{"a":"b","#), allow, Context),
        (
            "the same, given",
            v3,
            both(replace("x-amz-t", "{", r#"{"a":"b","#), context("a", "b")),
            allow,
            Authentication,
        ),
        ("x-amz-t not JSON", v3, set("x-amz-t", "{not json"), allow, Malformed),
        ("x-amz-t empty", v3, set("x-amz-t", ""), allow, Malformed),
        (
            "x-amz-t twice the same name",
            v3,
            replace("x-amz-t", "{", r#"{"aws:x-amz-cek-alg":"115","#),
            allow,
            Malformed,
        ),
        ("x-amz-m too", v3, set("x-amz-m", "{}"), allow, Opens),
        ("a context, none stored", v3, context("a", "b"), allow, Context),
        (
            "less context than stored",
            "v3-kms-ctx",
            Box::new(|it| it.context = EncryptionContext::new()),
            allow,
            Context,
        ),
        (
            "the same, any context",
            "v3-kms-ctx",
            Box::new(|it| it.context = EncryptionContext::new()),
            allow.any_encryption_context(true),
            Opens,
        ),
        (
            "any context, a wrong one",
            "v3-kms-ctx",
            context("more", "x"),
            allow.any_encryption_context(true),
            Context,
        ),
        ("a context for a raw key", "v3-aes", context("a", "b"), allow, Context),
        ("extra x-amz-key-v2", v3, set("x-amz-key-v2", "AAAA"), allow, Malformed),
        ("extra x-amz-key", v3, set("x-amz-key", "AAAA"), allow, Malformed),
        ("extra x-amz-iv", v3, set("x-amz-iv", "AAAA"), allow, Malformed),
        ("extra x-amz-matdesc", v3, set("x-amz-matdesc", "not json"), allow, Malformed),
        ("extra length", v3, set("x-amz-unencrypted-content-length", "99"), allow, Opens),
        ("extra names of others", v3, set("x-amz-other", "x"), allow, Opens),
        (
            "capitals",
            v3,
            Box::new(|it| {
                it.metadata = it
                    .metadata
                    .iter()
                    .map(|(name, value)| (name.to_uppercase(), value.clone()))
                    .collect();
            }),
            allow,
            Opens,
        ),
        ("a name in both cases", v3, set("X-Amz-C", "115"), allow, Malformed),
        ("the marker on the object", v3, set("x-amz-crypto-instr-file", ""), allow, Malformed),
        ("ciphertext flipped", v3, body(|it| it[5] ^= 1), allow, Authentication),
        ("tag flipped", v3, body(|it| *it.last_mut().expect("a tag") ^= 1), allow, Authentication),
        ("1 byte less", v3, body(|it| it.truncate(it.len() - 1)), allow, Authentication),
        ("1 byte more", v3, body(|it| it.push(0)), allow, Authentication),
        ("15 bytes", v3, body(|it| it.truncate(15)), allow, Truncated),
        ("0 bytes", v3, body(Vec::clear), allow, Truncated),
        ("a tag alone", v3, body(|it| it.truncate(16)), allow, Authentication),
        ("V2 baseline", v2, nothing(), allow, Opens),
        ("V2 default policy", v2, nothing(), strict, Policy),
        ("V2 no x-amz-key-v2", v2, remove("x-amz-key-v2"), allow, Malformed),
        ("V2 no x-amz-iv", v2, remove("x-amz-iv"), allow, Malformed),
        ("V2 no x-amz-cek-alg", v2, remove("x-amz-cek-alg"), allow, Malformed),
        ("V2 no x-amz-wrap-alg", v2, remove("x-amz-wrap-alg"), allow, Malformed),
        ("V2 no x-amz-matdesc", v2, remove("x-amz-matdesc"), allow, Malformed),
        ("V2 no x-amz-tag-len", v2, remove("x-amz-tag-len"), allow, Opens),
        ("V2 x-amz-tag-len=96", v2, set("x-amz-tag-len", "96"), allow, Malformed),
        ("V2 iv of 16 bytes", v2, bytes("x-amz-iv", |it| it.extend([0; 4])), allow, Malformed),
        ("V2 iv flipped", v2, bytes("x-amz-iv", |it| it[0] ^= 1), allow, Authentication),
        ("V2 AES/CTR", v2, set("x-amz-cek-alg", "AES/CTR/NoPadding"), all, Unsupported),
        ("V2 x-amz-cek-alg=115", v2, set("x-amz-cek-alg", "115"), all, Unsupported),
        (
            "V2 as CBC, legacy off",
            v2,
            both(
                set("x-amz-cek-alg", "AES/CBC/PKCS5Padding"),
                bytes("x-amz-iv", |it| it.extend([0; 4])),
            ),
            allow,
            LegacyContent,
        ),
        (
            "V2 as CBC, legacy on",
            v2,
            both(
                set("x-amz-cek-alg", "AES/CBC/PKCS5Padding"),
                bytes("x-amz-iv", |it| it.extend([0; 4])),
            ),
            all,
            Malformed,
        ),
        ("V2 as kms, legacy off", v2, set("x-amz-wrap-alg", "kms"), allow, LegacyWrap),
        ("V2 as kms, legacy on", v2, set("x-amz-wrap-alg", "kms"), wraps, Malformed),
        (
            "V2 as kms, a context",
            v2,
            both(set("x-amz-wrap-alg", "kms"), context("a", "b")),
            wraps,
            Malformed,
        ),
        ("V2 as AES/GCM", v2, set("x-amz-wrap-alg", "AES/GCM"), allow, Authentication),
        ("V2 as RSA", v2, set("x-amz-wrap-alg", "RSA-OAEP-SHA1"), allow, Authentication),
        (
            "V2 as OAEP-SHA256",
            v2,
            set("x-amz-wrap-alg", "RSA/ECB/OAEPWithSHA-256AndMGF1Padding"),
            all,
            Authentication,
        ),
        ("V2 as AESWrap", v2, set("x-amz-wrap-alg", "AESWrap"), all, Authentication),
        ("V2 matdesc {}", v2, set("x-amz-matdesc", "{}"), allow, Malformed),
        ("V2 extra x-amz-c", v2, set("x-amz-c", "115"), allow, Malformed),
        (
            "V2 extra x-amz-c and w, default policy",
            v2,
            both(set("x-amz-c", "115"), set("x-amz-w", "12")),
            strict,
            Malformed,
        ),
        ("V2 extra x-amz-3", v2, set("x-amz-3", "AAAA"), allow, Malformed),
        ("V2 extra x-amz-key", v2, set("x-amz-key", "AAAA"), allow, Malformed),
        ("V2 ciphertext flipped", v2, body(|it| it[5] ^= 1), allow, Authentication),
        ("V2 matdesc a list", v2, set("x-amz-matdesc", "[]"), allow, Malformed),
        (
            "V2 matdesc a number",
            v2,
            set("x-amz-matdesc", r#"{"aws:x-amz-cek-alg":1}"#),
            allow,
            Malformed,
        ),
        ("CBC both flags off", cbc, nothing(), allow, LegacyContent),
        ("CBC wraps alone", cbc, nothing(), wraps, LegacyContent),
        ("CBC modes alone", cbc, nothing(), modes, LegacyWrap),
        ("CBC both on", cbc, nothing(), all, Opens),
        ("CBC default policy", cbc, nothing(), legacy_but_strict, Policy),
        ("CBC, a context", cbc, context("a", "b"), all, Context),
        ("CBC padding of 0", cbc, body(|it| it[784 - 17] ^= 7), all, Authentication),
        ("CBC not whole blocks", cbc, body(|it| it.truncate(it.len() - 1)), all, Authentication),
        ("CBC no blocks", cbc, body(Vec::clear), all, Authentication),
        ("CBC iv of 12 bytes", cbc, bytes("x-amz-iv", |it| it.truncate(12)), all, Malformed),
        ("CBC by its other name", cbc, set("x-amz-cek-alg", "AES/CBC/PKCS7Padding"), all, Opens),
        ("V1 another wrap", "v1-kmsv1-cbc", set("x-amz-wrap-alg", "kms+context"), all, Unsupported),
        (
            "V1 with GCM",
            "v1-kmsv1-cbc",
            set("x-amz-cek-alg", "AES/GCM/NoPadding"),
            all,
            Unsupported,
        ),
        ("V1 legacy off", "v1-rsa-cbc", nothing(), allow, LegacyContent),
        ("file V3 baseline", v3_file, nothing(), strict, Opens),
        ("file missing", v3_file, Box::new(|it| it.instruction_file = None), allow, Malformed),
        (
            "file with c",
            v3_file,
            file(|it| it.replacen('{', r#"{"x-amz-c":"115","#, 1)),
            allow,
            Malformed,
        ),
        (
            "file with d and i",
            v3_file,
            Box::new(|it| {
                let moved = ["x-amz-d", "x-amz-i"].map(|name| {
                    format!("\"{name}\":\"{}\",", it.metadata.remove(name).expect("it"))
                });
                file_of(it, |file| file.replacen('{', &format!("{{{}", moved.concat()), 1));
            }),
            allow,
            Malformed,
        ),
        (
            "file with a name of others",
            v3_file,
            file(|it| it.replacen('{', r#"{"foo":["bar"],"#, 1)),
            allow,
            Opens,
        ),
        (
            "file with an unknown name like ours",
            v3_file,
            file(|it| it.replacen('{', r#"{"x-amz-new":"bar","#, 1)),
            allow,
            Malformed,
        ),
        (
            "file with length",
            v3_file,
            file(|it| it.replacen('{', r#"{"x-amz-unencrypted-content-length":"1","#, 1)),
            allow,
            Opens,
        ),
        ("file not JSON", v3_file, file(|_| "not json".into()), allow, Malformed),
        ("file a list", v3_file, file(|_| "[]".into()), allow, Malformed),
        ("file empty", v3_file, file(|_| String::new()), allow, Malformed),
        ("file {}", v3_file, file(|_| "{}".into()), allow, Malformed),
        ("file with a byte order mark", v3_file, file(|it| format!("\u{feff}{it}")), allow, Opens),
        ("file with white space", v3_file, file(|it| format!(" {it}\n \t")), allow, Opens),
        ("file with trailing bytes", v3_file, file(|it| format!("{it}{{}}")), allow, Malformed),
        (
            "file with a name twice",
            v3_file,
            file(|it| it.replacen('{', r#"{"x-amz-w":"12","#, 1)),
            allow,
            Malformed,
        ),
        ("file without w", v3_file, file(|it| it.replace("x-amz-w", "w")), allow, Malformed),
        (
            "file with t as JSON",
            v3_file,
            file(|it| it.replacen('{', r#"{"x-amz-m":{},"#, 1)),
            allow,
            Malformed,
        ),
        (
            "file with V2 in V3",
            v3_file,
            file(|_| {
                String::from_utf8(sample("v2-kms-instruction").instruction_file.expect("a file"))
                    .expect("text")
            }),
            allow,
            Malformed,
        ),
        (
            "file of 64 KiB",
            v3_file,
            file(|it| it.clone() + &" ".repeat(65_536 - it.len())),
            allow,
            Opens,
        ),
        (
            "file of one byte more",
            v3_file,
            file(|it| it.clone() + &" ".repeat(65_537 - it.len())),
            allow,
            Malformed,
        ),
        (
            "file V2, wrapping algorithm a number",
            v2_file,
            file(|it| it.replace(r#""x-amz-wrap-alg""#, r#""x-amz-wrap-alg":7,"y""#)),
            allow,
            Malformed,
        ),
        (
            "file not UTF-8",
            v3_file,
            Box::new(|it| it.instruction_file = Some(b"{\"\xff\":\"\"}".to_vec())),
            allow,
            Malformed,
        ),
        (
            "file beside whole metadata",
            v3,
            Box::new(|it| it.instruction_file = Some(b"junk".to_vec())),
            allow,
            Opens,
        ),
        ("file V2 baseline", v2_file, nothing(), allow, Opens),
        ("file V2, iv on the object", v2_file, set("x-amz-iv", "AAAA"), allow, Malformed),
        ("file V2, metadata of others", v2_file, set("colour", "red"), allow, Opens),
        (
            "file V2, length on the object",
            v2_file,
            set("x-amz-unencrypted-content-length", "1000"),
            allow,
            Opens,
        ),
        (
            "file V2, tag length a number",
            v2_file,
            file(|it| it.replace(r#""128""#, "128")),
            allow,
            Opens,
        ),
        (
            "file V2, iv a number",
            v2_file,
            file(|it| it.replace(r#""x-amz-iv""#, r#""x-amz-iv":7,"y""#)),
            allow,
            Malformed,
        ),
        (
            "iv and key-v2 alone",
            v2,
            Box::new(|it| {
                it.metadata.retain(|name, _| ["x-amz-iv", "x-amz-key-v2"].contains(&name.as_str()));
            }),
            allow,
            Malformed,
        ),
        ("none of it", v2, Box::new(|it| it.metadata.clear()), allow, Malformed),
    ]
}

fn file_of(sample: &mut Sample, change: impl Fn(String) -> String) {
    let file = String::from_utf8(sample.instruction_file.take().expect("a file")).expect("text");
    sample.instruction_file = Some(change(file).into_bytes());
}

#[test]
fn each_gives_an_error_or_the_whole_plaintext() {
    let keys = Keys::all();
    let mut wrong = Vec::new();
    for (name, base, edit, policy, expected) in cases() {
        let mut sample = sample(base);
        edit(&mut sample);
        let result = sample.open(&policy, &keys);
        if let Ok(plaintext) = &result {
            assert_eq!(*plaintext, sample.plaintext, "{name}: wrong bytes");
        }
        if Expect::of(&result) != expected {
            wrong.push(format!(
                "{name}: {expected:?} was expected, and it was {:?}",
                result.map(|it| it.len())
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The limit for names and values is exactly 8 KiB, more than any client writes.
#[test]
fn excessive_metadata_is_rejected() {
    let detected = |len: usize| {
        let names = ["x-amz-key-v2", "x-amz-iv"];
        let rest = len - names.concat().len() - 24;
        let (key, iv) = ("A".repeat(rest), "A".repeat(24));
        match detect([(names[0], key.as_str()), ("own", key.as_str()), (names[1], iv.as_str())]) {
            Err(Error::Malformed(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    assert!(detected(8193).contains("more than 8192 bytes"), "{}", detected(8193));
    assert!(!detected(8192).contains("more than"), "{}", detected(8192));
}

/// Changes each bit of a body and each character of an envelope.
#[test]
fn every_change_is_detected() {
    let keys = Keys::all();
    for id in ["v3-kms-small", "v2-kms-small", "v3-aes", "v2-aes-instruction"] {
        let genuine = sample(id);
        for bit in 0..genuine.body.len() * 8 {
            let mut changed = genuine.clone();
            changed.body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                changed.open(&allow_decrypt(), &keys),
                Err(Error::Authentication),
                "{id}: bit {bit}"
            );
        }
        for (name, value) in &genuine.metadata {
            for at in 0..value.len() {
                let mut changed = genuine.clone();
                let mut text = value.clone().into_bytes();
                text[at] = if text[at] == b'A' { b'B' } else { b'A' };
                changed.metadata.insert(name.clone(), String::from_utf8(text).expect("ASCII"));
                let opened = changed.open(&allow_decrypt(), &keys);
                // Base64's unused bits are refused too.
                assert!(
                    matches!(
                        opened,
                        Err(Error::Authentication
                            | Error::Malformed(_)
                            | Error::Unsupported(_)
                            | Error::CommitmentPolicy { .. })
                    ),
                    "{id}: {name} at {at}: {opened:?}"
                );
            }
        }
    }
}
