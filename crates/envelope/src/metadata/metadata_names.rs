//! Metadata names of the format, and their lookup in an object's metadata.

use super::METADATA_READ_LIMIT;
use crate::Error;

/// Prefix of all names of the format. User-defined metadata cannot use it.
pub const RESERVED_PREFIX: &str = "sealwax";
/// Format version and suite.
pub const FORMAT: &str = "sealwax-format";
/// Encryption context as canonical JSON; absent if empty.
pub const CONTEXT: &str = "sealwax-context";
/// Encrypted data keys.
pub const KEYS: &str = "sealwax-keys";
/// Missing keys; absent if there are none.
pub const MISSING: &str = "sealwax-missing";
/// Generation: 1 plus the number of rewraps.
pub const GENERATION: &str = "sealwax-generation";
/// Plaintext length in bytes; absent if unknown at the start of the upload.
pub const PLAINTEXT_LEN: &str = "sealwax-length";
/// The body's first 56 bytes, base64.
pub const HEADER: &str = "sealwax-header";

const ALL: [&str; 7] = [CONTEXT, FORMAT, GENERATION, HEADER, KEYS, MISSING, PLAINTEXT_LEN];

/// `true` if a metadata name is reserved for Sealwax, ignoring case.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.get(..RESERVED_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX))
}

/// `true` for a name of this format's version, ignoring case: only a sealed object has one.
#[must_use]
pub fn is_format_name(name: &str) -> bool {
    ALL.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Rejects user-defined metadata that S3 would reject or return with another value.
/// (RFC 9110 §5.1 "Field Names", §5.5 "Field Values".)
pub(crate) fn check_user_defined(metadata: &[(&str, &str)]) -> Result<(), Error> {
    metadata.iter().enumerate().try_for_each(|(index, pair)| check_pair(pair, &metadata[..index]))
}

fn check_pair((name, value): &(&str, &str), others: &[(&str, &str)]) -> Result<(), Error> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let problem = if is_reserved(name) {
        "is reserved"
    } else if name.is_empty() || !name.bytes().all(is_token) {
        "is not a valid HTTP header name"
    } else if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        "has a value that is not printable ASCII: encode it, for example as base64"
    } else if others.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
        "is repeated: S3 ignores the case of metadata names"
    } else if value.trim_matches(' ') != *value {
        "has a value that starts or ends with a space, which HTTP drops"
    } else {
        return Ok(());
    };
    Err(Error::InvalidMetadata(format!("the name {name:?} {problem}")))
}

/// Metadata of an object that has names of the format, borrowed.
pub(super) struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    /// Collects the metadata with reserved names, each at most once, within
    /// [`METADATA_READ_LIMIT`].
    pub(super) fn collect(
        metadata: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Error> {
        let mut fields: Vec<(&str, &str)> = Vec::new();
        let mut len = 0;
        for (name, value) in metadata {
            if !is_reserved(name) {
                continue;
            }
            len += name.len() + value.len();
            if len > METADATA_READ_LIMIT {
                return Err(Error::Malformed(format!(
                    "more than {METADATA_READ_LIMIT} bytes of metadata"
                )));
            }
            if fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                return Err(Error::Malformed("a metadata name is repeated".into()));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// `true` if any name of this version is present.
    pub(super) fn has_any(&self) -> bool {
        self.0.iter().any(|(name, _)| is_format_name(name))
    }

    pub(super) fn required(&self, name: &str) -> Result<&'a str, Error> {
        self.get(name).ok_or_else(|| super::malformed(name))
    }

    /// Rejects unknown names, which could change the meaning of the others.
    pub(super) fn refuse_unknown(&self) -> Result<(), Error> {
        match self.0.iter().find(|(name, _)| !is_format_name(name)) {
            Some((name, _)) => Err(Error::Malformed(format!(
                "unknown metadata name {:?}",
                name.chars().take(64).collect::<String>()
            ))),
            None => Ok(()),
        }
    }
}
