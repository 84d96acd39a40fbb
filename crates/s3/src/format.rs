//! Formats of stored objects, as their metadata tells them before any key is used.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sealwax_envelope::{
    EncryptedDataKey, ObjectHeader, geometry, metadata,
    s3ec::{self, Envelope},
};

/// The only reserved name in the metadata of a shredded object: the time of the shredding, as in
/// RFC 3339. No other name is left, so nothing mistakes it for a sealed object.
pub(crate) const SHREDDED: &str = "sealwax-shredded";

/// Format of a stored object, with the content of its metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectFormat {
    /// Sealwax's own format.
    Sealwax(ObjectHeader),
    /// A format of the Amazon S3 Encryption Client.
    S3ec(Envelope),
    /// No format: no client encrypted the object.
    Unencrypted,
}

/// Treatment of objects that no client encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnencryptedObjects {
    /// A read refuses them: [`ErrorKind::NotSealed`](crate::ErrorKind::NotSealed).
    #[default]
    Refuse,
    /// A read returns the stored bytes. An attacker who can write to the bucket can then replace a
    /// sealed object by any bytes.
    PassThrough,
}

impl ObjectFormat {
    /// `true` if `name` is metadata of this format, and not user-defined.
    fn is_reserved(&self, name: &str) -> bool {
        match self {
            Self::Sealwax(_) => metadata::is_reserved(name),
            Self::S3ec(_) => s3ec::is_reserved(name),
            Self::Unencrypted => false,
        }
    }

    /// Returns the user-defined part of an object's metadata.
    pub(crate) fn user_metadata(
        &self,
        stored: Option<&HashMap<String, String>>,
    ) -> HashMap<String, String> {
        let kept = stored.into_iter().flatten().filter(|(name, _)| !self.is_reserved(name));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Returns the metadata that is stored with an object of this format.
    pub(crate) fn to_metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Sealwax(header) => header.to_metadata(),
            Self::S3ec(envelope) => envelope.to_metadata(),
            Self::Unencrypted => Vec::new(),
        }
    }

    /// `true` if `stored` has exactly this metadata, beside user-defined metadata.
    pub(crate) fn is_all_of(&self, stored: Option<&HashMap<String, String>>) -> bool {
        let own = stored.into_iter().flatten().filter(|(name, _)| self.is_reserved(name));
        let mut found: Vec<_> =
            own.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        let mut expected: Vec<_> =
            self.to_metadata().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        found.sort_unstable();
        expected.sort_unstable();
        !expected.is_empty() && found == expected
    }

    /// `true` if the object with the metadata `stored` was sealed by the same call, whatever its
    /// wrapped keys are now.
    pub(crate) fn is_same_sealing(&self, stored: Option<&HashMap<String, String>>) -> bool {
        let pairs = metadata::pairs(stored.into_iter().flatten());
        match self {
            Self::Sealwax(header) => ObjectHeader::parse(pairs)
                .is_ok_and(|found| found.body_header() == header.body_header()),
            Self::S3ec(_) => self.is_all_of(stored),
            Self::Unencrypted => false,
        }
    }

    /// Returns the length of the stored body in bytes, for a plaintext of `plaintext_len` bytes.
    pub(crate) fn stored_len(&self, plaintext_len: u64) -> Option<u64> {
        match self {
            Self::Sealwax(_) => geometry::body_len(plaintext_len),
            Self::S3ec(envelope) => envelope.stored_len(plaintext_len),
            Self::Unencrypted => Some(plaintext_len),
        }
    }
}

/// `true` if both have the same metadata of formats, whatever user-defined metadata they have.
///
/// Names are compared in lowercase, because some stores change their case.
pub(crate) fn same_format_metadata(
    stored: Option<&HashMap<String, String>>,
    expected: &HashMap<String, String>,
) -> bool {
    stored.is_some_and(|stored| of_formats(stored) == of_formats(expected))
}

/// `true` if both are wrapped under the same keys and bound to the same places.
pub(crate) fn are_under_same_keys(a: &[EncryptedDataKey], b: &[EncryptedDataKey]) -> bool {
    let names = |keys: &[EncryptedDataKey]| -> BTreeSet<_> {
        keys.iter().map(|key| (key.provider().to_owned(), key_name(key))).collect()
    };
    names(a) == names(b)
}

/// Returns the name of a wrapped key's wrapping key and place, for messages.
pub(crate) fn key_name(key: &EncryptedDataKey) -> String {
    match key.place() {
        Some(place) => format!("{} bound to {place}", key.wrapping_key()),
        None => format!("{} bound to no place", key.wrapping_key()),
    }
}

/// Returns the metadata of formats, by names in lowercase.
pub(crate) fn of_formats(stored: &HashMap<String, String>) -> BTreeMap<String, &str> {
    let named = stored.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()));
    named.filter(|(name, _)| metadata::is_reserved(name) || s3ec::is_reserved(name)).collect()
}
