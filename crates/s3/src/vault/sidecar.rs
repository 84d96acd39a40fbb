//! Sidecars: an object's newer keys in a companion object, if the object itself can't or shouldn't
//! be copied. (docs/FORMAT.md, "Sidecar".)

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use sealwax_envelope::{Error as EnvelopeError, ObjectHeader, metadata::SIDECAR_LIMIT};

use crate::{
    error::{Error, ErrorKind, ObjectRef, error_chain},
    store::{
        Store,
        companion::{Companion, Found, Replaces, WrittenCompanion},
    },
};

/// Default suffix of a sidecar's key.
const DEFAULT_SUFFIX: &str = ".sealwax";
/// `Content-Type` of a sidecar.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.sealwax.sidecar+json";

/// Policy on sidecars: whether a client looks for an object's sidecar if the keys in the object's
/// metadata do not open it.
///
/// A sidecar can add keys to an object, but can't remove any, because the object's metadata stays.
/// An attacker who can write to the bucket can write a sidecar, and gains nothing by it: only the
/// true data key meets the object's commitment.
///
/// ```
/// use sealwax_s3::SidecarPolicy;
///
/// assert_eq!(SidecarPolicy::off().suffix(), None);
/// assert_eq!(SidecarPolicy::read().suffix(), Some(".sealwax"));
/// assert_eq!(SidecarPolicy::with_suffix(".keys").suffix(), Some(".keys"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SidecarPolicy {
    suffix: Option<String>,
}

impl SidecarPolicy {
    /// Looks for no sidecar.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Looks for `<key>.sealwax`, where `<key>` is the object's key.
    #[must_use]
    pub fn read() -> Self {
        Self::with_suffix(DEFAULT_SUFFIX)
    }

    /// Looks for the object's key followed by `suffix`. An empty suffix would name the object itself,
    /// so it turns the lookup off.
    #[must_use]
    pub fn with_suffix(suffix: impl Into<String>) -> Self {
        Self { suffix: Some(suffix.into()).filter(|suffix| !suffix.is_empty()) }
    }

    /// Returns the suffix of a sidecar's key, if the client looks for sidecars.
    #[must_use]
    pub fn suffix(&self) -> Option<&str> {
        self.suffix.as_deref()
    }

    /// Returns the suffix of a sidecar that is written on request.
    pub(crate) fn suffix_to_write(&self) -> &str {
        self.suffix().unwrap_or(DEFAULT_SUFFIX)
    }
}

/// Content at the address of an object's sidecar.
#[derive(Debug)]
pub(crate) enum Sidecar {
    /// No object.
    Absent,
    /// A sidecar of an earlier body. It is ignored, and replaced by the next write.
    Stale { e_tag: Option<String> },
    /// The object's sidecar.
    Present { header: Box<ObjectHeader>, e_tag: Option<String> },
}

impl Sidecar {
    /// Reads the companion of `target` with `suffix`.
    pub(crate) async fn find(
        store: &Store,
        target: &ObjectRef,
        suffix: &str,
        object: &ObjectHeader,
    ) -> Result<Self, Error> {
        let Some(sidecar) = Companion::of(target, suffix) else { return Ok(Self::Absent) };
        let at = sidecar.object();
        let (bytes, e_tag) = match sidecar.read(store, SIDECAR_LIMIT).await? {
            Found::Nothing => return Ok(Self::Absent),
            Found::Denied(error) => return Err(hinted(error)),
            Found::Object { bytes, e_tag } => (bytes, e_tag),
        };
        if bytes.is_empty() {
            let error = EnvelopeError::Malformed("the sidecar is empty".into());
            return Err(at.envelope_error(error));
        }
        if bytes.len() > SIDECAR_LIMIT {
            let message = format!("the sidecar is longer than {SIDECAR_LIMIT} bytes");
            return Err(at.error(ErrorKind::Malformed, message));
        }
        let header = object.parse_sidecar(&bytes).map_err(|error| at.envelope_error(error))?;
        Ok(match header {
            Some(header) => Self::Present { header: Box::new(header), e_tag },
            None => Self::Stale { e_tag },
        })
    }

    /// Returns the object's header as the sidecar has it.
    pub(crate) fn header(&self) -> Option<&ObjectHeader> {
        match self {
            Self::Present { header, .. } => Some(header),
            Self::Absent | Self::Stale { .. } => None,
        }
    }

    /// Stores `header` in the sidecar's place, if the sidecar is unchanged.
    pub(crate) async fn replace(
        &self,
        store: &Store,
        target: &ObjectRef,
        suffix: &str,
        header: &ObjectHeader,
    ) -> Result<WrittenSidecar, Error> {
        let sidecar = Companion::of(target, suffix).ok_or_else(|| {
            target.error(ErrorKind::InvalidInput, "its key is too long for a sidecar")
        })?;
        let body = header.to_sidecar().map_err(|error| target.envelope_error(error))?;
        let replaces = match self {
            Self::Absent => Replaces::Nothing,
            Self::Stale { e_tag } | Self::Present { e_tag, .. } => {
                Replaces::ETag(e_tag.clone().ok_or_else(|| {
                    let message = "GetObject returned no entity tag";
                    sidecar.object().error(ErrorKind::Service, message)
                })?)
            }
        };
        let request = || store.s3().put_object().content_type(CONTENT_TYPE);
        let written = sidecar.write(store, request, body, replaces).await?;
        let holds_older_keys = matches!(self, Self::Present { .. });
        Ok(WrittenSidecar { written, holds_older_keys })
    }
}

/// A sidecar that was just written.
#[derive(Debug)]
pub(crate) struct WrittenSidecar {
    written: WrittenCompanion,
    /// `true` if it replaced a sidecar with keys of the object.
    holds_older_keys: bool,
}

impl WrittenSidecar {
    pub(crate) fn key(&self) -> &str {
        &self.written.object().key
    }

    /// Takes the new keys back, unless older keys would be lost with them.
    pub(crate) async fn take_back(self, store: &Store) {
        if !self.holds_older_keys || self.written.is_version() {
            self.written.take_back(store).await;
        }
    }
}

/// Deletes the object's sidecar, if it has one. Any other object at that address stays.
pub(crate) async fn delete(store: &Store, target: &ObjectRef, suffix: &str) -> Result<(), Error> {
    let Some(sidecar) = Companion::of(target, suffix) else { return Ok(()) };
    let is_sidecar = |head: &HeadObjectOutput| head.content_type() == Some(CONTENT_TYPE);
    sidecar.delete_if(store, is_sidecar).await.map_err(hinted)
}

/// Deletes a sidecar that opens nothing. A failure is logged: the sidecar does no harm.
pub(crate) async fn remove(store: &Store, target: &ObjectRef, suffix: &str) {
    if let Err(error) = delete(store, target, suffix).await {
        let failure = error_chain(&error);
        tracing::warn!(%failure, "a sidecar without an object is left");
    }
}

/// Adds a hint to S3's denial of a lookup.
fn hinted(error: Error) -> Error {
    match error.kind() {
        // (Amazon S3 API Reference, `GetObject`, "Permissions".)
        ErrorKind::AccessDenied => error.with_suffix(
            "allow s3:ListBucket on the bucket too: without it, S3 answers 403 instead of 404 when \
             there is no sidecar",
        ),
        _ => error,
    }
}
