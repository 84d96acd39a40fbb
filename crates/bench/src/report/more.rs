//! Tables of other measurements than those of single transfers.

use super::table::{Summary, bytes, runs_of};
use crate::{
    findings::{Case, Findings},
    operation::Operation,
};

/// Speeds of networks in Gbit/s.
const NETWORKS: [f64; 2] = [10.0, 25.0];
/// Cores of a client.
const CORES: f64 = 2.0;

/// Returns the table of folders of small files.
pub(super) fn small_files(findings: &Findings<'_>) -> String {
    let mut text = String::from(
        "\n## Many small files\n\nMedians by CPU time. Sealwax puts with its key cache; both clients have their \
         defaults otherwise. Every file is compared after it was read.\n\n\
         | files | step | client | wall | files/s | CPU | files per CPU s | memory |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for run in findings.small_files {
        let (wall, cpu) = (run.cost.wall.as_secs_f64(), run.cost.cpu.as_secs_f64());
        let count = run.count as f64;
        text += &format!(
            "| {} of {} KiB | {} | {} | {wall:.2} s | {:.0} | {cpu:.2} s | {:.0} | {} MiB |\n",
            run.count,
            run.len >> 10,
            run.step.name(),
            run.contender.name(),
            count / wall,
            count / cpu,
            run.cost.memory >> 20,
        );
    }
    text
}

/// Returns the table of programs that run for long.
pub(super) fn long_lived(findings: &Findings<'_>) -> String {
    let mut text = String::from(
        "\n## Operations of 1 MiB in a long-lived program\n\nMeans of 200 operations one after another (20 where each \
         request takes longer), on open connections. Medians of five programs, in turns.\n\n\
         | operation | server | client | wall | CPU |\n|---|---|---|---|---|\n",
    );
    for run in findings.long_lived {
        text += &format!(
            "| {} | {}{} ms a request | {} | {:.2} ms | {:.2} ms |\n",
            run.operation.name(),
            if run.tls { "TLS, " } else { "" },
            run.latency_ms,
            run.client.name(),
            run.mean.wall.as_secs_f64() * 1000.0,
            run.mean.cpu.as_secs_f64() * 1000.0,
        );
    }
    text
}

/// Returns the table of memory budgets.
pub(super) fn budgets(findings: &Findings<'_>) -> String {
    let mut text = String::from(
        "\n## Memory budgets of uploads\n\nBy the library. Medians by wall time of three runs.\n\n\
         | length | time of a request | budget | wall | CPU | memory |\n|---|---|---|---|---|---|\n",
    );
    for run in findings.budgets {
        text += &format!(
            "| {} | {} ms | {} MiB | {:.3} s | {:.3} s | {} MiB |\n",
            bytes(run.size),
            run.latency_ms,
            run.mib,
            run.cost.wall.as_secs_f64(),
            run.cost.cpu.as_secs_f64(),
            run.cost.memory >> 20,
        );
    }
    text
}

/// Returns the table of instructions.
pub(super) fn instructions(findings: &Findings<'_>) -> String {
    let size = bytes(findings.plan.sizes.iter().min().copied().unwrap_or_default());
    let mut text = format!(
        "\n## Instructions of one run: {size}\n\nIn user space, counted by callgrind, which emulates a processor \
         without AVX-512 and SHA extensions.\n\n\
         | operation | client | instructions |\n|---|---|---|\n"
    );
    for run in findings.instructions {
        text += &format!(
            "| {}{} | {} | {:.1} million |\n",
            run.operation.name(),
            if run.tls { ", TLS" } else { "" },
            run.contender.name(),
            run.count as f64 / 1e6,
        );
    }
    if findings.instructions.is_empty() {
        text += "| not counted: valgrind is not installed | | |\n";
    }
    text
}

/// Returns from which length on the network is the limit.
pub(super) fn network(findings: &Findings<'_>) -> String {
    let (Some(least), Some(most)) =
        (findings.plan.sizes.iter().min(), findings.plan.sizes.iter().max())
    else {
        return String::new();
    };
    let mut text = format!(
        "\n## When the network is the limit\n\nComputed from the CPU times at {} and {} without latency: the length \
         from which on the network takes longer than {CORES} cores.\n\n\
         | operation | client | 10 Gbit/s | 25 Gbit/s |\n|---|---|---|---|\n",
        bytes(*least),
        bytes(*most)
    );
    for tls in [false, true] {
        for operation in [Operation::Put, Operation::Get] {
            for contender in &findings.plan.contenders {
                let cpu = |size| {
                    let case = Case { operation, size, latency_ms: 0, tls };
                    runs_of(findings, case, *contender).map(|summary: Summary| summary.cpu)
                };
                let (Some(short), Some(long)) = (cpu(*least), cpu(*most)) else { continue };
                if least == most {
                    continue;
                }
                let per_byte = (long - short) / (most - least) as f64;
                let start = short - per_byte * *least as f64;
                text += &format!(
                    "| {}{} | {} |",
                    operation.name(),
                    if tls { ", TLS" } else { "" },
                    contender.name()
                );
                for gbits in NETWORKS {
                    // CPU of all cores while the network carries one byte.
                    let carried = CORES * 8.0 / (gbits * 1e9);
                    text += &match carried > per_byte {
                        true => format!(
                            " from {:.1} MiB |",
                            (start / (carried - per_byte)).max(0.0) / f64::from(1 << 20)
                        ),
                        false => " never |".to_owned(),
                    };
                }
                text.push('\n');
            }
        }
    }
    text
}
