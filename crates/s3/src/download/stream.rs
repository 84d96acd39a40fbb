//! Plaintext as a stream.

use std::{
    collections::VecDeque,
    fmt,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt as _, future, stream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    READ_AHEAD,
    fetch::{FirstResponse, first_then_none},
    parts::{Download, PIECE_LEN, PartReader},
};
use crate::error::{Error, ObjectRef};

/// Verified plaintext, in order, in pieces of up to one part.
///
/// The stream ends with an error if the object cannot be verified, cannot be read to its end or is
/// truncated. Only an end without an error shows that the plaintext is complete.
#[must_use = "a stream does nothing until it is polled"]
pub struct PlaintextStream(Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>);

impl PlaintextStream {
    pub(crate) fn new(download: Download, first: Option<FirstResponse>) -> Self {
        let parts = download.parts().zip(first_then_none(first));
        let parts = parts.map(move |(part, first)| AheadPart::start(download.clone(), part, first));
        let state = (parts, VecDeque::with_capacity(READ_AHEAD));
        let pieces = stream::try_unfold(state, |(mut parts, mut ahead)| async move {
            loop {
                while ahead.len() < READ_AHEAD
                    && let Some(part) = parts.next()
                {
                    ahead.push_back(part);
                }
                let Some(part) = ahead.front_mut() else { return Ok(None) };
                match part.next_piece().await? {
                    Some(piece) => return Ok(Some((piece, (parts, ahead)))),
                    None => drop(ahead.pop_front()),
                }
            }
        });
        Self::until_error(pieces)
    }

    /// Reads one part after the other, and no further ahead than a piece.
    pub(crate) fn in_turn(download: Download, first: Option<FirstResponse>) -> Self {
        let parts = download.parts().zip(first_then_none(first));
        let state = (download, parts, None::<PartReader>);
        Self::until_error(stream::try_unfold(state, |(download, mut parts, mut part)| async move {
            loop {
                if let Some(reader) = &mut part
                    && let Some(piece) = reader.next_piece().await?
                {
                    return Ok(Some((piece, (download, parts, part))));
                }
                let Some((next, first)) = parts.next() else { return Ok(None) };
                part = Some(download.part(next, first, PIECE_LEN)?);
            }
        }))
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

/// A part that is read ahead, in the background.
struct AheadPart {
    target: ObjectRef,
    /// Pieces that are not consumed: at most those of the part.
    pieces: mpsc::UnboundedReceiver<Bytes>,
    task: AbortOnDropHandle<Result<(), Error>>,
}

impl AheadPart {
    fn start(download: Download, part: Range<u64>, first: Option<FirstResponse>) -> Self {
        let target = download.target().clone();
        let (sender, pieces) = mpsc::unbounded_channel();
        let read = async move {
            let mut part = download.part(part, first, PIECE_LEN)?;
            while let Some(piece) = part.next_piece().await? {
                if sender.send(piece).is_err() {
                    break;
                }
            }
            Ok(())
        };
        Self { target, pieces, task: AbortOnDropHandle::new(tokio::spawn(read)) }
    }

    /// Returns the next piece; `None` after the last.
    async fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(piece) = self.pieces.recv().await {
            return Ok(Some(piece));
        }
        let ended = (&mut self.task).await;
        ended.unwrap_or_else(|error| Err(self.target.io("a part's task failed", error.into())))?;
        Ok(None)
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
