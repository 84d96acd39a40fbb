//! Memory budget that all uploads of a client share.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    thread::available_parallelism,
};

use sealwax_envelope::geometry::CHUNK_LEN;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::buffers::PartBuffers;
use crate::error::{Error, ErrorKind, ObjectRef};

/// Most parts that are read and sealed at a time: enough for the fastest line.
const MAX_SEALERS: usize = 4;

/// Limit for the bytes of parts in memory. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct UploadBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// One permit for each chunk.
    chunks: Arc<Semaphore>,
    len: usize,
    /// One permit for each part that is being read and sealed.
    sealers: Semaphore,
    /// Buffers of the running uploads.
    buffers: Mutex<Weak<PartBuffers>>,
}

/// Permission to hold the buffers of one part in memory.
pub(crate) struct PartRoom {
    pub(super) chunks: usize,
    /// Returns the room when it is dropped.
    _permit: OwnedSemaphorePermit,
}

impl UploadBudget {
    /// Creates a budget of `len` bytes.
    pub(crate) fn new(len: usize) -> Self {
        let chunks = Arc::new(Semaphore::new(len / CHUNK_LEN));
        let sealers = available_parallelism().map_or(1, usize::from).min(MAX_SEALERS);
        let sealers = Semaphore::new(sealers);
        Self(Arc::new(Inner { chunks, len, sealers, buffers: Mutex::default() }))
    }

    /// Waits until a part of `chunks` chunks may be in memory. A part longer than the whole budget
    /// is admitted alone.
    pub(super) async fn room(&self, target: &ObjectRef, chunks: usize) -> Result<PartRoom, Error> {
        let permits = u32::try_from(chunks.min(self.0.len / CHUNK_LEN)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.0.chunks)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| target.error(ErrorKind::Io, "the client is shutting down"))?;
        Ok(PartRoom { chunks, _permit: permit })
    }

    /// Waits until a part may be read and sealed. With one for each core, the next part often finds
    /// the buffer of one that was sent meanwhile; with more, each would have a buffer of its own.
    pub(super) async fn sealer(&self) -> SemaphorePermit<'_> {
        self.0.sealers.acquire().await.expect("it is never closed")
    }

    /// Returns the part buffers that all running uploads share.
    pub(super) fn buffers(&self) -> Arc<PartBuffers> {
        let mut shared = self.0.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let buffers = Arc::default();
            *shared = Arc::downgrade(&buffers);
            buffers
        })
    }
}
