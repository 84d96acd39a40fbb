//! Parts on disk, sealed under keys that are in memory alone.

use std::{
    fmt,
    fs::File,
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use sealwax_s3::envelope::{
    self, BodyHeader, BodySalt, PartBuffer, PlaintextDataKey, Sealer, StreamOpener,
};

/// Chunks that are sealed at a time: 256 KiB.
const CHUNKS: usize = 16;
/// Context of every spooled part.
const CONTEXT: &[u8] = b"sealwax gateway spool";

/// Directory for parts, and the space that they may take. Clones share it.
#[derive(Clone)]
pub(crate) struct Spool(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    len: u64,
    taken: AtomicU64,
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
    at: u64,
    opener: Option<StreamOpener>,
}

impl Spool {
    /// Creates a spool of `len` bytes in `directory`.
    pub(crate) fn new(directory: &Path, len: u64) -> Self {
        let directory = directory.to_owned();
        Self(Arc::new(Inner { directory, len, taken: AtomicU64::new(0) }))
    }

    /// Begins a part of `len` bytes; `None` if there is no space for it.
    ///
    /// # Errors
    /// The file cannot be created, or the system has no randomness.
    pub(crate) fn begin(&self, len: u64) -> io::Result<Option<SpoolWriter>> {
        let Some(space) = self.space(len) else { return Ok(None) };
        let file = tempfile::tempfile_in(&self.0.directory)?;
        let data_key = PlaintextDataKey::generate().map_err(io::Error::other)?;
        let salt = BodySalt::generate().map_err(io::Error::other)?;
        let sealer = Sealer::new(&data_key, CONTEXT, salt);
        let header = *sealer.header();
        let buffer = PartBuffer::new(Some(&header), CHUNKS);
        Ok(Some(SpoolWriter { file, data_key, sealer, header, buffer, space }))
    }

    fn space(&self, len: u64) -> Option<Space> {
        let takes = |taken: u64| taken.checked_add(len).filter(|taken| *taken <= self.0.len);
        let taken = self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, takes);
        taken.ok().map(|_| Space { spool: self.clone(), len })
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.spool.0.taken.fetch_sub(self.len, Ordering::Relaxed);
    }
}

impl SpoolWriter {
    /// Writes the next bytes.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = self.buffer.put_slice(bytes);
            bytes = &bytes[taken..];
            if self.buffer.is_full() {
                let next = PartBuffer::new(None, CHUNKS);
                let full = std::mem::replace(&mut self.buffer, next);
                let sealer = self.sealer.next_part(CHUNKS).map_err(io::Error::other)?;
                self.file.write_all(&sealer.seal(full).map_err(io::Error::other)?)?;
            }
        }
        Ok(())
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
        let opener = StreamOpener::new(&self.data_key, CONTEXT, self.header);
        let opener = Some(opener.map_err(io::Error::other)?);
        Ok(SpoolReader { part: Arc::clone(self), at: 0, opener })
    }
}

impl SpoolReader {
    /// Returns the next pieces; none after the last. Several readers can read one part.
    ///
    /// # Errors
    /// The file cannot be read, or was changed.
    pub(crate) fn next(&mut self) -> io::Result<Vec<Bytes>> {
        let Some(opener) = &mut self.opener else { return Ok(Vec::new()) };
        let mut sealed = vec![0; CHUNKS * envelope::geometry::SEALED_CHUNK_LEN];
        let read = read_at(&self.part.file, &mut sealed, self.at)?;
        self.at += read as u64;
        opener.feed(&sealed[..read]).map_err(io::Error::other)?;
        if read < sealed.len() {
            let opener = self.opener.take().expect("it was there");
            return Ok(opener.finish().map_err(io::Error::other)?.collect());
        }
        let opened = std::iter::from_fn(|| opener.next_chunk()).collect::<Vec<_>>();
        if opened.is_empty() {
            return self.next();
        }
        Ok(opened)
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
        let taken = self.0.taken.load(Ordering::Relaxed);
        f.debug_struct("Spool")
            .field("directory", &self.0.directory)
            .field("taken", &taken)
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
    use super::*;

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
        let spool = Spool::new(directory.path(), 10 << 20);
        for len in [0, 1, 16 << 10, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1 << 20] {
            let plaintext: Vec<u8> = (0..len).map(|at: usize| (at / 7) as u8).collect();
            let mut writer = spool.begin(len as u64).expect("a file").expect("space");
            for piece in plaintext.chunks(10_007) {
                writer.write(piece).expect("written");
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
        assert_eq!(spool.0.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn space_is_taken_until_a_part_is_dropped() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::new(directory.path(), 100);
        let part = spool.begin(60).expect("a file").expect("space").finish().expect("written");
        assert!(spool.begin(41).expect("no error").is_none());
        drop(part);
        assert!(spool.begin(100).expect("a file").is_some());
    }

    #[test]
    fn a_changed_file_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut writer =
            Spool::new(directory.path(), 1 << 20).begin(100).expect("a file").expect("space");
        writer.write(&[7; 100]).expect("written");
        let part = Arc::new(writer.finish().expect("written"));
        part.file.write_all_at(&[1], 60).expect("written");
        let error = part.read().expect("its key").next().expect_err("it was changed");
        assert_eq!(error.kind(), io::ErrorKind::Other);
        let inner = error.get_ref().expect("a cause").downcast_ref::<envelope::Error>();
        assert!(matches!(inner, Some(envelope::Error::Authentication)), "{error}");
    }
}
