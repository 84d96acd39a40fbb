//! `kill -9` at random moments, and restarts.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use sealwax_tests::{Random, east};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    content::Version,
    process::Process,
    worker::{Object, Soak, Worker},
};

const MIB: usize = 1 << 20;
const CLIENTS: u64 = 24;
/// Objects of each client.
const OBJECTS: usize = 3;
/// Attempts of an upload that a kill interrupted.
const ATTEMPTS: usize = 100;

/// Kills and restarts the gateway while clients store objects. Returns the objects, and what they may
/// be. At the end the gateway runs, and has swept.
pub(crate) async fn run(soak: &Arc<Soak>, process: &mut Process, kills: usize) -> Vec<Object> {
    println!("{kills} kills");
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (soak, is_over) = (Arc::clone(soak), Arc::clone(&is_over));
            tokio::spawn(async move { store(&soak, number, &is_over).await })
        })
        .collect();
    let mut random = Random::of([soak.seed, 1 << 32]);
    for kill in 1..=kills {
        sleep(Duration::from_millis(300 + random.word() % 3_000)).await;
        if kill == kills {
            // After the last one, no client is to begin again.
            is_over.store(true, Ordering::Relaxed);
        }
        process.kill();
        soak.counts.add("kills", 1);
        // It aborts what it finds recorded, before it serves.
        process.restart();
    }
    let mut objects = Vec::new();
    for client in join_all(clients).await {
        match client {
            Ok(known) => objects.extend(known),
            Err(error) => soak.counts.violation(format!("a client panicked: {error}")),
        }
    }
    objects
}

/// Stores objects of all kinds until it is over.
async fn store(soak: &Soak, number: u64, is_over: &AtomicBool) -> Vec<Object> {
    let mut worker = Worker::new(soak, (1 << 33) + number);
    worker.is_killed = true;
    let object =
        |at| Object { key: format!("{}/killed/{number}/{at}", soak.prefix), may_be: vec![None] };
    let mut objects: Vec<_> = (0..OBJECTS).map(object).collect();
    while !is_over.load(Ordering::Relaxed) {
        let object = &mut objects[worker.random.below(OBJECTS)];
        match worker.random.below(10) {
            0..4 => {
                let len = worker.random.below(200_000);
                let version = worker.version(len);
                worker.put(object, version).await;
            }
            4..6 => {
                let len = 9 * MIB + worker.random.below(MIB);
                let version = worker.version(len);
                worker.put(object, version).await;
            }
            6..9 => {
                let len = 10 * MIB + worker.random.below(MIB);
                let version = worker.version(len);
                upload(&mut worker, object, version, is_over).await;
            }
            _ => worker.get(object, None).await,
        }
    }
    objects
}

/// Stores an object in parts. A kill ends the upload, and it begins again.
async fn upload(
    worker: &mut Worker<'_>,
    object: &mut Object,
    version: Version,
    is_over: &AtomicBool,
) {
    for _ in 0..ATTEMPTS {
        let pause = Duration::from_millis(worker.random.word() % 500);
        match worker.upload(object, version, 5 * MIB, pause).await {
            Ok(()) => return worker.soak.counts.add("multipart uploads completed", 1),
            Err(failure) if failure.is("NoSuchUpload") => {
                worker.soak.counts.add("multipart uploads that a kill ended", 1);
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
            }
            Err(failure) => return worker.failed("upload", &object.key, &failure),
        }
    }
    worker.soak.counts.violation(format!("{}: {ATTEMPTS} attempts", object.key));
}

/// Reads all objects through the gateway, and with the command from the store.
pub(crate) async fn check(soak: &Soak, sealwax: &str, objects: &[Object]) {
    let mut worker = Worker::new(soak, 1 << 34);
    let mut seen = Vec::new();
    for object in objects {
        let mut object = object.clone();
        worker.get(&mut object, None).await;
        soak.counts.add("objects checked after kills", 1);
        soak.counts.add("of them in doubt", u64::from(object.may_be.len() > 1));
        seen.push(object);
    }
    let folder = TempDir::new().expect("a folder");
    let from = format!("s3://{}/{}/killed/", soak.bucket, soak.prefix);
    let got = Process::command(sealwax)
        .args(["get", &from])
        .arg(folder.path())
        .args(["--recursive", "--key", &east().key.to_string()])
        .output()
        .expect("the command runs");
    if !got.status.success() {
        let told = String::from_utf8_lossy(&got.stderr).into_owned();
        soak.counts.violation(format!("sealwax get: {told}"));
    }
    for object in &seen {
        let name = object.key.rsplit("/killed/").next().expect("a name");
        let found = fs::read(folder.path().join(name)).ok();
        let is = |state: &Option<Version>| match (state, &found) {
            (Some(version), Some(bytes)) => soak.pool.is(*version, bytes),
            (None, None) => true,
            _ => false,
        };
        if !object.may_be.iter().any(is) {
            soak.counts.violation(format!("{} differs by sealwax get", object.key));
        }
    }
}
