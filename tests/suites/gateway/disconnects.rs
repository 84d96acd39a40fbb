//! Clients that break off: at each edge of a request's framing, and while they read an answer.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use sealwax_s3::aws_sdk_s3::{
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use sealwax_tests::{in_time, plaintext, unfinished_uploads};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::{
    actions::Action,
    plan::PlannedWire,
    running::{Home, Running, path},
    signed::{Framing, SignedRequest},
    world::{Content, Scene, World},
};

/// Number of clients at a time.
const CONCURRENCY: usize = 16;
/// Bodies that the gateway gathers, that it seals while they arrive, and that the store gets in parts.
const LENS: [usize; 3] = [150_001, (1 << 20) + 70_001, (5 << 20) + 70_001];

/// Way in which a connection ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// In order: nothing more is sent.
    Finish,
    /// By a reset.
    Reset,
}

/// Connects to the gateway.
async fn connect(running: &Running, end: End) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    if let End::Reset = end {
        socket.set_zero_linger().expect("set");
    }
    socket.connect(running.address).await.expect("connected")
}

/// Sends the request up to byte `cut` of its body, and closes the connection.
async fn break_off(running: &Running, request: &SignedRequest, cut: usize, end: End) {
    let mut stream = connect(running, end).await;
    // The gateway may have refused it already.
    let _ = stream.write_all(&request.head).await;
    let _ = stream.write_all(&request.body[..cut]).await;
    let _ = stream.flush().await;
}

/// Returns the positions at which a body breaks off: around each edge, and in the middle.
fn cuts(request: &SignedRequest) -> BTreeSet<usize> {
    let len = request.body.len();
    let around = |edge: &usize| [edge.saturating_sub(1), *edge, edge + 1];
    // A long body has the same edges many times.
    let (first, last) = request.edges.split_at(request.edges.len().min(12));
    let last = &last[last.len().saturating_sub(16)..];
    let edges = first.iter().chain(last).flat_map(around);
    edges.chain([1, len / 2]).filter(|cut| *cut < len).collect()
}

/// Sends `request` to the gateway in each way that breaks off.
async fn break_off_everywhere(running: &Running, request: &SignedRequest) {
    let cuts = cuts(request).into_iter().flat_map(|cut| [(cut, End::Finish), (cut, End::Reset)]);
    stream::iter(cuts)
        .for_each_concurrent(CONCURRENCY, |(cut, end)| break_off(running, request, cut, end))
        .await;
    in_time("the connections' end", running.no_connection()).await;
    assert_eq!(running.metric("sealwax_memory_bytes"), 0, "memory is held");
}

/// Counts the versions of an object.
async fn versions(world: &World, scene: &Scene) -> usize {
    let list = world.s3.list_object_versions().bucket(scene.object.bucket());
    let listed = list.prefix(scene.object.key()).send().await.expect("listed");
    listed.versions().len() + listed.delete_markers().len()
}

/// Asserts that the object was never changed, and that nothing is left of what was sent.
async fn assert_untouched(world: &World, scene: &Scene, case: &str) {
    assert_eq!(versions(world, scene).await, 1, "{case}: something was stored");
    assert_eq!(world.state(scene).await, Action::PutSmall.before(), "{case}");
    assert_eq!(unfinished_uploads(&world.s3, &scene.object).await, 0, "{case}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_that_breaks_off_stores_nothing() {
    let world = World::new().await;
    let wire = PlannedWire::new(Vec::new());
    let home = Home::new(world.source.bucket());
    let running = home.start(&wire, true).await;
    let mut tried = 0;
    for framing in Framing::ALL {
        for len in LENS {
            let (case, scene) = (format!("{framing:?} {len}"), world.scene(Action::PutSmall).await);
            let at = path(scene.object.bucket(), scene.object.key());
            let content = plaintext(len);
            let request = SignedRequest::new(running.address, "PUT", &at, &[], framing, &content);
            tried += 2 * cuts(&request).len();
            break_off_everywhere(&running, &request).await;
            assert_untouched(&world, &scene, &case).await;

            // The same request works when it is sent whole.
            let mut stream = connect(&running, End::Finish).await;
            stream.write_all(&request.head).await.expect("sent");
            stream.write_all(&request.body).await.expect("sent");
            let mut answer = [0; 15];
            stream.read_exact(&mut answer).await.expect("an answer");
            assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 200 OK", "{case}");
            drop(stream);
            let get = running.client.get_object().bucket(scene.object.bucket());
            let got = get.key(scene.object.key()).send().await.expect("there");
            let got = got.body.collect().await.expect("all of it").to_vec();
            assert!(got == content, "{case}: other bytes");
        }
    }
    println!("{tried} puts broke off");
    running.settle(true).await;
    running.end().await;
    assert_eq!(home.records(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_breaks_off_is_not_there() {
    let world = World::new().await;
    let wire = PlannedWire::new(Vec::new());
    let home = Home::new(world.source.bucket());
    let running = home.start(&wire, true).await;
    let mut tried = 0;
    for framing in Framing::ALL {
        let scene = world.scene(Action::PutSmall).await;
        let (bucket, key) = (scene.object.bucket(), scene.object.key());
        let create = running.client.create_multipart_upload().bucket(bucket).key(key);
        let id = create.send().await.expect("begun").upload_id.expect("an id");
        let content = plaintext(LENS[0]);
        let query = [("partNumber", "1"), ("uploadId", &*id)];
        let at = path(bucket, key);
        let request = SignedRequest::new(running.address, "PUT", &at, &query, framing, &content);
        tried += 2 * cuts(&request).len();
        break_off_everywhere(&running, &request).await;
        assert_untouched(&world, &scene, &format!("{framing:?}")).await;
        let parts = running.client.list_parts().bucket(bucket).key(key).upload_id(&id);
        assert_eq!(parts.send().await.expect("it is open").parts().len(), 0, "{framing:?}");

        let part = running.client.upload_part().bucket(bucket).key(key).upload_id(&id);
        let body = ByteStream::from(content.clone());
        let sent = part.part_number(1).body(body).send().await.expect("sent");
        let part = CompletedPart::builder().part_number(1).set_e_tag(sent.e_tag).build();
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        let complete = running.client.complete_multipart_upload().bucket(bucket).key(key);
        complete.upload_id(&id).multipart_upload(parts).send().await.expect("completed");
        let got = running.client.get_object().bucket(bucket).key(key).send().await.expect("there");
        let got = got.body.collect().await.expect("all of it").to_vec();
        assert!(got == content, "{framing:?}: other bytes");
    }
    println!("{tried} parts broke off");
    running.settle(true).await;
    running.end().await;
    assert_eq!(home.records(), [""; 0]);
}

/// A client that is gone before its answer may have stored its object, but only the whole of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_wait_for_its_answer_stores_all_or_nothing() {
    let world = World::new().await;
    let home = Home::new(world.source.bucket());
    let running = home.start(&PlannedWire::new(Vec::new()), true).await;
    for content in [Content::Small, Content::Long] {
        for end in [End::Finish, End::Reset] {
            let scene = world.scene(Action::PutSmall).await;
            let at = path(scene.object.bucket(), scene.object.key());
            let request = SignedRequest::new(
                running.address,
                "PUT",
                &at,
                &[],
                Framing::UnsignedTrailer,
                &world.plaintext(content),
            );
            break_off(&running, &request, request.body.len(), end).await;
            in_time("the connection's end", running.no_connection()).await;
            let state = world.state(&scene).await;
            assert!([Content::Old, content].contains(&state.object), "{state:?}");
            assert_eq!(unfinished_uploads(&world.s3, &scene.object).await, 0);
        }
    }
    running.settle(true).await;
    running.end().await;
    assert_eq!(home.records(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_breaks_off_holds_nothing() {
    let world = World::new().await;
    let home = Home::new(world.source.bucket());
    let running = home.start(&PlannedWire::new(Vec::new()), true).await;
    let scene = world.scene(Action::PutLong).await;
    let (bucket, key) = (scene.object.bucket(), scene.object.key());
    let content = world.plaintext(Content::Long);
    let put = running.client.put_object().bucket(bucket).key(key);
    put.body(ByteStream::from(content.clone())).send().await.expect("stored");
    let request =
        SignedRequest::new(running.address, "GET", &path(bucket, key), &[], Framing::Plain, b"");
    let reads = [0, 1, 100, 1_000, 262_144, 1 << 20, content.len()];
    let reads = reads.into_iter().flat_map(|len| [(len, End::Finish), (len, End::Reset)]);
    stream::iter(reads.cycle().take(56))
        .for_each_concurrent(CONCURRENCY, |(len, end)| {
            let (running, request, content) = (&running, &request, &content);
            async move {
                let mut stream = connect(running, end).await;
                stream.write_all(&request.head).await.expect("sent");
                let mut answer = vec![0; len];
                stream.read_exact(&mut answer).await.expect("so much of the answer");
                let body = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
                if let Some(head) = body {
                    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
                    assert!(content.starts_with(&answer[head + 4..]), "other bytes");
                }
            }
        })
        .await;
    in_time("the connections' end", running.no_connection()).await;
    running.settle(true).await;
    let got = running.client.get_object().bucket(bucket).key(key).send().await.expect("there");
    assert!(got.body.collect().await.expect("all of it").to_vec() == content);
    running.end().await;
}
