//! Work on many files or objects, some at once, of which each may fail by itself.

use std::{fmt, pin::pin};

use futures_util::{Stream, TryStreamExt as _};

use crate::{
    failure::{Exit, Failure},
    session::Session,
    terminal_text::Counted,
};

/// What became of one.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was done, as this text says; so many bytes.
    Done(String, u64),
    /// There was nothing to do.
    Unchanged(String),
    /// It failed.
    Failed(String, Failure),
}

/// What became of all.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) done: u64,
    pub(crate) bytes: u64,
    unchanged: u64,
    failed: u64,
}

impl Summary {
    /// Does `work` on each item, so many at once. A failure of one is said and counted; an error in the list itself ends it.
    ///
    /// # Errors
    /// The list's.
    pub(crate) async fn run<T, F>(
        &mut self,
        session: &Session,
        items: impl Stream<Item = Result<T, Failure>> + Send,
        concurrency: usize,
        work: impl Fn(T) -> F + Send + Sync,
    ) -> Result<(), Failure>
    where
        T: Send,
        F: Future<Output = Outcome> + Send,
    {
        let progress = session.job_progress(None);
        let work = |item| {
            let done = work(item);
            async move { Ok(done.await) }
        };
        let mut outcomes = pin!(items.map_ok(work).try_buffer_unordered(concurrency));
        while let Some(outcome) = outcomes.try_next().await? {
            match outcome {
                Outcome::Done(text, bytes) => {
                    (self.done, self.bytes) = (self.done + 1, self.bytes + bytes);
                    session.detail(text);
                }
                Outcome::Unchanged(text) => {
                    self.unchanged += 1;
                    session.detail(text);
                }
                Outcome::Failed(what, failure) => {
                    self.failed += 1;
                    progress.suspend(|| failure.print_about(&what));
                }
            }
            progress.one_more(self.failed);
        }
        Ok(())
    }

    /// How many there were.
    pub(crate) fn all(&self) -> u64 {
        self.done + self.unchanged + self.failed
    }

    /// The failure that it is where there was nothing, such as for a mistyped name.
    ///
    /// # Errors
    /// There was nothing.
    pub(crate) fn some(&self, noun: &str, place: impl fmt::Display) -> Result<(), Failure> {
        if self.all() > 0 {
            return Ok(());
        }
        let advice = "check the name, and what --include and --exclude leave";
        Err(Failure::new(Exit::NotFound, format!("there are no {noun}s in {place}"), advice))
    }

    /// The failure that this is, if it is one.
    ///
    /// # Errors
    /// Some, or all, failed.
    pub(crate) fn result(&self, noun: &'static str) -> Result<(), Failure> {
        Failure::of_many(
            self.failed,
            self.all(),
            format!("{} of {} failed", self.failed, Counted(self.all(), noun)),
        )
    }
}

/// What follows `3 files` in a summary.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unchanged > 0 {
            write!(f, "; {} unchanged", self.unchanged)?;
        }
        if self.failed > 0 {
            write!(f, "; {} failed", self.failed)?;
        }
        Ok(())
    }
}
