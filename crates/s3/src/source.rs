//! Where plaintext comes from.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt as _;
use sealwax_envelope::{BodyHeader, PartBuffer, geometry::CHUNK_LEN};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Plaintext to be sealed.
pub struct PlaintextSource(Kind);

enum Kind {
    Bytes(Bytes),
    File(PathBuf),
    Reader(Pin<Box<dyn AsyncRead + Send>>),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
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

    /// A stream of unknown length, read to its end. An error in it fails the upload.
    #[must_use]
    pub fn stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(stream)))
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
            Kind::Bytes(bytes) => f.debug_struct("Bytes").field("len", &bytes.len()).finish_non_exhaustive(),
            Kind::File(path) => f.debug_tuple("File").field(path).finish(),
            Kind::Reader(_) => f.write_str("Reader"),
            Kind::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// An open source that gives out one part after the other.
pub(crate) enum Parts {
    Bytes(Bytes),
    File { file: Arc<SourceFile>, offset: u64 },
    Sequential { reader: Reader, lookahead: Bytes },
}

/// A file as it was when it was opened.
pub(crate) struct SourceFile {
    path: PathBuf,
    pub(crate) len: u64,
    pub(crate) modified: Option<SystemTime>,
}

/// A source that can only be read in order.
pub(crate) enum Reader {
    Reader(Pin<Box<dyn AsyncRead + Send>>),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
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
                    Self::Sequential { reader: Reader::Reader(Box::pin(open)), lookahead: Bytes::new() }
                } else if metadata.len() == 0 && open.read(&mut first).await? > 0 {
                    // A file that the system makes up as it is read, such as those in /proc.
                    Self::Sequential { reader: Reader::Reader(Box::pin(open)), lookahead: first.into() }
                } else {
                    let file = SourceFile { path, len: metadata.len(), modified: metadata.modified().ok() };
                    Self::File { file: Arc::new(file), offset: 0 }
                }
            }
            Kind::Reader(reader) => Self::Sequential { reader: Reader::Reader(reader), lookahead: Bytes::new() },
            Kind::Stream(stream) => Self::Sequential { reader: Reader::Stream(stream), lookahead: Bytes::new() },
        })
    }

    /// Plaintext bytes, where known before reading.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File { file, .. } => Some(file.len),
            Self::Sequential { .. } => None,
        }
    }

    /// The next part, of `chunks` chunks or up to the end; and whether it is the last.
    pub(crate) async fn next(&mut self, header: Option<&BodyHeader>, chunks: usize) -> io::Result<(PartSource, bool)> {
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
            Self::Sequential { reader, lookahead } => {
                let mut buffer = PartBuffer::new(header, chunks);
                let ended = reader.fill(&mut buffer, lookahead).await?;
                Ok((PartSource::Read(buffer), ended))
            }
        }
    }

    /// The file, where it is one.
    pub(crate) fn file(&self) -> Option<Arc<SourceFile>> {
        match self {
            Self::File { file, .. } => Some(Arc::clone(file)),
            Self::Bytes(_) | Self::Sequential { .. } => None,
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

impl Reader {
    /// Fills `buffer`; says whether the source ended with it. What was read beyond is kept in `lookahead`.
    async fn fill(&mut self, buffer: &mut PartBuffer, lookahead: &mut Bytes) -> io::Result<bool> {
        loop {
            let taken = buffer.put_slice(lookahead);
            let _ = lookahead.split_to(taken);
            if !lookahead.is_empty() {
                return Ok(false);
            }
            if !self.read(buffer, lookahead).await? {
                return Ok(true);
            }
        }
    }

    /// Reads once: into `buffer` where it can and there is room, else into `lookahead`. `false` at the end.
    async fn read(&mut self, buffer: &mut PartBuffer, lookahead: &mut Bytes) -> io::Result<bool> {
        match self {
            Self::Reader(reader) if buffer.is_full() => {
                let mut ahead = vec![0; CHUNK_LEN];
                let len = reader.read(&mut ahead).await?;
                ahead.truncate(len);
                *lookahead = ahead.into();
                Ok(len > 0)
            }
            Self::Reader(reader) => {
                let len = reader.read(buffer.spare_mut()).await?;
                buffer.advance(len);
                Ok(len > 0)
            }
            Self::Stream(stream) => match stream.next().await.transpose()? {
                Some(bytes) => {
                    *lookahead = bytes;
                    Ok(true)
                }
                None => Ok(false),
            },
        }
    }
}

impl PartSource {
    /// The plaintext in a buffer, ready to be sealed. Blocks where it is in a file.
    pub(crate) fn into_buffer(self, header: Option<&BodyHeader>) -> io::Result<PartBuffer> {
        match self {
            Self::Read(buffer) => Ok(buffer),
            Self::Bytes(bytes) => {
                let mut buffer = PartBuffer::new(header, bytes.len().div_ceil(CHUNK_LEN));
                buffer.put_slice(&bytes);
                Ok(buffer)
            }
            Self::File { file, offset, len } => {
                let mut buffer = PartBuffer::new(header, len.div_ceil(CHUNK_LEN));
                let mut open = File::open(&file.path)?;
                open.seek(SeekFrom::Start(offset))?;
                while buffer.len() < len {
                    let left = len - buffer.len();
                    let spare = buffer.spare_mut();
                    let wanted = spare.len().min(left);
                    match open.read(&mut spare[..wanted]) {
                        Ok(0) => return Err(file.changed()),
                        Ok(read) => buffer.advance(read),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
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
        let pieces = stream::iter(pieces.into_iter().map(|len| Ok(Bytes::from(vec![1; len]))));
        let mut lens = Vec::new();
        let run = async {
            let mut parts = Parts::open(PlaintextSource::stream(pieces)).await.expect("open");
            loop {
                let (part, last) = parts.next(None, 1).await.expect("read");
                lens.push(part.into_buffer(None).expect("read already").len());
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
        assert_eq!(parts_of(vec![CHUNK_LEN - 1, 2 * CHUNK_LEN + 2]), [CHUNK_LEN, CHUNK_LEN, CHUNK_LEN, 1]);
    }
}
