//! Folders of many small files: put, get and rm of all of them.

use std::{fs, path::Path, process::Command};

use crate::{
    Result,
    contender::{Contender, KEPT, KEY_ARN, Target, uri},
    measure::{self, Cost, Stdin},
    peers::Peers,
};

/// Lengths in bytes and numbers of the files.
const FOLDERS: [(usize, usize); 2] = [(4 << 10, 10_000), (256 << 10, 2_000)];
/// The same for a trial.
const FOLDERS_OF_TRIAL: [(usize, usize); 2] = [(4 << 10, 500), (256 << 10, 100)];
/// Number of runs, of which the one with the median CPU time counts.
const RUNS: usize = 3;
const CONTENDERS: [Contender; 2] = [Contender::Sealwax, Contender::S5cmd];

/// Step that is done with all files of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Put,
    Get,
    Remove,
}

impl Step {
    const ALL: [Self; 3] = [Self::Put, Self::Get, Self::Remove];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Remove => "rm",
        }
    }
}

/// One step on one folder by one client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SmallFilesRun {
    pub(crate) contender: Contender,
    pub(crate) step: Step,
    /// Length of each file in bytes.
    pub(crate) len: usize,
    pub(crate) count: usize,
    pub(crate) cost: Cost,
}

/// Measures all steps on all folders.
pub(crate) fn measure(
    peers: &Peers,
    target: Target<'_>,
    quick: bool,
    directory: &Path,
) -> Result<Vec<SmallFilesRun>> {
    let mut runs = Vec::new();
    for (len, count) in if quick { FOLDERS_OF_TRIAL } else { FOLDERS } {
        let (folder, opened) = (directory.join("folder"), directory.join("folder-opened"));
        fs::create_dir(&folder)?;
        for number in 0..count {
            let mut content = vec![7; len];
            content[..8].copy_from_slice(&number.to_le_bytes());
            fs::write(folder.join(format!("{number:06}")), content)?;
        }
        let mut costs: Vec<(Contender, Step, Cost)> = Vec::new();
        for round in 0..RUNS {
            let mut contenders = CONTENDERS;
            contenders.rotate_left(round % CONTENDERS.len());
            for contender in contenders {
                for step in Step::ALL {
                    let command = command(contender, step, peers, target, (&folder, &opened))?;
                    let (cost, _) = measure::run(&command, Stdin::Nothing, directory)?;
                    eprintln!(
                        "{} of {count} files of {len} bytes, {contender:?}: {cost:?}",
                        step.name()
                    );
                    costs.push((contender, step, cost));
                    if step == Step::Get {
                        check(&folder, &opened)?;
                        fs::remove_dir_all(&opened)?;
                    }
                }
            }
        }
        fs::remove_dir_all(&folder)?;
        for contender in CONTENDERS {
            for step in Step::ALL {
                let all = costs.iter().filter(|(of, done, _)| (*of, *done) == (contender, step));
                let mut all: Vec<Cost> = all.map(|(_, _, cost)| *cost).collect();
                all.sort_by_key(|cost| cost.cpu);
                let cost = all[RUNS / 2];
                runs.push(SmallFilesRun { contender, step, len, count, cost });
            }
        }
    }
    Ok(runs)
}

fn command(
    contender: Contender,
    step: Step,
    peers: &Peers,
    target: Target<'_>,
    (folder, opened): (&Path, &Path),
) -> Result<Command> {
    let mut command = contender.command(peers, target)?;
    let prefix = uri(KEPT, &format!("{contender:?}/").to_lowercase());
    match (contender, step) {
        (Contender::Sealwax, Step::Put) => {
            command.args(["put", "--recursive", "--key-cache", "--key", KEY_ARN]);
            command.arg(folder).arg(prefix)
        }
        (Contender::Sealwax, Step::Get) => {
            command.args(["get", "--recursive", "--key", KEY_ARN]).arg(prefix).arg(opened)
        }
        (Contender::Sealwax, Step::Remove) => {
            command.args(["rm", "--recursive", "--yes"]).arg(prefix)
        }
        (_, Step::Put) => command.arg("cp").arg(format!("{}/*", folder.display())).arg(prefix),
        (_, Step::Get) => {
            fs::create_dir_all(opened)?;
            command.arg("cp").arg(format!("{prefix}*")).arg(format!("{}/", opened.display()))
        }
        (_, Step::Remove) => command.arg("rm").arg(format!("{prefix}*")),
    };
    Ok(command)
}

/// Fails unless `opened` has the same files as `folder`.
fn check(folder: &Path, opened: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if fs::read(opened.join(entry.file_name())).ok() != Some(fs::read(entry.path())?) {
            return Err(format!("{} was not read", entry.path().display()).into());
        }
    }
    Ok(())
}
