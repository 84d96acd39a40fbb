//! Objects that are put in parts.
//!
//! The caller's parts may have any length, Sealwax's are whole chunks: so they are one stream to it, which it cuts anew,
//! seals and sends in a task of its own.

use std::{fmt, io, pin::Pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{FutureExt as _, stream};
use object_store::{
    Error, MultipartUpload, PutMultipartOptions, PutPayload, PutResult, Result, UploadPart,
    path::Path,
};
use sealwax_s3::{PlaintextSource, PutOutput};
use tokio::{
    sync::{
        Mutex,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    task::JoinHandle,
};

use crate::{
    SealedStore, attributes,
    error::{During, STORE, generic, stored},
};

/// What goes to the upload's task, in order.
enum Message {
    /// A part, and who waits until it is taken.
    Part(PutPayload, oneshot::Sender<()>),
    /// The object is whole.
    Complete,
}

/// An upload whose parts are still to come. The object appears when it is completed, and only then; one that is dropped is
/// aborted in the background.
pub(crate) struct SealedUpload {
    location: Path,
    /// As long as it is there, the upload goes on. `None` after it was completed or aborted.
    parts: Option<UnboundedSender<Message>>,
    task: Arc<Mutex<Task>>,
}

/// The task that seals and sends.
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
        let put = attributes::onto(put, &options.attributes, &options.tags)?;
        let put = put.body(PlaintextSource::slow_stream(plaintext(receiver)));
        let task = Task::Running(tokio::spawn(put.send()));
        Ok(SealedUpload {
            location: location.clone(),
            parts: Some(sender),
            task: Arc::new(Mutex::new(task)),
        })
    }
}

/// The parts as one stream. It ends well only by [`Message::Complete`].
fn plaintext(parts: UnboundedReceiver<Message>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    struct State {
        parts: UnboundedReceiver<Message>,
        pieces: std::vec::IntoIter<Bytes>,
        taken: Option<oneshot::Sender<()>>,
    }
    let state = State { parts, pieces: Vec::new().into_iter(), taken: None };
    stream::try_unfold(state, |mut state| async move {
        loop {
            if state.parts.is_closed() {
                return Err(io::Error::other("the upload was given up before it was complete"));
            }
            if let Some(piece) = state.pieces.next() {
                return Ok(Some((piece, state)));
            }
            if let Some(taken) = state.taken.take() {
                // Its future may have been dropped.
                let _ = taken.send(());
            }
            match state.parts.recv().await {
                Some(Message::Part(payload, taken)) => {
                    state.pieces = payload.into_iter().collect::<Vec<_>>().into_iter();
                    state.taken = Some(taken);
                }
                Some(Message::Complete) => return Ok(None),
                None => {}
            }
        }
    })
}

impl SealedUpload {
    /// How the task ended, which fails the upload for good unless it stored the object.
    async fn end(task: &Mutex<Task>, location: &Path) -> Result<PutOutput> {
        let mut task = task.lock().await;
        let ended = match &mut *task {
            Task::Running(handle) => Pin::new(handle).await,
            Task::Failed(message) => return Err(generic(message.clone())),
            Task::Ended => return Err(generic(format!("the upload of {location} has ended"))),
        };
        match ended {
            Ok(Ok(output)) => {
                *task = Task::Ended;
                Ok(output)
            }
            Ok(Err(error)) => {
                *task = Task::Failed(error.to_string());
                Err(stored(During::Write, location)(error))
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
    /// Takes the part at once, whenever the future is polled; the future is ready when the upload has room for the part.
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (taken, is_taken) = oneshot::channel();
        if let Some(parts) = &self.parts {
            // If it is not sent, the task has failed: so says `is_taken`.
            let _ = parts.send(Message::Part(data, taken));
        }
        let (task, location) = (Arc::clone(&self.task), self.location.clone());
        async move {
            match is_taken.await {
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
        Ok(PutResult { e_tag: output.e_tag, version: output.version_id })
    }

    async fn abort(&mut self) -> Result<()> {
        let Some(parts) = self.parts.take() else { return Ok(()) };
        drop(parts);
        // Its failure is what was asked for; by then, what was stored of it is aborted.
        let _ = Self::end(&self.task, &self.location).await;
        Ok(())
    }
}

impl fmt::Debug for SealedUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedUpload").field("location", &self.location).finish_non_exhaustive()
    }
}
