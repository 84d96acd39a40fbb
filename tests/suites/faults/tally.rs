//! Counts of faults and outcomes.

use std::{collections::BTreeMap, fmt};

use sealwax_s3::Error;

use crate::{ledger::Ledger, orphans::Orphans, plan::Fault};

/// Outcome of an operation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Ok,
    Failed(String),
    Dropped,
}

impl Outcome {
    pub(crate) fn of<T>(result: &Option<Result<T, Error>>) -> Self {
        match result {
            None => Self::Dropped,
            Some(Ok(_)) => Self::Ok,
            Some(Err(error)) => Self::Failed(format!("{:?}", error.kind())),
        }
    }
}

/// Totals over all plans.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) plans: usize,
    pub(crate) requests: usize,
    pub(crate) faults: BTreeMap<Fault, usize>,
    pub(crate) outcomes: BTreeMap<(&'static str, Outcome), usize>,
    pub(crate) orphans: Orphans,
    /// Operations that failed although their object was stored, and could not know it.
    pub(crate) hidden: usize,
}

/// Result of one plan.
pub(crate) struct Run {
    pub(crate) operation: &'static str,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) orphans: Orphans,
    pub(crate) hidden: bool,
}

impl Tally {
    pub(crate) fn add(&mut self, run: Run, ledgers: &[Ledger]) {
        self.plans += 1;
        for (_, fault) in ledgers.iter().flat_map(Ledger::entries) {
            self.requests += 1;
            if let Some(fault) = fault {
                *self.faults.entry(fault).or_default() += 1;
            }
        }
        for outcome in run.outcomes {
            *self.outcomes.entry((run.operation, outcome)).or_default() += 1;
        }
        self.orphans.unaborted += run.orphans.unaborted;
        self.orphans.unknown += run.orphans.unknown;
        self.hidden += usize::from(run.hidden);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: usize = self.faults.values().sum();
        writeln!(
            f,
            "{} plans, {} requests, {faults} faults: {:?}",
            self.plans, self.requests, self.faults
        )?;
        let mut operation = "";
        for ((name, outcome), count) in &self.outcomes {
            let separator = if *name == operation { ", " } else { "\n  " };
            write!(
                f,
                "{separator}{}{outcome:?} {count}",
                if *name == operation { String::new() } else { format!("{name}: ") }
            )?;
            operation = name;
        }
        write!(
            f,
            "\n  stored without the client's knowledge: {}; uploads left behind: {} not aborted, {} unknown",
            self.hidden, self.orphans.unaborted, self.orphans.unknown
        )
    }
}
