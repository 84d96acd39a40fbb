//! `EVP_CIPHER_CTX` with AES-256-GCM: the unsafe part of the cipher. (AWS-LC,
//! `include/openssl/cipher.h`.)

use std::{
    ffi::{c_int, c_void},
    ptr::{self, NonNull},
};

use aws_lc_sys::{
    EVP_CIPHER_CTX, EVP_CIPHER_CTX_ctrl, EVP_CIPHER_CTX_free, EVP_CIPHER_CTX_new,
    EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG, EVP_CipherFinal_ex, EVP_CipherInit_ex,
    EVP_CipherUpdate, EVP_aes_256_gcm,
};

use super::{KEY_LEN, NONCE_LEN, TAG_LEN};
use crate::Unauthentic;

/// Maximum number of bytes per call; AWS-LC takes lengths of type `int`.
const MAX_CALL: usize = 1 << 30;

pub(super) enum Direction {
    Seal,
    Open,
}

/// An exclusively owned, initialized `EVP_CIPHER_CTX` for one message. AWS-LC wipes freed memory.
pub(super) struct Context(NonNull<EVP_CIPHER_CTX>);

// SAFETY: an EVP_CIPHER_CTX is plain heap memory without ties to a thread, and `Context` is its
// only owner.
unsafe impl Send for Context {}
// SAFETY: no method of `Context` takes `&self`, so a shared reference gives no access to the
// context.
unsafe impl Sync for Context {}

impl Context {
    pub(super) fn new(
        direction: Direction,
        key: &[u8; KEY_LEN],
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
    ) -> Self {
        // SAFETY: takes no arguments; returns a new context, which the caller owns, or null.
        let context = NonNull::new(unsafe { EVP_CIPHER_CTX_new() });
        let mut this = Self(context.expect("out of memory"));
        let encrypt = match direction {
            Direction::Seal => 1,
            Direction::Open => 0,
        };
        // SAFETY: takes no arguments; returns a pointer to a static, never null.
        let cipher = unsafe { EVP_aes_256_gcm() };
        // SAFETY: the context is valid and exclusively owned. The cipher reads 32 bytes of key and,
        // by default, 12 bytes of nonce, which the arrays have, and copies them. AWS-LC has no
        // engines, so that argument is null.
        let done = unsafe {
            EVP_CipherInit_ex(
                this.0.as_ptr(),
                cipher,
                ptr::null_mut(),
                key.as_ptr(),
                nonce.as_ptr(),
                encrypt,
            )
        };
        assert_eq!(done, 1, "AES-256-GCM takes a key of 32 bytes and a nonce of 12");
        this.authenticate(aad);
        this
    }

    /// Adds associated data; must precede all other data.
    fn authenticate(&mut self, aad: &[u8]) {
        for piece in aad.chunks(MAX_CALL) {
            let mut written = 0;
            // SAFETY: `piece` is readable for its length, which fits an int. A null output marks
            // associated data, so only the length is written.
            let done = unsafe {
                EVP_CipherUpdate(
                    self.0.as_ptr(),
                    ptr::null_mut(),
                    &raw mut written,
                    piece.as_ptr(),
                    int(piece.len()),
                )
            };
            assert_eq!(done, 1, "associated data is far below GCM's limit");
        }
    }

    /// Encrypts or decrypts in place. The caller checks the message length.
    pub(super) fn update(&mut self, data: &mut [u8]) {
        for piece in data.chunks_mut(MAX_CALL) {
            let mut written = 0;
            let at = piece.as_mut_ptr();
            // SAFETY: `piece` is readable and writable for its length, which fits an int. A stream
            // mode writes as many bytes as it reads, and may work in place if both pointers are
            // equal. Only `at` is used during the call.
            let done = unsafe {
                EVP_CipherUpdate(self.0.as_ptr(), at, &raw mut written, at, int(piece.len()))
            };
            assert_eq!((done, written), (1, int(piece.len())), "the length was counted");
        }
    }

    /// Returns the tag of an encrypted message.
    pub(super) fn tag(mut self) -> [u8; TAG_LEN] {
        assert!(self.finish(), "a message can be ended at any length");
        let mut tag = [0; TAG_LEN];
        self.control(EVP_CTRL_AEAD_GET_TAG, &mut tag);
        tag
    }

    /// Checks `tag` against the decrypted message. AWS-LC compares in constant time.
    pub(super) fn verify(mut self, tag: &[u8; TAG_LEN]) -> Result<(), Unauthentic> {
        self.control(EVP_CTRL_AEAD_SET_TAG, &mut tag.clone());
        if self.finish() { Ok(()) } else { Err(Unauthentic) }
    }

    fn finish(&mut self) -> bool {
        let (mut rest, mut written) = ([0; 16], 0);
        // SAFETY: the context is valid and exclusively owned. GCM writes nothing here, and no
        // cipher writes more than one block, for which `rest` has room.
        let done =
            unsafe { EVP_CipherFinal_ex(self.0.as_ptr(), rest.as_mut_ptr(), &raw mut written) };
        done == 1
    }

    /// Gets or sets the tag.
    fn control(&mut self, command: c_int, tag: &mut [u8; TAG_LEN]) {
        let pointer = tag.as_mut_ptr().cast::<c_void>();
        // SAFETY: both commands copy exactly the given 16 bytes, from or to the array.
        let done = unsafe { EVP_CIPHER_CTX_ctrl(self.0.as_ptr(), command, int(TAG_LEN), pointer) };
        assert_eq!(done, 1, "GCM tags have 16 bytes");
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context came from EVP_CIPHER_CTX_new, and `self` is its only owner.
        unsafe { EVP_CIPHER_CTX_free(self.0.as_ptr()) };
    }
}

fn int(len: usize) -> c_int {
    c_int::try_from(len).expect("no longer than MAX_CALL")
}
