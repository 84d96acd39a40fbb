//! Fetches stored bytes of one version of an object, and resumes after broken connections.

use std::{ops::Range, time::Duration};

use aws_sdk_s3::primitives::ByteStream;
use sealwax_envelope::Error as EnvelopeError;

use crate::{
    backoff::pause,
    error::{Error, ErrorKind, ObjectRef, error_chain},
    memory::with_memory,
    store::{
        Store,
        part_limiter::Attempt,
        ranged_get::{Pin, StoredRange, ranged_get},
    },
};

/// Maximum number of consecutive attempts without a single new byte.
const MAX_FRUITLESS: u32 = 4;
/// Maximum number of attempts for one part. A line that brings a few bytes each time would go on for
/// hours.
const MAX_INTERRUPTIONS: u32 = 64;
/// Pause after an interruption. It doubles with each consecutive attempt without a new byte.
const PAUSE: Duration = Duration::from_millis(100);

/// A response body that is being received, and the offset of its first byte in the stored body.
pub(crate) type FirstResponse = (ByteStream, u64);

/// Returns the first response for the first part, and `None` for all others.
pub(crate) fn first_then_none(
    first: Option<FirstResponse>,
) -> impl Iterator<Item = Option<FirstResponse>> + Send {
    std::iter::once(first).chain(std::iter::repeat_with(|| None))
}

/// Fetches bytes of one version of an object.
#[derive(Clone)]
pub(crate) struct Fetcher {
    pub(crate) store: Store,
    pub(crate) target: ObjectRef,
    pub(crate) pin: Pin,
    /// Length of the stored object in bytes.
    pub(crate) stored_len: u64,
}

impl Fetcher {
    /// Fetches the bytes `span` of the stored body, at most a part, and resumes after a broken
    /// connection.
    pub(crate) async fn fetch(
        &self,
        span: Range<u64>,
        first: Option<FirstResponse>,
    ) -> Result<Vec<u8>, Error> {
        if span.is_empty() {
            return Ok(Vec::new());
        }
        let len = usize::try_from(span.end - span.start)
            .map_err(|_| self.target.envelope_error(EnvelopeError::TooLong))?;
        let downloads = self.store.downloads();
        let turn = match &first {
            // Its body is arriving already.
            Some(_) => downloads.begun(),
            None => downloads.join().turn().await,
        };
        let fetched = self.fetch_now(span, len, first).await;
        turn.end(if fetched.is_ok() { Attempt::Succeeded } else { Attempt::Failed }, 1);
        fetched
    }

    async fn fetch_now(
        &self,
        span: Range<u64>,
        len: usize,
        mut first: Option<FirstResponse>,
    ) -> Result<Vec<u8>, Error> {
        let memory = with_memory(len);
        let mut bytes = memory.map_err(|error| self.target.io("a part cannot be held", error))?;
        let (mut fruitless, mut interruptions) = (0, 0);
        loop {
            let have = bytes.len();
            let at = span.start + have as u64;
            let (mut body, body_start) = match first.take() {
                Some((body, start)) if start <= at => (body, start),
                _ => self.request(at..span.end).await?,
            };
            let broken = receive(&mut body, at - body_start, len, &mut bytes).await;
            if bytes.len() == len {
                return Ok(bytes);
            }
            fruitless = if bytes.len() > have { 0 } else { fruitless + 1 };
            interruptions += 1;
            if fruitless == MAX_FRUITLESS || interruptions == MAX_INTERRUPTIONS {
                let message = format!(
                    "the response body was interrupted at byte {}: {broken}",
                    span.start + bytes.len() as u64
                );
                return Err(self.target.error(ErrorKind::Unavailable, message));
            }
            tracing::debug!(
                at = span.start + bytes.len() as u64,
                broken,
                "the response body was interrupted: resuming"
            );
            pause(PAUSE, fruitless).await;
        }
    }

    async fn request(&self, span: Range<u64>) -> Result<FirstResponse, Error> {
        let Self { store, target, pin, stored_len } = self;
        let answer = ranged_get(store.s3(), target, pin, &StoredRange::Span(span)).await;
        let answer = answer.map_err(|failure| match failure.status() {
            Some(412) => {
                target.error(ErrorKind::Changed, "it was replaced while it was being read")
            }
            _ => failure.into_error(target),
        })?;
        if answer.total != *stored_len {
            let message = format!(
                "GetObject says that the object has {} bytes, and said {stored_len} before",
                answer.total
            );
            return Err(target.error(ErrorKind::Service, message));
        }
        Ok((answer.output.body, answer.start))
    }
}

/// Appends `body` without its first `skip` bytes until `bytes` has `len`. Returns the reason why it
/// ended early.
async fn receive(body: &mut ByteStream, mut skip: u64, len: usize, bytes: &mut Vec<u8>) -> String {
    while bytes.len() < len {
        match body.try_next().await {
            Ok(Some(frame)) => {
                let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(frame.len());
                skip -= skipped as u64;
                let frame = &frame[skipped..];
                bytes.extend_from_slice(&frame[..frame.len().min(len - bytes.len())]);
            }
            Ok(None) => return "it ended early".into(),
            // The text describes the transport only. It holds none of the bytes.
            Err(error) => return error_chain(&error),
        }
    }
    String::new()
}
