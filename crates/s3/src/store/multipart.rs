//! The life cycle of a multipart upload: begun, completed, and aborted if anything fails.
//!
//! Uploads and server-side copies share it. They differ in the parts that they send.

use std::{future::Future, io, sync::Arc};

use aws_sdk_s3::{
    client::customize::CustomizableOperation,
    operation::{
        complete_multipart_upload::builders::CompleteMultipartUploadFluentBuilder,
        create_multipart_upload::{
            CreateMultipartUploadError, CreateMultipartUploadOutput,
            builders::CreateMultipartUploadFluentBuilder,
        },
        head_object::HeadObjectOutput,
    },
    types::{CompletedMultipartUpload, CompletedPart},
};
use futures_util::FutureExt as _;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};
use tracing::{Instrument as _, field::Empty};

use super::{
    Store, checksum::SentChecksum, known_store::StoreTrait, lost_answer::Stored,
    unclaimed::BeginCall,
};
use crate::error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure};

/// The `CreateMultipartUpload` request that begins an upload.
pub(crate) type CreateRequest = CustomizableOperation<
    CreateMultipartUploadOutput,
    CreateMultipartUploadError,
    CreateMultipartUploadFluentBuilder,
>;

/// A record of an upload outside S3, which outlives the process.
pub(crate) trait Record: Send + Sync + 'static {
    /// `true` if an upload that is given up is kept for later, with its record; otherwise it is
    /// aborted.
    fn keeps_upload(&self) -> bool;

    /// Waits until all work on the record has ended.
    fn settle(&self) -> impl Future<Output = ()> + Send;

    /// Deletes the record of an upload that S3 does not have any more.
    fn forget(&self) -> impl Future<Output = io::Result<()>> + Send;
}

/// The record of uploads that have none.
#[derive(Debug)]
pub(crate) enum NoRecord {}

impl Record for NoRecord {
    fn keeps_upload(&self) -> bool {
        match *self {}
    }

    async fn settle(&self) {
        match *self {}
    }

    async fn forget(&self) -> io::Result<()> {
        match *self {}
    }
}

/// An upload that S3 has begun.
#[derive(Debug)]
pub(crate) struct UploadHandle<R = NoRecord> {
    pub(crate) store: Store,
    pub(crate) target: ObjectRef,
    pub(crate) upload_id: String,
    /// Checksum that the upload began with, which its parts have too.
    pub(crate) checksum: SentChecksum,
    pub(crate) record: Option<Arc<R>>,
}

impl<R> Clone for UploadHandle<R> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            target: self.target.clone(),
            upload_id: self.upload_id.clone(),
            checksum: self.checksum,
            record: self.record.clone(),
        }
    }
}

impl<R: Record> UploadHandle<R> {
    /// Begins an upload by `request`, which gets the checksum to send. `record` makes its record, if
    /// it gets one, from the upload's id and checksum.
    pub(crate) async fn begin<F>(
        store: &Store,
        target: &ObjectRef,
        request: impl Fn(SentChecksum) -> CreateRequest + Send + Sync + 'static,
        record: impl FnOnce(String, SentChecksum) -> F + Send + 'static,
    ) -> Result<Self, Error>
    where
        F: Future<Output = Result<Option<Arc<R>>, Error>> + Send + 'static,
    {
        // In its own task: if this future is dropped before it knows of the upload and its record,
        // the upload is still aborted, or kept together with its record.
        let (sender, created) = oneshot::channel();
        let (task_store, task_target) = (store.clone(), target.clone());
        store.aborts().spawn(async move {
            let created = Self::create(task_store, task_target, request, record).await;
            let unwanted = created.as_ref().ok().cloned();
            let (taken, was_taken) = oneshot::channel::<()>();
            // `taken` is dropped with the message, whether it is refused or never received.
            let _ = sender.send((created, taken));
            if let Some(unwanted) = unwanted
                && was_taken.await.is_err()
            {
                unwanted.abandon().await;
            }
        });
        let created = created.await;
        let (created, taken) =
            created.map_err(|_| target.error(ErrorKind::Io, "the runtime is shutting down"))?;
        let this = created?;
        let _ = taken.send(());
        Ok(this)
    }

    async fn create<F>(
        store: Store,
        target: ObjectRef,
        request: impl Fn(SentChecksum) -> CreateRequest + Send + Sync,
        record: impl FnOnce(String, SentChecksum) -> F,
    ) -> Result<Self, Error>
    where
        F: Future<Output = Result<Option<Arc<R>>, Error>>,
    {
        let send = |checksum| {
            let call = BeginCall::now();
            let request = request(checksum).interceptor(call.clone());
            let request = request.interceptor(call.clock.clone());
            let (store, target) = (&store, &target);
            async move {
                let output = request.send().await;
                let ours = output.as_ref().ok().and_then(|output| output.upload_id());
                store.find_unclaimed(target, &call, ours).await;
                output.map_err(|error| AwsFailure::new(&error))
            }
            .boxed()
        };
        let begun = store.with_checksum(&target.bucket, send).await;
        let (output, checksum) =
            begun.map_err(|failure| target.s3_failure("CreateMultipartUpload", failure))?;
        let Some(upload_id) = output.upload_id.filter(|id| !id.is_empty()) else {
            let message = "CreateMultipartUpload returned no upload id";
            return Err(target.error(ErrorKind::Service, message));
        };
        let mut this = Self { store, target, upload_id, checksum, record: None };
        match record(this.upload_id.clone(), checksum).await {
            Ok(record) => this.record = record,
            Err(error) => {
                this.abandon().await;
                return Err(error);
            }
        }
        Ok(this)
    }

    /// Aborts the upload, unless its record keeps it for later. A failure is logged.
    async fn abandon(&self) {
        if let Some(record) = &self.record {
            record.settle().await;
            if record.keeps_upload() {
                return;
            }
        }
        if let Err(error) = self.abort().await {
            let Self { target, upload_id, .. } = self;
            tracing::warn!(
                bucket = target.bucket,
                key = target.key,
                upload_id,
                %error,
                "an incomplete multipart upload could not be aborted and continues to cost storage"
            );
        }
    }

    /// Aborts the upload, and deletes its record. Returns `false` if S3 did not have it any more.
    pub(crate) async fn abort(&self) -> Result<bool, Error> {
        let Self { store, target, upload_id, record, .. } = self;
        let abort = store.s3().abort_multipart_upload().upload_id(upload_id);
        let aborted = abort.bucket(&target.bucket).key(&target.key).send().await;
        let was_there = match aborted.map_err(|error| AwsFailure::new(&error)) {
            Ok(_) => true,
            // A request whose answer was lost completed or aborted it: it costs nothing.
            Err(failure) if failure.code.as_deref() == Some("NoSuchUpload") => false,
            Err(failure) => return Err(target.s3_failure("AbortMultipartUpload", failure)),
        };
        if let Some(record) = record {
            let forgotten = record.forget().await;
            forgotten
                .map_err(|error| target.io("the upload's record could not be deleted", error))?;
        }
        Ok(was_there)
    }
}

/// A multipart upload and its parts in flight, of which each yields a `T`.
///
/// Dropping it stops the parts and aborts the upload in the background, unless it has a record.
pub(crate) struct MultipartUpload<T: Send + 'static, R: Record = NoRecord> {
    /// `None` once the upload was completed or abandoned.
    handle: Option<UploadHandle<R>>,
    parts: JoinSet<T>,
    runtime: Handle,
}

impl<T: Send + 'static, R: Record> MultipartUpload<T, R> {
    pub(crate) fn new(handle: UploadHandle<R>) -> Self {
        Self { handle: Some(handle), parts: JoinSet::new(), runtime: Handle::current() }
    }

    pub(crate) fn handle(&self) -> &UploadHandle<R> {
        self.handle.as_ref().expect("neither completed nor abandoned")
    }

    /// Number of parts in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.parts.len()
    }

    /// Sends part `number` in the background.
    pub(crate) fn spawn(&mut self, number: usize, send: impl Future<Output = T> + Send + 'static) {
        self.parts.spawn(send.instrument(tracing::debug_span!("part", number, bytes = Empty)));
    }

    /// Waits for one part in flight; `None` if there is none.
    pub(crate) async fn next_part(&mut self) -> Option<Result<T, Error>> {
        let part = self.parts.join_next().await?;
        Some(part.map_err(|error| self.handle().target.io("a part's task failed", error.into())))
    }

    /// Builds the request that completes the upload with `parts`, in any order.
    pub(crate) fn completion(
        &self,
        mut parts: Vec<CompletedPart>,
    ) -> CompleteMultipartUploadFluentBuilder {
        parts.sort_unstable_by_key(|part| part.part_number);
        let UploadHandle { store, target, upload_id, .. } = self.handle();
        tracing::debug!(parts = parts.len(), "completing");
        store
            .s3()
            .complete_multipart_upload()
            .bucket(&target.bucket)
            .key(&target.key)
            .upload_id(upload_id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
    }

    /// Makes the object visible by `request`, and abandons the upload if that fails.
    ///
    /// `is_ours` recognizes the object if the answer is lost.
    pub(crate) async fn complete(
        mut self,
        request: CompleteMultipartUploadFluentBuilder,
        is_ours: impl FnOnce(&HeadObjectOutput) -> bool,
    ) -> Result<Stored, Error> {
        const CALL: &str = "CompleteMultipartUpload";
        let UploadHandle { store, target, .. } = self.handle().clone();
        let send = |is_size_told: bool| {
            let request = match is_size_told {
                true => request.clone(),
                false => request.clone().set_mpu_object_size(None),
            };
            async move { request.send().await.map_err(|error| AwsFailure::new(&error)) }.boxed()
        };
        let sent = store.if_supported(&target.bucket, StoreTrait::RefusesObjectSize, send).await;
        let stored = match sent {
            Ok(output) => {
                let stored = Stored { e_tag: output.e_tag, version_id: output.version_id };
                store.confirmed(&target, CALL, stored, is_ours).await
            }
            Err(failure) => store.stored_after_all(&target, CALL, failure, is_ours).await,
        };
        match stored {
            Ok(stored) => {
                self.handle = None;
                Ok(stored)
            }
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    /// Stops the parts in flight and abandons the upload.
    pub(crate) async fn give_up(mut self) {
        if let Some(abandoned) = self.abandon() {
            // It has no result, and without its runtime nothing can be done.
            let _ = abandoned.await;
        }
    }

    /// Abandons the upload in its own task, in the runtime where the upload began. The task
    /// continues when this future is dropped, possibly outside of any runtime.
    fn abandon(&mut self) -> Option<JoinHandle<()>> {
        let handle = self.handle.take()?;
        let mut parts = std::mem::take(&mut self.parts);
        let store = handle.store.clone();
        let abandon = async move {
            // A part that arrives after the abort would be kept, and paid for.
            parts.shutdown().await;
            handle.abandon().await;
        };
        Some(store.aborts().spawn_on(abandon, &self.runtime))
    }
}

impl<T: Send + 'static, R: Record> Drop for MultipartUpload<T, R> {
    fn drop(&mut self) {
        self.abandon();
    }
}
