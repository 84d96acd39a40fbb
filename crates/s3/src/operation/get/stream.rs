//! The plaintext as a stream.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream::{self, TryStreamExt as _};
use sealwax_envelope::StreamOpener;

use crate::error::{Error, ErrorKind, Target};

/// Verified plaintext, in order, in pieces of up to 16 KiB.
///
/// It ends with an error where the object fails to verify, breaks off or is truncated; only an end without an error says
/// that all was there.
pub struct PlaintextStream {
    pieces: Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>,
    target: Target,
}

/// What is left of the body: to receive, or nothing.
struct Body {
    sealed: ByteStream,
    opener: StreamOpener,
}

impl PlaintextStream {
    pub(super) fn new(target: Target, sealed: ByteStream, opener: StreamOpener) -> Self {
        let state = (target.clone(), Some(Body { sealed, opener }));
        let batches = stream::try_unfold(state, |(target, body)| async move {
            let Some(body) = body else { return Ok(None) };
            let (pieces, body) = body.receive(&target).await?;
            Ok(Some((stream::iter(pieces.into_iter().map(Ok)), (target, body))))
        });
        Self { pieces: Box::pin(batches.try_flatten()), target }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }
}

impl Body {
    /// Receives until something verifies, or to the end.
    async fn receive(mut self, target: &Target) -> Result<(Vec<Bytes>, Option<Self>), Error> {
        loop {
            match self.sealed.try_next().await {
                Ok(Some(bytes)) => {
                    self.opener.feed(&bytes).map_err(|error| target.envelope(error))?;
                    let pieces: Vec<_> = std::iter::from_fn(|| self.opener.next_chunk()).collect();
                    if !pieces.is_empty() {
                        return Ok((pieces, Some(self)));
                    }
                }
                Ok(None) => {
                    let rest = self.opener.finish().map_err(|error| target.envelope(error))?;
                    return Ok((rest.collect(), None));
                }
                // Its text tells of the transport only; the bytes are not in it.
                Err(error) => {
                    let message = format!("the body broke off: {error}");
                    return Err(target.error(ErrorKind::Unavailable, message));
                }
            }
        }
    }
}

impl Stream for PlaintextStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.as_mut().poll_next(context)
    }
}

impl fmt::Debug for PlaintextStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaintextStream").finish_non_exhaustive()
    }
}
