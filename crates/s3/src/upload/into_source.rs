//! Conversion of values into sources of plaintext.

use std::path::{Path, PathBuf};

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};

use super::source::PlaintextSource;

/// A value that [`Put::body`](crate::Put::body) takes as the plaintext.
///
/// Bytes and strings are the plaintext itself. A [`Path`] or [`PathBuf`] names a file, which is
/// read in parallel. A [`tokio::fs::File`] is read from its current position to its end, and a
/// [`ByteStream`] to its end. [`PlaintextSource`] has constructors for other sources.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be used as plaintext",
    label = "not a plaintext",
    note = "pass bytes, a string, a path, a `tokio::fs::File` or a `ByteStream`",
    note = "use `PlaintextSource::reader` for an `AsyncRead`, `PlaintextSource::stream` for a \
            `Stream` of `Bytes`, and `PlaintextSource::blocking_reader` for a `std::io::Read`",
    note = "bytes must be owned or `'static`: copy a slice with `Bytes::copy_from_slice`"
)]
pub trait IntoPlaintextSource {
    /// Converts the value.
    fn into_plaintext_source(self) -> PlaintextSource;
}

impl IntoPlaintextSource for PlaintextSource {
    fn into_plaintext_source(self) -> Self {
        self
    }
}

macro_rules! from_bytes {
    ($($type:ty),*) => {
        $(
            impl IntoPlaintextSource for $type {
                fn into_plaintext_source(self) -> PlaintextSource {
                    PlaintextSource::from(Bytes::from(self))
                }
            }
        )*
    };
}
from_bytes!(Bytes, BytesMut, Vec<u8>, String, Box<[u8]>, &'static [u8], &'static str);

impl<const N: usize> IntoPlaintextSource for &'static [u8; N] {
    fn into_plaintext_source(self) -> PlaintextSource {
        PlaintextSource::from(Bytes::from_static(self))
    }
}

impl IntoPlaintextSource for &Path {
    fn into_plaintext_source(self) -> PlaintextSource {
        PlaintextSource::file(self)
    }
}

impl IntoPlaintextSource for PathBuf {
    fn into_plaintext_source(self) -> PlaintextSource {
        PlaintextSource::file(self)
    }
}

impl IntoPlaintextSource for &PathBuf {
    fn into_plaintext_source(self) -> PlaintextSource {
        PlaintextSource::file(self)
    }
}

impl IntoPlaintextSource for tokio::fs::File {
    fn into_plaintext_source(self) -> PlaintextSource {
        PlaintextSource::reader(self)
    }
}

impl IntoPlaintextSource for ByteStream {
    fn into_plaintext_source(self) -> PlaintextSource {
        PlaintextSource::reader(self.into_async_read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the debug output of the source that a value converts into.
    fn source_of(value: impl IntoPlaintextSource) -> String {
        format!("{:?}", value.into_plaintext_source())
    }

    #[tokio::test]
    async fn bytes_paths_files_and_streams_are_sources_of_their_kind() {
        for text in [
            source_of("four"),
            source_of("four".to_owned()),
            source_of(b"four"),
            source_of(vec![0; 4]),
            source_of(Bytes::from_static(b"four")),
        ] {
            assert_eq!(text, "Bytes { len: 4, .. }");
        }
        let path = Path::new("Cargo.toml");
        assert_eq!(source_of(path), "File(\"Cargo.toml\")");
        assert_eq!(source_of(path.to_owned()), "File(\"Cargo.toml\")");
        let file = tokio::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        assert_eq!(source_of(file.await.expect("the manifest")), "Reader");
        assert_eq!(source_of(ByteStream::from_static(b"four")), "Reader");
    }
}
