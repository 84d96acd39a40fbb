//! Description of an incomplete upload by its state file.

use std::{io, path::Path};

use sealwax_envelope::geometry::CHUNK_LEN;

use super::state_file::{Contents, StateFile, UploadStart, stored};

/// An incomplete upload, as described by its state file: of a [file](crate::Put::state_file), or of
/// a [copy](crate::CopyObject::state_file).
#[derive(Debug, Clone)]
pub struct UnfinishedUpload {
    bucket: String,
    key: String,
    upload_id: String,
    plaintext_len: u64,
    part_len: u64,
    stored_parts: u64,
    stored_len: u64,
}

impl UnfinishedUpload {
    /// Reads the state file at `path`, if it exists. It is neither locked nor changed, because the
    /// upload may be running.
    ///
    /// # Errors
    /// An I/O error if the file cannot be read, or is not a state file.
    pub async fn from_state_file(path: impl AsRef<Path>) -> io::Result<Option<Self>> {
        match tokio::fs::read_to_string(path).await {
            Ok(text) => Self::parse(&text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Parses the content of a state file.
    ///
    /// # Errors
    /// The content is not a state file's.
    pub fn parse(text: &str) -> io::Result<Self> {
        let contents = Contents::parse(text)?;
        Ok(Self::new(&contents.start, stored(&contents.parts)))
    }

    pub(crate) fn of(state_file: &StateFile) -> Self {
        Self::new(state_file.start(), state_file.stored_parts().into_iter())
    }

    /// Describes the upload that began with `start`, and of which S3 has the parts `stored`.
    fn new(start: &UploadStart, stored: impl Iterator<Item = i32>) -> Self {
        let UploadStart { bucket, key, upload_id, source, part_chunks, .. } = start;
        let len = source.len();
        let part_len = part_chunks.saturating_mul(CHUNK_LEN) as u64;
        let len_of = |number: i32| {
            let begin =
                u64::try_from(number).unwrap_or(0).saturating_sub(1).saturating_mul(part_len);
            len.saturating_sub(begin).min(part_len)
        };
        let (stored_parts, stored_len) = stored.fold((0, 0_u64), |(parts, sum), number| {
            (parts + 1, sum.saturating_add(len_of(number)).min(len))
        });
        Self {
            bucket: bucket.clone(),
            key: key.clone(),
            upload_id: upload_id.clone(),
            plaintext_len: len,
            part_len,
            stored_parts,
            stored_len,
        }
    }

    /// Returns the bucket of the object.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Returns the key of the object.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the upload id in S3. `AbortMultipartUpload` with this id aborts the upload.
    #[must_use]
    pub fn upload_id(&self) -> &str {
        &self.upload_id
    }

    /// Returns the length in bytes of the whole plaintext; of a copy, that of the sealed body.
    #[must_use]
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// Returns the total number of parts.
    #[must_use]
    pub fn parts(&self) -> u64 {
        self.plaintext_len.div_ceil(self.part_len.max(1)).max(1)
    }

    /// Returns the number of parts that S3 is known to have.
    #[must_use]
    pub fn stored_parts(&self) -> u64 {
        self.stored_parts
    }

    /// Returns the number of bytes, counted as in [`UnfinishedUpload::plaintext_len`], in the parts
    /// that S3 is known to have.
    #[must_use]
    pub fn stored_len(&self) -> u64 {
        self.stored_len
    }
}
