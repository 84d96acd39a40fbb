//! GCM composed of RustCrypto's building blocks, without associated data: the candidate without
//! unsafe code.

use aes::{
    Aes256,
    cipher::{BlockCipherEncrypt as _, KeyInit as _, KeyIvInit as _, StreamCipher as _},
};
use ctr::Ctr32BE;
use ghash::{GHash, universal_hash::UniversalHash as _};

/// Takes pieces whose lengths are multiples of 16 bytes, except for the last.
pub(crate) struct Sealer {
    counter: Ctr32BE<Aes256>,
    hash: GHash,
    mask: [u8; 16],
    len: u64,
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32], nonce: &[u8; 12]) -> Self {
        let cipher = Aes256::new(key.into());
        let mut hash_key = [0; 16].into();
        cipher.encrypt_block(&mut hash_key);
        let mut counter_block = [0; 16];
        counter_block[..12].copy_from_slice(nonce);
        counter_block[15] = 1;
        let mut counter = Ctr32BE::<Aes256>::new(key.into(), &counter_block.into());
        let mut mask = [0; 16];
        counter.apply_keystream(&mut mask);
        Self { counter, hash: GHash::new(&hash_key), mask, len: 0 }
    }

    pub(crate) fn update(&mut self, piece: &mut [u8]) {
        self.counter.apply_keystream(piece);
        self.hash.update_padded(piece);
        self.len += piece.len() as u64;
    }

    pub(crate) fn finish(mut self) -> [u8; 16] {
        let mut lengths = [0; 16];
        lengths[8..].copy_from_slice(&(self.len * 8).to_be_bytes());
        self.hash.update(&[lengths.into()]);
        let mut tag: [u8; 16] = self.hash.finalize().into();
        tag.iter_mut().zip(self.mask).for_each(|(byte, mask)| *byte ^= mask);
        tag
    }
}
