//! Written objects decrypt again and have the spelling of the official clients.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use proptest::{collection::vec, prelude::*};
use sealwax_envelope::{
    EncryptionContext, Error as EnvelopeError, PlaintextDataKey,
    metadata::METADATA_LIMIT,
    s3ec::{ContentSealer, ContentSuite, Envelope, Keyring, RawAesKeyring, Storage, WrappedKey},
};

use crate::samples::{Keys, Sample, allow_decrypt, public_rsa_keyring, raw_keyrings};

fn write(
    keyring: &dyn Keyring,
    suite: ContentSuite,
    storage: Storage,
    plaintext: &[u8],
) -> (Envelope, Sample) {
    let context = EncryptionContext::new();
    let (data_key, key) = keyring
        .generate(suite, &context)
        .now_or_never()
        .expect("nothing waits")
        .expect("a data key");
    let (mut sealer, content) = ContentSealer::new(suite, &data_key).expect("random bytes");
    let mut body = plaintext.to_vec();
    body.chunks_mut(37).for_each(|piece| sealer.seal(piece).expect("short"));
    body.extend(sealer.finish());
    let envelope = Envelope::new(content, key, storage).expect("current algorithms");
    let metadata =
        envelope.to_metadata().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let instruction_file = envelope.to_instruction_file().map(String::into_bytes);
    (envelope, Sample { metadata, instruction_file, body, plaintext: plaintext.to_vec(), context })
}

#[test]
fn names_are_those_of_the_format() {
    let (aes, _) = raw_keyrings();
    let described =
        RawAesKeyring::new(&mut [7; 32]).expect("32 bytes").materials_description([("team", "x")]);
    let names = |keyring: &dyn Keyring, suite, storage| {
        let (_, sample) = write(keyring, suite, storage, b"hello");
        let file: BTreeMap<String, String> = sample
            .instruction_file
            .map(|file| serde_json::from_slice(&file).expect("strings"))
            .unwrap_or_default();
        let join =
            |names: BTreeMap<String, String>| names.into_keys().collect::<Vec<_>>().join(" ");
        (join(sample.metadata), join(file))
    };
    let expect = |metadata: &str, file: &str| (metadata.to_owned(), file.to_owned());
    assert_eq!(
        names(&aes, ContentSuite::AesGcmCommitKey, Storage::Metadata),
        expect("x-amz-3 x-amz-c x-amz-d x-amz-i x-amz-w", "")
    );
    assert_eq!(
        names(&described, ContentSuite::AesGcmCommitKey, Storage::InstructionFile),
        expect("x-amz-c x-amz-d x-amz-i", "x-amz-3 x-amz-m x-amz-w")
    );
    let v2 = "x-amz-cek-alg x-amz-iv x-amz-key-v2 x-amz-matdesc x-amz-tag-len x-amz-wrap-alg";
    assert_eq!(names(&aes, ContentSuite::AesGcm, Storage::Metadata), expect(v2, ""));
    assert_eq!(names(&aes, ContentSuite::AesGcm, Storage::InstructionFile), expect("", v2));
}

/// Random values are new for each content, even under the same data key.
#[test]
fn no_two_contents_share_their_random_bytes() {
    let data_key = PlaintextDataKey::generate().expect("random bytes");
    for suite in [ContentSuite::AesGcm, ContentSuite::AesGcmCommitKey] {
        let [one, other] =
            [(); 2].map(|()| ContentSealer::new(suite, &data_key).expect("random bytes").1);
        assert_ne!(one, other, "{suite}");
    }
}

#[test]
fn an_envelope_can_change_its_storage() {
    let (aes, _) = raw_keyrings();
    let (envelope, _) = write(&aes, ContentSuite::AesGcmCommitKey, Storage::Metadata, b"");
    let moved = envelope.clone().stored_in(Storage::InstructionFile);
    assert_eq!(
        [envelope.storage(), moved.storage()],
        [Storage::Metadata, Storage::InstructionFile]
    );
    assert!(envelope.to_instruction_file().is_none() && moved.to_instruction_file().is_some());
    assert_eq!((moved.stored_in(Storage::Metadata)), envelope);
}

#[test]
fn a_public_key_writes_what_the_private_key_reads() {
    let public = public_rsa_keyring();
    let (_, sample) = write(&public, ContentSuite::AesGcmCommitKey, Storage::Metadata, b"hello");
    assert_eq!(sample.open(&allow_decrypt(), &Keys::all()).as_deref(), Ok(&b"hello"[..]));
    assert!(!public.accepts(sample.envelope().expect("an envelope").key().algorithm()));
}

#[test]
fn metadata_is_checked_before_it_is_stored() {
    let (aes, _) = raw_keyrings();
    let (envelope, _) = write(&aes, ContentSuite::AesGcmCommitKey, Storage::Metadata, b"");
    assert!(envelope.check_fits([("colour", "red")]).is_ok());
    for reserved in ["x-amz-iv", "X-Amz-Key-V2", "x-amz-3", "x-amz-crypto-instr-file", "sealwax-x"]
    {
        assert!(
            matches!(
                envelope.check_fits([(reserved, "x")]),
                Err(EnvelopeError::InvalidMetadata(_))
            ),
            "{reserved}"
        );
    }
    // Exactly the 2 KB of S3.
    let ours =
        envelope.to_metadata().iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let fits = |len: usize| envelope.check_fits([("name", "x".repeat(len).as_str()), ("a", "b")]);
    let rest = METADATA_LIMIT - ours - "name".len() - "ab".len();
    assert_eq!(fits(rest), Ok(()));
    let needed = METADATA_LIMIT + 1;
    assert_eq!(
        fits(rest + 1),
        Err(EnvelopeError::MetadataTooLarge { needed, limit: METADATA_LIMIT })
    );
}

#[test]
fn the_encryption_context_for_kms() {
    let context = EncryptionContext::try_from_iter([("dept", "é")]).expect("a pair");
    let pairs = |suite| WrappedKey::kms_context(suite, &context).into_iter().collect::<Vec<_>>();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        pairs(ContentSuite::AesGcmCommitKey),
        [pair("aws:x-amz-cek-alg", "115"), pair("dept", "é")]
    );
    assert_eq!(pairs(ContentSuite::AesGcm)[0], pair("aws:x-amz-cek-alg", "AES/GCM/NoPadding"));
}

proptest! {
    #[test]
    fn it_reads_back(plaintext in vec(any::<u8>(), 0..3000), commits: bool, in_file: bool, rsa: bool) {
        let (aes, private) = raw_keyrings();
        let keyring: &dyn Keyring = if rsa { &private } else { &aes };
        let suite = if commits { ContentSuite::AesGcmCommitKey } else { ContentSuite::AesGcm };
        let storage = if in_file { Storage::InstructionFile } else { Storage::Metadata };
        let (envelope, sample) = write(keyring, suite, storage, &plaintext);
        prop_assert_eq!(sample.envelope(), Ok(envelope));
        prop_assert_eq!(sample.body.len(), plaintext.len() + 16);
        prop_assert_eq!(sample.open(&allow_decrypt(), &Keys::all()), Ok(plaintext));
    }
}
