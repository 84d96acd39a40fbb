//! Seals bodies part by part, in each format.

use std::{io, sync::Arc};

use bytes::Bytes;
use sealwax_envelope::{
    BodyHeader, Error as EnvelopeError, PartSealer, Sealer,
    geometry::CHUNK_LEN,
    s3ec::{ContentSealer, Error as FormatError},
};
use tokio::task;

use super::{buffers::PartBuffers, source::PartSource};
use crate::{
    blocking::blocking,
    error::{Error, ObjectRef},
    store::checksum::Crc64,
};

/// Plaintext in bytes that an asynchronous thread seals before others have their turn.
const STRIPE_LEN: usize = 8 * CHUNK_LEN;

/// Seals one body.
pub(crate) enum BodySealer {
    /// Sealwax's own format: parts can be sealed in any order. `header` is the body's header until
    /// a part has it.
    Chunks { sealer: Sealer, header: Option<BodyHeader> },
    /// Format of the S3 Encryption Client: one message, whose parts are sealed in order.
    Content(Box<ContentSealer>),
    /// A body that is sealed already: its bytes are stored unchanged.
    Stored,
}

/// A part that was not sent yet.
pub(super) enum UnsentPart {
    /// Sealed when it is sent, in parallel with others.
    ToSeal {
        source: PartSource,
        header: Option<BodyHeader>,
        sealer: PartSealer,
    },
    /// Sealed before. It is read when it is sent, in parallel with others.
    Stored(PartSource),
    Sealed(SealedPart),
}

/// A sealed part, ready to be stored.
pub(super) struct SealedPart {
    pub(super) bytes: Bytes,
    /// CRC-64/NVME of the bytes, in Base64.
    pub(super) crc64: String,
    pub(super) plaintext_len: u64,
}

impl SealedPart {
    /// Returns a part, whose buffer goes back to `buffers` once it is stored.
    fn new(bytes: Vec<u8>, crc64: &Crc64, plaintext_len: u64, buffers: &PartBuffers) -> Self {
        Self { bytes: buffers.lend(bytes), crc64: crc64.to_base64(), plaintext_len }
    }
}

impl From<Sealer> for BodySealer {
    fn from(sealer: Sealer) -> Self {
        let header = Some(*sealer.header());
        Self::Chunks { sealer, header }
    }
}

impl From<Box<ContentSealer>> for BodySealer {
    fn from(sealer: Box<ContentSealer>) -> Self {
        Self::Content(sealer)
    }
}

impl BodySealer {
    /// Returns the header that the next part begins with, if any.
    pub(super) fn header(&self) -> Option<&BodyHeader> {
        match self {
            Self::Chunks { header, .. } => header.as_ref(),
            Self::Content(_) | Self::Stored => None,
        }
    }

    /// Prepares the next part, which has `chunks` chunks and is not the last.
    pub(super) async fn next_part(
        self,
        target: &ObjectRef,
        chunks: usize,
        source: PartSource,
        buffers: &Arc<PartBuffers>,
    ) -> Result<(Self, UnsentPart), Error> {
        match self {
            Self::Chunks { mut sealer, header } => {
                let part =
                    sealer.next_part(chunks).map_err(|error| target.envelope_error(error))?;
                Ok((
                    Self::Chunks { sealer, header: None },
                    UnsentPart::ToSeal { source, header, sealer: part },
                ))
            }
            Self::Content(mut sealer) => {
                let seal = move |plaintext: &mut Vec<u8>| sealer.seal(plaintext).map(|()| sealer);
                let (sealer, part) = seal_in_order(target, source, buffers, seal).await?;
                Ok((Self::Content(sealer), UnsentPart::Sealed(part)))
            }
            Self::Stored => Ok((Self::Stored, UnsentPart::Stored(source))),
        }
    }

    /// Prepares the last part.
    pub(super) async fn last_part(
        self,
        target: &ObjectRef,
        source: PartSource,
        buffers: &Arc<PartBuffers>,
    ) -> Result<UnsentPart, Error> {
        match self {
            Self::Chunks { sealer, header } => {
                Ok(UnsentPart::ToSeal { source, header, sealer: sealer.last_part() })
            }
            Self::Content(mut sealer) => {
                let seal = move |plaintext: &mut Vec<u8>| {
                    sealer.seal(plaintext)?;
                    plaintext.extend_from_slice(&sealer.finish());
                    Ok(())
                };
                let ((), part) = seal_in_order(target, source, buffers, seal).await?;
                Ok(UnsentPart::Sealed(part))
            }
            Self::Stored => Ok(UnsentPart::Stored(source)),
        }
    }
}

impl UnsentPart {
    /// Returns the sealed part, and seals it first if needed.
    pub(super) async fn sealed(
        self,
        target: &ObjectRef,
        buffers: Arc<PartBuffers>,
    ) -> Result<SealedPart, Error> {
        match self {
            Self::Sealed(part) => Ok(part),
            Self::Stored(source) => {
                let bytes = source.into_stored(target).await?;
                let plaintext_len = bytes.len() as u64;
                Ok(SealedPart { crc64: Crc64::of(&bytes).to_base64(), bytes, plaintext_len })
            }
            Self::ToSeal { source, header, sealer } => {
                seal(target, source, header, sealer, buffers).await
            }
        }
    }
}

/// Reads the rest of a part and seals it: on a blocking thread, unless it is short and in memory.
async fn seal(
    target: &ObjectRef,
    source: PartSource,
    header: Option<BodyHeader>,
    sealer: PartSealer,
    buffers: Arc<PartBuffers>,
) -> Result<SealedPart, Error> {
    let sealed = match source.short() {
        Some(bytes) => seal_short(&bytes, header.as_ref(), sealer, &buffers).await,
        None => blocking(move || seal_blocking(source, header.as_ref(), sealer, &buffers)).await,
    };
    sealed
        .map_err(|error| target.io("the plaintext could not be read", error))?
        .map_err(|error| target.envelope_error(error))
}

/// Reads the rest of a part and seals it.
fn seal_blocking(
    source: PartSource,
    header: Option<&BodyHeader>,
    sealer: PartSealer,
    buffers: &Arc<PartBuffers>,
) -> io::Result<Result<SealedPart, EnvelopeError>> {
    let mut crc64 = Crc64::new();
    let sealing = |buffer| sealer.sealing(buffer, |sealed| crc64.update(sealed));
    let part = source.read_into(header, buffers, sealing)?;
    let plaintext_len = part.len() as u64;
    let sealed = part.finish();
    Ok(sealed.map(|bytes| SealedPart::new(bytes, &crc64, plaintext_len, buffers)))
}

/// Seals a short part on this thread: another one would have to be woken, and this one again.
async fn seal_short(
    plaintext: &[u8],
    header: Option<&BodyHeader>,
    sealer: PartSealer,
    buffers: &Arc<PartBuffers>,
) -> io::Result<Result<SealedPart, EnvelopeError>> {
    let buffer = buffers.take(header, plaintext.len().div_ceil(CHUNK_LEN))?;
    let mut crc64 = Crc64::new();
    let mut part = sealer.sealing(buffer, |sealed| crc64.update(sealed));
    for (index, stripe) in plaintext.chunks(STRIPE_LEN).enumerate() {
        if index > 0 {
            task::yield_now().await;
        }
        part.put_slice(stripe);
    }
    let plaintext_len = part.len() as u64;
    let sealed = part.finish();
    Ok(sealed.map(|bytes| SealedPart::new(bytes, &crc64, plaintext_len, buffers)))
}

/// Reads the rest of a part and seals it with `seal`, on a blocking thread. Also returns the result
/// of `seal`.
///
/// It is for parts that must be sealed in order.
async fn seal_in_order<T: Send + 'static>(
    target: &ObjectRef,
    source: PartSource,
    buffers: &Arc<PartBuffers>,
    seal: impl FnOnce(&mut Vec<u8>) -> Result<T, FormatError> + Send + 'static,
) -> Result<(T, SealedPart), Error> {
    let buffers = Arc::clone(buffers);
    let sealed = task::spawn_blocking(move || {
        let mut body = source.into_buffer(None, &buffers)?.into_plaintext();
        let plaintext_len = body.len() as u64;
        Ok(seal(&mut body).map(|next| {
            let crc64 = Crc64::of(&body);
            (next, SealedPart::new(body, &crc64, plaintext_len, &buffers))
        }))
    })
    .await
    .unwrap_or_else(|error| Err(io::Error::other(error)));
    sealed
        .map_err(|error| target.io("the plaintext could not be read", error))?
        .map_err(|error| target.s3ec_error(error))
}
