//! The envelope: everything about an object's encryption but its content.

use std::{collections::BTreeMap, fmt};

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

/// Longest wrapped data key, in bytes: AWS KMS gives at most 6,144.
const MAX_ENCRYPTED_DATA_KEY_LEN: usize = 6144;

/// What an object's content was encrypted with, besides the data key.
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
        /// Salt of the key derivation; new for each message.
        message_id: [u8; MESSAGE_ID_LEN],
        /// Of the data key.
        commitment: [u8; MESSAGE_ID_LEN],
    },
}

impl Content {
    /// The suite.
    #[must_use]
    pub fn suite(&self) -> ContentSuite {
        match self {
            Self::AesCbc { .. } => ContentSuite::AesCbc,
            Self::AesGcm { .. } => ContentSuite::AesGcm,
            Self::AesGcmCommitKey { .. } => ContentSuite::AesGcmCommitKey,
        }
    }
}

/// An object's envelope. Nothing of it is authenticated yet: [`Envelope::admit`] is the way on.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    format: Format,
    storage: Storage,
    content: Content,
    key: WrappedKey,
}

impl Envelope {
    /// The envelope of new content. The format follows from the suite.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for AES-CBC, and for a wrapping algorithm that is only read.
    pub fn new(content: Content, key: WrappedKey, storage: Storage) -> Result<Self, Error> {
        let format = match content.suite() {
            ContentSuite::AesCbc => return Err(Error::Unsupported("AES-CBC is only read".into())),
            ContentSuite::AesGcm => Format::V2,
            ContentSuite::AesGcmCommitKey => Format::V3,
        };
        if key.algorithm().is_legacy() {
            return Err(Error::Unsupported(format!(
                "the wrapping algorithm {} is only read",
                key.algorithm()
            )));
        }
        Ok(Self { format, storage, content, key })
    }

    /// The same content, its data key wrapped by `key`.
    ///
    /// # Errors
    /// As [`Envelope::new`].
    pub fn rewrapped(&self, key: WrappedKey) -> Result<Self, Error> {
        Self::new(self.content, key, self.storage)
    }

    /// The same envelope, stored elsewhere.
    #[must_use]
    pub fn stored_in(self, storage: Storage) -> Self {
        Self { storage, ..self }
    }

    /// Version of the envelope.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Where the wrapped data key is.
    #[must_use]
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// How the content is encrypted.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The wrapped data key.
    #[must_use]
    pub fn key(&self) -> &WrappedKey {
        &self.key
    }

    /// The caller's pairs of the encryption context, where AWS KMS wrapped the data key: without those that clients add.
    /// Empty for a raw key, which binds none.
    pub(crate) fn context_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let is_kms = self.key.algorithm().is_kms();
        let pairs = self.key.description().iter().filter(move |_| is_kms);
        pairs
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| ![SUITE_PAIR, KEY_ID_PAIR].contains(name))
    }

    /// The caller's encryption context, as Sealwax's own format could carry it.
    ///
    /// # Errors
    /// [`crate::Error::InvalidContext`] where it has names that are reserved there, as objects of Amazon SES do.
    pub fn encryption_context(&self) -> Result<EncryptionContext, crate::Error> {
        EncryptionContext::try_from_iter(self.context_pairs())
    }

    /// Length of the plaintext in bytes, by that of the stored object. With AES-CBC it is 1 to 16 bytes less than this.
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

    /// Length of the stored object in bytes, by that of the plaintext as [`Envelope::plaintext_len`] gives it. `None` above
    /// the format's limit.
    #[must_use]
    pub fn stored_len(&self, plaintext_len: u64) -> Option<u64> {
        match self.content {
            Content::AesCbc { .. } => Some(plaintext_len),
            _ => (plaintext_len <= MAX_PLAINTEXT_LEN).then(|| plaintext_len + TAG_LEN as u64),
        }
    }

    /// The names and values to store with the object.
    #[must_use]
    pub fn to_metadata(&self) -> Vec<(&'static str, String)> {
        let mut pairs = self.content_fields();
        if self.storage == Storage::Metadata {
            pairs.extend(self.key_fields());
        }
        pairs
    }

    /// The object's instruction file; `None` where it has none.
    #[must_use]
    pub fn to_instruction_file(&self) -> Option<String> {
        let pairs: BTreeMap<_, _> = self.key_fields().into_iter().collect();
        (self.storage == Storage::InstructionFile).then(|| ascii_json::to_string(&pairs))
    }

    /// Checks that S3 will store this envelope together with the user's own metadata.
    ///
    /// # Errors
    /// [`crate::Error::MetadataTooLarge`], and [`crate::Error::InvalidMetadata`] for reserved names and for what an HTTP
    /// header does not carry as it is.
    pub fn check_fits<'a>(
        &self,
        own: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), crate::Error> {
        let own: Vec<_> = own.into_iter().collect();
        let needed =
            self.to_metadata().iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
                + own.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if needed > METADATA_LIMIT {
            return Err(crate::Error::MetadataTooLarge { needed, limit: METADATA_LIMIT });
        }
        if let Some((name, _)) = own.iter().find(|(name, _)| names::is_reserved(name)) {
            return Err(crate::Error::InvalidMetadata(format!("the name {name:?} is reserved")));
        }
        metadata::check_user_defined(&own)
    }

    /// What stays with the object in any case.
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

    /// What the instruction file holds, where there is one.
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

    /// Reads all fields of an envelope. One of the three wrapped data keys must be among them.
    pub(super) fn of_fields(fields: &Fields, storage: Storage) -> Result<Self, Error> {
        let conflict = |one: &str, other: &str| {
            Error::Malformed(format!(
                "{one} and {other} are of different formats: it may have been tampered with"
            ))
        };
        let keys = [names::KEY_V1, names::KEY_V2, names::KEY_V3]
            .into_iter()
            .filter(|name| fields.has(name));
        let keys: Vec<_> = keys.collect();
        let key = match keys[..] {
            [] => return Err(Error::Malformed("it has no wrapped data key".into())),
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

/// Format, content, wrapping algorithm, and where its description is.
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
        // One and the same padding by two names: the Ruby client's readers take both.
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
        // AES-ECB with padding makes 48 bytes of a data key; an RSA ciphertext is as long as the modulus.
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
    Error::Unsupported(format!("there is no {what} {value:?}"))
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
