//! Bodies whose bytes are counted.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body, and what is told about it: each piece's length, and once the total and whether all of it
/// passed.
pub(crate) struct CountedBody<B> {
    body: Pin<Box<B>>,
    on_piece: Box<dyn FnMut(u64) + Send + Sync>,
    on_end: Option<Box<dyn FnOnce(u64, bool) + Send + Sync>>,
    passed: u64,
    is_complete: bool,
}

impl<B: Body<Data = Bytes>> CountedBody<B> {
    pub(crate) fn new(body: B, on_piece: impl FnMut(u64) + Send + Sync + 'static) -> Self {
        let is_complete = body.is_end_stream();
        let (body, on_piece) = (Box::pin(body), Box::new(on_piece));
        Self { body, on_piece, on_end: None, passed: 0, is_complete }
    }

    /// Calls `on_end` when the body is dropped.
    pub(crate) fn on_end(mut self, on_end: impl FnOnce(u64, bool) + Send + Sync + 'static) -> Self {
        self.on_end = Some(Box::new(on_end));
        self
    }
}

impl<B: Body<Data = Bytes>> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = self.body.as_mut().poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let len = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.passed += len;
                (self.on_piece)(len);
                self.is_complete = self.body.is_end_stream();
            }
            Poll::Ready(None) => self.is_complete = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for CountedBody<B> {
    fn drop(&mut self) {
        if let Some(on_end) = self.on_end.take() {
            on_end(self.passed, self.is_complete);
        }
    }
}

impl<B> fmt::Debug for CountedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountedBody").field("passed", &self.passed).finish_non_exhaustive()
    }
}
