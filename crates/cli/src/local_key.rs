//! Files of local wrapping keys.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealwax_s3::envelope::{DATA_KEY_LEN, LocalKeyring, PlaintextDataKey};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

/// What the line with the key begins with.
const MARK: &str = "sealwax-local-key-1";
/// More than any such file has.
const MAX_LEN: u64 = 4096;
const HEADING: &str = "\
# A local wrapping key of Sealwax. Whoever has it can open all that is wrapped under it; without it, nobody can.
# The line has a mark, the key's name, which is stored with each object, and the key.
";

/// Makes a new key in a new file that its owner alone can read, and gives its name.
///
/// # Errors
/// The file exists, or cannot be written; the name cannot be used.
pub(crate) fn make(path: &Path, name: Option<String>) -> Result<String, Failure> {
    let name = name.map_or_else(random_name, Ok)?;
    let key = random()?;
    keyring(&name, &mut key.expose_secret().to_vec()).map_err(Failure::usage)?;
    let text = Zeroizing::new(format!(
        "{MARK} {name} {}\n",
        *Zeroizing::new(STANDARD.encode(key.expose_secret()))
    ));

    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let advice =
                "choose another name: a key that was overwritten takes all that it wrapped with it";
            Failure::new(Exit::Conflict, format!("{} exists already", path.display()), advice)
        }
        _ => Failure::io(&format!("cannot make {}", path.display()), error),
    })?;
    let written = file.write_all(HEADING.as_bytes()).and_then(|()| file.write_all(text.as_bytes()));
    written.and_then(|()| file.sync_all()).map_err(|error| {
        // A key that is not whole is of no use to anybody.
        let _ = fs::remove_file(path);
        Failure::io(&format!("cannot write {}", path.display()), error)
    })?;
    Ok(name)
}

fn random() -> Result<PlaintextDataKey, Failure> {
    PlaintextDataKey::generate()
        .map_err(|error| Failure::io("cannot make a key", io::Error::other(error)))
}

/// A name that nothing else has.
///
/// # Errors
/// There are no random numbers.
pub(crate) fn random_name() -> Result<String, Failure> {
    Ok(random()?.expose_secret()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A keyring over the key in a file.
///
/// # Errors
/// It cannot be read, others can read it too, or it holds no such key.
pub(crate) fn read(path: &Path) -> Result<LocalKeyring, Failure> {
    let failed =
        |error| Failure::io(&format!("cannot read the local key {}", path.display()), error);
    let mut text = Zeroizing::new(String::with_capacity(MAX_LEN as usize + 1));
    let file = fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let error = format!(
            "the local key {} can be read by everybody: its mode is {mode:04o}",
            path.display()
        );
        return Err(Failure::new(
            Exit::Usage,
            error,
            "chmod 600 it, and ask yourself who may have read it",
        ));
    }
    file.take(MAX_LEN + 1).read_to_string(&mut text).map_err(failed)?;
    parse(&text).map_err(|reason| {
        let error = format!("{} is no local key of Sealwax: {reason}", path.display());
        Failure::new(Exit::Usage, error, "give a file that `sealwax keygen` made")
    })
}

fn parse(text: &str) -> Result<LocalKeyring, String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err("it has not one line with a key".into());
    };
    let words: Vec<_> = line.split(' ').collect();
    let [MARK, name, key] = words[..] else {
        return Err(format!("its line is not `{MARK} NAME KEY`"));
    };
    let mut bytes = Zeroizing::new([0; DATA_KEY_LEN + 4]);
    match STANDARD.decode_slice(key, &mut bytes[..]) {
        Ok(DATA_KEY_LEN) => keyring(name, &mut bytes[..DATA_KEY_LEN]),
        _ => Err("its key is not 32 bytes in Base64".into()),
    }
}

fn keyring(name: &str, bytes: &mut [u8]) -> Result<LocalKeyring, String> {
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("the name of a key is a word".into());
    }
    LocalKeyring::new(name, bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let name = make(&path, None).expect("made");
        assert_eq!(name.len(), 16);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(format!("{:?}", read(&path).expect("read")).contains(&name));
        let before = fs::read(&path).expect("there");
        assert_eq!(
            make(&path, Some("other".into())).expect_err("there is one").exit(),
            Exit::Conflict
        );
        assert_eq!(fs::read(&path).expect("there"), before);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        assert_eq!(read(&path).expect_err("open to all").exit(), Exit::Usage);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = STANDARD.encode([7; 32]);
        assert!(parse(&format!("{MARK} name {key}")).is_ok());
        assert!(parse(&format!("# text\n\n{MARK} name {key}\n")).is_ok());
        for text in [
            String::new(),
            format!("{MARK} {key}"),
            format!("{MARK} a b {key}"),
            format!("{MARK} name {}", STANDARD.encode([7; 31])),
            format!("{MARK} name {}", STANDARD.encode([7; 33])),
            format!("{MARK} name {key}\n{MARK} name {key}"),
            format!("sealwax-local-key-2 name {key}"),
            format!("{MARK} na\u{e4}me {key}"),
        ] {
            assert!(parse(&text).is_err(), "{text}");
        }
    }
}
