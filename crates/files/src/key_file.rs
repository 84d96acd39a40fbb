//! Files with key bytes.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use zeroize::Zeroizing;

/// Content of a file with a key, wiped on drop.
///
/// Whether others have access to the file is checked when the key is taken: the content decides
/// whether it is a secret.
pub struct KeyFile {
    bytes: Zeroizing<Vec<u8>>,
    owner: u32,
    mode: u32,
}

/// Access that others have to a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exposure {
    /// The file belongs to another user, who can change its mode.
    #[error("it belongs to user {0}, who is neither the current user nor root")]
    Owner(u32),
    /// Others can read the secret.
    #[error("it is accessible to other users: its mode is {0:04o}")]
    Readable(u32),
    /// Others can replace the key by their own.
    #[error("it can be changed by other users: its mode is {0:04o}")]
    Writable(u32),
}

impl KeyFile {
    /// Reads a file of at most `max_len` bytes. A pipe is a file too.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`] for a longer file; any other if it cannot be read.
    pub fn read(path: impl AsRef<Path>, max_len: usize) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Of its final length from the start: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(vec![0; max_len + 1]);
        let mut len = 0;
        while len < bytes.len() {
            match (&file).read(&mut bytes[len..]) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if len > max_len {
            let text = format!("it is longer than {max_len} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        bytes.truncate(len);
        Ok(Self { bytes, owner: metadata.uid(), mode: metadata.mode() & 0o777 })
    }

    /// Returns the content if it is a secret key.
    ///
    /// # Errors
    /// Other users can read or change the file.
    pub fn secret(&self) -> Result<&Zeroizing<Vec<u8>>, Exposure> {
        self.check(true)
    }

    /// Returns the content if it is a public key.
    ///
    /// # Errors
    /// Other users can change the file.
    pub fn public(&self) -> Result<&Zeroizing<Vec<u8>>, Exposure> {
        self.check(false)
    }

    fn check(&self, is_secret: bool) -> Result<&Zeroizing<Vec<u8>>, Exposure> {
        let user = rustix::process::geteuid().as_raw();
        match exposure(self.owner, self.mode, user, is_secret) {
            Some(exposure) => Err(exposure),
            None => Ok(&self.bytes),
        }
    }
}

/// Returns the access of others than `user` and root.
///
/// Of a file that belongs to root, and not to the user, the group may read: it is how a system
/// hands a secret to a service.
fn exposure(owner: u32, mode: u32, user: u32, is_secret: bool) -> Option<Exposure> {
    let group = if owner == user { 0o040 } else { 0 };
    match mode {
        _ if owner != user && owner != 0 => Some(Exposure::Owner(owner)),
        mode if mode & 0o022 != 0 => Some(Exposure::Writable(mode)),
        mode if is_secret && mode & (0o007 | 0o010 | group) != 0 => Some(Exposure::Readable(mode)),
        _ => None,
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile")
            .field("owner", &self.owner)
            .field("mode", &format_args!("{:04o}", self.mode))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_has_access_to_a_secret() {
        const USER: u32 = 1000;
        for (owner, mode, secret, public) in [
            (USER, 0o600, None, None),
            (USER, 0o400, None, None),
            (USER, 0o700, None, None),
            (USER, 0o640, Some(Exposure::Readable(0o640)), None),
            (USER, 0o604, Some(Exposure::Readable(0o604)), None),
            (USER, 0o644, Some(Exposure::Readable(0o644)), None),
            (USER, 0o610, Some(Exposure::Readable(0o610)), None),
            (USER, 0o601, Some(Exposure::Readable(0o601)), None),
            (USER, 0o620, Some(Exposure::Writable(0o620)), Some(Exposure::Writable(0o620))),
            (USER, 0o602, Some(Exposure::Writable(0o602)), Some(Exposure::Writable(0o602))),
            (USER, 0o666, Some(Exposure::Writable(0o666)), Some(Exposure::Writable(0o666))),
            (0, 0o600, None, None),
            // A secret that a system hands to a group.
            (0, 0o440, None, None),
            (0, 0o640, None, None),
            (0, 0o644, Some(Exposure::Readable(0o644)), None),
            (0, 0o650, Some(Exposure::Readable(0o650)), None),
            (0, 0o660, Some(Exposure::Writable(0o660)), Some(Exposure::Writable(0o660))),
            (1001, 0o600, Some(Exposure::Owner(1001)), Some(Exposure::Owner(1001))),
        ] {
            assert_eq!(exposure(owner, mode, USER, true), secret, "{owner} {mode:04o}");
            assert_eq!(exposure(owner, mode, USER, false), public, "{owner} {mode:04o}");
        }
        // Root's own files are a user's own files.
        assert_eq!(exposure(0, 0o640, 0, true), Some(Exposure::Readable(0o640)));
    }

    #[test]
    fn a_file_is_read_whole_or_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, [7; 32]).expect("written");
        assert_eq!(**KeyFile::read(&path, 32).expect("read").secret_of_test(), [7; 32]);
        let error = KeyFile::read(&path, 31).expect_err("too long");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let error = KeyFile::read(folder.path(), 31).expect_err("a folder");
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        assert!(!format!("{:?}", KeyFile::read(&path, 32)).contains("7, 7"));
    }

    impl KeyFile {
        fn secret_of_test(&self) -> &Zeroizing<Vec<u8>> {
            &self.bytes
        }
    }
}
