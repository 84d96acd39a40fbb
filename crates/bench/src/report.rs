//! The report: `docs/BENCHMARKS.md`.

mod table;
mod targets;

use std::collections::BTreeMap;

use self::table::bytes;
use crate::{
    Result, cipher,
    contender::Contender,
    findings::{Case, Findings, NOISY, Operation, Runs, TELLING},
    machine,
    peers::Peers,
    request_counts,
    servers::Counts,
};

const INTRODUCTION: &str = "\
# Benchmarks

Written by `make bench`, which measures all of it in one go; edits are lost.

";

const METHOD: &str = "\
## Method

Each run is a process of its own, against a null S3 server on the loopback interface of the same machine. The server
discards uploads inside the kernel, sends objects by `sendfile`, verifies nothing, and can delay each answer; it is also
KMS. Traffic is plain HTTP: the cost of TLS is the same for all and left out. The objects to be read were stored by the
same client before, and what each client reads is compared once with what it stored. Files are in memory.

Clients take turns, each round beginning with another one. CPU is user and system time of the client, wall time is from
its start to its exit, memory is the peak of its resident set: the highest of all runs. Ratios are those of medians,
against the bare SDK in the same rounds. A run of half a second or more during which other processes used more than 0.15
cores is done again, up to three times.

";

const OVERHEAD: &str = "
The request to KMS has to be over before the first byte is sent, because the wrapped key travels in the first request to S3:
it is one request's time more, whatever the length, unless a program keeps keys in the cache. What is left at 1 MiB is a
second client with a connection of its own, and a longer start of the process. What grows with the length is the sealing,
by the table below; against it stands that part buffers are used again, where the bare SDK's upload gets fresh memory
from the system for each part.

";

/// Writes the report.
pub(crate) fn write(findings: &Findings<'_>) -> Result<String> {
    let mut text = String::from(INTRODUCTION);
    text += &machine::describe()?;
    text += &format!("- {}\n\n", noise(findings.runs));
    text += "## What must be reached\n\n";
    text += &targets::rows(findings)?;
    text += &overhead(findings);
    text += METHOD;
    let peers = Peers::open()?;
    text += "Clients:\n\n";
    for contender in &findings.plan.contenders {
        text += &format!("- **{}**: {}\n", contender.name(), contender.description(&peers)?);
    }
    text += "\n## Sealing and opening in memory, one core\n\n";
    text += &ciphers()?;
    for (operation, title) in [
        (Operation::Put, "Uploads of a file"),
        (Operation::Get, "Downloads to a file"),
        (Operation::Stream, "Uploads of standard input"),
    ] {
        for case in findings.runs.keys().filter(|case| case.operation == operation) {
            let delay = if case.latency_ms == 0 {
                String::new()
            } else {
                format!(", {} ms a request", case.latency_ms)
            };
            text += &format!("\n## {title}: {}{delay}\n\n", bytes(case.size));
            text += &table::of(*case, &findings.runs[case]);
        }
    }
    text += "\n## Requests\n\n";
    text += &requests(findings);
    Ok(text)
}

/// Where a sealed upload takes longer than a plain one, and why.
fn overhead(findings: &Findings<'_>) -> String {
    let mut text = String::from(
        "What a sealed upload takes more than the bare SDK's plain one, as medians (less than nothing: it takes less):\n\n\
         | length | a request takes | CPU | wall | wall, without the request to KMS |\n|---|---|---|---|---|\n",
    );
    for size in findings.plan.sizes.iter().copied() {
        for latency_ms in findings.plan.latencies.iter().copied() {
            let case = Case { operation: Operation::Put, size, latency_ms };
            let Some((ours, bare)) = targets::both(findings, case, Contender::BareSdk) else {
                continue;
            };
            let (cpu, wall) = ((ours.cpu - bare.cpu) * 1000.0, (ours.wall - bare.wall) * 1000.0);
            #[expect(clippy::cast_precision_loss, reason = "a few milliseconds")]
            let rest = wall - latency_ms as f64;
            text += &format!(
                "| {} | {latency_ms} ms | {cpu:.1} ms | {wall:.1} ms | {rest:.1} ms |\n",
                bytes(size)
            );
        }
    }
    text + OVERHEAD
}

/// How quiet the machine was, as far as its clock's ticks tell.
fn noise(runs: &Runs) -> String {
    let all: Vec<_> = runs.values().flat_map(BTreeMap::values).flatten().collect();
    let telling: Vec<_> = all.iter().filter(|run| run.cost.wall >= TELLING).collect();
    let noisy = telling.iter().filter(|run| run.noise > NOISY).count();
    format!(
        "{} runs, of which {} took {} s or more; in {noisy} of these other processes used more than {NOISY} cores",
        all.len(),
        telling.len(),
        TELLING.as_secs_f64(),
    )
}

fn ciphers() -> Result<String> {
    let mut text = String::from(
        "GB/s in place, in chunks of 16 KiB, as medians by criterion; in brackets the share of a bare loop of aws-lc-rs over \
         the same chunks in the same run. What is opened packed loses the room of its tags, too, by a copy.\n\n\
         | ciphers | operation | 16 KiB | 1 MiB | 8 MiB |\n|---|---|---|---|---|\n",
    );
    for backend in cipher::BACKENDS {
        for (operation, bare) in
            [("seal", "seal-bare"), ("open", "open-bare"), ("open-packed", "open-bare")]
        {
            text += &format!("| {backend} | {operation} |");
            for len in cipher::LENS {
                let ours = cipher::throughput(backend, operation, len)?;
                let bare = cipher::throughput(backend, bare, len)?;
                text += &match (ours, bare) {
                    (Some(ours), Some(bare)) => format!(" {ours:.2} ({:.2}) |", ours / bare),
                    _ => " not measured |".into(),
                };
            }
            text.push('\n');
        }
    }
    text += "\nOn 8 MiB, in turns with the bare loop, which is steadier than figures of different seconds:";
    for backend in cipher::BACKENDS {
        for operation in ["seal", "open"] {
            if let Some(share) = cipher::share(backend, operation)? {
                text += &format!(" {backend} {operation} {share:.3};");
            }
        }
    }
    text = text.trim_end_matches([';', ':']).to_owned() + ".\n";
    text += "\nOnce for each object (salt, key derivation, commitment, key schedule):";
    for backend in cipher::BACKENDS {
        for operation in ["seal", "open"] {
            if let Some(nanoseconds) =
                cipher::nanoseconds(backend, &format!("key-schedule-{operation}"))?
            {
                text += &format!(" {backend} {operation} {:.1} µs;", nanoseconds / 1000.0);
            }
        }
    }
    Ok(text.trim_end_matches([';', ':']).to_owned() + ".\n")
}

fn requests(findings: &Findings<'_>) -> String {
    let mut text =
        String::from("What `sealwax` asks for one object:\n\n| | requests |\n|---|---|\n");
    for ((operation, size), counts) in findings.requests {
        let operation = if *operation == Operation::Put { "put" } else { "get" };
        text += &format!("| {operation} of {} | {} |\n", bytes(*size), list(counts));
    }
    let range = bytes(request_counts::LEN);
    text += &format!("| one byte of {range}, by the library | {} |\n", list(findings.range));
    text + &format!(
        "| small puts with the key cache, by the library | {} |\n",
        list(findings.cached_puts)
    )
}

fn list(counts: &Counts) -> String {
    counts.requests().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}
