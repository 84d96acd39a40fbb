//! Known attacks. Each test carries out the full attack and fails if the attack succeeds.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt as _;
use sealwax_envelope::{
    EncryptionContext, PlaintextDataKey,
    s3ec::{
        Content, ContentSealer, ContentSuite, Envelope, Error, Keyring as _, RawAesKeyring,
        Storage, WrapAlgorithm, WrappedKey,
    },
};

use crate::samples::{Keys, Sample, allow_decrypt, everything, raw_keyrings, sample};

/// Returns the first block of AES-GCM content, relabelled as AES-CBC.
///
/// If `guess` is that block's plaintext, it decrypts to zeros and `last`; otherwise to a random
/// block. With `last` 1, the padding is valid.
fn relabelled(genuine: &Sample, guess: &[u8], last: u8) -> Sample {
    let mut object = genuine.clone();
    let Content::AesGcm { iv: nonce } = *genuine.envelope().expect("genuine").content() else {
        panic!("AES-GCM content");
    };
    // AES-GCM adds AES(counter) to the first block (NIST SP 800-38D §7.1).
    let counter: Vec<u8> = nonce.into_iter().chain(2_u32.to_be_bytes()).collect();
    object.body = object.body[..16].iter().zip(guess).map(|(byte, guess)| byte ^ guess).collect();
    let mut iv = counter;
    iv[15] ^= last;
    object.set("x-amz-cek-alg", "AES/CBC/PKCS5Padding");
    object.set("x-amz-iv", &STANDARD.encode(iv));
    object
}

/// CVE-2020-8912 under raw keys: a wrapped key of `AES/GCM` or `RSA-OAEP-SHA1` does not tell AES-CBC
/// from AES-GCM. The oracle works with the flag that is for it alone; without that flag, right and
/// wrong guesses are the same error, and no key is used.
#[test]
fn relabelled_content_confirms_no_guess() {
    for (id, algorithm) in [
        ("v2-aes", WrapAlgorithm::AesGcm),
        ("v2-aes-instruction", WrapAlgorithm::AesGcm),
        ("v2-rsa", WrapAlgorithm::RsaOaepSha1),
        ("v2-rsa-instruction", WrapAlgorithm::RsaOaepSha1),
    ] {
        let (genuine, keys) = (sample(id), Keys::all());
        let right = &genuine.plaintext[..16];
        let wrong: Vec<u8> = right.iter().map(|byte| byte ^ 1).collect();
        for last in 0..=255 {
            for guess in [right, &wrong] {
                let object = relabelled(&genuine, guess, last);
                assert_eq!(
                    object.open(&everything(), &keys),
                    Err(Error::RawKeyCbc(algorithm)),
                    "{id}, padding {last}"
                );
                assert_eq!(
                    object.open(&allow_decrypt().dangerous_raw_key_cbc(true), &keys),
                    Err(Error::LegacyContent(ContentSuite::AesCbc)),
                    "{id}, padding {last}"
                );
            }
        }
        assert_eq!(keys.asked(), 0, "{id}: a key was used");

        let with_flag = everything().dangerous_raw_key_cbc(true);
        let opened = |guess| relabelled(&genuine, guess, 1).open(&with_flag, &keys);
        assert_eq!(opened(right), Ok(vec![0; 15]), "{id}: the oracle is none");
        assert_eq!(opened(&wrong), Err(Error::Authentication), "{id}");
    }
}

/// CVE-2020-8912 under legacy wrapping algorithms, which bind no suite: either legacy flag alone
/// refuses relabelled content before a key is used. Both together open the oracle, as in the
/// official clients.
#[test]
fn one_legacy_flag_opens_no_oracle() {
    for (id, algorithm) in
        [("v2-aeswrap-gcm", WrapAlgorithm::AesWrap), ("v2-kmsv1-gcm-ses-style", WrapAlgorithm::Kms)]
    {
        let (genuine, keys) = (sample(id), Keys::all());
        let right = &genuine.plaintext[..16];
        let object = relabelled(&genuine, right, 1);
        assert_eq!(
            object.open(&allow_decrypt().legacy_wrapping_algorithms(true), &keys),
            Err(Error::LegacyContent(ContentSuite::AesCbc)),
            "{id}"
        );
        assert_eq!(
            object.open(&allow_decrypt().legacy_unauthenticated_modes(true), &keys),
            Err(Error::LegacyWrap(algorithm)),
            "{id}"
        );
        assert_eq!(keys.asked(), 0, "{id}: a key was used");
        assert_eq!(
            object.open(&everything(), &keys),
            Ok(vec![0; 15]),
            "{id}: the documented limit"
        );
    }
}

/// CVE-2020-8912 under `kms+context`: KMS authenticates the suite, as a pair of the encryption
/// context. A label that contradicts the pair is refused without a call; KMS refuses another pair.
#[test]
fn kms_binds_the_suite() {
    let (genuine, keys) = (sample("v2-kms-ctx"), Keys::all());
    let with_flag = everything().dangerous_raw_key_cbc(true);
    let mut object = relabelled(&genuine, &genuine.plaintext[..16], 1);
    let message = "aws:x-amz-cek-alg in the encryption context does not match the content's suite";
    assert_eq!(object.open(&with_flag, &keys), Err(Error::Malformed(message.into())));
    assert_eq!(keys.asked(), 0, "a key was used");
    let pairs =
        object.metadata["x-amz-matdesc"].replace("AES/GCM/NoPadding", "AES/CBC/PKCS5Padding");
    object.set("x-amz-matdesc", &pairs);
    assert_eq!(object.open(&with_flag, &keys), Err(Error::Authentication));
    assert_eq!(keys.asked(), 1, "KMS refuses");
}

/// No client reads AES-CTR: no flag allows it.
#[test]
fn counter_mode_is_unsupported() {
    for id in ["v2-kms-ctx", "v2-aes", "v2-rsa", "v2-aes-instruction", "v2-aeswrap-gcm"] {
        let (mut object, keys) = (sample(id), Keys::all());
        object.set("x-amz-cek-alg", "AES/CTR/NoPadding");
        for policy in [allow_decrypt(), everything().dangerous_raw_key_cbc(true)] {
            let message = "unknown content algorithm \"AES/CTR/NoPadding\"";
            assert_eq!(
                object.open(&policy, &keys),
                Err(Error::Unsupported(message.into())),
                "{id}"
            );
        }
        assert_eq!(keys.asked(), 0, "{id}: a key was used");
    }
}

/// CVE-2020-8911: with AES-CBC, an attacker who learns why decryption failed learns the plaintext.
/// All failures are the same error, and two settings must be enabled to reach this code at all.
#[test]
fn padding_failures_leak_nothing() {
    let keys = Keys::all();
    let genuine = sample("v2-kmsv1-cbc");
    let mut refused = 0;
    for guess in 0..=255_u8 {
        let mut object = genuine.clone();
        let at = object.body.len() - 17;
        object.body[at] ^= guess;
        match object.open(&everything(), &keys) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, Error::Authentication);
                refused += 1;
            }
        }
        assert!(matches!(object.open(&allow_decrypt(), &keys), Err(Error::LegacyContent(_))));
    }
    assert!(refused >= 250, "{refused}");
    let cut = Sample { body: genuine.body[..genuine.body.len() - 3].to_vec(), ..genuine.clone() };
    assert_eq!(
        cut.open(&everything(), &keys),
        Err(Error::Authentication),
        "a length that is no multiple of a block"
    );
}

/// CVE-2026-110310: the attacker relabels a current object as V1, whose RSA padding is an oracle. A
/// legacy envelope is rejected before the private key is used. With legacy algorithms enabled, all
/// failures are the same error.
#[test]
fn a_legacy_label_reaches_no_private_key() {
    let current = sample("v3-rsa");
    let mut object = current.clone();
    object.metadata.clear();
    object.metadata.insert("x-amz-key".into(), current.metadata["x-amz-3"].clone());
    object.metadata.insert("x-amz-iv".into(), STANDARD.encode([7; 16]));
    object.metadata.insert("x-amz-matdesc".into(), "{}".into());
    let keys = Keys::all();
    for policy in [allow_decrypt(), allow_decrypt().legacy_wrapping_algorithms(true)] {
        assert!(matches!(object.open(&policy, &keys), Err(Error::LegacyContent(_))));
    }
    let modes = allow_decrypt().legacy_unauthenticated_modes(true);
    assert!(matches!(object.open(&modes, &keys), Err(Error::LegacyWrap(_))));
    assert_eq!(keys.asked(), 0);
    let mut wraps = vec![current.metadata["x-amz-3"].clone()];
    wraps.extend([0, 1, 0x7f].map(|byte| STANDARD.encode([byte; 256])));
    wraps.extend([255, 257].map(|len| STANDARD.encode(vec![1; len])));
    for wrap in wraps {
        object.metadata.insert("x-amz-key".into(), wrap);
        assert_eq!(object.open(&everything(), &keys), Err(Error::Authentication));
    }
}

/// A V3 header on a V2 object, so that it is mistaken for a committing one (the .NET client until
/// 4.0.2).
#[test]
fn one_header_makes_no_commitment() {
    let spoof = |names: &[&str]| {
        let mut object = sample("v2-kms-small");
        let v3 = sample("v3-kms-small");
        for name in names {
            object.metadata.insert((*name).into(), v3.metadata[*name].clone());
        }
        object.open(&sealwax_envelope::s3ec::ReadPolicy::new(), &Keys::all())
    };
    for names in [&["x-amz-c"][..], &["x-amz-c", "x-amz-w"], &["x-amz-c", "x-amz-d", "x-amz-i"]] {
        assert!(matches!(spoof(names), Err(Error::Malformed(_))), "{names:?}");
    }
}

/// CVE-2025-14763 and related ("Invisible Salamanders"): one V2 body that opens under two data
/// keys, and an instruction file that selects one. The first half shows that the attack works if V2
/// is permitted. V3 prevents it: the commitment stays with the object, and a file with a commitment
/// is rejected.
#[test]
fn an_instruction_file_does_not_choose_the_plaintext() {
    let (aes, _) = raw_keyrings();
    let nonce = [9; 12];
    let (one, other) = ([1; 32], [2; 32]);
    let body = salamander::forge(&one, &other, &nonce);

    let file = |data_key: [u8; 32], suite: ContentSuite| {
        let wrapped = wrap(&aes, data_key, suite);
        let content = Content::AesGcm { iv: nonce };
        Envelope::new(content, wrapped, Storage::InstructionFile)
            .expect("V2")
            .to_instruction_file()
            .expect("a file")
    };
    let read = |file: String| {
        let object = Sample {
            metadata: [].into(),
            instruction_file: Some(file.into_bytes()),
            body: body.clone(),
            plaintext: Vec::new(),
            context: EncryptionContext::new(),
        };
        (
            object.open(&allow_decrypt(), &Keys::all()),
            object.open(&Default::default(), &Keys::all()),
        )
    };
    let (first, first_by_default) = read(file(one, ContentSuite::AesGcm));
    let (second, _) = read(file(other, ContentSuite::AesGcm));
    assert_ne!(
        first.expect("V2 is allowed"),
        second.expect("V2 is allowed"),
        "the forgery is none"
    );
    assert!(
        matches!(first_by_default, Err(Error::CommitmentPolicy { .. })),
        "the default policy refuses V2"
    );

    // V3: the object commits to the first key; the file has the second one, alone or with its own
    // commitment.
    let commit = |data_key: [u8; 32]| {
        let data_key =
            PlaintextDataKey::from_slice_wiping(&mut data_key.clone()).expect("32 bytes");
        let (_, content) =
            ContentSealer::new(ContentSuite::AesGcmCommitKey, &data_key).expect("random bytes");
        let wrapped = wrap(&aes, *data_key.expose_secret(), ContentSuite::AesGcmCommitKey);
        Envelope::new(content, wrapped, Storage::InstructionFile).expect("V3")
    };
    let (genuine, planted) = (commit(one), commit(other));
    let metadata = |it: &Envelope| {
        it.to_metadata().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    };
    let mut object = Sample {
        metadata: metadata(&genuine),
        instruction_file: planted.to_instruction_file().map(String::into_bytes),
        body,
        plaintext: Vec::new(),
        context: EncryptionContext::new(),
    };
    assert_eq!(object.open(&Default::default(), &Keys::all()), Err(Error::Authentication));
    let mut with_commitment: serde_json::Map<_, _> =
        serde_json::from_str(&planted.to_instruction_file().expect("a file")).expect("JSON");
    with_commitment.extend(
        planted.to_metadata().into_iter().map(|(name, value)| (name.to_owned(), value.into())),
    );
    object.instruction_file = Some(serde_json::to_vec(&with_commitment).expect("JSON"));
    assert!(matches!(object.open(&Default::default(), &Keys::all()), Err(Error::Malformed(_))));
}

fn wrap(keyring: &RawAesKeyring, data_key: [u8; 32], suite: ContentSuite) -> WrappedKey {
    let data_key = PlaintextDataKey::from_slice_wiping(&mut data_key.clone()).expect("32 bytes");
    keyring
        .wrap(&data_key, suite, &EncryptionContext::new())
        .now_or_never()
        .expect("nothing waits")
        .expect("a wrap")
}

/// One AES-GCM ciphertext with one tag under two keys: Dodis, Grubbs, Ristenpart and Woodage, "Fast
/// Message Franking: From Invisible Salamanders to Encryptment" (CRYPTO 2018), §3.
mod salamander {
    use aes_gcm::{
        Aes256Gcm, KeyInit as _,
        aead::AeadInOut as _,
        aes::{Aes256, cipher::BlockCipherEncrypt as _},
    };

    /// Blocks of the ciphertext. The last one makes the tags equal.
    const BLOCKS: usize = 4;

    pub(super) fn forge(one: &[u8; 32], other: &[u8; 32], nonce: &[u8; 12]) -> Vec<u8> {
        let mut body: Vec<u8> =
            (0..16 * BLOCKS).map(|at| u8::try_from(at).expect("short")).collect();
        // tag(K) = mask(K) + Σ block_i · H(K)^(n + 1 - i) + lengths · H(K). The last block has H²:
        // solve for it.
        let (h1, h2) = (hash_key(one), hash_key(other));
        let last = 16 * (BLOCKS - 1);
        body[last..].fill(0);
        let difference = raw_tag(one, nonce, &body) ^ raw_tag(other, nonce, &body);
        let block = multiply(difference, inverse(multiply(h1, h1) ^ multiply(h2, h2)));
        body[last..].copy_from_slice(&block.to_be_bytes());
        let tag = raw_tag(one, nonce, &body);
        assert_eq!(tag, raw_tag(other, nonce, &body));
        body.extend(tag.to_be_bytes());
        body
    }

    fn hash_key(key: &[u8; 32]) -> u128 {
        let mut block = [0; 16].into();
        Aes256::new(key.into()).encrypt_block(&mut block);
        u128::from_be_bytes(block.into())
    }

    /// Returns the tag of a ciphertext, by encrypting its decryption.
    fn raw_tag(key: &[u8; 32], nonce: &[u8; 12], ciphertext: &[u8]) -> u128 {
        let cipher = Aes256Gcm::new(key.into());
        let mut plaintext = ciphertext.to_vec();
        cipher
            .encrypt_inout_detached(&(*nonce).into(), &[], plaintext.as_mut_slice().into())
            .expect("short");
        let tag = cipher
            .encrypt_inout_detached(&(*nonce).into(), &[], plaintext.as_mut_slice().into())
            .expect("short");
        // Encrypting twice returns the ciphertext and its tag.
        assert_eq!(plaintext, ciphertext);
        u128::from_be_bytes(tag.into())
    }

    /// Multiplies in GCM's field (NIST SP 800-38D §6.3).
    fn multiply(a: u128, b: u128) -> u128 {
        let (mut product, mut shifted) = (0, b);
        for bit in (0..128).rev() {
            if a >> bit & 1 == 1 {
                product ^= shifted;
            }
            let carry = shifted & 1 == 1;
            shifted >>= 1;
            if carry {
                shifted ^= 0xe1 << 120;
            }
        }
        product
    }

    /// Returns the inverse, a^(2^128 - 2).
    fn inverse(a: u128) -> u128 {
        let (mut result, mut square) = (1 << 127, a);
        for _ in 1..128 {
            square = multiply(square, square);
            result = multiply(result, square);
        }
        result
    }
}
