//! Decoder of aws-chunked bodies, which needs no I/O.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};

use super::{
    refusal::BodyError,
    signature::{Signer, is_equal},
};

/// Maximum length of a piece in bytes: 64 KiB.
pub(super) const MAX_PIECE_LEN: usize = 64 << 10;
/// Least length of a signed chunk other than the last: 8 KiB.
const MIN_SIGNED_CHUNK_LEN: u64 = 8 << 10;
/// Maximum length of a signed chunk, which is kept in memory until it is verified: 1 MiB.
const MAX_SIGNED_CHUNK_LEN: u64 = 1 << 20;
/// Maximum length of the line before a chunk: 1 KiB.
const MAX_LINE_LEN: usize = 1 << 10;
/// Maximum length of all trailers: 8 KiB.
const MAX_TRAILERS_LEN: usize = 8 << 10;
/// Maximum number of trailers, the signature not counted.
const MAX_TRAILERS: usize = 8;
const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

/// Decoder of one body.
pub(super) struct ChunkedDecoder {
    state: State,
    /// Line that has begun.
    line: Vec<u8>,
    /// Bytes of the payload that the following chunks must have.
    remaining: u64,
    /// `None` if chunks are unsigned.
    signatures: Option<Signatures>,
    /// `None` if nothing follows the final chunk.
    trailers: Option<Trailers>,
    /// Verified bytes of a signed chunk.
    verified: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    ChunkLine,
    Data {
        remaining: u64,
    },
    DataEnd,
    Trailers,
    /// The blank line at the end of a body without trailers.
    LastLine,
    End,
}

struct Signatures {
    signer: Signer,
    /// Signature that the next one continues.
    previous: String,
    /// Signature that the current chunk should have.
    claimed: String,
    hash: Sha256,
    buffer: BytesMut,
    /// `true` after a chunk shorter than 8 KiB.
    is_last: bool,
}

struct Trailers {
    announced: Vec<String>,
    received: Vec<(String, String)>,
    signature: Option<String>,
    len: usize,
}

impl ChunkedDecoder {
    /// Creates a decoder for a payload of `len` bytes. `signer` comes with the request's signature.
    /// Names of trailers are in lower case.
    pub(super) fn new(
        len: u64,
        signer: Option<(Signer, String)>,
        trailers: Option<Vec<String>>,
    ) -> Self {
        Self {
            state: State::ChunkLine,
            line: Vec::new(),
            remaining: len,
            signatures: signer.map(|(signer, previous)| Signatures {
                signer,
                previous,
                claimed: String::new(),
                hash: Sha256::new(),
                buffer: BytesMut::new(),
                is_last: false,
            }),
            trailers: trailers.map(|announced| Trailers {
                announced,
                received: Vec::new(),
                signature: None,
                len: 0,
            }),
            verified: Bytes::new(),
        }
    }

    /// Decodes some of the input. Returns a piece of the payload, or `None` if it needs more input.
    pub(super) fn decode(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, BodyError> {
        loop {
            if !self.verified.is_empty() {
                let len = self.verified.len().min(MAX_PIECE_LEN);
                return Ok(Some(self.verified.split_to(len)));
            }
            if input.is_empty() {
                return Ok(None);
            }
            match self.state {
                State::ChunkLine => {
                    if self.read_line(input, MAX_LINE_LEN)? {
                        self.begin_chunk()?;
                    }
                }
                State::Data { remaining } => {
                    let limit = remaining.min(MAX_PIECE_LEN as u64) as usize;
                    let piece = input.split_to(limit.min(input.len()));
                    let remaining = remaining - piece.len() as u64;
                    self.state = match remaining {
                        0 => State::DataEnd,
                        _ => State::Data { remaining },
                    };
                    match &mut self.signatures {
                        None => return Ok(Some(piece)),
                        Some(signatures) => {
                            signatures.hash.update(&piece);
                            signatures.buffer.extend_from_slice(&piece);
                            if remaining == 0 {
                                self.verified = signatures.verify_chunk()?;
                            }
                        }
                    }
                }
                State::DataEnd => {
                    if self.read_line(input, 2)? {
                        self.expect_blank_line()?;
                        self.state = State::ChunkLine;
                    }
                }
                State::Trailers => {
                    let max = MAX_TRAILERS_LEN - self.trailers.as_ref().map_or(0, |it| it.len);
                    if self.read_line(input, max)? {
                        self.end_trailer()?;
                    }
                }
                State::LastLine => {
                    if self.read_line(input, 2)? {
                        self.expect_blank_line()?;
                        self.state = State::End;
                    }
                }
                State::End => return Err(BodyError::InvalidRequest("bytes follow its end")),
            }
        }
    }

    /// Returns `true` after the final chunk and all trailers, which are verified.
    pub(super) fn is_finished(&self) -> bool {
        self.state == State::End && self.verified.is_empty()
    }

    /// Returns a trailer's value, once the body is finished.
    pub(super) fn trailer(&self, name: &str) -> Option<&str> {
        let received = self.trailers.iter().flat_map(|trailers| &trailers.received);
        let mut values = received.filter(|(other, _)| other == name).map(|(_, value)| value);
        values.next().map(String::as_str)
    }

    /// Reads to the end of a line of at most `max` bytes. Returns `true` if it is complete; the line
    /// is then in `self.line`, with its end.
    fn read_line(&mut self, input: &mut Bytes, max: usize) -> Result<bool, BodyError> {
        while !input.is_empty() {
            if self.line.len() >= max {
                return Err(match self.state {
                    State::Trailers => BodyError::MalformedTrailer("they have more than 8 KiB"),
                    State::ChunkLine => BodyError::InvalidRequest("a line has more than 1 KiB"),
                    _ => BodyError::InvalidRequest("a chunk has another length than announced"),
                });
            }
            self.line.push(input.get_u8());
            if self.line.ends_with(b"\r\n") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes the line without its end.
    fn take_line(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.line);
        line.truncate(line.len().saturating_sub(2));
        line
    }

    fn expect_blank_line(&mut self) -> Result<(), BodyError> {
        match self.take_line().is_empty() {
            true => Ok(()),
            false => Err(BodyError::InvalidRequest("a chunk has another length than announced")),
        }
    }

    fn begin_chunk(&mut self) -> Result<(), BodyError> {
        let line = self.take_line();
        let malformed = || BodyError::InvalidRequest("the line before a chunk is malformed");
        let line = str::from_utf8(&line).map_err(|_| malformed())?;
        let (size, claimed) = match &self.signatures {
            None => (line, None),
            Some(_) => {
                let (size, claimed) = line.split_once(";chunk-signature=").ok_or_else(malformed)?;
                (size, Some(claimed))
            }
        };
        if !(1..=16).contains(&size.len()) || !size.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        let size = u64::from_str_radix(size, 16).map_err(|_| malformed())?;
        if let (Some(signatures), Some(claimed)) = (&mut self.signatures, claimed) {
            if size > MAX_SIGNED_CHUNK_LEN || (size > 0 && signatures.is_last) {
                return Err(BodyError::InvalidChunkSize);
            }
            signatures.is_last = size < MIN_SIGNED_CHUNK_LEN;
            signatures.claimed = claimed.to_owned();
        }
        self.remaining = self.remaining.checked_sub(size).ok_or(BodyError::InvalidRequest(
            "it has more bytes than x-amz-decoded-content-length announces",
        ))?;
        self.state = match size {
            0 => {
                if self.remaining > 0 {
                    return Err(BodyError::IncompleteBody);
                }
                if let Some(signatures) = &mut self.signatures {
                    signatures.verify_chunk()?;
                }
                match self.trailers {
                    Some(_) => State::Trailers,
                    None => State::LastLine,
                }
            }
            remaining => State::Data { remaining },
        };
        Ok(())
    }

    fn end_trailer(&mut self) -> Result<(), BodyError> {
        let mut line = self.take_line();
        let Some(trailers) = &mut self.trailers else { return Ok(()) };
        if line.is_empty() {
            trailers.finish(self.signatures.as_ref())?;
            self.state = State::End;
            return Ok(());
        }
        trailers.len += line.len() + 2;
        // minio-go sends the line feed of the signed form, too.
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        trailers.add(&line, self.signatures.is_some())
    }
}

impl Signatures {
    /// Verifies the current chunk and returns its bytes.
    fn verify_chunk(&mut self) -> Result<Bytes, BodyError> {
        let digest = self.hash.finalize_reset();
        let signature = self.signer.chunk(&self.previous, &digest);
        if !is_equal(&signature, &self.claimed) {
            return Err(BodyError::SignatureDoesNotMatch);
        }
        self.previous = signature;
        Ok(self.buffer.split().freeze())
    }
}

impl Trailers {
    fn add(&mut self, line: &[u8], is_signed: bool) -> Result<(), BodyError> {
        let malformed = BodyError::MalformedTrailer;
        let is_text = |byte: &u8| matches!(byte, b' '..=b'~');
        if !line.iter().all(is_text) {
            return Err(malformed("a character is not printable"));
        }
        let line = str::from_utf8(line).map_err(|_| malformed("a character is not printable"))?;
        let (name, value) = line.split_once(':').ok_or(malformed("a name has no value"))?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        if self.signature.is_some() {
            return Err(malformed("the signature must be the last"));
        }
        if is_signed && name == TRAILER_SIGNATURE {
            self.signature = Some(value);
            return Ok(());
        }
        if !self.announced.contains(&name) {
            return Err(malformed("x-amz-trailer does not announce one"));
        }
        if self.received.iter().any(|(other, _)| *other == name) {
            return Err(malformed("one occurs twice"));
        }
        if self.received.len() == MAX_TRAILERS {
            return Err(malformed("there are more than 8"));
        }
        self.received.push((name, value));
        Ok(())
    }

    fn finish(&self, signatures: Option<&Signatures>) -> Result<(), BodyError> {
        if self.received.len() != self.announced.len() {
            return Err(BodyError::MalformedTrailer("one that x-amz-trailer announces is missing"));
        }
        let Some(signatures) = signatures else { return Ok(()) };
        let missing = BodyError::MalformedTrailer("x-amz-trailer-signature is missing");
        let claimed = self.signature.as_deref().ok_or(missing)?;
        let lines: String =
            self.received.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let signature = signatures.signer.trailers(&signatures.previous, lines.as_bytes());
        match is_equal(&signature, claimed) {
            true => Ok(()),
            false => Err(BodyError::SignatureDoesNotMatch),
        }
    }
}

impl fmt::Debug for ChunkedDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkedDecoder")
            .field("state", &self.state)
            .field("remaining", &self.remaining)
            .finish_non_exhaustive()
    }
}
