//! Body of a request, whose progress is seen.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use aws_sdk_s3::{error::BoxError, primitives::SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{
    LimitExceeded,
    pace::{Pace, Tail},
};

/// Longest piece of a body that is handed over at once. The HTTP client holds up to 16 pieces, so
/// this bounds the bytes that it has taken and the network has not.
const PIECE_LEN: usize = 16 << 10;

/// A body that is handed over in pieces. It may hold a data key for KMS, so it cannot be printed.
struct RequestBody {
    body: SdkBody,
    /// Rest of a frame.
    rest: Bytes,
    sending: Sending,
}

/// Progress of a request. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Sending(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    pace: Pace,
    tail: Tail,
    deadline: Instant,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The service takes the body.
    Sending,
    /// The body's source has nothing ready, which is not the service's fault.
    Source,
    /// The whole request was taken.
    Waiting,
}

/// Wraps a request's body, and returns its progress too.
pub(super) fn observed(body: SdkBody, timeout: Duration) -> (SdkBody, Sending) {
    let now = Instant::now();
    let phase = if body.is_end_stream() { Phase::Waiting } else { Phase::Sending };
    let (pace, tail) = (Pace::new(timeout), Tail::new(now));
    let state = State { pace, tail, deadline: now + timeout, phase };
    let sending = Sending(Arc::new(Mutex::new(state)));
    if phase == Phase::Waiting {
        return (body, sending);
    }
    let of_wrapper = sending.clone();
    let body = body.map_preserve_contents(move |body| {
        let (rest, sending) = (Bytes::new(), of_wrapper.clone());
        SdkBody::from_body_1_x(RequestBody { body, rest, sending })
    });
    (body, sending)
}

impl RequestBody {
    fn is_at_end(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            let frame = Pin::new(&mut this.body).poll_frame(context);
            if frame.is_pending() {
                this.sending.lock().phase = Phase::Source;
            }
            match ready!(frame) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => {
                    this.sending.lock().end(Instant::now());
                    return Poll::Ready(ended);
                }
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE_LEN));
        let is_at_end = this.is_at_end();
        let mut state = this.sending.lock();
        let now = Instant::now();
        state.advance(piece.len(), now);
        if is_at_end {
            state.end(now);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}

impl State {
    fn advance(&mut self, bytes: usize, now: Instant) {
        self.tail.advance(bytes, now);
        if self.pace.advance(bytes) || self.phase == Phase::Source {
            self.deadline = now + self.pace.timeout;
        }
        self.phase = Phase::Sending;
    }

    fn end(&mut self, now: Instant) {
        if self.phase != Phase::Waiting {
            self.phase = Phase::Waiting;
            self.deadline = now + self.pace.timeout + self.tail.drain_time(now);
        }
    }

    fn stalled(&mut self, now: Instant) -> Option<LimitExceeded> {
        let timeout = self.pace.timeout;
        match self.phase {
            Phase::Source => {
                self.deadline = now + timeout;
                None
            }
            _ if now < self.deadline => None,
            Phase::Sending => Some(LimitExceeded::Sending(timeout)),
            Phase::Waiting => Some(LimitExceeded::Waiting(timeout)),
        }
    }
}

impl Sending {
    /// Returns the time at which to look for progress.
    pub(super) fn deadline(&self) -> Instant {
        self.lock().deadline
    }

    /// Returns the exceeded limit, if the request makes no progress.
    pub(super) fn stalled(&self) -> Option<LimitExceeded> {
        self.lock().stalled(Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_body_is_handed_over_in_pieces_and_stays_the_same() {
        let content: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
        let (mut body, sending) = observed(SdkBody::from(content.clone()), LIMIT);
        assert_eq!(body.size_hint().exact(), Some(100_000));
        let mut received = Vec::new();
        assert_eq!(body.bytes(), Some(&content[..]), "the SDK can still read it");
        while let Some(frame) = body.frame().await {
            let piece = frame.expect("a frame").into_data().expect("data");
            assert!(piece.len() <= PIECE_LEN);
            received.extend_from_slice(&piece);
            assert_eq!(body.size_hint().exact(), Some(100_000 - received.len() as u64));
            let phase = sending.lock().phase;
            assert_eq!(phase == Phase::Waiting, body.is_end_stream());
        }
        assert_eq!(received, content);
    }

    #[tokio::test]
    async fn what_stalls_is_said() {
        let later = |sending: &Sending| {
            let mut state = sending.lock();
            let after = state.deadline;
            state.stalled(after)
        };
        let (mut body, sending) = observed(SdkBody::from(vec![0; 100_000]), LIMIT);
        assert_eq!(sending.stalled(), None);
        assert_eq!(later(&sending), Some(LimitExceeded::Sending(LIMIT)));
        while body.frame().await.is_some() {}
        assert_eq!(later(&sending), Some(LimitExceeded::Waiting(LIMIT)));
        let (_, sending) = observed(SdkBody::empty(), LIMIT);
        assert_eq!(later(&sending), Some(LimitExceeded::Waiting(LIMIT)));
    }

    /// A part of 8 MiB that shares a line of 120 KB/s with three others takes 280 seconds. The answer
    /// comes once the last 4 MiB have left the buffers.
    #[test]
    fn a_slow_body_never_stalls() {
        const RATE: u64 = 30_000;
        const LEN: u64 = 8 << 20;
        let (_, sending) = observed(SdkBody::from("x"), LIMIT);
        let (mut state, start) = (sending.lock(), Instant::now());
        let mut sent = 0;
        while sent < LEN {
            let piece = (LEN - sent).min(PIECE_LEN as u64);
            sent += piece;
            // The first 4 MiB are taken at once.
            let seconds = sent.saturating_sub(4 << 20) as f64 / RATE as f64;
            let now = start + Duration::from_secs_f64(seconds);
            assert_eq!(state.stalled(now), None, "after {seconds} s");
            state.advance(piece as usize, now);
        }
        let all_taken = start + Duration::from_secs_f64((4 << 20) as f64 / RATE as f64);
        state.end(all_taken);
        let answered = start + Duration::from_secs_f64(LEN as f64 / RATE as f64);
        assert_eq!(state.stalled(answered), None);
        assert_eq!(state.stalled(answered + LIMIT * 5), Some(LimitExceeded::Waiting(LIMIT)));
    }

    #[test]
    fn a_source_that_has_nothing_ready_is_not_the_services_fault() {
        let never = http_body_util::StreamBody::new(futures_util::stream::pending::<
            Result<Frame<Bytes>, BoxError>,
        >());
        let (mut body, sending) = observed(SdkBody::from_body_1_x(never), LIMIT);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
        let mut state = sending.lock();
        let (before, now) = (state.deadline, state.deadline + LIMIT);
        assert_eq!(state.stalled(now), None);
        assert!(state.deadline > before);
    }
}
