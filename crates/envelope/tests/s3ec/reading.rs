//! All samples decrypt, whole and in ranges, and have the declared properties.

use futures_util::FutureExt as _;
use sealwax_envelope::{
    metadata,
    s3ec::{
        Detected, Error, Format, Keyring as _, RangeOpener, ReadPolicy, Storage, detect,
        is_instruction_file,
    },
};

use crate::samples::{Keys, allow_decrypt, entries, everything, raw_keyrings};

#[test]
fn all_samples_decrypt() {
    let keys = Keys::all();
    let entries = entries();
    assert_eq!(entries.len(), 31);
    for entry in &entries {
        let sample = entry.load();
        let envelope = sample.envelope().unwrap_or_else(|error| panic!("{}: {error}", entry.id));
        assert_eq!(envelope.format().to_string(), entry.format, "{}", entry.id);
        assert_eq!(envelope.content().suite().to_string(), entry.content_suite, "{}", entry.id);
        assert_eq!(
            envelope.key().algorithm().to_string(),
            entry.wrapping_algorithm,
            "{}",
            entry.id
        );
        let in_file = envelope.storage() == Storage::InstructionFile;
        // V1 and V2 objects leave no trace of the format when the key is in an instruction file.
        let shows_format = !in_file || envelope.format() == Format::V3;
        let claimed = Format::claimed(metadata::pairs(&sample.metadata));
        assert_eq!(claimed, shows_format.then_some(envelope.format()), "{}", entry.id);
        assert_eq!(in_file, entry.storage == "instruction-file", "{}", entry.id);
        let opened = sample.open(&everything(), &keys);
        assert_eq!(opened.as_ref(), Ok(&sample.plaintext), "{}", entry.id);
        let declared = envelope.plaintext_len(sample.body.len() as u64).expect("a length");
        let cbc = envelope.content().suite().to_string().contains("CBC");
        assert_eq!(declared, if cbc { sample.body.len() } else { sample.plaintext.len() } as u64);
        assert_eq!(envelope.stored_len(declared), Some(sample.body.len() as u64), "{}", entry.id);
        // Amazon SES adds pairs with reserved names.
        let context = envelope.encryption_context().ok();
        assert_eq!(context, (!entry.id.contains("ses")).then_some(sample.context), "{}", entry.id);
    }
}

#[test]
fn lengths_up_to_the_maximum() {
    const MOST: u64 = (1 << 36) - 32;
    for (id, tag) in [("v3-aes", 16), ("v2-aes", 16), ("v1-aes-cbc", 0)] {
        let envelope = crate::samples::sample(id).envelope().expect("an envelope");
        for len in [0, 1, MOST] {
            assert_eq!(envelope.plaintext_len(len + tag), Ok(len), "{id}");
            assert_eq!(envelope.stored_len(len), Some(len + tag), "{id}");
        }
        let is_cbc = tag == 0;
        assert_eq!(
            envelope.plaintext_len(MOST + tag + 1),
            if is_cbc { Ok(MOST + 1) } else { Err(Error::TooLong) }
        );
        assert_eq!(envelope.stored_len(MOST + 1), is_cbc.then_some(MOST + 1), "{id}");
        assert_eq!(
            envelope.plaintext_len(15),
            if is_cbc { Ok(15) } else { Err(Error::Truncated) },
            "{id}"
        );
    }
}

/// Without its instruction file, a V3 object is recognized by its metadata; a V2 object looks like
/// any other object.
#[test]
fn detection_without_the_instruction_file() {
    let mut seen = [0; 2];
    for entry in entries().iter().filter(|entry| entry.storage == "instruction-file") {
        let metadata = entry.load().metadata;
        let detected = detect(metadata::pairs(&metadata));
        let Ok(Detected::Pending(pending)) = detected else { panic!("{}: {detected:?}", entry.id) };
        assert_eq!(pending.is_certain(), entry.format == "V3", "{}", entry.id);
        seen[usize::from(pending.is_certain())] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn a_format_is_claimed_by_names() {
    for names in [&["x-amz-crypto-instr-file"][..], &["x-amz-c", "x-amz-d"], &[]] {
        assert_eq!(Format::claimed(names.iter().map(|name| (*name, "x"))), None, "{names:?}");
    }
    let any_case = ["X-Amz-C", "x-amz-D", "x-amz-i", "x-amz-key"].map(|name| (name, ""));
    assert_eq!(Format::claimed(any_case), Some(Format::V3));
}

/// Whoever can write to the bucket can mark an object. The mark does not hide an envelope.
#[test]
fn a_mark_makes_no_object_an_instruction_file() {
    for entry in entries().iter().filter(|entry| entry.storage == "metadata") {
        let mut metadata = entry.load().metadata;
        metadata.insert("x-amz-crypto-instr-file".into(), String::new());
        let detected = detect(metadata::pairs(&metadata));
        assert!(matches!(detected, Err(Error::Malformed(_))), "{}: {detected:?}", entry.id);
        let claimed = Format::claimed(metadata::pairs(&metadata));
        assert!(claimed.is_some(), "{}", entry.id);
    }
    let marked = detect([("x-amz-crypto-instr-file", "")]);
    assert_eq!(marked.err(), Some(Error::InstructionFile));
}

/// The content tells an instruction file, with or without a mark.
#[test]
fn an_instruction_file_is_recognized_by_its_content() {
    for (content, expected) in [
        (r#"{"x-amz-key-v2":"a"}"#, true),
        ("\u{feff}{\"x-amz-key\":\"a\",\"own\":1}", true),
        (r#"{"x-amz-3":"a"}"#, true),
        (r#"{"x-amz-iv":"a"}"#, false),
        (r#"{"x-amz-key-v2":"a","x-amz-unknown":"b"}"#, false),
        (r#"["x-amz-key-v2"]"#, false),
        ("text", false),
        ("", false),
    ] {
        assert_eq!(is_instruction_file(content.as_bytes()), expected, "{content}");
    }
    let long = format!(r#"{{"x-amz-key-v2":"a","more":"{}"}}"#, "b".repeat(64 * 1024));
    assert!(!is_instruction_file(long.as_bytes()));
}

/// Each policy rejects other objects before any wrapping key is used.
#[test]
fn policies() {
    let keys = Keys::all();
    let mut accepted = [0; 5];
    let policies = [
        ReadPolicy::new(),
        ReadPolicy::new().legacy_wrapping_algorithms(true).legacy_unauthenticated_modes(true),
        allow_decrypt(),
        allow_decrypt().legacy_wrapping_algorithms(true),
        everything(),
    ];
    for entry in entries() {
        let sample = entry.load();
        let [cbc, gcm] = ["CBC", "NO_KDF"].map(|part| entry.content_suite.contains(part));
        let legacy_wrap =
            ["kms", "AES", "RSA", "AESWrap"].contains(&entry.wrapping_algorithm.as_str());
        for (index, policy) in policies.iter().enumerate() {
            let before = keys.asked();
            let expected = match index {
                0 | 1 => !gcm,
                2 => !cbc && !legacy_wrap,
                3 => !cbc,
                _ => true,
            };
            let opened = sample.open(policy, &keys);
            assert_eq!(opened.is_ok(), expected, "{} with {policy:?}", entry.id);
            if let Err(error) = opened {
                let refused = matches!(
                    error,
                    Error::CommitmentPolicy { .. } | Error::LegacyContent(_) | Error::LegacyWrap(_)
                );
                assert!(refused, "{}: {error}", entry.id);
                assert_eq!(keys.asked(), before, "{}: a key was used", entry.id);
            }
            accepted[index] += usize::from(expected);
        }
    }
    assert_eq!(accepted, [11, 11, 24, 26, 31]);
}

/// Content ends exactly at the declared length.
#[test]
fn lengths_are_enforced() {
    let keys = Keys::all();
    for id in ["v3-kms-ctx", "v2-kms-ctx", "v2-kmsv1-cbc-aligned", "v1-aes-cbc"] {
        let sample = crate::samples::sample(id);
        let len = sample.body.len();
        let open = |said: usize, pieces: &[&[u8]]| {
            let admitted = sample.envelope()?.admit(&everything(), &sample.context)?;
            let mut opener = admitted.opener(&keys.unwrap(&admitted)?, said as u64)?;
            let mut released = Vec::new();
            for piece in pieces {
                released.extend(opener.open(piece.to_vec())?.dangerous_release_unverified());
            }
            released.extend_from_slice(opener.finish()?.rest());
            Ok(released)
        };
        let (all, more) = (&sample.body[..], [&sample.body[..], &[0; 16]].concat());
        // Unverified pieces of authentic content are the plaintext.
        for at in [0, 1, 16, len - 16, len] {
            assert_eq!(
                open(len, &[&all[..at], &all[at..]]).as_ref(),
                Ok(&sample.plaintext),
                "{id} {at}"
            );
        }
        for (said, pieces) in [
            (len, vec![&all[..len - 16]]),
            (len, vec![&all[..len - 1]]),
            (len, vec![]),
            (len, vec![&more[..]]),
            (len, vec![all, &[0; 16]]),
            (len - 16, vec![all]),
            (len + 16, vec![all]),
        ] {
            assert_eq!(
                open(said, &pieces),
                Err(Error::Authentication),
                "{id} {said} {}",
                pieces.concat().len()
            );
        }
    }
}

#[test]
fn ranges() {
    let (aes, _) = raw_keyrings();
    for id in ["v2-aes", "v3-aes"] {
        let sample = crate::samples::sample(id);
        let admitted = sample
            .envelope()
            .expect("an envelope")
            .admit(&allow_decrypt(), &sample.context)
            .expect("let through");
        let data_key =
            aes.unwrap(&admitted).now_or_never().expect("nothing waits").expect("its key");
        let opener = admitted.dangerous_range_opener(&data_key).expect("AES-GCM");
        for (start, end) in [(0, 1), (0, 16), (16, 333), (320, 333), (160, 161)] {
            let mut bytes = sample.body[start..end].to_vec();
            opener.dangerous_open_unverified(start as u64, &mut bytes).expect("within the limit");
            assert_eq!(bytes, sample.plaintext[start..end], "{id} {start}..{end}");
        }
        // The last block of the longest content has the last counter value.
        let last = ((1 << 36) - 32) - RangeOpener::BLOCK_LEN;
        assert_eq!(opener.dangerous_open_unverified(last, &mut [0; 16]), Ok(()));
        assert_eq!(opener.dangerous_open_unverified(last, &mut [0; 17]), Err(Error::TooLong));
        assert_eq!(
            opener.dangerous_open_unverified(u64::MAX - 15, &mut [0; 16]),
            Err(Error::TooLong)
        );
    }
}
