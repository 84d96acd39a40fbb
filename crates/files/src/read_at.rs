//! Reads at a position, of a file that several threads share.

use std::{
    fs::File,
    io::{self, IoSliceMut, Read},
};

/// Reads a file from a position on. The file's own position neither matters nor moves.
#[derive(Debug)]
pub struct ReadAt<'a> {
    file: &'a File,
    position: u64,
}

impl<'a> ReadAt<'a> {
    /// Reads `file` from `position` on.
    #[must_use]
    pub fn new(file: &'a File, position: u64) -> Self {
        Self { file, position }
    }
}

impl Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let read = rustix::io::preadv(self.file, buffers, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_one_file_do_not_disturb_each_other() {
        let file = tempfile::tempfile().expect("a file");
        io::Write::write_all(&mut &file, b"0123456789").expect("written");
        let (mut one, mut other) = (ReadAt::new(&file, 2), ReadAt::new(&file, 8));
        let (mut first, mut second) = ([0; 3], [0; 4]);
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(one.read_vectored(&mut buffers).expect("read"), 7);
        assert_eq!((&first, &second), (b"234", b"5678"));
        let mut rest = String::new();
        other.read_to_string(&mut rest).expect("read");
        assert_eq!(rest, "89");
        one.read_to_string(&mut rest).expect("read");
        assert_eq!(rest, "899");
    }
}
