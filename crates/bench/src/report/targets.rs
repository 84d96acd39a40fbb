//! Targets of Sealwax, met or missed.

use super::table::{Summary, bytes, runs_of};
use crate::{
    Result, cipher,
    contender::Contender,
    findings::{Case, Findings, Operation},
    request_counts,
    servers::Counts,
};

/// Default byte budget of a client plus 32 MiB.
const MEMORY_LIMIT: u64 = (128 + 32) << 20;
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
    let mut rows = vec![cipher_row("seal")?, cipher_row("open")?];
    for size in findings.plan.sizes.iter().copied() {
        for latency_ms in findings.plan.latencies.iter().copied() {
            let case = Case { operation: Operation::Put, size, latency_ms };
            rows.extend([against_bare_sdk(findings, case), against_s5cmd(findings, case)]);
        }
    }
    rows.extend([memory(findings), range(findings)]);
    rows.extend([kms_calls(findings, Operation::Put), kms_calls(findings, Operation::Get)]);
    rows.push(cached_puts(findings));
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
    let ratios = both(findings, case, Contender::BareSdk)
        .map(|(ours, bare)| (ours.cpu / bare.cpu, ours.wall / bare.wall));
    Row {
        what: format!(
            "sealed upload compared with the bare SDK's of plain bytes, {}",
            conditions(case)
        ),
        must: "CPU ≤ 1.5×, wall ≤ 1.1×".into(),
        measured: ratios
            .map_or("–".into(), |(cpu, wall)| format!("CPU {cpu:.2}×, wall {wall:.2}×")),
        met: ratios.map(|(cpu, wall)| cpu <= 1.5 && wall <= 1.1),
    }
}

fn against_s5cmd(findings: &Findings<'_>, case: Case) -> Row {
    let ratios = both(findings, case, Contender::S5cmd)
        .map(|(ours, s5cmd)| (ours.cpu / s5cmd.cpu, ours.wall / s5cmd.wall));
    Row {
        what: format!("sealed upload compared with s5cmd's of plain bytes, {}", conditions(case)),
        must: "less CPU, less wall time".into(),
        measured: ratios
            .map_or("–".into(), |(cpu, wall)| format!("CPU {cpu:.2}×, wall {wall:.2}×")),
        met: ratios.map(|(cpu, wall)| cpu < 1.0 && wall < 1.0),
    }
}

pub(super) fn both(
    findings: &Findings<'_>,
    case: Case,
    other: Contender,
) -> Option<(Summary, Summary)> {
    runs_of(findings, case, Contender::Sealwax).zip(runs_of(findings, case, other))
}

fn conditions(case: Case) -> String {
    format!("{}, {} ms a request", bytes(case.size), case.latency_ms)
}

fn memory(findings: &Findings<'_>) -> Row {
    let ours = findings.runs.keys().filter_map(|case| {
        runs_of(findings, *case, Contender::Sealwax).map(|summary| (summary.memory, case.size))
    });
    let most = ours.max();
    let longest = findings.runs.keys().map(|case| case.size).max().unwrap_or_default();
    Row {
        what: format!("peak memory at any size up to {}", bytes(longest)),
        must: "≤ byte budget + 32 MiB = 160 MiB".into(),
        measured: most.map_or("–".into(), |(memory, size)| {
            format!("{} MiB, at {}", memory >> 20, bytes(size))
        }),
        met: most.map(|(memory, _)| memory <= MEMORY_LIMIT),
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
