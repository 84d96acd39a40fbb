//! Streams whose items a task produces ahead of the reader.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use sealwax_s3::{Error, ErrorKind};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::{JoinHandle, spawn_blocking},
};

/// Most items that are produced ahead of the reader: one page of an S3 listing.
const AHEAD: usize = 1000;

/// A stream of items from a task. It ends after an error.
#[derive(Debug)]
pub(crate) struct Background<T> {
    items: Receiver<Result<T, Error>>,
    task: Option<JoinHandle<()>>,
    /// Operation and object of the error if the task panics.
    operation: (&'static str, &'static str, ErrorKind),
}

/// Output of the task of a [`Background`].
#[derive(Debug)]
pub(crate) struct Output<T>(Sender<Result<T, Error>>);

/// The reader is gone, so the task can end.
#[derive(Debug)]
pub(crate) struct ReceiverClosed;

impl<T: Send + 'static> Background<T> {
    /// Runs `work` in a task on the current runtime.
    pub(crate) fn spawn<F: Future<Output = Result<(), Error>> + Send + 'static>(
        operation: (&'static str, &'static str, ErrorKind),
        work: impl FnOnce(Output<T>) -> F,
    ) -> Self {
        let (sender, items) = mpsc::channel(AHEAD);
        let work = work(Output(sender.clone()));
        let task = tokio::spawn(async move {
            if let Err(error) = work.await {
                // If the reader is gone, so is the need for the error.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self { items, task: Some(task), operation }
    }

    /// Runs `work` on a thread that may block.
    pub(crate) fn spawn_blocking(
        operation: (&'static str, &'static str, ErrorKind),
        work: impl FnOnce(&Output<T>) -> Result<(), Error> + Send + 'static,
    ) -> Self {
        let (sender, items) = mpsc::channel(AHEAD);
        let task = spawn_blocking(move || {
            let output = Output(sender);
            if let Err(error) = work(&output) {
                let _ = output.0.blocking_send(Err(error));
            }
        });
        Self { items, task: Some(task), operation }
    }
}

impl<T> Output<T> {
    pub(crate) async fn send(&self, item: T) -> Result<(), ReceiverClosed>
    where
        T: Send,
    {
        self.0.send(Ok(item)).await.map_err(|_| ReceiverClosed)
    }

    /// Sends from a thread that may block.
    pub(crate) fn blocking_send(&self, item: T) -> Result<(), ReceiverClosed> {
        self.0.blocking_send(Ok(item)).map_err(|_| ReceiverClosed)
    }
}

impl<T> Clone for Output<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Stream for Background<T> {
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(item) = ready!(self.items.poll_recv(context)) {
            return Poll::Ready(Some(item));
        }
        // A task that panicked must not look like the end of the stream.
        let Some(task) = &mut self.task else { return Poll::Ready(None) };
        let ended = ready!(Pin::new(task).poll(context));
        self.task = None;
        let (operation, object, kind) = self.operation;
        Poll::Ready(
            ended.err().map(|panic| Err(Error::new(operation, object, kind, panic.to_string()))),
        )
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_not_the_end_of_the_stream() {
        let operation = ("list", "the list", ErrorKind::InvalidListing);
        let mut stream = Background::spawn(operation, |output| async move {
            let _ = output.send(1).await;
            panic!("by this test");
        });
        assert_eq!(stream.next().await.expect("an item").expect("a number"), 1);
        let error = stream.next().await.expect("more").expect_err("the panic");
        assert_eq!(error.kind(), ErrorKind::InvalidListing);
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn a_thread_that_panics_is_not_the_end_of_the_stream() {
        let operation = ("read", "the plan", ErrorKind::Io);
        let mut stream = Background::spawn_blocking(operation, |output| {
            let _ = output.blocking_send(1);
            panic!("by this test");
        });
        assert_eq!(stream.next().await.expect("an item").expect("a number"), 1);
        let error = stream.next().await.expect("more").expect_err("the panic");
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(stream.next().await.is_none());
    }
}
