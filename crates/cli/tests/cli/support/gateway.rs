//! `sealwax serve`, as a process.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Child,
};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use tempfile::TempDir;

use super::{Run, Sealwax, east_key, send};

/// Credentials in the file of the clients.
pub(crate) const ACCESS_KEY: &str = "gateway-test";
pub(crate) const SECRET_KEY: &str = "a-secret-for-tests-alone-0123456789";
const KEEPER: (&str, &str) = ("gateway-keeper", "a-third-secret-for-tests-0123456789");
const READER: (&str, &str) = ("gateway-reader", "another-secret-for-tests-0123456789");

/// Running gateway, killed when it is dropped.
pub(crate) struct Gateway {
    child: Option<Child>,
    messages: BufReader<std::process::ChildStderr>,
    url: String,
    folder: TempDir,
}

/// Writes the file of the clients, who may use `buckets`.
pub(crate) fn clients_file(folder: &TempDir, buckets: &[&str]) -> PathBuf {
    let buckets = buckets.iter().map(|bucket| format!("{bucket:?}")).collect::<Vec<_>>().join(", ");
    let path = folder.path().join("clients.toml");
    let ((reader, reader_secret), (keeper, keeper_secret)) = (READER, KEEPER);
    let text = format!(
        "[[client]]\nname = \"app\"\naccess_key_id = \"{ACCESS_KEY}\"\n\
         secret_access_key = \"{SECRET_KEY}\"\nbuckets = [{buckets}]\n\n\
         [[client]]\nname = \"reader\"\naccess_key_id = \"{reader}\"\n\
         secret_access_key = \"{reader_secret}\"\nbuckets = [{buckets}]\nread_only = true\n\n\
         [[client]]\nname = \"keeper\"\naccess_key_id = \"{keeper}\"\n\
         secret_access_key = \"{keeper_secret}\"\nbuckets = [{buckets}]\n\
         bypass_governance = true\n"
    );
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    path
}

impl Gateway {
    /// Starts a gateway whose clients may use `buckets`.
    pub(crate) fn start(buckets: &[&str], more: &[&str]) -> Self {
        Self::start_with_key(&east_key(), buckets, more)
    }

    /// Starts a gateway that wraps data keys under `key`.
    pub(crate) fn start_with_key(key: &str, buckets: &[&str], more: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        clients_file(&folder, buckets);
        std::fs::create_dir(folder.path().join("spool")).expect("made");
        Self::start_in(folder, key, more)
    }

    fn start_in(folder: TempDir, key: &str, more: &[&str]) -> Self {
        let (clients, spool) = (folder.path().join("clients.toml"), folder.path().join("spool"));
        let mut child = Sealwax::new(["serve", "--listen", "127.0.0.1:0", "--key", key])
            .args(["--clients".as_ref(), clients.as_os_str()])
            .args(["--spool".as_ref(), spool.as_os_str()])
            .args(more)
            .spawn();
        let mut messages = BufReader::new(child.stderr.take().expect("piped"));
        let mut told = String::new();
        let url = loop {
            let mut line = String::new();
            let read = messages.read_line(&mut line).expect("text");
            assert!(read > 0, "the gateway ended: {told:?}");
            told.push_str(&line);
            if let Some(url) = line.trim().strip_prefix("serving S3 at ") {
                break url.to_owned();
            }
        };
        Self { child: Some(child), messages, url, folder }
    }

    /// Returns the names of the files in the spool.
    pub(crate) fn spool(&self) -> Vec<String> {
        let listed = self.folder.path().join("spool").read_dir().expect("listed");
        let name = |file: std::io::Result<std::fs::DirEntry>| {
            file.expect("listed").file_name().into_string().expect("text")
        };
        listed.map(name).collect()
    }

    /// Returns the next message.
    pub(crate) fn message(&mut self) -> String {
        let mut line = String::new();
        self.messages.read_line(&mut line).expect("text");
        line.trim().to_owned()
    }

    /// Returns a client that may read and write.
    pub(crate) fn client(&self) -> Client {
        self.client_with(ACCESS_KEY, SECRET_KEY)
    }

    /// Returns a client that may read.
    pub(crate) fn reader(&self) -> Client {
        self.client_with(READER.0, READER.1)
    }

    /// Returns a client that may bypass governance retention.
    pub(crate) fn keeper(&self) -> Client {
        self.client_with(KEEPER.0, KEEPER.1)
    }

    pub(crate) fn client_with(&self, access_key: &str, secret: &str) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new(access_key, secret, None, None, "test"))
            .endpoint_url(&self.url)
            .retry_config(RetryConfig::disabled())
            .force_path_style(true);
        Client::from_conf(config.build())
    }

    /// Ends the gateway by `signal`.
    pub(crate) fn end(mut self, signal: &str) -> Run {
        let child = self.child.take().expect("it runs");
        send(signal, &child);
        Run::new(child.wait_with_output().expect("it ends"))
    }

    /// Kills the process, and starts another one with the same folders. Also returns the number of
    /// records that the first one left.
    pub(crate) fn restart_killed(mut self) -> (Self, usize) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("ended");
        let other = TempDir::new().expect("a folder");
        let folder = std::mem::replace(&mut self.folder, other);
        let records = folder.path().join("spool").read_dir().expect("listed").count();
        (Self::start_in(folder, &east_key(), &[]), records)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
