//! Which format a stored object has, told by its metadata: before any key is used.

use std::collections::{BTreeMap, HashMap};

use sealwax_envelope::{
    ObjectHeader, geometry, metadata,
    s3ec::{self, Envelope},
};

/// The only reserved name in the metadata of a shredded object: the time of the shredding, as in
/// RFC 3339. No other name is left, so nothing mistakes it for a sealed object.
pub(crate) const SHREDDED: &str = "sealwax-shredded";

/// The format of a stored object, and what its metadata says in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectFormat {
    /// Sealwax's own.
    Sealwax(ObjectHeader),
    /// Of the Amazon S3 Encryption Client.
    S3ec(Envelope),
    /// None: the object is not encrypted by any client.
    Unencrypted,
}

/// What a read does with an object that is not encrypted by any client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnencryptedObjects {
    /// Refuses it: [`ErrorKind::NotSealed`].
    #[default]
    Refuse,
    /// Passes it through as it is. Whoever can write to the bucket can then put any bytes in the place of a sealed object.
    PassThrough,
}

impl ObjectFormat {
    /// Whether `name` is metadata of this format, and not the user's own.
    fn is_own_name(&self, name: &str) -> bool {
        match self {
            Self::Sealwax(_) => metadata::is_reserved(name),
            Self::S3ec(_) => s3ec::is_reserved(name),
            Self::Unencrypted => false,
        }
    }

    /// The user's own part of an object's metadata.
    pub(crate) fn own_metadata(
        &self,
        stored: Option<&HashMap<String, String>>,
    ) -> HashMap<String, String> {
        let own = stored.into_iter().flatten().filter(|(name, _)| !self.is_own_name(name));
        own.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The names and values that are stored with an object of this format.
    pub(crate) fn to_metadata(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Sealwax(header) => header.to_metadata(),
            Self::S3ec(envelope) => envelope.to_metadata(),
            Self::Unencrypted => Vec::new(),
        }
    }

    /// Whether an object with the metadata `stored` has all of this in it, and nothing else of this format.
    pub(crate) fn is_all_of(&self, stored: Option<&HashMap<String, String>>) -> bool {
        let own = stored.into_iter().flatten().filter(|(name, _)| self.is_own_name(name));
        let mut found: Vec<_> =
            own.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        let mut expected: Vec<_> =
            self.to_metadata().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        found.sort_unstable();
        expected.sort_unstable();
        !expected.is_empty() && found == expected
    }

    /// Whether an object with the metadata `stored` was sealed by the same call, whatever its wraps are by now.
    pub(crate) fn is_same_sealing(&self, stored: Option<&HashMap<String, String>>) -> bool {
        let pairs = metadata::pairs(stored.into_iter().flatten());
        match self {
            Self::Sealwax(header) => ObjectHeader::parse(pairs)
                .is_ok_and(|found| found.body_header() == header.body_header()),
            Self::S3ec(_) => self.is_all_of(stored),
            Self::Unencrypted => false,
        }
    }

    /// Bytes of the stored body of so many bytes of plaintext.
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

fn of_formats(stored: &HashMap<String, String>) -> BTreeMap<String, &str> {
    let named = stored.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()));
    named.filter(|(name, _)| metadata::is_reserved(name) || s3ec::is_reserved(name)).collect()
}
