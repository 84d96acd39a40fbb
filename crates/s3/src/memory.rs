//! Memory for parts, which the system may refuse.

use std::io;

/// Returns an empty buffer with room for `len` bytes.
///
/// # Errors
/// The system has no such memory.
pub(crate) fn with_memory(len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| {
        let message = format!("no memory for {len} bytes");
        io::Error::new(io::ErrorKind::OutOfMemory, message)
    })?;
    Ok(bytes)
}
