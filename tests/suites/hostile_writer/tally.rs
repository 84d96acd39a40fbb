//! Counts of combinations.

use std::{collections::BTreeMap, fmt};

use crate::{
    change::Change,
    operation::Operation,
    outcome::Outcome,
    scene::{Kind, Role},
};

/// Totals over all combinations.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) operations: BTreeMap<Operation, usize>,
    pub(crate) changes: BTreeMap<Change, usize>,
    pub(crate) pairs: BTreeMap<(Operation, Change), usize>,
    roles: BTreeMap<Role, usize>,
    kinds: BTreeMap<Kind, usize>,
    outcomes: BTreeMap<String, usize>,
    kms_calls: usize,
}

impl Tally {
    pub(crate) fn add(
        &mut self,
        (operation, change, role, kind): (Operation, Change, Role, Kind),
        outcome: &Outcome,
        kms_calls: usize,
    ) {
        *self.operations.entry(operation).or_default() += 1;
        *self.changes.entry(change).or_default() += 1;
        *self.pairs.entry((operation, change)).or_default() += 1;
        *self.roles.entry(role).or_default() += 1;
        *self.kinds.entry(kind).or_default() += 1;
        *self.outcomes.entry(outcome.kind()).or_default() += 1;
        self.kms_calls += kms_calls;
    }

    pub(crate) fn combinations(&self) -> usize {
        self.operations.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} combinations of {} operations and {} changes, {} calls of KMS",
            self.combinations(),
            self.operations.len(),
            self.changes.len(),
            self.kms_calls
        )?;
        writeln!(f, "  operations: {:?}", self.operations)?;
        writeln!(f, "  changes: {:?}", self.changes)?;
        writeln!(f, "  roles: {:?}", self.roles)?;
        writeln!(f, "  kinds of objects: {:?}", self.kinds)?;
        write!(f, "  outcomes: {:?}", self.outcomes)
    }
}
