//! Reasons why a file is not written.

use std::{
    fmt,
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::FileType;

/// The reason why the policy refuses a file. The [`io::Error`] of every refusal contains one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The target is a symbolic link to a name that does not exist.
    #[error("it is a symbolic link to a file that does not exist")]
    DanglingLink,
    /// The target is a symbolic link to something other than a regular file.
    #[error("it is a symbolic link to a {0}; only links to regular files are followed")]
    LinkTo(FileKind),
    /// The target is something other than a regular file.
    #[error("it is a {0}, not a regular file")]
    NotRegular(FileKind),
    /// A name in a [`Folder`](crate::Folder) is a symbolic link.
    #[error("{} is a symbolic link, and links inside the folder are not followed", .0.display())]
    LinkInside(PathBuf),
    /// A name in a [`Folder`](crate::Folder) should be a folder and is not.
    #[error("{} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The existing file's owner or group cannot be kept.
    #[error(
        "it belongs to user {uid} and group {gid}, and this process cannot give them the new file"
    )]
    Owner {
        /// User that owns the existing file.
        uid: u32,
        /// Group that owns the existing file.
        gid: u32,
    },
}

impl Refusal {
    /// Returns the refusal in an error, if there is one.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    pub(crate) fn inside(path: &Path, kind: FileType) -> Self {
        match kind {
            // It may have been a link when it was entered, and have become a folder since.
            FileType::Symlink | FileType::Directory => Self::LinkInside(path.to_owned()),
            _ => Self::NotAFolder(path.to_owned()),
        }
    }
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::DanglingLink => io::ErrorKind::NotFound,
            Refusal::LinkTo(FileKind::Folder) | Refusal::NotRegular(FileKind::Folder) => {
                io::ErrorKind::IsADirectory
            }
            Refusal::NotAFolder(_) => io::ErrorKind::NotADirectory,
            Refusal::Owner { .. } => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, refusal)
    }
}

/// Kind of a file that is not regular.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A named pipe.
    Pipe,
    /// A block or character device.
    Device,
    /// A socket.
    Socket,
    /// Anything else.
    Other,
}

impl FileKind {
    /// Returns the kind of a file that is not regular.
    pub(crate) fn of(kind: FileType) -> Option<Self> {
        Some(match kind {
            FileType::RegularFile => return None,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Link,
            FileType::Fifo => Self::Pipe,
            FileType::BlockDevice | FileType::CharacterDevice => Self::Device,
            FileType::Socket => Self::Socket,
            FileType::Unknown => Self::Other,
        })
    }

    /// Returns the kind of a file that is not regular.
    pub(crate) fn of_metadata(metadata: &Metadata) -> Option<Self> {
        Self::of(FileType::from_raw_mode(metadata.mode()))
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "folder",
            Self::Link => "symbolic link",
            Self::Pipe => "named pipe",
            Self::Device => "device",
            Self::Socket => "socket",
            Self::Other => "special file",
        })
    }
}
