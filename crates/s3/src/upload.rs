//! Uploads of a sealed body: one `PutObject`, or parts in parallel.

mod body;
pub(crate) mod budget;
pub(crate) mod buffers;
pub(crate) mod into_source;
mod part_plan;
mod part_uploads;
pub(crate) mod source;
pub(crate) mod state_file;
pub(crate) mod unfinished;

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_sdk_s3::{operation::head_object::HeadObjectOutput, primitives::ByteStream};
use futures_util::{FutureExt as _, future::BoxFuture};
use sealwax_envelope::{BodyHeader, geometry::CHUNK_LEN};

pub(crate) use self::{body::BodySealer, part_uploads::recorded_upload};
use self::{
    body::SealedPart,
    budget::{PartRoom, UploadBudget},
    buffers::PartBuffers,
    part_plan::PartPlan,
    part_uploads::PartUploads,
    source::{PartSource, Parts, SourceFile},
    state_file::{NewStateFile, StateFile},
};
use crate::{
    backoff::pause,
    blocking::blocking,
    error::{Error, ObjectRef, aws_failure::AwsFailure},
    format::ObjectFormat,
    object::join_metadata,
    progress::OnProgress,
    store::{
        Store,
        attributes::Attributes,
        conditions::{LateConditions, WriteCall, WriteConditions},
        lost_answer::Stored,
    },
};

/// Maximum number of retries of a conditional `PutObject` that meets another write.
const MAX_CONFLICTS: u32 = 4;
/// Pause before the first retry.
const CONFLICT_PAUSE: Duration = Duration::from_millis(100);

/// Everything that an upload needs except the plaintext.
pub(crate) struct Upload {
    pub(crate) store: Store,
    pub(crate) budget: UploadBudget,
    pub(crate) target: ObjectRef,
    pub(crate) format: ObjectFormat,
    pub(crate) attributes: Attributes,
    pub(crate) user_metadata: HashMap<String, String>,
    pub(crate) conditions: WriteConditions,
    /// Conditions instead of these that are set before the plaintext ends.
    pub(crate) late_conditions: Option<LateConditions>,
    pub(crate) on_progress: Option<OnProgress>,
    /// State file of a multipart upload.
    pub(crate) state_file: Option<NewStateFile>,
}

/// Result of an upload: S3's description of the object, and the plaintext's length in bytes.
pub(crate) struct Uploaded {
    pub(crate) e_tag: Option<String>,
    pub(crate) version_id: Option<String>,
    pub(crate) plaintext_len: u64,
}

impl Upload {
    /// Seals the parts and stores them. The object becomes visible only when all of them are
    /// stored.
    ///
    /// Boxed, as the futures of uploads nest deeply.
    pub(crate) fn run(
        self,
        parts: Parts,
        sealer: BodySealer,
    ) -> BoxFuture<'static, Result<Uploaded, Error>> {
        self.send(parts, sealer).boxed()
    }

    async fn send(self, mut parts: Parts, sealer: BodySealer) -> Result<Uploaded, Error> {
        let plan = PartPlan::new(self.store.part_len() / CHUNK_LEN, parts.len());
        self.ready(&mut parts, plan.chunks(1)).await?;
        let room = self.budget.room(&self.target, plan.first(parts.len())).await?;
        let buffers = self.budget.buffers();
        let (source, last) = self.read(&mut parts, sealer.header(), &room, &buffers).await?;
        if last {
            let part = sealer.last_part(&self.target, source, &buffers).await?;
            let body = part.sealed(&self.target, buffers).await?;
            self.check_unchanged(parts.file()).await?;
            return self.put_object(body).await;
        }

        self.prove_conditions(WriteCall::Complete).await?;
        let upload = PartUploads::create(&self, plan, buffers).await?;
        self.send_parts(upload, parts, sealer, plan, Some((room, source))).await
    }

    /// Resumes an interrupted upload. `sealer` has that upload's header. Boxed, as [`Upload::run`].
    pub(crate) fn resume(
        self,
        parts: Parts,
        sealer: BodySealer,
        state_file: Arc<StateFile>,
    ) -> BoxFuture<'static, Result<Uploaded, Error>> {
        self.send_rest(parts, sealer, state_file).boxed()
    }

    async fn send_rest(
        self,
        parts: Parts,
        sealer: BodySealer,
        state_file: Arc<StateFile>,
    ) -> Result<Uploaded, Error> {
        self.prove_conditions(WriteCall::Complete).await?;
        let plan = PartPlan::fixed(state_file.start().part_chunks);
        let upload = PartUploads::resume(&self, state_file);
        self.send_parts(upload, parts, sealer, plan, None).await
    }

    /// Seals and sends all parts, and completes the upload. `first` is the first part if it was
    /// read already.
    async fn send_parts(
        &self,
        mut upload: PartUploads<'_>,
        mut parts: Parts,
        mut sealer: BodySealer,
        plan: PartPlan,
        mut first: Option<(PartRoom, PartSource)>,
    ) -> Result<Uploaded, Error> {
        let done = async {
            for number in 1.. {
                match upload.skip(number, &mut parts, plan.chunks(number)) {
                    Some(true) => break,
                    Some(false) => continue,
                    None => {}
                }
                let (room, source, last) = match first.take() {
                    Some((room, source)) => (room, source, false),
                    None => {
                        upload.meanwhile(self.ready(&mut parts, plan.chunks(number))).await?;
                        let room = upload.wait_for_room(plan.chunks(number)).await?;
                        let (source, last) =
                            self.read(&mut parts, sealer.header(), &room, upload.buffers()).await?;
                        (room, source, last)
                    }
                };
                if last {
                    let part = sealer.last_part(&self.target, source, upload.buffers()).await?;
                    upload.spawn(number, part, room);
                    break;
                }
                let (next, part) =
                    sealer.next_part(&self.target, room.chunks, source, upload.buffers()).await?;
                sealer = next;
                upload.spawn(number, part, room);
            }
            upload.wait_for_parts().await?;
            self.check_unchanged(parts.file()).await
        }
        .await;
        match done {
            Ok(()) => upload.complete().await,
            Err(error) => {
                upload.give_up().await;
                Err(error)
            }
        }
    }

    /// Returns the conditions, as far as they are known.
    fn conditions(&self) -> &WriteConditions {
        let late = self.late_conditions.as_ref().and_then(LateConditions::get);
        late.unwrap_or(&self.conditions)
    }

    /// Fails unless the store honours the conditions of `call`, where the caller relies on them.
    async fn prove_conditions(&self, call: WriteCall) -> Result<(), Error> {
        self.store.prove_conditions(&self.target, call, self.conditions()).await
    }

    /// Waits until a part of `chunks` chunks can be read.
    async fn ready(&self, parts: &mut Parts, chunks: usize) -> Result<(), Error> {
        parts
            .ready(chunks)
            .await
            .map_err(|error| self.target.io("the plaintext could not be read", error))
    }

    async fn read(
        &self,
        parts: &mut Parts,
        header: Option<&BodyHeader>,
        room: &PartRoom,
        buffers: &PartBuffers,
    ) -> Result<(PartSource, bool), Error> {
        parts
            .next(header, room.chunks, buffers)
            .await
            .map_err(|error| self.target.io("the plaintext could not be read", error))
    }

    async fn check_unchanged(&self, file: Option<Arc<SourceFile>>) -> Result<(), Error> {
        let Some(file) = file else { return Ok(()) };
        blocking(move || file.check_unchanged())
            .await
            .map_err(|error| self.target.io("the plaintext could not be read", error))
    }

    async fn put_object(self, body: SealedPart) -> Result<Uploaded, Error> {
        self.prove_conditions(WriteCall::Put).await?;
        self.store.look_before(&self.target, WriteCall::Put, self.conditions()).await?;
        let (mut retries, queued) = (0, self.store.uploads().join());
        let sent = loop {
            let sent = queued.run(|| self.try_put_object(&body)).await;
            let met_another_write =
                sent.as_ref().is_err_and(AwsFailure::is_conditional_request_conflict);
            if !met_another_write || retries == MAX_CONFLICTS {
                break sent;
            }
            // Another write is in progress. Its end decides whether the condition holds.
            pause(CONFLICT_PAUSE, retries).await;
            retries += 1;
        };
        let is_ours = |head: &HeadObjectOutput| self.format.is_same_sealing(head.metadata());
        let (store, target, call) = (&self.store, &self.target, "PutObject");
        let stored = match sent {
            Ok(stored) => store.confirmed(target, call, stored, is_ours).await,
            Err(failure) => store.stored_after_all(target, call, failure, is_ours).await,
        };
        let stored = stored.map_err(|error| self.conditions().explain(error))?;
        self.progress(body.plaintext_len);
        Ok(Uploaded {
            e_tag: stored.e_tag,
            version_id: stored.version_id,
            plaintext_len: body.plaintext_len,
        })
    }

    async fn try_put_object(&self, body: &SealedPart) -> Result<Stored, AwsFailure> {
        let request = || {
            let request = self.store.s3().put_object().key(&self.target.key);
            let request = request
                .set_metadata(Some(join_metadata(&self.format, &self.user_metadata)))
                .set_if_match(self.conditions().if_match.clone())
                .set_if_none_match(self.conditions().if_none_match.clone())
                .checksum_crc64_nvme(&body.crc64)
                .body(ByteStream::from(body.bytes.clone()));
            self.attributes.clone().on_put(request)
        };
        let (bucket, expires) = (&self.target.bucket, self.attributes.expires.clone());
        let output = self.store.put_object(bucket, request, expires).await?;
        Ok(Stored { e_tag: output.e_tag, version_id: output.version_id })
    }

    fn progress(&self, plaintext_len: u64) {
        if let Some(on_progress) = &self.on_progress {
            on_progress(plaintext_len);
        }
    }
}
