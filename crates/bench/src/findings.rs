//! Results of the runs.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    args::Plan, budget::BudgetRun, contender::Contender, instructions::InstructionCount,
    long_lived::LongLivedRun, measure::Cost, operation::Operation, servers::Counts,
    small_files::SmallFilesRun,
};

/// Case of the report. All its runs are measured in turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    pub(crate) operation: Operation,
    pub(crate) size: u64,
    pub(crate) latency_ms: u64,
    pub(crate) tls: bool,
}

/// Measured run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) cost: Cost,
    /// CPU time of the null server during the run.
    pub(crate) server: Duration,
    /// CPU use of all other processes during the run, in cores.
    pub(crate) noise: f64,
}

pub(crate) type Runs = BTreeMap<Case, BTreeMap<Contender, Vec<Run>>>;

/// CPU use by other processes, in cores, above which a run of [`TELLING`] or more is repeated.
pub(crate) const NOISY: f64 = 0.15;
/// Shortest run whose noise can be measured, because CPU times count in clock ticks.
pub(crate) const TELLING: Duration = Duration::from_millis(500);

/// All results.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) runs: &'a Runs,
    /// Sealwax's requests for one put and one get of each length.
    pub(crate) requests: &'a BTreeMap<(Operation, u64), Counts>,
    /// Sealwax's requests for one byte of a long object.
    pub(crate) range: &'a Counts,
    /// Sealwax's requests for many puts with the key cache.
    pub(crate) cached_puts: &'a Counts,
    pub(crate) small_files: &'a [SmallFilesRun],
    pub(crate) long_lived: &'a [LongLivedRun],
    pub(crate) budgets: &'a [BudgetRun],
    /// Instructions of one put and one get of the shortest length.
    pub(crate) instructions: &'a [InstructionCount],
}
