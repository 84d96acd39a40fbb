//! Where plaintext comes from.

mod blocking;
mod sequential;

use std::{
    fmt,
    fs::File,
    io::{self, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use futures_core::Stream;
use sealwax_envelope::{BodyHeader, PartBuffer, geometry::CHUNK_LEN};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use self::{
    blocking::{Blocking, read_up_to},
    sequential::Sequential,
};
use super::buffers::PartBuffers;

/// Plaintext to be sealed.
pub struct PlaintextSource(Kind);

enum Kind {
    Bytes(Bytes),
    File(PathBuf),
    Reader(Pin<Box<dyn AsyncRead + Send>>),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
    SlowStream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
    Blocking(Box<dyn Read + Send>),
}

impl PlaintextSource {
    /// A file. It is read in parallel, and must not change meanwhile: a change of its length or modification time fails
    /// the upload.
    #[must_use]
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self(Kind::File(path.as_ref().to_owned()))
    }

    /// A reader of unknown length, read to its end.
    #[must_use]
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self(Kind::Reader(Box::pin(reader)))
    }

    /// A reader of unknown length, read to its end on blocking threads, a whole part at a time: for standard input, pipes
    /// and devices the fastest way. A dropped upload leaves such a read to end by itself.
    #[must_use]
    pub fn blocking_reader(reader: impl Read + Send + 'static) -> Self {
        Self(Kind::Blocking(Box::new(reader)))
    }

    /// A stream of unknown length, read to its end. An error in it fails the upload.
    #[must_use]
    pub fn stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(stream)))
    }

    /// A stream that may keep an upload waiting, such as the body of a request from far away, or one of many streams that
    /// are written in turn.
    ///
    /// Pieces are gathered until there is a whole part of them, and only then is room taken from the client's memory budget:
    /// an upload that waits keeps no other one waiting. The gathered pieces, up to one part of each upload, are not in that
    /// budget.
    #[must_use]
    pub fn slow_stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Kind::SlowStream(Box::pin(stream)))
    }
}

impl PlaintextSource {
    /// What it is called in messages.
    pub(crate) fn name(&self) -> String {
        match &self.0 {
            Kind::File(path) => path.display().to_string(),
            _ => "the plaintext".into(),
        }
    }
}

impl<T: Into<Bytes>> From<T> for PlaintextSource {
    fn from(bytes: T) -> Self {
        Self(Kind::Bytes(bytes.into()))
    }
}

impl fmt::Debug for PlaintextSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Bytes(bytes) => {
                f.debug_struct("Bytes").field("len", &bytes.len()).finish_non_exhaustive()
            }
            Kind::File(path) => f.debug_tuple("File").field(path).finish(),
            Kind::Reader(_) | Kind::Blocking(_) => f.write_str("Reader"),
            Kind::Stream(_) | Kind::SlowStream(_) => f.write_str("Stream"),
        }
    }
}

/// An open source that gives out one part after the other.
pub(crate) enum Parts {
    Bytes(Bytes),
    File { file: Arc<SourceFile>, offset: u64 },
    Sequential(Sequential),
    Blocking(Blocking),
}

/// A file as it was when it was opened.
pub(crate) struct SourceFile {
    path: PathBuf,
    pub(crate) len: u64,
    pub(crate) modified: Option<SystemTime>,
}

/// The plaintext of one part, read or yet to be read by a blocking thread.
pub(crate) enum PartSource {
    Bytes(Bytes),
    File { file: Arc<SourceFile>, offset: u64, len: usize },
    Read(PartBuffer),
}

impl Parts {
    /// Opens `source`.
    pub(crate) async fn open(source: PlaintextSource) -> io::Result<Self> {
        Ok(match source.0 {
            Kind::Bytes(bytes) => Self::Bytes(bytes),
            Kind::File(path) => {
                let metadata = tokio::fs::metadata(&path).await?;
                if metadata.is_dir() {
                    return Err(io::Error::from(io::ErrorKind::IsADirectory));
                }
                // Opened here so that a file that cannot be read is known before any key is asked for.
                let mut open = tokio::fs::File::open(&path).await?;
                let mut first = vec![0];
                if !metadata.is_file() {
                    // A pipe or a device: its length says nothing.
                    Self::Blocking(Blocking::new(Box::new(open.into_std().await)))
                } else if metadata.len() == 0 && open.read(&mut first).await? > 0 {
                    // A file that the system makes up as it is read, such as those in /proc.
                    let rest = open.into_std().await;
                    Self::Blocking(Blocking::new(Box::new(Read::chain(
                        io::Cursor::new(first),
                        rest,
                    ))))
                } else {
                    let file = SourceFile {
                        path,
                        len: metadata.len(),
                        modified: metadata.modified().ok(),
                    };
                    Self::File { file: Arc::new(file), offset: 0 }
                }
            }
            Kind::Reader(reader) => Self::Sequential(Sequential::reader(reader)),
            Kind::Stream(stream) => Self::Sequential(Sequential::stream(stream)),
            Kind::SlowStream(stream) => Self::Sequential(Sequential::slow_stream(stream)),
            Kind::Blocking(reader) => Self::Blocking(Blocking::new(reader)),
        })
    }

    /// Plaintext bytes, where known before reading.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File { file, .. } => Some(file.len),
            Self::Sequential(_) | Self::Blocking(_) => None,
        }
    }

    /// Waits until [`Parts::next`] would not wait long for a part of `chunks` chunks. Nothing is lost where it is dropped.
    pub(crate) async fn ready(&mut self, chunks: usize) -> io::Result<()> {
        match self {
            Self::Sequential(source) => source.ready(chunks * CHUNK_LEN).await,
            Self::Bytes(_) | Self::File { .. } | Self::Blocking(_) => Ok(()),
        }
    }

    /// The next part, of `chunks` chunks or up to the end; and whether it is the last.
    pub(crate) async fn next(
        &mut self,
        header: Option<&BodyHeader>,
        chunks: usize,
        buffers: &PartBuffers,
    ) -> io::Result<(PartSource, bool)> {
        match self {
            Self::Bytes(rest) => {
                let part = rest.split_to(rest.len().min(chunks * CHUNK_LEN));
                Ok((PartSource::Bytes(part), rest.is_empty()))
            }
            Self::File { file, offset } => {
                let left = file.len - *offset;
                let len = left.min((chunks * CHUNK_LEN) as u64);
                let part = PartSource::File {
                    file: Arc::clone(file),
                    offset: *offset,
                    len: usize::try_from(len).expect("no longer than a part"),
                };
                *offset += len;
                Ok((part, len == left))
            }
            Self::Sequential(source) => {
                let mut buffer = buffers.take(header, chunks);
                let ended = source.fill(&mut buffer).await?;
                Ok((PartSource::Read(buffer), ended))
            }
            Self::Blocking(source) => {
                let (buffer, ended) = source.fill(buffers.take(header, chunks)).await?;
                Ok((PartSource::Read(buffer), ended))
            }
        }
    }

    /// The file, where it is one.
    pub(crate) fn file(&self) -> Option<Arc<SourceFile>> {
        match self {
            Self::File { file, .. } => Some(Arc::clone(file)),
            Self::Bytes(_) | Self::Sequential(_) | Self::Blocking(_) => None,
        }
    }
}

impl SourceFile {
    /// Fails if the file is no longer what it was when its upload began.
    pub(crate) async fn check_unchanged(&self) -> io::Result<()> {
        let now = tokio::fs::metadata(&self.path).await?;
        if now.len() != self.len || now.modified().ok() != self.modified {
            return Err(self.changed());
        }
        Ok(())
    }

    fn changed(&self) -> io::Error {
        io::Error::other(format!("{} changed while it was read", self.path.display()))
    }
}

impl PartSource {
    /// The plaintext in a buffer, ready to be sealed. Blocks where it is in a file.
    pub(crate) fn into_buffer(
        self,
        header: Option<&BodyHeader>,
        buffers: &PartBuffers,
    ) -> io::Result<PartBuffer> {
        match self {
            Self::Read(buffer) => Ok(buffer),
            Self::Bytes(bytes) => {
                let mut buffer = buffers.take(header, bytes.len().div_ceil(CHUNK_LEN));
                buffer.put_slice(&bytes);
                Ok(buffer)
            }
            Self::File { file, offset, len } => {
                let mut buffer = buffers.take(header, len.div_ceil(CHUNK_LEN));
                let mut open = File::open(&file.path)?;
                open.seek(SeekFrom::Start(offset))?;
                if read_up_to(&mut open, &mut buffer, len)? < len {
                    return Err(file.changed());
                }
                Ok(buffer)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, stream};

    use super::*;

    /// Reads a source of pieces to its end in parts of one chunk.
    fn parts_of(pieces: Vec<usize>) -> Vec<usize> {
        let pieces =
            || stream::iter(pieces.clone().into_iter().map(|len| Ok(Bytes::from(vec![1; len]))));
        let lens = lens_of(PlaintextSource::stream(pieces()));
        assert_eq!(lens_of(PlaintextSource::slow_stream(pieces())), lens);
        lens
    }

    fn lens_of(source: PlaintextSource) -> Vec<usize> {
        let mut lens = Vec::new();
        let buffers = PartBuffers::default();
        let run = async {
            let mut parts = Parts::open(source).await.expect("open");
            loop {
                parts.ready(1).await.expect("gathered");
                let (part, last) = parts.next(None, 1, &buffers).await.expect("read");
                lens.push(part.into_buffer(None, &buffers).expect("read already").len());
                if last {
                    return;
                }
            }
        };
        run.now_or_never().expect("nothing waits");
        lens
    }

    #[test]
    fn a_stream_is_cut_into_full_parts_whatever_its_pieces() {
        assert_eq!(parts_of(vec![]), [0]);
        assert_eq!(parts_of(vec![0, 0]), [0]);
        assert_eq!(parts_of(vec![5, 0, 6]), [11]);
        assert_eq!(parts_of(vec![CHUNK_LEN]), [CHUNK_LEN]);
        assert_eq!(parts_of(vec![CHUNK_LEN, 0, 1]), [CHUNK_LEN, 1]);
        assert_eq!(
            parts_of(vec![CHUNK_LEN - 1, 2 * CHUNK_LEN + 2]),
            [CHUNK_LEN, CHUNK_LEN, CHUNK_LEN, 1]
        );
    }
}
