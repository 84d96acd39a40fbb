//! Blocking source that is read in order, many chunks with one system call.

use std::io::{self, IoSliceMut, Read};

use sealwax_envelope::{PartBuffer, SealingPart};
use tokio::task;

/// A reader, and the byte that was read beyond the last part.
pub(crate) struct BlockingReader {
    /// `None` after a read was cancelled.
    reader: Option<Box<dyn Read + Send>>,
    lookahead: Vec<u8>,
}

impl BlockingReader {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self { reader: Some(reader), lookahead: Vec::new() }
    }

    /// Fills `buffer`, which has room for at least one chunk. Returns `true` if the source ended
    /// with it.
    pub(super) async fn fill(&mut self, mut buffer: PartBuffer) -> io::Result<(PartBuffer, bool)> {
        let mut reader =
            self.reader.take().ok_or_else(|| io::Error::other("its last read was cancelled"))?;
        buffer.put_slice(&self.lookahead);
        let read = task::spawn_blocking(move || {
            let room = buffer.capacity() - buffer.len();
            let filled = read_up_to(&mut reader, &mut buffer, room)? == room;
            let mut lookahead = Vec::new();
            let ended = !filled || reader.by_ref().take(1).read_to_end(&mut lookahead)? == 0;
            Ok::<_, io::Error>((reader, buffer, lookahead, ended))
        });
        let (reader, buffer, lookahead, ended) =
            read.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        (self.reader, self.lookahead) = (Some(reader), lookahead);
        Ok((buffer, ended))
    }
}

/// Memory for plaintext that is read.
pub(crate) trait Room {
    /// Number of chunks that one read fills at most.
    const CHUNKS: usize;

    fn spare_chunks_mut(&mut self, max: usize) -> impl Iterator<Item = &mut [u8]>;

    fn advance(&mut self, len: usize);

    fn put_slice(&mut self, source: &[u8]) -> usize;
}

impl Room for PartBuffer {
    /// 1 MiB: no pipe of an ordinary user holds more.
    const CHUNKS: usize = 64;

    fn spare_chunks_mut(&mut self, max: usize) -> impl Iterator<Item = &mut [u8]> {
        self.spare_chunks_mut(max)
    }

    fn advance(&mut self, len: usize) {
        self.advance(len);
    }

    fn put_slice(&mut self, source: &[u8]) -> usize {
        self.put_slice(source)
    }
}

impl<F: FnMut(&[u8])> Room for SealingPart<F> {
    /// 256 KiB: they are sealed while they are in the processor's cache.
    const CHUNKS: usize = 16;

    fn spare_chunks_mut(&mut self, max: usize) -> impl Iterator<Item = &mut [u8]> {
        self.spare_chunks_mut(max)
    }

    fn advance(&mut self, len: usize) {
        self.advance(len);
    }

    fn put_slice(&mut self, source: &[u8]) -> usize {
        self.put_slice(source)
    }
}

/// Reads `len` bytes into `room`, or up to the end. Returns the number of bytes read.
pub(super) fn read_up_to<R: Room>(
    source: &mut impl Read,
    room: &mut R,
    len: usize,
) -> io::Result<usize> {
    let mut done = 0;
    while done < len {
        let mut left = len - done;
        let mut slices = Vec::new();
        for chunk in room.spare_chunks_mut(R::CHUNKS) {
            let wanted = chunk.len().min(left);
            left -= wanted;
            slices.push(IoSliceMut::new(&mut chunk[..wanted]));
            if left == 0 {
                break;
            }
        }
        match source.read_vectored(&mut slices) {
            Ok(0) => break,
            Ok(read) => {
                room.advance(read);
                done += read;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use sealwax_envelope::geometry::CHUNK_LEN;

    use super::*;

    /// Returns at most `step` bytes at a time, across slices, and is interrupted before each read.
    struct Slow {
        data: Vec<u8>,
        at: usize,
        step: usize,
        interrupted: bool,
    }

    impl Read for Slow {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.read_vectored(&mut [IoSliceMut::new(out)])
        }

        fn read_vectored(&mut self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let end = self.data.len().min(self.at + self.step);
            let read = (&self.data[self.at..end]).read_vectored(slices)?;
            self.at += read;
            Ok(read)
        }
    }

    #[tokio::test]
    async fn parts_are_full_with_reads_of_any_length() {
        for step in [1000, CHUNK_LEN, 3 * CHUNK_LEN + 1] {
            for len in [0, 1, CHUNK_LEN, 2 * CHUNK_LEN, 2 * CHUNK_LEN + 1, 5 * CHUNK_LEN - 1] {
                let slow = Slow { data: vec![7; len], at: 0, step, interrupted: false };
                let (mut source, mut read, mut ended) =
                    (BlockingReader::new(Box::new(slow)), Vec::new(), false);
                while !ended {
                    let (buffer, last) =
                        source.fill(PartBuffer::new(None, 2)).await.expect("no error");
                    assert!(last || buffer.is_full());
                    read.push(buffer.len());
                    ended = last;
                }
                let full = len.saturating_sub(1) / (2 * CHUNK_LEN);
                assert_eq!(
                    (read.len(), read.iter().sum::<usize>()),
                    (full + 1, len),
                    "{step} {len}"
                );
            }
        }
    }
}
