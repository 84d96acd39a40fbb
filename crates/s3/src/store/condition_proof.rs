//! Proofs that a store honours the conditions of writes.
//!
//! Some stores ignore conditional headers: a write that should have failed replaces an object, and
//! reports success. So a condition that a caller relies on is first tried where it must fail, on an
//! object made for that. Each kind of call is tried once for each bucket. AWS is taken at its word.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart, MetadataDirective},
};

use futures_util::{FutureExt as _, future::BoxFuture};

use super::{
    Store,
    checksum::SentChecksum,
    conditions::{
        ConditionHeader, Enforcement, Proof, ProvenCondition, WriteCall, WriteConditions,
    },
    copy_source::copy_source,
    known_store::StoreTrait,
};
use crate::{
    error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure, error_chain},
    limits::MAX_KEY_LEN,
};

/// Name of the objects that proofs are made with, before its random end.
const SCRATCH: &str = ".sealwax-probe-";

impl Store {
    /// Fails unless the store honours the conditions of a write to `target`, where the caller relies
    /// on them. Boxed, as the futures of writes nest deeply.
    ///
    /// # Errors
    /// [`ErrorKind::ConditionIgnored`] if it does not, or the failure of the proof.
    pub(crate) fn prove_conditions<'a>(
        &'a self,
        target: &'a ObjectRef,
        call: WriteCall,
        conditions: &'a WriteConditions,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.prove(target, call, conditions).boxed()
    }

    async fn prove(
        &self,
        target: &ObjectRef,
        call: WriteCall,
        conditions: &WriteConditions,
    ) -> Result<(), Error> {
        let headers = [
            (ConditionHeader::IfMatch, conditions.if_match.is_some()),
            (ConditionHeader::IfNoneMatch, conditions.if_none_match.is_some()),
        ];
        let must_be_honoured = conditions.enforcement == Enforcement::ByPolicy
            && self.0.settings.conditions == ConditionPolicy::Prove;
        for (header, is_set) in headers {
            if !is_set {
                continue;
            }
            if !must_be_honoured || self.is_aws(&target.bucket).await {
                return Ok(());
            }
            let condition = ProvenCondition(call, header);
            if self.proof(target, condition).await? == Proof::Ignores {
                let risk = match call {
                    WriteCall::Delete => "another object could be deleted: nothing was deleted",
                    _ => "another object could be replaced: nothing was stored",
                };
                let message =
                    format!("the store ignores {} of {}, so {risk}", header.name(), call.name());
                return Err(target.error(ErrorKind::ConditionIgnored, message));
            }
        }
        Ok(())
    }

    /// Looks at `target` once more, right before `call`, if the store ignores the conditions, and they
    /// or the client's policy ask for that. Only a write in the moment between this look and the call
    /// is not noticed.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if the object is not the one of the condition.
    pub(crate) fn look_before<'a>(
        &'a self,
        target: &'a ObjectRef,
        call: WriteCall,
        conditions: &'a WriteConditions,
    ) -> BoxFuture<'a, Result<(), Error>> {
        self.look(target, call, conditions).boxed()
    }

    async fn look(
        &self,
        target: &ObjectRef,
        call: WriteCall,
        conditions: &WriteConditions,
    ) -> Result<(), Error> {
        let policy = self.0.settings.conditions;
        let may_look = match conditions.enforcement {
            Enforcement::ByPolicy => policy == ConditionPolicy::Look,
            Enforcement::Looked => policy != ConditionPolicy::Trust,
            Enforcement::Guarded => false,
        };
        let headers = [
            (ConditionHeader::IfMatch, conditions.if_match.as_ref()),
            (ConditionHeader::IfNoneMatch, conditions.if_none_match.as_ref()),
        ];
        for (header, required) in headers {
            let Some(required) = required else { continue };
            if !may_look || self.is_aws(&target.bucket).await {
                return Ok(());
            }
            let proof = self.proof(target, ProvenCondition(call, header)).await;
            if matches!(proof, Ok(Proof::Refuses)) {
                continue;
            }
            if proof.is_ok() {
                self.known().learn(StoreTrait::IgnoresConditions);
            }
            let head = self.s3().head_object().bucket(&target.bucket).key(&target.key).send().await;
            let found = match head {
                Ok(head) => Some(head),
                Err(error) => {
                    let failure = AwsFailure::new(&error);
                    if failure.status != Some(404) {
                        return Err(self.head_failure(target, failure).await);
                    }
                    None
                }
            };
            let holds = match (header, found) {
                (ConditionHeader::IfMatch, Some(head)) => head.e_tag() == Some(required),
                (ConditionHeader::IfNoneMatch, None) => true,
                (ConditionHeader::IfMatch, None) | (ConditionHeader::IfNoneMatch, Some(_)) => false,
            };
            if !holds {
                let message = "it was replaced or deleted meanwhile, by someone else";
                return Err(conditions.explain(target.error(ErrorKind::Conflict, message)));
            }
        }
        Ok(())
    }

    /// Returns what the store does with a condition in the bucket, which is tried once.
    async fn proof(&self, target: &ObjectRef, condition: ProvenCondition) -> Result<Proof, Error> {
        let place = self.known().proof(&target.bucket, condition);
        place.get_or_try_init(|| self.try_condition(target, condition)).await.copied()
    }

    async fn try_condition(
        &self,
        target: &ObjectRef,
        condition: ProvenCondition,
    ) -> Result<Proof, Error> {
        let scratch = Scratch::beside(self, target);
        let proof = scratch.prove(condition).await;
        scratch.delete().await;
        proof.map_err(|failure| {
            let what = format!(
                "it could not be tried on s3://{}/{} whether the store honours {} of {}",
                target.bucket,
                scratch.at.key,
                condition.1.name(),
                condition.0.name(),
            );
            target.s3_failure(condition.0.name(), failure).with_prefix(&what)
        })
    }
}

/// Treatment of conditions at stores other than AWS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConditionPolicy {
    /// A conditional call is made only if the store is proven to honour its condition: tried once
    /// for each bucket, on a small object beside the target, whose name begins with
    /// `.sealwax-probe-` and which is deleted at once.
    #[default]
    Prove,
    /// The same is tried. If the store ignores the condition, the client looks at the target right
    /// before the call: only a write in the moment between is not noticed.
    Look,
    /// The store is trusted to honour conditions. Nothing is tried.
    Trust,
}

/// The object that a proof is made with.
struct Scratch<'a> {
    store: &'a Store,
    at: ObjectRef,
    is_stored: AtomicBool,
    is_versioned: AtomicBool,
}

impl<'a> Scratch<'a> {
    /// Names one in the folder of `target`, where its writer is most likely to have access.
    fn beside(store: &'a Store, target: &ObjectRef) -> Self {
        let folder = target.key.rfind('/').map_or("", |slash| &target.key[..=slash]);
        let name = format!("{SCRATCH}{:016x}", random());
        let folder = if folder.len() + name.len() > MAX_KEY_LEN { "" } else { folder };
        let at = target.with_key(format!("{folder}{name}"));
        Self { store, at, is_stored: AtomicBool::new(false), is_versioned: AtomicBool::new(false) }
    }

    /// Remembers that something was stored.
    fn stored(&self, version_id: Option<&str>) {
        self.is_stored.store(true, Ordering::Relaxed);
        self.is_versioned.fetch_or(version_id.is_some_and(|id| id != "null"), Ordering::Relaxed);
    }

    async fn prove(
        &self,
        ProvenCondition(call, header): ProvenCondition,
    ) -> Result<Proof, AwsFailure> {
        // No object has the entity tag, so nothing is stored by a store that honours it.
        if (call, header) != (WriteCall::Put, ConditionHeader::IfMatch) {
            self.put(None, None).await?;
        }
        let (if_match, if_none_match) = header.failing();
        let mut tried = self.send(call, if_match.clone(), if_none_match.clone()).await;
        if tried.is_ok() && (call, header) == (WriteCall::Put, ConditionHeader::IfMatch) {
            // Where there is an object, it may be honoured all the same.
            tried = self.send(call, if_match, if_none_match).await;
        }
        match tried {
            Ok(()) => Ok(Proof::Ignores),
            Err(failure) if matches!(failure.status, Some(400 | 404 | 409 | 412 | 501)) => {
                Ok(Proof::Refuses)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn send(
        &self,
        call: WriteCall,
        if_match: Option<String>,
        if_none_match: Option<String>,
    ) -> Result<(), AwsFailure> {
        let Self { store, at, .. } = self;
        match call {
            WriteCall::Put => self.put(if_match, if_none_match).await,
            WriteCall::Complete => self.upload(if_match, if_none_match).await,
            WriteCall::Copy => {
                let copy = store.s3().copy_object().bucket(&at.bucket).key(&at.key);
                let copy = copy.copy_source(copy_source(at, None));
                let copy = copy.metadata_directive(MetadataDirective::Replace);
                let copy = copy.set_if_match(if_match).set_if_none_match(if_none_match);
                let copied = copy.send().await.map_err(|error| AwsFailure::new(&error))?;
                self.stored(copied.version_id());
                Ok(())
            }
            WriteCall::Delete => {
                let delete = store.s3().delete_object().bucket(&at.bucket).key(&at.key);
                let delete = delete.set_if_match(if_match);
                delete.send().await.map(drop).map_err(|error| AwsFailure::new(&error))
            }
        }
    }

    async fn put(
        &self,
        if_match: Option<String>,
        if_none_match: Option<String>,
    ) -> Result<(), AwsFailure> {
        let Self { store, at, .. } = self;
        let request = || {
            let put = store.s3().put_object().key(&at.key).body(ByteStream::from_static(TEXT));
            put.set_if_match(if_match.clone()).set_if_none_match(if_none_match.clone())
        };
        let put = store.put_object(&at.bucket, request, None).await?;
        self.stored(put.version_id());
        Ok(())
    }

    /// Makes a multipart upload of one part and completes it on the conditions.
    async fn upload(
        &self,
        if_match: Option<String>,
        if_none_match: Option<String>,
    ) -> Result<(), AwsFailure> {
        let Self { store, at, .. } = self;
        let begin = store.s3().create_multipart_upload().bucket(&at.bucket).key(&at.key);
        let begun = begin.send().await.map_err(|error| AwsFailure::new(&error))?;
        let id = begun.upload_id.unwrap_or_default();
        let completed = async {
            let part = store.s3().upload_part().bucket(&at.bucket).key(&at.key).upload_id(&id);
            let part = part.part_number(1).body(ByteStream::from_static(TEXT)).customize();
            let part = part.config_override(SentChecksum::Nothing.config());
            let part = part.send().await.map_err(|error| AwsFailure::new(&error))?;
            let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
            let parts = CompletedMultipartUpload::builder().parts(part).build();
            let complete = store.s3().complete_multipart_upload();
            let complete = complete.bucket(&at.bucket).key(&at.key).upload_id(&id);
            let complete = complete.multipart_upload(parts);
            let complete = complete.set_if_match(if_match).set_if_none_match(if_none_match);
            let completed = complete.send().await.map_err(|error| AwsFailure::new(&error))?;
            self.stored(completed.version_id());
            Ok(())
        };
        let completed = completed.await;
        if completed.is_err() {
            let abort = store.s3().abort_multipart_upload().bucket(&at.bucket).key(&at.key);
            let _ = abort.upload_id(&id).send().await;
        }
        completed
    }

    /// Deletes all versions of the object. A failure is logged.
    async fn delete(&self) {
        if let Err(error) = self.delete_versions().await {
            let (at, failure) = (&self.at, error_chain(&error));
            tracing::warn!(bucket = at.bucket, key = at.key, %failure, "a test object is left");
        }
    }

    async fn delete_versions(&self) -> Result<(), Error> {
        let Self { store, at, .. } = self;
        let delete = || store.s3().delete_object().bucket(&at.bucket).key(&at.key);
        if !self.is_stored.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !self.is_versioned.load(Ordering::Relaxed) {
            let deleted = delete().send().await;
            return deleted.map(drop).map_err(|error| at.s3_error("DeleteObject", &error));
        }
        let listed = store.s3().list_object_versions().bucket(&at.bucket).prefix(&at.key);
        let listed = listed.send().await;
        let listed = listed.map_err(|error| at.s3_error("ListObjectVersions", &error))?;
        let versions = listed.versions.unwrap_or_default().into_iter().map(|it| it.version_id);
        let markers = listed.delete_markers.unwrap_or_default().into_iter();
        let ids: Vec<_> = versions.chain(markers.map(|it| it.version_id)).flatten().collect();
        for id in ids {
            let deleted = delete().version_id(id).send().await;
            deleted.map_err(|error| at.s3_error("DeleteObject", &error))?;
        }
        Ok(())
    }
}

/// Content of the objects that proofs are made with.
const TEXT: &[u8] = b"test object of sealwax; safe to delete";

/// Returns a number that no other process draws at the same time.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::time::SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::answers::{Answer, answering, answering_elsewhere};

    fn target(store: &Store) -> ObjectRef {
        let (bucket, key) = (Some("bucket".into()), Some("folder/key".into()));
        ObjectRef::new("put", store.s3(), bucket, key).expect("an object")
    }

    fn conditions(header: ConditionHeader, enforcement: Enforcement) -> WriteConditions {
        let (if_match, if_none_match) = match header {
            ConditionHeader::IfMatch => (Some("\"e\"".into()), None),
            ConditionHeader::IfNoneMatch => (None, Some("*".into())),
        };
        WriteConditions { if_match, if_none_match, enforcement }
    }

    /// Returns the methods of the requests, each with the condition that it has.
    fn shapes(requests: &[String]) -> Vec<String> {
        let shape = |request: &String| {
            let method = request.split(' ').next().unwrap_or_default();
            let query = request.split(['?', ' ']).nth(2).filter(|_| request.contains('?'));
            let query = query.and_then(|query| query.split(['=', '&']).next()).unwrap_or_default();
            let condition = ["if-match", "if-none-match"].into_iter();
            let condition = condition.filter(|name| request.contains(&format!(" {name}:")));
            [method, query].into_iter().chain(condition).collect::<Vec<_>>().join(" ")
        };
        requests.iter().map(shape).map(|shape| shape.replace("  ", " ").trim().to_owned()).collect()
    }

    /// Answers as a store that honours conditions, ignores them, or knows none (501).
    fn store(status_of_condition: u16) -> (Store, crate::store::answers::Requests) {
        answering_elsewhere(move |request| {
            let is_conditional =
                request.contains(" if-match:") || request.contains(" if-none-match:");
            match is_conditional {
                true if status_of_condition != 200 => Answer::new(status_of_condition, ""),
                _ if request.contains("?uploads") => Answer::new(
                    200,
                    "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>",
                ),
                _ if request.starts_with("POST") => Answer::new(
                    200,
                    "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>",
                ),
                _ => Answer::new(200, "<CopyObjectResult><ETag>e</ETag></CopyObjectResult>")
                    .with("etag", "\"e\""),
            }
        })
    }

    #[tokio::test]
    async fn a_condition_is_tried_once_where_it_must_fail() {
        let (call, none, matching) =
            (WriteCall::Put, ConditionHeader::IfNoneMatch, ConditionHeader::IfMatch);
        let upload = ["PUT", "POST uploads", "PUT partNumber"];
        for (call, header, status, expected, requests) in [
            (call, none, 412, Ok(()), vec!["PUT", "PUT if-none-match", "DELETE"]),
            (call, none, 409, Ok(()), vec!["PUT", "PUT if-none-match", "DELETE"]),
            // The checksum could have been the reason.
            (
                call,
                none,
                501,
                Ok(()),
                vec!["PUT", "PUT if-none-match", "PUT if-none-match", "DELETE"],
            ),
            (
                call,
                none,
                200,
                Err(ErrorKind::ConditionIgnored),
                vec!["PUT", "PUT if-none-match", "DELETE"],
            ),
            (
                call,
                none,
                403,
                Err(ErrorKind::AccessDenied),
                vec!["PUT", "PUT if-none-match", "DELETE"],
            ),
            // Nothing is stored by a store that honours it.
            (call, matching, 404, Ok(()), vec!["PUT if-match"]),
            (call, matching, 412, Ok(()), vec!["PUT if-match"]),
            (
                call,
                matching,
                200,
                Err(ErrorKind::ConditionIgnored),
                vec!["PUT if-match", "PUT if-match", "DELETE"],
            ),
            (WriteCall::Copy, none, 412, Ok(()), vec!["PUT", "PUT if-none-match", "DELETE"]),
            (
                WriteCall::Copy,
                matching,
                200,
                Err(ErrorKind::ConditionIgnored),
                vec!["PUT", "PUT if-match", "DELETE"],
            ),
            (
                WriteCall::Delete,
                matching,
                200,
                Err(ErrorKind::ConditionIgnored),
                vec!["PUT", "DELETE if-match", "DELETE"],
            ),
            (
                WriteCall::Complete,
                none,
                412,
                Ok(()),
                [&upload[..], &["POST uploadId if-none-match", "DELETE uploadId", "DELETE"]]
                    .concat(),
            ),
            (
                WriteCall::Complete,
                none,
                200,
                Err(ErrorKind::ConditionIgnored),
                [&upload[..], &["POST uploadId if-none-match", "DELETE"]].concat(),
            ),
        ] {
            let (store, got) = store(status);
            let (target, what) = (target(&store), format!("{call:?} {header:?} {status}"));
            let conditions = conditions(header, Enforcement::ByPolicy);
            let proven = store.prove_conditions(&target, call, &conditions).await;
            assert_eq!(proven.map_err(|error| error.kind()), expected, "{what}");
            let got_requests = got.take();
            assert_eq!(shapes(&got_requests), requests, "{what}");
            assert!(
                got_requests.iter().all(|it| it.contains(" /folder/.sealwax-probe-")),
                "{got_requests:?}"
            );
            if expected != Err(ErrorKind::AccessDenied) {
                let again = store.prove_conditions(&target, call, &conditions).await;
                assert_eq!(again.map_err(|error| error.kind()), expected, "{what}");
                assert_eq!(got.take(), [""; 0], "{what}: it is known");
            }
        }
    }

    #[tokio::test]
    async fn the_refusal_says_what_is_ignored() {
        let (store, _) = store(200);
        let conditions = conditions(ConditionHeader::IfNoneMatch, Enforcement::ByPolicy);
        let error = store.prove_conditions(&target(&store), WriteCall::Put, &conditions).await;
        assert_eq!(
            error.expect_err("ignored").message(),
            "the store ignores If-None-Match of PutObject, so another object could be replaced: \
             nothing was stored"
        );
    }

    #[tokio::test]
    async fn nothing_is_tried_on_aws_or_without_a_condition() {
        let (aws, requests) = answering(|_| Answer::new(500, ""));
        let of_caller = conditions(ConditionHeader::IfNoneMatch, Enforcement::ByPolicy);
        aws.prove_conditions(&target(&aws), WriteCall::Put, &of_caller).await.expect("AWS");
        let looked = conditions(ConditionHeader::IfMatch, Enforcement::Looked);
        aws.look_before(&target(&aws), WriteCall::Put, &looked).await.expect("AWS");
        assert_eq!(requests.take(), [""; 0]);
        let (other, requests) = store(200);
        let none = WriteConditions::default();
        other.prove_conditions(&target(&other), WriteCall::Put, &none).await.expect("no condition");
        other.prove_conditions(&target(&other), WriteCall::Put, &looked).await.expect("not ours");
        other.look_before(&target(&other), WriteCall::Put, &of_caller).await.expect("not ours");
        assert_eq!(requests.take(), [""; 0]);
    }

    /// A store that ignores the condition is asked right before the write.
    #[tokio::test]
    async fn an_object_is_checked_where_its_condition_is_ignored() {
        let tried = ["PUT if-match", "PUT if-match", "DELETE", "HEAD"];
        for (status, head, e_tag, expected, requests) in [
            (412, 200, "\"other\"", Ok(()), &["PUT if-match"][..]),
            (200, 200, "\"e\"", Ok(()), &tried),
            (200, 200, "\"other\"", Err(ErrorKind::Conflict), &tried),
            (200, 404, "", Err(ErrorKind::Conflict), &tried),
            (200, 500, "", Err(ErrorKind::Unavailable), &tried),
            // It could not be tried.
            (403, 200, "\"other\"", Err(ErrorKind::Conflict), &["PUT if-match", "HEAD"]),
        ] {
            let (store, got) =
                answering_elsewhere(move |request| match request.starts_with("HEAD") {
                    true => Answer::new(head, "").with("etag", e_tag),
                    false => Answer::new(status, "").with("etag", "\"e\""),
                });
            let conditions = conditions(ConditionHeader::IfMatch, Enforcement::Looked);
            let looked = store.look_before(&target(&store), WriteCall::Put, &conditions).await;
            assert_eq!(looked.map_err(|error| error.kind()), expected, "{status} {head} {e_tag}");
            assert_eq!(shapes(&got.take()), requests, "{status} {head} {e_tag}");
            let guarded = WriteConditions { enforcement: Enforcement::Guarded, ..conditions };
            store.look_before(&target(&store), WriteCall::Put, &guarded).await.expect("guarded");
            assert_eq!(got.take(), [""; 0]);
        }
    }

    /// Objects of proofs are deleted with all of their versions.
    #[tokio::test]
    async fn no_version_of_a_test_object_is_left() {
        let (store, got) = answering_elsewhere(|request| match request.split(' ').next() {
            Some("GET") => Answer::new(
                200,
                "<ListVersionsResult><Version><VersionId>v1</VersionId></Version>\
                 <Version><VersionId>v2</VersionId></Version></ListVersionsResult>",
            ),
            _ if request.contains(" if-none-match:") => Answer::new(412, ""),
            _ => Answer::new(200, "").with("etag", "\"e\"").with("x-amz-version-id", "v1"),
        });
        let conditions = conditions(ConditionHeader::IfNoneMatch, Enforcement::ByPolicy);
        let proven = store.prove_conditions(&target(&store), WriteCall::Put, &conditions).await;
        proven.expect("honoured");
        assert_eq!(
            shapes(&got.take()),
            ["PUT", "PUT if-none-match", "GET versions", "DELETE versionId", "DELETE versionId"]
        );
    }
}
