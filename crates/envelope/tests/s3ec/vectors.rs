//! All samples open, and say what they are; whole, and by ranges.

use futures_util::FutureExt as _;
use sealwax_envelope::s3ec::{Error, Keyring as _, RangeOpener, ReadPolicy, Storage};

use crate::samples::{Keys, allow_decrypt, entries, everything, raw_keyrings};

#[test]
fn all_open() {
    let keys = Keys::all();
    let entries = entries();
    assert_eq!(entries.len(), 31);
    for entry in &entries {
        let sample = entry.load();
        let envelope = sample.envelope().unwrap_or_else(|error| panic!("{}: {error}", entry.id));
        assert_eq!(envelope.format().to_string(), entry.format, "{}", entry.id);
        assert_eq!(envelope.content().suite().to_string(), entry.content_suite, "{}", entry.id);
        assert_eq!(envelope.key().algorithm().to_string(), entry.wrapping_algorithm, "{}", entry.id);
        let in_file = envelope.storage() == Storage::InstructionFile;
        assert_eq!(in_file, entry.storage == "instruction-file", "{}", entry.id);
        let opened = sample.open(&everything(), &keys);
        assert_eq!(opened.as_ref(), Ok(&sample.plaintext), "{}", entry.id);
        let told = envelope.plaintext_len(sample.body.len() as u64).expect("a length");
        let cbc = envelope.content().suite().to_string().contains("CBC");
        assert_eq!(told, if cbc { sample.body.len() } else { sample.plaintext.len() } as u64);
    }
}

/// What each policy lets through; and what it does not is refused before any wrapping key is used.
#[test]
fn policies() {
    let keys = Keys::all();
    let mut let_through = [0; 5];
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
        let legacy_wrap = ["kms", "AES", "RSA", "AESWrap"].contains(&entry.wrapping_algorithm.as_str());
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
                let refused =
                    matches!(error, Error::CommitmentPolicy { .. } | Error::LegacyContent(_) | Error::LegacyWrap(_));
                assert!(refused, "{}: {error}", entry.id);
                assert_eq!(keys.asked(), before, "{}: a key was used", entry.id);
            }
            let_through[index] += usize::from(expected);
        }
    }
    assert_eq!(let_through, [11, 11, 24, 26, 31]);
}

#[test]
fn ranges() {
    let (aes, _) = raw_keyrings();
    for id in ["v2-aes", "v3-aes"] {
        let sample = crate::samples::sample(id);
        let admitted =
            sample.envelope().expect("an envelope").admit(&allow_decrypt(), &sample.context).expect("let through");
        let data_key = aes.unwrap(&admitted).now_or_never().expect("nothing waits").expect("its key");
        let opener = admitted.dangerous_range_opener(&data_key).expect("AES-GCM");
        for (start, end) in [(0, 1), (0, 16), (16, 333), (320, 333), (160, 161)] {
            let mut bytes = sample.body[start..end].to_vec();
            opener.dangerous_open_unverified(start as u64, &mut bytes).expect("within the limit");
            assert_eq!(bytes, sample.plaintext[start..end], "{id} {start}..{end}");
        }
        // The counter's last block is that of the longest content.
        let last = ((1 << 36) - 32) - RangeOpener::BLOCK_LEN;
        assert_eq!(opener.dangerous_open_unverified(last, &mut [0; 16]), Ok(()));
        assert_eq!(opener.dangerous_open_unverified(last, &mut [0; 17]), Err(Error::TooLong));
        assert_eq!(opener.dangerous_open_unverified(u64::MAX - 15, &mut [0; 16]), Err(Error::TooLong));
    }
}
