//! Content of the S3 Encryption Client as a whole: one message, with its tag at the very end.

use std::pin::Pin;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_envelope::s3ec::{ContentOpener, Unverified, Verified};
use sealwax_files::NewFile;
use tokio::task;
use tokio_util::task::AbortOnDropHandle;

use super::{
    READ_AHEAD,
    fetch::{Fetcher, FirstResponse, first_then_none},
    file::PlaintextFile,
    parts::parts,
};
use crate::{
    error::{Error, ErrorKind},
    progress::OnProgress,
};

/// Content that is opened from its first byte to its last.
pub(crate) struct WholeMessage {
    pub(crate) fetcher: Fetcher,
    pub(crate) opener: ContentOpener,
    /// Length of the stored object in bytes.
    pub(crate) stored_len: u64,
    pub(crate) plaintext_len: u64,
    /// Maximum number of plaintext bytes that are held back until they are verified.
    pub(crate) max_buffer_len: u64,
    pub(crate) on_progress: Option<OnProgress>,
}

enum Opened {
    Piece(Unverified),
    /// Verification, after all pieces.
    End(Verified),
}

type OpenedPieces = Pin<Box<dyn Stream<Item = Result<Opened, Error>> + Send>>;

impl WholeMessage {
    /// Holds all of the plaintext back until the tag is verified.
    pub(crate) fn verified(
        self,
        first: Option<FirstResponse>,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        stream::once(self.hold_back(first))
            .map_ok(|pieces| stream::iter(pieces.into_iter().map(Ok)))
            .try_flatten()
    }

    async fn hold_back(self, first: Option<FirstResponse>) -> Result<Vec<Bytes>, Error> {
        let bound = self.max_buffer_len;
        if self.plaintext_len > bound {
            let message = format!(
                "its {} bytes can be verified only at the end, and at most {bound} bytes are held \
                 back in memory: read it into a file, raise that limit, or release it unverified",
                self.plaintext_len,
            );
            return Err(self.fetcher.target.error(ErrorKind::Unsupported, message));
        }
        let mut pieces = Vec::new();
        let mut opened = self.open(first);
        while let Some(next) = opened.try_next().await? {
            match next {
                Opened::Piece(piece) => pieces.push(piece),
                Opened::End(verified) => {
                    let rest = Bytes::copy_from_slice(verified.rest());
                    return Ok(pieces
                        .into_iter()
                        .map(|piece| piece.release(&verified).into())
                        .chain([rest])
                        .collect());
                }
            }
        }
        unreachable!("the stream ends with the verification or an error")
    }

    /// Releases the plaintext while it is decrypted. The stream ends with an error if it was not
    /// genuine.
    pub(crate) fn unverified(
        self,
        first: Option<FirstResponse>,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        // The caller of `release_unverified` asked for it.
        self.open(first).map_ok(|opened| match opened {
            Opened::Piece(piece) => Bytes::from(piece.dangerous_release_unverified()),
            Opened::End(verified) => Bytes::copy_from_slice(verified.rest()),
        })
    }

    /// Writes the plaintext to `new`, which gets its name once the plaintext is verified. Returns its
    /// length in bytes.
    pub(crate) async fn into_file(
        self,
        first: Option<FirstResponse>,
        new: NewFile,
    ) -> Result<u64, Error> {
        let mut len = 0;
        let mut file = PlaintextFile { new, target: self.fetcher.target.clone() };
        let mut opened = self.open(first);
        while let Some(next) = opened.try_next().await? {
            match next {
                // The file does not have its name yet, and is deleted if the content is not
                // genuine.
                Opened::Piece(piece) => {
                    let bytes = piece.dangerous_release_unverified();
                    len += bytes.len() as u64;
                    file.append(bytes).await?;
                }
                Opened::End(verified) => {
                    file.complete_with(Bytes::copy_from_slice(verified.rest())).await?;
                    return Ok(len + verified.rest().len() as u64);
                }
            }
        }
        unreachable!("the stream ends with the verification or an error")
    }

    /// Fetches several parts at a time and opens them in order.
    fn open(self, first: Option<FirstResponse>) -> OpenedPieces {
        let Self { fetcher, opener, stored_len, on_progress, .. } = self;
        let target = fetcher.target.clone();
        let parts = parts(0..stored_len, fetcher.store.part_len()).zip(first_then_none(first));
        let parts = stream::iter(parts).map(move |(span, first)| {
            let (fetcher, target) = (fetcher.clone(), fetcher.target.clone());
            let task =
                AbortOnDropHandle::new(tokio::spawn(
                    async move { fetcher.fetch(span, first).await },
                ));
            async move {
                task.await
                    .unwrap_or_else(|error| Err(target.io("a part's task failed", error.into())))
            }
        });
        let state = (parts.buffered(READ_AHEAD), Some(opener), target, on_progress);
        let opened =
            stream::try_unfold(state, |(mut parts, opener, target, on_progress)| async move {
                let Some(mut opener) = opener else { return Ok(None) };
                let Some(part) = parts.try_next().await? else {
                    let verified = opener.finish().map_err(|error| target.s3ec_error(error))?;
                    return Ok(Some((Opened::End(verified), (parts, None, target, on_progress))));
                };
                let len = part.len() as u64;
                let opened =
                    task::spawn_blocking(move || opener.open(part).map(|piece| (piece, opener)))
                        .await;
                let opened =
                    opened.map_err(|error| target.io("a part's task failed", error.into()))?;
                let (piece, opener) = opened.map_err(|error| target.s3ec_error(error))?;
                if let Some(on_progress) = &on_progress {
                    on_progress(len);
                }
                Ok(Some((Opened::Piece(piece), (parts, Some(opener), target, on_progress))))
            });
        Box::pin(opened)
    }
}
