//! A body that does not come to its end.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

/// How a body ends that is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As if that were all.
    Clean,
    /// With an error of the connection.
    Broken,
    /// With the error of a client that waited too long for the next byte.
    TimedOut,
}

/// What is left of a body.
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
