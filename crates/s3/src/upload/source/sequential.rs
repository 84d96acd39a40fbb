//! An asynchronous source that can only be read in order.

use std::{collections::VecDeque, io, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use sealwax_envelope::{PartBuffer, geometry::CHUNK_LEN};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A reader or a stream, and the bytes that were read beyond the last part.
pub(crate) struct Sequential {
    kind: Kind,
    lookahead: Bytes,
}

enum Kind {
    Reader(Pin<Box<dyn AsyncRead + Send>>),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
    Slow(Gathering),
}

/// A stream whose pieces are gathered until they fill a part.
struct Gathering {
    stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    pieces: VecDeque<Bytes>,
    ended: bool,
}

impl Sequential {
    pub(super) fn reader(reader: Pin<Box<dyn AsyncRead + Send>>) -> Self {
        Self { kind: Kind::Reader(reader), lookahead: Bytes::new() }
    }

    pub(super) fn stream(stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>) -> Self {
        Self { kind: Kind::Stream(stream), lookahead: Bytes::new() }
    }

    pub(super) fn slow_stream(
        stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    ) -> Self {
        let gathering = Gathering { stream, pieces: VecDeque::new(), ended: false };
        Self { kind: Kind::Slow(gathering), lookahead: Bytes::new() }
    }

    /// Waits until [`Sequential::fill`] would not wait for `len` bytes, if the source may be slow.
    pub(super) async fn ready(&mut self, len: usize) -> io::Result<()> {
        let Kind::Slow(Gathering { stream, pieces, ended }) = &mut self.kind else { return Ok(()) };
        let mut have = self.lookahead.len() + pieces.iter().map(Bytes::len).sum::<usize>();
        // One more byte tells whether the source ends with this part.
        while !*ended && have <= len {
            match stream.next().await.transpose()? {
                Some(piece) => {
                    have += piece.len();
                    pieces.push_back(piece);
                }
                None => *ended = true,
            }
        }
        Ok(())
    }

    /// Fills `buffer`. Returns `true` if the source ended with it.
    pub(super) async fn fill(&mut self, buffer: &mut PartBuffer) -> io::Result<bool> {
        loop {
            let taken = buffer.put_slice(&self.lookahead);
            let _ = self.lookahead.split_to(taken);
            if !self.lookahead.is_empty() {
                return Ok(false);
            }
            if !self.read(buffer).await? {
                return Ok(true);
            }
        }
    }

    /// Reads once: into `buffer` if the source is a reader and there is room, and ahead otherwise.
    /// Returns `false` at the end.
    async fn read(&mut self, buffer: &mut PartBuffer) -> io::Result<bool> {
        match &mut self.kind {
            Kind::Reader(reader) if buffer.is_full() => {
                let mut ahead = vec![0; CHUNK_LEN];
                let len = reader.read(&mut ahead).await?;
                ahead.truncate(len);
                self.lookahead = ahead.into();
                Ok(len > 0)
            }
            Kind::Reader(reader) => {
                let len = reader.read(buffer.spare_mut()).await?;
                buffer.advance(len);
                Ok(len > 0)
            }
            Kind::Stream(stream) => match stream.next().await.transpose()? {
                Some(bytes) => {
                    self.lookahead = bytes;
                    Ok(true)
                }
                None => Ok(false),
            },
            Kind::Slow(Gathering { stream, pieces, ended }) => {
                let next = match pieces.pop_front() {
                    Some(piece) => Some(piece),
                    None if *ended => None,
                    None => stream.next().await.transpose()?,
                };
                *ended |= next.is_none();
                let has_more = next.is_some();
                self.lookahead = next.unwrap_or_default();
                Ok(has_more)
            }
        }
    }
}
