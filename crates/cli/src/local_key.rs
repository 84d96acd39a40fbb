//! Files of local wrapping keys.

use std::{
    io::{self, Write as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sealwax_files::NewFile;
use sealwax_s3::envelope::{DATA_KEY_LEN, LocalKeyring, PlaintextDataKey};
use zeroize::Zeroizing;

use crate::{
    failure::{Exit, Failure},
    key_file,
    leftovers::remove_leftovers,
};

/// Start of the line with the key.
const MARK: &str = "sealwax-local-key-1";
/// Maximum length of a key file, in bytes.
const MAX_LEN: usize = 4096;
/// Length of a key in Base64, in bytes.
const ENCODED_LEN: usize = DATA_KEY_LEN.div_ceil(3) * 4;
const HEADING: &str = "\
# Local wrapping key of Sealwax. Anyone who has it can open all objects that it wraps. Keep a copy.
# The line contains a marker, the key's name (stored with each object) and the key.
";

/// Creates a key in a new file that only its owner can read; returns the key's name.
///
/// # Errors
/// The file exists or cannot be written, or the name is not valid.
pub(crate) fn make(path: &Path, name: Option<String>) -> Result<String, Failure> {
    let name = name.map_or_else(random_name, Ok)?;
    let key = random()?;
    keyring(&name, &mut key.expose_secret().to_vec()).map_err(|_| {
        let rule = "must be one word of printable ASCII characters, without quotes and backslashes";
        Failure::usage(format!("the key cannot be named {name:?}: a name {rule}"))
            .advise("pass another --name, or none for a random name")
    })?;
    let mut encoded = Zeroizing::new([0; ENCODED_LEN]);
    let len = STANDARD.encode_slice(key.expose_secret(), &mut encoded[..]);
    assert_eq!(len, Ok(ENCODED_LEN), "the length of a key is constant");

    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let advice =
                "choose another file: overwriting a key makes the objects it wraps unreadable";
            Failure::new(Exit::Conflict, format!("{} already exists", path.display()), advice)
        }
        _ => Failure::io(&format!("cannot create {}", path.display()), error),
    };
    remove_leftovers(path);
    let written = NewFile::create_private(path).and_then(|new| {
        let mut file = new.file();
        write!(file, "{HEADING}{MARK} {name} ")?;
        // Not formatted: a growing buffer would leave copies of the key behind.
        file.write_all(&encoded[..])?;
        file.write_all(b"\n")?;
        new.complete()
    });
    written.map_err(failed)?;
    Ok(name)
}

fn random() -> Result<PlaintextDataKey, Failure> {
    PlaintextDataKey::generate()
        .map_err(|error| Failure::io("cannot create a key", io::Error::other(error)))
}

/// Returns a random, unique name.
///
/// # Errors
/// The random number generator failed.
pub(crate) fn random_name() -> Result<String, Failure> {
    Ok(random()?.expose_secret()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns a keyring with the key in a file.
///
/// # Errors
/// The file cannot be read, other users can read it, or it contains no local key.
pub(crate) fn read(path: &Path) -> Result<LocalKeyring, Failure> {
    const WHAT: &str = "local key";
    let file = key_file::read(WHAT, path, MAX_LEN)?;
    let bytes = file.secret().map_err(|exposure| key_file::exposed(WHAT, path, exposure))?;
    let parsed = match std::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(_) => Err("it is not text".into()),
    };
    parsed.map_err(|reason| {
        let error = format!("{} is not a local key file: {reason}", path.display());
        Failure::new(Exit::Usage, error, "pass a file that `sealwax keygen` made")
    })
}

fn parse(text: &str) -> Result<LocalKeyring, String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err("it must have exactly one line with a key".into());
    };
    let words: Vec<_> = line.split(' ').collect();
    let [MARK, name, key] = words[..] else {
        return Err(format!("the line must be `{MARK} NAME KEY`"));
    };
    let mut bytes = Zeroizing::new([0; DATA_KEY_LEN + 4]);
    match STANDARD.decode_slice(key, &mut bytes[..]) {
        Ok(DATA_KEY_LEN) => keyring(name, &mut bytes[..DATA_KEY_LEN]),
        _ => Err("the key must be 32 bytes in Base64".into()),
    }
}

fn keyring(name: &str, bytes: &mut [u8]) -> Result<LocalKeyring, String> {
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("the name of a key must be one word".into());
    }
    LocalKeyring::new(name, bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_new_key_is_readable_by_its_owner_only() {
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
    fn invalid_key_files_are_refused() {
        let key = STANDARD.encode([7; 32]);
        assert!(parse(&format!("{MARK} name {key}")).is_ok());
        assert!(parse(&format!("# text\n\n{MARK} name {key}\n")).is_ok());
        let one_line = "it must have exactly one line with a key";
        let words = format!("the line must be `{MARK} NAME KEY`");
        let len = "the key must be 32 bytes in Base64";
        let of_core =
            LocalKeyring::new("na\u{e4}me", &mut [7; 32]).expect_err("not ASCII").to_string();
        for (text, reason) in [
            (String::new(), one_line),
            (format!("{MARK} {key}"), &words),
            (format!("{MARK} a b {key}"), &words),
            (format!("{MARK} name {}", STANDARD.encode([7; 31])), len),
            (format!("{MARK} name {}", STANDARD.encode([7; 33])), len),
            (format!("{MARK} name {key}\n{MARK} name {key}"), one_line),
            (format!("sealwax-local-key-2 name {key}"), &words),
            (format!("{MARK} na\u{e4}me {key}"), &of_core),
        ] {
            assert_eq!(parse(&text).map(drop), Err(reason.to_owned()), "{text}");
        }
    }
}
