//! What a sealed object's metadata says: parsed within bounds, written in one canonical spelling.

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
        is_reserved,
    },
    sidecar::SIDECAR_LIMIT,
};
use crate::{
    BodyHeader, EncryptedDataKey, EncryptionContext, Error, MissingKey, geometry::HEADER_LEN,
};

/// Most that S3 stores of names and values together, without the `x-amz-meta-` prefixes, in bytes.
/// (Amazon S3 User Guide, "Working with object metadata".)
pub const METADATA_LIMIT: usize = 2048;
/// Most that a reader looks at, in bytes: some stores keep more than S3 does.
pub const METADATA_READ_LIMIT: usize = 8192;
/// Most encrypted data keys of one object.
pub const MAX_ENCRYPTED_DATA_KEYS: usize = 16;

/// The value of [`FORMAT`]: version and suite.
const FORMAT_V1: &str = "v1+Cobblestone-256";

/// All that is stored about a sealed object beside its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectHeader {
    context: EncryptionContext,
    keys: Vec<EncryptedDataKey>,
    missing: Vec<MissingKey>,
    generation: u32,
    plaintext_len: Option<u64>,
    body_header: BodyHeader,
}

impl ObjectHeader {
    /// The header of a newly sealed object: generation 1.
    ///
    /// # Errors
    /// [`Error::InvalidMetadata`] for no encrypted data key, or more than [`MAX_ENCRYPTED_DATA_KEYS`].
    pub fn new(
        context: EncryptionContext,
        keys: Vec<EncryptedDataKey>,
        body_header: BodyHeader,
        plaintext_len: Option<u64>,
    ) -> Result<Self, Error> {
        key_list::check_count(keys.len()).map_err(Error::InvalidMetadata)?;
        Ok(Self { context, keys, missing: Vec::new(), generation: 1, plaintext_len, body_header })
    }

    /// Records the wrapping keys that are still to wrap the data key, instead of those recorded before.
    #[must_use]
    pub fn with_missing(self, missing: Vec<MissingKey>) -> Self {
        Self { missing, ..self }
    }

    /// The header after a rewrap: other keys, which may be missing no more, the next generation, all else as it is.
    ///
    /// # Errors
    /// As [`ObjectHeader::new`]; [`Error::Malformed`] after 2^32 - 1 rewraps.
    pub fn rewrapped(&self, keys: Vec<EncryptedDataKey>) -> Result<Self, Error> {
        key_list::check_count(keys.len()).map_err(Error::InvalidMetadata)?;
        let generation = self
            .generation
            .checked_add(1)
            .ok_or_else(|| Error::Malformed("no generation is left".into()))?;
        let is_missing = |it: &MissingKey| !keys.iter().any(|key| it.is_filled_by(key));
        let missing = self.missing.iter().filter(|it| is_missing(it)).cloned().collect();
        Ok(Self { keys, missing, generation, ..self.clone() })
    }

    /// The encryption context, not yet authenticated.
    #[must_use]
    pub fn context(&self) -> &EncryptionContext {
        &self.context
    }

    /// The encrypted data keys, in the order in which they were added; at least one.
    #[must_use]
    pub fn keys(&self) -> &[EncryptedDataKey] {
        &self.keys
    }

    /// The wrapping keys that are still to wrap the data key: their Regions were down when the object was stored.
    #[must_use]
    pub fn missing(&self) -> &[MissingKey] {
        &self.missing
    }

    /// 1 for a new object, one more after each rewrap.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Length of the plaintext in bytes, where it was known before the upload. A reader compares it with the body's.
    #[must_use]
    pub fn plaintext_len(&self) -> Option<u64> {
        self.plaintext_len
    }

    /// The first 56 bytes of the body.
    #[must_use]
    pub fn body_header(&self) -> &BodyHeader {
        &self.body_header
    }

    /// The format and its suite, as stored.
    #[must_use]
    pub fn format(&self) -> &'static str {
        FORMAT_V1
    }

    /// Reads the header out of an object's user metadata. Names are compared without regard to case, because some stores
    /// change it; metadata of others is passed over.
    ///
    /// # Errors
    /// [`Error::NotSealed`] without any name of the format, [`Error::UnsupportedFormat`] for another version,
    /// [`Error::Malformed`] for anything else than what [`ObjectHeader::to_metadata`] writes. No bound is exceeded before it is checked.
    pub fn parse<'a>(
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        let ours = Fields::collect(metadata)?;
        let format = match ours.get(FORMAT) {
            Some(format) => format,
            // It was sealed, and is damaged: to say that it never was would be to pass over it.
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
        let keys = key_list::parse(ours.required(KEYS)?)?;
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
        let header = BASE64.decode(ours.required(HEADER)?).map_err(|_| malformed(HEADER))?;
        let header: &[u8; HEADER_LEN] =
            header.as_slice().try_into().map_err(|_| malformed(HEADER))?;
        Ok(Self {
            context,
            keys,
            missing,
            generation,
            plaintext_len,
            body_header: BodyHeader::from_bytes(header),
        })
    }

    /// The names and values to store with the object: printable ASCII, sorted by name, no empty value.
    #[must_use]
    pub fn to_metadata(&self) -> Vec<(&'static str, String)> {
        let mut metadata = vec![
            (FORMAT, FORMAT_V1.to_owned()),
            (GENERATION, self.generation.to_string()),
            (HEADER, BASE64.encode(self.body_header.to_bytes())),
            (KEYS, key_list::to_string(&self.keys)),
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

    /// Checks that S3 will store this header together with the user's own metadata.
    ///
    /// # Errors
    /// [`Error::MetadataTooLarge`] above [`METADATA_LIMIT`]; [`Error::InvalidMetadata`] where the user's own names use the
    /// reserved prefix, and for names and values that an HTTP header does not carry as they are.
    pub fn check_fits<'a>(
        &self,
        own: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Error> {
        let own: Vec<_> = own.into_iter().collect();
        let ours = self.to_metadata();
        let needed = ours.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            + own.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if needed > METADATA_LIMIT {
            return Err(Error::MetadataTooLarge { needed, limit: METADATA_LIMIT });
        }
        check_user_defined(&own)
    }
}

/// Borrows the pairs of a metadata map as the functions of this crate take them.
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

/// A decimal number in its only spelling: digits, no sign, no leading zero.
fn decimal<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|number| number.to_string() == text)
}
