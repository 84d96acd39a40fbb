//! Sidecars: an object's newer keys in an object of their own, where the object itself cannot be copied, or should not be.
//! (docs/FORMAT.md, "Sidecar".)

use aws_sdk_s3::primitives::ByteStream;
use sealwax_envelope::{Error as EnvelopeError, ObjectHeader, metadata::SIDECAR_LIMIT};

use crate::{
    SealedClient,
    aws_failure::AwsFailure,
    error::{Error, ErrorKind, Target},
};

/// What a sidecar's key has after the object's, unless set.
const DEFAULT_SUFFIX: &str = ".sealwax";
/// `Content-Type` of a sidecar.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.sealwax.sidecar+json";
/// Longest key, in bytes. (Amazon S3 User Guide, "Naming Amazon S3 objects".)
const MAX_KEY_LEN: usize = 1024;

/// Whether a client looks for an object's sidecar where the keys in the object's own metadata do not open it.
///
/// A sidecar can add keys to an object; it cannot take any away, for the object's own metadata stays. Whoever can write
/// beside the object can write its sidecar, and gains nothing by it: only the true data key meets the object's commitment.
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
    /// Looks for none.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Looks for `<key>.sealwax`.
    #[must_use]
    pub fn read() -> Self {
        Self::with_suffix(DEFAULT_SUFFIX)
    }

    /// Looks for the object whose key has `suffix` after the object's own. An empty one would name the object itself: none
    /// is looked for then.
    #[must_use]
    pub fn with_suffix(suffix: impl Into<String>) -> Self {
        Self { suffix: Some(suffix.into()).filter(|suffix| !suffix.is_empty()) }
    }

    /// What a sidecar's key has after the object's, if sidecars are looked for.
    #[must_use]
    pub fn suffix(&self) -> Option<&str> {
        self.suffix.as_deref()
    }

    /// What a sidecar that is written by name has after the object's key.
    pub(crate) fn suffix_to_write(&self) -> &str {
        self.suffix().unwrap_or(DEFAULT_SUFFIX)
    }
}

/// What is stored where an object's sidecar would be.
#[derive(Debug)]
pub(crate) enum Sidecar {
    /// Nothing.
    Absent,
    /// A sidecar of another body: of what was there before it. It counts for nothing, and is replaced.
    Stale { e_tag: Option<String> },
    /// The object's.
    Present { header: Box<ObjectHeader>, e_tag: Option<String> },
}

impl Sidecar {
    /// Reads what is stored with `suffix` after the object's key.
    pub(crate) async fn find(
        client: &SealedClient,
        target: &Target,
        suffix: &str,
        object: &ObjectHeader,
    ) -> Result<Self, Error> {
        let Some(sidecar) = beside(target, suffix) else { return Ok(Self::Absent) };
        // One byte more than a sidecar may have, so that a longer one is known.
        let range = format!("bytes=0-{SIDECAR_LIMIT}");
        let output = client
            .s3()
            .get_object()
            .bucket(&sidecar.bucket)
            .key(&sidecar.key)
            .range(range)
            .send()
            .await;
        let output =
            match output {
                Ok(output) => output,
                Err(error) => {
                    let failure = AwsFailure::new(&error);
                    return match (failure.status, failure.code.as_deref()) {
                        (Some(404), _) => Ok(Self::Absent),
                        // It is empty.
                        (Some(416), _) => Err(sidecar
                            .envelope(EnvelopeError::Malformed("the sidecar is empty".into()))),
                        _ => Err(failed(&sidecar, "GetObject", failure)),
                    };
                }
            };
        // A store that passes over ranges sends whatever is there.
        if output
            .content_length()
            .is_none_or(|len| usize::try_from(len).is_ok_and(|len| len > SIDECAR_LIMIT))
        {
            let message = format!("the sidecar is longer than {SIDECAR_LIMIT} bytes");
            return Err(sidecar.error(ErrorKind::Malformed, message));
        }
        let body = output.body.collect().await;
        let body = body.map_err(|error| {
            sidecar.error(ErrorKind::Unavailable, format!("it broke off: {error}"))
        })?;
        let header =
            object.parse_sidecar(&body.into_bytes()).map_err(|error| sidecar.envelope(error))?;
        Ok(match header {
            Some(header) => Self::Present { header: Box::new(header), e_tag: output.e_tag },
            None => Self::Stale { e_tag: output.e_tag },
        })
    }

    /// The object's header as the sidecar has it.
    pub(crate) fn header(&self) -> Option<&ObjectHeader> {
        match self {
            Self::Present { header, .. } => Some(header),
            Self::Absent | Self::Stale { .. } => None,
        }
    }

    /// Stores `header` in its place, if it still is as it was seen. Tells the sidecar's key.
    pub(crate) async fn replace(
        &self,
        client: &SealedClient,
        target: &Target,
        suffix: &str,
        header: &ObjectHeader,
    ) -> Result<String, Error> {
        let sidecar = beside(target, suffix);
        let sidecar = sidecar.ok_or_else(|| {
            target.error(ErrorKind::InvalidInput, "its key is too long for a sidecar")
        })?;
        let body = header.to_sidecar().map_err(|error| target.envelope(error))?;
        let (if_match, if_none_match) = match self {
            Self::Absent => (None, Some("*".to_owned())),
            Self::Stale { e_tag } | Self::Present { e_tag, .. } => (e_tag.clone(), None),
        };
        if if_match.is_none() && if_none_match.is_none() {
            return Err(sidecar.error(ErrorKind::Service, "GetObject gave no entity tag"));
        }
        let put = client
            .s3()
            .put_object()
            .bucket(&sidecar.bucket)
            .key(&sidecar.key)
            .content_type(CONTENT_TYPE);
        let put = put.set_if_match(if_match).set_if_none_match(if_none_match);
        match put.body(ByteStream::from(body.into_bytes())).send().await {
            Ok(_) => Ok(sidecar.key),
            // The answer may have been lost, and a retry of it then met our own sidecar.
            Err(error) => {
                let failure = AwsFailure::new(&error);
                if (failure.is_ambiguous() || matches!(failure.status, Some(409 | 412)))
                    && let Ok(Self::Present { header: found, .. }) =
                        Self::find(client, target, suffix, header).await
                    && *found == *header
                {
                    return Ok(sidecar.key);
                }
                Err(sidecar.s3_failure("PutObject", failure))
            }
        }
    }
}

/// Where the object's sidecar is, if its key is short enough to have one.
pub(crate) fn beside(target: &Target, suffix: &str) -> Option<Target> {
    let key = format!("{}{suffix}", target.key);
    (key.len() <= MAX_KEY_LEN).then(|| target.with_key(key))
}

/// A look for a sidecar failed.
fn failed(sidecar: &Target, call: &'static str, failure: AwsFailure) -> Error {
    let error = sidecar.s3_failure(call, failure);
    match error.kind() {
        // (Amazon S3 API Reference, `GetObject`, "Permissions".)
        ErrorKind::AccessDenied => error.and(
            "allow s3:ListBucket on the bucket too: without it, S3 denies a look for a sidecar even where there is none",
        ),
        _ => error,
    }
}

/// Deletes the object's sidecar, if there is one. What else is stored by that name stays.
pub(crate) async fn delete(
    client: &SealedClient,
    target: &Target,
    suffix: &str,
) -> Result<(), Error> {
    let Some(sidecar) = beside(target, suffix) else { return Ok(()) };
    let head = client.s3().head_object().bucket(&sidecar.bucket).key(&sidecar.key).send().await;
    let head = match head.map_err(|error| AwsFailure::new(&error)) {
        Ok(head) => head,
        Err(failure) if failure.status == Some(404) => return Ok(()),
        Err(failure) => return Err(failed(&sidecar, "HeadObject", failure)),
    };
    if head.content_type() != Some(CONTENT_TYPE) {
        return Ok(());
    }
    let deleted =
        client.s3().delete_object().bucket(&sidecar.bucket).key(&sidecar.key).send().await;
    deleted.map(drop).map_err(|error| sidecar.s3("DeleteObject", &error))
}
