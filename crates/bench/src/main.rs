//! Benchmarks of whole processes against a null S3 server: `sealwax`, the bare SDK on plain bytes,
//! and other clients.
//!
//! `make bench` runs it and writes `docs/BENCHMARKS.md`. The server discards uploads and sends
//! stored bytes without touching them, so the figures show the client. Each measured run is a
//! separate process. This program also starts itself for everything that must not share a process:
//! the server, the bare SDK, and the measurement of a child.

mod args;
mod bare_sdk;
mod budget;
mod cipher;
mod contender;
mod findings;
mod instructions;
mod long_lived;
mod machine;
mod measure;
mod null_server;
mod operation;
mod peers;
mod report;
mod request_counts;
mod rewrap_benchmark;
mod rounds;
mod servers;
mod small_files;

use std::{error::Error, process::ExitCode};

use clap::Parser as _;

use self::args::{Args, Own};

/// Result of a step; any error ends the benchmark.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    match args.own {
        Some(Own::Serve { store, latency_ms }) => null_server::serve(&store, latency_ms),
        Some(Own::Measure { command }) => measure::child(&command),
        Some(Own::Feed { bytes }) => measure::feed(bytes),
        Some(Own::BarePut { lazy_tls, file, bucket, key }) => {
            bare_sdk::put(lazy_tls, &file, &bucket, &key)
        }
        Some(Own::BareGet { lazy_tls, bucket, key, file }) => {
            bare_sdk::get(lazy_tls, &bucket, &key, &file)
        }
        Some(Own::LongLived { client, operations }) => long_lived::work(client, operations),
        Some(Own::BudgetPut { mib, file }) => budget::put(mib, &file),
        None if args.plan.rewrap => rewrap_benchmark::run(args.plan.quick, args.plan.fewer),
        None => rounds::run(&args.plan.resolve()?),
    }
}
