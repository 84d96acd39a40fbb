//! An HTTP client that sends and receives no more than so many bytes a second.

use std::{
    num::NonZeroU64,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use aws_sdk_s3::{
    config::{
        HttpClient, RuntimeComponents, SharedHttpClient,
        http::{HttpRequest, HttpResponse},
    },
    error::BoxError,
    primitives::SdkBody,
};
use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

/// Longest piece of a request that is handed over at once, in bytes.
const MAX_PIECE_LEN: u64 = 16 << 10;
/// Pieces in a second, at rates at which they are shorter.
const PIECES_PER_SECOND: u64 = 8;

/// A number of bytes a second. Clones share it: together, they transfer no more.
///
/// It is a token bucket that holds the bytes of an eighth of a second, and at most 16 KiB.
#[derive(Debug, Clone)]
pub struct ByteRate {
    bytes_per_second: NonZeroU64,
    /// Time at which all transferred bytes have been paid for.
    paid_at: Arc<Mutex<Option<Instant>>>,
}

impl ByteRate {
    /// Creates a rate of which nothing is used.
    #[must_use]
    pub fn per_second(bytes: NonZeroU64) -> Self {
        Self { bytes_per_second: bytes, paid_at: Arc::default() }
    }

    /// Returns the number of bytes a second.
    #[must_use]
    pub fn bytes_per_second(&self) -> NonZeroU64 {
        self.bytes_per_second
    }

    /// Returns the length of pieces in bytes.
    fn piece_len(&self) -> usize {
        let len = (self.bytes_per_second.get() / PIECES_PER_SECOND).clamp(1, MAX_PIECE_LEN);
        usize::try_from(len).unwrap_or(usize::MAX)
    }

    fn time_of(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Takes tokens for these bytes, and returns the time from which they may be transferred.
    fn reserve(&self, bytes: usize, now: Instant) -> Instant {
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let burst = self.time_of(self.piece_len() as u64);
        let paid = paid_at.map_or(now, |paid| paid.max(now));
        let paid = paid.checked_add(self.time_of(bytes as u64)).unwrap_or(paid);
        *paid_at = Some(paid);
        paid.checked_sub(burst).unwrap_or(now).max(now)
    }
}

/// An HTTP client for the SDK that keeps a [`ByteRate`], for bodies in both directions.
///
/// It goes between [`LimitedHttp`](crate::LimitedHttp) and the network, so a transfer that it slows
/// down is treated as on a slow line: fewer bodies are sent at a time.
///
/// ```no_run
/// # async fn example() {
/// use std::num::NonZeroU64;
///
/// use sealwax_s3::{ByteRate, RateLimitedHttp, aws_config, default_http_client};
///
/// let rate = ByteRate::per_second(NonZeroU64::new(1 << 20).expect("more than 0"));
/// let config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
///     .http_client(RateLimitedHttp::over(default_http_client(), rate))
///     .load()
///     .await;
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RateLimitedHttp {
    next: SharedHttpClient,
    rate: ByteRate,
}

impl RateLimitedHttp {
    /// Creates a client that sends requests with `next`.
    #[must_use]
    pub fn over(next: impl HttpClient + 'static, rate: ByteRate) -> Self {
        Self { next: SharedHttpClient::new(next), rate }
    }
}

impl HttpClient for RateLimitedHttp {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let next = self.next.http_connector(settings, components);
        SharedHttpConnector::new(Connector { next, rate: self.rate.clone() })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.next.connector_metadata()
    }
}

#[derive(Debug)]
struct Connector {
    next: SharedHttpConnector,
    rate: ByteRate,
}

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let rate = self.rate.clone();
        let body = request.take_body();
        *request.body_mut() = match body.is_end_stream() {
            true => body,
            false => {
                let rate = rate.clone();
                body.map_preserve_contents(move |body| slowed(body, &rate))
            }
        };
        let answer = self.next.call(request);
        HttpConnectorFuture::new(async move {
            let mut response: HttpResponse = answer.await?;
            let body = response.take_body();
            *response.body_mut() = slowed(body, &rate);
            Ok(response)
        })
    }
}

fn slowed(body: SdkBody, rate: &ByteRate) -> SdkBody {
    let rate = rate.clone();
    SdkBody::from_body_1_x(SlowedBody { body, rate, rest: Bytes::new(), next: None })
}

/// A body whose pieces come at a rate. It may hold a data key for KMS, so it cannot be printed.
struct SlowedBody {
    body: SdkBody,
    rate: ByteRate,
    /// Rest of a frame.
    rest: Bytes,
    /// The next piece, and the wait for its tokens.
    next: Option<(Bytes, Pin<Box<Sleep>>)>,
}

impl Body for SlowedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.next.is_none() {
            if this.rest.is_empty() {
                match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => this.rest = data,
                        Err(other) => return Poll::Ready(Some(Ok(other))),
                    },
                    ended => return Poll::Ready(ended),
                }
            }
            let piece = this.rest.split_to(this.rest.len().min(this.rate.piece_len()));
            let until = this.rate.reserve(piece.len(), Instant::now());
            this.next = Some((piece, Box::pin(sleep_until(until))));
        }
        let Some((_, wait)) = &mut this.next else { return Poll::Ready(None) };
        ready!(wait.as_mut().poll(context));
        Poll::Ready(this.next.take().map(|(piece, _)| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let next = self.next.as_ref().map_or(0, |(piece, _)| piece.len());
        let held = (next + self.rest.len()) as u64;
        let hint = self.body.size_hint();
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + held);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + held);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn rate(bytes: u64) -> ByteRate {
        ByteRate::per_second(NonZeroU64::new(bytes).expect("more than 0"))
    }

    /// Returns the seconds from `start` until transfers of `len` bytes each have ended that take turns,
    /// by a clock that goes on when a transfer waits.
    fn seconds(rate: &ByteRate, transfers: usize, len: usize, start: Instant) -> f64 {
        let (mut rest, mut now) = (vec![len; transfers], start);
        while rest.iter().any(|rest| *rest > 0) {
            for rest in rest.iter_mut().filter(|rest| **rest > 0) {
                let piece = rate.piece_len().min(*rest);
                now = rate.reserve(piece, now);
                *rest -= piece;
            }
        }
        (now - start).as_secs_f64()
    }

    #[test]
    fn transfers_take_their_time_together() {
        let start = Instant::now();
        // An eighth of a second is free at first, and after a rest.
        let close = |took: f64, expected: f64| (took - expected).abs() < 0.001;
        let shared = rate(100_000);
        let took = seconds(&shared, 1, 1_000_000, start);
        assert!(close(took, 9.875), "{took} s");
        let later = start + Duration::from_secs(60);
        let took = seconds(&shared.clone(), 8, 125_000, later);
        assert!(close(took, 9.875), "{took} s");
        // Without a rest, nothing is free.
        let took = seconds(&shared, 1, 100_000, later + Duration::from_secs_f64(took));
        assert!(close(took, 1.0), "{took} s");
    }

    #[tokio::test]
    async fn a_body_is_handed_over_in_pieces_and_stays_the_same() {
        let content: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
        let mut body = slowed(SdkBody::from(content.clone()), &rate(u64::MAX));
        assert_eq!(body.size_hint().exact(), Some(100_000));
        let mut received = Vec::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.expect("a frame").into_data().expect("data");
            assert!(piece.len() as u64 <= MAX_PIECE_LEN);
            received.extend_from_slice(&piece);
            assert_eq!(body.size_hint().exact(), Some(100_000 - received.len() as u64));
        }
        assert!(body.is_end_stream());
        assert_eq!(received, content);
    }

    /// The bytes of somebody else have to be paid for first.
    #[tokio::test]
    async fn a_body_waits_for_its_tokens() {
        let rate = rate(1024);
        rate.reserve(1 << 40, Instant::now());
        let mut body = slowed(SdkBody::from(vec![0; 10]), &rate);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(10), false));
        let mut empty = slowed(SdkBody::empty(), &rate);
        assert!(empty.is_end_stream() && empty.frame().await.is_none());
    }

    #[test]
    fn rates_have_no_extremes() {
        let now = Instant::now();
        assert_eq!(rate(1).piece_len(), 1);
        assert_eq!(rate(u64::MAX).piece_len(), 16 << 10);
        assert_eq!(rate(u64::MAX).reserve(usize::MAX, now), now + Duration::from_secs(1));
        assert!(rate(1).reserve(1 << 20, now) > now + Duration::from_secs(1 << 19));
    }
}
