//! The function as a process, on objects that a writer to the bucket changed. The test stands in
//! for Lambda's runtime API. The suite `hostile_writer` has all changes, and the function's library
//! calls.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use sealwax_s3::{Error, ErrorKind, KmsKeyArn, KmsKeyring, SealedClient};
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

/// The attacker's key.
fn foreign() -> String {
    variable("SEALWAX_EAST_KEY_2")
}
