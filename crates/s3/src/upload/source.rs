//! Sources of plaintext.

mod blocking_reader;
mod sequential;

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use futures_core::Stream;
use sealwax_envelope::{BodyHeader, PartBuffer, geometry::CHUNK_LEN};
use sealwax_files::ReadAt;
use tokio::io::AsyncRead;

pub(crate) use self::blocking_reader::Room;
use self::{
    blocking_reader::{BlockingReader, read_up_to},
    sequential::Sequential,
};
use super::buffers::PartBuffers;
use crate::{
    blocking::blocking,
    download::fetch::Fetcher,
    error::{Error, ObjectRef},
};

/// Longest file, in bytes, that is read when it is opened, to see whether its length is true. A page
/// is the length of most files in /sys.
const MAX_SHORT_FILE_LEN: u64 = 64 * 1024;
/// Longest plaintext, in bytes, that is sealed without a blocking thread.
const MAX_SHORT_LEN: usize = 1 << 20;

/// Source of the plaintext to seal. Bytes and strings convert into it.
pub struct PlaintextSource(Kind);

enum Kind {
    Bytes(Bytes),
    File(PathBuf),
    OpenFile(File, PathBuf),
    Reader(Pin<Box<dyn AsyncRead + Send>>),
    Stream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
    SlowStream(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
    Blocking(Box<dyn Read + Send>),
}

impl PlaintextSource {
    /// Reads a file in parallel.
    ///
    /// The file must not change meanwhile: a change of its length or modification time fails the
    /// upload.
    #[must_use]
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self(Kind::File(path.as_ref().to_owned()))
    }

    /// Reads an open file in parallel, from its beginning. `path` names it in messages.
    ///
    /// Use it to choose how the file is opened, for example without following a symbolic link
    /// ([`Folder::open_file`](crate::files::Folder::open_file)).
    #[must_use]
    pub fn open_file(file: File, path: impl AsRef<Path>) -> Self {
        Self(Kind::OpenFile(file, path.as_ref().to_owned()))
    }

    /// Reads a reader of unknown length to its end.
    #[must_use]
    pub fn reader(reader: impl AsyncRead + Send + 'static) -> Self {
        Self(Kind::Reader(Box::pin(reader)))
    }

    /// Reads a reader of unknown length to its end, on blocking threads and one whole part at a
    /// time.
    ///
    /// This is the fastest way to read standard input, pipes and devices. If the upload is dropped,
    /// a read in progress continues until it returns.
    #[must_use]
    pub fn blocking_reader(reader: impl Read + Send + 'static) -> Self {
        Self(Kind::Blocking(Box::new(reader)))
    }

    /// Reads a stream of unknown length to its end. An error in the stream fails the upload.
    #[must_use]
    pub fn stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Kind::Stream(Box::pin(stream)))
    }

    /// Reads a stream that may keep an upload waiting, such as the body of a slow request, or one
    /// of many streams that are written in turn.
    ///
    /// The upload gathers pieces until they fill a part, and only then takes room from the client's
    /// memory budget. So an upload that waits does not block others. The gathered pieces, up to one
    /// part of each upload, are not in that budget.
    #[must_use]
    pub fn slow_stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Kind::SlowStream(Box::pin(stream)))
    }
}

impl PlaintextSource {
    /// Returns the name of the source in messages.
    pub(crate) fn name(&self) -> String {
        match &self.0 {
            Kind::File(path) | Kind::OpenFile(_, path) => path.display().to_string(),
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
            Kind::File(path) | Kind::OpenFile(_, path) => {
                f.debug_tuple("File").field(path).finish()
            }
            Kind::Reader(_) | Kind::Blocking(_) => f.write_str("Reader"),
            Kind::Stream(_) | Kind::SlowStream(_) => f.write_str("Stream"),
        }
    }
}

/// An open source that returns one part after the other.
pub(crate) enum Parts {
    Bytes(Bytes),
    File {
        file: Arc<SourceFile>,
        offset: u64,
    },
    Sequential(Sequential),
    Blocking(BlockingReader),
    /// The sealed body of a stored object.
    Stored {
        fetcher: Fetcher,
        offset: u64,
    },
}

/// An open file, and its length and modification time when it was opened.
pub(crate) struct SourceFile {
    file: File,
    path: PathBuf,
    pub(crate) len: u64,
    pub(crate) modified: Option<SystemTime>,
    /// Content of a file of at most [`MAX_SHORT_FILE_LEN`] bytes.
    short: Option<Bytes>,
}

/// Plaintext of one part, read or to be read by a blocking thread.
pub(crate) enum PartSource {
    Bytes(Bytes),
    File { file: Arc<SourceFile>, offset: u64, len: usize },
    Read(PartBuffer),
    Stored { fetcher: Fetcher, span: Range<u64> },
}

impl Parts {
    /// Opens `source`.
    pub(crate) async fn open(source: PlaintextSource) -> io::Result<Self> {
        Ok(match source.0 {
            Kind::Bytes(bytes) => Self::Bytes(bytes),
            // Opened here, so that an unreadable file fails before any call to a key service.
            Kind::File(path) => blocking(move || Self::of_file(File::open(&path)?, path)).await?,
            Kind::OpenFile(file, path) => blocking(move || Self::of_file(file, path)).await?,
            Kind::Reader(reader) => Self::Sequential(Sequential::reader(reader)),
            Kind::Stream(stream) => Self::Sequential(Sequential::stream(stream)),
            Kind::SlowStream(stream) => Self::Sequential(Sequential::slow_stream(stream)),
            Kind::Blocking(reader) => Self::Blocking(BlockingReader::new(reader)),
        })
    }

    fn of_file(file: File, path: PathBuf) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        let (len, modified) = (metadata.len(), metadata.modified().ok());
        let short = match metadata.is_file() && len <= MAX_SHORT_FILE_LEN {
            true => whole(&file, len)?,
            false => None,
        };
        // A pipe or a device, whose reported length means nothing; or a file whose content the
        // system generates on read, such as those in /proc (length 0) and /sys (a page).
        if !metadata.is_file() || (len <= MAX_SHORT_FILE_LEN && short.is_none()) {
            return Ok(Self::Blocking(BlockingReader::new(Box::new(file))));
        }
        let file = SourceFile { file, path, len, modified, short };
        Ok(Self::File { file: Arc::new(file), offset: 0 })
    }

    /// Returns the plaintext's length in bytes, if it is known before reading.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File { file, .. } => Some(file.len),
            Self::Stored { fetcher, .. } => Some(fetcher.stored_len),
            Self::Sequential(_) | Self::Blocking(_) => None,
        }
    }

    /// Waits until [`Parts::next`] would not wait long for a part of `chunks` chunks. Dropping the
    /// future loses nothing.
    pub(crate) async fn ready(&mut self, chunks: usize) -> io::Result<()> {
        match self {
            Self::Sequential(source) => source.ready(chunks * CHUNK_LEN).await,
            Self::Bytes(_) | Self::File { .. } | Self::Blocking(_) | Self::Stored { .. } => Ok(()),
        }
    }

    /// Returns the next part, of `chunks` chunks or up to the end, and `true` if it is the last.
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
                let part = file.part(*offset, usize::try_from(len).expect("no longer than a part"));
                *offset += len;
                Ok((part, len == left))
            }
            Self::Sequential(source) => {
                let mut buffer = buffers.take(header, chunks)?;
                let ended = source.fill(&mut buffer).await?;
                Ok((PartSource::Read(buffer), ended))
            }
            Self::Blocking(source) => {
                let (buffer, ended) = source.fill(buffers.take(header, chunks)?).await?;
                Ok((PartSource::Read(buffer), ended))
            }
            Self::Stored { fetcher, offset } => {
                let (span, last) = next_span(fetcher, offset, chunks);
                Ok((PartSource::Stored { fetcher: fetcher.clone(), span }, last))
            }
        }
    }

    /// Skips the next part of a stored body, of `chunks` chunks or up to the end. Returns its length in
    /// bytes, and whether it is the last one. `None` for other sources: they must be read.
    pub(super) fn skip(&mut self, chunks: usize) -> Option<(u64, bool)> {
        let Self::Stored { fetcher, offset } = self else { return None };
        let (span, last) = next_span(fetcher, offset, chunks);
        Some((span.end - span.start, last))
    }

    /// Returns the file, if the source is one.
    pub(crate) fn file(&self) -> Option<Arc<SourceFile>> {
        match self {
            Self::File { file, .. } => Some(Arc::clone(file)),
            Self::Bytes(_) | Self::Sequential(_) | Self::Blocking(_) | Self::Stored { .. } => None,
        }
    }
}

/// Returns the next part of a stored body, and whether it is the last one.
fn next_span(fetcher: &Fetcher, offset: &mut u64, chunks: usize) -> (Range<u64>, bool) {
    let end = offset.saturating_add((chunks * CHUNK_LEN) as u64).min(fetcher.stored_len);
    let span = *offset..end;
    *offset = end;
    (span, end == fetcher.stored_len)
}

/// Returns the content of a file that ends after `len` bytes; `None` if it does not.
fn whole(file: &File, len: u64) -> io::Result<Option<Bytes>> {
    let mut content = Vec::new();
    ReadAt::new(file, 0).take(len + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 == len).then(|| content.into()))
}

impl SourceFile {
    /// Returns `len` bytes from `offset` on: read if the file is short, and otherwise to be read.
    fn part(self: &Arc<Self>, offset: u64, len: usize) -> PartSource {
        match &self.short {
            Some(content) => {
                let start = usize::try_from(offset).expect("a short file");
                PartSource::Bytes(content.slice(start..start + len))
            }
            None => PartSource::File { file: Arc::clone(self), offset, len },
        }
    }

    /// Fails if the length or the modification time of the file changed since its upload began.
    pub(crate) fn check_unchanged(&self) -> io::Result<()> {
        let now = self.file.metadata()?;
        if now.len() != self.len || now.modified().ok() != self.modified {
            return Err(self.changed());
        }
        Ok(())
    }

    /// Reads `len` bytes from `offset` on. Fails if the file is shorter now.
    fn read(&self, offset: u64, room: &mut impl Room, len: usize) -> io::Result<()> {
        match read_up_to(&mut ReadAt::new(&self.file, offset), room, len)? < len {
            true => Err(self.changed()),
            false => Ok(()),
        }
    }

    fn changed(&self) -> io::Error {
        io::Error::other(format!("{} changed while it was being read", self.path.display()))
    }
}

impl PartSource {
    /// Returns the plaintext if it is short and in memory.
    pub(super) fn short(&self) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) if bytes.len() <= MAX_SHORT_LEN => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Returns the plaintext in a buffer, ready to be sealed. Blocks if it reads a file.
    pub(crate) fn into_buffer(
        self,
        header: Option<&BodyHeader>,
        buffers: &PartBuffers,
    ) -> io::Result<PartBuffer> {
        self.read_into(header, buffers, |buffer| buffer)
    }

    /// Reads the plaintext into the room that `prepare` makes of a buffer. Blocks if it reads a file.
    pub(super) fn read_into<R: Room>(
        self,
        header: Option<&BodyHeader>,
        buffers: &PartBuffers,
        prepare: impl FnOnce(PartBuffer) -> R,
    ) -> io::Result<R> {
        let take = |len: usize| buffers.take(header, len.div_ceil(CHUNK_LEN));
        match self {
            Self::Read(buffer) => Ok(prepare(buffer)),
            Self::Bytes(bytes) => {
                let mut room = prepare(take(bytes.len())?);
                room.put_slice(&bytes);
                Ok(room)
            }
            Self::File { file, offset, len } => {
                let mut room = prepare(take(len)?);
                file.read(offset, &mut room, len)?;
                Ok(room)
            }
            Self::Stored { .. } => Err(io::Error::other("a stored body is not sealed again")),
        }
    }

    /// Returns the stored bytes of a body that is sealed already.
    pub(super) async fn into_stored(self, target: &ObjectRef) -> Result<Bytes, Error> {
        match self {
            Self::Stored { fetcher, span } => fetcher.fetch(span, None).await.map(Bytes::from),
            Self::Bytes(_) | Self::File { .. } | Self::Read(_) => {
                Err(target.io("no stored body", io::Error::from(io::ErrorKind::InvalidInput)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, stream};

    use super::*;

    /// Returns the lengths of the parts, of one chunk each, that a stream of pieces is cut into.
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
    fn a_stream_of_any_pieces_is_cut_into_full_parts() {
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
