//! Output: a line per step, and a table at the end.

use std::time::Duration;

/// The steps so far.
#[derive(Default)]
pub(crate) struct Report {
    steps: usize,
    rows: Vec<(&'static str, String, Duration)>,
    calls: Vec<(String, usize, Calls, Option<Duration>)>,
}

/// Numbers of requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calls {
    pub(crate) kms: u64,
    pub(crate) s3: u64,
}

impl Calls {
    pub(crate) fn since(self, before: &Self) -> Self {
        Self { kms: self.kms - before.kms, s3: self.s3 - before.s3 }
    }
}

impl Report {
    /// Prints a step.
    pub(crate) fn step(&mut self, text: String) {
        self.steps += 1;
        println!("{:>2}. {text}", self.steps);
    }

    /// Adds a row to the table.
    pub(crate) fn row(&mut self, what: &'static str, how_much: String, time: Duration) {
        self.rows.push((what, how_much, time));
    }

    /// Adds a row to the table of calls.
    pub(crate) fn calls(&mut self, what: &str, of: usize, calls: Calls, time: Duration) {
        self.calls.push((what.to_owned(), of, calls, Some(time)));
    }

    /// Adds a row for what was not done.
    pub(crate) fn instead(&mut self, what: &str, of: usize, calls: Calls) {
        self.calls.push((what.to_owned(), of, calls, None));
    }

    /// Prints the tables.
    pub(crate) fn print(&self) {
        println!("\n{:<26} {:>12} {:>10}", "step", "bytes", "seconds");
        for (what, how_much, time) in &self.rows {
            println!("{what:<26} {how_much:>12} {:>10.2}", time.as_secs_f64());
        }
        println!(
            "\n{:<30} {:>8} {:>10} {:>10} {:>10}",
            "second act", "of", "KMS calls", "S3 calls", "seconds"
        );
        for (what, of, calls, time) in &self.calls {
            let time =
                time.map_or_else(|| "-".to_owned(), |time| format!("{:.2}", time.as_secs_f64()));
            println!("{what:<30} {of:>8} {:>10} {:>10} {time:>10}", calls.kms, calls.s3);
        }
    }
}

/// Formats a length in MiB.
pub(crate) fn mib(len: u64) -> String {
    format!("{} MiB", len >> 20)
}
