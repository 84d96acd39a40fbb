//! Runs the command, and manipulates objects in ways that the command cannot.

mod bad_server;
mod call_counter;
mod gateway;
mod held_heads;
mod lost_region;
mod proxy;
mod random;
mod raw_s3;
mod recorder;
mod refusing;
mod relay;
mod rotated_kms;
mod slow_line;
mod terminal;
mod tls_server;
mod tunnel;

use std::{
    env,
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region};
use sealwax_s3::aws_sdk_kms::Client;
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) use self::{
    bad_server::{BadServer, Fault},
    call_counter::CallCounter,
    gateway::{Gateway, clients_file},
    held_heads::HeldHeads,
    lost_region::LostRegion,
    proxy::PartsProxy,
    random::Random,
    raw_s3::RawS3,
    recorder::Recorder,
    refusing::Refusing,
    rotated_kms::RotatedKms,
    slow_line::slow_line,
    terminal::Terminal,
    tls_server::TlsServer,
    tunnel::tunnel,
};

/// Returns a variable that `localstack/with-servers.sh` exports.
pub(crate) fn server_env(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set, so there is no test server: run `make test`")
    })
}

/// Returns the address of LocalStack.
pub(crate) fn endpoint() -> String {
    server_env("SEALWAX_TEST_LOCALSTACK_URL")
}

/// Returns the address of SeaweedFS, a second S3 server.
pub(crate) fn second_s3() -> String {
    server_env("SEALWAX_TEST_SEAWEEDFS_URL")
}

/// Returns the key in us-east-1 that objects are sealed under.
pub(crate) fn east_key() -> String {
    server_env("SEALWAX_EAST_KEY")
}

/// Returns the key in us-west-2.
pub(crate) fn west_key() -> String {
    server_env("SEALWAX_WEST_KEY")
}

/// Gives the key in us-east-1 another name.
pub(crate) fn make_alias(alias: &str) {
    Runtime::new().expect("a runtime").block_on(async {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        let region = Region::from_static("us-east-1");
        let config = loader.region(region).endpoint_url(endpoint()).load().await;
        let create = Client::new(&config).create_alias().alias_name(alias);
        create.target_key_id(east_key()).send().await.expect("an alias");
    });
}

/// Objects and files of one test.
pub(crate) struct Scene {
    pub(crate) bucket: String,
    pub(crate) key: String,
    directory: TempDir,
}

impl Scene {
    /// Creates an empty scene; `name` is the test's.
    pub(crate) fn new(name: &str) -> Self {
        let directory = TempDir::with_prefix("sealwax-").expect("a temporary directory");
        let unique = directory
            .path()
            .file_name()
            .and_then(OsStr::to_str)
            .expect("a name in ASCII")
            .to_owned();
        Self {
            bucket: server_env("SEALWAX_EAST_BUCKET"),
            key: format!("cli/{}-{unique}/{name}", std::process::id()),
            directory,
        }
    }

    /// Returns the object's address.
    pub(crate) fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// Returns the scene of any object.
    pub(crate) fn at(bucket: &str, key: &str) -> Self {
        let directory = TempDir::with_prefix("sealwax-").expect("a temporary directory");
        Self { bucket: bucket.to_owned(), key: key.to_owned(), directory }
    }

    /// Returns the scene of an object beside it: `s3://BUCKET/…/name/more`.
    pub(crate) fn beside(&self, more: &str) -> Self {
        let directory = TempDir::with_prefix("sealwax-").expect("a temporary directory");
        Self { bucket: self.bucket.clone(), key: format!("{}/{more}", self.key), directory }
    }

    /// Returns the path of a file of this test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Creates a file with this content; returns its path.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("written");
        path
    }

    /// Returns the names of all files of this test.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).expect("a directory");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("a name in ASCII");
        let mut names: Vec<_> = entries.map(|entry| name(entry.expect("an entry"))).collect();
        names.sort();
        names
    }

    /// Stores `plaintext` sealed under the key in us-east-1, with more arguments.
    pub(crate) fn put(&self, plaintext: &[u8], more: &[&str]) -> Run {
        let uri = self.uri();
        let key = east_key();
        let args = ["put", "-", &uri, "--key", &key];
        Sealwax::new(args).args(more).input(plaintext).run()
    }

    /// Opens the object to standard output, with more arguments.
    pub(crate) fn get(&self, more: &[&str]) -> Run {
        let uri = self.uri();
        Sealwax::new(["get", &uri, "-"]).args(more).run()
    }
}

/// Command to run, with the settings of the test server.
pub(crate) struct Sealwax {
    command: Command,
    input: Vec<u8>,
}

impl Sealwax {
    /// Returns the command with these arguments.
    pub(crate) fn new<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealwax"));
        command
            .args(args)
            .env("AWS_ENDPOINT_URL", endpoint())
            .env("AWS_REGION", "us-east-1")
            .env_remove("RUST_LOG")
            // Ignore the settings of the user who runs the tests.
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { command, input: Vec::new() }
    }

    /// Returns the names of all commands, as the help lists them.
    pub(crate) fn commands() -> Vec<String> {
        let help = String::from_utf8(Self::new(["-h"]).run().exits(0).stdout).expect("text");
        let lists = help.lines().take_while(|line| *line != "Options:");
        let names = lists.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        names.map(str::to_owned).collect()
    }

    /// Returns a shell command line with the same settings.
    pub(crate) fn by_shell(line: &str) -> Self {
        let mut this = Self::new([""; 0]);
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in this.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        this.command = command;
        this
    }

    /// Adds arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Unsets an environment variable.
    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it in this directory.
    pub(crate) fn in_directory(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Sets standard input.
    pub(crate) fn input(mut self, input: &[u8]) -> Self {
        self.input = input.to_vec();
        self
    }

    /// Starts it; standard input stays open.
    pub(crate) fn spawn(mut self) -> Child {
        self.command.spawn().expect("the command starts")
    }

    /// Runs it to completion.
    pub(crate) fn run(self) -> Run {
        let input = self.input.clone();
        let mut child = self.spawn();
        let mut stdin = child.stdin.take().expect("piped");
        // The command may exit before it has read everything.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("written");
        Run::new(output)
    }
}

/// Result of a run of the command.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Run {
    /// Converts a process's output.
    pub(crate) fn new(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).expect("standard error is text");
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "standard error: {}", self.stderr);
        self
    }

    /// Asserts that standard error contains `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{text:?} is not in: {}", self.stderr);
        self
    }

    /// Asserts the exit code, one error that contains `text`, one hint, and empty standard output.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, text: &str) -> Self {
        let run = self.exits(code).says(text);
        assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
        assert_eq!(run.stderr.matches("  hint: ").count(), 1, "{}", run.stderr);
        assert!(run.stdout.is_empty(), "data on standard output");
        run
    }
}

/// Parses the JSON lines of standard output.
pub(crate) fn json_lines(run: &Run) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(&run.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Returns `len` bytes without repetition.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}

/// Sends a signal to a process.
pub(crate) fn send(signal: &str, child: &Child) {
    let status = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
}

/// Waits until `condition` holds. The limit only catches a hang.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    const PATIENCE: Duration = Duration::from_secs(600);
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "{what}: still waiting after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}
