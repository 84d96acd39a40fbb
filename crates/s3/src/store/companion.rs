//! Companion objects: small objects beside others, under an object's key and a suffix, or under a
//! prefix of their own.
//!
//! Sidecars, instruction files and key objects are companions. This module does not know their
//! content.

use aws_sdk_s3::{
    operation::{head_object::HeadObjectOutput, put_object::builders::PutObjectFluentBuilder},
    primitives::ByteStream,
};

use super::{
    Store,
    deletion::Look,
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

    /// Returns the companion at this address.
    pub(crate) fn at(address: ObjectRef) -> Self {
        Self(address)
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
        request: impl Fn() -> PutObjectFluentBuilder + Send + Sync,
        body: String,
        replaces: Replaces,
    ) -> Result<WrittenCompanion, Error> {
        let Self(at) = self;
        let bytes = body.into_bytes();
        let request = || {
            let request = request().key(&at.key).body(ByteStream::from(bytes.clone()));
            match replaces.clone() {
                Replaces::Nothing => request.if_none_match("*"),
                Replaces::ETag(e_tag) => request.if_match(e_tag),
                Replaces::Anything => request,
            }
        };
        let failure = match store.put_object(&at.bucket, request, None).await {
            Ok(output) if output.e_tag.is_some() => {
                let (e_tag, version_id) = (output.e_tag, output.version_id);
                return Ok(WrittenCompanion { companion: self.clone(), e_tag, version_id });
            }
            Ok(_) => None,
            Err(failure) => Some(failure),
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
            Ok(head) if is_one(&head) => self.delete(store, Look::Once(Some(&head.into()))).await,
            Ok(_) => Ok(()),
            Err(failure) if failure.status == Some(404) => Ok(()),
            Err(failure) => Err(store.head_failure(at, failure).await),
        }
    }

    /// Deletes whatever is at the companion's address.
    pub(crate) async fn delete(&self, store: &Store, look: Look<'_>) -> Result<(), Error> {
        let Self(at) = self;
        let deleted = store.delete(at, None, None, look).await;
        deleted.map(drop).map_err(|failure| failure.into_error(at))
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
            (true, _) => store.delete(at, self.version_id, None, Look::Never).await,
            (false, Some(e_tag)) => store.delete(at, None, Some(e_tag), Look::Never).await,
            (false, None) => return,
        };
        if let Err(failure) = deleted {
            let failure = error_chain(&failure.into_error(at));
            tracing::warn!(%failure, "a companion of an object that changed is left");
        }
    }
}

/// Number of times that a body which breaks off is read.
const ATTEMPTS: u32 = 3;

/// Reads up to `limit` bytes of the object at `at`, and one byte more if it is longer. A body that
/// breaks off is read again, which the SDK does not do.
pub(crate) async fn read_bounded(
    store: &Store,
    at: &ObjectRef,
    version_id: Option<&str>,
    limit: usize,
) -> Result<Found, Error> {
    let mut attempts = 1;
    loop {
        match read_once(store, at, version_id, limit).await {
            Err(Broken::Body(_)) if attempts < ATTEMPTS => attempts += 1,
            Err(Broken::Body(error) | Broken::Call(error)) => return Err(error),
            Ok(found) => return Ok(found),
        }
    }
}

/// Failure of one attempt to read.
enum Broken {
    /// The SDK has repeated it, if that may help.
    Call(Error),
    /// The body broke off.
    Body(Error),
}

async fn read_once(
    store: &Store,
    at: &ObjectRef,
    version_id: Option<&str>,
    limit: usize,
) -> Result<Found, Broken> {
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
                _ => Err(Broken::Call(failure.into_error(at))),
            };
        }
    };
    let mut bytes = Vec::new();
    // A store may ignore the range and send the whole object.
    while bytes.len() <= limit
        && let Some(frame) = output.body.try_next().await.map_err(|error| {
            let message = format!("its body broke off: {}", error_chain(&error));
            Broken::Body(at.error(ErrorKind::Unavailable, message))
        })?
    {
        bytes.extend_from_slice(&frame);
    }
    bytes.truncate(limit + 1);
    Ok(Found::Object { bytes, e_tag: output.e_tag })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::answers::{Answer, answering, deleting};

    fn companion() -> (Companion, ObjectRef) {
        let (store, _) = answering(|_| Answer::new(500, ""));
        let (bucket, key) = (Some("bucket".into()), Some("here".into()));
        let target = ObjectRef::new("put", store.s3(), bucket, key).expect("an object");
        (Companion::of(&target, ".x").expect("short"), target)
    }

    #[test]
    fn a_companion_has_a_key_that_s3_allows() {
        let (_, target) = companion();
        for (len, expected) in [(MAX_KEY_LEN - 2, Some(MAX_KEY_LEN)), (MAX_KEY_LEN - 1, None)] {
            let target = target.with_key("k".repeat(len));
            let companion = Companion::of(&target, ".x");
            assert_eq!(companion.map(|companion| companion.object().key.len()), expected);
        }
    }

    #[tokio::test]
    async fn a_companion_is_read_up_to_one_byte_behind_the_limit() {
        let (companion, _) = companion();
        for (status, len, expected) in [
            (206, 0, Ok(Some(0))),
            (206, 9, Ok(Some(9))),
            (206, 10, Ok(Some(10))),
            (206, 11, Ok(Some(11))),
            (200, 1000, Ok(Some(11))),
            (404, 0, Ok(None)),
            (416, 0, Ok(Some(0))),
            (500, 0, Err(ErrorKind::Unavailable)),
        ] {
            let (store, requests) = answering(move |_| {
                let answer = Answer::new(status, "x".repeat(len));
                let range = format!("bytes 0-{}/1000", len.saturating_sub(1));
                if status == 206 { answer.with("content-range", range) } else { answer }
            });
            let found = match companion.read(&store, 10).await {
                Ok(Found::Object { bytes, .. }) => Ok(Some(bytes.len())),
                Ok(Found::Nothing) => Ok(None),
                Ok(Found::Denied(error)) => panic!("{error}"),
                Err(error) => Err(error.kind()),
            };
            assert_eq!(found, expected, "{status} {len}");
            assert_eq!(requests.take(), ["GET /here.x range:bytes=0-10"]);
        }
        let store = Answer::new(403, "").store();
        let Ok(Found::Denied(error)) = companion.read(&store, 10).await else {
            panic!("S3 denied it");
        };
        assert_eq!(error.kind(), ErrorKind::AccessDenied);
    }

    /// A write is believed if S3 names the entity tag, or if the companion has its bytes then.
    #[tokio::test]
    async fn a_write_whose_answer_proves_nothing_is_looked_at() {
        let (companion, _) = companion();
        let put = "PUT /here.x if-none-match:*";
        let both = [put, "GET /here.x range:bytes=0-4"];
        for (status, e_tag, stored, expected, requests) in [
            (200, Some("\"e\""), "", Ok(()), &both[..1]),
            (200, None, "body", Ok(()), &both),
            (200, None, "else", Err(ErrorKind::Service), &both),
            (200, None, "body2", Err(ErrorKind::Service), &both),
            (500, None, "body", Ok(()), &both),
            (500, None, "else", Err(ErrorKind::Unavailable), &both),
            (412, None, "body", Ok(()), &both),
            (412, None, "else", Err(ErrorKind::Conflict), &both),
            (403, None, "body", Err(ErrorKind::AccessDenied), &both[..1]),
        ] {
            let (store, got) = answering(move |request| {
                if request.starts_with("GET") {
                    return Answer::new(200, stored);
                }
                let answer = Answer::new(status, "");
                e_tag.into_iter().fold(answer, |answer, e_tag| answer.with("etag", e_tag))
            });
            let request = || store.s3().put_object();
            let written = companion.write(&store, request, "body".into(), Replaces::Nothing).await;
            let written = written.map(drop).map_err(|error| error.kind());
            assert_eq!(written, expected, "{status} {stored}");
            assert_eq!(got.take(), requests, "{status} {stored}");
        }
    }

    #[tokio::test]
    async fn a_write_has_its_condition() {
        let (companion, _) = companion();
        let (store, requests) = answering(|_| Answer::new(200, "").with("etag", "\"e\""));
        for (replaces, expected) in [
            (Replaces::Nothing, "PUT /here.x if-none-match:*"),
            (Replaces::ETag("\"old\"".into()), "PUT /here.x if-match:\"old\""),
            (Replaces::Anything, "PUT /here.x"),
        ] {
            let request = || store.s3().put_object();
            companion.write(&store, request, "body".into(), replaces).await.expect("written");
            assert_eq!(requests.take(), [expected]);
        }
    }

    /// Somebody may have replaced it since.
    #[tokio::test]
    async fn only_what_was_written_is_taken_back() {
        let (companion, _) = companion();
        for (version_id, e_tag, is_version, expected) in [
            (Some("v1"), Some("\"e\""), true, &["DELETE /here.x?versionId=v1"][..]),
            (Some("v1"), None, true, &["DELETE /here.x?versionId=v1"]),
            (Some("null"), Some("\"e\""), false, &["DELETE /here.x if-match:\"e\""]),
            (None, Some("\"e\""), false, &["DELETE /here.x if-match:\"e\""]),
            (None, None, false, &[]),
        ] {
            let written = WrittenCompanion {
                companion: companion.clone(),
                e_tag: e_tag.map(str::to_owned),
                version_id: version_id.map(str::to_owned),
            };
            let (store, requests) = answering(|_| Answer::new(204, ""));
            assert_eq!(written.is_version(), is_version, "{version_id:?}");
            written.take_back(&store).await;
            assert_eq!(requests.take(), expected, "{version_id:?} {e_tag:?}");
        }
    }

    #[tokio::test]
    async fn only_what_is_recognized_is_deleted() {
        let (companion, _) = companion();
        let (head, deletion) = ("HEAD /here.x", "DELETE /here.x");
        for (status, is_one, expected, requests) in [
            (200, true, Ok(()), &[head, deletion, head][..]),
            (200, false, Ok(()), &[head]),
            (404, true, Ok(()), &[head]),
            (403, true, Err(ErrorKind::AccessDenied), &[head]),
            (500, true, Err(ErrorKind::Unavailable), &[head]),
        ] {
            let (store, got) = deleting(move |_| Answer::new(status, ""));
            let deleted = companion.delete_if(&store, |_| is_one).await;
            assert_eq!(deleted.map_err(|error| error.kind()), expected, "{status} {is_one}");
            assert_eq!(got.take()[..requests.len()], *requests, "{status} {is_one}");
        }
    }
}
