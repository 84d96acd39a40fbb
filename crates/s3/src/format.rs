//! Which format a stored object has, told by its metadata: before any key is used.

use std::collections::HashMap;

use sealwax_envelope::{
    Error as EnvelopeError, ObjectHeader, geometry, metadata,
    s3ec::{self, Detected, Envelope, INSTRUCTION_FILE_SUFFIX},
};

use crate::{
    SealedClient,
    error::{Error, ErrorKind, Target},
    s3ec::instruction_file::{self, Found},
};

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

    /// That of a stored object with this metadata. Its instruction file, where it may have one, has `suffix`.
    pub(crate) async fn of(
        client: &SealedClient,
        target: &Target,
        stored: Option<&HashMap<String, String>>,
        suffix: Option<&str>,
    ) -> Result<Self, Error> {
        let pairs = || metadata::pairs(stored.into_iter().flatten());
        match ObjectHeader::parse(pairs()) {
            Ok(header) => return Ok(Self::Sealwax(header)),
            // A name of ours that is of no format: its keys were shredded.
            Err(EnvelopeError::NotSealed)
                if !pairs().any(|(name, _)| metadata::is_reserved(name)) => {}
            Err(error) => return Err(target.envelope(error)),
        }
        let refused = client.s3ec().is_refused();
        let detected = s3ec::detect(pairs()).map_err(|error| target.s3ec(error))?;
        let pending = match detected {
            Detected::Complete(_) if refused => return Err(refused_here(target)),
            Detected::Pending(pending) if refused && pending.is_certain() => {
                return Err(refused_here(target));
            }
            Detected::Pending(_) if refused => {
                return not_sealed(client, target, "it carries no Sealwax metadata");
            }
            Detected::Complete(envelope) => return Ok(Self::S3ec(envelope)),
            Detected::Pending(pending) => pending,
        };
        let suffix = suffix.unwrap_or(INSTRUCTION_FILE_SUFFIX);
        match instruction_file::fetch(client, target, suffix).await? {
            Found::File(file) => {
                Ok(Self::S3ec(pending.complete(&file.bytes).map_err(|error| target.s3ec(error))?))
            }
            Found::Nothing if pending.is_certain() => {
                let message = format!(
                    "its wrapped data key is in an instruction file, and there is none with {suffix:?}"
                );
                Err(target.error(ErrorKind::Malformed, message))
            }
            Found::Denied
                if pending.is_certain()
                    || client.unencrypted() == UnencryptedObjects::PassThrough =>
            {
                let message = format!(
                    "it may have an instruction file, but GetObject of its key and {suffix:?} was denied"
                );
                Err(target.error(ErrorKind::AccessDenied, message))
            }
            Found::Nothing | Found::Denied => {
                let why = format!(
                    "it carries no metadata of an encrypting client, and no file {suffix:?} beside it is found"
                );
                not_sealed(client, target, &why)
            }
        }
    }
}

fn not_sealed(client: &SealedClient, target: &Target, why: &str) -> Result<ObjectFormat, Error> {
    match client.unencrypted() {
        UnencryptedObjects::PassThrough => Ok(ObjectFormat::Unencrypted),
        UnencryptedObjects::Refuse => {
            Err(target.error(ErrorKind::NotSealed, format!("the object is not sealed: {why}")))
        }
    }
}

fn refused_here(target: &Target) -> Error {
    target.error(
        ErrorKind::PolicyRefused,
        "it is an object of the S3 Encryption Client, and this client refuses them",
    )
}
