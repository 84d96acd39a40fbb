//! Lines of a file, in bounded memory.

use std::io::{self, BufRead, Read as _};

/// Maximum length of a line in bytes, its line break included: 1 MiB.
const MAX_LINE_LEN: u64 = 1 << 20;

/// Reads the next line into `line`, with its line break, if it has one. Returns `false` at the end.
///
/// # Errors
/// The reader fails, or the line is longer than 1 MiB ([`io::ErrorKind::InvalidData`]).
pub(crate) fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let len = reader.take(MAX_LINE_LEN).read_until(b'\n', line)?;
    if len as u64 == MAX_LINE_LEN && !line.ends_with(b"\n") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is longer than 1 MiB"));
    }
    Ok(len > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_up_to_a_bound() {
        let longest = vec![b'a'; (1 << 20) - 1];
        let text = [b"one\n\n".as_slice(), &longest, b"\nlast"].concat();
        let (mut reader, mut line) = (text.as_slice(), Vec::new());
        let mut lens = Vec::new();
        while next_line(&mut reader, &mut line).expect("short lines") {
            lens.push(line.len());
        }
        assert_eq!(lens, [4, 1, 1 << 20, 4]);
        let mut endless = io::BufReader::new(io::repeat(b'a'));
        let error = next_line(&mut endless, &mut line).expect_err("endless");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(line.len(), 1 << 20, "it holds no more than the bound");
    }
}
