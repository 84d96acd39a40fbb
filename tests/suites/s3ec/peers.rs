//! Sealwax and the official clients read each other's objects: Python always, Go and Java by
//! `make interop`.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use proptest::{
    collection::btree_map,
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use sealwax_s3::{
    ErrorKind, S3Uri, SealedClient,
    envelope::EncryptionContext,
    s3ec::{S3ec, Storage},
};
use sealwax_tests::{LocalStack, PART, Stored, assert_kind, east, plaintext};
use serde_json::json;
use tempfile::TempDir;

use crate::samples::{aes_key, beside, rsa_key, v2};

/// Default number of cases (`SEALWAX_S3EC_CASES`): each is one object of ours and one of theirs.
const CASES: u32 = 500;
/// Capabilities of an official client.
struct Kind {
    /// Environment variable with its command line, separated by spaces.
    command: &'static str,
    /// `true` if it has raw keys and writes instruction files.
    has_raw_keys: bool,
    reads_suffixes: bool,
    has_multipart: bool,
    /// `true` if it accepts a non-ASCII encryption context.
    any_text: bool,
}

const PYTHON: Kind = Kind {
    command: "SEALWAX_TEST_S3EC_PYTHON",
    has_raw_keys: false,
    reads_suffixes: true,
    has_multipart: true,
    any_text: false,
};
const GO: Kind = Kind {
    command: "SEALWAX_TEST_S3EC_GO",
    has_raw_keys: false,
    reads_suffixes: false,
    has_multipart: false,
    any_text: true,
};
const JAVA: Kind = Kind {
    command: "SEALWAX_TEST_S3EC_JAVA",
    has_raw_keys: true,
    reads_suffixes: true,
    has_multipart: false,
    any_text: true,
};

/// An official client, in a process that lives as long as the value.
struct Peer {
    kind: Kind,
    process: Child,
    calls: ChildStdin,
    answers: BufReader<ChildStdout>,
    files: TempDir,
}

impl Peer {
    fn new(stack: &LocalStack, kind: Kind) -> Self {
        let command = env::var(kind.command)
            .unwrap_or_else(|_| panic!("{} is not set: run `make test`", kind.command));
        let mut words = command.split_ascii_whitespace();
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut process = Command::new(words.next().expect("a command"))
            .args(words)
            .current_dir(directory)
            .env(
                "SEALWAX_PEER_ENDPOINT",
                env::var_os("SEALWAX_TEST_LOCALSTACK_URL").expect("LocalStack"),
            )
            .env("SEALWAX_PEER_KEY", stack.home.key.as_str())
            .env("SEALWAX_PEER_KEYS", directory.join("vectors/s3ec/_keys"))
            .envs([
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_REGION", "us-east-1"),
            ])
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer");
        let (calls, answers) =
            (process.stdin.take().expect("piped"), process.stdout.take().expect("piped"));
        let files = tempfile::tempdir().expect("a directory");
        Self { kind, process, calls, answers: BufReader::new(answers), files }
    }

    fn call(
        &mut self,
        op: &str,
        uri: &S3Uri,
        case: &Case,
        suffix: Option<&str>,
    ) -> Result<(), String> {
        let call = json!({
            "op": op, "bucket": uri.bucket(), "key": uri.key(), "file": self.files.path().join("plaintext"),
            "context": case.context, "suite": if case.commits { "v3" } else { "v2" }, "suffix": suffix,
            "multipart": (case.len >= PART && self.kind.has_multipart).then_some(PART),
            "keyring": case.keys.name(), "in_file": case.in_file,
        });
        writeln!(self.calls, "{call}").expect("the peer lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the peer lives");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("an answer");
        answer.get("error").map_or(Ok(()), |error| Err(error.to_string()))
    }

    fn put(&mut self, uri: &S3Uri, case: &Case, plaintext: &[u8]) {
        fs::write(self.files.path().join("plaintext"), plaintext).expect("a file");
        self.call("put", uri, case, None).expect("the peer writes");
    }

    fn get(&mut self, uri: &S3Uri, case: &Case, suffix: Option<&str>) -> Result<Vec<u8>, String> {
        self.call("get", uri, case, suffix)?;
        Ok(fs::read(self.files.path().join("plaintext")).expect("a file"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Kms,
    Aes,
    Rsa,
}

impl Keys {
    fn name(self) -> &'static str {
        match self {
            Self::Kms => "kms",
            Self::Aes => "aes",
            Self::Rsa => "rsa",
        }
    }
}

#[derive(Debug, Clone)]
struct Case {
    len: usize,
    context: BTreeMap<String, String>,
    keys: Keys,
    commits: bool,
    in_file: bool,
    suffix: Option<String>,
}

/// Generates lengths around block and part boundaries, and contexts that the peer accepts.
fn cases(kind: &Kind) -> impl Strategy<Value = Case> + use<> {
    let len = prop_oneof![
        8 => 0..70_usize,
        6 => (0..5_usize, 0..64_usize).prop_map(|(blocks, rest)| blocks * 16_384 + rest),
        6 => 0..200_000_usize,
        1 => (1..3_usize, 0..3_usize).prop_map(|(parts, rest)| parts * PART + rest),
    ];
    // `aws:` is reserved.
    let texts = if kind.any_text {
        ("[ -~é€😀&&[^:]]{1,12}", "[ -~é€😀]{0,16}")
    } else {
        ("[ -~&&[^:]]{1,12}", "[ -~]{0,16}")
    };
    let context = btree_map(texts.0, texts.1, 0..4);
    let keys = match kind.has_raw_keys {
        true => prop_oneof![Just(Keys::Kms), Just(Keys::Aes), Just(Keys::Rsa)].boxed(),
        false => Just(Keys::Kms).boxed(),
    };
    let suffix = match kind.reads_suffixes {
        true => prop::option::of("\\.[a-z0-9-]{1,10}").boxed(),
        false => Just(None).boxed(),
    };
    (len, context, keys, any::<bool>(), any::<bool>(), suffix).prop_map(
        |(len, context, keys, commits, in_file, suffix)| {
            let context = if keys == Keys::Kms { context } else { BTreeMap::new() };
            Case { len, context, keys, commits, in_file, suffix }
        },
    )
}

fn reader(stack: &LocalStack, case: &Case, suffix: &str) -> SealedClient {
    let s3ec = if case.commits { S3ec::new() } else { v2() };
    let s3ec = match case.keys {
        Keys::Kms => s3ec,
        Keys::Aes => s3ec.keyring(aes_key()),
        Keys::Rsa => s3ec.keyring(rsa_key()),
    };
    let s3ec = s3ec.instruction_file_suffix(suffix);
    stack.client_builder([&stack.home.key]).s3ec(s3ec).part_len(PART).build()
}

/// Asserts that they read our object. The Go client looks for instruction files by a client other
/// than the given one.
async fn they_read(stack: &LocalStack, peer: &mut Peer, case: &Case) {
    let uri = stack.object("ours");
    let data = plaintext(case.len);
    let context =
        EncryptionContext::try_from_iter(case.context.clone()).expect("no reserved names");
    let suffix = case.suffix.as_deref().unwrap_or(".instruction");
    let put = reader(stack, case, suffix).put().uri(&uri).body(data.clone());
    let put = put.encryption_context(context).s3ec();
    let in_file = case.in_file && peer.kind.reads_suffixes;
    let put = if in_file { put.instruction_file() } else { put };
    put.send().await.expect("we write");
    let read = peer.get(&uri, case, case.suffix.as_deref().filter(|_| in_file));
    assert!(
        read.as_deref() == Ok(&data[..]),
        "they read ours: {case:?}: {:?}",
        read.map(|it| it.len())
    );
}

/// Asserts that we read their object. If they write no instruction file, or none with that suffix,
/// the test moves their envelope into one, as the format defines.
async fn we_read(stack: &LocalStack, peer: &mut Peer, case: &Case) {
    let uri = stack.object("theirs");
    let data = plaintext(case.len);
    // LocalStack treats unescaped non-ASCII metadata differently from S3.
    let ascii = |text: &String| text.is_ascii();
    let mut case = case.clone();
    case.context.retain(|name, value| ascii(name) && ascii(value));
    peer.put(&uri, &case, &data);
    let suffix = if peer.kind.has_raw_keys { None } else { case.suffix.as_deref() }
        .unwrap_or(".instruction");
    if case.in_file && !peer.kind.has_raw_keys {
        let mut stored = Stored::fetch(&stack.s3(), &uri).await;
        let stays = |name: &str| ["x-amz-c", "x-amz-d", "x-amz-i"].contains(&name);
        // The Go client stores the plaintext's length, which stays with the object too.
        let stays = |name: &str| stays(name) || name == "x-amz-unencrypted-content-length";
        let file: BTreeMap<_, _> = stored.metadata.extract_if(|name, _| !stays(name)).collect();
        stored.store(&stack.s3(), &uri).await;
        let file = Stored {
            body: serde_json::to_vec(&file).expect("strings").into(),
            metadata: Default::default(),
        };
        file.store(&stack.s3(), &beside(&uri, suffix)).await;
    }
    let context =
        EncryptionContext::try_from_iter(case.context.clone()).expect("no reserved names");
    let reader = reader(stack, &case, suffix);
    let get = reader.get().uri(&uri).encryption_context(context.clone());
    let object = get.send().await.expect("we read");
    let envelope = object.info().envelope().expect("an envelope").clone();
    assert_eq!(envelope.storage() == Storage::InstructionFile, case.in_file);
    assert_eq!(object.info().encryption_context(), &context);
    assert!(object.bytes().await.expect("we read") == data, "we read theirs: {case:?}");
}

fn both_read_both(kind: Kind) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stack = LocalStack::new(east());
    let mut peer = Peer::new(&stack, kind);
    let count =
        env::var("SEALWAX_S3EC_CASES").map_or(CASES, |number| number.parse().expect("a number"));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for _ in 0..count {
        let case = cases(&peer.kind).new_tree(&mut runner).expect("a case").current();
        runtime.block_on(async {
            they_read(&stack, &mut peer, &case).await;
            we_read(&stack, &mut peer, &case).await;
        });
    }
}

#[test]
fn python_and_sealwax_read_each_other() {
    both_read_both(PYTHON);
}

#[test]
#[ignore = "needs Go: make interop"]
fn go_and_sealwax_read_each_other() {
    both_read_both(GO);
}

#[test]
#[ignore = "needs Java and Maven: make interop"]
fn java_and_sealwax_read_each_other() {
    both_read_both(JAVA);
}

/// Both sides refuse the same forgeries.
#[test]
fn both_refuse_forged_objects() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stack = LocalStack::new(east());
    let mut peer = Peer::new(&stack, PYTHON);
    for commits in [true, false] {
        let case = Case {
            len: 100,
            context: BTreeMap::new(),
            keys: Keys::Kms,
            commits,
            in_file: false,
            suffix: None,
        };
        runtime.block_on(async {
            let (client, uri) = (reader(&stack, &case, ".instruction"), stack.object("forged"));
            client.put().uri(&uri).body(plaintext(100)).s3ec().send().await.expect("we write");
            let genuine = Stored::fetch(&stack.s3(), &uri).await;
            let mut body = genuine.body.to_vec();
            body[3] ^= 1;
            let relabelled = if commits {
                (genuine.with("x-amz-c", "116"), ErrorKind::Unsupported)
            } else {
                (genuine.with("x-amz-c", "115"), ErrorKind::Malformed)
            };
            let forged = [
                (genuine.with_body(body), ErrorKind::Authentication),
                (genuine.with_body(genuine.body.slice(..115)), ErrorKind::Authentication),
                (genuine.with("x-amz-key", "AAAA"), ErrorKind::Malformed),
                relabelled,
            ];
            for (object, kind) in forged {
                object.store(&stack.s3(), &uri).await;
                let ours = sealwax_tests::read(&client, &uri).await;
                assert_kind(ours, kind, &uri, "we read it");
                let theirs = peer.get(&uri, &case, None).expect_err("they read it");
                assert!(theirs.contains("S3EncryptionClientError"), "{theirs}");
            }
        });
    }
}
