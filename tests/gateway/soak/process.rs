//! The command, as a process.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aws_credential_types::Credentials;
use sealwax_s3::{
    aws_config::{BehaviorVersion, Region, retry::RetryConfig},
    aws_sdk_s3::{
        Client, Config,
        config::{SharedCredentialsProvider, StalledStreamProtectionConfig},
    },
};
use sealwax_tests::{east, file_names};
use tempfile::TempDir;

use crate::counts::Counts;

const ACCESS_KEY: &str = "gateway-soak";
const SECRET_KEY: &str = "secret-of-the-gateway-soak";
/// Without a fixed threshold, glibc keeps long buffers that were freed.
const MMAP_THRESHOLD: &str = "1048576";
/// Longest time for the end after SIGTERM.
const END: Duration = Duration::from_secs(60);

/// A running gateway, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Option<Child>,
    /// Address, which restarts keep.
    url: String,
    sealwax: String,
    memory: u64,
    folder: TempDir,
}

impl Process {
    /// Starts the command, whose only client may use `bucket`.
    pub(crate) fn start(sealwax: &str, bucket: &str, memory: u64) -> Self {
        let folder = TempDir::new().expect("a folder");
        let clients = folder.path().join("clients.toml");
        let text = format!(
            "[[client]]\nname = \"soak\"\naccess_key_id = \"{ACCESS_KEY}\"\n\
             secret_access_key = \"{SECRET_KEY}\"\nbuckets = [\"{bucket}\"]\n"
        );
        fs::write(&clients, text).expect("written");
        fs::set_permissions(&clients, fs::Permissions::from_mode(0o600)).expect("set");
        fs::create_dir(folder.path().join("spool")).expect("made");
        let url = "http://127.0.0.1:0".to_owned();
        let mut this = Self { child: None, url, sealwax: sealwax.to_owned(), memory, folder };
        this.restart();
        this
    }

    /// Returns a call of the command, with the servers of the tests, and the allocator set as
    /// docs/GATEWAY.md recommends.
    pub(crate) fn command(sealwax: &str) -> Command {
        let variable = |name: &str| {
            env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run make gateway-soak"))
        };
        let mut command = Command::new(sealwax);
        command
            .args(["--endpoint-url", &variable("SEALWAX_TEST_SEAWEEDFS_URL")])
            .args(["--kms-endpoint-url", &variable("SEALWAX_TEST_LOCALSTACK_URL")])
            .env("MALLOC_MMAP_THRESHOLD_", MMAP_THRESHOLD);
        command
    }

    fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Starts the command again, at the same address and with the same folders, and waits until it
    /// serves.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let mut child = Self::command(&self.sealwax)
            .args(["serve", "--listen", self.url.trim_start_matches("http://")])
            .args(["--key", &east().key.to_string(), "--memory", &self.memory.to_string()])
            .arg("--clients")
            .arg(self.folder.path().join("clients.toml"))
            .arg("--spool")
            .arg(self.spool())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut told = Vec::new();
        self.url = loop {
            let line = lines.next().unwrap_or_else(|| panic!("the gateway ended: {told:?}"));
            let line = line.expect("text");
            if let Some(url) = line.strip_prefix("serving S3 at ") {
                break url.to_owned();
            }
            told.push(line);
        };
        // What it says later goes to this program's output.
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("  {line}")));
        self.child = Some(child);
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Returns a client that repeats nothing by itself.
    pub(crate) fn client(&self) -> Client {
        let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "soak");
        let config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(&self.url)
            // The gateway closes idle connections after a minute. No request meets that.
            .http_client(
                aws_smithy_http_client::Builder::new()
                    .pool_idle_timeout(Duration::from_secs(20))
                    .build_http(),
            )
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .force_path_style(true);
        Client::from_conf(config.build())
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("ended");
    }

    /// Ends it as SIGTERM does. It must end in order.
    pub(crate) fn terminate(&mut self, counts: &Counts) {
        let mut child = self.child.take().expect("it runs");
        let id = child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        assert!(told.success());
        let begun = Instant::now();
        loop {
            match child.try_wait().expect("a child") {
                Some(status) if status.success() => return,
                Some(status) => return counts.violation(format!("after SIGTERM: {status}")),
                None if begun.elapsed() > END => {
                    counts.violation(format!("it runs {END:?} after SIGTERM"));
                    child.kill().expect("killed");
                    child.wait().expect("ended");
                    return;
                }
                None => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Checks the most memory that it has had, in all. (proc(5), `VmHWM`.)
    pub(crate) fn check_memory(&self, counts: &Counts, limit: u64) {
        let id = self.child.as_ref().expect("it runs").id();
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("a line");
        let kib: u64 = kib.trim().parse().expect("a number");
        counts.most("most resident memory in KiB", kib);
        if kib > limit << 10 {
            counts.violation(format!("it had {kib} KiB of memory, and {limit} MiB is the limit"));
        }
    }

    /// Checks that nothing is left in the spool.
    pub(crate) fn check_spool(&self, counts: &Counts) {
        let names = file_names(&self.spool());
        if !names.is_empty() {
            counts.violation(format!("{names:?} are left in the spool"));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
