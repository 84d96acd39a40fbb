//! A body that is cut short.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

/// Ending of a cut body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A clean end, as if that were all.
    Clean,
    /// A connection error.
    Broken,
    /// The error of a client that waited too long for the next byte.
    TimedOut,
}

/// The remaining bytes of a cut body.
#[derive(Debug)]
pub(super) struct CutBody {
    rest: Bytes,
    ending: Ending,
}

impl CutBody {
    pub(super) fn new(rest: Bytes, ending: Ending) -> Self {
        Self { rest, ending }
    }
}

impl Body for CutBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        if !self.rest.is_empty() {
            let len = self.rest.len().min(64 * 1024);
            return Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(len)))));
        }
        match self.ending {
            Ending::Clean => Poll::Ready(None),
            Ending::Broken => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
            Ending::TimedOut => Poll::Ready(Some(Err(std::io::ErrorKind::TimedOut.into()))),
        }
    }
}
