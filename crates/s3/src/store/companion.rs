//! Companion objects: small objects beside an object, under its key and a suffix.
//!
//! Sidecars and instruction files are companions. Their content is none of this module's business.

use aws_sdk_s3::{
    operation::{head_object::HeadObjectOutput, put_object::builders::PutObjectFluentBuilder},
    primitives::ByteStream,
};

use super::{
    Store,
    lost_answer::{may_be_done, unconfirmed},
    ranged_get::{Pin, StoredRange, ranged_get},
};
use crate::{
    error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure, error_chain},
    limits::MAX_KEY_LEN,
};

/// The address of a companion object.
#[derive(Debug, Clone)]
pub(crate) struct Companion(ObjectRef);

/// Content at a companion's address.
pub(crate) enum Found {
    /// An object. Content longer than the reader's limit is cut off one byte behind the limit.
    Object { bytes: Vec<u8>, e_tag: Option<String> },
    /// No object.
    Nothing,
    /// S3 denied access. Without the permission to list the bucket, S3 also denies access to
    /// objects that don't exist. (Amazon S3 API Reference, `GetObject`, "Permissions".)
    Denied(Error),
}

/// Condition of a write to a companion's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replaces {
    /// No object exists there.
    Nothing,
    /// The object there has this entity tag.
    ETag(String),
    /// Whatever is there.
    Anything,
}

impl Companion {
    /// Returns the companion of `target` with `suffix`, or `None` if its key would be too long.
    pub(crate) fn of(target: &ObjectRef, suffix: &str) -> Option<Self> {
        let key = format!("{}{suffix}", target.key);
        (key.len() <= MAX_KEY_LEN).then(|| Self(target.with_key(key)))
    }

    pub(crate) fn object(&self) -> &ObjectRef {
        &self.0
    }

    /// Reads up to `limit` bytes, and one byte more if the object is longer.
    pub(crate) fn read(
        &self,
        store: &Store,
        limit: usize,
    ) -> impl Future<Output = Result<Found, Error>> + Send {
        read_bounded(store, &self.0, None, limit)
    }

    /// Writes `body` with the attributes of `request` under the condition `replaces`.
    ///
    /// A write whose answer was lost succeeds if the companion now has this body.
    pub(crate) async fn write(
        &self,
        store: &Store,
        request: PutObjectFluentBuilder,
        body: String,
        replaces: Replaces,
    ) -> Result<WrittenCompanion, Error> {
        let Self(at) = self;
        let request = request.bucket(&at.bucket).key(&at.key);
        let request = match replaces.clone() {
            Replaces::Nothing => request.if_none_match("*"),
            Replaces::ETag(e_tag) => request.if_match(e_tag),
            Replaces::Anything => request,
        };
        let bytes = body.into_bytes();
        let failure = match request.body(ByteStream::from(bytes.clone())).send().await {
            Ok(output) if output.e_tag.is_some() => {
                let (e_tag, version_id) = (output.e_tag, output.version_id);
                return Ok(WrittenCompanion { companion: self.clone(), e_tag, version_id });
            }
            Ok(_) => None,
            Err(error) => Some(AwsFailure::new(&error)),
        };
        if failure.as_ref().is_none_or(may_be_done)
            && let Ok(Found::Object { bytes: stored, e_tag }) = self.read(store, bytes.len()).await
            && stored == bytes
        {
            let companion = self.clone();
            return Ok(WrittenCompanion { companion, e_tag, version_id: None });
        }
        Err(match failure {
            Some(failure) => at.s3_failure("PutObject", failure),
            None => unconfirmed(at, "PutObject"),
        })
    }

    /// Deletes the companion if `is_one` recognizes it. Any other object stays.
    pub(crate) async fn delete_if(
        &self,
        store: &Store,
        is_one: impl FnOnce(&HeadObjectOutput) -> bool,
    ) -> Result<(), Error> {
        let Self(at) = self;
        let head = store.s3().head_object().bucket(&at.bucket).key(&at.key).send().await;
        match head.map_err(|error| AwsFailure::new(&error)) {
            Ok(head) if is_one(&head) => self.delete(store).await,
            Ok(_) => Ok(()),
            Err(failure) if failure.status == Some(404) => Ok(()),
            Err(failure) => Err(at.s3_failure("HeadObject", failure)),
        }
    }

    /// Deletes whatever is at the companion's address.
    pub(crate) async fn delete(&self, store: &Store) -> Result<(), Error> {
        let Self(at) = self;
        store.delete(at, None, None).await.map(drop).map_err(|failure| failure.into_error(at))
    }
}

/// A companion that was just written.
#[derive(Debug)]
pub(crate) struct WrittenCompanion {
    companion: Companion,
    e_tag: Option<String>,
    version_id: Option<String>,
}

impl WrittenCompanion {
    pub(crate) fn object(&self) -> &ObjectRef {
        self.companion.object()
    }

    /// `true` if S3 keeps what it replaced as an older version.
    pub(crate) fn is_version(&self) -> bool {
        self.version_id.as_deref().is_some_and(|id| id != "null")
    }

    /// Deletes what was written, unless somebody replaced it since: its version, where there are
    /// versions. A failure is logged.
    pub(crate) async fn take_back(self, store: &Store) {
        let at = self.companion.object();
        let deleted = match (self.is_version(), self.e_tag) {
            (true, _) => store.delete(at, self.version_id, None).await,
            (false, Some(e_tag)) => store.delete(at, None, Some(e_tag)).await,
            (false, None) => return,
        };
        if let Err(failure) = deleted {
            let failure = error_chain(&failure.into_error(at));
            tracing::warn!(%failure, "a companion of an object that changed is left");
        }
    }
}

/// Reads up to `limit` bytes of the object at `at`, and one byte more if it is longer.
pub(crate) async fn read_bounded(
    store: &Store,
    at: &ObjectRef,
    version_id: Option<&str>,
    limit: usize,
) -> Result<Found, Error> {
    let pin = Pin::new(version_id.map(str::to_owned), None);
    let range = StoredRange::Span(0..limit as u64 + 1);
    let mut output = match ranged_get(store.s3(), at, &pin, &range).await {
        Ok(answer) => answer.output,
        Err(failure) => {
            return match failure.status() {
                Some(404) => Ok(Found::Nothing),
                Some(403) => Ok(Found::Denied(failure.into_error(at))),
                // An empty object has no byte of any range.
                Some(416) => Ok(Found::Object { bytes: Vec::new(), e_tag: None }),
                _ => Err(failure.into_error(at)),
            };
        }
    };
    let mut bytes = Vec::new();
    // A store may ignore the range and send the whole object.
    while bytes.len() <= limit
        && let Some(frame) = output.body.try_next().await.map_err(|error| {
            at.error(ErrorKind::Unavailable, format!("its body broke off: {}", error_chain(&error)))
        })?
    {
        let wanted = frame.len().min(limit + 1 - bytes.len());
        bytes.extend_from_slice(&frame[..wanted]);
    }
    Ok(Found::Object { bytes, e_tag: output.e_tag })
}
