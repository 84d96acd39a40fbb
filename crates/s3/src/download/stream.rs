//! Plaintext as a stream.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt as _, future, stream};
use tokio_util::task::AbortOnDropHandle;

use super::{
    READ_AHEAD,
    fetch::{FirstResponse, first_then_none},
    parts::Download,
};
use crate::error::Error;

/// Verified plaintext, in order, in pieces of up to one part.
///
/// The stream ends with an error if the object cannot be verified, cannot be read to its end or is
/// truncated. Only an end without an error shows that the plaintext is complete.
#[must_use = "a stream does nothing until it is polled"]
pub struct PlaintextStream(Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>);

impl PlaintextStream {
    pub(crate) fn new(download: Download, first: Option<FirstResponse>) -> Self {
        let parts = download.parts().zip(first_then_none(first));
        let parts = stream::iter(parts).map(move |(part, first)| {
            let (download, target) = (download.clone(), download.target().clone());
            let task =
                AbortOnDropHandle::new(tokio::spawn(
                    async move { download.part(part, first).await },
                ));
            async move {
                task.await
                    .unwrap_or_else(|error| Err(target.io("a part's task failed", error.into())))
            }
        });
        Self::until_error(parts.buffered(READ_AHEAD))
    }

    /// Returns the pieces of `stream`, up to and including its first error.
    pub(crate) fn until_error(
        stream: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
    ) -> Self {
        let mut failed = false;
        // Nothing follows an error: data after a gap is no longer this object's plaintext.
        let until_error = stream.take_while(move |part| {
            let continues = !failed;
            failed = part.is_err();
            future::ready(continues)
        });
        Self(Box::pin(
            until_error.filter(|part| {
                future::ready(part.as_ref().map_or(true, |piece| !piece.is_empty()))
            }),
        ))
    }
}

impl Stream for PlaintextStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for PlaintextStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlaintextStream").finish_non_exhaustive()
    }
}
