//! The plaintext file: CSV records with a marker that is easy to find.

use std::{
    fs::File,
    io::{self, BufWriter, Read as _, Write as _},
    path::Path,
};

use sha2::{Digest as _, Sha256};

/// Text in every record.
pub(crate) const MARKER: &str = "st-elsewhere-patient";

/// Writes records of `len` bytes in total, the last one truncated. Returns the number of records.
pub(crate) fn write(path: &Path, len: u64) -> io::Result<u64> {
    let mut file = BufWriter::new(File::create(path)?);
    let (mut written, mut records) = (0, 0);
    while written < len {
        // A multiplicative hash, so that neighboring records differ.
        let mixed: u64 = (records + 1_u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (ward, minutes) = (mixed >> 60, mixed >> 32 & 0xfff);
        let record =
            format!("{records},{MARKER}-{mixed:016x},2026-11-23,ward {ward},{minutes} minutes\n");
        let left = usize::try_from(len - written).unwrap_or(usize::MAX);
        let bytes = &record.as_bytes()[..record.len().min(left)];
        file.write_all(bytes)?;
        written += bytes.len() as u64;
        records += 1;
    }
    file.flush()?;
    Ok(records)
}

/// Returns the SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let len = file.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        hash.update(&buffer[..len]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
