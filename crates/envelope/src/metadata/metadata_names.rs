//! The names of our metadata, and picking them out of an object's.

use crate::{Error, metadata::METADATA_READ_LIMIT};

/// What every name of ours begins with; no metadata of the user's own may.
pub const RESERVED_PREFIX: &str = "sealwax";
/// Format version and suite.
pub const FORMAT: &str = "sealwax-format";
/// Encryption context as canonical JSON; absent where it is empty.
pub const CONTEXT: &str = "sealwax-context";
/// Encrypted data keys.
pub const KEYS: &str = "sealwax-keys";
/// Wrapping keys that are still to wrap the data key; absent where there are none.
pub const MISSING: &str = "sealwax-missing";
/// How often the object was wrapped.
pub const GENERATION: &str = "sealwax-generation";
/// Plaintext length in bytes; absent where it was unknown at the start of the upload.
pub const PLAINTEXT_LEN: &str = "sealwax-length";
/// The body's first 56 bytes, base64.
pub const HEADER: &str = "sealwax-header";

const ALL: [&str; 7] = [CONTEXT, FORMAT, GENERATION, HEADER, KEYS, MISSING, PLAINTEXT_LEN];

/// Whether a metadata name belongs to Sealwax, in any case.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.get(..RESERVED_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX))
}

/// Refuses metadata of the user's own that cannot be stored as it is: S3 would refuse it, or return another value.
/// (RFC 9110 §5.1 "Field Names", §5.5 "Field Values".)
pub(crate) fn check_user_defined(own: &[(&str, &str)]) -> Result<(), Error> {
    own.iter().enumerate().try_for_each(|(index, pair)| check_pair(pair, &own[..index]))
}

fn check_pair((name, value): &(&str, &str), others: &[(&str, &str)]) -> Result<(), Error> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let problem = match () {
        () if is_reserved(name) => "is reserved",
        () if name.is_empty() || !name.bytes().all(is_token) => "is no HTTP header name",
        () if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
            "has a value that is not printable ASCII: encode it, as base64 say"
        }
        () if others.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) => {
            "is given twice: S3 does not tell capitals from small letters"
        }
        () if value.trim_matches(' ') != *value => {
            "has a value with a blank at an end, which HTTP drops"
        }
        () => return Ok(()),
    };
    Err(Error::InvalidMetadata(format!("the name {name:?} {problem}")))
}

/// Our part of an object's metadata; borrowed.
pub(super) struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    /// Collects what is ours, each name at most once, within [`METADATA_READ_LIMIT`].
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
                return Err(Error::Malformed("a metadata name occurs twice".into()));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// Whether any name of this version is there.
    pub(super) fn has_any(&self) -> bool {
        ALL.iter().any(|name| self.get(name).is_some())
    }

    pub(super) fn required(&self, name: &str) -> Result<&'a str, Error> {
        self.get(name).ok_or_else(|| super::malformed(name))
    }

    /// Names that this version does not know could change what the others mean.
    pub(super) fn refuse_unknown(&self) -> Result<(), Error> {
        match self
            .0
            .iter()
            .find(|(name, _)| !ALL.iter().any(|known| known.eq_ignore_ascii_case(name)))
        {
            Some((name, _)) => Err(Error::Malformed(format!(
                "unknown metadata name {:?}",
                name.chars().take(64).collect::<String>()
            ))),
            None => Ok(()),
        }
    }
}
