//! Instructions of one run, which other processes and the clock of the machine do not change.

use std::process::{Command, Stdio};

use crate::{Result, contender::Contender, operation::Operation};

/// Instructions of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InstructionCount {
    pub(crate) operation: Operation,
    pub(crate) tls: bool,
    pub(crate) contender: Contender,
    pub(crate) count: u64,
}

/// Returns the number of instructions of `command`, counted by callgrind; `None` without it.
///
/// # Errors
/// The command failed.
pub(crate) fn count(command: &Command) -> Result<Option<u64>> {
    let mut counted = Command::new("valgrind");
    counted.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    counted.arg(command.get_program()).args(command.get_args()).stdout(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => counted.env(name, value),
            None => counted.env_remove(name),
        };
    }
    let Ok(output) = counted.stdin(Stdio::null()).output() else { return Ok(None) };
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{command:?} failed under callgrind: {text}").into());
    }
    // ==123== I   refs:      13,967,795
    let count = text.lines().find_map(|line| line.split_once("refs:"));
    Ok(count.and_then(|(_, count)| count.trim().replace(',', "").parse().ok()))
}
