//! Sidecars: the metadata of a sealed object in a separate object, for objects whose metadata
//! cannot be replaced.

use std::collections::BTreeMap;

use super::{METADATA_READ_LIMIT, ObjectHeader, key_list, pairs};
use crate::{Error, MissingKey, ascii_json};

/// Maximum length of a sidecar that a reader accepts, in bytes.
pub const SIDECAR_LIMIT: usize = 16_384;

impl ObjectHeader {
    /// Returns the content of the object's sidecar: the names and values of
    /// [`ObjectHeader::to_metadata`] as canonical JSON. (FORMAT.md, "Sidecar".)
    ///
    /// # Errors
    /// [`Error::MetadataTooLarge`] above [`METADATA_READ_LIMIT`], which no reader would accept.
    pub fn to_sidecar(&self) -> Result<String, Error> {
        let metadata = self.to_metadata();
        let needed = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if needed > METADATA_READ_LIMIT {
            return Err(Error::MetadataTooLarge { needed, limit: METADATA_READ_LIMIT });
        }
        // JSON takes at most two bytes for each of these, and one for each byte of the body's
        // header, so the result is within SIDECAR_LIMIT.
        Ok(self.spell())
    }

    /// Parses a sidecar, of whatever object.
    ///
    /// # Errors
    /// [`Error::NotSealed`], [`Error::UnsupportedFormat`] or [`Error::Malformed`], as in
    /// [`ObjectHeader::parse`], for content that [`ObjectHeader::to_sidecar`] does not write. Each
    /// limit is enforced before the data is processed.
    pub fn of_sidecar(sidecar: &[u8]) -> Result<Self, Error> {
        let malformed = |what: &str| Error::Malformed(format!("the sidecar {what}"));
        if sidecar.len() > SIDECAR_LIMIT {
            return Err(malformed(&format!("is longer than {SIDECAR_LIMIT} bytes")));
        }
        let metadata: BTreeMap<String, String> = serde_json::from_slice(sidecar)
            .map_err(|_| malformed("is not a JSON object of strings"))?;
        let header = Self::parse(pairs(&metadata))?;
        if header.spell().as_bytes() != sidecar {
            return Err(malformed("is not canonical"));
        }
        Ok(header)
    }

    /// Parses a sidecar of the object with this header. Returns `None` if the sidecar belongs to
    /// another body or another encryption context, so that it does not apply to this object.
    ///
    /// # Errors
    /// As [`ObjectHeader::of_sidecar`].
    pub fn parse_sidecar(&self, sidecar: &[u8]) -> Result<Option<Self>, Error> {
        let header = Self::of_sidecar(sidecar)?;
        let same = (&header.context, header.plaintext_len, &header.body_header)
            == (&self.context, self.plaintext_len, &self.body_header);
        Ok(same.then_some(header))
    }

    /// Returns the header with the keys of `sidecar` added, as the starting point of a rewrap. The
    /// generation is the higher of the two, and keys that either has are not missing.
    ///
    /// # Errors
    /// [`Error::InvalidMetadata`] for more than [`super::MAX_ENCRYPTED_DATA_KEYS`] keys.
    pub fn joined(&self, sidecar: &Self) -> Result<Self, Error> {
        let more = sidecar.keys.iter().filter(|key| !self.keys.contains(key));
        let keys = self.keys.iter().chain(more).cloned().collect();
        let (keys, detached) =
            key_list::grouped(keys, [&self.detached[..], &sidecar.detached].concat());
        let is_missing = |it: &&MissingKey| !keys.iter().any(|key| it.is_filled_by(key));
        let missing = self.missing.iter().filter(is_missing).cloned().collect();
        let generation = self.generation.max(sidecar.generation);
        Self { keys, detached, missing, generation, ..self.clone() }.checked()
    }

    fn spell(&self) -> String {
        ascii_json::to_string(&self.to_metadata().into_iter().collect::<BTreeMap<_, _>>())
    }
}
