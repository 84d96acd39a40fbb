//! Parts on disk, sealed under keys that are in memory alone.

use std::{
    fmt,
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use sealwax_s3::envelope::{
    BodyHeader, BodySalt, Error, Opener, PartBuffer, PlaintextDataKey, Sealer,
    geometry::{HEADER_LEN, SEALED_CHUNK_LEN, TAG_LEN},
};

/// Chunks that are sealed at a time: 256 KiB.
const CHUNKS: usize = 16;
/// Context of every spooled part.
const CONTEXT: &[u8] = b"sealwax gateway spool";

/// Place and limits of a spool, for parts of multipart uploads that have no room in memory.
#[derive(Debug, Clone)]
pub struct SpoolSettings {
    /// Directory of the parts.
    pub directory: PathBuf,
    /// Bytes that they may take.
    pub len: u64,
    /// Most parts. Each keeps a file open, whatever its length, and connections need descriptors, too.
    pub files: u64,
}

/// Directory for parts, and the space that they may take. Clones share it.
#[derive(Clone)]
pub(crate) struct Spool(Arc<Inner>);

struct Inner {
    settings: SpoolSettings,
    taken: Mutex<Taken>,
}

/// Space and files of the parts in the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Taken {
    len: u64,
    files: u64,
}

/// A part on disk, whose file has no name: nothing of it outlives the process.
pub(crate) struct SpooledPart {
    file: File,
    data_key: PlaintextDataKey,
    header: BodyHeader,
    _space: Space,
}

/// Space in the spool, until it is dropped.
struct Space {
    spool: Spool,
    len: u64,
}

/// Writes a part.
pub(crate) struct SpoolWriter {
    file: File,
    data_key: PlaintextDataKey,
    sealer: Sealer,
    header: BodyHeader,
    buffer: PartBuffer,
    space: Space,
}

/// Reads a part from its beginning, in pieces that were verified.
pub(crate) struct SpoolReader {
    part: Arc<SpooledPart>,
    opener: Opener,
    /// Number of the next chunk; `None` after the last one.
    chunk: Option<u64>,
}

impl Spool {
    /// Creates an empty spool.
    pub(crate) fn new(settings: SpoolSettings) -> Self {
        Self(Arc::new(Inner { settings, taken: Mutex::default() }))
    }

    /// Begins a part of `len` bytes; `None` if there is no space for it.
    ///
    /// # Errors
    /// The file cannot be created, or the system has no randomness.
    pub(crate) fn begin(&self, len: u64) -> io::Result<Option<SpoolWriter>> {
        let Some(space) = self.space(len) else { return Ok(None) };
        let file = tempfile::tempfile_in(&self.0.settings.directory)?;
        let data_key = PlaintextDataKey::generate().map_err(io::Error::other)?;
        let salt = BodySalt::generate().map_err(io::Error::other)?;
        let sealer = Sealer::new(&data_key, CONTEXT, salt);
        let header = *sealer.header();
        let buffer = PartBuffer::new(Some(&header), CHUNKS);
        Ok(Some(SpoolWriter { file, data_key, sealer, header, buffer, space }))
    }

    fn space(&self, len: u64) -> Option<Space> {
        let mut taken = self.taken();
        let next = Taken { len: taken.len.checked_add(len)?, files: taken.files + 1 };
        let settings = &self.0.settings;
        let is_free = next.len <= settings.len && next.files <= settings.files;
        is_free.then(|| {
            *taken = next;
            Space { spool: self.clone(), len }
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let mut taken = self.spool.taken();
        taken.len -= self.len;
        taken.files -= 1;
    }
}

impl SpoolWriter {
    /// Takes bytes into memory; returns how many there was room for.
    pub(crate) fn gather(&mut self, bytes: &[u8]) -> usize {
        self.buffer.put_slice(bytes)
    }

    /// `true` if no more bytes have room until they are written.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.is_full()
    }

    /// Seals and writes what was gathered, which fills the room for it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(mut self) -> io::Result<Self> {
        let full = std::mem::replace(&mut self.buffer, PartBuffer::new(None, CHUNKS));
        let sealer = self.sealer.next_part(CHUNKS).map_err(io::Error::other)?;
        self.file.write_all(&sealer.seal(full).map_err(io::Error::other)?)?;
        Ok(self)
    }

    /// Takes all `bytes`, and writes what has no room in memory.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write_all(mut self, mut bytes: &[u8]) -> io::Result<Self> {
        loop {
            bytes = &bytes[self.gather(bytes)..];
            if bytes.is_empty() {
                return Ok(self);
            }
            self = self.write()?;
        }
    }

    /// Ends the part.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn finish(self) -> io::Result<SpooledPart> {
        let Self { mut file, data_key, sealer, header, buffer, space } = self;
        file.write_all(&sealer.last_part().seal(buffer).map_err(io::Error::other)?)?;
        Ok(SpooledPart { file, data_key, header, _space: space })
    }
}

impl SpooledPart {
    /// Begins to read the part.
    ///
    /// # Errors
    /// The key is not that of the part, which cannot be.
    pub(crate) fn read(self: &Arc<Self>) -> io::Result<SpoolReader> {
        let opener = Opener::new(&self.data_key, CONTEXT, &self.header);
        let opener = opener.map_err(io::Error::other)?;
        Ok(SpoolReader { part: Arc::clone(self), opener, chunk: Some(0) })
    }
}

impl SpoolReader {
    /// Returns the next pieces; none after the last. Several readers can read one part.
    ///
    /// # Errors
    /// The file cannot be read, or was changed.
    pub(crate) fn next(&mut self) -> io::Result<Vec<Bytes>> {
        let Some(first) = self.chunk else { return Ok(Vec::new()) };
        let mut sealed = vec![0; CHUNKS * SEALED_CHUNK_LEN];
        let at = HEADER_LEN as u64 + first * SEALED_CHUNK_LEN as u64;
        let read = read_at(&self.part.file, &mut sealed, at)?;
        sealed.truncate(read);
        let opened = self.opener.open_chunks(first, &mut sealed).map_err(io::Error::other)?;
        // Only the last chunk is shorter, and it may have nothing but its tag.
        self.chunk = (!opened.is_end()).then_some(first + CHUNKS as u64);
        if self.chunk.is_some() && read < CHUNKS * SEALED_CHUNK_LEN {
            return Err(io::Error::other(Error::Truncated));
        }
        let opened = Bytes::from(sealed);
        let pieces = (0..read).step_by(SEALED_CHUNK_LEN);
        let pieces = pieces.map(|at| opened.slice(at..(at + SEALED_CHUNK_LEN).min(read) - TAG_LEN));
        Ok(pieces.filter(|piece| !piece.is_empty()).collect())
    }
}

/// Reads until `bytes` is full or the file ends. Several readers share the file.
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool")
            .field("settings", &self.0.settings)
            .field("taken", &*self.taken())
            .finish()
    }
}

impl fmt::Debug for SpooledPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpooledPart").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn spool(directory: &Path, len: u64) -> Spool {
        Spool::new(SpoolSettings { directory: directory.to_owned(), len, files: 3 })
    }

    fn read(part: &Arc<SpooledPart>) -> Vec<u8> {
        let (mut reader, mut all) = (part.read().expect("its key"), Vec::new());
        loop {
            let pieces = reader.next().expect("unchanged");
            if pieces.is_empty() {
                return all;
            }
            all.extend(pieces.concat());
        }
    }

    #[test]
    fn a_part_is_read_as_it_was_written_and_is_sealed_on_disk() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = spool(directory.path(), 10 << 20);
        for len in [0, 1, 16 << 10, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1 << 20] {
            let plaintext: Vec<u8> = (0..len).map(|at: usize| (at / 7) as u8).collect();
            let mut writer = spool.begin(len as u64).expect("a file").expect("space");
            for mut piece in plaintext.chunks(10_007) {
                while !piece.is_empty() {
                    piece = &piece[writer.gather(piece)..];
                    if writer.is_full() {
                        writer = writer.write().expect("written");
                    }
                }
            }
            let part = Arc::new(writer.finish().expect("written"));
            assert!(read(&part) == plaintext, "{len}");
            assert!(read(&part) == plaintext, "{len}, again");
            let mut stored = vec![0; 2 << 20];
            let stored_len = read_at(&part.file, &mut stored, 0).expect("read");
            assert!(stored_len >= len);
            if len > 64 {
                let found = stored[..stored_len].windows(64).any(|bytes| bytes == &plaintext[..64]);
                assert!(!found, "plaintext on disk");
            }
        }
        assert_eq!(directory.path().read_dir().expect("listed").count(), 0, "no file has a name");
        assert_eq!(*spool.taken(), Taken::default());
    }

    #[test]
    fn space_is_taken_until_a_part_is_dropped() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = spool(directory.path(), 100);
        let part = spool.begin(60).expect("a file").expect("space").finish().expect("written");
        assert!(spool.begin(41).expect("no error").is_none());
        drop(part);
        assert!(spool.begin(100).expect("a file").is_some());
    }

    #[test]
    fn parts_without_a_byte_take_a_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = spool(directory.path(), 100);
        let part = || spool.begin(0).expect("no error");
        let mut parts: Vec<_> = (0..3).map(|_| part().expect("space")).collect();
        assert!(part().is_none(), "there are three");
        drop(parts.pop());
        assert!(part().is_some());
    }

    #[test]
    fn a_changed_file_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = spool(directory.path(), 1 << 20);
        let part = || {
            let mut writer = spool.begin(100_000).expect("a file").expect("space");
            assert_eq!(writer.gather(&[7; 100_000]), 100_000);
            Arc::new(writer.finish().expect("written"))
        };
        let refused = |part: Arc<SpooledPart>| {
            let error = part.read().expect("its key").next().expect_err("it was changed");
            assert_eq!(error.kind(), io::ErrorKind::Other);
            *error.into_inner().expect("a cause").downcast::<Error>().expect("of the envelope")
        };
        let changed = part();
        changed.file.write_all_at(&[1], 60).expect("written");
        assert!(matches!(refused(changed), Error::Authentication));
        let chunk = |chunks: usize| (HEADER_LEN + chunks * SEALED_CHUNK_LEN) as u64;
        for len in [0, chunk(0), chunk(0) + 5, chunk(2), chunk(2) + 15] {
            let cut = part();
            cut.file.set_len(len).expect("cut");
            assert!(matches!(refused(cut), Error::Truncated), "{len}");
        }
        let cut = part();
        cut.file.set_len(chunk(2) + 16).expect("cut");
        assert!(matches!(refused(cut), Error::Authentication));
    }
}
