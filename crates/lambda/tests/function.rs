//! The function as a process, on objects that a writer to the bucket changed. The test stands in
//! for Lambda's runtime API. The suite `hostile_writer` has all changes, and the function's library
//! calls.

use std::{
    collections::HashMap,
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use sealwax_s3::{
    Error, ErrorKind, KmsKeyArn, KmsKeyring, SealedClient,
    aws_sdk_kms::{self, primitives::Blob},
    s3ec::{CommitmentPolicy, S3ec},
};
use serde_json::{Value, json};

/// Stands in for the runtime API of Lambda.
struct RuntimeApi(TcpListener);

impl RuntimeApi {
    /// Sends one event to a function with these settings, and returns its response.
    fn invoke(settings: &[(&str, String)], event: &Value) -> Value {
        let this = Self(TcpListener::bind("127.0.0.1:0").expect("a port"));
        let address = this.0.local_addr().expect("an address").to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealwax-lambda"));
        command.env("AWS_LAMBDA_RUNTIME_API", address).env("AWS_REGION", "us-east-1");
        command.env("AWS_ENDPOINT_URL", variable("SEALWAX_TEST_LOCALSTACK_URL"));
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        let mut function = Ended(command.spawn().expect("the function starts"));
        let response = this.serve(event);
        // It would wait for another event.
        function.0.kill().expect("it runs");
        response
    }

    /// Answers the first `invocation/next` with `event`, and returns what is posted.
    fn serve(&self, event: &Value) -> Value {
        loop {
            let (mut stream, _) = self.0.accept().expect("a connection");
            while let Some((line, body)) = request(&stream) {
                let (status, headers, answer) = if line.starts_with("GET") {
                    ("200 OK", "lambda-runtime-aws-request-id: 1\r\n", event.to_string())
                } else {
                    ("202 Accepted", "", String::new())
                };
                let len = answer.len();
                let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {len}\r\n\r\n");
                stream.write_all((head + &answer).as_bytes()).expect("answered");
                if line.starts_with("POST") {
                    assert!(line.contains("/response"), "{line}: {body}");
                    return serde_json::from_str(&body).expect("JSON");
                }
            }
        }
    }
}

/// A process that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads one request: its first line and its body. `None` at the end of the connection.
fn request(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).expect("a line") == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header =
        |line: &String| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok();
    let len: usize = lines.iter().find_map(header).unwrap_or_default();
    let mut body = vec![0; len];
    reader.read_exact(&mut body).expect("the body");
    Some((lines.swap_remove(0), String::from_utf8(body).expect("text")))
}

fn variable(name: &str) -> String {
    env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which starts the servers"))
}

/// LocalStack, and the keys of one test.
struct Stack {
    config: SdkConfig,
    s3: Client,
    bucket: String,
}

impl Stack {
    async fn new() -> Self {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
        let loader = loader.region(Region::from_static("us-east-1"));
        let config = loader.endpoint_url(variable("SEALWAX_TEST_LOCALSTACK_URL")).load().await;
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        Self { s3: Client::from_conf(s3), config, bucket: variable("SEALWAX_EAST_BUCKET") }
    }

    /// Returns a client that has these keys alone.
    fn client(&self, keys: &[&str]) -> SealedClient {
        let keys = keys.iter().map(|key| variable(key).parse::<KmsKeyArn>().expect("an ARN"));
        let keyring = KmsKeyring::builder(&self.config).keys(keys).build().expect("parsed ARNs");
        SealedClient::builder(self.s3.clone(), keyring).build()
    }

    async fn read(&self, key: &str, name: &str) -> Result<bytes::Bytes, Error> {
        let client = self.client(&[name]);
        client.get().bucket(&self.bucket).key(key).send().await?.bytes().await
    }

    /// Stores an object of two versions, with its list of wrapped keys changed.
    async fn tamper(&self, key: &str, change: Change) {
        let (mut lists, mut now) = (Vec::new(), None);
        for text in ["older", "text"] {
            let client = self.client(&["SEALWAX_EAST_KEY", "SEALWAX_WEST_KEY"]);
            client.put().bucket(&self.bucket).key(key).body(text).send().await.expect("put");
            let got = self.s3.get_object().bucket(&self.bucket).key(key).send().await;
            let got = got.expect("stored");
            let groups = &got.metadata.as_ref().expect("metadata")["sealwax-keys"];
            let groups: Value = serde_json::from_str(groups).expect("a list");
            lists.push(groups[0]["keys"].as_array().expect("keys").clone());
            now = Some(got);
        }
        let [older, keys] = &mut lists[..] else { unreachable!() };
        change(keys, older);
        let now = now.expect("stored");
        let mut metadata = now.metadata.expect("metadata");
        let keys = serde_json::to_string(keys).expect("JSON");
        let place = format!("{}/{key}", self.bucket);
        let keys = format!(r#"[{{"place":"{place}","keys":{keys}}}]"#);
        metadata.insert("sealwax-keys".into(), keys);
        let body = now.body.collect().await.expect("a body").into_bytes();
        let put = self.s3.put_object().bucket(&self.bucket).key(key).body(body.into());
        put.set_metadata(Some(metadata)).send().await.expect("stored");
    }
}

/// One change of the list of wrapped keys; `older` is the list of the older version.
type Change = fn(keys: &mut Vec<Value>, older: &[Value]);

/// Rewraps under a new key, with a proof. No change makes the function lose an object, or open one
/// to a key outside of its settings.
#[tokio::test]
async fn a_writer_gains_nothing_from_a_job() {
    let stack = Stack::new().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let cases: [(&str, Change, Result<(), &str>); 5] = [
        ("nothing", |_, _| {}, Ok(())),
        ("foreign", |keys, _| keys.push(json!(["aws-kms", foreign(), "AAAA"])), Ok(())),
        ("older", |keys, older| keys.insert(0, older[0].clone()), Ok(())),
        ("replaced", |keys, older| keys[0] = older[0].clone(), Ok(())),
        (
            "exchanged",
            |keys, _| {
                let (east, west) = (keys[0][2].clone(), keys[1][2].clone());
                (keys[0][2], keys[1][2]) = (west, east);
            },
            Err("failed authentication"),
        ),
    ];
    let mut tasks = Vec::new();
    for (name, change, _) in cases {
        let key = format!("lambda/{now:x}/{name}");
        stack.tamper(&key, change).await;
        let arn = format!("arn:aws:s3:::{}", stack.bucket);
        tasks.push(json!({ "taskId": name, "s3Key": key, "s3BucketArn": arn }));
    }
    let event = json!({
        "invocationSchemaVersion": "1.0",
        "invocationId": "1",
        "job": { "id": "job" },
        "tasks": tasks,
    });
    let keys = [variable("SEALWAX_EAST_KEY"), variable("SEALWAX_WEST_KEY")].join(" ");
    let settings =
        [("SEALWAX_REWRAP_KEYS", keys), ("SEALWAX_REWRAP_REPLACE", variable("SEALWAX_EAST_MRK"))];
    let response = tokio::task::spawn_blocking(move || RuntimeApi::invoke(&settings, &event)).await;
    let response = response.expect("a response");
    for (at, (name, _, expected)) in cases.iter().enumerate() {
        let (result, key) = (&response["results"][at], format!("lambda/{now:x}/{name}"));
        let by_new = stack.read(&key, "SEALWAX_EAST_MRK").await;
        match expected {
            Ok(()) => {
                assert_eq!(result["resultCode"], "Succeeded", "{name}: {result}");
                assert_eq!(by_new.expect(name), "text");
            }
            Err(why) => {
                assert_eq!(result["resultCode"], "PermanentFailure", "{name}: {result}");
                assert!(
                    result["resultString"].as_str().is_some_and(|it| it.contains(why)),
                    "{result}"
                );
                assert_eq!(by_new.expect_err(name).kind(), ErrorKind::NoMatchingKey);
            }
        }
        let by_foreign = stack.read(&key, "SEALWAX_EAST_KEY_2").await.expect_err(name).kind();
        assert_eq!(by_foreign, ErrorKind::NoMatchingKey, "{name}");
    }
}

/// Returns a key that no other test uses.
fn unique(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    format!("lambda/{now:x}/{name}")
}

/// Returns an event of S3 Batch Operations for these objects of a bucket.
fn job(bucket: &str, keys: &[String], arguments: Option<Value>) -> Value {
    let arn = format!("arn:aws:s3:::{bucket}");
    let tasks = keys.iter().map(|key| json!({ "taskId": key, "s3Key": key, "s3BucketArn": arn }));
    json!({
        "invocationSchemaVersion": if arguments.is_some() { "2.0" } else { "1.0" },
        "invocationId": "1",
        "job": { "id": "job", "userArguments": arguments },
        "tasks": tasks.collect::<Vec<_>>(),
    })
}

/// Sends an event to the function, and returns each object's code and text.
async fn results(settings: &[(&'static str, String)], event: Value) -> Vec<(String, String)> {
    let settings = settings.to_vec();
    let response = tokio::task::spawn_blocking(move || RuntimeApi::invoke(&settings, &event)).await;
    let response = response.expect("a response");
    let results = response["results"].as_array().expect("results");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    results.iter().map(|it| (text(&it["resultCode"]), text(&it["resultString"]))).collect()
}

/// Writes an object with the official client for Python, under the key in us-east-1.
fn python_writes(bucket: &str, key: &str, suite: &str) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(key.replace('/', "-"));
    fs::write(&file, b"plaintext").expect("written");
    let command = variable("SEALWAX_TEST_S3EC_PYTHON");
    let mut words = command.split_ascii_whitespace();
    let mut peer = Command::new(words.next().expect("a command"))
        .args(words)
        .env("SEALWAX_PEER_ENDPOINT", variable("SEALWAX_TEST_LOCALSTACK_URL"))
        .env("SEALWAX_PEER_KEY", variable("SEALWAX_EAST_KEY"))
        .envs([("AWS_REGION", "us-east-1"), ("AWS_DEFAULT_REGION", "us-east-1")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the peer");
    let call = json!({
        "op": "put", "bucket": bucket, "key": key, "file": file, "suite": suite, "context": null,
    });
    writeln!(peer.stdin.take().expect("piped"), "{call}").expect("the peer lives");
    let output = peer.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "{}");
    fs::remove_file(&file).expect("removed");
}

/// Turns an object of V2 into one of V1: its data key is wrapped by the algorithm `kms`, whose
/// encryption context names the key.
async fn as_v1(stack: &Stack, from: &str, to: &str) {
    let kms = aws_sdk_kms::Client::new(&stack.config);
    let got = stack.s3.get_object().bucket(&stack.bucket).key(from).send().await.expect("stored");
    let mut metadata = got.metadata.clone().expect("metadata");
    let pairs: HashMap<String, String> =
        serde_json::from_str(&metadata["x-amz-matdesc"]).expect("JSON");
    let wrapped = BASE64_STANDARD.decode(&metadata["x-amz-key-v2"]).expect("base64");
    let decrypt = kms.decrypt().ciphertext_blob(Blob::new(wrapped));
    let data_key = decrypt.set_encryption_context(Some(pairs)).send().await.expect("decrypted");
    let key = variable("SEALWAX_EAST_KEY");
    let encrypt = kms.encrypt().key_id(&key).plaintext(data_key.plaintext.expect("a data key"));
    let encrypted = encrypt.encryption_context("kms_cmk_id", &key).send().await.expect("encrypted");
    let wrapped = encrypted.ciphertext_blob.expect("a ciphertext");
    metadata.insert("x-amz-key-v2".into(), BASE64_STANDARD.encode(wrapped));
    metadata.insert("x-amz-matdesc".into(), json!({ "kms_cmk_id": key }).to_string());
    metadata.insert("x-amz-wrap-alg".into(), "kms".into());
    let body = got.body.collect().await.expect("a body").into_bytes();
    let put = stack.s3.put_object().bucket(&stack.bucket).key(to).body(body.into());
    put.set_metadata(Some(metadata)).send().await.expect("stored");
}

/// Objects that the official client wrote are rewrapped as far as the environment says.
#[tokio::test]
async fn objects_of_the_s3_encryption_client_are_rewrapped_by_the_environments_policy() {
    let stack = Stack::new().await;
    let keys = ["v3", "v2", "v1"].map(unique);
    python_writes(&stack.bucket, &keys[0], "v3");
    python_writes(&stack.bucket, &keys[1], "v2");
    as_v1(&stack, &keys[1], &keys[2]).await;
    let settings = vec![
        ("SEALWAX_REWRAP_KEYS", variable("SEALWAX_EAST_KEY")),
        ("SEALWAX_REWRAP_REPLACE", variable("SEALWAX_EAST_KEY_2")),
    ];
    let event = |arguments| job(&stack.bucket, &keys, arguments);
    let codes = |results: &[(String, String)]| -> Vec<_> {
        results
            .iter()
            .map(|(code, text)| (code.clone(), text.split(':').next().expect("a word").to_owned()))
            .collect()
    };
    let is = |code: &str, text: &str| (code.to_owned(), text.to_owned());
    let refused = is("PermanentFailure", "policy-refused");
    let strict = results(&settings, event(None)).await;
    let expected = [is("Succeeded", "rewrapped"), refused.clone(), refused.clone()];
    assert_eq!(codes(&strict), expected, "{strict:?}");

    let mut all = settings.clone();
    all.push(("SEALWAX_REWRAP_COMMITMENT_POLICY", "require-encrypt-allow-decrypt".to_owned()));
    let v2 = results(&all, event(None)).await;
    assert_eq!(
        codes(&v2),
        [is("Succeeded", "proven"), is("Succeeded", "rewrapped"), refused.clone()],
        "{v2:?}"
    );

    all.push(("SEALWAX_REWRAP_LEGACY_WRAPPING_ALGORITHMS", "true".to_owned()));
    // A job can narrow that, and the object is then refused as before.
    let narrowed = json!({ "legacy_wrapping_algorithms": "false" });
    let narrow = results(&all, event(Some(narrowed))).await;
    assert_eq!(codes(&narrow)[2], refused, "{narrow:?}");
    let v1 = results(&all, event(None)).await;
    assert_eq!(codes(&v1)[2], is("Succeeded", "rewrapped"), "{v1:?}");

    let new = variable("SEALWAX_EAST_KEY_2").parse::<KmsKeyArn>().expect("an ARN");
    let keyring = KmsKeyring::builder(&stack.config).keys([new]).build().expect("parsed");
    let any = S3ec::new().commitment_policy(CommitmentPolicy::RequireEncryptAllowDecrypt);
    let any = any.legacy_wrapping_algorithms(true).any_encryption_context(true);
    let client = SealedClient::builder(stack.s3.clone(), keyring).s3ec(any).build();
    for key in &keys {
        let object = client.get().bucket(&stack.bucket).key(key).send().await.expect(key);
        assert_eq!(object.bytes().await.expect(key), "plaintext", "{key}");
    }
}

/// With `rebind`, a key that is bound to the source's place is no key of the replica.
#[tokio::test]
async fn keys_are_bound_to_the_replicas_place_if_the_environment_says_so() {
    let stack = Stack::new().await;
    let (replica, key) = (variable("SEALWAX_WEST_BUCKET"), unique("rebind"));
    let writer = stack.client(&["SEALWAX_EAST_KEY", "SEALWAX_WEST_KEY"]);
    writer.put().bucket(&stack.bucket).key(&key).body("text").send().await.expect("put");
    let copy = stack.s3.copy_object().bucket(&replica).key(&key);
    copy.copy_source(format!("{}/{key}", stack.bucket)).send().await.expect("replicated");
    let keys = [variable("SEALWAX_EAST_KEY"), variable("SEALWAX_WEST_KEY")].join(" ");
    let mut settings = vec![
        ("SEALWAX_REWRAP_KEYS", keys),
        ("SEALWAX_REWRAP_ADD", variable("SEALWAX_WEST_KEY")),
        ("SEALWAX_REWRAP_REPLICAS", format!("{replica}={}", stack.bucket)),
        ("SEALWAX_REWRAP_REGION", "us-west-2".to_owned()),
    ];
    let event = |arguments| job(&replica, std::slice::from_ref(&key), arguments);
    let there = stack.config.to_builder().region(Region::from_static("us-west-2")).build();
    let s3 = aws_sdk_s3::config::Builder::from(&there).force_path_style(true).build();
    let west = variable("SEALWAX_WEST_KEY").parse::<KmsKeyArn>().expect("an ARN");
    let keyring = KmsKeyring::builder(&there).keys([west]).build().expect("parsed");
    let reader = SealedClient::builder(Client::from_conf(s3), keyring).build();
    let read = async || reader.get().bucket(&replica).key(&key).send().await.map(drop);
    let kind = |error: Error| error.kind();

    let kept = results(&settings, event(None)).await;
    assert_eq!(kept[0].0, "Succeeded", "{kept:?}");
    assert_eq!(read().await.map_err(kind), Err(ErrorKind::PlaceMismatch));
    settings.push(("SEALWAX_REWRAP_REBIND", "true".to_owned()));
    let narrowed = results(&settings, event(Some(json!({ "rebind": "false" })))).await;
    assert_eq!(narrowed[0].0, "Succeeded", "{narrowed:?}");
    assert_eq!(read().await.map_err(kind), Err(ErrorKind::PlaceMismatch));
    let bound = results(&settings, event(None)).await;
    assert_eq!((bound[0].0.as_str(), bound[0].1.starts_with("rewrapped")), ("Succeeded", true));
    assert_eq!(read().await.map_err(kind), Ok(()));
}

/// The attacker's key.
fn foreign() -> String {
    variable("SEALWAX_EAST_KEY_2")
}
