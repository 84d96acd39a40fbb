//! Getting a sealed body into S3: one `PutObject`, or parts in parallel.

mod body;
pub(crate) mod buffers;
pub(crate) mod journal;
pub(crate) mod multipart;
mod plan;
mod stored;
pub(crate) mod unfinished;

use std::{path::PathBuf, sync::Arc, time::Duration};

use aws_sdk_s3::primitives::ByteStream;
use sealwax_envelope::{BodyHeader, geometry::CHUNK_LEN};
use tokio::sync::OwnedSemaphorePermit;

pub(crate) use self::body::BodySealer;
use self::{
    body::{SealedPart, UnsentPart},
    buffers::PartBuffers,
    journal::Journal,
    multipart::MultipartUpload,
    plan::PartPlan,
    stored::Stored,
};
use crate::{
    Attributes, ObjectFormat, SealedClient,
    aws_failure::AwsFailure,
    error::{Error, ErrorKind, Target},
    object::join_metadata,
    source::{PartSource, Parts, SourceFile},
};

/// How often a conditional `PutObject` that met another write is tried again.
const MAX_CONFLICTS: u32 = 4;
/// Pause before the first of these attempts; each further one waits twice as long.
const CONFLICT_PAUSE: Duration = Duration::from_millis(100);

/// Called with the number of plaintext bytes that were stored since the last call.
pub(crate) type OnProgress = Arc<dyn Fn(u64) + Send + Sync>;

/// An upload that is ready to run: everything but the plaintext.
pub(crate) struct Upload {
    pub(crate) client: SealedClient,
    pub(crate) target: Target,
    pub(crate) format: ObjectFormat,
    pub(crate) attributes: Attributes,
    pub(crate) own_metadata: std::collections::HashMap<String, String>,
    pub(crate) conditions: Conditions,
    pub(crate) on_progress: Option<OnProgress>,
    /// Where to keep the state of a multipart upload of a file.
    pub(crate) state_file: Option<PathBuf>,
}

/// What must hold of the present object for the new one to be stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
}

/// What S3 says of a stored object, and its plaintext's length.
pub(crate) struct Uploaded {
    pub(crate) e_tag: Option<String>,
    pub(crate) version_id: Option<String>,
    pub(crate) plaintext_len: u64,
}

/// The right to hold part buffers, and how many bytes of plaintext it is for.
struct PartRoom {
    chunks: usize,
    /// Gives the room back when it is dropped.
    _permit: OwnedSemaphorePermit,
}

impl Upload {
    /// Seals the parts and stores them. Nothing becomes visible unless all of them are stored.
    pub(crate) async fn run(self, mut parts: Parts, sealer: BodySealer) -> Result<Uploaded, Error> {
        let plan = PartPlan::new(self.client.part_len() / CHUNK_LEN, parts.len());
        self.ready(&mut parts, plan.chunks(1)).await?;
        let room = self.room(plan.chunks(1)).await?;
        let buffers = self.client.buffers();
        let (source, last) = self.read(&mut parts, sealer.header(), &room, &buffers).await?;
        if last {
            let part = sealer.last_part(&self.target, source, &buffers).await?;
            let body = part.sealed(&self.target, buffers).await?;
            self.check_unchanged(parts.file()).await?;
            return self.put_object(body).await;
        }

        let upload = MultipartUpload::create(&self, parts.file(), plan, buffers).await?;
        self.send_parts(upload, parts, sealer, plan, Some((room, source))).await
    }

    /// Goes on with an upload that was interrupted. `sealer` has that upload's header.
    pub(crate) async fn resume(
        self,
        parts: Parts,
        sealer: BodySealer,
        journal: Arc<Journal>,
    ) -> Result<Uploaded, Error> {
        let plan = PartPlan::fixed(journal.begin.part_chunks);
        let upload = MultipartUpload::resume(&self, journal);
        self.send_parts(upload, parts, sealer, plan, None).await
    }

    /// Seals and sends all parts and completes the upload. The first part may have been read already.
    async fn send_parts(
        &self,
        mut upload: MultipartUpload<'_>,
        mut parts: Parts,
        mut sealer: BodySealer,
        plan: PartPlan,
        mut first: Option<(PartRoom, PartSource)>,
    ) -> Result<Uploaded, Error> {
        let done = async {
            for number in 1.. {
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

    /// Waits until a part of `chunks` chunks can be read.
    async fn ready(&self, parts: &mut Parts, chunks: usize) -> Result<(), Error> {
        parts
            .ready(chunks)
            .await
            .map_err(|error| self.target.io("the plaintext could not be read", error))
    }

    /// Waits until a part of `chunks` chunks may be in memory.
    async fn room(&self, chunks: usize) -> Result<PartRoom, Error> {
        let (budget, whole) = self.client.budget();
        // A part longer than the whole budget is let through alone.
        let permits = u32::try_from(chunks.min(whole)).unwrap_or(u32::MAX);
        let permit = Arc::clone(budget).acquire_many_owned(permits).await;
        let permit =
            permit.map_err(|_| self.target.error(ErrorKind::Io, "the client is shutting down"))?;
        Ok(PartRoom { chunks, _permit: permit })
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
        file.check_unchanged()
            .await
            .map_err(|error| self.target.io("the plaintext could not be read", error))
    }

    async fn put_object(self, body: SealedPart) -> Result<Uploaded, Error> {
        let mut attempt = 0;
        let sent = loop {
            let sent = self.try_put_object(&body).await;
            let met_another_write =
                sent.as_ref().is_err_and(AwsFailure::is_conditional_request_conflict);
            if !met_another_write || attempt == MAX_CONFLICTS {
                break sent;
            }
            // Another write was under way at that moment; whether the condition holds is known when that is over.
            tokio::time::sleep(CONFLICT_PAUSE * 2_u32.pow(attempt)).await;
            attempt += 1;
        };
        let stored = match sent {
            Ok(stored) => stored,
            Err(failure) => self.stored_after_all("PutObject", failure).await?,
        };
        self.progress(body.plaintext_len);
        Ok(Uploaded {
            e_tag: stored.e_tag,
            version_id: stored.version_id,
            plaintext_len: body.plaintext_len,
        })
    }

    async fn try_put_object(&self, body: &SealedPart) -> Result<Stored, AwsFailure> {
        let request = self
            .client
            .s3()
            .put_object()
            .bucket(&self.target.bucket)
            .key(&self.target.key)
            .set_metadata(Some(join_metadata(&self.format, &self.own_metadata)))
            .set_if_match(self.conditions.if_match.clone())
            .set_if_none_match(self.conditions.if_none_match.clone())
            .set_checksum_algorithm(self.client.checksum().algorithm())
            .body(ByteStream::from(body.bytes.clone()));
        // The tags and the checksum guard the body: a second hash over it would cost more than the encryption.
        let request = self.attributes.clone().on_put(request).customize().disable_payload_signing();
        let sent =
            request.config_override(self.client.config_for_body(body.bytes.len())).send().await;
        match sent {
            Ok(output) => Ok(Stored { e_tag: output.e_tag, version_id: output.version_id }),
            Err(error) => Err(AwsFailure::new(&error)),
        }
    }

    fn progress(&self, plaintext_len: u64) {
        if let Some(on_progress) = &self.on_progress {
            on_progress(plaintext_len);
        }
    }
}
