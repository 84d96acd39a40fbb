//! `sealwax completions` and `sealwax man`.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use clap_complete::Shell;
use clap_mangen::Man;
use sealwax_files::NewFile;

use crate::{console::Lines, failure::Failure};

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  sealwax completions bash >~/.local/share/bash-completion/completions/sealwax
  sealwax completions zsh >\"${fpath[1]}/_sealwax\"
  sealwax completions fish >~/.config/fish/completions/sealwax.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  mkdir -p ~/.local/share/man/man1 && sealwax man ~/.local/share/man/man1
  man sealwax-put";

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Write manual pages, one for each command.
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArgs {
    /// Destination directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// Prints the completion script of a shell.
pub(super) fn completions(
    args: &CompletionsArgs,
    mut command: clap::Command,
) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sealwax", &mut script);
    let mut lines = Lines::new();
    lines.text(&String::from_utf8_lossy(&script))?;
    lines.finish()
}

/// Writes the manual pages.
pub(super) fn man(args: &ManArgs, command: clap::Command) -> Result<(), Failure> {
    let mut command = command.disable_help_subcommand(true);
    // So that the subcommands have their full names.
    command.build();
    let written = fs::create_dir_all(&args.directory).and_then(|()| {
        // A folder that cannot be listed can be written all the same.
        let _ = sealwax_files::remove_leftovers(&args.directory);
        write_page(&command, &args.directory)
    });
    written.map_err(|error| {
        Failure::io(&format!("cannot write to {}", args.directory.display()), error)
    })
}

/// Writes the pages of a command and its subcommands.
fn write_page(command: &clap::Command, directory: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_page(subcommand, directory)?;
    }
    let (man, mut page) = (Man::new(command.clone()), Vec::new());
    man.render(&mut page)?;
    let new = NewFile::create(directory.join(man.get_filename()))?;
    new.file().write_all(&page)?;
    new.complete().map(drop)
}
