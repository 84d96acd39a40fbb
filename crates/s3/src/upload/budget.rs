//! Memory budget that all uploads of a client share.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use sealwax_envelope::geometry::CHUNK_LEN;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::buffers::PartBuffers;
use crate::error::{Error, ErrorKind, ObjectRef};

/// Limit for the bytes of parts in memory. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct UploadBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// One permit for each chunk.
    chunks: Arc<Semaphore>,
    len: usize,
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
        Self(Arc::new(Inner { chunks, len, buffers: Mutex::default() }))
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
