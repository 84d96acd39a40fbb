//! One part of an upload, in memory or in the spool.

use std::{fmt, io, sync::Arc, time::SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use s3s::{S3Error, S3ErrorCode, S3Result, dto::StreamingBlob};
use tokio::task::spawn_blocking;

use super::spool::{Spool, SpoolReader, SpoolWriter, SpooledPart};
use crate::{
    budget::{Budget, Room, slow_down},
    checksums::{ChecksumAlgorithm, encode},
    failure::stream_failure,
};

/// Room for waiting parts: memory, then disk. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct PartStore {
    pub(crate) budget: Budget,
    /// Memory for the parts that puts gather before they are sealed.
    pub(crate) puts: Budget,
    pub(crate) spool: Option<Spool>,
}

/// A part that was received whole, and verified.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Length in bytes.
    pub(crate) len: u64,
    /// Entity tag that the client was told.
    pub(crate) e_tag: String,
    /// Checksum that tells whether the same bytes were sent again.
    pub(crate) sum: String,
    /// Checksum by the algorithm of the upload, in base64.
    pub(crate) checksum: Option<String>,
    pub(crate) modified: SystemTime,
    pub(crate) body: PartBody,
}

/// The bytes of a part.
#[derive(Clone)]
pub(crate) enum PartBody {
    Memory(Arc<MemoryPart>),
    Spooled(Arc<SpooledPart>),
    /// The put has them, and they are nowhere else.
    Gone,
}

/// The bytes of a part in memory.
pub(crate) struct MemoryPart {
    pieces: Vec<Bytes>,
    _room: Room,
}

/// Room for a part that has not arrived.
pub(crate) enum Place {
    Memory(Room),
    Spool(SpoolWriter),
}

/// Reads the bytes of a part in order.
pub(crate) enum PartReader {
    Memory(Arc<MemoryPart>, usize),
    Spool(SpoolReader),
}

/// A part that was received.
pub(crate) struct Received {
    pub(crate) len: u64,
    pub(crate) sum: String,
    pub(crate) checksum: Option<String>,
    pub(crate) body: PartBody,
}

impl PartStore {
    /// Finds room for a part of `len` bytes, before any of them is read. It never waits: the room may
    /// be taken by parts that wait for this one.
    ///
    /// # Errors
    /// `SlowDown` if there is none.
    pub(crate) async fn place(&self, len: u64) -> S3Result<Place> {
        if let Some(room) = self.budget.room(len) {
            return Ok(Place::Memory(room));
        }
        let Some(spool) = self.spool.clone() else { return Err(slow_down()) };
        let begun = on_disk(move || spool.begin(len)).await.map_err(spool_failure)?;
        begun.map(Place::Spool).ok_or_else(slow_down)
    }
}

/// Receives a part into `place`.
///
/// # Errors
/// The body is not what the client announced, or broke off, or the spool failed.
pub(crate) async fn receive(
    place: Place,
    mut body: StreamingBlob,
    algorithm: Option<ChecksumAlgorithm>,
) -> S3Result<Received> {
    let (mut sum, mut len) = (ChecksumAlgorithm::Crc64Nvme.hasher(), 0);
    let other = algorithm.filter(|algorithm| *algorithm != ChecksumAlgorithm::Crc64Nvme);
    let mut checksum = other.map(ChecksumAlgorithm::hasher);
    let mut update = |piece: &Bytes| {
        len += piece.len() as u64;
        sum.update(piece);
        if let Some(checksum) = &mut checksum {
            checksum.update(piece);
        }
    };
    let body = match place {
        Place::Memory(room) => {
            let mut pieces = Vec::new();
            while let Some(piece) = body.try_next().await.map_err(stream_failure)? {
                update(&piece);
                pieces.push(piece);
            }
            PartBody::Memory(Arc::new(MemoryPart { pieces, _room: room }))
        }
        Place::Spool(mut writer) => {
            while let Some(piece) = body.try_next().await.map_err(stream_failure)? {
                update(&piece);
                let mut rest = &*piece;
                while !rest.is_empty() {
                    rest = &rest[writer.gather(rest)..];
                    if writer.is_full() {
                        let written = on_disk(move || writer.write()).await;
                        writer = written.map_err(spool_failure)?;
                    }
                }
            }
            let finished = on_disk(move || writer.finish()).await;
            PartBody::Spooled(Arc::new(finished.map_err(spool_failure)?))
        }
    };
    let sum = encode(&sum.finish());
    let checksum = match checksum {
        Some(checksum) => Some(encode(&checksum.finish())),
        None => algorithm.map(|_| sum.clone()),
    };
    Ok(Received { len, sum, checksum, body })
}

impl MemoryPart {
    /// Writes the bytes to the spool too; `None` if there is no space for them.
    ///
    /// # Errors
    /// The spool failed.
    pub(crate) async fn spooled(self: &Arc<Self>, spool: &Spool) -> io::Result<Option<PartBody>> {
        let (part, spool) = (Arc::clone(self), spool.clone());
        on_disk(move || {
            let len = part.pieces.iter().map(|piece| piece.len() as u64).sum();
            let Some(mut writer) = spool.begin(len)? else { return Ok(None) };
            for piece in &part.pieces {
                writer = writer.write_all(piece)?;
            }
            writer.finish().map(|part| Some(PartBody::Spooled(Arc::new(part))))
        })
        .await
    }
}

impl PartBody {
    /// Begins to read; `None` if the bytes are gone.
    ///
    /// # Errors
    /// The spool failed.
    pub(crate) fn read(&self) -> io::Result<Option<PartReader>> {
        match self {
            Self::Memory(part) => Ok(Some(PartReader::Memory(Arc::clone(part), 0))),
            Self::Spooled(part) => part.read().map(|reader| Some(PartReader::Spool(reader))),
            Self::Gone => Ok(None),
        }
    }

    /// `true` if the bytes are there.
    pub(crate) fn is_there(&self) -> bool {
        !matches!(self, Self::Gone)
    }

    /// `true` if the bytes are in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }
}

impl PartReader {
    /// Returns the next pieces, and the reader if there may be more.
    ///
    /// # Errors
    /// The spool failed.
    pub(crate) async fn next(self) -> io::Result<Option<(Vec<Bytes>, Self)>> {
        match self {
            Self::Memory(part, at) => {
                let piece = part.pieces.get(at).cloned();
                Ok(piece.map(|piece| (vec![piece], Self::Memory(part, at + 1))))
            }
            Self::Spool(mut reader) => {
                let read = on_disk(move || reader.next().map(|pieces| (pieces, reader)));
                let (pieces, reader) = read.await?;
                Ok((!pieces.is_empty()).then_some((pieces, Self::Spool(reader))))
            }
        }
    }
}

/// Works on a file, on a blocking thread.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

fn spool_failure(error: io::Error) -> S3Error {
    tracing::error!(%error, "the spool failed");
    let mut answer =
        S3Error::with_message(S3ErrorCode::SlowDown, "the gateway's spool cannot be used now");
    answer.set_source(Box::new(error));
    answer
}

impl fmt::Debug for PartBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory(_) => "Memory",
            Self::Spooled(_) => "Spooled",
            Self::Gone => "Gone",
        })
    }
}
