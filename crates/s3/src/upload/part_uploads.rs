//! Parts of one multipart upload: sealed, sent, and recorded in a state file.

use std::{collections::BTreeMap, io, pin::pin, sync::Arc};

use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput, primitives::ByteStream, types::CompletedPart,
};
use tracing::Span;

use super::{
    Upload, Uploaded,
    body::UnsentPart,
    budget::{PartRoom, UploadBudget},
    buffers::PartBuffers,
    part_plan::PartPlan,
    source::Parts,
    state_file::{Decision, NewStateFile, StateFile, UploadSource, UploadStart, state_file_failed},
};
use crate::{
    error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure},
    limits::MAX_PARTS,
    object::join_metadata,
    store::{
        Store,
        attributes::with_expires,
        checksum::SentChecksum,
        conditions::WriteCall,
        lost_answer::{Stored, unconfirmed},
        multipart::{MultipartUpload, Record, UploadHandle},
        part_limiter::QueueNumber,
    },
};

impl Record for StateFile {
    fn keeps_upload(&self) -> bool {
        matches!(self.start().source, UploadSource::File(_))
    }

    async fn settle(&self) {
        Self::settle(self).await;
    }

    async fn forget(&self) -> io::Result<()> {
        self.remove().await
    }
}

type Handle = UploadHandle<StateFile>;

/// A multipart upload whose parts are sealed and sent in parallel.
///
/// Dropping it aborts the upload in the background, unless the upload has a state file and can be
/// resumed.
pub(super) struct PartUploads<'a> {
    upload: &'a Upload,
    multipart: MultipartUpload<SentPart, StateFile>,
    buffers: Arc<PartBuffers>,
    completed: Vec<CompletedPart>,
    plaintext_len: u64,
    stored_len: u64,
}

/// A state file that is created once the upload has its id.
struct StateFileToCreate {
    new: NewStateFile,
    part_chunks: usize,
    metadata: BTreeMap<String, String>,
}

impl StateFileToCreate {
    async fn create(
        self,
        target: &ObjectRef,
        upload_id: &str,
        checksum: SentChecksum,
    ) -> Result<Arc<StateFile>, Error> {
        let start = UploadStart::new(
            (&target.bucket, &target.key),
            upload_id,
            self.new.source,
            self.part_chunks,
            self.metadata,
            checksum,
        );
        StateFile::create(&self.new.path, start).await.map_err(state_file_failed(target))
    }
}

struct Part {
    completed: CompletedPart,
    plaintext_len: u64,
    stored_len: u64,
}

/// Result of one part. Its room is returned once the result is known, so a failure is seen before
/// another part is read.
struct SentPart {
    result: Result<Part, Error>,
    room: PartRoom,
}

impl<'a> PartUploads<'a> {
    pub(super) async fn create(
        upload: &'a Upload,
        plan: PartPlan,
        buffers: Arc<PartBuffers>,
    ) -> Result<Self, Error> {
        let Upload { store, target, .. } = upload;
        let request = store
            .s3()
            .create_multipart_upload()
            .bucket(&target.bucket)
            .key(&target.key)
            .set_metadata(Some(join_metadata(&upload.format, &upload.user_metadata)));
        let with_expires = with_expires(upload.attributes.expires.clone());
        let request = upload.attributes.clone().on_create(request);
        let request = move |checksum: SentChecksum| {
            let request = request.clone().set_checksum_algorithm(checksum.algorithm());
            let request = request.set_checksum_type(checksum.of_whole()).customize();
            request.map_request(with_expires.clone())
        };

        let state_file = upload.state_file.clone().map(|new| {
            let metadata = upload.format.to_metadata().into_iter();
            let metadata = metadata.map(|(name, value)| (name.to_owned(), value)).collect();
            StateFileToCreate { new, part_chunks: plan.chunks(1), metadata }
        });
        let for_record = target.clone();
        let record = |upload_id: String, checksum| async move {
            match state_file {
                Some(state_file) => {
                    state_file.create(&for_record, &upload_id, checksum).await.map(Some)
                }
                None => Ok(None),
            }
        };
        let handle = Handle::begin(store, target, request, record).await?;
        Ok(Self::new(upload, handle, buffers))
    }

    /// Returns the upload that `state_file` describes.
    pub(super) fn resume(upload: &'a Upload, state_file: Arc<StateFile>) -> Self {
        let handle = recorded_upload(&upload.store, &upload.target, state_file);
        Self::new(upload, handle, upload.budget.buffers())
    }

    fn new(upload: &'a Upload, handle: Handle, buffers: Arc<PartBuffers>) -> Self {
        let multipart = MultipartUpload::new(handle);
        Self { upload, multipart, buffers, completed: Vec::new(), plaintext_len: 0, stored_len: 0 }
    }

    /// Returns the buffers that parts are read into.
    pub(super) fn buffers(&self) -> &Arc<PartBuffers> {
        &self.buffers
    }

    /// Waits until a part of `chunks` chunks may be in memory. Fails if a part in flight failed.
    pub(super) async fn wait_for_room(&mut self, chunks: usize) -> Result<PartRoom, Error> {
        let upload = self.upload;
        self.meanwhile(upload.budget.room(&upload.target, chunks)).await
    }

    /// Waits for `work`. Fails if a part in flight failed.
    pub(super) async fn meanwhile<T>(
        &mut self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(part) = self.multipart.next_part() => self.take(part?)?,
                done = &mut work => return done,
            }
        }
    }

    /// Skips part `number`, of `chunks` chunks or up to the end, if S3 has it and it need not be sealed
    /// again. Returns whether it is the last one; `None` if it must be sent.
    pub(super) fn skip(&mut self, number: usize, parts: &mut Parts, chunks: usize) -> Option<bool> {
        let record = self.multipart.handle().record.as_ref()?;
        let completed = record.copied_part(i32::try_from(number).ok()?)?;
        let (len, last) = parts.skip(chunks)?;
        self.plaintext_len += len;
        self.stored_len += len;
        self.completed.push(completed);
        Some(last)
    }

    /// Seals and sends a part in the background.
    pub(super) fn spawn(&mut self, number: usize, part: UnsentPart, room: PartRoom) {
        let (handle, buffers) = (self.multipart.handle().clone(), Arc::clone(&self.buffers));
        let queued = self.upload.store.uploads().join();
        let budget = self.upload.budget.clone();
        let send = async move {
            let result = send_part(&handle, number, part, (&budget, buffers), queued).await;
            SentPart { result, room }
        };
        self.multipart.spawn(number, send);
    }

    /// Waits for all parts.
    pub(super) async fn wait_for_parts(&mut self) -> Result<(), Error> {
        while let Some(part) = self.multipart.next_part().await {
            self.take(part?)?;
        }
        Ok(())
    }

    fn take(&mut self, SentPart { result, room }: SentPart) -> Result<(), Error> {
        drop(room);
        let part = result?;
        self.plaintext_len += part.plaintext_len;
        self.stored_len += part.stored_len;
        self.upload.progress(part.plaintext_len);
        self.completed.push(part.completed);
        Ok(())
    }

    /// Completes the upload, which makes the object visible.
    pub(super) async fn complete(self) -> Result<Uploaded, Error> {
        let Self { upload, multipart, completed, plaintext_len, stored_len, .. } = self;
        let (Upload { store, target, .. }, conditions) = (upload, upload.conditions());
        let proven = async {
            if upload.late_conditions.is_some() {
                upload.prove_conditions(WriteCall::Complete).await?;
            }
            store.look_before(target, WriteCall::Complete, conditions).await
        };
        if let Err(error) = proven.await {
            multipart.give_up().await;
            return Err(error);
        }
        let checksum = multipart.handle().checksum;
        let request = multipart
            .completion(completed)
            .set_checksum_type(checksum.of_whole())
            .set_mpu_object_size(i64::try_from(stored_len).ok())
            .set_if_match(conditions.if_match.clone())
            .set_if_none_match(conditions.if_none_match.clone());
        let state_file = multipart.handle().record.clone();
        let is_ours = |head: &HeadObjectOutput| upload.format.is_same_sealing(head.metadata());
        let stored = multipart.complete(request, is_ours).await;
        let Stored { e_tag, version_id } = stored.map_err(|error| conditions.explain(error))?;
        if let Some(state_file) = state_file {
            state_file.remove().await.map_err(state_file_failed(&upload.target))?;
        }
        Ok(Uploaded { e_tag, version_id, plaintext_len })
    }

    /// Stops the parts in flight, and aborts the upload unless it can be resumed.
    pub(super) async fn give_up(self) {
        self.multipart.give_up().await;
    }
}

/// Returns the upload that `state_file` describes, to `target` in `store`.
pub(crate) fn recorded_upload(
    store: &Store,
    target: &ObjectRef,
    state_file: Arc<StateFile>,
) -> UploadHandle<StateFile> {
    UploadHandle {
        store: store.clone(),
        target: target.clone(),
        upload_id: state_file.start().upload_id.clone(),
        checksum: state_file.start().checksum(),
        record: Some(state_file),
    }
}

async fn send_part(
    handle: &Handle,
    number: usize,
    part: UnsentPart,
    (budget, buffers): (&UploadBudget, Arc<PartBuffers>),
    queued: QueueNumber,
) -> Result<Part, Error> {
    let UploadHandle { store, target, upload_id, checksum, record: state_file } = handle;
    if number as u64 > MAX_PARTS {
        return Err(target.error(ErrorKind::InvalidInput, "the plaintext has too many parts"));
    }
    let number = i32::try_from(number).expect("at most 10,000");
    let sealed = {
        // A stored part comes over the network.
        let _sealer = match part {
            UnsentPart::ToSeal { .. } => Some(budget.sealer().await),
            UnsentPart::Stored(_) | UnsentPart::Sealed(_) => None,
        };
        part.sealed(target, buffers).await?
    };
    let (plaintext_len, stored_len) = (sealed.plaintext_len, sealed.bytes.len() as u64);
    if let Some(state_file) = state_file {
        let decision = state_file.decide(number, &sealed.bytes).await;
        match decision.map_err(state_file_failed(target))? {
            Decision::Send => {}
            Decision::Stored(completed) => {
                return Ok(Part { completed: *completed, plaintext_len, stored_len });
            }
            Decision::Changed => {
                let message = format!("part {number} of the file changed since its upload began");
                return Err(target.error(ErrorKind::SourceChanged, message));
            }
        }
    }
    Span::current().record("bytes", sealed.bytes.len());
    let send = || async {
        let request = store
            .s3()
            .upload_part()
            .bucket(&target.bucket)
            .key(&target.key)
            .upload_id(upload_id)
            .part_number(number)
            .set_checksum_algorithm(checksum.algorithm())
            .set_checksum_crc64_nvme(checksum.of_body(Some(sealed.crc64.clone())))
            .body(ByteStream::from(sealed.bytes.clone()))
            .customize()
            .config_override(checksum.config())
            .disable_payload_signing();
        request.send().await.map_err(|error| AwsFailure::new(&error))
    };
    let output = queued.run(send).await;
    let output = output.map_err(|failure| target.s3_failure("UploadPart", failure))?;
    if output.e_tag.is_none() {
        return Err(unconfirmed(target, "UploadPart"));
    }
    let completed = CompletedPart::builder()
        .part_number(number)
        .set_e_tag(output.e_tag)
        .set_checksum_crc64_nvme(output.checksum_crc64_nvme)
        .build();
    if let Some(state_file) = state_file {
        state_file.stored(&completed).await.map_err(state_file_failed(target))?;
    }
    Ok(Part { completed, plaintext_len, stored_len })
}
