//! Arguments of the benchmark.

use std::{ffi::OsString, path::PathBuf};

use clap::{Parser, Subcommand};

use crate::{Result, contender::Contender, long_lived::LongLivedClient};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Benchmark whole processes against a null S3 server.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(subcommand)]
    pub(crate) own: Option<Own>,
}

/// Internal subcommands, for processes that this program starts.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
pub(crate) enum Own {
    /// Run the null server
    Serve { store: PathBuf, latency_ms: u64 },
    /// Run a command and print its cost
    Measure {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Write bytes to standard output
    Feed { bytes: u64 },
    /// Upload plain bytes with the bare SDK
    BarePut {
        /// Use Sealwax's HTTP client
        #[arg(long)]
        lazy_tls: bool,
        file: PathBuf,
        bucket: String,
        key: String,
    },
    /// Download plain bytes with the bare SDK
    BareGet {
        /// Use Sealwax's HTTP client
        #[arg(long)]
        lazy_tls: bool,
        bucket: String,
        key: String,
        file: PathBuf,
    },
    /// Put and get one object again and again, and print the costs
    LongLived { client: LongLivedClient, operations: u32 },
    /// Upload a file with the library and this memory budget
    BudgetPut { mib: usize, file: PathBuf },
}

/// Options that select the measurements.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Measure little, for a trial
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure bulk rewraps instead, into docs/BENCHMARKS-REWRAP.md
    #[arg(long)]
    pub(crate) rewrap: bool,
    /// With --rewrap: measure this many times fewer objects and keys
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) fewer: u64,
    /// Lengths of objects, such as 1MiB,64MiB,1GiB
    #[arg(long, value_delimiter = ',', value_parser = bytes)]
    sizes: Vec<u64>,
    /// Length of the upload from standard input; 0 omits it
    #[arg(long, value_parser = bytes)]
    stream: Option<u64>,
    /// Delays of the server's responses in ms, such as 0,30
    #[arg(long, value_delimiter = ',')]
    latencies: Vec<u64>,
    /// Clients to measure
    #[arg(long, value_delimiter = ',', value_enum)]
    contenders: Vec<Contender>,
    /// Number of runs of each client [default: depends on the length]
    #[arg(long)]
    runs: Option<usize>,
    /// Report file
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Selected measurements.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) quick: bool,
    pub(crate) sizes: Vec<u64>,
    pub(crate) stream: Option<u64>,
    pub(crate) latencies: Vec<u64>,
    pub(crate) contenders: Vec<Contender>,
    runs: Option<usize>,
    pub(crate) out: PathBuf,
}

impl PlanArgs {
    /// Fills in defaults.
    pub(crate) fn resolve(self) -> Result<Plan> {
        let or = |given: Vec<u64>, quick: &[u64], full: &[u64]| match given.is_empty() {
            true if self.quick => quick.to_vec(),
            true => full.to_vec(),
            false => given,
        };
        let stream = self.stream.unwrap_or(if self.quick { 256 * MIB } else { 20 * GIB });
        let contenders =
            if self.contenders.is_empty() { Contender::ALL.to_vec() } else { self.contenders };
        // Only a full run updates the documentation.
        let out = if self.quick { "target/bench/QUICK.md" } else { "docs/BENCHMARKS.md" };
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Ok(Plan {
            quick: self.quick,
            sizes: or(self.sizes, &[MIB, 64 * MIB], &[MIB, 64 * MIB, GIB]),
            stream: (stream > 0).then_some(stream),
            latencies: or(self.latencies, &[0], &[0, 30]),
            contenders,
            runs: self.runs.or(self.quick.then_some(3)),
            out: self.out.unwrap_or_else(|| root.join(out)),
        })
    }
}

impl Plan {
    /// Returns the number of runs for `size` bytes.
    pub(crate) fn runs(&self, size: u64) -> usize {
        self.runs.unwrap_or(match size {
            size if size <= MIB => 21,
            size if size < GIB => 11,
            _ => 5,
        })
    }
}

/// Parses `64MiB`, `1GiB` or `0`.
fn bytes(text: &str) -> std::result::Result<u64, String> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => MIB,
        "GiB" => GIB,
        unit => return Err(format!("{unit:?} is not KiB, MiB or GiB")),
    };
    digits.parse().map(|number: u64| number * unit).map_err(|error| error.to_string())
}
