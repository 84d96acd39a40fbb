//! State of a file, by which a later change shows.

use std::{fs::Metadata, os::unix::fs::MetadataExt as _, time::SystemTime};

use rustix::fs::Stat;

/// State of a regular file: which file it is, its length, and the times of its last changes.
///
/// A file whose content was written, or that another one replaced, has another state. The change time
/// also moves with the name and the permissions, and no program can set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    /// Length in bytes.
    pub len: u64,
    device: u64,
    inode: u64,
    /// Modification and change times: seconds since 1970, and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    /// Returns the time at which the file was last changed: written, renamed, or given another
    /// modification time or mode.
    #[must_use]
    pub fn changed(&self) -> SystemTime {
        time(self.changed)
    }

    /// Returns the modification time. Everybody who may write the file can set it.
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        time(self.modified)
    }
}

impl From<&Metadata> for FileState {
    fn from(metadata: &Metadata) -> Self {
        Self {
            len: metadata.len(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl FileState {
    #[allow(
        clippy::unnecessary_cast,
        clippy::useless_conversion,
        reason = "the types of the fields differ between systems"
    )]
    pub(crate) fn of_stat(stat: &Stat) -> Self {
        Self {
            len: stat.st_size as u64,
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

fn time((seconds, nanoseconds): (i64, i64)) -> SystemTime {
    use std::time::Duration;

    let nanoseconds = Duration::from_nanos(nanoseconds.unsigned_abs());
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole = match seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(whole),
        false => SystemTime::UNIX_EPOCH.checked_add(whole),
    };
    whole.and_then(|whole| whole.checked_add(nanoseconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, SystemTime},
    };

    use super::*;

    #[test]
    fn times_are_those_of_the_metadata() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        fs::write(&path, "text").expect("written");
        for time in [
            SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5),
            SystemTime::UNIX_EPOCH - Duration::from_millis(1_500),
        ] {
            let file = fs::File::options().write(true).open(&path);
            file.and_then(|file| file.set_modified(time)).expect("set");
            let metadata = fs::metadata(&path).expect("there");
            let state = FileState::from(&metadata);
            assert_eq!((state.len, state.modified()), (4, time));
            assert!(state.changed() > time, "no program sets it");
            let stat = rustix::fs::stat(&path).expect("there");
            assert_eq!(FileState::of_stat(&stat), state);
        }
    }
}
