//! Results of the runs.

use std::{collections::BTreeMap, time::Duration};

use crate::{args::Plan, contender::Contender, measure::Cost, servers::Counts};

/// What is done with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Put,
    Get,
    /// A put from standard input.
    Stream,
}

/// One cell of the report: everything of it was measured in turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) operation: Operation,
    pub(crate) size: u64,
    pub(crate) latency_ms: u64,
}

/// One measured run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) cost: Cost,
    /// CPU time of the null server meanwhile.
    pub(crate) server: Duration,
    /// CPU time of everything else on the machine meanwhile, in cores.
    pub(crate) noise: f64,
}

pub(crate) type Runs = BTreeMap<Case, BTreeMap<Contender, Vec<Run>>>;

/// CPU use by other processes, in cores, above which a run of [`TELLING`] or more is repeated.
pub(crate) const NOISY: f64 = 0.15;
/// Shortest run whose noise the machine's clock ticks tell.
pub(crate) const TELLING: Duration = Duration::from_millis(500);

/// All that was found out.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) runs: &'a Runs,
    /// What Sealwax asked of the server for one put and one get of each length.
    pub(crate) requests: &'a BTreeMap<(Operation, u64), Counts>,
    /// What it asked for one byte of a long object.
    pub(crate) range: &'a Counts,
    /// What it asked for many puts with the key cache.
    pub(crate) cached_puts: &'a Counts,
}
