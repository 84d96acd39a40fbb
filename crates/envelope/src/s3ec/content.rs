//! Content encryption: one AES-GCM message with its tag at the end, or legacy AES-CBC.

use std::fmt;

use sealwax_aws_lc::gcm;
use zeroize::Zeroizing;

use super::{Admitted, Content, ContentSuite, Error, MAX_PLAINTEXT_LEN, TAG_LEN, derive::GcmKey};
use crate::{
    PlaintextDataKey,
    crypto::{
        self, NONCE_LEN,
        s3ec_primitives::{CbcOpener, ctr_in_place},
    },
};

const _: () = assert!(TAG_LEN == gcm::TAG_LEN && MAX_PLAINTEXT_LEN == gcm::MAX_LEN);

impl Admitted {
    /// Starts to decrypt the content of a stored object of `stored_len` bytes, after verifying the
    /// commitment.
    ///
    /// # Errors
    /// [`Error::Authentication`] if the content commits to another key; [`Error::Truncated`],
    /// [`Error::TooLong`].
    pub fn opener(
        &self,
        data_key: &PlaintextDataKey,
        stored_len: u64,
    ) -> Result<ContentOpener, Error> {
        ContentOpener::new(self.envelope().content(), data_key, stored_len)
    }

    /// Returns a reader of ranges, which cannot be authenticated, after verifying the commitment.
    ///
    /// # Errors
    /// [`Error::Authentication`]; [`Error::Unsupported`] for AES-CBC.
    pub fn dangerous_range_opener(
        &self,
        data_key: &PlaintextDataKey,
    ) -> Result<RangeOpener, Error> {
        if matches!(self.envelope().content(), Content::AesCbc { .. }) {
            return Err(Error::Unsupported("reading ranges of AES-CBC is not supported".into()));
        }
        RangeOpener::new(self.envelope().content(), data_key)
    }
}

/// Encrypts the content of one object in pieces, from its first byte to its last.
pub struct ContentSealer(gcm::Sealer);

impl ContentSealer {
    /// Starts content with `suite` under `data_key`, with a new nonce or message id.
    ///
    /// # Errors
    /// [`Error::RandomUnavailable`]; [`Error::Unsupported`] for AES-CBC, which is for reading
    /// only.
    pub fn new(suite: ContentSuite, data_key: &PlaintextDataKey) -> Result<(Self, Content), Error> {
        let (key, content) = match suite {
            ContentSuite::AesCbc => {
                return Err(Error::Unsupported("AES-CBC is supported for reading only".into()));
            }
            ContentSuite::AesGcm => {
                let iv = random()?;
                (GcmKey::plain(data_key, iv), Content::AesGcm { iv })
            }
            ContentSuite::AesGcmCommitKey => {
                let message_id = random()?;
                let (key, commitment) = GcmKey::committing(data_key, &message_id);
                (key, Content::AesGcmCommitKey { message_id, commitment })
            }
        };
        Ok((Self(gcm::Sealer::new(key.key.expose_secret(), &key.nonce, key.aad)), content))
    }

    /// Encrypts the next piece in place.
    ///
    /// # Errors
    /// [`Error::TooLong`] beyond [`MAX_PLAINTEXT_LEN`].
    pub fn seal(&mut self, piece: &mut [u8]) -> Result<(), Error> {
        self.0.update(piece).map_err(|gcm::TooLong| Error::TooLong)
    }

    /// Ends the content and returns its tag, to be stored after the last byte.
    #[must_use]
    pub fn finish(self) -> [u8; TAG_LEN] {
        self.0.finish()
    }
}

impl fmt::Debug for ContentSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentSealer").finish_non_exhaustive()
    }
}

/// Returns random bytes that are not all zero, because some readers reject zeros.
fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    while bytes == [0; N] {
        crypto::fill_random(&mut bytes)?;
    }
    Ok(bytes)
}

/// Decrypts the content of one object in pieces, from its first byte to its last. All plaintext is
/// unverified until [`ContentOpener::finish`] succeeds.
pub struct ContentOpener {
    cipher: Cipher,
    /// Remaining bytes, without the tag.
    left: u64,
    tag: Vec<u8>,
}

enum Cipher {
    Gcm(Box<gcm::Opener>),
    Cbc(CbcOpener),
}

impl ContentOpener {
    fn new(content: &Content, data_key: &PlaintextDataKey, stored_len: u64) -> Result<Self, Error> {
        let (cipher, left) = match content {
            Content::AesCbc { iv } => {
                (Cipher::Cbc(CbcOpener::new(data_key.expose_secret(), iv)), stored_len)
            }
            _ => {
                let key = GcmKey::of_content(content, data_key)?;
                let left = stored_len.checked_sub(TAG_LEN as u64).ok_or(Error::Truncated)?;
                if left > MAX_PLAINTEXT_LEN {
                    return Err(Error::TooLong);
                }
                let opener = gcm::Opener::new(key.key.expose_secret(), &key.nonce, key.aad);
                (Cipher::Gcm(Box::new(opener)), left)
            }
        };
        Ok(Self { cipher, left, tag: Vec::with_capacity(TAG_LEN) })
    }

    /// Decrypts the next stored bytes, reusing their memory where possible.
    ///
    /// # Errors
    /// [`Error::Authentication`] for more bytes than the declared length of the object.
    pub fn open(&mut self, mut piece: Vec<u8>) -> Result<Unverified, Error> {
        let body = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len());
        self.left -= body as u64;
        match &mut self.cipher {
            Cipher::Gcm(opener) => {
                let tag = &piece[body..];
                if self.tag.len() + tag.len() > TAG_LEN {
                    return Err(Error::Authentication);
                }
                self.tag.extend_from_slice(tag);
                piece.truncate(body);
                let piece = opener.update(piece).map_err(|gcm::TooLong| Error::TooLong)?;
                Ok(Unverified(Piece::Gcm(piece)))
            }
            Cipher::Cbc(opener) => {
                if body < piece.len() {
                    return Err(Error::Authentication);
                }
                Ok(Unverified(Piece::Cbc(opener.update(&piece)?)))
            }
        }
    }

    /// Ends the object: verifies the tag or, for AES-CBC, removes the padding, which proves little.
    ///
    /// # Errors
    /// [`Error::Authentication`] for any failure: no piece may be used.
    pub fn finish(self) -> Result<Verified, Error> {
        if self.left > 0 {
            return Err(Error::Authentication);
        }
        match self.cipher {
            Cipher::Gcm(opener) => {
                let tag = self.tag.as_slice().try_into().map_err(|_| Error::Authentication)?;
                let verified = opener.verify(tag).map_err(|_| Error::Authentication)?;
                Ok(Verified { proof: Some(verified), rest: Zeroizing::default() })
            }
            Cipher::Cbc(opener) => Ok(Verified { proof: None, rest: opener.finish()? }),
        }
    }
}

impl fmt::Debug for ContentOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentOpener").field("left", &self.left).finish_non_exhaustive()
    }
}

/// A decrypted piece of content that may be forged.
#[must_use = "it holds a piece of the content"]
pub struct Unverified(Piece);

enum Piece {
    Gcm(gcm::Unverified<Vec<u8>>),
    Cbc(Vec<u8>),
}

impl Unverified {
    /// Releases the piece after its content was verified.
    ///
    /// # Panics
    /// If `verified` belongs to other content.
    #[must_use]
    pub fn release(self, verified: &Verified) -> Vec<u8> {
        match (self.0, &verified.proof) {
            (Piece::Gcm(piece), Some(proof)) => piece.release(proof),
            (Piece::Cbc(piece), None) => piece,
            _ => panic!("the proof belongs to other content"),
        }
    }

    /// Releases the piece unverified.
    ///
    /// # Danger
    /// An attacker who can change the stored object can flip any bit of the piece. Store it only
    /// where no one uses it before [`ContentOpener::finish`] succeeds, and delete it if that fails.
    #[must_use]
    pub fn dangerous_release_unverified(self) -> Vec<u8> {
        match self.0 {
            Piece::Gcm(piece) => piece.dangerous_release_unverified(),
            Piece::Cbc(piece) => piece,
        }
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified").finish_non_exhaustive()
    }
}

/// Proof that the whole content is authentic. For AES-CBC it proves only valid padding.
pub struct Verified {
    proof: Option<gcm::Verified>,
    rest: Zeroizing<Vec<u8>>,
}

impl Verified {
    /// Returns the last plaintext bytes, after those of all pieces: AES-CBC holds some back.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

/// Decrypts ranges of content, without authentication.
pub struct RangeOpener {
    key: PlaintextDataKey,
    nonce: [u8; NONCE_LEN],
}

impl RangeOpener {
    /// Alignment of the start of a range, in bytes.
    pub const BLOCK_LEN: u64 = 16;

    fn new(content: &Content, data_key: &PlaintextDataKey) -> Result<Self, Error> {
        let GcmKey { key, nonce, .. } = GcmKey::of_content(content, data_key)?;
        Ok(Self { key, nonce })
    }

    /// Decrypts the stored bytes at `offset`, a multiple of [`RangeOpener::BLOCK_LEN`], in place.
    /// Uses AES-CTR with GCM's counter, which starts at 2 for block 0. (NIST SP 800-38D §7.1.)
    ///
    /// # Danger
    /// The result is not authenticated: an attacker who can change the stored object can flip any
    /// bit of it.
    ///
    /// # Errors
    /// [`Error::TooLong`] for bytes beyond [`MAX_PLAINTEXT_LEN`].
    ///
    /// # Panics
    /// If `offset` is not a multiple of the block length.
    pub fn dangerous_open_unverified(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        assert!(
            offset.is_multiple_of(Self::BLOCK_LEN),
            "the range does not start at a block boundary"
        );
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > MAX_PLAINTEXT_LEN) {
            return Err(Error::TooLong);
        }
        let block = u32::try_from(2 + offset / Self::BLOCK_LEN).map_err(|_| Error::TooLong)?;
        let mut counter = [0; 16];
        counter[..NONCE_LEN].copy_from_slice(&self.nonce);
        counter[NONCE_LEN..].copy_from_slice(&block.to_be_bytes());
        ctr_in_place(self.key.expose_secret(), counter, bytes);
        Ok(())
    }
}

impl fmt::Debug for RangeOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeOpener").finish_non_exhaustive()
    }
}
