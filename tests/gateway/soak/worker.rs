//! Clients: their requests, which they repeat as SDKs do, and the objects that they know.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use sealwax_s3::aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use sealwax_tests::Random;
use tokio::time::sleep;

use crate::{
    content::{Pool, Version},
    counts::Counts,
};

/// State of a run, which all clients share.
#[derive(Debug)]
pub(crate) struct Soak {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) counts: Counts,
    pub(crate) pool: Pool,
    pub(crate) seed: u64,
}

/// An object that one client alone changes.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) key: String,
    /// States that it may have now: one, and others after a request whose outcome is unknown.
    pub(crate) may_be: Vec<Option<Version>>,
}

/// Failure of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    Answer {
        status: u16,
        code: String,
    },
    /// The connection or the body broke off.
    BrokeOff(String),
}

impl<E: ProvideErrorMetadata + std::fmt::Debug> From<SdkError<E, HttpResponse>> for Failure {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let Some(answer) = error.raw_response() else {
            return Self::BrokeOff(format!("{error:?}").chars().take(300).collect());
        };
        let status = answer.status().as_u16();
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
        Self::Answer { status, code: code.unwrap_or_default().to_owned() }
    }
}

impl Failure {
    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self, Self::Answer { code, .. } if code == name)
    }
}

/// One client.
pub(crate) struct Worker<'a> {
    pub(crate) soak: &'a Soak,
    pub(crate) random: Random,
    /// `true` if the gateway may be gone, and requests are repeated until it is back.
    pub(crate) is_killed: bool,
    pub(crate) patience: Duration,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(soak: &'a Soak, number: u64) -> Self {
        let random = Random::of([soak.seed, number]);
        Self { soak, random, is_killed: false, patience: Duration::from_secs(300) }
    }

    /// Returns a new version of `len` bytes, which no other object has.
    pub(crate) fn version(&mut self, len: usize) -> Version {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Version { seed: Random::of([self.soak.seed, number]).word(), len }
    }

    /// Sends a request until it succeeds or fails for good.
    pub(crate) async fn retried<T, F>(
        &mut self,
        operation: &str,
        send: impl Fn() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let (begun, mut attempt) = (Instant::now(), 0_u32);
        loop {
            let sent = Instant::now();
            let result = send().await;
            self.soak.counts.answered(operation, sent.elapsed());
            let failure = match result {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let may_pass = match &failure {
                Failure::Answer { status, code } => {
                    self.soak.counts.add(format!("answers: {status} {code}"), 1);
                    *status == 503
                }
                Failure::BrokeOff(_) => {
                    self.soak.counts.add("answers: the connection broke off", 1);
                    self.is_killed
                }
            };
            if !may_pass || begun.elapsed() > self.patience {
                return Err(failure);
            }
            // As SDKs do: up to 20 seconds, at random.
            let most = 50_u64.saturating_mul(1 << attempt.min(9)).min(20_000);
            let most = if self.is_killed { most.min(500) } else { most };
            let wait = self.random.word() % most;
            attempt += 1;
            sleep(Duration::from_millis(wait)).await;
        }
    }

    /// Notes a failure that must not be.
    pub(crate) fn failed(&self, operation: &str, key: &str, failure: &Failure) {
        self.soak.counts.violation(format!("{operation} {key}: {failure:?}"));
    }

    pub(crate) async fn put(&mut self, object: &mut Object, version: Version) {
        let soak = self.soak;
        object.may_be.push(Some(version));
        let content = Bytes::from(soak.pool.content(version));
        let (key, content) = (&object.key, &content);
        let put = || async move {
            let put = soak.client.put_object().bucket(&soak.bucket).key(key);
            put.body(ByteStream::from(content.clone())).send().await?;
            Ok(())
        };
        match self.retried("PutObject", put).await {
            Ok(()) => {
                object.may_be = vec![Some(version)];
                soak.counts.add("bytes stored", version.len as u64);
            }
            Err(failure) => self.failed("PutObject", &object.key, &failure),
        }
    }

    /// Reads an object, or a range of it, and checks every byte.
    pub(crate) async fn get(&mut self, object: &mut Object, range: Option<(usize, usize)>) {
        let soak = self.soak;
        let key = &object.key.clone();
        let get = || async move {
            let get = soak.client.get_object().bucket(&soak.bucket).key(key);
            let range = range.map(|(first, last)| format!("bytes={first}-{last}"));
            let output = get.set_range(range).send().await?;
            let body = output.body.collect().await;
            body.map(|body| body.to_vec()).map_err(|error| Failure::BrokeOff(error.to_string()))
        };
        let operation = if range.is_some() { "GetObject of a range" } else { "GetObject" };
        let matching = match self.retried(operation, get).await {
            Ok(bytes) => {
                soak.counts.add("bytes read and compared", bytes.len() as u64);
                let is = |version: Version| match range {
                    None => soak.pool.is(version, &bytes),
                    Some((first, last)) => {
                        bytes.len() == last.min(version.len - 1) + 1 - first
                            && soak.pool.is_at(version, first, &bytes)
                    }
                };
                let len = bytes.len();
                let states = object.may_be.iter().copied();
                let found: Vec<_> = states.filter(|state| state.is_some_and(is)).collect();
                if found.is_empty() {
                    let known = &object.may_be;
                    soak.counts.violation(format!("{key}: {len} wrong bytes, not {known:?}"));
                }
                found
            }
            Err(failure) if failure.is("NoSuchKey") && object.may_be.contains(&None) => vec![None],
            Err(failure) => {
                self.failed(operation, key, &failure);
                return;
            }
        };
        if !matching.is_empty() && !self.is_killed {
            object.may_be = matching;
        }
    }

    pub(crate) async fn delete(&mut self, object: &mut Object) {
        let soak = self.soak;
        object.may_be.push(None);
        let key = &object.key;
        let delete = || async move {
            let delete = soak.client.delete_object().bucket(&soak.bucket).key(key);
            delete.send().await?;
            Ok(())
        };
        match self.retried("DeleteObject", delete).await {
            Ok(()) => object.may_be = vec![None],
            Err(failure) => self.failed("DeleteObject", &object.key, &failure),
        }
    }

    /// Copies an object that is there to another one.
    pub(crate) async fn copy(&mut self, from: &Object, to: &mut Object) {
        let soak = self.soak;
        to.may_be.extend(from.may_be.iter().copied());
        let (source, key) = (&format!("{}/{}", soak.bucket, from.key), &to.key);
        let copy = || async move {
            let copy = soak.client.copy_object().bucket(&soak.bucket).key(key);
            copy.copy_source(source).send().await?;
            Ok(())
        };
        match self.retried("CopyObject", copy).await {
            Ok(()) => to.may_be.clone_from(&from.may_be),
            Err(failure) => self.failed("CopyObject", &to.key, &failure),
        }
    }

    /// Lists the objects of this client, and checks names and lengths.
    pub(crate) async fn list(&mut self, prefix: &str, objects: &[Object]) {
        let soak = self.soak;
        let list = || async move {
            let list = soak.client.list_objects_v2().bucket(&soak.bucket).prefix(prefix);
            let listed = list.send().await?;
            let entry = |key: Option<&str>, len: Option<i64>| {
                Some((key?.to_owned(), usize::try_from(len?).ok()?))
            };
            let listed = listed.contents().iter();
            Ok(listed.filter_map(|it| entry(it.key(), it.size())).collect::<Vec<_>>())
        };
        match self.retried("ListObjectsV2", list).await {
            Ok(listed) => {
                let known = objects.iter().filter_map(|object| match &object.may_be[..] {
                    [Some(version)] => Some((object.key.clone(), version.len)),
                    _ => None,
                });
                let mut known: Vec<_> = known.collect();
                known.sort_unstable();
                let are_known = objects.iter().all(|object| object.may_be.len() == 1);
                if are_known && listed != known {
                    soak.counts.violation(format!("listed {listed:?}, not {known:?}"));
                }
            }
            Err(failure) => self.failed("ListObjectsV2", prefix, &failure),
        }
    }

    pub(crate) async fn begin(&mut self, key: &str) -> Result<String, Failure> {
        let soak = self.soak;
        let create = || async move {
            let create = soak.client.create_multipart_upload().bucket(&soak.bucket).key(key);
            Ok(create.send().await?.upload_id.expect("an id"))
        };
        self.retried("CreateMultipartUpload", create).await
    }

    pub(crate) async fn part(
        &mut self,
        key: &str,
        id: &str,
        number: i32,
        content: &[u8],
    ) -> Result<CompletedPart, Failure> {
        let soak = self.soak;
        let content = &Bytes::copy_from_slice(content);
        let part = || async move {
            let part = soak.client.upload_part().bucket(&soak.bucket).key(key).upload_id(id);
            let body = ByteStream::from(content.clone());
            Ok(part.part_number(number).body(body).send().await?.e_tag)
        };
        let e_tag = self.retried("UploadPart", part).await?;
        soak.counts.add("bytes stored", content.len() as u64);
        Ok(CompletedPart::builder().part_number(number).set_e_tag(e_tag).build())
    }

    pub(crate) async fn complete(
        &mut self,
        key: &str,
        id: &str,
        parts: &[CompletedPart],
    ) -> Result<(), Failure> {
        let soak = self.soak;
        let complete = || async move {
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.to_vec()));
            let complete = soak.client.complete_multipart_upload().bucket(&soak.bucket).key(key);
            let complete = complete.upload_id(id).multipart_upload(parts.build());
            complete.send().await?;
            Ok(())
        };
        self.retried("CompleteMultipartUpload", complete).await
    }

    /// Stores an object in parts of `part_len`, in any order, with `pause` before the last one.
    pub(crate) async fn upload(
        &mut self,
        object: &mut Object,
        version: Version,
        part_len: usize,
        pause: Duration,
    ) -> Result<(), Failure> {
        let soak = self.soak;
        let mut pieces: Vec<_> = (0..version.len).step_by(part_len).zip(1..).collect();
        // A few out of order.
        for at in 1..pieces.len() {
            if self.random.one_in(3) {
                pieces.swap(at - 1, at);
            }
        }
        object.may_be.push(Some(version));
        let id = self.begin(&object.key).await?;
        let (mut parts, last) = (Vec::new(), pieces.len() - 1);
        for (at, (begin, number)) in pieces.into_iter().enumerate() {
            if at == last {
                sleep(pause).await;
            }
            let content = soak.pool.part(version, begin, part_len);
            parts.push(self.part(&object.key, &id, number, &content).await?);
        }
        parts.sort_unstable_by_key(CompletedPart::part_number);
        self.complete(&object.key, &id, &parts).await?;
        object.may_be = vec![Some(version)];
        Ok(())
    }
}
