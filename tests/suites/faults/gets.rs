//! Gets: never a wrong byte, never a file that is not whole.

use std::{
    fs,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use sealwax_s3::{Error, S3Uri, SealedClient};

use crate::{
    ledger::Ledger,
    plan::{Plan, Random},
    rig::{Orphans, Rig},
    tally::{Outcome, Run},
    world::World,
};

/// A get in any of the ways that there are.
pub(crate) async fn any(world: &World, mut random: Random, ledgers: &[Ledger]) -> Run {
    let plan = Plan::random(&mut random, &["GetObject"]);
    let rig = Rig::new(&world.clean, plan, ledgers[0].clone(), 4);
    let (uri, data) = random.pick(&world.objects.iter().collect::<Vec<_>>());
    let (operation, result) = match random.below(5) {
        0 => ("get bytes", bytes(&rig, uri, data).await),
        1 => ("get stream", stream(&rig, uri, data).await),
        2 => ("get file", file(&rig, uri, data, random.one_in(2)).await),
        3 => ("get range", range(&rig, uri, data, &mut random).await),
        _ => ("get ranges", ranges(&rig, uri, data, &mut random).await),
    };
    Run {
        operation,
        outcomes: vec![Outcome::of(&result)],
        orphans: Orphans::default(),
        hidden: false,
    }
}

type Result = Option<std::result::Result<(), Error>>;

fn assert_equal(found: &[u8], expected: &[u8]) {
    assert!(
        found == expected,
        "{} bytes, and others than the {} expected",
        found.len(),
        expected.len()
    );
}

async fn bytes(rig: &Rig, uri: &S3Uri, data: &Bytes) -> Result {
    let result = rig.run(async { rig.client.get().uri(uri).send().await?.bytes().await }).await;
    Some(result?.map(|found| assert_equal(&found, data)))
}

async fn stream(rig: &Rig, uri: &S3Uri, data: &Bytes) -> Result {
    let released = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&released);
    let result = rig.run(async move {
        let mut stream = rig.client.get().uri(uri).send().await?.into_stream();
        while let Some(piece) = stream.next().await {
            taken.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece?);
        }
        Ok(())
    });
    let result = result.await;
    let released = released.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(data.starts_with(&released), "other bytes than the plaintext were released");
    Some(result?.map(|()| assert_equal(&released, data)))
}

async fn file(rig: &Rig, uri: &S3Uri, data: &Bytes, there: bool) -> Result {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    if there {
        fs::write(&path, "as it was").expect("written");
    }
    let result = rig.run(rig.client.get().uri(uri).to_file(&path)).await;
    // A dropped get may still be at work on its temporary file, in a blocking thread.
    for _ in 0..500 {
        if result.is_some() || names(directory.path()).iter().all(|name| name == "file") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let found = fs::read(&path).ok();
    let whole = found.as_deref() == Some(data);
    let expected = if there || whole { vec!["file".to_owned()] } else { vec![] };
    assert_eq!(names(directory.path()), expected, "what is in the directory");
    let before = there.then_some(&b"as it was"[..]);
    match &result {
        Some(Ok(_)) => assert!(whole, "the file is not what was put"),
        Some(Err(_)) => assert!(found.as_deref() == before, "a get that failed changed the file"),
        None => assert!(
            whole || found.as_deref() == before,
            "the file is neither the old one nor the new one"
        ),
    }
    Some(result?.map(|_| ()))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory");
    entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect()
}

/// Two bytes of the object at the least.
fn any_range(len: usize, random: &mut Random) -> Range<usize> {
    let start = random.below(len - 1);
    start..(start + 2 + random.below(len - start - 1)).min(len)
}

async fn range(rig: &Rig, uri: &S3Uri, data: &Bytes, random: &mut Random) -> Result {
    if data.len() < 2 {
        return bytes(rig, uri, data).await;
    }
    let wanted = any_range(data.len(), random);
    let get = rig.client.get().uri(uri);
    let (get, wanted) = match random.one_in(4) {
        true => (get.suffix(wanted.len() as u64), data.len() - wanted.len()..data.len()),
        false => (get.range(wanted.start as u64..wanted.end as u64), wanted),
    };
    let result = rig.run(async { get.send().await?.bytes().await }).await;
    Some(result?.map(|found| assert_equal(&found, &data[wanted])))
}

async fn ranges(rig: &Rig, uri: &S3Uri, data: &Bytes, random: &mut Random) -> Result {
    if data.len() < 2 {
        return bytes(rig, uri, data).await;
    }
    let mut short = || {
        let Range { start, end } = any_range(data.len(), random);
        start..end.min(start + 30_000)
    };
    let wanted = [short(), short(), short()];
    let get = |client: &SealedClient| client.get().uri(uri);
    let asked = wanted.clone().map(|range| range.start as u64..range.end as u64);
    let result = rig.run(get(&rig.client).ranges(&asked)).await;
    Some(result?.map(|found| {
        assert_eq!(found.len(), wanted.len());
        found.iter().zip(wanted).for_each(|(found, wanted)| assert_equal(found, &data[wanted]));
    }))
}
