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

use super::{
    READ_AHEAD,
    fetch::{FirstResponse, firsts},
    parts::Download,
};
use crate::error::Error;

/// Verified plaintext, in order, in pieces of up to one part.
///
/// It ends with an error where the object fails to verify, breaks off for good or is truncated; only an end without an
/// error says that all was there.
#[must_use = "a stream does nothing until it is polled"]
pub struct PlaintextStream(Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>);

impl PlaintextStream {
    pub(crate) fn new(download: Download, first: Option<FirstResponse>) -> Self {
        let parts = download.parts().into_iter().zip(firsts(first));
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

    /// The pieces of `stream`, up to its first error.
    pub(crate) fn until_error(
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
