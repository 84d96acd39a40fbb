//! Machine and commit of the figures.

use std::{fs, path::Path, process::Command, thread};

use crate::Result;

/// Describes the machine as Markdown list items.
pub(crate) fn describe() -> Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim())
    };
    let flags: Vec<_> = field("flags").split(' ').collect();
    let known = ["aes", "pclmulqdq", "vaes", "vpclmulqdq", "avx512f", "sha_ni"];
    let flags = known.into_iter().filter(|flag| flags.contains(flag)).collect::<Vec<_>>().join(" ");
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory = memory
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or_default();
    Ok(format!(
        "- CPU: {}, {} cores; {flags}\n- memory: {} GiB\n- kernel: Linux {}\n- commit: {}\n- date: {}\n- {}\n",
        field("model name"),
        thread::available_parallelism()?,
        memory >> 20,
        fs::read_to_string("/proc/sys/kernel/osrelease")?.trim(),
        commit()?,
        output("date", &["-u", "+%F"])?,
        output("rustc", &["--version"])?,
    ))
}

fn commit() -> Result<String> {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"])?;
    // Changes of the report itself don't count.
    let changed = output("git", &["status", "--porcelain", "--", ":/", ":!/docs/BENCHMARKS*.md"])?;
    Ok(if changed.is_empty() { commit } else { format!("{commit}, with uncommitted changes") })
}

fn output(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()?;
    if !output.status.success() {
        return Err(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
