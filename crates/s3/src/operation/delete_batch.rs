//! Deletes many objects with one request.

use std::collections::HashMap;

use aws_sdk_s3::{
    operation::delete_objects::DeleteObjectsOutput,
    types::{Delete as Deletion, ObjectIdentifier},
};

use futures_util::{StreamExt as _, stream};

use super::{Handle, delete::DeleteOutput};
use crate::{
    backoff::unthrottled,
    error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure},
    limits::MAX_DELETED_OBJECTS,
    store::deletion::{Deleted, Look},
    vault::sidecar,
};

/// Maximum number of objects that get requests of their own at a time.
const CONCURRENCY: usize = 8;

/// Deletes up to 1,000 objects of one bucket with one `DeleteObjects`, or hides them behind delete
/// markers in a versioned bucket. ([Amazon S3 API Reference](https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html).)
///
/// A store that answers with success is taken at its word. [`Delete`](crate::Delete) looks.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct DeleteBatch {
    handle: Handle,
    bucket: String,
    objects: Vec<Named>,
    bypasses_governance: bool,
}

/// An object, or a version of it.
type Named = (String, Option<String>);

impl DeleteBatch {
    pub(crate) fn new(handle: Handle, bucket: String) -> Self {
        Self { handle, bucket, objects: Vec::new(), bypasses_governance: false }
    }

    /// Adds an object.
    pub fn object(mut self, key: impl Into<String>) -> Self {
        self.objects.push((key.into(), None));
        self
    }

    /// Adds a version of an object, which is deleted permanently.
    pub fn version(mut self, key: impl Into<String>, version_id: impl Into<String>) -> Self {
        self.objects.push((key.into(), Some(version_id.into())));
        self
    }

    /// Deletes versions that are retained in governance mode, too. It needs the permission
    /// `s3:BypassGovernanceRetention`.
    pub fn bypass_governance_retention(mut self) -> Self {
        self.bypasses_governance = true;
        self
    }

    /// Deletes the objects. Returns one result for each, in their order; deleting what does not exist
    /// succeeds.
    ///
    /// Keys with control characters, which XML can't express, get a `DeleteObject` each. If the client
    /// looks for sidecars, the sidecar of each object without a version is deleted after it, with two
    /// more requests.
    ///
    /// # Errors
    /// The whole request failed, and any of the objects may have been deleted; or
    /// [`InvalidInput`](ErrorKind::InvalidInput) for more than 1,000 objects, or for one without a key.
    #[tracing::instrument(
        name = "delete_batch",
        skip_all,
        fields(bucket = self.bucket, objects = self.objects.len()),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<Vec<Result<DeleteOutput, Error>>, Error> {
        let Self { handle: Handle { store, .. }, bucket, objects, .. } = &self;
        let all = ObjectRef::of_prefix("delete", store.s3(), bucket, "")?;
        if objects.len() > MAX_DELETED_OBJECTS {
            let message = format!("a request deletes at most {MAX_DELETED_OBJECTS} objects");
            return Err(all.error(ErrorKind::InvalidInput, message));
        }
        let target = |key: &str| {
            ObjectRef::new("delete", store.s3(), Some(bucket.clone()), Some(key.to_owned()))
        };
        let targets: Vec<ObjectRef> =
            objects.iter().map(|(key, _)| target(key)).collect::<Result<_, _>>()?;
        let mut answers = self.delete_expressible(&all).await?;
        let this = &self;
        let finished = targets.into_iter().zip(objects).map(|(target, named)| {
            let answer = answers.remove(named);
            async move { this.finish(&target, named, answer).await.map(DeleteOutput::from) }
        });
        let finished: Vec<_> = finished.collect();
        Ok(stream::iter(finished).buffered(CONCURRENCY).collect().await)
    }

    /// Deletes what the request did not: the object itself, or its sidecar.
    async fn finish(
        &self,
        target: &ObjectRef,
        (key, version_id): &Named,
        answer: Option<Result<Deleted, AwsFailure>>,
    ) -> Result<Deleted, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let deleted = match answer {
            Some(answer) => {
                answer.map_err(|failure| target.s3_failure("DeleteObjects", failure))?
            }
            None if is_expressible(key) => {
                let message = "DeleteObjects does not say that it was deleted";
                return Err(target.error(ErrorKind::Service, message));
            }
            None => {
                let (look, bypasses) = (Look::Once(None), self.bypasses_governance);
                let version_id = version_id.clone();
                let deleted = store.delete_retained(target, version_id, None, look, bypasses).await;
                deleted.map_err(|failure| failure.into_error(target))?
            }
        };
        // A sidecar's name does not tell which version it belongs to.
        if let Some(suffix) = vault.sidecars().suffix().filter(|_| version_id.is_none()) {
            sidecar::delete(store, target, suffix).await.map_err(|error| {
                error.with_prefix("the object was deleted, but not its sidecar")
            })?;
        }
        Ok(deleted)
    }

    /// Deletes the objects whose keys XML can express.
    async fn delete_expressible(
        &self,
        all: &ObjectRef,
    ) -> Result<HashMap<Named, Result<Deleted, AwsFailure>>, Error> {
        let named = self.objects.iter().filter(|(key, _)| is_expressible(key));
        let identifiers: Vec<_> = named
            .map(|(key, version_id)| {
                let identifier = ObjectIdentifier::builder().key(key);
                identifier.set_version_id(version_id.clone()).build().expect("it has a key")
            })
            .collect();
        if identifiers.is_empty() {
            return Ok(HashMap::new());
        }
        let deletion = Deletion::builder().set_objects(Some(identifiers)).build();
        let deletion = deletion.expect("it has objects");
        let request = self.handle.store.s3().delete_objects().bucket(&self.bucket).delete(deletion);
        let request =
            request.set_bypass_governance_retention(self.bypasses_governance.then_some(true));
        let send =
            || async { request.clone().send().await.map_err(|error| AwsFailure::new(&error)) };
        let output = unthrottled(send).await;
        Ok(answers(output.map_err(|failure| all.s3_failure("DeleteObjects", failure))?))
    }
}

/// Returns what the store said about each object.
fn answers(output: DeleteObjectsOutput) -> HashMap<Named, Result<Deleted, AwsFailure>> {
    let mut answers = HashMap::new();
    for deleted in output.deleted.unwrap_or_default() {
        let is_delete_marker = deleted.delete_marker.unwrap_or_default();
        let marker = deleted.delete_marker_version_id;
        let version_id = marker.or_else(|| deleted.version_id.clone());
        let named = (deleted.key.unwrap_or_default(), deleted.version_id);
        answers.insert(named, Ok(Deleted { version_id, is_delete_marker }));
    }
    for error in output.errors.unwrap_or_default() {
        let (code, message) = (error.code.unwrap_or_default(), error.message.unwrap_or_default());
        let named = (error.key.unwrap_or_default(), error.version_id);
        answers.insert(named, Err(AwsFailure::of_item(&code, &message)));
    }
    answers
}

/// `true` if XML 1.0 can express the key.
fn is_expressible(key: &str) -> bool {
    !key.chars()
        .any(|character| character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_xml_cannot_express() {
        for (key, expected) in
            [("a/b c&<>\"ä.txt", true), ("a\nb", false), ("a\u{1}", false), ("\u{ffff}", false)]
        {
            assert_eq!(is_expressible(key), expected, "{key:?}");
        }
    }
}
