//! Incremental AES-256-GCM (NIST SP 800-38D): one message in pieces, in constant memory.
//!
//! Nonces have 96 bits, tags 128 bits. A message has at most [`MAX_LEN`] bytes. Each [`Sealer`] and
//! each [`Opener`] processes one message and is consumed at its end.
//!
//! ```
//! use sealwax_aws_lc::gcm::{Opener, Sealer};
//!
//! let (key, nonce) = ([7; 32], [1; 12]);
//! let mut sealer = Sealer::new(&key, &nonce, b"aad");
//! let (mut one, mut two) = (b"a message".to_vec(), b" in pieces".to_vec());
//! sealer.update(&mut one)?;
//! sealer.update(&mut two)?;
//! let tag = sealer.finish();
//!
//! let mut opener = Opener::new(&key, &nonce, b"aad");
//! let pieces = [opener.update(one)?, opener.update(two)?];
//! let verified = opener.verify(&tag)?;
//! assert_eq!(pieces.map(|piece| piece.release(&verified)).concat(), b"a message in pieces");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod context;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use self::context::{Context, Direction};
use crate::Unauthentic;

/// Length of a key in bytes.
pub const KEY_LEN: usize = 32;
/// Length of a nonce in bytes.
pub const NONCE_LEN: usize = 12;
/// Length of a tag in bytes.
pub const TAG_LEN: usize = 16;
/// Maximum message length in bytes: 2^36 - 32, the limit of the 32-bit counter. (SP 800-38D
/// §5.2.1.1.)
pub const MAX_LEN: u64 = (1 << 36) - 32;

/// The message would exceed [`MAX_LEN`]. No byte of the piece was encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message of AES-GCM has at most 2^36 - 32 bytes")
    }
}

impl std::error::Error for TooLong {}

/// Seals one message.
pub struct Sealer {
    context: Context,
    left: u64,
}

impl Sealer {
    /// Starts a message. A key and a nonce must never be used together for another message.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN], nonce: &[u8; NONCE_LEN], aad: &[u8]) -> Self {
        Self { context: Context::new(Direction::Seal, key, nonce, aad), left: MAX_LEN }
    }

    /// Encrypts the next piece in place.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn update(&mut self, piece: &mut [u8]) -> Result<(), TooLong> {
        take(&mut self.left, piece.len())?;
        self.context.update(piece);
        Ok(())
    }

    /// Ends the message and returns its tag.
    #[must_use]
    pub fn finish(self) -> [u8; TAG_LEN] {
        self.context.tag()
    }
}

/// Opens one message. Pieces are unverified until [`Opener::verify`] has authenticated the whole
/// message.
pub struct Opener {
    context: Context,
    left: u64,
    message: u64,
}

impl Opener {
    /// Starts a message.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN], nonce: &[u8; NONCE_LEN], aad: &[u8]) -> Self {
        static MESSAGES: AtomicU64 = AtomicU64::new(0);
        let message = MESSAGES.fetch_add(1, Ordering::Relaxed);
        Self { context: Context::new(Direction::Open, key, nonce, aad), left: MAX_LEN, message }
    }

    /// Decrypts the next piece in place, and keeps it locked until the message is verified.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn update<B: AsMut<[u8]>>(&mut self, mut piece: B) -> Result<Unverified<B>, TooLong> {
        take(&mut self.left, piece.as_mut().len())?;
        self.context.update(piece.as_mut());
        Ok(Unverified { piece, message: self.message })
    }

    /// Ends the message and compares its tag with `tag`, in constant time.
    ///
    /// # Errors
    /// [`Unauthentic`] if the tags differ: no piece of this message may be used.
    pub fn verify(self, tag: &[u8; TAG_LEN]) -> Result<Verified, Unauthentic> {
        self.context.verify(tag).map(|()| Verified { message: self.message })
    }
}

/// A decrypted piece of a message that may be forged.
#[must_use = "contains a piece of the message"]
pub struct Unverified<B> {
    piece: B,
    message: u64,
}

impl<B> Unverified<B> {
    /// Returns the piece of a verified message.
    ///
    /// # Panics
    /// If `verified` belongs to another message.
    pub fn release(self, verified: &Verified) -> B {
        assert_eq!(self.message, verified.message, "a piece of another message");
        self.piece
    }

    /// Returns the piece without verification.
    ///
    /// # Danger
    /// An attacker who can change the ciphertext can flip any bit of the piece. Do not let anything
    /// use it before [`Opener::verify`] succeeds, and discard it if verification fails.
    pub fn dangerous_release_unverified(self) -> B {
        self.piece
    }
}

/// Proof that a whole message is authentic; [`Unverified::release`] requires it.
#[derive(Debug)]
pub struct Verified {
    message: u64,
}

fn take(left: &mut u64, len: usize) -> Result<(), TooLong> {
    *left = left.checked_sub(len as u64).ok_or(TooLong)?;
    Ok(())
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("left", &self.left).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<B> fmt::Debug for Unverified<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_ends_at_the_limit() {
        let mut sealer = Sealer { left: 32, ..Sealer::new(&[1; 32], &[2; 12], b"") };
        assert_eq!(sealer.update(&mut [0; 33]), Err(TooLong));
        assert_eq!(sealer.update(&mut [0; 32]), Ok(()));
        assert_eq!(sealer.update(&mut []), Ok(()));
        let mut untouched = [7];
        assert_eq!(sealer.update(&mut untouched), Err(TooLong));
        assert_eq!(untouched, [7]);
        let mut opener = Opener { left: 1, ..Opener::new(&[1; 32], &[2; 12], b"") };
        assert_eq!(opener.update([0; 2]).err(), Some(TooLong));
        assert!(opener.update([0; 1]).is_ok());
    }

    #[test]
    #[should_panic(expected = "a piece of another message")]
    fn the_proof_of_one_message_releases_nothing_of_another() {
        let open = || {
            let mut opener = Opener::new(&[1; 32], &[2; 12], b"");
            let mut data = *b"x";
            let mut sealer = Sealer::new(&[1; 32], &[2; 12], b"");
            sealer.update(&mut data).expect("short");
            let piece = opener.update(data).expect("short");
            (piece, opener.verify(&sealer.finish()).expect("genuine"))
        };
        let ((piece, _), (_, verified)) = (open(), open());
        let _ = piece.release(&verified);
    }

    /// Tests the last counter block of AWS-LC itself, with 64 GiB.
    #[test]
    #[ignore = "encrypts 64 GiB: run it with --release"]
    fn the_longest_message_opens() {
        let (key, nonce) = ([3; 32], [4; 12]);
        let mut buffer = vec![0; 8 << 20];
        let mut sealer = Sealer::new(&key, &nonce, b"aad");
        let mut opener = Opener::new(&key, &nonce, b"aad");
        let mut left = MAX_LEN;
        while left > 0 {
            let len =
                usize::try_from(left.min(buffer.len() as u64)).expect("no longer than the buffer");
            buffer[..len].fill(5);
            sealer.update(&mut buffer[..len]).expect("within the limit");
            let opened = opener
                .update(&mut buffer[..len])
                .expect("within the limit")
                .dangerous_release_unverified();
            assert!(opened.iter().all(|byte| *byte == 5));
            left -= len as u64;
        }
        assert_eq!(sealer.update(&mut [0]), Err(TooLong));
        let tag = sealer.finish();
        opener.verify(&tag).expect("genuine");
    }
}
