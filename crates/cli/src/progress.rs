//! Progress bars on a terminal.

use std::{
    fmt,
    io::{IsTerminal as _, stderr},
    time::Duration,
};

use futures_util::{Stream, TryStreamExt as _};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use sealwax_s3::{Error, ListedObject};
use tokio::task::JoinHandle;

/// Progress bar of a transfer on standard error, cleared when dropped; hidden if standard error is
/// not a terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Shows a transfer of `total` bytes, if that is known.
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

    /// Returns a hidden bar.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Sets the total number of bytes.
    pub(crate) fn expect(&self, total: u64) {
        self.0.set_length(total);
        self.0.set_style(style("{bytes} of {total_bytes} [{bar:30}] {bytes_per_sec}, {eta} left"));
    }

    /// Returns a function that counts transferred bytes.
    pub(crate) fn counter(&self) -> impl Fn(u64) + Send + Sync + 'static {
        let bar = self.0.clone();
        move |bytes| bar.inc(bytes)
    }
}

/// Progress bar of a job on many objects. Clones share the bar.
#[derive(Debug, Clone)]
pub(crate) struct JobProgress(ProgressBar);

impl JobProgress {
    /// Shows a job of `total` objects, if that is known.
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

    /// Sets the total number of objects.
    fn expect(&self, total: u64) {
        self.0.set_length(total);
        let left = |state: &ProgressState, text: &mut dyn fmt::Write| {
            // There is no estimate before the first object. Write errors don't matter here.
            let _ = match state.pos() {
                0 => text.write_char('?'),
                _ => write!(text, "{:#}", HumanDuration(state.eta())),
            };
        };
        let style =
            style("{human_pos} of {human_len} objects [{bar:30}] {per_sec}, {left} left{msg}");
        self.0.set_style(style.with_key("left", left));
    }

    /// Counts the job's objects in parallel with a separate listing, to estimate the remaining
    /// time.
    ///
    /// The count ends when the returned guard is dropped. If the bar is hidden, `objects` is not
    /// called.
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
                // The job itself reports errors of the listing.
                if let Ok(count) = count {
                    bar.expect(count);
                }
            })
        }))
    }

    /// Returns a hidden bar.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Counts one object as done; `failed` is the number of failures so far.
    pub(crate) fn one_more(&self, failed: u64) {
        self.0.inc(1);
        if failed > 0 {
            self.0.set_message(format!(", {failed} failed"));
        }
    }

    /// Hides the bar while `show` writes to the terminal.
    pub(crate) fn suspend(&self, show: impl FnOnce()) {
        self.0.suspend(show);
    }

    /// Clears the bar.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// Guard of a running count, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Counting(Option<JoinHandle<()>>);

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Clears the bar when dropped.
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
