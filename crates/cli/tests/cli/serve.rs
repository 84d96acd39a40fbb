//! The gateway: unchanged S3 clients, sealed objects.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::Command,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    presigning::PresigningConfig,
    primitives::{ByteStream, DateTime},
    types::{
        ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier,
        ObjectLockMode,
    },
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::{Gateway, RawS3, Scene, Sealwax, bytes, clients_file, east_key};

const MIB: usize = 1 << 20;

fn run<T>(work: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime")).block_on(work)
}

/// Returns the code and the status of a failed call.
fn refusal<T, E: ProvideErrorMetadata>(
    result: Result<T, SdkError<E, aws_sdk_s3::config::http::HttpResponse>>,
) -> (u16, String) {
    let error = result.map(drop).expect_err("it is refused");
    let status = error.raw_response().expect("an answer").status().as_u16();
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    (status, code.to_owned())
}

fn read(client: &Client, scene: &Scene) -> Vec<u8> {
    run(async {
        let get = client.get_object().bucket(&scene.bucket).key(&scene.key);
        let output = get.send().await.expect("read");
        output.body.collect().await.expect("all of it").to_vec()
    })
}

fn put(client: &Client, scene: &Scene, content: &[u8]) {
    let body = ByteStream::from(content.to_vec());
    let put = client.put_object().bucket(&scene.bucket).key(&scene.key).body(body);
    run(put.send()).expect("stored");
}

fn begin(client: &Client, scene: &Scene) -> String {
    let create = client.create_multipart_upload().bucket(&scene.bucket).key(&scene.key);
    run(create.send()).expect("begun").upload_id.expect("an id")
}

fn part(client: &Client, scene: &Scene, id: &str, number: i32, content: &[u8]) -> CompletedPart {
    let part = client.upload_part().bucket(&scene.bucket).key(&scene.key).upload_id(id);
    let body = ByteStream::from(content.to_vec());
    let sent = run(part.part_number(number).body(body).send()).expect("sent");
    CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build()
}

fn complete(client: &Client, scene: &Scene, id: &str, parts: Vec<CompletedPart>) -> String {
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = client.complete_multipart_upload().bucket(&scene.bucket).key(&scene.key);
    let done = complete.upload_id(id).multipart_upload(parts).send();
    run(done).expect("completed").e_tag.expect("an entity tag")
}

#[test]
fn what_clients_store_is_sealed_and_what_is_sealed_is_read() {
    let (scene, s3) = (Scene::new("gateway"), RawS3::new());
    let gateway = Gateway::start(&[&scene.bucket], &["-c", "app=shop"]);
    let client = gateway.client();
    for len in [0, 1, 16_384, 16_385, MIB, 9 * MIB + 1] {
        let content = bytes(len);
        put(&client, &scene, &content);
        assert!(read(&client, &scene) == content, "{len}");
        let (stored, metadata) = s3.get(&scene);
        assert!(metadata.contains_key("sealwax-header"), "{metadata:?}");
        if len >= 64 {
            let found = stored.windows(64).any(|window| window == &content[..64]);
            assert!(!found, "plaintext is stored");
        }
        let list = client.list_objects_v2().bucket(&scene.bucket).prefix(&scene.key).send();
        let listed = run(list).expect("listed").contents()[0].clone();
        let head = run(client.head_object().bucket(&scene.bucket).key(&scene.key).send());
        let head = head.expect("there");
        assert_eq!(listed.size, Some(len as i64), "the listed length");
        assert_eq!(head.content_length, listed.size);
        assert_eq!(head.e_tag, listed.e_tag);
        assert!(head.e_tag().is_some_and(|tag| tag.contains('-')), "{head:?}");
        // The command reads it as its own.
        let opened = scene.get(&["--key", &east_key()]).exits(0);
        assert!(opened.stdout == content, "{len}");
    }
    let inspected = Sealwax::new(["inspect", &scene.uri()]).run().exits(0);
    assert!(String::from_utf8_lossy(&inspected.stdout).contains("app = shop"), "{inspected:?}");

    // The other way round.
    let content = bytes(300_000);
    scene.put(&content, &["--key", &east_key()]).exits(0);
    assert!(read(&client, &scene) == content);
    let range =
        client.get_object().bucket(&scene.bucket).key(&scene.key).range("bytes=16380-16390");
    let output = run(range.send()).expect("read");
    assert_eq!(output.content_range(), Some("bytes 16380-16390/300000"));
    let range = run(output.body.collect()).expect("all").to_vec();
    assert_eq!(range, content[16_380..=16_390]);
}

#[test]
fn parts_come_in_any_order_and_again() {
    let scene = Scene::new("gateway-parts");
    let gateway = Gateway::start(&[&scene.bucket], &[]);
    let client = gateway.client();
    let contents: Vec<Vec<u8>> = (0..4).map(|at| bytes(5 * MIB + at)).collect();
    // Backwards, with a gap, and one part again with other bytes after it was sealed.
    let id = begin(&client, &scene);
    let third = part(&client, &scene, &id, 3, &contents[2]);
    let first = part(&client, &scene, &id, 1, &contents[0]);
    let again = part(&client, &scene, &id, 1, &contents[0]);
    assert_eq!(first.e_tag, again.e_tag, "the same bytes have the same entity tag");
    let other = part(&client, &scene, &id, 1, &contents[3]);
    assert_ne!(first.e_tag, other.e_tag);
    let seventh = part(&client, &scene, &id, 7, b"the end");
    let all = vec![other, third, seventh];
    let e_tag = complete(&client, &scene, &id, all.clone());
    let expected = [&*contents[3], &*contents[2], b"the end"].concat();
    assert!(read(&client, &scene) == expected);
    assert_eq!(complete(&client, &scene, &id, all), e_tag, "a retry gets the same answer");

    // A part that was sealed, and that the completion leaves out.
    let id = begin(&client, &scene);
    let first = part(&client, &scene, &id, 1, &contents[0]);
    part(&client, &scene, &id, 2, &contents[1]);
    let third = part(&client, &scene, &id, 3, &contents[2]);
    complete(&client, &scene, &id, vec![first, third]);
    assert!(read(&client, &scene) == [&*contents[0], &*contents[2]].concat());
}

/// With 16 MiB for bodies, one part has room in memory, and the others go to disk.
#[test]
fn parts_without_room_in_memory_go_to_the_spool() {
    let scene = Scene::new("gateway-spool");
    let gateway = Gateway::start(&[&scene.bucket], &["--memory", "32"]);
    let client = gateway.client();
    let contents: Vec<Vec<u8>> = (0..4).map(|at| bytes(8 * MIB + at)).collect();
    let id = begin(&client, &scene);
    let mut parts: Vec<_> =
        (0..4).rev().map(|at| part(&client, &scene, &id, at as i32 + 1, &contents[at])).collect();
    // Files of parts have no names.
    let names = gateway.spool();
    assert!(names.iter().all(|name| name.ends_with(".upload")), "{names:?}");
    parts.reverse();
    complete(&client, &scene, &id, parts);
    assert!(read(&client, &scene) == contents.concat());
    assert_eq!(gateway.spool(), [""; 0], "nothing is left");
}

#[test]
fn a_body_that_breaks_off_stores_nothing() {
    let (scene, s3) = (Scene::new("gateway-broken"), RawS3::new());
    let gateway = Gateway::start(&[&scene.bucket], &[]);
    let client = gateway.client();
    let presigning = PresigningConfig::expires_in(Duration::from_secs(600));
    let presigned = client.put_object().bucket(&scene.bucket).key(&scene.key);
    let presigned = presigned.presigned(presigning.expect("ten minutes"));
    let url = run(presigned).expect("signed");
    let (host, path) =
        url.uri().strip_prefix("http://").expect("a URL").split_once('/').expect("a path");
    for (len, sent) in [(1_000, 0), (1_000, 999), (20 * MIB, 20 * MIB - 1), (20 * MIB, 9 * MIB)] {
        let mut stream = TcpStream::connect(host).expect("connected");
        let head = format!("PUT /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(&bytes(sent)).expect("sent");
        stream.shutdown(Shutdown::Write).expect("ended");
        let mut answer = Vec::new();
        // The connection may be reset.
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{len} {sent}");
        crate::support::wait_until("no upload is left", || s3.unfinished_uploads(&scene) == 0);
        assert!(s3.head(&scene).is_none(), "{len} {sent}");
    }
    put(&client, &scene, b"content");
    assert_eq!(read(&client, &scene), b"content", "the gateway serves others after all that");
}

#[test]
fn wrong_lists_are_refused_and_the_upload_stays() {
    let scene = Scene::new("gateway-lists");
    let gateway = Gateway::start(&[&scene.bucket], &[]);
    let client = gateway.client();
    let id = begin(&client, &scene);
    let (small, last) =
        (part(&client, &scene, &id, 1, b"small"), part(&client, &scene, &id, 2, b"last"));
    let attempt = |parts: Vec<CompletedPart>| {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = client.complete_multipart_upload().bucket(&scene.bucket).key(&scene.key);
        refusal(run(complete.upload_id(&id).multipart_upload(parts).send()))
    };
    let wrong = CompletedPart::builder().part_number(2).e_tag("\"0123\"").build();
    let missing = CompletedPart::builder().part_number(3).e_tag("\"0123\"").build();
    for (parts, code) in [
        (vec![last.clone(), small.clone()], "InvalidPartOrder"),
        (vec![small.clone(), wrong], "InvalidPart"),
        (vec![missing], "InvalidPart"),
        (vec![small.clone(), last], "EntityTooSmall"),
    ] {
        assert_eq!(attempt(parts), (400, code.to_owned()));
    }
    complete(&client, &scene, &id, vec![small]);
    assert_eq!(read(&client, &scene), b"small");
    let abort = client.abort_multipart_upload().bucket(&scene.bucket).key(&scene.key);
    assert_eq!(refusal(run(abort.upload_id(&id).send())), (404, "NoSuchUpload".to_owned()));
}

/// The parts of an upload outlive the failure of its put.
#[test]
fn a_failed_put_is_told_and_its_parts_stay() {
    let scene = Scene::new("gateway-failed");
    let missing = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-4000-8000-000000000000";
    let mut gateway = Gateway::start_with_key(missing, &[&scene.bucket], &[]);
    let client = gateway.client();
    let body = ByteStream::from_static(b"content");
    let single = client.put_object().bucket(&scene.bucket).key(&scene.key).body(body).send();
    let told = (500, "InternalError".to_owned());
    assert_eq!(refusal(run(single)), told);
    let id = begin(&client, &scene);
    let first = part(&client, &scene, &id, 1, b"content");
    for _ in 0..2 {
        let parts = CompletedMultipartUpload::builder().parts(first.clone()).build();
        let complete = client.complete_multipart_upload().bucket(&scene.bucket).key(&scene.key);
        let complete = complete.upload_id(&id).multipart_upload(parts).send();
        assert_eq!(refusal(run(complete)), told);
    }
    let listed = client.list_parts().bucket(&scene.bucket).key(&scene.key).upload_id(&id).send();
    assert_eq!(run(listed).expect("it is open").parts().len(), 1);
    let abort = client.abort_multipart_upload().bucket(&scene.bucket).key(&scene.key);
    run(abort.upload_id(&id).send()).expect("aborted");
    // The answer names the log, so the log has the causes.
    for failure in ["a request failed", "an upload's put failed", "an upload's put failed"] {
        let line = gateway.message();
        assert!(line.starts_with("WARN sealwax_gateway") && line.contains(failure), "{line}");
        assert!(line.contains("no such key error.sources=["), "{line}");
    }
}

/// A completion whose condition does not hold stores nothing, and another one can follow.
#[test]
fn a_completion_has_conditions() {
    let scene = Scene::new("gateway-late");
    let gateway = Gateway::start(&[&scene.bucket], &["--conditions", "trust"]);
    let client = gateway.client();
    put(&client, &scene, b"old");
    let id = begin(&client, &scene);
    let first = part(&client, &scene, &id, 1, b"new");
    let parts = CompletedMultipartUpload::builder().parts(first.clone()).build();
    let only_if_new = client.complete_multipart_upload().bucket(&scene.bucket).key(&scene.key);
    let only_if_new = only_if_new.upload_id(&id).multipart_upload(parts).if_none_match("*");
    assert_eq!(refusal(run(only_if_new.send())), (412, "PreconditionFailed".to_owned()));
    assert_eq!(read(&client, &scene), b"old");
    complete(&client, &scene, &id, vec![first]);
    assert_eq!(read(&client, &scene), b"new");
}

#[test]
fn a_killed_gateway_leaves_uploads_that_the_next_one_aborts() {
    let (scene, s3) = (Scene::new("gateway-killed"), RawS3::new());
    let gateway = Gateway::start(&[&scene.bucket], &[]);
    let client = gateway.client();
    let id = begin(&client, &scene);
    for number in 1..=3 {
        part(&client, &scene, &id, number, &bytes(8 * MIB));
    }
    crate::support::wait_until("the store has an upload", || s3.unfinished_uploads(&scene) == 1);
    let (gateway, records) = gateway.restart_killed();
    assert_eq!(records, 1, "one upload was recorded, and no part has a name on disk");
    assert_eq!(s3.unfinished_uploads(&scene), 0, "the upload was aborted");
    assert!(s3.head(&scene).is_none(), "nothing is visible");
    let client = gateway.client();
    let more = client.upload_part().bucket(&scene.bucket).key(&scene.key).upload_id(&id);
    let more = run(more.part_number(4).body(ByteStream::from_static(b"x")).send());
    assert_eq!(refusal(more), (404, "NoSuchUpload".to_owned()));
}

#[test]
fn a_terminated_gateway_ends_in_order() {
    let (scene, s3) = (Scene::new("gateway-ended"), RawS3::new());
    let gateway = Gateway::start(&[&scene.bucket], &[]);
    let client = gateway.client();
    let id = begin(&client, &scene);
    for number in 1..=2 {
        part(&client, &scene, &id, number, &bytes(8 * MIB));
    }
    crate::support::wait_until("the store has an upload", || s3.unfinished_uploads(&scene) == 1);
    gateway.end("TERM").exits(0);
    assert_eq!(s3.unfinished_uploads(&scene), 0, "the upload was aborted");
}

#[test]
fn clients_do_only_what_they_may() {
    let scene = Scene::new("gateway-rules");
    let gateway = Gateway::start(&[&scene.bucket], &[]);
    let (client, reader) = (gateway.client(), gateway.reader());
    put(&client, &scene, b"content");
    assert_eq!(read(&reader, &scene), b"content");
    let denied = (403, "AccessDenied".to_owned());
    let write = reader.put_object().bucket(&scene.bucket).key(&scene.key);
    assert_eq!(refusal(run(write.body(ByteStream::from_static(b"x")).send())), denied);
    let delete = reader.delete_object().bucket(&scene.bucket).key(&scene.key);
    assert_eq!(refusal(run(delete.send())), denied);
    let other = client.get_object().bucket("another-bucket").key("key");
    assert_eq!(refusal(run(other.send())), denied);
    let hidden = client.get_object().bucket(&scene.bucket).key(".sealwax/keys/x");
    assert_eq!(refusal(run(hidden.send())), denied);
    let source = "another-bucket/key";
    let copy = client.copy_object().bucket(&scene.bucket).key("copy").copy_source(source);
    assert_eq!(refusal(run(copy.send())), denied);
    let wrong = gateway.client_with("gateway-test", "a wrong secret");
    let get = wrong.get_object().bucket(&scene.bucket).key(&scene.key);
    assert_eq!(refusal(run(get.send())), (403, "SignatureDoesNotMatch".to_owned()));
    let unknown = gateway.client_with("unknown", "a-secret-that-does-not-matter");
    let get = unknown.get_object().bucket(&scene.bucket).key(&scene.key);
    assert_eq!(refusal(run(get.send())), (403, "InvalidAccessKeyId".to_owned()));
    let acl = client.get_object_acl().bucket(&scene.bucket).key(&scene.key);
    assert_eq!(refusal(run(acl.send())), (501, "NotImplemented".to_owned()));
    let reserved = client.put_object().bucket(&scene.bucket).key(&scene.key);
    let reserved = reserved.metadata("sealwax-keys", "x").body(ByteStream::from_static(b"x"));
    assert_eq!(refusal(run(reserved.send())), (400, "InvalidArgument".to_owned()));
}

#[test]
fn governance_is_bypassed_by_the_clients_that_may() {
    let (s3, bucket) = (RawS3::new(), format!("governance-{}", std::process::id()));
    s3.make_locked_bucket(&bucket);
    let gateway = Gateway::start(&[&bucket], &[]);
    let (client, keeper) = (gateway.client(), gateway.keeper());
    let until = DateTime::from(SystemTime::now() + Duration::from_secs(86_400));
    let put = || {
        let put = client.put_object().bucket(&bucket).key("key").body(b"x".to_vec().into());
        let put = put.object_lock_mode(ObjectLockMode::Governance);
        let stored = run(put.object_lock_retain_until_date(until).send()).expect("stored");
        stored.version_id.expect("a version")
    };
    for many in [false, true] {
        let version = put();
        let delete = |client: &Client, bypass: bool| {
            let bypass = bypass.then_some(true);
            if many {
                let one = ObjectIdentifier::builder().key("key").version_id(&version);
                let one = one.build().expect("a name");
                let all = Delete::builder().objects(one).build().expect("objects");
                let delete = client.delete_objects().bucket(&bucket).delete(all);
                let deleted = run(delete.set_bypass_governance_retention(bypass).send());
                return match deleted {
                    Ok(output) => match output.errors() {
                        [] => Ok(()),
                        [error, ..] => Err((200, error.code().unwrap_or_default().to_owned())),
                    },
                    Err(error) => Err(refusal(Err::<(), _>(error))),
                };
            }
            let delete = client.delete_object().bucket(&bucket).key("key").version_id(&version);
            let deleted = run(delete.set_bypass_governance_retention(bypass).send());
            deleted.map(drop).map_err(|error| refusal(Err::<(), _>(error)))
        };
        let denied = |status| Err((status, "AccessDenied".to_owned()));
        // The store's refusal, and the gateway's.
        let by_store = denied(if many { 200 } else { 403 });
        assert_eq!(delete(&client, false), by_store);
        assert_eq!(delete(&keeper, false), by_store);
        assert_eq!(delete(&client, true), denied(403));
        assert_eq!(s3.versions(&bucket, "key"), 1);
        assert_eq!(delete(&keeper, true), Ok(()));
        assert_eq!(s3.versions(&bucket, "key"), 0);
    }
}

#[test]
fn unsealed_objects_pass_only_if_allowed() {
    let (scene, s3) = (Scene::new("gateway-plain"), RawS3::new());
    s3.put(&scene, b"plain".to_vec(), [].into());
    let gateway = Gateway::start(&[&scene.bucket], &[]);
    let get = gateway.client().get_object().bucket(&scene.bucket).key(&scene.key);
    assert_eq!(refusal(run(get.send())), (403, "NotSealed".to_owned()));
    let gateway = Gateway::start(&[&scene.bucket], &["--unsealed", "pass"]);
    assert_eq!(read(&gateway.client(), &scene), b"plain");
}

#[test]
fn unsealed_objects_pass_in_the_named_places_alone_and_copies_of_them_are_sealed() {
    let (scene, s3) = (Scene::new("gateway-mixed"), RawS3::new());
    let [plain, sealed, elsewhere] =
        ["open/plain", "open/sealed", "elsewhere"].map(|name| scene.beside(name));
    // Lengths that sealed objects have, too.
    let content = bytes(5_000);
    s3.put(&plain, content.clone(), [("kept".to_owned(), "yes".to_owned())].into());
    s3.put(&elsewhere, content.clone(), [].into());
    let place = format!("{}/{}/open/", scene.bucket, scene.key);
    let gateway = Gateway::start(&[&scene.bucket], &["--unsealed-in", &place]);
    let client = gateway.client();
    put(&client, &sealed, &content);
    for object in [&plain, &sealed] {
        assert!(read(&client, object) == content);
    }
    let get = client.get_object().bucket(&scene.bucket).key(&elsewhere.key);
    assert_eq!(refusal(run(get.send())), (403, "NotSealed".to_owned()));
    // Twice, as the second listing knows the lengths.
    for _ in 0..2 {
        let prefix = format!("{}/open/", scene.key);
        let list = client.list_objects_v2().bucket(&scene.bucket).prefix(prefix);
        let listed = run(list.send()).expect("listed");
        let sizes: Vec<_> = listed.contents().iter().map(|object| object.size).collect();
        assert_eq!(sizes, [Some(5_000); 2], "{listed:?}");
    }

    let copied = scene.beside("copied");
    let source = format!("{}/{}", scene.bucket, plain.key);
    let copy = client.copy_object().bucket(&copied.bucket).key(&copied.key).copy_source(source);
    run(copy.send()).expect("copied");
    assert!(read(&client, &copied) == content);
    let (stored, metadata) = s3.get(&copied);
    assert!(stored != content && metadata.contains_key("sealwax-header"), "{metadata:?}");
    assert_eq!(metadata.get("kept").map(String::as_str), Some("yes"));
    let source = format!("{}/{}", scene.bucket, elsewhere.key);
    let copy = client.copy_object().bucket(&copied.bucket).key(&copied.key).copy_source(source);
    assert_eq!(refusal(run(copy.send())), (403, "NotSealed".to_owned()));
}

#[test]
fn conditions_hold_in_the_terms_of_clients() {
    let scene = Scene::new("gateway-conditions");
    let gateway = Gateway::start(&[&scene.bucket], &["--conditions", "trust"]);
    let client = gateway.client();
    put(&client, &scene, b"one");
    let head = run(client.head_object().bucket(&scene.bucket).key(&scene.key).send());
    let e_tag = head.expect("there").e_tag.expect("an entity tag");
    let get = || client.get_object().bucket(&scene.bucket).key(&scene.key);
    run(get().if_match(&e_tag).send()).expect("the same");
    let other = refusal(run(get().if_match("\"0123456789abcdef\"").send()));
    assert_eq!(other, (412, "PreconditionFailed".to_owned()));
    assert_eq!(refusal(run(get().if_none_match(&e_tag).send())).0, 304);
    let write = client.put_object().bucket(&scene.bucket).key(&scene.key).if_none_match("*");
    let write = refusal(run(write.body(ByteStream::from_static(b"two")).send()));
    assert_eq!(write, (412, "PreconditionFailed".to_owned()));
    assert_eq!(read(&client, &scene), b"one");
}

#[test]
fn presigned_urls_and_checksums_work() {
    let scene = Scene::new("gateway-presigned");
    let gateway = Gateway::start(&[&scene.bucket], &[]);
    let client = gateway.client();
    let content = bytes(70_000);
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        let put = client.put_object().bucket(&scene.bucket).key(&scene.key);
        let put = put.checksum_algorithm(algorithm.clone()).body(ByteStream::from(content.clone()));
        let stored = run(put.send()).expect("stored");
        let echoed = [
            stored.checksum_crc32(),
            stored.checksum_crc32_c(),
            stored.checksum_crc64_nvme(),
            stored.checksum_sha1(),
            stored.checksum_sha256(),
        ];
        assert_eq!(echoed.into_iter().flatten().count(), 1, "{algorithm}: {stored:?}");
    }
    let wrong = client.put_object().bucket(&scene.bucket).key(&scene.key);
    let wrong = wrong.checksum_crc32("AAAAAA==").body(ByteStream::from_static(b"other"));
    assert_eq!(refusal(run(wrong.send())), (400, "BadDigest".to_owned()));
    assert!(read(&client, &scene) == content, "the old object stays");

    let presigning = PresigningConfig::expires_in(Duration::from_secs(60));
    let get = client.get_object().bucket(&scene.bucket).key(&scene.key);
    let url = run(get.presigned(presigning.expect("a minute"))).expect("signed");
    let fetched = Command::new("curl").args(["-sS", "-f", url.uri()]).output().expect("curl runs");
    assert!(fetched.stdout == content, "{fetched:?}");
    let tampered = url.uri().replace("X-Amz-Expires=60", "X-Amz-Expires=61");
    let code = ["-s", "-o", "/dev/null", "-w", "%{http_code}", &*tampered];
    let refused = Command::new("curl").args(code).output().expect("curl runs");
    assert_eq!(refused.stdout, b"403");
}

#[test]
fn the_status_page_counts() {
    let scene = Scene::new("gateway-status");
    let mut gateway =
        Gateway::start(&[&scene.bucket], &["--status", "127.0.0.1:0", "--access-log"]);
    let message = gateway.message();
    let url = message.strip_prefix("status at http://").expect("an address");
    let address = url.strip_suffix("/metrics").expect("a path");
    put(&gateway.client(), &scene, b"content");
    assert_eq!(read(&gateway.client(), &scene), b"content");
    let refused = gateway.client().head_object().bucket("other-bucket").key("key").send();
    assert_eq!(refusal(run(refused)).0, 403);
    let page = |path: &str| {
        let mut stream = TcpStream::connect(address).expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: status\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("text");
        text
    };
    let metrics = page("/metrics");
    let counted = "sealwax_requests_total{operation=\"PutObject\",status=\"200\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains("sealwax_received_bytes_total 7"), "{metrics}");
    assert!(page("/health").starts_with("HTTP/1.1 200 OK"));
    assert!(page("/other").starts_with("HTTP/1.1 404"));
    let ended = gateway.end("INT").exits(0);
    let log = String::from_utf8(ended.stdout).expect("text");
    let records: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [record, get, refused] = &records[..] else { panic!("{log}") };
    assert_eq!((&get["operation"], &get["sent"]), (&"GetObject".into(), &7.into()));
    assert_eq!(get["complete"], true);
    assert_eq!((&refused["status"], &refused["complete"]), (&403.into(), &true.into()));
    assert_eq!(refused["refused"], "AccessDenied");
    assert_eq!(record["operation"], "PutObject");
    assert_eq!(record["client"], "app");
    assert_eq!(record["status"], 200);
    assert_eq!(record["complete"], true);
    assert!(!log.contains("Signature") && !log.contains("secret"), "{log}");
}

#[test]
fn unsafe_settings_are_refused_at_the_start() {
    let scene = Scene::new("gateway-settings");
    let folder = TempDir::new().expect("a folder");
    let clients = clients_file(&folder, &[&scene.bucket]);
    let clients = clients.to_str().expect("text");
    let serve = |more: &[&str]| {
        Sealwax::new(["serve", "--key", &east_key(), "--clients", clients]).args(more).run()
    };
    serve(&["--check"]).exits(0).says("the settings are valid");
    serve(&["--listen", "0.0.0.0:0"]).fails(2, "can be reached from other machines without TLS");
    serve(&["--listen", "0.0.0.0:0", "--insecure", "--check"]).exits(0);
    serve(&["--listen", "127.0.0.1:4566", "--endpoint-url", "http://localhost:4566"])
        .fails(2, "is the gateway itself");
    serve(&["--tls-certificate", "/nonexistent", "--tls-key", "/nonexistent", "--check"])
        .fails(2, "/nonexistent");
    fs::set_permissions(clients, std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("set");
    serve(&["--check"]).fails(2, "clients.toml");
}
