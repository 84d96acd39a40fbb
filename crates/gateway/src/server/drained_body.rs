//! Request bodies that are read to their end when the rest is not needed.
//!
//! A connection that is closed while the client still sends is reset, and the client may not see the
//! answer.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::idle_io::Turn;

/// Most bytes that are read in vain. A client that sends a long body looks for the answer only after
/// what it has sent already.
const MAX_DRAINED: u64 = 64 << 20;
/// Longest time for that.
const PATIENCE: Duration = Duration::from_secs(5);

/// A body whose rest is read in the background when it is dropped.
pub(crate) struct DrainedBody<B: Body<Data = Bytes> + Unpin + Send + 'static> {
    body: Option<B>,
    /// `false` if the client waits for permission to send the body.
    is_sent: bool,
    has_ended: Arc<AtomicBool>,
    turn: Turn,
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> DrainedBody<B> {
    /// Wraps a body. Without `is_sent`, the client waits to be asked for it. `turn` is the gateway's
    /// once all of it was read.
    pub(crate) fn new(body: B, is_sent: bool, turn: Turn) -> Self {
        let has_ended = body.is_end_stream();
        if has_ended {
            turn.is_gateways();
        }
        Self { body: Some(body), is_sent, has_ended: Arc::new(AtomicBool::new(has_ended)), turn }
    }

    /// Returns what tells whether all of the body was read.
    pub(crate) fn has_ended(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_ended)
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Body for DrainedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.is_sent = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(context);
        let has_ended = match &polled {
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Ready(None | Some(Err(_))) => true,
            Poll::Pending => false,
        };
        if has_ended {
            self.has_ended.store(true, Ordering::Relaxed);
            self.turn.is_gateways();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> Drop for DrainedBody<B> {
    fn drop(&mut self) {
        let is_needed = self.is_sent && !self.has_ended.load(Ordering::Relaxed);
        if let Some(mut body) = self.body.take().filter(|_| is_needed) {
            tokio::spawn(timeout(PATIENCE, async move {
                let mut left = MAX_DRAINED;
                while let Some(Ok(frame)) = body.frame().await {
                    let len = frame.data_ref().map_or(0, Bytes::len) as u64;
                    let Some(rest) = left.checked_sub(len) else { break };
                    left = rest;
                }
            }));
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin + Send + 'static> fmt::Debug for DrainedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainedBody").field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}
