//! Runs each example on LocalStack and checks its output.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use sealwax_s3::{
    envelope::geometry,
    testing::{LocalStack, TestRegion},
};

/// Returns a command that runs a program with the test server in place of AWS.
fn command(program: &str, endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    let settings = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
    ];
    command.args(arguments).envs(settings);
    command
}

fn run(program: &str, endpoint: &str, arguments: &[&str]) -> String {
    let output = command(program, endpoint, arguments).output().expect("the example starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// A service that is killed when its test ends.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn upload_and_download(endpoint: &str, bucket: &str, key: &str) {
    let mut service =
        command(env!("CARGO_BIN_EXE_upload_handler"), endpoint, &[bucket, key, "127.0.0.1:0"]);
    let mut service = Service(service.stdout(Stdio::piped()).spawn().expect("the service starts"));
    let mut url = String::new();
    let stdout = service.0.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut url).expect("it prints its address");
    let address = url.trim().strip_prefix("http://").expect("an address").to_owned();
    let put = || exchange(&address, "PUT /report HTTP/1.1", "a report");
    assert_eq!(put(), (201, String::new()));
    assert_eq!(put(), (409, String::new()), "it is there already");
    assert_eq!(exchange(&address, "GET /report HTTP/1.1", ""), (200, "a report".to_owned()));
    assert_eq!(exchange(&address, "GET /another HTTP/1.1", ""), (404, String::new()));
}

/// Sends a request over a new connection and returns the status and the body of the response.
fn exchange(address: &str, request: &str, body: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).expect("the service listens");
    let headers = format!("Host: {address}\r\nConnection: close\r\nContent-Length: {}", body.len());
    write!(connection, "{request}\r\n{headers}\r\n\r\n{body}").expect("the request is sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

async fn stored_len(region: &TestRegion, key: &str) -> Option<u64> {
    let head = region
        .s3()
        .head_object()
        .bucket(region.bucket())
        .key(key)
        .send()
        .await
        .expect("it is stored");
    head.content_length().and_then(|len| u64::try_from(len).ok())
}

#[tokio::test]
async fn all_examples() {
    let endpoint = std::env::var("SEALWAX_TEST_LOCALSTACK_URL")
        .expect("run `make test`, which starts LocalStack");
    let stack = LocalStack::new(&endpoint);
    let mut east = stack.region("us-east-1").await.expect("a Region");
    let west = stack.region("us-west-2").await.expect("another");
    let second = east.new_key().await.expect("another key");
    let (bucket, key) = (east.bucket().to_owned(), east.key().to_string());
    let run = |program: &str, more: &[&str]| {
        let arguments: Vec<&str> =
            [bucket.as_str(), key.as_str()].into_iter().chain(more.iter().copied()).collect();
        run(program, &endpoint, &arguments)
    };

    assert_eq!(run(env!("CARGO_BIN_EXE_round_trip"), &[]), "hello, sealed\n");

    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    std::fs::write(&path, vec![7; 20_000_000]).expect("a file");
    let printed = run(env!("CARGO_BIN_EXE_file"), &[path.to_str().expect("a name")]);
    assert_eq!(printed, "sealed 20000000 bytes\nread back 20000000 bytes, verified\n");
    assert_eq!(stored_len(&east, "examples/file").await, geometry::body_len(20_000_000));
    assert!(!Path::new(&format!("{}.upload", path.display())).exists(), "the state file");

    assert_eq!(
        run(env!("CARGO_BIN_EXE_stream"), &["10"]),
        "streamed 10485760 bytes to S3 and back\n"
    );
    assert_eq!(
        run(env!("CARGO_BIN_EXE_range"), &[]),
        "8 bytes of the middle, 4 of the end, 3 ranges\n"
    );
    let printed = run(env!("CARGO_BIN_EXE_several_regions"), &[west.key().as_str()]);
    assert_eq!(printed, "2 wrapped keys, 0 missing\nreadable in both Regions\n");
    assert_eq!(run(env!("CARGO_BIN_EXE_cache"), &[]), "20 objects put and got\n");
    let printed = run(env!("CARGO_BIN_EXE_custom_keyring"), &[second.as_str()]);
    assert!(printed.starts_with("without a tenant: cannot put s3://"), "{printed}");
    upload_and_download(&endpoint, &bucket, &key);

    for region in [east, west] {
        region.clean_up().await.expect("clean up");
    }
}
