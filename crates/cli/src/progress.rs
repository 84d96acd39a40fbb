//! How far a transfer is, on a terminal.

use std::{
    io::{IsTerminal as _, stderr},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is known of a transfer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Transfer {
    /// It has so many bytes, and they are counted.
    Counted(u64),
    /// It has so many bytes, and nobody counts them.
    Uncounted(u64),
    /// Its bytes are counted until they end.
    Endless,
}

/// A progress bar on standard error, gone when dropped; nothing at all where standard error is no terminal.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Begins to show a transfer.
    pub(crate) fn new(transfer: Transfer) -> Self {
        if !stderr().is_terminal() {
            return Self::hidden();
        }
        let (total, template) = match transfer {
            Transfer::Counted(total) => {
                (Some(total), "{bytes} of {total_bytes} [{bar:30}] {bytes_per_sec}, {eta} left")
            }
            Transfer::Uncounted(total) => (Some(total), "{total_bytes} {spinner} {elapsed}"),
            Transfer::Endless => (None, "{bytes} {spinner} {bytes_per_sec}, {elapsed}"),
        };
        let style = ProgressStyle::with_template(template).expect("a constant template");
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Shows nothing.
    pub(crate) fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Counts bytes that are done.
    pub(crate) fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Counts bytes that are done, from anywhere, as long as this lives.
    pub(crate) fn counter(&self) -> impl Fn(u64) + Send + Sync + 'static {
        let bar = self.0.clone();
        move |bytes| bar.inc(bytes)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
