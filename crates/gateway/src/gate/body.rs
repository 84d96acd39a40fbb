//! Bodies without their framing, verified as they pass.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::{
    chunked::{ChunkedDecoder, MAX_PIECE_LEN},
    refusal::BodyError,
};
use crate::checksums::{ChecksumAlgorithm, Mismatch, Verifier, encode};

/// Pieces shorter than this are handed out together: each costs memory beyond its bytes, and a client
/// can send a byte at a time.
const SMALL_PIECE_LEN: usize = 4 << 10;
/// Length from which small pieces are handed out.
const GATHERED_LEN: usize = 16 << 10;

/// Checksum that a client announces of the plaintext. Clones share one state with the body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digests {
    shared: Arc<Mutex<Announced>>,
}

#[derive(Debug, Default)]
struct Announced {
    algorithm: Option<ChecksumAlgorithm>,
    /// Digest from a header, or from a trailer that has arrived.
    value: Option<Vec<u8>>,
    is_complete: bool,
}

impl Digests {
    pub(super) fn new(algorithm: Option<ChecksumAlgorithm>, value: Option<Vec<u8>>) -> Self {
        let announced = Announced { algorithm, value, is_complete: false };
        Self { shared: Arc::new(Mutex::new(announced)) }
    }

    fn lock(&self) -> MutexGuard<'_, Announced> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the algorithm of the announced checksum.
    pub(crate) fn algorithm(&self) -> Option<ChecksumAlgorithm> {
        self.lock().algorithm
    }

    /// Returns `true` once the body has ended and everything announced holds.
    #[cfg(test)]
    pub(crate) fn is_complete(&self) -> bool {
        self.lock().is_complete
    }

    /// Returns the announced checksum in base64, once the body has ended and it holds.
    pub(crate) fn checksum(&self) -> Option<(ChecksumAlgorithm, String)> {
        let announced = self.lock();
        match (&announced.value, announced.algorithm) {
            (Some(value), Some(algorithm)) if announced.is_complete => {
                Some((algorithm, encode(value)))
            }
            _ => None,
        }
    }

    /// Sets the value from a trailer. `false` if it is malformed.
    fn set_trailer(&self, value: &str) -> bool {
        let mut announced = self.lock();
        announced.value = announced.algorithm.and_then(|algorithm| algorithm.decode(value));
        announced.value.is_some()
    }

    /// Ends the verification.
    pub(super) fn complete(&self, verifier: Verifier) -> Result<(), BodyError> {
        let mut announced = self.lock();
        verifier.finish(announced.value.as_deref()).map_err(|mismatch| match mismatch {
            Mismatch::ContentSha256 => BodyError::XAmzContentSHA256Mismatch,
            Mismatch::Md5 => BodyError::BadDigest { what: "Content-MD5" },
            Mismatch::Checksum(algorithm) => BodyError::BadDigest { what: algorithm.header() },
        })?;
        announced.is_complete = true;
        Ok(())
    }
}

/// Way in which a body is framed.
#[derive(Debug)]
pub(super) enum Framing {
    /// The payload alone.
    Plain,
    /// aws-chunked.
    Chunked(Box<ChunkedDecoder>),
}

/// Payload as the client meant it, without framing, in pieces of at most 64 KiB.
///
/// The last piece comes only after everything was verified: length, framing, trailers, signatures
/// and checksums. So a reader of all the announced bytes knows that they hold. If anything doesn't
/// hold, an error takes the place of the last piece.
pub(crate) struct VerifiedBody<B> {
    /// `None` after the end, or after an error.
    source: Option<Pin<Box<B>>>,
    framing: Framing,
    /// Bytes that arrived and are not decoded yet.
    input: Bytes,
    /// Small pieces that are handed out together.
    small: BytesMut,
    /// Piece that comes after them.
    next: Option<Bytes>,
    /// Piece that completes the payload, until everything is verified.
    last_piece: Option<Bytes>,
    /// Bytes of the payload that have not arrived yet.
    missing: u64,
    /// Bytes of the payload that were not handed out yet.
    remaining: u64,
    verifier: Verifier,
    digests: Digests,
}

impl<B> VerifiedBody<B> {
    pub(super) fn new(
        source: B,
        framing: Framing,
        len: u64,
        verifier: Verifier,
        digests: Digests,
    ) -> Self {
        Self {
            source: Some(Box::pin(source)),
            framing,
            input: Bytes::new(),
            small: BytesMut::new(),
            next: None,
            last_piece: None,
            missing: len,
            remaining: len,
            verifier,
            digests,
        }
    }

    /// Creates a body that ended already.
    pub(super) fn empty() -> Self {
        Self {
            source: None,
            framing: Framing::Plain,
            input: Bytes::new(),
            small: BytesMut::new(),
            next: None,
            last_piece: None,
            missing: 0,
            remaining: 0,
            verifier: Verifier::default(),
            digests: Digests::default(),
        }
    }

    /// Returns the next piece of what arrived, already counted and added to the checksums.
    fn next_piece(&mut self) -> Result<Option<Bytes>, BodyError> {
        let piece = match &mut self.framing {
            Framing::Chunked(decoder) => decoder.decode(&mut self.input)?,
            Framing::Plain if self.input.is_empty() => None,
            Framing::Plain => Some(self.input.split_to(self.input.len().min(MAX_PIECE_LEN))),
        };
        let Some(piece) = piece else { return Ok(None) };
        self.missing = self
            .missing
            .checked_sub(piece.len() as u64)
            .ok_or(BodyError::InvalidRequest("it has more bytes than announced"))?;
        self.verifier.update(&piece);
        Ok(Some(piece))
    }

    /// Takes a piece. Returns what can be handed out now.
    fn gather(&mut self, piece: Bytes) -> Option<Bytes> {
        if self.missing > 0 && piece.len() < SMALL_PIECE_LEN {
            let is_full = self.small.len() >= GATHERED_LEN;
            let gathered = is_full.then(|| self.small.split().freeze());
            self.small.extend_from_slice(&piece);
            return gathered;
        }
        let slot = match self.missing {
            0 if piece.is_empty() => return None,
            0 => &mut self.last_piece,
            _ => &mut self.next,
        };
        *slot = Some(piece);
        match self.small.is_empty() {
            true => self.next.take(),
            false => Some(self.small.split().freeze()),
        }
    }

    /// Verifies everything, after the end of the source.
    fn finish(&mut self) -> Result<(), BodyError> {
        if self.missing > 0 {
            return Err(BodyError::IncompleteBody);
        }
        if let Framing::Chunked(decoder) = &self.framing {
            if !decoder.is_finished() {
                return Err(BodyError::IncompleteBody);
            }
            let algorithm = self.digests.algorithm();
            let trailer = algorithm.and_then(|it| decoder.trailer(it.header()));
            if let Some(value) = trailer
                && !self.digests.set_trailer(value)
            {
                return Err(BodyError::MalformedTrailer("the checksum is not valid"));
            }
        }
        self.digests.complete(std::mem::take(&mut self.verifier))
    }
}

impl<B> VerifiedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        loop {
            if self.source.is_none() {
                return Poll::Ready(Ok(None));
            }
            if let Some(piece) = self.next.take() {
                return Poll::Ready(Ok(Some(piece)));
            }
            while let Some(piece) = self.next_piece()? {
                if let Some(piece) = self.gather(piece) {
                    return Poll::Ready(Ok(Some(piece)));
                }
            }
            let Some(source) = &mut self.source else { return Poll::Ready(Ok(None)) };
            match ready!(source.as_mut().poll_frame(context)) {
                // Trailers of HTTP itself mean nothing in S3.
                Some(Ok(frame)) => self.input = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    return Poll::Ready(Err(BodyError::Transport(error.into())));
                }
                None => {
                    self.finish()?;
                    self.source = None;
                    return Poll::Ready(Ok(self.last_piece.take()));
                }
            }
        }
    }
}

impl<B> Body for VerifiedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let piece = ready!(this.poll_piece(context));
        Poll::Ready(match piece {
            Ok(Some(piece)) => {
                this.remaining -= piece.len() as u64;
                Some(Ok(Frame::data(piece)))
            }
            Ok(None) => None,
            Err(error) => {
                this.source = None;
                (this.next, this.last_piece) = (None, None);
                Some(Err(error))
            }
        })
    }

    /// Returns `true` only after everything was verified, so that no reader stops before.
    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

impl<B> fmt::Debug for VerifiedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedBody")
            .field("framing", &self.framing)
            .field("remaining", &self.remaining)
            .finish_non_exhaustive()
    }
}
