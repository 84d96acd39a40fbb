//! The plaintext as a stream.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt as _, future, stream};
use tokio_util::task::AbortOnDropHandle;

use super::{download::Download, fetch::FirstBody};
use crate::error::Error;

/// Parts that are fetched at once, in order, the one that is being consumed among them.
pub(super) const READ_AHEAD: usize = 4;

/// Verified plaintext, in order, in pieces of up to one part.
///
/// It ends with an error where the object fails to verify, breaks off for good or is truncated; only an end without an
/// error says that all was there.
#[must_use = "a stream does nothing until it is polled"]
pub struct PlaintextStream(Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>);

impl PlaintextStream {
    pub(super) fn new(download: Download, first: Option<FirstBody>) -> Self {
        let firsts = stream::once(future::ready(first)).chain(stream::repeat_with(|| None));
        let parts = stream::iter(download.parts()).zip(firsts).map(move |(part, first)| {
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

    /// The pieces of `stream`, up to its first error.
    pub(super) fn until_error(
        stream: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
    ) -> Self {
        let mut failed = false;
        // Nothing follows an error: what comes after a gap is not this object's plaintext any more.
        let until_error = stream.take_while(move |part| {
            let go_on = !failed;
            failed = part.is_err();
            future::ready(go_on)
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
