//! Fetches stored bytes of one version of an object, and resumes after broken connections.

use std::{ops::Range, time::Duration};

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf as _, Bytes};
use sealwax_envelope::Error as EnvelopeError;

use crate::{
    backoff::pause,
    error::{Error, ErrorKind, ObjectRef, error_chain},
    memory::with_memory,
    store::{
        Store,
        part_limiter::{Attempt, PartTurn},
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
    /// Fetches the bytes `span` of the stored body, at most a part, into memory.
    pub(crate) async fn fetch(
        &self,
        span: Range<u64>,
        first: Option<FirstResponse>,
    ) -> Result<Vec<u8>, Error> {
        let len = usize::try_from(span.end - span.start)
            .map_err(|_| self.target.envelope_error(EnvelopeError::TooLong))?;
        let memory = with_memory(len);
        let mut bytes = memory.map_err(|error| self.target.io("a part cannot be held", error))?;
        let mut arriving = self.arriving(span, first);
        while let Some(piece) = arriving.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Fetches the bytes `span` of the stored body, at most a part, in pieces. `first` is a response
    /// that may hold them, or their beginning.
    pub(crate) fn arriving(&self, span: Range<u64>, first: Option<FirstResponse>) -> Arriving {
        Arriving {
            fetcher: self.clone(),
            response: None,
            first,
            turn: None,
            response_start: span.start,
            span,
            fruitless: 0,
            interruptions: 0,
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

/// Bytes that are being received. The fetch resumes after a broken connection.
pub(crate) struct Arriving {
    fetcher: Fetcher,
    /// Bytes that have not arrived.
    span: Range<u64>,
    /// The response that is being received, and how many of its bytes are to be skipped.
    response: Option<(ByteStream, u64)>,
    first: Option<FirstResponse>,
    turn: Option<PartTurn>,
    /// Start of the response.
    response_start: u64,
    /// Number of consecutive attempts without a new byte.
    fruitless: u32,
    interruptions: u32,
}

impl Arriving {
    /// Returns the next bytes; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.span.is_empty() {
            return Ok(None);
        }
        let next = self.receive().await;
        let end = match &next {
            Ok(_) if !self.span.is_empty() => return next.map(Some),
            Ok(_) => Attempt::Succeeded,
            Err(_) => Attempt::Failed,
        };
        if let Some(turn) = self.turn.take() {
            turn.end(end, 1);
        }
        next.map(Some)
    }

    async fn receive(&mut self) -> Result<Bytes, Error> {
        loop {
            let (body, skip) = match &mut self.response {
                Some(response) => response,
                None => {
                    let (body, start) = self.respond().await?;
                    self.response_start = self.span.start;
                    self.response.insert((body, self.span.start - start))
                }
            };
            let broken = match body.try_next().await {
                Ok(Some(mut piece)) => {
                    let skipped = usize::try_from(*skip).unwrap_or(usize::MAX).min(piece.len());
                    *skip -= skipped as u64;
                    piece.advance(skipped);
                    let left = self.span.end - self.span.start;
                    piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    if piece.is_empty() {
                        continue;
                    }
                    self.span.start += piece.len() as u64;
                    return Ok(piece);
                }
                Ok(None) => "it ended early".into(),
                // The text describes the transport only. It holds none of the bytes.
                Err(error) => error_chain(&error),
            };
            self.interrupted(&broken).await?;
        }
    }

    /// Returns the next response that holds the span's beginning, and its own start.
    async fn respond(&mut self) -> Result<FirstResponse, Error> {
        let first = self.first.take();
        if self.turn.is_none() {
            let downloads = self.fetcher.store.downloads();
            self.turn = Some(match &first {
                // Its body is arriving already.
                Some(_) => downloads.begun(),
                None => downloads.join().turn().await,
            });
        }
        match first {
            Some((body, start)) if start <= self.span.start => Ok((body, start)),
            _ => self.fetcher.request(self.span.clone()).await,
        }
    }

    /// Waits before the next attempt; fails after too many.
    async fn interrupted(&mut self, broken: &str) -> Result<(), Error> {
        self.response = None;
        let at = self.span.start;
        self.fruitless = if at > self.response_start { 0 } else { self.fruitless + 1 };
        self.interruptions += 1;
        if self.fruitless == MAX_FRUITLESS || self.interruptions == MAX_INTERRUPTIONS {
            let message = format!("the response body was interrupted at byte {at}: {broken}");
            return Err(self.fetcher.target.error(ErrorKind::Unavailable, message));
        }
        tracing::debug!(at, broken, "the response body was interrupted: resuming");
        pause(PAUSE, self.fruitless).await;
        Ok(())
    }
}
