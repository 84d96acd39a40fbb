//! Multipart puts.
//!
//! The caller's parts may have any length, but Sealwax's parts are whole chunks. The upload
//! therefore joins the caller's parts into one stream, which a task cuts into Sealwax's parts,
//! seals and sends.

use std::{fmt, io, pin::Pin, sync::Arc};

use super::super::{
    object_store::{
        Error, MultipartUpload, PutMultipartOptions, PutPayload, PutResult, Result, UploadPart,
        path::Path,
    },
    results,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{FutureExt as _, stream};
use sealwax_s3::{PlaintextSource, PutOutput};
use tokio::{
    sync::{
        Mutex,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    task::JoinHandle,
};

use super::{
    SealedStore, attributes,
    error::{During, STORE, generic, of_operation},
};

/// A message to the upload's task.
enum Message {
    /// A part, and the channel to report that it was accepted.
    Part(PutPayload, oneshot::Sender<()>),
    /// All parts were sent.
    Complete,
}

/// An unfinished upload. The object appears only when the upload is completed. A dropped upload is
/// aborted in the background.
pub(crate) struct SealedUpload {
    location: Path,
    /// Sender of the parts; `None` after the upload was completed or aborted.
    parts: Option<UnboundedSender<Message>>,
    task: Arc<Mutex<Task>>,
}

/// State of the task that seals and sends.
enum Task {
    Running(JoinHandle<Result<PutOutput, sealwax_s3::Error>>),
    Failed(String),
    Ended,
}

impl SealedStore {
    pub(crate) fn begin_upload(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<SealedUpload> {
        let (sender, receiver) = unbounded_channel();
        let put = self.begin_put(location, &options.extensions);
        let put = attributes::set_on(put, &options.attributes, &options.tags)?;
        let put = put.body(PlaintextSource::slow_stream(plaintext(receiver)));
        let task = Task::Running(tokio::spawn(put.send()));
        Ok(SealedUpload {
            location: location.clone(),
            parts: Some(sender),
            task: Arc::new(Mutex::new(task)),
        })
    }
}

/// Joins the parts into one stream, which fails unless it ends with [`Message::Complete`].
fn plaintext(parts: UnboundedReceiver<Message>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    struct State {
        parts: UnboundedReceiver<Message>,
        pieces: std::vec::IntoIter<Bytes>,
        accepted: Option<oneshot::Sender<()>>,
    }
    let state = State { parts, pieces: Vec::new().into_iter(), accepted: None };
    stream::try_unfold(state, |mut state| async move {
        loop {
            if state.parts.is_closed() {
                return Err(io::Error::other(
                    "the upload was aborted or dropped before it was complete",
                ));
            }
            if let Some(piece) = state.pieces.next() {
                return Ok(Some((piece, state)));
            }
            if let Some(accepted) = state.accepted.take() {
                // The part's future may have been dropped.
                let _ = accepted.send(());
            }
            match state.parts.recv().await {
                Some(Message::Part(payload, accepted)) => {
                    state.pieces = payload.into_iter().collect::<Vec<_>>().into_iter();
                    state.accepted = Some(accepted);
                }
                Some(Message::Complete) => return Ok(None),
                None => {}
            }
        }
    })
}

impl SealedUpload {
    /// Waits for the task and returns its result. If the task did not store the object, the upload
    /// has failed for good.
    async fn end(task: &Mutex<Task>, location: &Path) -> Result<PutOutput> {
        let mut task = task.lock().await;
        let ended = match &mut *task {
            Task::Running(handle) => Pin::new(handle).await,
            Task::Failed(message) => return Err(generic(message.clone())),
            Task::Ended => {
                return Err(generic(format!(
                    "cannot continue the upload of {location}: it has already ended"
                )));
            }
        };
        match ended {
            Ok(Ok(output)) => {
                *task = Task::Ended;
                Ok(output)
            }
            Ok(Err(error)) => {
                *task = Task::Failed(error.to_string());
                Err(of_operation(During::Write, location)(error))
            }
            Err(error) => {
                *task = Task::Failed(error.to_string());
                Err(Error::Generic { store: STORE, source: error.into() })
            }
        }
    }
}

#[async_trait]
impl MultipartUpload for SealedUpload {
    /// Accepts the part at once, even if the future is never polled. The future is ready once the
    /// task has read the part.
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (accepted, is_accepted) = oneshot::channel();
        if let Some(parts) = &self.parts {
            // A failed send means that the task has failed; `is_accepted` reports that.
            let _ = parts.send(Message::Part(data, accepted));
        }
        let (task, location) = (Arc::clone(&self.task), self.location.clone());
        async move {
            match is_accepted.await {
                Ok(()) => Ok(()),
                Err(_) => Self::end(&task, &location).await.map(|_| ()),
            }
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if let Some(parts) = &self.parts {
            let _ = parts.send(Message::Complete);
        }
        let output = Self::end(&self.task, &self.location).await;
        self.parts = None;
        let output = output?;
        Ok(results::of_put(output.e_tag, output.version_id))
    }

    async fn abort(&mut self) -> Result<()> {
        let Some(parts) = self.parts.take() else { return Ok(()) };
        drop(parts);
        // The failure is expected. When it arrives, the multipart upload in S3 is aborted.
        let _ = Self::end(&self.task, &self.location).await;
        Ok(())
    }
}

impl fmt::Debug for SealedUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedUpload").field("location", &self.location).finish_non_exhaustive()
    }
}
