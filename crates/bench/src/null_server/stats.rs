//! Counts of the server's requests and bytes.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, PoisonError},
};

use nix::sys::resource::{UsageWho, getrusage};

/// Path of the counts.
pub(super) const PATH: &str = "/-/stats";

/// Counts by name: requests per operation, and bytes of bodies.
#[derive(Default)]
pub(super) struct Stats(Mutex<BTreeMap<&'static str, u64>>);

impl Stats {
    pub(super) fn count(&self, name: &'static str) {
        self.add(name, 1);
    }

    pub(super) fn add(&self, name: &'static str, number: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += number;
    }

    /// Returns the counts and the server's CPU time so far.
    pub(super) fn to_json(&self) -> io::Result<String> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let micros = [usage.user_time(), usage.system_time()]
            .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
        counts.insert("cpu_us", micros.iter().sum::<i64>().unsigned_abs());
        serde_json::to_string(&counts).map_err(io::Error::other)
    }
}
