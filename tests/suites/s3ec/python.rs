//! The official Python client reads what we write, and we read what it writes.

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
    test_runner::{Config, TestRng, TestRunner},
};
use sealwax_s3::{
    S3Uri, SealedClient,
    envelope::EncryptionContext,
    s3ec::{S3ec, Storage},
};
use sealwax_tests::{LocalStack, Stored, east, plaintext};
use serde_json::json;
use tempfile::TempDir;

use crate::rig::{beside, v2};

/// Cases, unless `SEALWAX_S3EC_CASES` says another number: each is one object of ours and one of theirs.
const CASES: u32 = 500;
const PART: usize = 5 << 20;

/// The official client, in a process that lives as long as the test.
struct Peer {
    process: Child,
    calls: ChildStdin,
    answers: BufReader<ChildStdout>,
    files: TempDir,
}

impl Peer {
    fn new(stack: &LocalStack) -> Self {
        let python =
            env::var_os("SEALWAX_TEST_S3EC_PYTHON").expect("SEALWAX_TEST_S3EC_PYTHON is not set: run `make test`");
        let mut process = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/python/peer.py"))
            .env("SEALWAX_PEER_ENDPOINT", env::var_os("SEALWAX_TEST_LOCALSTACK_URL").expect("LocalStack"))
            .env("SEALWAX_PEER_KEY", stack.home.key.as_str())
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "us-east-1")])
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer's interpreter");
        let (calls, answers) = (process.stdin.take().expect("piped"), process.stdout.take().expect("piped"));
        let files = tempfile::tempdir().expect("a directory");
        Self { process, calls, answers: BufReader::new(answers), files }
    }

    fn call(&mut self, op: &str, uri: &S3Uri, case: &Case, suffix: Option<&str>) -> Result<(), String> {
        let call = json!({
            "op": op, "bucket": uri.bucket(), "key": uri.key(), "file": self.files.path().join("plaintext"),
            "context": case.context, "suite": if case.commits { "v3" } else { "v2" }, "suffix": suffix,
            "multipart": case.multipart.then_some(PART),
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

#[derive(Debug, Clone)]
struct Case {
    len: usize,
    context: BTreeMap<String, String>,
    commits: bool,
    in_file: bool,
    suffix: Option<String>,
    multipart: bool,
}

/// Sizes around the block's and the part's ends; contexts of ASCII, all that the peer takes.
fn cases() -> impl Strategy<Value = Case> {
    let len = prop_oneof![
        6 => 0..70_usize,
        6 => (0..5_usize, 0..64_usize).prop_map(|(blocks, rest)| blocks * 16_384 + rest),
        6 => 0..200_000_usize,
        1 => (1..3_usize, 0..3_usize).prop_map(|(parts, rest)| parts * PART + rest),
    ];
    // `aws:` is reserved, and the peer takes `kms_cmk_id` off what it reads.
    let context = btree_map("[ -~&&[^:]]{1,12}", "[ -~]{0,16}", 0..4);
    let suffix = prop::option::of("\\.[a-z0-9-]{1,10}");
    (len, context, any::<bool>(), any::<bool>(), suffix).prop_map(|(len, context, commits, in_file, suffix)| Case {
        multipart: len >= PART,
        len,
        context,
        commits,
        in_file,
        suffix,
    })
}

fn reader(stack: &LocalStack, case: &Case) -> SealedClient {
    let s3ec = if case.commits { S3ec::new() } else { v2() };
    stack.client_builder([&stack.home.key]).s3ec(s3ec).part_len(PART).build()
}

/// The object is ours: they read it.
async fn they_read(stack: &LocalStack, peer: &mut Peer, case: &Case) {
    let uri = stack.object("ours");
    let data = plaintext(case.len);
    let context = EncryptionContext::try_from_iter(case.context.clone()).expect("no reserved names");
    let put = reader(stack, case).put().uri(&uri).body(data.clone()).encryption_context(context).s3ec();
    let suffix = case.suffix.as_deref().unwrap_or(".instruction");
    let put = if case.in_file { put.instruction_file().instruction_file_suffix(suffix) } else { put };
    put.send().await.expect("we write");
    let read = peer.get(&uri, case, case.suffix.as_deref());
    assert!(read.as_deref() == Ok(&data[..]), "they read ours: {case:?}: {:?}", read.map(|it| it.len()));
}

/// The object is theirs: we read it. They write no instruction files; its content is moved into one, as the format says.
async fn we_read(stack: &LocalStack, peer: &mut Peer, case: &Case) {
    let uri = stack.object("theirs");
    let data = plaintext(case.len);
    peer.put(&uri, case, &data);
    let suffix = case.suffix.as_deref().unwrap_or(".instruction");
    if case.in_file {
        let mut stored = Stored::fetch(&stack.s3(), &uri).await;
        let stays = |name: &str| ["x-amz-c", "x-amz-d", "x-amz-i"].contains(&name);
        let file: BTreeMap<_, _> = stored.metadata.extract_if(|name, _| !stays(name)).collect();
        stored.store(&stack.s3(), &uri).await;
        let file = Stored { body: serde_json::to_vec(&file).expect("strings").into(), metadata: Default::default() };
        file.store(&stack.s3(), &beside(&uri, suffix)).await;
    }
    let context = EncryptionContext::try_from_iter(case.context.clone()).expect("no reserved names");
    let get = reader(stack, case).get().uri(&uri).instruction_file_suffix(suffix).require_context(context.clone());
    let object = get.send().await.expect("we read");
    let envelope = object.info().envelope().expect("an envelope").clone();
    assert_eq!(envelope.storage() == Storage::InstructionFile, case.in_file);
    assert_eq!(object.info().encryption_context(), &context);
    assert!(object.bytes().await.expect("we read") == data, "we read theirs: {case:?}");
}

#[test]
fn both_read_both() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stack = LocalStack::new(east());
    let mut peer = Peer::new(&stack);
    let cases_len = env::var("SEALWAX_S3EC_CASES").map_or(CASES, |number| number.parse().expect("a number"));
    let config = Config { cases: cases_len, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config.clone(), TestRng::from_os_rng(config.rng_algorithm));
    for _ in 0..cases_len {
        let case = cases().new_tree(&mut runner).expect("a case").current();
        runtime.block_on(async {
            they_read(&stack, &mut peer, &case).await;
            we_read(&stack, &mut peer, &case).await;
        });
    }
}

/// What we refuse to read, they do too, and the other way round, where it matters.
#[test]
fn both_refuse_what_is_forged() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stack = LocalStack::new(east());
    let mut peer = Peer::new(&stack);
    for commits in [true, false] {
        let case = Case { len: 100, context: BTreeMap::new(), commits, in_file: false, suffix: None, multipart: false };
        runtime.block_on(async {
            let (client, uri) = (reader(&stack, &case), stack.object("forged"));
            client.put().uri(&uri).body(plaintext(100)).s3ec().send().await.expect("we write");
            let genuine = Stored::fetch(&stack.s3(), &uri).await;
            let mut body = genuine.body.to_vec();
            body[3] ^= 1;
            let mut forged = vec![genuine.with_body(body)];
            forged.push(genuine.with_body(genuine.body.slice(..115)));
            forged.push(genuine.with("x-amz-key", "AAAA"));
            forged.push(if commits { genuine.with("x-amz-c", "116") } else { genuine.with("x-amz-c", "115") });
            for object in forged {
                object.store(&stack.s3(), &uri).await;
                assert!(sealwax_tests::read(&client, &uri).await.is_err(), "we read it");
                assert!(peer.get(&uri, &case, None).is_err(), "they read it");
            }
        });
    }
}
