//! An asynchronous source that can only be read in order.

use std::{io, pin::Pin};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use sealwax_envelope::{PartBuffer, geometry::CHUNK_LEN};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A reader or a stream, and what was read of it beyond the last part.
pub(crate) struct Sequential {
    kind: Kind,
    lookahead: Bytes,
}

enum Kind {
    Reader(Pin<Box<dyn AsyncRead + Send>>),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Sequential {
    pub(super) fn reader(reader: Pin<Box<dyn AsyncRead + Send>>) -> Self {
        Self { kind: Kind::Reader(reader), lookahead: Bytes::new() }
    }

    pub(super) fn stream(stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>) -> Self {
        Self { kind: Kind::Stream(stream), lookahead: Bytes::new() }
    }

    /// Fills `buffer`; says whether the source ended with it.
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

    /// Reads once: into `buffer` where it can and there is room, else ahead. `false` at the end.
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
        }
    }
}
