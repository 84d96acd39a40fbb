//! The sidecar: an object's metadata in an object of its own, for where the object's own cannot be replaced.

use std::collections::BTreeMap;

use super::{METADATA_READ_LIMIT, ObjectHeader, key_list, pairs};
use crate::{Error, MissingKey, ascii_json};

/// Most bytes of a sidecar: a reader looks at no longer one.
pub const SIDECAR_LIMIT: usize = 16_384;

impl ObjectHeader {
    /// The header as a sidecar of the object holds it: the names and values of [`ObjectHeader::to_metadata`] as canonical
    /// JSON. (docs/FORMAT.md, "Sidecar".)
    ///
    /// # Errors
    /// [`Error::MetadataTooLarge`] where no reader would take it.
    pub fn to_sidecar(&self) -> Result<String, Error> {
        let metadata = self.to_metadata();
        let needed = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if needed > METADATA_READ_LIMIT {
            return Err(Error::MetadataTooLarge { needed, limit: METADATA_READ_LIMIT });
        }
        // In JSON no byte of these takes more than two, and those of the body's header take one: it is within SIDECAR_LIMIT.
        Ok(self.spell())
    }

    /// Reads a sidecar of the object that this is the header of. `None`: it is of another body, or of another encryption
    /// context, and says nothing of this object.
    ///
    /// # Errors
    /// [`Error::NotSealed`], [`Error::UnsupportedFormat`] or [`Error::Malformed`], as [`ObjectHeader::parse`], for anything
    /// else than what [`ObjectHeader::to_sidecar`] writes. No bound is exceeded before it is checked.
    pub fn parse_sidecar(&self, sidecar: &[u8]) -> Result<Option<Self>, Error> {
        let malformed = |what: &str| Error::Malformed(format!("the sidecar {what}"));
        if sidecar.len() > SIDECAR_LIMIT {
            return Err(malformed(&format!("is longer than {SIDECAR_LIMIT} bytes")));
        }
        let metadata: BTreeMap<String, String> =
            serde_json::from_slice(sidecar).map_err(|_| malformed("is no JSON object of texts"))?;
        let header = Self::parse(pairs(&metadata))?;
        if header.spell().as_bytes() != sidecar {
            return Err(malformed("is not canonical"));
        }
        let same = (&header.context, header.plaintext_len, &header.body_header)
            == (&self.context, self.plaintext_len, &self.body_header);
        Ok(same.then_some(header))
    }

    /// The header as if the keys of `sidecar` were among its own: what a rewrap begins with. The generation is the later
    /// one, and nothing is missing that either has.
    ///
    /// # Errors
    /// [`Error::InvalidMetadata`] for more keys than one object has.
    pub fn joined(&self, sidecar: &Self) -> Result<Self, Error> {
        let more = sidecar.keys.iter().filter(|key| !self.keys.contains(key));
        let keys: Vec<_> = self.keys.iter().chain(more).cloned().collect();
        key_list::check_count(keys.len()).map_err(Error::InvalidMetadata)?;
        let is_missing = |it: &&MissingKey| !keys.iter().any(|key| it.is_filled_by(key));
        let missing = self.missing.iter().filter(is_missing).cloned().collect();
        let generation = self.generation.max(sidecar.generation);
        Ok(Self { keys, missing, generation, ..self.clone() })
    }

    fn spell(&self) -> String {
        ascii_json::to_string(&self.to_metadata().into_iter().collect::<BTreeMap<_, _>>())
    }
}
