//! The metadata of a sealed object: parsed within limits, written in one canonical spelling.

mod key_list;
mod metadata_names;
#[cfg(test)]
mod metadata_tests;
mod sidecar;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};

use self::metadata_names::Fields;
pub(crate) use self::metadata_names::check_user_defined;
pub use self::{
    metadata_names::{
        CONTEXT, FORMAT, GENERATION, HEADER, KEYS, MISSING, PLAINTEXT_LEN, RESERVED_PREFIX,
        is_format_name, is_reserved,
    },
    sidecar::SIDECAR_LIMIT,
};
use crate::{
    BodyHeader, EncryptedDataKey, EncryptionContext, Error, MissingKey, Place, SharedKeySlot,
    WrapContext, geometry::HEADER_LEN,
};

/// Maximum size of names and values together that S3 stores, without the `x-amz-meta-` prefixes, in
/// bytes. (Amazon S3 User Guide, "Working with object metadata".)
pub const METADATA_LIMIT: usize = 2048;
/// Maximum size that a reader accepts, in bytes. Some stores allow more than S3.
pub const METADATA_READ_LIMIT: usize = 8192;
/// Maximum number of encrypted data keys in one object, those under detached intermediate keys
/// included.
pub const MAX_ENCRYPTED_DATA_KEYS: usize = 16;

/// Value of [`FORMAT`]: version and suite.
const FORMAT_V1: &str = "v1+Cobblestone-256";

/// Everything stored about a sealed object besides its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHeader {
    context: EncryptionContext,
    keys: Vec<EncryptedDataKey>,
    detached: Vec<SharedKeySlot>,
    missing: Vec<MissingKey>,
    generation: u32,
    plaintext_len: Option<u64>,
    body_header: BodyHeader,
}

impl ObjectHeader {
    /// Creates the header of a new object, with generation 1. The wrapped forms of a
    /// [detached](crate::WrappedForms::Detached) intermediate key are left out.
    ///
    /// # Errors
    /// [`Error::InvalidMetadata`] for no encrypted data key or more than
    /// [`MAX_ENCRYPTED_DATA_KEYS`]; [`Error::ApiMisuse`] for a key that is not bound to this
    /// encryption context and to the salt of this body.
    pub fn new(
        context: EncryptionContext,
        keys: Vec<EncryptedDataKey>,
        body_header: BodyHeader,
        plaintext_len: Option<u64>,
    ) -> Result<Self, Error> {
        let (keys, detached) = key_list::grouped(keys, Vec::new());
        let missing = Vec::new();
        let generation = 1;
        let header =
            Self { context, keys, detached, missing, generation, plaintext_len, body_header };
        header.checked()
    }

    /// Replaces the list of missing keys.
    #[must_use]
    pub fn with_missing(self, missing: Vec<MissingKey>) -> Self {
        Self { missing, ..self }
    }

    /// Returns the header after a rewrap: with `keys`, the same detached data keys and the next
    /// generation. Keys that are no longer missing leave the list of missing keys.
    ///
    /// # Errors
    /// As [`ObjectHeader::new`]; [`Error::Malformed`] after 2^32 - 2 rewraps.
    pub fn rewrapped(&self, keys: Vec<EncryptedDataKey>) -> Result<Self, Error> {
        let (keys, detached) = key_list::grouped(keys, self.detached.clone());
        let generation = self
            .generation
            .checked_add(1)
            .ok_or_else(|| Error::Malformed("the generation has reached its maximum".into()))?;
        let is_missing = |it: &MissingKey| !keys.iter().any(|key| it.is_filled_by(key));
        let missing = self.missing.iter().filter(|it| is_missing(it)).cloned().collect();
        Self { keys, detached, missing, generation, ..self.clone() }.checked()
    }

    /// Returns the header without detached data keys that `is_dropped` selects.
    #[must_use]
    pub fn without_detached(mut self, is_dropped: impl Fn(&SharedKeySlot) -> bool) -> Self {
        self.detached.retain(|slot| !is_dropped(slot));
        self
    }

    /// Refuses keys that could not open this body.
    fn checked(self) -> Result<Self, Error> {
        key_list::check_count(self.keys.len() + self.detached.len())
            .map_err(Error::InvalidMetadata)?;
        let of_keys = self.keys.iter().map(EncryptedDataKey::data_key_context);
        let of_slots = self.detached.iter().map(SharedKeySlot::data_key_context);
        let is_own = |binding: &WrapContext| binding.is_of_body(&self.context, &self.body_header);
        if of_keys.chain(of_slots).all(is_own) {
            return Ok(self);
        }
        Err(Error::ApiMisuse("a wrapped key is bound to another body or encryption context"))
    }

    /// Returns the binding of this body's data key at `place`, if given.
    #[must_use]
    pub fn wrap_context(&self, place: Option<Place>) -> WrapContext {
        WrapContext::for_stored_data_key(self.context.clone(), place, &self.body_header)
    }

    /// Returns the encryption context, which is not authenticated yet.
    #[must_use]
    pub fn context(&self) -> &EncryptionContext {
        &self.context
    }

    /// Returns the encrypted data keys, in the order in which they were added: at least one, unless
    /// there are [detached](Self::detached) ones.
    #[must_use]
    pub fn keys(&self) -> &[EncryptedDataKey] {
        &self.keys
    }

    /// Returns the data keys under detached intermediate keys, which only a key store has.
    #[must_use]
    pub fn detached(&self) -> &[SharedKeySlot] {
        &self.detached
    }

    /// Returns the data keys under intermediate keys, detached or not, each once.
    #[must_use]
    pub fn slots(&self) -> Vec<SharedKeySlot> {
        let groups = self.keys.chunk_by(EncryptedDataKey::shares_group);
        groups.filter_map(|group| group[0].slot()).chain(self.detached.iter().cloned()).collect()
    }

    /// Returns the missing keys: their Regions were unavailable when the object was stored.
    #[must_use]
    pub fn missing(&self) -> &[MissingKey] {
        &self.missing
    }

    /// Returns the generation, which starts at 1 and increases by one with each rewrap.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Returns the length of the plaintext in bytes, if it was known before the upload. A reader
    /// compares it with the body's length.
    #[must_use]
    pub fn plaintext_len(&self) -> Option<u64> {
        self.plaintext_len
    }

    /// Returns the first 56 bytes of the body.
    #[must_use]
    pub fn body_header(&self) -> &BodyHeader {
        &self.body_header
    }

    /// Returns the format and its suite, as stored.
    #[must_use]
    pub fn format(&self) -> &'static str {
        FORMAT_V1
    }

    /// Parses the header from an object's metadata and ignores user-defined metadata. Names are
    /// compared without regard to case, because some stores change it.
    ///
    /// # Errors
    /// [`Error::NotSealed`] without any name of the format, [`Error::UnsupportedFormat`] for
    /// another version, [`Error::Malformed`] for metadata that [`ObjectHeader::to_metadata`] does
    /// not write. Each limit is enforced before the data is processed.
    pub fn parse<'a>(
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        let ours = Fields::collect(metadata)?;
        let format = match ours.get(FORMAT) {
            Some(format) => format,
            // A damaged sealed object. `NotSealed` could make callers skip it.
            None if ours.has_any() => return Err(malformed(FORMAT)),
            None => return Err(Error::NotSealed),
        };
        if format != FORMAT_V1 {
            return Err(Error::UnsupportedFormat(format.chars().take(64).collect()));
        }
        ours.refuse_unknown()?;
        let context = match ours.get(CONTEXT) {
            Some("{}") => return Err(malformed(CONTEXT)),
            Some(json) => EncryptionContext::from_json(json)?,
            None => EncryptionContext::new(),
        };
        let header = BASE64.decode(ours.required(HEADER)?).map_err(|_| malformed(HEADER))?;
        let header: &[u8; HEADER_LEN] =
            header.as_slice().try_into().map_err(|_| malformed(HEADER))?;
        let body_header = BodyHeader::from_bytes(header);
        let (keys, detached) = key_list::parse(ours.required(KEYS)?, &context, &body_header)?;
        let missing =
            ours.get(MISSING).map(key_list::parse_missing).transpose()?.unwrap_or_default();
        if missing.iter().any(|it| keys.iter().any(|key| it.is_filled_by(key))) {
            return Err(malformed(MISSING));
        }
        let generation = decimal(ours.required(GENERATION)?)
            .filter(|n| *n > 0)
            .ok_or_else(|| malformed(GENERATION))?;
        let plaintext_len = match ours.get(PLAINTEXT_LEN) {
            Some(text) => Some(decimal(text).ok_or_else(|| malformed(PLAINTEXT_LEN))?),
            None => None,
        };
        Ok(Self { context, keys, detached, missing, generation, plaintext_len, body_header })
    }

    /// Returns the names and values to store with the object: printable ASCII, sorted by name, no
    /// empty value.
    #[must_use]
    pub fn to_metadata(&self) -> Vec<(&'static str, String)> {
        let mut metadata = vec![
            (FORMAT, FORMAT_V1.to_owned()),
            (GENERATION, self.generation.to_string()),
            (HEADER, BASE64.encode(self.body_header.to_bytes())),
            (KEYS, key_list::to_string(&self.keys, &self.detached)),
        ];
        if !self.context.is_empty() {
            metadata.push((CONTEXT, self.context.to_json()));
        }
        if !self.missing.is_empty() {
            metadata.push((MISSING, key_list::missing_to_string(&self.missing)));
        }
        if let Some(len) = self.plaintext_len {
            metadata.push((PLAINTEXT_LEN, len.to_string()));
        }
        metadata.sort_unstable_by_key(|(name, _)| *name);
        metadata
    }

    /// Verifies that S3 can store this header together with `user_defined` metadata.
    ///
    /// # Errors
    /// [`Error::MetadataTooLarge`] above [`METADATA_LIMIT`]; [`Error::InvalidMetadata`] if a
    /// user-defined name has the reserved prefix, or if an HTTP header would not preserve a name or
    /// value.
    pub fn check_fits<'a>(
        &self,
        user_defined: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Error> {
        let user_defined: Vec<_> = user_defined.into_iter().collect();
        let ours = self.to_metadata();
        let needed = ours.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            + user_defined.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if needed > METADATA_LIMIT {
            return Err(Error::MetadataTooLarge { needed, limit: METADATA_LIMIT });
        }
        check_user_defined(&user_defined)
    }
}

/// Borrows the pairs of a metadata map, in the form that the functions of this crate take.
///
/// ```
/// use std::collections::HashMap;
///
/// use sealwax_envelope::{Error, ObjectHeader, metadata};
///
/// let stored: HashMap<String, String> = HashMap::from([("color".into(), "blue".into())]);
/// let header = ObjectHeader::parse(metadata::pairs(&stored));
/// assert_eq!(header, Err(Error::NotSealed));
/// ```
pub fn pairs<'a>(
    metadata: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    metadata.into_iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

fn malformed(name: &str) -> Error {
    Error::Malformed(format!("metadata {name:?} is missing or not canonical"))
}

/// Parses a decimal number in its canonical spelling: digits, no sign, no leading zero.
fn decimal<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|number| number.to_string() == text)
}
