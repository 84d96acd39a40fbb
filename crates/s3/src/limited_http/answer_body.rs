//! Body of an answer, with limits on its length and on the time without progress.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use aws_sdk_s3::{error::BoxError, primitives::SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{LimitExceeded, pace::Pace};

/// An answer's body. It fails if it makes no progress while it is read, or is too long.
pub(super) struct AnswerBody {
    body: SdkBody,
    pace: Pace,
    /// Time spent waiting since the last progress. Time without a reader does not count.
    waited: Duration,
    /// The wait that is under way.
    wait: Option<Wait>,
    /// Time at which the body must have ended.
    last: Option<Instant>,
    started: Instant,
    /// Number of bytes that may follow.
    room: Option<u64>,
    max_len: u64,
}

struct Wait {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

impl AnswerBody {
    pub(super) fn new(
        body: SdkBody,
        pace: Pace,
        last: Option<Instant>,
        max_len: Option<u64>,
    ) -> Self {
        Self {
            body,
            pace,
            waited: Duration::ZERO,
            wait: None,
            last,
            started: Instant::now(),
            room: max_len,
            max_len: max_len.unwrap_or(u64::MAX),
        }
    }

    /// Counts a frame.
    fn receive(&mut self, frame: &Frame<Bytes>) -> Result<(), LimitExceeded> {
        let now = Instant::now();
        if let Some(wait) = self.wait.take() {
            self.waited += now.duration_since(wait.since);
        }
        let len = frame.data_ref().map_or(0, Bytes::len);
        if self.pace.advance(len) {
            self.waited = Duration::ZERO;
        }
        if let Some(room) = self.room {
            let rest = room.checked_sub(len as u64);
            self.room = Some(rest.ok_or(LimitExceeded::TooLong(self.max_len))?);
        }
        match self.last {
            Some(last) if now >= last => Err(LimitExceeded::Working(last - self.started)),
            _ => Ok(()),
        }
    }

    /// Waits for the next frame; fails once that took too long.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<LimitExceeded> {
        let wait = self.wait.get_or_insert_with(|| {
            let since = Instant::now();
            let end = since + self.pace.timeout.saturating_sub(self.waited);
            let end = self.last.map_or(end, |last| end.min(last));
            Wait { since, end: Box::pin(sleep_until(end)) }
        });
        let is_over = wait.end.as_mut().poll(context).is_ready();
        match is_over {
            true => Poll::Ready(LimitExceeded::Receiving(self.pace.timeout)),
            false => Poll::Pending,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(match this.receive(&frame) {
                Ok(()) => Ok(frame),
                Err(exceeded) => Err(exceeded.into()),
            })),
            Poll::Ready(ended) => Poll::Ready(ended),
            Poll::Pending => this.poll_wait(context).map(|exceeded| Some(Err(exceeded.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").field("pace", &self.pace).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// A body of these frames, which then never ends.
    fn endless(frames: Vec<usize>) -> SdkBody {
        let frames = frames
            .into_iter()
            .map(|len| Ok::<_, BoxError>(Frame::data(Bytes::from(vec![b' '; len]))));
        SdkBody::from_body_1_x(StreamBody::new(stream::iter(frames).chain(stream::pending())))
    }

    async fn failure(mut body: AnswerBody) -> LimitExceeded {
        loop {
            if let Err(error) = body.frame().await.expect("it does not end") {
                return *error.downcast().expect("a limit");
            }
        }
    }

    #[tokio::test]
    async fn an_answer_that_stops_fails() {
        let timeout = Duration::from_millis(20);
        let body = AnswerBody::new(endless(vec![100_000, 1]), Pace::new(timeout), None, None);
        assert_eq!(failure(body).await, LimitExceeded::Receiving(timeout));
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_fails_with_the_first_byte_too_many() {
        let pace = || Pace::new(Duration::from_secs(3600));
        let body = AnswerBody::new(endless(vec![6, 4, 1]), pace(), None, Some(10));
        assert_eq!(failure(body).await, LimitExceeded::TooLong(10));
        let whole = AnswerBody::new(SdkBody::from(vec![0; 10]), pace(), None, Some(10));
        assert_eq!(whole.collect().await.expect("it fits").to_bytes().len(), 10);
    }

    #[tokio::test]
    async fn blanks_end_too() {
        let blanks = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok::<_, BoxError>(Frame::data(Bytes::from_static(b" "))), ()))
        });
        let blanks = SdkBody::from_body_1_x(StreamBody::new(Box::pin(blanks)));
        let pace = Pace::any_byte(Duration::from_secs(3600));
        let last = Instant::now() + Duration::from_millis(50);
        let body = AnswerBody::new(blanks, pace, Some(last), None);
        assert!(matches!(failure(body).await, LimitExceeded::Working(_)));
    }
}
