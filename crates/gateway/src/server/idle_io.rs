//! Connections that are dropped when they move too little.
//!
//! A client that sends or takes a byte now and then would hold memory and a place for hours. While the
//! gateway works on a request that has arrived, nothing has to move.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// Whose turn it is on a connection. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_gateways: AtomicBool,
    /// Number of requests that began, and of answers that ended.
    changes: AtomicU64,
}

impl Turn {
    /// A request has begun to arrive.
    pub(crate) fn begins(&self) {
        self.0.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// A request has arrived whole: the gateway works on it.
    pub(crate) fn is_gateways(&self) {
        self.0.is_gateways.store(true, Ordering::Relaxed);
    }

    /// The answer has ended: the client sends the next request.
    pub(crate) fn is_clients(&self) {
        self.0.is_gateways.store(false, Ordering::Relaxed);
        self.0.changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream that fails when it waits for the client, and moved less than a rate over a span of time.
pub(crate) struct IdleIo<S> {
    stream: S,
    turn: Turn,
    span: Duration,
    /// Least number of bytes over the span.
    least: u64,
    timer: Pin<Box<Sleep>>,
    /// Bytes moved since the span began.
    moved: u64,
    /// Changes of the turn before the span began.
    changes: u64,
}

impl<S> IdleIo<S> {
    /// Watches `stream`: over each `span`, it must move `least_rate` bytes a second while it waits. A
    /// span begins with each request, and with each wait for one.
    pub(crate) fn new(stream: S, turn: Turn, span: Duration, least_rate: u64) -> Self {
        let least = least_rate.saturating_mul(span.as_secs());
        Self { stream, turn, span, least, timer: Box::pin(sleep(span)), moved: 0, changes: 0 }
    }

    fn begin_span(&mut self) {
        self.moved = 0;
        let next = Instant::now() + self.span;
        self.timer.as_mut().reset(next);
    }

    /// Counts what moved, or checks the time if nothing did.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
        is_for_client: bool,
        moved: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(Ok(done)) => {
                self.moved += moved(&done) as u64;
                Poll::Ready(Ok(done))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let changes = self.turn.0.changes.load(Ordering::Relaxed);
                if changes != self.changes {
                    self.changes = changes;
                    self.begin_span();
                }
                ready!(self.timer.as_mut().poll(context));
                let is_slow = is_for_client && self.moved < self.least;
                self.begin_span();
                if is_slow {
                    let message = "the connection moved too little";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)));
                }
                // The new time must wake the task.
                match self.timer.as_mut().poll(context) {
                    Poll::Ready(()) | Poll::Pending => Poll::Pending,
                }
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let after = buffer.filled().len();
        // The client is to send something, unless it waits for an answer.
        let is_for_client = !self.turn.0.is_gateways.load(Ordering::Relaxed);
        self.watch(context, polled, is_for_client, |()| after - before)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled, true, |written| *written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, polled, true, |written| *written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl<S> fmt::Debug for IdleIo<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdleIo").field("moved", &self.moved).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::timeout,
    };

    use super::*;

    const SPAN: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_moves_too_little_fails() {
        let (near, mut far) = duplex(1 << 20);
        let mut near = IdleIo::new(near, Turn::default(), SPAN, 100);
        let mut bytes = vec![0; 2_000];
        far.write_all(&[7; 999]).await.expect("room");
        let error = near.read_exact(&mut bytes[..1_000]).await.expect_err("999 in ten seconds");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_its_answer_may_be_silent() {
        let (near, mut far) = duplex(1 << 20);
        let turn = Turn::default();
        turn.is_gateways();
        let mut near = IdleIo::new(near, turn.clone(), SPAN, 100);
        let later = tokio::spawn(async move {
            sleep(10 * SPAN).await;
            far.write_all(&[7]).await.expect("room");
            far
        });
        near.read_exact(&mut [0]).await.expect("it is not the client's turn");
        turn.is_clients();
        let error = near.read_exact(&mut [0]).await.expect_err("nothing for ten seconds");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(later.await.expect("it ends"));
    }

    /// Otherwise a connection that was idle before would end in the middle of its request.
    #[tokio::test(start_paused = true)]
    async fn each_request_has_a_span_of_its_own() {
        let (near, mut far) = duplex(1 << 20);
        let turn = Turn::default();
        let mut near = IdleIo::new(near, turn.clone(), SPAN, 100);
        let second = Duration::from_secs(1);
        for _ in 0..3 {
            for what in ["the beginning of a request", "its rest"] {
                let mut byte = [0];
                let read = timeout(SPAN - second, near.read_exact(&mut byte)).await;
                assert!(read.is_err(), "{what} may take so long");
                far.write_all(&[7]).await.expect("room");
                near.read_exact(&mut byte).await.expect(what);
                turn.begins();
            }
            turn.is_gateways();
            turn.is_clients();
        }
        let error = near.read_exact(&mut [0]).await.expect_err("nothing for ten seconds");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_moves_enough_stays() {
        let (near, mut far) = duplex(1 << 20);
        let mut near = IdleIo::new(near, Turn::default(), SPAN, 100);
        let writes = tokio::spawn(async move {
            for _ in 0..6 {
                far.write_all(&[7; 1_000]).await.expect("room");
                sleep(SPAN - Duration::from_secs(1)).await;
            }
            far
        });
        let mut bytes = vec![0; 6_000];
        near.read_exact(&mut bytes).await.expect("enough in each span");
        drop(writes.await.expect("it ends"));
    }
}
