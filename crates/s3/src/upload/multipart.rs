//! One multipart upload: completed, or aborted, or left for later where a state file was asked for.

use std::{collections::BTreeMap, io, path::PathBuf, pin::pin, sync::Arc};

use aws_sdk_s3::{
    client::customize::CustomizableOperation,
    operation::create_multipart_upload::{
        CreateMultipartUploadError, CreateMultipartUploadOutput,
        builders::CreateMultipartUploadFluentBuilder,
    },
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{JoinError, JoinHandle, JoinSet},
};
use tracing::Instrument as _;

use super::{
    PartPlan, PartRoom, Stored, UnsentPart, Upload, Uploaded,
    buffers::PartBuffers,
    journal::{Begin, Decision, FileIdentity, Journal, state_file_failed},
};
use crate::{
    SealedClient,
    aws_failure::AwsFailure,
    error::{Error, ErrorKind, Target},
    object::join_metadata,
    source::SourceFile,
};

/// The `CreateMultipartUpload` that begins an upload.
pub(crate) type CreateRequest = CustomizableOperation<
    CreateMultipartUploadOutput,
    CreateMultipartUploadError,
    CreateMultipartUploadFluentBuilder,
>;

/// A multipart upload and its parts in flight. Dropping it aborts it in the background: [`crate::SealedClient::settle`].
/// One with a journal is not aborted: it can be resumed.
pub(super) struct MultipartUpload<'a> {
    upload: &'a Upload,
    on_s3: Option<OnS3>,
    buffers: Arc<PartBuffers>,
    runtime: Handle,
    parts: JoinSet<SentPart>,
    done: Vec<CompletedPart>,
    plaintext_len: u64,
}

/// An upload as S3 knows it.
#[derive(Clone)]
pub(crate) struct OnS3 {
    pub(crate) client: SealedClient,
    pub(crate) target: Target,
    pub(crate) upload_id: String,
    journal: Option<Arc<Journal>>,
}

/// A state file that is begun once the upload has its id.
pub(crate) struct StateToBegin {
    path: PathBuf,
    file: Arc<SourceFile>,
    part_chunks: usize,
    metadata: BTreeMap<String, String>,
}

impl StateToBegin {
    async fn begin(self, target: &Target, upload_id: &str) -> io::Result<Arc<Journal>> {
        let (place, file) =
            ((target.bucket.as_str(), target.key.as_str()), FileIdentity::of(&self.file));
        Journal::create(
            &self.path,
            Begin::new(place, upload_id, file, self.part_chunks, self.metadata),
        )
        .await
    }
}

struct Part {
    completed: CompletedPart,
    plaintext_len: u64,
}

/// What became of a part. Its room is given back when that is known: a failure is seen before another part is read.
struct SentPart {
    outcome: Result<Part, Error>,
    room: PartRoom,
}

impl<'a> MultipartUpload<'a> {
    pub(super) async fn create(
        upload: &'a Upload,
        file: Option<Arc<SourceFile>>,
        plan: PartPlan,
        buffers: Arc<PartBuffers>,
    ) -> Result<Self, Error> {
        let Upload { client, target, .. } = upload;
        let request = client
            .s3()
            .create_multipart_upload()
            .bucket(&target.bucket)
            .key(&target.key)
            .set_metadata(Some(join_metadata(&upload.format, &upload.own_metadata)))
            .set_checksum_algorithm(client.checksum().algorithm())
            .set_checksum_type(client.checksum().of_whole());
        let request = upload.attributes.clone().on_create(request);

        let state = upload.state_file.clone().zip(file).map(|(path, file)| {
            let metadata = upload
                .format
                .to_metadata()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value));
            StateToBegin { path, file, part_chunks: plan.chunks(1), metadata: metadata.collect() }
        });

        let on_s3 = OnS3::begin(client.clone(), target.clone(), request.customize(), state).await?;
        Ok(Self::new(upload, on_s3, buffers))
    }

    /// The upload that `journal` describes.
    pub(super) fn resume(upload: &'a Upload, journal: Arc<Journal>) -> Self {
        let (client, target) = (upload.client.clone(), upload.target.clone());
        let upload_id = journal.begin.upload_id.clone();
        let on_s3 = OnS3 { client, target, upload_id, journal: Some(journal) };
        Self::new(upload, on_s3, upload.client.buffers())
    }

    fn new(upload: &'a Upload, on_s3: OnS3, buffers: Arc<PartBuffers>) -> Self {
        let runtime = Handle::current();
        let on_s3 = Some(on_s3);
        Self {
            upload,
            on_s3,
            buffers,
            runtime,
            parts: JoinSet::new(),
            done: Vec::new(),
            plaintext_len: 0,
        }
    }

    /// The buffers that its parts are read into.
    pub(super) fn buffers(&self) -> &Arc<PartBuffers> {
        &self.buffers
    }

    /// Waits until a part of `chunks` chunks may be in memory; fails if a part in flight has failed.
    pub(super) async fn wait_for_room(&mut self, chunks: usize) -> Result<PartRoom, Error> {
        let upload = self.upload;
        self.meanwhile(upload.room(chunks)).await
    }

    /// Waits for `work`; fails if a part in flight has failed.
    pub(super) async fn meanwhile<T>(
        &mut self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(part) = self.parts.join_next() => self.reap(part)?,
                done = &mut work => return done,
            }
        }
    }

    /// Seals and sends a part in the background.
    pub(super) fn spawn(&mut self, number: usize, part: UnsentPart, room: PartRoom) {
        let on_s3 = self.on_s3.clone().expect("neither completed nor aborted yet");
        let buffers = Arc::clone(&self.buffers);
        let send = async move {
            let outcome = on_s3.send_part(number, part, buffers).await;
            SentPart { outcome, room }
        };
        self.parts.spawn(send.instrument(tracing::debug_span!("part", number)));
    }

    /// Waits for all parts.
    pub(super) async fn wait_for_parts(&mut self) -> Result<(), Error> {
        while let Some(part) = self.parts.join_next().await {
            self.reap(part)?;
        }
        Ok(())
    }

    fn reap(&mut self, part: Result<SentPart, JoinError>) -> Result<(), Error> {
        let SentPart { outcome, room } =
            part.map_err(|error| self.upload.target.io("a part's task failed", error.into()))?;
        drop(room);
        let part = outcome?;
        self.plaintext_len += part.plaintext_len;
        self.upload.progress(part.plaintext_len);
        self.done.push(part.completed);
        Ok(())
    }

    /// Makes the object visible.
    pub(super) async fn complete(mut self) -> Result<Uploaded, Error> {
        let on_s3 = self.on_s3.clone().expect("neither completed nor aborted yet");
        let mut parts = std::mem::take(&mut self.done);
        parts.sort_by_key(|part| part.part_number);
        let body_len = self
            .upload
            .format
            .stored_len(self.plaintext_len)
            .and_then(|len| i64::try_from(len).ok());
        tracing::debug!(parts = parts.len(), body_len, "completing");
        let sent = on_s3
            .client
            .s3()
            .complete_multipart_upload()
            .bucket(&on_s3.target.bucket)
            .key(&on_s3.target.key)
            .upload_id(&on_s3.upload_id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
            .set_checksum_type(self.upload.client.checksum().of_whole())
            .set_mpu_object_size(body_len)
            .set_if_match(self.upload.conditions.if_match.clone())
            .set_if_none_match(self.upload.conditions.if_none_match.clone())
            .send()
            .await;
        let stored = match sent {
            Ok(output) => Ok(Stored { e_tag: output.e_tag, version_id: output.version_id }),
            Err(error) => {
                self.upload
                    .stored_after_all("CompleteMultipartUpload", AwsFailure::new(&error))
                    .await
            }
        };
        match stored {
            Ok(Stored { e_tag, version_id }) => {
                self.on_s3 = None;
                if let Some(journal) = &on_s3.journal {
                    journal.remove().await.map_err(state_file_failed(&self.upload.target))?;
                }
                Ok(Uploaded { e_tag, version_id, plaintext_len: self.plaintext_len })
            }
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    /// Stops the parts in flight, and aborts the upload unless it can be resumed.
    pub(super) async fn give_up(mut self) {
        if let Some(aborted) = self.abort() {
            // It has no result; where its runtime is gone, nothing can be done.
            let _ = aborted.await;
        }
    }

    /// Does it in a task of its own, which goes on if this future is dropped, and in the runtime where the upload began:
    /// there may be none here.
    fn abort(&mut self) -> Option<JoinHandle<()>> {
        let on_s3 = self.on_s3.take()?;
        let mut parts = std::mem::take(&mut self.parts);
        let abort = async move {
            // A part that arrives after the abort would be kept, and paid for.
            parts.shutdown().await;
            on_s3.abort_unless_resumable().await;
        };
        Some(self.upload.client.aborts().spawn_on(abort, &self.runtime))
    }
}

impl Drop for MultipartUpload<'_> {
    fn drop(&mut self) {
        self.abort();
    }
}

impl OnS3 {
    /// Begins an upload, with a state file if `state` is given.
    pub(crate) async fn begin(
        client: SealedClient,
        target: Target,
        request: CreateRequest,
        state: Option<StateToBegin>,
    ) -> Result<Self, Error> {
        // In a task of its own: if this future is dropped before it knows of the upload and its state file, the upload is
        // still aborted, or kept together with its state file.
        let (sender, created) = oneshot::channel();
        let (task_client, task_target) = (client.clone(), target.clone());
        client.aborts().spawn(async move {
            let created = Self::create(task_client, task_target, request, state).await;
            let unwanted = created.as_ref().ok().cloned();
            let (taken, was_taken) = oneshot::channel::<()>();
            // Whether it is refused or never looked at: `taken` is dropped with it.
            let _ = sender.send((created, taken));
            if let Some(unwanted) = unwanted
                && was_taken.await.is_err()
            {
                unwanted.abort_unless_resumable().await;
            }
        });
        let created =
            created.await.map_err(|_| target.error(ErrorKind::Io, "the runtime is shutting down"));
        let (created, taken) = created?;
        let this = created?;
        let _ = taken.send(());
        Ok(this)
    }

    async fn create(
        client: SealedClient,
        target: Target,
        request: CreateRequest,
        state: Option<StateToBegin>,
    ) -> Result<Self, Error> {
        let output =
            request.send().await.map_err(|error| target.s3("CreateMultipartUpload", &error))?;
        let upload_id = output.upload_id.filter(|id| !id.is_empty());
        let upload_id = upload_id.ok_or_else(|| {
            target.error(ErrorKind::Service, "CreateMultipartUpload gave no upload id")
        })?;
        let mut this = Self { client, target, upload_id, journal: None };
        if let Some(state) = state {
            match state.begin(&this.target, &this.upload_id).await {
                Ok(journal) => this.journal = Some(journal),
                Err(error) => {
                    this.abort().await;
                    return Err(state_file_failed(&this.target)(error));
                }
            }
        }
        Ok(this)
    }

    async fn send_part(
        &self,
        number: usize,
        part: UnsentPart,
        buffers: Arc<PartBuffers>,
    ) -> Result<Part, Error> {
        let Self { client, target, upload_id, journal } = self;
        let number = i32::try_from(number).ok().filter(|number| *number <= 10_000);
        let number = number.ok_or_else(|| {
            target.error(ErrorKind::InvalidInput, "the plaintext has too many parts")
        })?;
        let sealed = part.sealed(target, buffers).await?;
        let plaintext_len = sealed.plaintext_len;
        if let Some(journal) = journal {
            match journal.decide(number, &sealed.bytes).await.map_err(state_file_failed(target))? {
                Decision::Send => {}
                Decision::Stored(completed) => {
                    return Ok(Part { completed: *completed, plaintext_len });
                }
                Decision::Changed => {
                    let message = format!(
                        "part {number} of the file is not what it was when its upload began"
                    );
                    return Err(target.error(ErrorKind::SourceChanged, message));
                }
            }
        }
        let config = client.config_for_body(sealed.bytes.len());
        tracing::debug!(bytes = sealed.bytes.len(), "sending");
        let output = client
            .s3()
            .upload_part()
            .bucket(&target.bucket)
            .key(&target.key)
            .upload_id(upload_id)
            .part_number(number)
            .set_checksum_algorithm(client.checksum().algorithm())
            .body(ByteStream::from(sealed.bytes))
            .customize()
            .config_override(config)
            .disable_payload_signing()
            .send()
            .await
            .map_err(|error| target.s3("UploadPart", &error))?;
        let completed = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(output.e_tag)
            .set_checksum_crc64_nvme(output.checksum_crc64_nvme)
            .build();
        if let Some(journal) = journal {
            journal.stored(&completed).await.map_err(state_file_failed(target))?;
        }
        Ok(Part { completed, plaintext_len })
    }

    async fn abort_unless_resumable(&self) {
        match &self.journal {
            Some(journal) => journal.settle().await,
            None => self.abort().await,
        }
    }

    /// Aborts it; a failure is logged.
    pub(crate) async fn abort(&self) {
        let Self { client, target, upload_id, .. } = self;
        let abort = client
            .s3()
            .abort_multipart_upload()
            .bucket(&target.bucket)
            .key(&target.key)
            .upload_id(upload_id);
        if let Err(error) = abort.send().await {
            let failure = AwsFailure::new(&error);
            // It was completed by a request whose answer nobody waited for, or aborted before: it costs nothing.
            if failure.code.as_deref() == Some("NoSuchUpload") {
                return;
            }
            tracing::warn!(
                bucket = target.bucket,
                key = target.key,
                upload_id,
                %failure,
                "an unfinished multipart upload could not be aborted and goes on costing storage"
            );
        }
    }
}
