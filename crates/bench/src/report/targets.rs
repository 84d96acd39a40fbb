//! Targets of Sealwax, met or missed.

use std::time::Duration;

use super::table::{Summary, bytes, runs_of};
use crate::{
    Result, cipher,
    contender::Contender,
    findings::{Case, Findings},
    long_lived::{LongLivedClient, LongLivedRun},
    operation::Operation,
    request_counts,
    servers::Counts,
    small_files::SmallFilesRun,
};

/// Maximum memory of an upload: the default byte budget and 24 MiB.
const UPLOAD_MEMORY: u64 = (128 + 24) << 20;
/// Maximum memory of a download.
const DOWNLOAD_MEMORY: u64 = 48 << 20;
/// Length up to which two TLS handshakes, with KMS and with S3, count against one.
const SHORT: u64 = 1 << 20;
/// Maximum body bytes for one byte of an object: two chunks of 16 KiB and their tags.
const RANGE_LIMIT: u64 = 33_000;

/// Row of the table; `met` is `None` if something was not measured.
struct Row {
    what: String,
    must: String,
    measured: String,
    met: Option<bool>,
}

/// Returns the table.
pub(super) fn rows(findings: &Findings<'_>) -> Result<String> {
    let mut rows = Vec::new();
    for operation in [Operation::Put, Operation::Get] {
        for tls in [false, true] {
            for size in findings.plan.sizes.iter().copied() {
                let case = Case { operation, size, latency_ms: 0, tls };
                rows.extend([against_bare_sdk(findings, case), against_s5cmd(findings, case)]);
            }
        }
        rows.extend(long_lived(findings, operation));
    }
    rows.extend(small_files(findings));
    rows.push(memory(findings, Operation::Put, UPLOAD_MEMORY));
    rows.push(memory(findings, Operation::Get, DOWNLOAD_MEMORY));
    rows.push(range(findings));
    rows.extend([kms_calls(findings, Operation::Put), kms_calls(findings, Operation::Get)]);
    rows.push(cached_puts(findings));
    rows.extend([cipher_row("seal")?, cipher_row("open")?]);
    let mut text = String::from("| what | target | measured | |\n|---|---|---|---|\n");
    for Row { what, must, measured, met } in rows {
        let met = match met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        text += &format!("| {what} | {must} | {measured} | {met} |\n");
    }
    Ok(text + "\n")
}

fn cipher_row(operation: &str) -> Result<Row> {
    let share = cipher::share("aws-lc-rs", operation)?;
    Ok(Row {
        what: format!("{operation}, one core, 16 KiB chunks, 8 MiB buffers"),
        must: "≥ 0.95 of a bare aws-lc-rs loop over the same chunks".into(),
        measured: share.map_or("–".into(), |share| format!("{share:.3}")),
        met: share.map(|share| share >= 0.95),
    })
}

fn against_bare_sdk(findings: &Findings<'_>, case: Case) -> Row {
    let most = match (case.operation, case.tls) {
        // Two handshakes.
        (_, true) if case.size <= SHORT => 1.25,
        (Operation::Put, _) if (SHORT + 1..1 << 30).contains(&case.size) => 1.05,
        _ => 0.95,
    };
    let ratios = ratios(findings, case, Contender::BareSdk);
    Row {
        what: format!("sealed {} and the bare SDK's of plain bytes", conditions(case)),
        must: format!("CPU and wall ≤ {most}×"),
        measured: measured(ratios),
        met: ratios.map(|(cpu, wall)| cpu <= most && wall <= most),
    }
}

fn against_s5cmd(findings: &Findings<'_>, case: Case) -> Row {
    let ratios = ratios(findings, case, Contender::S5cmd);
    Row {
        what: format!("sealed {} and s5cmd's of plain bytes", conditions(case)),
        must: "CPU and wall < 1×".into(),
        measured: measured(ratios),
        met: ratios.map(|(cpu, wall)| cpu < 1.0 && wall < 1.0),
    }
}

/// Returns our CPU and wall time as multiples of another client's.
fn ratios(findings: &Findings<'_>, case: Case, other: Contender) -> Option<(f64, f64)> {
    both(findings, case, other).map(|(ours, other)| (ours.cpu / other.cpu, ours.wall / other.wall))
}

fn measured(ratios: Option<(f64, f64)>) -> String {
    ratios.map_or("–".into(), |(cpu, wall)| format!("CPU {cpu:.2}×, wall {wall:.2}×"))
}

/// Returns the rows of a program whose connections are open and whose key is cached.
fn long_lived(findings: &Findings<'_>, operation: Operation) -> Vec<Row> {
    let mean = |client, latency_ms, tls| {
        let is_it = |run: &&LongLivedRun| {
            (run.client, run.operation, run.latency_ms, run.tls)
                == (client, operation, latency_ms, tls)
        };
        findings.long_lived.iter().find(is_it).map(|run| run.mean)
    };
    let what = |with: String| {
        format!(
            "sealed {} of 1 MiB by a long-lived program with the key cache, {with}",
            operation.name()
        )
    };
    let ours = mean(LongLivedClient::Sealwax, 0, true);
    let against_bare = ours.zip(mean(LongLivedClient::BareSdk, 0, true)).map(|(ours, bare)| {
        let ratio = |ours: Duration, bare: Duration| ours.as_secs_f64() / bare.as_secs_f64();
        (ratio(ours.cpu, bare.cpu), ratio(ours.wall, bare.wall))
    });
    let mut rows = vec![Row {
        what: what("TLS, and the bare SDK's".to_owned()),
        must: "CPU and wall ≤ 1×".into(),
        measured: measured(against_bare),
        met: against_bare.map(|(cpu, wall)| cpu <= 1.0 && wall <= 1.0),
    }];
    let slow = findings.plan.latencies.iter().copied().filter(|latency_ms| *latency_ms > 0);
    for latency_ms in slow {
        let case = Case { operation, size: SHORT, latency_ms, tls: false };
        let theirs = runs_of(findings, case, Contender::S5cmd).map(|summary| summary.wall);
        let ours = mean(LongLivedClient::Sealwax, latency_ms, false);
        let pair = ours.map(|ours| ours.wall.as_secs_f64()).zip(theirs);
        rows.push(Row {
            what: what(format!("{latency_ms} ms a request, and a run of s5cmd")),
            must: "less wall time".into(),
            measured: pair.map_or("–".into(), |(ours, theirs)| {
                format!("{:.1} and {:.1} ms", ours * 1000.0, theirs * 1000.0)
            }),
            met: pair.map(|(ours, theirs)| ours < theirs),
        });
    }
    rows
}

fn small_files(findings: &Findings<'_>) -> Vec<Row> {
    let ours = findings.small_files.iter().filter(|run| run.contender == Contender::Sealwax);
    let row = |ours: &SmallFilesRun| {
        let is_same = |run: &&SmallFilesRun| {
            run.contender == Contender::S5cmd
                && (run.step, run.len, run.count) == (ours.step, ours.len, ours.count)
        };
        let theirs = findings.small_files.iter().find(is_same)?;
        let ratio =
            |of: fn(&SmallFilesRun) -> Duration| of(ours).as_secs_f64() / of(theirs).as_secs_f64();
        let ratios = (ratio(|run| run.cost.cpu), ratio(|run| run.cost.wall));
        Some(Row {
            what: format!(
                "{} of {} sealed files of {} KiB and s5cmd's of plain ones",
                ours.step.name(),
                ours.count,
                ours.len >> 10
            ),
            must: "CPU and wall ≤ 1×".into(),
            measured: measured(Some(ratios)),
            met: Some(ratios.0 <= 1.0 && ratios.1 <= 1.0),
        })
    };
    ours.filter_map(row).collect()
}

pub(super) fn both(
    findings: &Findings<'_>,
    case: Case,
    other: Contender,
) -> Option<(Summary, Summary)> {
    runs_of(findings, case, Contender::Sealwax).zip(runs_of(findings, case, other))
}

fn conditions(case: Case) -> String {
    let tls = if case.tls { ", TLS" } else { "" };
    format!("{} of {}{tls},", case.operation.name(), bytes(case.size))
}

fn memory(findings: &Findings<'_>, operation: Operation, most: u64) -> Row {
    let is_meant =
        |case: &&Case| (case.operation == Operation::Get) == (operation == Operation::Get);
    let cases = || findings.runs.keys().filter(is_meant);
    let ours = cases().filter_map(|case| {
        runs_of(findings, *case, Contender::Sealwax).map(|summary| (summary.memory, case.size))
    });
    let highest = ours.max();
    let longest = cases().map(|case| case.size).max().unwrap_or_default();
    Row {
        what: format!("peak memory of a {}, up to {}", operation.name(), bytes(longest)),
        must: format!("≤ {} MiB", most >> 20),
        measured: highest.map_or("–".into(), |(memory, size)| {
            format!("{} MiB, at {}", memory >> 20, bytes(size))
        }),
        met: highest.map(|(memory, _)| memory <= most),
    }
}

fn range(findings: &Findings<'_>) -> Row {
    let (gets, fetched) = (findings.range.get("GetObject"), findings.range.get("bytes_out"));
    let requests: u64 = findings
        .range
        .requests()
        .filter(|(name, _)| name.ends_with("Object"))
        .map(|(_, n)| n)
        .sum();
    Row {
        what: format!("a range of 1 byte of {}", bytes(request_counts::LEN)),
        must: "1 GET, ≤ 33 KB".into(),
        measured: format!("{gets} GET of {requests} requests to S3, {fetched} bytes of the body"),
        met: Some(requests == 1 && gets == 1 && fetched <= RANGE_LIMIT),
    }
}

fn kms_calls(findings: &Findings<'_>, operation: Operation) -> Row {
    let of_operation = findings.requests.iter().filter(|((of, _), _)| *of == operation);
    let most = of_operation.map(|(_, counts)| calls_of_kms(counts)).max();
    Row {
        what: format!("KMS calls of a {}", if operation == Operation::Put { "put" } else { "get" }),
        must: "1".into(),
        measured: most.map_or("–".into(), |most| most.to_string()),
        met: most.map(|most| most == 1),
    }
}

fn cached_puts(findings: &Findings<'_>) -> Row {
    let (calls, puts) = (calls_of_kms(findings.cached_puts), findings.cached_puts.get("PutObject"));
    Row {
        what: format!("KMS calls of {puts} puts with the cache"),
        must: "≤ 2".into(),
        measured: calls.to_string(),
        met: Some(calls <= 2 && puts == request_counts::CACHED_PUTS as u64),
    }
}

fn calls_of_kms(counts: &Counts) -> u64 {
    ["GenerateDataKey", "Encrypt", "Decrypt"].map(|name| counts.get(name)).iter().sum()
}
