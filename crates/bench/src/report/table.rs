//! Table of each case.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    contender::Contender,
    findings::{Case, Findings, Run},
};

/// Summary of one client's runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Summary {
    pub(super) least_wall: f64,
    /// Median, in seconds.
    pub(super) wall: f64,
    /// Median, in seconds.
    pub(super) cpu: f64,
    /// Median CPU seconds of the server.
    server: f64,
    /// Highest, in bytes.
    pub(super) memory: u64,
}

impl Summary {
    pub(super) fn new(runs: &[Run]) -> Self {
        let median = |seconds: fn(&Run) -> Duration| {
            let mut seconds: Vec<_> = runs.iter().map(seconds).collect();
            seconds.sort();
            seconds.get(seconds.len() / 2).copied().unwrap_or_default().as_secs_f64()
        };
        Self {
            least_wall: runs
                .iter()
                .map(|run| run.cost.wall)
                .min()
                .unwrap_or_default()
                .as_secs_f64(),
            wall: median(|run| run.cost.wall),
            cpu: median(|run| run.cost.cpu),
            server: median(|run| run.server),
            memory: runs.iter().map(|run| run.cost.memory).max().unwrap_or_default(),
        }
    }
}

/// Returns the table of a case.
pub(super) fn of(case: Case, contenders: &BTreeMap<Contender, Vec<Run>>) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a length far below 2^52")]
    let gib = case.size as f64 / f64::from(1 << 30);
    let bare = contenders.get(&Contender::BareSdk).map(|runs| Summary::new(runs));
    let ratio = |ours: f64, of: fn(Summary) -> f64| match bare {
        Some(bare) => format!("{:.2}", ours / of(bare)),
        None => "–".into(),
    };
    let mut text = String::from(
        "| client | wall: least | median | ratio | CPU: median | per GiB | ratio | memory | server's CPU | runs |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (contender, runs) in contenders {
        let summary = Summary::new(runs);
        let Summary { least_wall, wall, cpu, server, memory } = summary;
        text += &format!(
            "| {} | {least_wall:.3} s | {wall:.3} s | {} | {cpu:.3} s | {:.2} s | {} | {} MiB | {server:.3} s | {} |\n",
            contender.name(),
            ratio(wall, |bare| bare.wall),
            cpu / gib,
            ratio(cpu, |bare| bare.cpu),
            memory >> 20,
            runs.len(),
        );
    }
    text
}

/// Formats a length, such as `64 MiB`.
pub(super) fn bytes(len: u64) -> String {
    match len {
        len if len >= 1 << 30 && len.is_multiple_of(1 << 30) => format!("{} GiB", len >> 30),
        len if len.is_multiple_of(1 << 20) => format!("{} MiB", len >> 20),
        len => format!("{len} bytes"),
    }
}

/// Returns the summary of one client in a case.
pub(super) fn runs_of(
    findings: &Findings<'_>,
    case: Case,
    contender: Contender,
) -> Option<Summary> {
    findings.runs.get(&case)?.get(&contender).map(|runs| Summary::new(runs))
}
