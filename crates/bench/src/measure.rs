//! Measured run of a child process.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use crate::Result;

/// Cost of one process and the children that it waited for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system time.
    pub(crate) cpu: Duration,
    /// Peak resident set size in bytes.
    pub(crate) memory: u64,
}

/// Standard input of a child.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stdin {
    Nothing,
    /// This many bytes, from another process.
    Bytes(u64),
}

/// Runs `command` in a process that only waits for it, so that the usage of its children is that of
/// `command` alone. Also returns the CPU time of the process that feeds its standard input.
pub(crate) fn run(command: &Command, stdin: Stdin, directory: &Path) -> Result<(Cost, Duration)> {
    let mut measure = Command::new(std::env::current_exe()?);
    measure.arg("measure").arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => measure.env(name, value),
            None => measure.env_remove(name),
        };
    }
    let errors = directory.join("stderr");
    measure.stdout(Stdio::piped()).stderr(fs::File::create(&errors)?).current_dir(directory);
    let feeder = match stdin {
        Stdin::Nothing => {
            measure.stdin(Stdio::null());
            None
        }
        Stdin::Bytes(bytes) => {
            let feed = ["feed".to_owned(), bytes.to_string()];
            let mut feeder =
                Command::new(std::env::current_exe()?).args(feed).stdout(Stdio::piped()).spawn()?;
            measure.stdin(feeder.stdout.take().expect("piped"));
            Some(feeder)
        }
    };
    let child = measure.spawn()?;
    // This process must not keep the read end of the feeder's pipe open.
    drop(measure);
    let output = child.wait_with_output()?;
    let mut fed = Duration::ZERO;
    if let Some(mut feeder) = feeder {
        let before = children_cpu()?;
        feeder.wait()?;
        fed = children_cpu()?.saturating_sub(before);
    }
    if !output.status.success() {
        let errors = fs::read_to_string(&errors).unwrap_or_default();
        return Err(format!("{command:?} failed: {errors}").into());
    }
    Ok((serde_json::from_slice(&output.stdout)?, fed))
}

/// Runs `command` and prints its [`Cost`].
pub(crate) fn child(command: &[OsString]) -> Result<()> {
    let (program, args) = command.split_first().ok_or("no command")?;
    let begin = Instant::now();
    let status = Command::new(program).args(args).stdout(Stdio::null()).status()?;
    let wall = begin.elapsed();
    if !status.success() {
        return Err(status.to_string().into());
    }
    let cpu = children_cpu()?;
    let memory = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss().unsigned_abs() * 1024;
    serde_json::to_writer(io::stdout(), &Cost { wall, cpu, memory })?;
    Ok(())
}

/// Returns the user and system time of all children that were waited for.
fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    Ok(Duration::from_micros(micros.iter().sum::<i64>().unsigned_abs()))
}

/// Writes `bytes` bytes to standard output.
pub(crate) fn feed(mut bytes: u64) -> Result<()> {
    let block = vec![7; 1 << 20];
    let mut output = io::stdout().lock();
    while bytes > 0 {
        let len = usize::try_from(bytes).unwrap_or(usize::MAX).min(block.len());
        output.write_all(&block[..len])?;
        bytes -= len as u64;
    }
    Ok(())
}

/// Returns the CPU time of all processes on the machine so far, in ticks of 10 ms.
pub(crate) fn machine_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("cpu "))
        .ok_or("no line `cpu` in /proc/stat")?;
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
    // user nice system idle iowait irq softirq steal ...
    let busy: u64 = ticks
        .iter()
        .enumerate()
        .filter(|(field, _)| matches!(field, 0..=2 | 5..=7))
        .map(|(_, t)| t)
        .sum();
    Ok(Duration::from_millis(busy * 10))
}
