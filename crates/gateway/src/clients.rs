//! Clients of the gateway: their credentials, and the places that they may use.

use std::{
    collections::HashMap,
    fmt, fs, io,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use crate::bucket_prefix::{BucketPrefix, InvalidBucketPrefix};

/// Maximum length of the file of clients in bytes: 1 MiB.
const MAX_FILE_LEN: u64 = 1 << 20;
/// Minimum length of a secret access key in bytes. AWS's have 40.
const MIN_SECRET_LEN: usize = 16;
/// Maximum length of an access key ID in bytes, as for AWS.
const MAX_ID_LEN: usize = 128;

/// Reason that the file of clients can't be used. The messages contain no secrets.
#[derive(Debug, thiserror::Error)]
pub enum InvalidClients {
    /// The file can't be read.
    #[error("{path} cannot be read", path = .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// Others than the owner may read or write the file.
    #[error("{path} must be accessible to its owner only (chmod 600)", path = .0.display())]
    Permissions(PathBuf),
    /// The file has more than 1 MiB, or is not a regular file.
    #[error("{path} must be a regular file of at most 1 MiB", path = .0.display())]
    NotAFile(PathBuf),
    /// The file is not TOML of the expected form.
    #[error("{path} is not a valid file of clients: {reason}", path = .0.display(), reason = .1)]
    Malformed(PathBuf, String),
}

/// Clients by access key ID. The file is read again by [`Clients::reload`].
#[derive(Debug)]
pub struct Clients {
    path: Option<PathBuf>,
    by_id: RwLock<Arc<Table>>,
}

type Table = HashMap<String, Arc<ClientCredentials>>;

impl Clients {
    /// Reads a file of clients, which must have mode 0600 or stricter.
    ///
    /// # Errors
    /// The file is unreadable, accessible to others, or malformed.
    pub fn load(path: impl Into<PathBuf>) -> Result<Self, InvalidClients> {
        let path = path.into();
        let table = read(&path)?;
        Ok(Self { path: Some(path), by_id: RwLock::new(Arc::new(table)) })
    }

    /// Parses the text of a file of clients.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidClients> {
        let table = parse(text).map_err(|reason| InvalidClients::Malformed("".into(), reason))?;
        Ok(Self { path: None, by_id: RwLock::new(Arc::new(table)) })
    }

    /// Reads the file again. If that fails, the clients stay unchanged.
    ///
    /// Requests that were admitted before keep their credentials.
    ///
    /// # Errors
    /// As of [`Clients::load`].
    pub fn reload(&self) -> Result<(), InvalidClients> {
        if let Some(path) = &self.path {
            let table = Arc::new(read(path)?);
            *self.by_id.write().unwrap_or_else(PoisonError::into_inner) = table;
        }
        Ok(())
    }

    /// Returns the credentials with that access key ID.
    #[must_use]
    pub fn find(&self, access_key_id: &str) -> Option<Arc<ClientCredentials>> {
        let table = self.by_id.read().unwrap_or_else(PoisonError::into_inner);
        table.get(access_key_id).map(Arc::clone)
    }

    /// Returns the number of credentials.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns `true` if there are no credentials.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Credentials of a client, and its rules. A client may have several credentials.
pub struct ClientCredentials {
    name: String,
    access_key_id: String,
    secret: Zeroizing<String>,
    rules: Arc<[BucketPrefix]>,
    is_read_only: bool,
    may_bypass_governance: bool,
}

impl ClientCredentials {
    /// Returns the client's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the access key ID.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Returns the secret access key.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// Returns `true` if the client may only read.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    /// Returns `true` if the client may delete versions that are retained in governance mode, as far as
    /// the store lets the gateway.
    #[must_use]
    pub fn may_bypass_governance(&self) -> bool {
        self.may_bypass_governance
    }

    /// Returns `true` if the client may read, or write, the key, or list all keys with the prefix.
    ///
    /// A key or prefix is allowed if an allowed prefix of the bucket begins it, and no segment of it is
    /// `..`.
    #[must_use]
    pub fn allows(&self, bucket: &str, key_or_prefix: &str, write: bool) -> bool {
        let mut rules = self.rules.iter();
        !(write && self.is_read_only) && rules.any(|rule| rule.covers(bucket, key_or_prefix))
    }

    /// Returns `true` if the client may use the bucket or a prefix of it.
    #[must_use]
    pub fn allows_bucket(&self, bucket: &str) -> bool {
        self.rules.iter().any(|rule| rule.bucket() == bucket)
    }

    /// Returns the names of the buckets that the client may use, some perhaps more than once.
    pub fn buckets(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(BucketPrefix::bucket)
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("name", &self.name)
            .field("access_key_id", &self.access_key_id)
            .field("rules", &self.rules)
            .field("is_read_only", &self.is_read_only)
            .field("may_bypass_governance", &self.may_bypass_governance)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    client: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    access_key_id: Option<String>,
    secret_access_key: Option<Secret>,
    #[serde(default)]
    credentials: Vec<KeyPair>,
    buckets: Vec<String>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    bypass_governance: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyPair {
    access_key_id: String,
    secret_access_key: Secret,
}

#[derive(Deserialize)]
#[serde(from = "String")]
struct Secret(Zeroizing<String>);

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }
}

fn read(path: &Path) -> Result<Table, InvalidClients> {
    let unreadable = |error| InvalidClients::Unreadable(path.into(), error);
    let file = fs::File::open(path).map_err(unreadable)?;
    // Of the open file, so that it cannot be exchanged meanwhile.
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_LEN {
        return Err(InvalidClients::NotAFile(path.into()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(InvalidClients::Permissions(path.into()));
        }
    }
    // Room for the whole file, so that no copy stays behind as the string grows.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_LEN as usize + 1));
    file.take(MAX_FILE_LEN + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_LEN {
        return Err(InvalidClients::NotAFile(path.into()));
    }
    parse(&text).map_err(|reason| InvalidClients::Malformed(path.into(), reason))
}

fn parse(text: &str) -> Result<Table, String> {
    let file: File = toml::from_str(text).map_err(|error| without_source(text, &error))?;
    let mut table = Table::new();
    for entry in file.client {
        let name = entry.name;
        let is_name = |it: &str| !it.is_empty() && it.len() <= 64 && !it.contains(char::is_control);
        if !is_name(&name) {
            return Err(format!("{name:?} is not a name of 1 to 64 characters"));
        }
        let in_entry = |reason: String| format!("client {name:?}: {reason}");
        let rules = entry.buckets.iter().map(|it| it.parse()).collect::<Result<Arc<[_]>, _>>();
        let rules = rules.map_err(|error: InvalidBucketPrefix| in_entry(error.to_string()))?;
        if rules.is_empty() {
            return Err(in_entry("`buckets` is empty".into()));
        }
        if entry.read_only && entry.bypass_governance {
            return Err(in_entry("`read_only` and `bypass_governance` exclude each other".into()));
        }
        let mut pairs = entry.credentials;
        match (entry.access_key_id, entry.secret_access_key) {
            (Some(access_key_id), Some(secret_access_key)) => {
                pairs.push(KeyPair { access_key_id, secret_access_key });
            }
            (None, None) => {}
            _ => {
                let both = "`access_key_id` and `secret_access_key` belong together";
                return Err(in_entry(both.into()));
            }
        }
        if pairs.is_empty() {
            return Err(in_entry("no credentials".into()));
        }
        for KeyPair { access_key_id: id, secret_access_key: Secret(secret) } in pairs {
            if !is_access_key_id(&id) {
                return Err(in_entry(format!("invalid access key ID {id:?}")));
            }
            if secret.len() < MIN_SECRET_LEN || !secret.bytes().all(|it| it.is_ascii_graphic()) {
                let reason = "must have at least 16 ASCII characters and no blanks";
                return Err(in_entry(format!("the secret access key of {id} {reason}")));
            }
            let credentials = ClientCredentials {
                name: name.clone(),
                access_key_id: id.clone(),
                secret,
                rules: Arc::clone(&rules),
                is_read_only: entry.read_only,
                may_bypass_governance: entry.bypass_governance,
            };
            if table.insert(id.clone(), Arc::new(credentials)).is_some() {
                return Err(format!("the access key ID {id} occurs twice"));
            }
        }
    }
    match table.is_empty() {
        true => Err("no clients".into()),
        false => Ok(table),
    }
}

/// Returns the error's message and line. Its `Display` also quotes the line, perhaps a secret.
fn without_source(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
    let mut message = error.message().to_owned();
    // Some messages quote the value (`invalid type: string "…"`).
    if message.contains('"') {
        message.zeroize();
        message = "a value has the wrong type".into();
    }
    match line {
        Some(line) => format!("line {line}: {message}"),
        None => message,
    }
}

fn is_access_key_id(id: &str) -> bool {
    // Other characters would be ambiguous in `Credential=ID/DATE/…, SignedHeaders=…`.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (3..=MAX_ID_LEN).contains(&id.len()) && id.bytes().all(is_plain)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [[client]]
        name = "backup"
        access_key_id = "AKIDBACKUP"
        secret_access_key = "secret-of-backup-1"
        buckets = ["bbb", "ccc/prefix/", "ccc/other/"]
        bypass_governance = true

        [[client]]
        name = "reader"
        credentials = [
            { access_key_id = "AKIDOLD", secret_access_key = "secret-of-reader-1" },
            { access_key_id = "AKIDNEW", secret_access_key = "secret-of-reader-2" },
        ]
        buckets = ["bbb"]
        read_only = true
    "#;

    fn reason(text: &str) -> String {
        match Clients::parse(text) {
            Err(InvalidClients::Malformed(_, reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rules_hold_for_buckets_and_prefixes() {
        let clients = Clients::parse(TEXT).unwrap();
        assert_eq!(clients.len(), 3);
        let backup = clients.find("AKIDBACKUP").unwrap();
        assert!(backup.allows("bbb", "", true));
        assert!(backup.allows("bbb", "key", true));
        assert!(backup.allows("ccc", "prefix/key", true));
        assert!(backup.allows("ccc", "prefix/", false));
        for prefix in ["", "prefix", "pre", "prefixes/", "/prefix/"] {
            assert!(!backup.allows("ccc", prefix, false), "{prefix}");
        }
        assert!(!backup.allows("ddd", "", false));
        assert!(backup.allows_bucket("ccc"));
        assert!(!backup.allows_bucket("ddd"));
        assert_eq!(backup.buckets().collect::<Vec<_>>(), ["bbb", "ccc", "ccc"]);
    }

    #[test]
    fn several_credentials_of_one_client() {
        let clients = Clients::parse(TEXT).unwrap();
        for id in ["AKIDOLD", "AKIDNEW"] {
            let reader = clients.find(id).unwrap();
            assert_eq!((reader.name(), reader.access_key_id()), ("reader", id));
            assert!(reader.allows("bbb", "key", false));
            assert!(!reader.allows("bbb", "key", true));
        }
        for (id, expected) in [("AKIDBACKUP", true), ("AKIDOLD", false)] {
            assert_eq!(clients.find(id).unwrap().may_bypass_governance(), expected);
        }
        assert!(clients.find("AKIDNONE").is_none());
    }

    #[test]
    fn secrets_are_in_no_output() {
        let clients = Clients::parse(TEXT).unwrap();
        assert!(!format!("{clients:?}").contains("secret-of"));
        for broken in [
            TEXT.replace("\"secret-of-backup-1\"", "\"secret-of-backup-1"),
            TEXT.replace("\"secret-of-backup-1\"", "[\"secret-of-backup-1\"]"),
            TEXT.replace("read_only = true", "read_only = \"secret-of\""),
            TEXT.replace("\"secret-of-backup-1\"", "\"secret-of \""),
        ] {
            let message = Clients::parse(&broken).unwrap_err().to_string();
            assert!(!message.contains("secret-of"), "{message}");
        }
    }

    #[test]
    fn malformed_files_are_refused() {
        assert_eq!(reason(""), "no clients");
        for (from, to, expected) in [
            (
                "\"bbb\", ",
                "\"Bad\", ",
                "client \"backup\": \"Bad\" does not begin with a bucket name",
            ),
            (
                "prefix/",
                "prefix",
                "client \"backup\": the prefix in \"ccc/prefix\" must end in a slash",
            ),
            ("[\"bbb\"]", "[]", "client \"reader\": `buckets` is empty"),
            (
                "bypass_governance = true",
                "bypass_governance = true\nread_only = true",
                "client \"backup\": `read_only` and `bypass_governance` exclude each other",
            ),
            ("AKIDNEW", "AKIDOLD", "the access key ID AKIDOLD occurs twice"),
            ("AKIDNEW", "AKID/1", "client \"reader\": invalid access key ID \"AKID/1\""),
            (
                "access_key_id = \"AKIDBACKUP\"",
                "",
                "client \"backup\": `access_key_id` and `secret_access_key` belong together",
            ),
        ] {
            assert_eq!(reason(&TEXT.replacen(from, to, 1)), expected);
        }
        let reason = reason(&TEXT.replace("read_only", "readonly"));
        assert!(reason.starts_with("line 16: unknown field `readonly`"), "{reason}");
    }

    #[cfg(unix)]
    #[test]
    fn files_of_others_are_refused_and_reloads_keep_the_last_good_one() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.toml");
        fs::write(&path, TEXT).unwrap();
        let set_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            set_mode(mode);
            assert!(
                matches!(Clients::load(&path), Err(InvalidClients::Permissions(_))),
                "{mode:o}"
            );
        }
        set_mode(0o600);
        let clients = Clients::load(&path).unwrap();
        fs::write(&path, "[[client]]").unwrap();
        assert!(matches!(clients.reload(), Err(InvalidClients::Malformed(..))));
        assert_eq!(clients.len(), 3);
        fs::write(&path, TEXT.replace("AKIDNEW", "AKIDNEWER")).unwrap();
        clients.reload().unwrap();
        assert!(clients.find("AKIDNEW").is_none());
        assert!(clients.find("AKIDNEWER").is_some());
        assert!(matches!(Clients::load(folder.path()), Err(InvalidClients::NotAFile(_))));
        let missing = folder.path().join("missing");
        assert!(matches!(Clients::load(missing), Err(InvalidClients::Unreadable(..))));
    }
}
