//! `sealwax completions` and `sealwax man`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  sealwax completions bash >~/.local/share/bash-completion/completions/sealwax
  sealwax completions zsh >\"${fpath[1]}/_sealwax\"
  sealwax completions fish >~/.config/fish/completions/sealwax.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  mkdir -p ~/.local/share/man/man1 && sealwax man ~/.local/share/man/man1
  man sealwax-put";

/// Print what makes a shell complete this command.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Write the manual pages, one for each command.
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArgs {
    /// The directory to write them to
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}
