//! Progress of transfers and of jobs on many objects: a bar on a terminal, or lines of JSON.

use std::{
    fmt,
    io::{IsTerminal as _, Write as _, stderr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use clap::ValueEnum;
use futures_util::{Stream, TryStreamExt as _};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use sealwax_s3::{Error, ListedObject};
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::{
    figures::{number, size, span, three_digits},
    terminal_text::Width,
};

/// Time between two lines of JSON.
const JSON_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two drawings of a bar.
const TICK: Duration = Duration::from_millis(200);
/// Columns of the drawn part of a bar.
const BAR: usize = 20;
/// A total that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Form of the progress that is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressArg {
    /// As a bar, if standard error is a terminal.
    #[default]
    Auto,
    /// As a line of JSON on standard error each second, and at the end.
    Json,
    /// Not at all.
    None,
}

/// Progress of a transfer; ends when dropped.
#[derive(Debug)]
pub(crate) struct Progress(Display);

impl Progress {
    /// Shows a transfer of `total` bytes, if that is known.
    pub(crate) fn new(how: ProgressArg, total: Option<u64>) -> Self {
        let this = Self(Display::new(how, Unit::Bytes));
        if let Some(total) = total {
            this.expect(total);
        }
        this
    }

    /// Returns a hidden bar.
    pub(crate) fn hidden() -> Self {
        Self(Display::new(ProgressArg::None, Unit::Bytes))
    }

    /// Sets the total number of bytes.
    pub(crate) fn expect(&self, total: u64) {
        self.0.meter.total_bytes.store(total, Relaxed);
        self.0.bar.set_length(total);
    }

    /// Returns a function that counts transferred bytes.
    pub(crate) fn counter(&self) -> impl Fn(u64) + Send + Sync + 'static {
        let (bar, meter) = (self.0.bar.clone(), Arc::clone(&self.0.meter));
        move |bytes| {
            meter.bytes.fetch_add(bytes, Relaxed);
            bar.inc(bytes);
        }
    }
}

/// Progress of a job on many objects. Clones share it; it ends when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct JobProgress(Arc<Display>);

impl JobProgress {
    /// Shows a job of `total` objects, if that is known.
    pub(crate) fn new(how: ProgressArg, total: Option<u64>) -> Self {
        let this = Self(Arc::new(Display::new(how, Unit::Objects)));
        if let Some(total) = total {
            this.expect(total, None);
        }
        this
    }

    /// Sets the total number of objects, and of bytes if that is known.
    fn expect(&self, objects: u64, bytes: Option<u64>) {
        self.0.meter.total_objects.store(objects, Relaxed);
        self.0.meter.total_bytes.store(bytes.unwrap_or(UNKNOWN), Relaxed);
        self.0.bar.set_length(objects);
    }

    /// Counts the job's objects in parallel with a separate listing, to estimate the remaining
    /// time.
    ///
    /// The count ends when the returned guard is dropped. If nothing is shown, `objects` is not
    /// called.
    pub(crate) fn count<S>(&self, objects: impl FnOnce() -> Option<S>) -> Counting
    where
        S: Stream<Item = Result<ListedObject, Error>> + Send + 'static,
    {
        self.census(|| Some(objects()?.map_ok(|_| 0)), false)
    }

    /// Counts the job's objects and their bytes in parallel, as [`JobProgress::count`] does.
    pub(crate) fn measure<S, E>(&self, lengths: impl FnOnce() -> Option<S>) -> Counting
    where
        S: Stream<Item = Result<u64, E>> + Send + 'static,
        E: Send + 'static,
    {
        self.census(lengths, true)
    }

    fn census<S, E>(&self, lengths: impl FnOnce() -> Option<S>, has_bytes: bool) -> Counting
    where
        S: Stream<Item = Result<u64, E>> + Send + 'static,
        E: Send + 'static,
    {
        let lengths = if self.0.is_shown() { lengths() } else { None };
        let this = self.clone();
        Counting(lengths.map(|lengths| {
            tokio::spawn(async move {
                let sum = |(objects, bytes): (u64, u64), length| {
                    std::future::ready(Ok((objects + 1, bytes + length)))
                };
                // The job itself reports errors of the listing.
                if let Ok((objects, bytes)) = lengths.try_fold((0, 0), sum).await {
                    this.expect(objects, has_bytes.then_some(bytes));
                }
            })
        }))
    }

    /// Counts bytes as transferred.
    pub(crate) fn transferred(&self, bytes: u64) {
        self.0.meter.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts one object as done; `failed` is the number of failures so far.
    pub(crate) fn one_more(&self, failed: u64) {
        self.0.meter.objects.fetch_add(1, Relaxed);
        self.0.meter.failed.store(failed, Relaxed);
        self.0.bar.inc(1);
    }

    /// Hides the bar while `show` writes to the terminal.
    pub(crate) fn suspend(&self, show: impl FnOnce()) {
        self.0.bar.suspend(show);
    }

    /// Clears the bar.
    pub(crate) fn end(&self) {
        self.0.bar.finish_and_clear();
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

/// Unit of a bar's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Objects,
}

/// A bar, lines of JSON, or nothing.
#[derive(Debug)]
struct Display {
    meter: Arc<Meter>,
    bar: ProgressBar,
    lines: Option<JoinHandle<()>>,
}

impl Display {
    fn new(how: ProgressArg, unit: Unit) -> Self {
        let meter = Arc::new(Meter::new(unit));
        let (mut bar, mut lines) = (ProgressBar::hidden(), None);
        match how {
            ProgressArg::None => {}
            ProgressArg::Json => {
                let meter = Arc::clone(&meter);
                lines = Some(tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(JSON_INTERVAL).await;
                        meter.print_json();
                    }
                }));
            }
            ProgressArg::Auto if stderr().is_terminal() => {
                bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                let meter = Arc::clone(&meter);
                let line = move |state: &ProgressState, text: &mut dyn fmt::Write| {
                    let shown = Shown::of(&meter, state.per_sec(), state.eta());
                    // Write errors don't matter here.
                    let _ = text
                        .write_str(&shown.line(Width::of(&stderr()).columns().saturating_sub(3)));
                };
                let style = ProgressStyle::with_template("{spinner} {line}");
                bar.set_style(style.expect("a constant template").with_key("line", line));
                bar.enable_steady_tick(TICK);
            }
            ProgressArg::Auto => {}
        }
        Self { meter, bar, lines }
    }

    /// `false` if nothing is shown.
    fn is_shown(&self) -> bool {
        self.lines.is_some() || !self.bar.is_hidden()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        if let Some(lines) = &self.lines {
            lines.abort();
            self.meter.print_json();
        }
    }
}

/// Counts of a transfer or job.
#[derive(Debug)]
struct Meter {
    unit: Unit,
    began: Instant,
    objects: AtomicU64,
    total_objects: AtomicU64,
    bytes: AtomicU64,
    total_bytes: AtomicU64,
    failed: AtomicU64,
}

impl Meter {
    fn new(unit: Unit) -> Self {
        Self {
            unit,
            began: Instant::now(),
            objects: AtomicU64::new(0),
            total_objects: AtomicU64::new(UNKNOWN),
            bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(UNKNOWN),
            failed: AtomicU64::new(0),
        }
    }

    /// Prints a line of JSON on standard error.
    fn print_json(&self) {
        let shown = Shown::of(self, 0.0, Duration::ZERO);
        let is_job = self.unit == Unit::Objects;
        let line = Line {
            progress: Counts {
                objects: is_job.then_some(shown.objects),
                total_objects: shown.total_objects.filter(|_| is_job),
                bytes: shown.bytes,
                total_bytes: shown.total_bytes,
                failed: is_job.then_some(shown.failed),
                seconds: shown.elapsed.as_secs_f64(),
            },
        };
        let text = serde_json::to_string(&line).expect("numbers");
        // A closed standard error is no failure.
        let _ = stderr().lock().write_all(format!("{text}\n").as_bytes());
    }
}

/// Line of JSON.
#[derive(Debug, Serialize)]
struct Line {
    progress: Counts,
}

/// Counts in a line of JSON. Totals follow once they are known.
#[derive(Debug, Serialize)]
struct Counts {
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_objects: Option<u64>,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<u64>,
    seconds: f64,
}

/// State that a bar shows.
#[derive(Debug, Clone, PartialEq)]
struct Shown {
    unit: Unit,
    objects: u64,
    total_objects: Option<u64>,
    bytes: u64,
    total_bytes: Option<u64>,
    failed: u64,
    elapsed: Duration,
    /// Bytes or objects in a second.
    rate: f64,
    left: Duration,
}

impl Shown {
    fn of(meter: &Meter, rate: f64, left: Duration) -> Self {
        let known = |total: &AtomicU64| Some(total.load(Relaxed)).filter(|total| *total != UNKNOWN);
        Self {
            unit: meter.unit,
            objects: meter.objects.load(Relaxed),
            total_objects: known(&meter.total_objects),
            bytes: meter.bytes.load(Relaxed),
            total_bytes: known(&meter.total_bytes),
            failed: meter.failed.load(Relaxed),
            elapsed: meter.began.elapsed(),
            rate,
            left,
        }
    }

    /// Returns the line for a terminal of `width` columns. If it is narrow, the least important
    /// figures are left out.
    fn line(&self, width: usize) -> String {
        let objects = match self.total_objects {
            Some(total) => format!("{} of {} objects", number(self.objects), number(total)),
            None => format!("{} objects", number(self.objects)),
        };
        let bytes = match self.total_bytes {
            Some(total) => format!("{} of {}", size(self.bytes), size(total)),
            None => size(self.bytes),
        };
        let failed =
            if self.failed > 0 { format!("{} failed", number(self.failed)) } else { String::new() };
        let has_bytes = self.bytes > 0 || self.total_bytes.is_some();
        // In their order on the line, with their importance.
        let figures = match self.unit {
            Unit::Bytes => vec![(5, bytes), (1, self.bar()), (3, self.rate()), (4, self.time())],
            Unit::Objects => vec![
                (6, objects),
                (2, if has_bytes { bytes } else { String::new() }),
                (1, self.bar()),
                (3, self.rate()),
                (4, self.time()),
                (5, failed),
            ],
        };
        let mut figures: Vec<_> =
            figures.into_iter().filter(|(_, figure)| !figure.is_empty()).collect();
        loop {
            let line = figures.iter().map(|(_, figure)| &**figure).collect::<Vec<_>>().join("  ");
            if line.chars().count() <= width || figures.len() == 1 {
                return line.chars().take(width).collect();
            }
            let least = figures.iter().map(|(importance, _)| *importance).min();
            figures.retain(|(importance, _)| Some(*importance) != least);
        }
    }

    /// Returns what is done and the total, in the bar's unit.
    fn done_of_total(&self) -> (u64, Option<u64>) {
        match self.unit {
            Unit::Bytes => (self.bytes, self.total_bytes),
            Unit::Objects => (self.objects, self.total_objects),
        }
    }

    fn bar(&self) -> String {
        let (done, Some(total)) = self.done_of_total() else { return String::new() };
        let filled = match total {
            0 => BAR,
            _ => (u128::from(done.min(total)) * BAR as u128 / u128::from(total)) as usize,
        };
        format!("[{}{}]", "#".repeat(filled), "-".repeat(BAR - filled))
    }

    fn rate(&self) -> String {
        if !self.rate.is_finite() || self.rate < 0.005 {
            return String::new();
        }
        match self.unit {
            Unit::Bytes if self.rate < 1.0 => String::new(),
            Unit::Bytes => format!("{}/s", size(self.rate as u64)),
            Unit::Objects if self.rate < 1000.0 => format!("{}/s", three_digits(self.rate)),
            Unit::Objects => format!("{}/s", number(self.rate as u64)),
        }
    }

    /// Returns the time left, or the time so far if the total is not known.
    fn time(&self) -> String {
        match self.done_of_total() {
            (_, None) => span(self.elapsed),
            // There is no estimate before the first one.
            (0, Some(total)) if total > 0 => String::new(),
            // S3 completes an upload, or the last answers are on their way.
            (done, Some(total)) if done >= total => "completing".to_owned(),
            _ => format!("{} left", span(self.left.max(Duration::from_secs(1)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn transfer(bytes: u64, total: Option<u64>, rate: f64, left: u64) -> Shown {
        let meter = Meter::new(Unit::Bytes);
        meter.bytes.store(bytes, Relaxed);
        meter.total_bytes.store(total.unwrap_or(UNKNOWN), Relaxed);
        let shown = Shown::of(&meter, rate, Duration::from_secs(left));
        Shown { elapsed: Duration::from_secs(75), ..shown }
    }

    fn job(objects: u64, total: Option<u64>, failed: u64) -> Shown {
        let meter = Meter::new(Unit::Objects);
        meter.objects.store(objects, Relaxed);
        meter.total_objects.store(total.unwrap_or(UNKNOWN), Relaxed);
        meter.failed.store(failed, Relaxed);
        let shown = Shown::of(&meter, 155.2336, Duration::from_secs(6));
        Shown { elapsed: Duration::from_secs(6), ..shown }
    }

    #[test]
    fn a_transfer_tells_bytes_rate_and_time_left() {
        let half = transfer(512 << 20, Some(1 << 30), 53_687_091.2, 10);
        assert_eq!(
            half.line(77),
            "512 MiB of 1.00 GiB  [##########----------]  51.2 MiB/s  10 s left"
        );
        assert_eq!(half.line(40), "512 MiB of 1.00 GiB  10 s left");
        assert_eq!(half.line(20), "512 MiB of 1.00 GiB");
        assert_eq!(transfer(512, None, 0.0, 0).line(77), "512 bytes  1 min 15 s");
    }

    #[test]
    fn nothing_is_left_only_when_nothing_runs() {
        let time = |shown: Shown| shown.line(40).split("  ").nth(1).map(str::to_owned);
        assert_eq!(time(transfer(0, Some(9), 0.0, 0)), None, "no estimate yet");
        assert_eq!(time(transfer(8, Some(9), 0.0, 0)).as_deref(), Some("1 s left"));
        assert_eq!(time(transfer(9, Some(9), 0.0, 0)).as_deref(), Some("completing"));
    }

    #[test]
    fn a_job_tells_objects_bytes_and_failures() {
        assert_eq!(job(1005, None, 0).line(77), "1,005 objects  155/s  6 s");
        let mut known = job(1005, Some(2000), 2);
        assert_eq!(
            known.line(77),
            "1,005 of 2,000 objects  [##########----------]  155/s  6 s left  2 failed"
        );
        (known.bytes, known.total_bytes) = (3 << 20, Some(4 << 20));
        assert_eq!(
            known.line(77),
            "1,005 of 2,000 objects  3.00 MiB of 4.00 MiB  155/s  6 s left  2 failed"
        );
        assert_eq!(known.line(40), "1,005 of 2,000 objects  2 failed");
        assert_eq!(
            job(0, Some(0), 0).line(77),
            "0 of 0 objects  [####################]  155/s  completing"
        );
    }

    proptest! {
        #[test]
        fn a_line_fits_the_terminal(
            bytes: u64, objects: u64, total in proptest::option::of(any::<u64>()), failed: u64,
            rate in any::<f64>(), left in any::<u32>(), width in 0..200_usize,
        ) {
            for unit in [Unit::Bytes, Unit::Objects] {
                let shown = Shown {
                    unit, objects, total_objects: total, bytes, total_bytes: total, failed,
                    elapsed: Duration::from_secs(left.into()), rate, left: Duration::from_secs(left.into()),
                };
                prop_assert!(shown.line(width).chars().count() <= width);
                prop_assert!(!shown.line(width).contains(" 0 s left"));
            }
        }
    }
}
