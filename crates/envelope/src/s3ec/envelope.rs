//! The envelope: all encryption metadata of an object.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    ContentSuite, Error, Format, MAX_PLAINTEXT_LEN, Storage, TAG_LEN, WrapAlgorithm, WrappedKey,
    algorithms::MESSAGE_ID_LEN,
    envelope_fields::{Fields, bad},
    header_names::{self as names, KEY_ID_PAIR, SUITE_PAIR},
};
use crate::{
    EncryptionContext, ascii_json,
    metadata::{self, METADATA_LIMIT},
};

/// Maximum length of a wrapped data key in bytes: AWS KMS returns at most 6,144.
const MAX_ENCRYPTED_DATA_KEY_LEN: usize = 6144;
/// Length of a block of AES in bytes: the padding of AES-CBC has 1 byte to as many.
const BLOCK_LEN: u64 = 16;

/// Parameters of an object's content encryption, besides the data key.
///
/// Exhaustive, like [`ContentSuite`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// [`ContentSuite::AesCbc`].
    AesCbc {
        /// Initialisation vector.
        iv: [u8; 16],
    },
    /// [`ContentSuite::AesGcm`].
    AesGcm {
        /// Nonce.
        iv: [u8; 12],
    },
    /// [`ContentSuite::AesGcmCommitKey`].
    AesGcmCommitKey {
        /// Salt of the key derivation, new for each message.
        message_id: [u8; MESSAGE_ID_LEN],
        /// Commitment to the data key.
        commitment: [u8; MESSAGE_ID_LEN],
    },
}

impl Content {
    /// Returns the algorithm suite.
    #[must_use]
    pub fn suite(&self) -> ContentSuite {
        match self {
            Self::AesCbc { .. } => ContentSuite::AesCbc,
            Self::AesGcm { .. } => ContentSuite::AesGcm,
            Self::AesGcmCommitKey { .. } => ContentSuite::AesGcmCommitKey,
        }
    }
}

/// An object's envelope, not authenticated yet. [`Envelope::admit`] checks it against a policy.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    format: Format,
    storage: Storage,
    content: Content,
    key: WrappedKey,
}

impl Envelope {
    /// Creates the envelope of new content. The suite determines the format.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for AES-CBC and legacy wrapping algorithms, which are for reading
    /// only.
    pub fn new(content: Content, key: WrappedKey, storage: Storage) -> Result<Self, Error> {
        let format = match content.suite() {
            ContentSuite::AesCbc => {
                return Err(Error::Unsupported("AES-CBC is supported for reading only".into()));
            }
            ContentSuite::AesGcm => Format::V2,
            ContentSuite::AesGcmCommitKey => Format::V3,
        };
        if key.algorithm().is_legacy() {
            return Err(Error::Unsupported(format!(
                "the wrapping algorithm {} is supported for reading only",
                key.algorithm()
            )));
        }
        Ok(Self { format, storage, content, key })
    }

    /// Returns the envelope with another wrapped form of the same data key.
    ///
    /// # Errors
    /// As [`Envelope::new`].
    pub fn rewrapped(&self, key: WrappedKey) -> Result<Self, Error> {
        Self::new(self.content, key, self.storage)
    }

    /// Returns the envelope with another storage location.
    #[must_use]
    pub fn stored_in(self, storage: Storage) -> Self {
        Self { storage, ..self }
    }

    /// Returns the version of the envelope.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns the location of the wrapped data key.
    #[must_use]
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Returns the parameters of the content encryption.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Returns the wrapped data key.
    #[must_use]
    pub fn key(&self) -> &WrappedKey {
        &self.key
    }

    /// Returns the caller's pairs of the KMS encryption context, without those that clients add.
    /// Empty for a raw key, which binds none.
    pub(crate) fn context_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_kms = self.key.algorithm().is_kms();
        let pairs = self.key.description().iter().filter(move |_| is_kms);
        pairs
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| ![SUITE_PAIR, KEY_ID_PAIR].contains(name))
    }

    /// Returns the caller's encryption context in the form of Sealwax's format.
    ///
    /// # Errors
    /// [`crate::Error::InvalidContext`] for names that are reserved there, as in objects of Amazon
    /// SES.
    pub fn encryption_context(&self) -> Result<EncryptionContext, crate::Error> {
        EncryptionContext::try_from_iter(self.context_pairs())
    }

    /// Returns the caller's encryption context without the names that AWS reserves, as
    /// [`Envelope::encryption_context`] does otherwise.
    ///
    /// # Errors
    /// [`crate::Error::InvalidContext`] for other names and values that Sealwax's format does not have.
    pub fn unreserved_context(&self) -> Result<EncryptionContext, crate::Error> {
        EncryptionContext::try_from_iter(self.unreserved_pairs())
    }

    /// Returns the caller's pairs without those whose names AWS reserves for its services.
    pub(crate) fn unreserved_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.context_pairs().filter(|(name, _)| !name.starts_with("aws:"))
    }

    /// Returns the full encryption context that a new wrapped form of the data key is bound to by AWS
    /// KMS: the caller's pairs, those of AWS services such as Amazon SES included, and the suite's.
    #[must_use]
    pub fn new_kms_context(&self) -> BTreeMap<String, String> {
        let pairs = self.context_pairs().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let suite = self.content.suite().binding().to_owned();
        pairs.chain([(SUITE_PAIR.to_owned(), suite)]).collect()
    }

    /// Returns the length of the plaintext in bytes, given that of the stored object. For AES-CBC
    /// the plaintext is 1 to 16 bytes shorter than the result.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::TooLong`].
    pub fn plaintext_len(&self, stored: u64) -> Result<u64, Error> {
        match self.content {
            Content::AesCbc { .. } => Ok(stored),
            _ => match stored.checked_sub(TAG_LEN as u64) {
                None => Err(Error::Truncated),
                Some(len) if len > MAX_PLAINTEXT_LEN => Err(Error::TooLong),
                Some(len) => Ok(len),
            },
        }
    }

    /// Returns the lengths that the plaintext can have, in bytes, given that of the stored object:
    /// one, or 16 for AES-CBC, whose padding only the content tells.
    ///
    /// # Errors
    /// As [`Envelope::plaintext_len`].
    pub fn plaintext_lens(&self, stored: u64) -> Result<RangeInclusive<u64>, Error> {
        let len = self.plaintext_len(stored)?;
        Ok(match self.content {
            Content::AesCbc { .. } => len.saturating_sub(BLOCK_LEN)..=len.saturating_sub(1),
            _ => len..=len,
        })
    }

    /// Returns the length of the stored object in bytes, given the length returned by
    /// [`Envelope::plaintext_len`]. `None` above the format's limit.
    #[must_use]
    pub fn stored_len(&self, plaintext_len: u64) -> Option<u64> {
        match self.content {
            Content::AesCbc { .. } => Some(plaintext_len),
            _ => (plaintext_len <= MAX_PLAINTEXT_LEN).then(|| plaintext_len + TAG_LEN as u64),
        }
    }

    /// Returns the names and values to store with the object.
    #[must_use]
    pub fn to_metadata(&self) -> Vec<(&'static str, String)> {
        let mut pairs = self.content_fields();
        if self.storage == Storage::Metadata {
            pairs.extend(self.key_fields());
        }
        pairs
    }

    /// Returns the content of the object's instruction file, if the envelope has one.
    #[must_use]
    pub fn to_instruction_file(&self) -> Option<String> {
        let pairs: BTreeMap<_, _> = self.key_fields().into_iter().collect();
        (self.storage == Storage::InstructionFile).then(|| ascii_json::to_string(&pairs))
    }

    /// Verifies that S3 can store this envelope together with `user_defined` metadata.
    ///
    /// # Errors
    /// [`crate::Error::MetadataTooLarge`]; [`crate::Error::InvalidMetadata`] for reserved names,
    /// and for names and values that an HTTP header would not preserve.
    pub fn check_fits<'a>(
        &self,
        user_defined: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), crate::Error> {
        let user_defined: Vec<_> = user_defined.into_iter().collect();
        let needed =
            self.to_metadata().iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
                + user_defined.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if needed > METADATA_LIMIT {
            return Err(crate::Error::MetadataTooLarge { needed, limit: METADATA_LIMIT });
        }
        if let Some((name, _)) = user_defined.iter().find(|(name, _)| names::is_reserved(name)) {
            return Err(crate::Error::InvalidMetadata(format!("the name {name:?} is reserved")));
        }
        metadata::check_user_defined(&user_defined)
    }

    /// Returns the metadata that always stays with the object.
    fn content_fields(&self) -> Vec<(&'static str, String)> {
        match &self.content {
            Content::AesGcmCommitKey { message_id, commitment } => vec![
                (names::SUITE_V3, self.content.suite().binding().to_owned()),
                (names::COMMITMENT_V3, STANDARD.encode(commitment)),
                (names::MESSAGE_ID_V3, STANDARD.encode(message_id)),
            ],
            Content::AesGcm { .. } | Content::AesCbc { .. } => Vec::new(),
        }
    }

    /// Returns the metadata that an instruction file can hold.
    fn key_fields(&self) -> Vec<(&'static str, String)> {
        let algorithm = self.key.algorithm();
        let encrypted = STANDARD.encode(self.key.encrypted_data_key());
        let description = ascii_json::to_string(self.key.description());
        match &self.content {
            Content::AesGcmCommitKey { .. } => {
                let mut fields = vec![(names::KEY_V3, encrypted)];
                fields.extend(
                    algorithm
                        .v3()
                        .map(|algorithm| (names::WRAP_ALGORITHM_V3, algorithm.to_owned())),
                );
                if algorithm.is_kms() {
                    fields.push((names::CONTEXT_V3, description));
                } else if !self.key.description().is_empty() {
                    fields.push((names::DESCRIPTION_V3, description));
                }
                fields
            }
            Content::AesGcm { iv } => vec![
                (names::KEY_V2, encrypted),
                (names::IV, STANDARD.encode(iv)),
                (names::CONTENT_ALGORITHM, self.content.suite().binding().to_owned()),
                (names::WRAP_ALGORITHM, algorithm.name().to_owned()),
                (names::TAG_LEN, "128".to_owned()),
                (names::DESCRIPTION, description),
            ],
            Content::AesCbc { .. } => Vec::new(),
        }
    }

    /// Parses all fields of an envelope, which must include exactly one wrapped data key.
    pub(super) fn of_fields(fields: &Fields, storage: Storage) -> Result<Self, Error> {
        let conflict = |one: &str, other: &str| {
            Error::Malformed(format!(
                "{one} and {other} belong to different formats: the envelope may have been tampered with"
            ))
        };
        let keys = [names::KEY_V1, names::KEY_V2, names::KEY_V3]
            .into_iter()
            .filter(|name| fields.has(name));
        let keys: Vec<_> = keys.collect();
        let key = match keys[..] {
            [] => return Err(Error::Malformed("there is no wrapped data key".into())),
            [key] => key,
            [one, other, ..] => return Err(conflict(one, other)),
        };
        let foreign = match key {
            names::KEY_V3 => fields.any_of(&names::LEGACY),
            _ => fields.any_of(&names::CONTENT_V3).or_else(|| fields.any_of(&names::KEYS_V3)),
        };
        if let Some(foreign) = foreign {
            return Err(conflict(key, foreign));
        }
        let encrypted = fields.bytes(key, MAX_ENCRYPTED_DATA_KEY_LEN)?;
        let (format, content, algorithm, description) = match key {
            names::KEY_V3 => v3(fields)?,
            names::KEY_V2 => v2(fields)?,
            _ => v1(fields, encrypted.len())?,
        };
        let description = fields.map(description)?;
        Ok(Self {
            format,
            storage,
            content,
            key: WrappedKey::new(algorithm, encrypted, description),
        })
    }
}

/// Format, content, wrapping algorithm, and the name of its description.
type Parsed = (Format, Content, WrapAlgorithm, &'static str);

fn v3(fields: &Fields) -> Result<Parsed, Error> {
    let suite = fields.required(names::SUITE_V3)?;
    if suite != ContentSuite::AesGcmCommitKey.binding() {
        return Err(unknown("content algorithm", suite));
    }
    let message_id = fields.array(names::MESSAGE_ID_V3)?;
    let commitment = fields.array(names::COMMITMENT_V3)?;
    let algorithm = fields.required(names::WRAP_ALGORITHM_V3)?;
    let algorithm =
        WrapAlgorithm::of_v3(algorithm).ok_or_else(|| unknown("wrapping algorithm", algorithm))?;
    let description = if algorithm.is_kms() { names::CONTEXT_V3 } else { names::DESCRIPTION_V3 };
    Ok((Format::V3, Content::AesGcmCommitKey { message_id, commitment }, algorithm, description))
}

fn v2(fields: &Fields) -> Result<Parsed, Error> {
    let algorithm = fields.required(names::WRAP_ALGORITHM)?;
    let algorithm =
        WrapAlgorithm::of_v2(algorithm).ok_or_else(|| unknown("wrapping algorithm", algorithm))?;
    let content = match fields.required(names::CONTENT_ALGORITHM)? {
        "AES/GCM/NoPadding" => {
            if fields.get(names::TAG_LEN).is_some_and(|len| len != "128") {
                return Err(bad(names::TAG_LEN));
            }
            Content::AesGcm { iv: fields.array(names::IV)? }
        }
        // Two names of the same padding: the Ruby client reads both.
        "AES/CBC/PKCS5Padding" | "AES/CBC/PKCS7Padding" => {
            Content::AesCbc { iv: fields.array(names::IV)? }
        }
        other => return Err(unknown("content algorithm", other)),
    };
    Ok((Format::V2, content, algorithm, names::DESCRIPTION))
}

fn v1(fields: &Fields, encrypted_len: usize) -> Result<Parsed, Error> {
    let algorithm = match fields.get(names::WRAP_ALGORITHM) {
        Some("kms") => WrapAlgorithm::Kms,
        Some(other) => return Err(unknown("wrapping algorithm of V1", other)),
        // AES-ECB with padding turns a data key into 48 bytes; an RSA ciphertext is as long as the
        // modulus.
        None if encrypted_len > 48 => WrapAlgorithm::RsaPkcs1,
        None => WrapAlgorithm::AesEcb,
    };
    match fields.get(names::CONTENT_ALGORITHM) {
        None | Some("AES/CBC/PKCS5Padding" | "AES/CBC/PKCS7Padding") => {}
        Some(other) => return Err(unknown("content algorithm of V1", other)),
    }
    Ok((
        Format::V1,
        Content::AesCbc { iv: fields.array(names::IV)? },
        algorithm,
        names::DESCRIPTION,
    ))
}

fn unknown(what: &str, value: &str) -> Error {
    let value: String = value.chars().take(64).collect();
    Error::Unsupported(format!("unknown {what} {value:?}"))
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("format", &self.format)
            .field("storage", &self.storage)
            .field("suite", &self.content.suite())
            .field("key", &self.key)
            .finish()
    }
}
