//! Counts of what happened, and what was wrong.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Most violations that are printed.
const SHOWN: usize = 20;

/// Counts. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    counts: BTreeMap<String, u64>,
    violations: Vec<String>,
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, name: impl Display, count: u64) {
        *self.lock().counts.entry(name.to_string()).or_default() += count;
    }

    /// Keeps the largest value.
    pub(crate) fn most(&self, name: impl Display, value: u64) {
        let mut inner = self.lock();
        let most = inner.counts.entry(name.to_string()).or_default();
        *most = value.max(*most);
    }

    pub(crate) fn answered(&self, operation: &str, took: Duration) {
        self.add(format!("requests: {operation}"), 1);
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.most(format!("longest in ms: {operation}"), took);
    }

    /// Records something that must not be.
    pub(crate) fn violation(&self, what: impl Into<String>) {
        let what = what.into();
        let mut inner = self.lock();
        if inner.violations.len() < SHOWN {
            eprintln!("VIOLATION: {what}");
        }
        inner.violations.push(what);
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.lock().violations.is_empty()
    }

    pub(crate) fn print(&self) {
        let inner = self.lock();
        for (name, count) in &inner.counts {
            println!("{name:<44} {count:>12}");
        }
        println!("{:<44} {:>12}", "violations", inner.violations.len());
        for violation in inner.violations.iter().take(SHOWN) {
            println!("  {violation}");
        }
    }
}
