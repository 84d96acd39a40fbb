//! Many clients at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use sealwax_s3::aws_sdk_s3::presigning::PresigningConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpSocket,
    time::sleep,
};

use crate::{
    Settings,
    content::Version,
    worker::{Object, Soak, Worker},
};

const MIB: usize = 1 << 20;
/// S3's least length of a part.
const PART: usize = 5 * MIB;
/// Objects of each client that does all kinds of operations.
const OBJECTS: usize = 4;
/// Objects that slow readers read. They are longer than all buffers on the way.
const READ_OBJECTS: usize = 4;
const READ_LEN: usize = 24 * MIB;
/// Bytes that a slow reader takes a second.
const READ_RATE: usize = 10_000;

/// Runs all clients for the given time.
pub(crate) async fn run(soak: &Arc<Soak>, settings: Settings) {
    println!("{} clients for {} s", settings.clients, settings.seconds);
    let mut worker = Worker::new(soak, 0);
    let mut to_read = Vec::new();
    for number in 0..READ_OBJECTS {
        let key = format!("{}/read/{number}", soak.prefix);
        let mut object = Object { key, may_be: vec![None] };
        let version = worker.version(READ_LEN);
        worker.put(&mut object, version).await;
        to_read.push((object.key, version));
    }
    let until = Instant::now() + Duration::from_secs(settings.seconds);
    let Settings { uploads, readers, .. } = settings;
    let tasks = (0..settings.clients).map(|number| {
        let soak = Arc::clone(soak);
        let (key, version) = to_read[number % READ_OBJECTS].clone();
        tokio::spawn(async move {
            match number {
                _ if number < uploads => upload(&soak, number, until).await,
                _ if number < uploads + readers => read_slowly(&soak, &key, version, until).await,
                _ => all_kinds(&soak, number, until).await,
            }
        })
    });
    for task in join_all(tasks).await {
        if let Err(error) = task {
            soak.counts.violation(format!("a client panicked: {error}"));
        }
    }
}

/// Holds a multipart upload open most of the time.
async fn upload(soak: &Soak, number: usize, until: Instant) {
    let mut worker = Worker::new(soak, number as u64 + 1);
    let key = format!("{}/uploaded/{number}", soak.prefix);
    let mut object = Object { key, may_be: vec![None] };
    while Instant::now() < until {
        let parts = 1 + worker.random.below(2);
        let len = parts * PART + 1 + worker.random.below(MIB);
        let version = worker.version(len);
        let pause = Duration::from_secs(15 + worker.random.word() % 30);
        let pause = pause.min(until.saturating_duration_since(Instant::now()));
        match worker.upload(&mut object, version, PART, pause).await {
            Ok(()) => soak.counts.add("multipart uploads completed", 1),
            Err(failure) => worker.failed("upload", &object.key, &failure),
        }
        worker.get(&mut object, None).await;
    }
}

/// Reads an object at a low rate, through a small buffer.
async fn read_slowly(soak: &Soak, key: &str, version: Version, until: Instant) {
    let presigning = PresigningConfig::expires_in(Duration::from_secs(3_600)).expect("an hour");
    let get = soak.client.get_object().bucket(&soak.bucket).key(key);
    let url = get.presigned(presigning).await.expect("signed").uri().to_owned();
    let address = soak.url.trim_start_matches("http://");
    let target = url.trim_start_matches(&soak.url);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 << 10).expect("set");
    let mut stream = socket.connect(address.parse().expect("an address")).await.expect("connected");
    let head = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    let (mut buffer, mut head, mut at) = (vec![0; READ_RATE / 2], Vec::new(), None);
    while Instant::now() < until {
        let read = match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => {
                soak.counts.violation(format!("a slow reader of {key}: {error}"));
                break;
            }
        };
        let bytes = match at {
            Some(_) => buffer[..read].to_vec(),
            None => {
                head.extend_from_slice(&buffer[..read]);
                let Some(end) = head.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
                if !head.starts_with(b"HTTP/1.1 200 OK") {
                    let head = String::from_utf8_lossy(&head);
                    soak.counts.violation(format!("a slow reader of {key}: {head}"));
                    break;
                }
                at = Some(0);
                head.split_off(end + 4)
            }
        };
        let begin = at.expect("the head has ended");
        if !soak.pool.is_at(version, begin, &bytes) {
            soak.counts.violation(format!("{key}: wrong bytes from {begin}"));
            break;
        }
        at = Some(begin + bytes.len());
        let pause = read as f64 / READ_RATE as f64;
        sleep(Duration::from_secs_f64(pause)).await;
    }
    let read = at.unwrap_or_default();
    soak.counts.add("bytes of slow readers", read as u64);
    soak.counts.add("slow readers", 1);
    if Instant::now() < until && read < version.len {
        soak.counts.violation(format!("a slow reader of {key} was dropped at byte {read}"));
    }
}

/// Does all kinds of operations on objects of its own.
async fn all_kinds(soak: &Soak, number: usize, until: Instant) {
    let mut worker = Worker::new(soak, number as u64 + 1);
    let prefix = format!("{}/all/{number}/", soak.prefix);
    let object = |at| Object { key: format!("{prefix}{at}"), may_be: vec![None] };
    let mut objects: Vec<_> = (0..OBJECTS).map(object).collect();
    while Instant::now() < until {
        let at = worker.random.below(OBJECTS);
        let there = match objects[at].may_be[..] {
            [Some(version)] => Some(version),
            _ => None,
        };
        match worker.random.below(100) {
            0..25 => {
                let len = length(&mut worker);
                let version = worker.version(len);
                worker.put(&mut objects[at], version).await;
            }
            25..50 => worker.get(&mut objects[at], None).await,
            50..70 => {
                if let Some(version) = there.filter(|version| version.len > 0) {
                    let first = worker.random.below(version.len);
                    let last = first + worker.random.below(200_000);
                    worker.get(&mut objects[at], Some((first, last))).await;
                }
            }
            70..80 => worker.list(&prefix, &objects).await,
            80..88 => {
                let other = (at + 1) % OBJECTS;
                if there.is_some() {
                    let from = objects[at].clone();
                    worker.copy(&from, &mut objects[other]).await;
                }
            }
            88..95 => worker.delete(&mut objects[at]).await,
            _ => {
                let version = worker.version(PART + 70_000);
                let none = Duration::ZERO;
                match worker.upload(&mut objects[at], version, PART, none).await {
                    Ok(()) => soak.counts.add("multipart uploads completed", 1),
                    Err(failure) => worker.failed("upload", &objects[at].key, &failure),
                }
            }
        }
    }
    // What it believes is true.
    for object in &mut objects {
        worker.get(object, None).await;
    }
}

/// Draws the length of an object: mostly short, and a few beyond each limit of the gateway.
fn length(worker: &mut Worker<'_>) -> usize {
    match worker.random.below(100) {
        0..3 => 0,
        3..80 => worker.random.below(64 << 10),
        80..95 => worker.random.below(MIB),
        95..99 => MIB + worker.random.below(MIB),
        _ => 8 * MIB + worker.random.below(2 * MIB),
    }
}
