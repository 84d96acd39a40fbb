#![doc = include_str!("../README.md")]

mod append;
mod file_state;
mod folder;
mod key_file;
mod new_file;
mod read_at;
mod refusal;
mod temporary;

pub use self::{
    append::{create_or_append, open_to_append},
    file_state::FileState,
    folder::{Folder, InvalidRelativePath, RelativePath},
    key_file::{Exposure, KeyFile},
    new_file::NewFile,
    read_at::ReadAt,
    refusal::{FileKind, Refusal},
    temporary::{is_incomplete_name, remove_leftovers},
};
