//! Output: a line per step, and a table at the end.

use std::time::Duration;

/// The steps so far.
#[derive(Default)]
pub(crate) struct Report {
    steps: usize,
    rows: Vec<(&'static str, String, Duration)>,
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

    /// Prints the table.
    pub(crate) fn print(&self) {
        println!("\n{:<26} {:>12} {:>10}", "step", "bytes", "seconds");
        for (what, how_much, time) in &self.rows {
            println!("{what:<26} {how_much:>12} {:>10.2}", time.as_secs_f64());
        }
    }
}

/// Formats a length in MiB.
pub(crate) fn mib(len: u64) -> String {
    format!("{} MiB", len >> 20)
}
