//! How far a transfer is, on a terminal.

use std::{
    fmt,
    io::{IsTerminal as _, stderr},
    time::Duration,
};

use futures_util::{Stream, TryStreamExt as _};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use sealwax_s3::{Error, ListedObject};
use tokio::task::JoinHandle;

/// A progress bar on standard error, gone when dropped; nothing at all where standard error is no terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins to show a transfer that has `total` bytes, if that is known.
    pub(crate) fn new(total: Option<u64>) -> Self {
        if !stderr().is_terminal() {
            return Self::hidden();
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style("{bytes} {spinner} {bytes_per_sec}, {elapsed}"));
        let this = Self(bar);
        if let Some(total) = total {
            this.expect(total);
        }
        this.0.enable_steady_tick(Duration::from_millis(200));
        this
    }

    /// Shows nothing.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// From now on it is known that there are `total` bytes.
    pub(crate) fn expect(&self, total: u64) {
        self.0.set_length(total);
        self.0.set_style(style("{bytes} of {total_bytes} [{bar:30}] {bytes_per_sec}, {eta} left"));
    }

    /// Counts bytes that are done, from anywhere, as long as this lives.
    pub(crate) fn counter(&self) -> impl Fn(u64) + Send + Sync + 'static {
        let bar = self.0.clone();
        move |bytes| bar.inc(bytes)
    }
}

/// A progress bar of many objects, gone when dropped. Clones are the same bar.
#[derive(Debug, Clone)]
pub(crate) struct JobProgress(ProgressBar);

impl JobProgress {
    /// Begins to show a job of `total` objects, if that is known.
    pub(crate) fn new(total: Option<u64>) -> Self {
        if !stderr().is_terminal() {
            return Self::hidden();
        }
        let this = Self(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()));
        match total {
            Some(total) => this.expect(total),
            None => {
                this.0.set_style(style("{human_pos} objects {spinner} {per_sec}, {elapsed}{msg}"));
            }
        }
        this.0.enable_steady_tick(Duration::from_millis(200));
        this
    }

    /// From now on it is known that there are `total` objects.
    fn expect(&self, total: u64) {
        self.0.set_length(total);
        let left = |state: &ProgressState, text: &mut dyn fmt::Write| {
            // Before the first one is done, nobody knows. What cannot be shown is not missed.
            let _ = match state.pos() {
                0 => text.write_char('?'),
                _ => write!(text, "{:#}", HumanDuration(state.eta())),
            };
        };
        let style =
            style("{human_pos} of {human_len} objects [{bar:30}] {per_sec}, {left} left{msg}");
        self.0.set_style(style.with_key("left", left));
    }

    /// Counts the job's objects beside it, by a listing of their own, and tells the time that is left once it knows how
    /// many they are. It ends when what it gives is dropped. Where nothing is shown, nothing is listed: `objects` is
    /// not called.
    pub(crate) fn count<S>(&self, objects: impl FnOnce() -> Option<S>) -> Counting
    where
        S: Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    {
        let objects = if self.0.is_hidden() { None } else { objects() };
        let bar = self.clone();
        Counting(objects.map(|objects| {
            tokio::spawn(async move {
                let count =
                    objects.try_fold(0, |count: u64, _| std::future::ready(Ok(count + 1))).await;
                // What is wrong with the listing, the job itself finds and tells.
                if let Ok(count) = count {
                    bar.expect(count);
                }
            })
        }))
    }

    /// Shows nothing.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// One object more is done; `failed` of all.
    pub(crate) fn one_more(&self, failed: u64) {
        self.0.inc(1);
        if failed > 0 {
            self.0.set_message(format!(", {failed} failed"));
        }
    }

    /// Takes the bar away while `show` writes to the terminal.
    pub(crate) fn suspend(&self, show: impl FnOnce()) {
        self.0.suspend(show);
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// A count that goes on until this is dropped.
#[derive(Debug)]
pub(crate) struct Counting(Option<JoinHandle<()>>);

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Takes the bar away when dropped.
#[derive(Debug)]
pub(crate) struct Cleared(pub(crate) JobProgress);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a constant template")
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
