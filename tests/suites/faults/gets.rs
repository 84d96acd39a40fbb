//! Gets never return a wrong byte or a partial file.

use std::{
    fs,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use sealwax_s3::{Error, S3Uri, SealedClient};
use sealwax_tests::{Random, file_names, wait_until};

use crate::{
    ledger::Ledger,
    orphans::Orphans,
    plan::Plan,
    planned_client::PlannedClient,
    tally::{Outcome, Run},
    world::World,
};

/// Gets an object in a random way.
pub(crate) async fn any(world: &World, mut random: Random, ledgers: &[Ledger]) -> Run {
    let plan = Plan::random(&mut random, &["GetObject"]);
    let planned = PlannedClient::new(&world.clean, plan, ledgers[0].clone(), 4);
    let (uri, data) = random.pick(&world.objects.iter().collect::<Vec<_>>());
    let (operation, result) = match random.below(5) {
        0 => ("get bytes", bytes(&planned, uri, data).await),
        1 => ("get stream", stream(&planned, uri, data).await),
        2 => ("get file", file(&planned, uri, data, random.one_in(2)).await),
        3 => ("get range", range(&planned, uri, data, &mut random).await),
        _ => ("get ranges", ranges(&planned, uri, data, &mut random).await),
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
        "{} bytes that differ from the {} expected",
        found.len(),
        expected.len()
    );
}

async fn bytes(planned: &PlannedClient, uri: &S3Uri, data: &Bytes) -> Result {
    let result =
        planned.run(async { planned.client.get().uri(uri).send().await?.bytes().await }).await;
    Some(result?.map(|found| assert_equal(&found, data)))
}

async fn stream(planned: &PlannedClient, uri: &S3Uri, data: &Bytes) -> Result {
    let released = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&released);
    let result = planned.run(async move {
        let mut stream = planned.client.get().uri(uri).send().await?.into_stream();
        while let Some(piece) = stream.next().await {
            taken.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece?);
        }
        Ok(())
    });
    let result = result.await;
    let released = released.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(data.starts_with(&released), "bytes other than the plaintext were released");
    Some(result?.map(|()| assert_equal(&released, data)))
}

async fn file(planned: &PlannedClient, uri: &S3Uri, data: &Bytes, there: bool) -> Result {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    if there {
        fs::write(&path, "original").expect("written");
    }
    let result = planned.run(planned.client.get().uri(uri).to_file(&path)).await;
    if result.is_none() {
        // A dropped get may still be at work on its temporary file, in a blocking thread.
        wait_until("the temporary file is removed", || async {
            file_names(directory.path()).iter().all(|name| name == "file")
        })
        .await;
    }
    let found = fs::read(&path).ok();
    let whole = found.as_deref() == Some(data);
    let expected = if there || whole { vec!["file".to_owned()] } else { vec![] };
    assert_eq!(file_names(directory.path()), expected, "files in the directory");
    let before = there.then_some(&b"original"[..]);
    match &result {
        Some(Ok(_)) => assert!(whole, "the file differs from the object"),
        Some(Err(_)) => assert!(found.as_deref() == before, "a failed get changed the file"),
        None => assert!(
            whole || found.as_deref() == before,
            "the file is neither the old one nor the new one"
        ),
    }
    Some(result?.map(|_| ()))
}

/// Returns a random range of at least two bytes.
fn any_range(len: usize, random: &mut Random) -> Range<usize> {
    let start = random.below(len - 1);
    start..(start + 2 + random.below(len - start - 1)).min(len)
}

async fn range(planned: &PlannedClient, uri: &S3Uri, data: &Bytes, random: &mut Random) -> Result {
    if data.len() < 2 {
        return bytes(planned, uri, data).await;
    }
    let wanted = any_range(data.len(), random);
    let get = planned.client.get().uri(uri);
    let (get, wanted) = match random.one_in(4) {
        true => (get.suffix(wanted.len() as u64), data.len() - wanted.len()..data.len()),
        false => (get.range(wanted.start as u64..wanted.end as u64), wanted),
    };
    let result = planned.run(async { get.send().await?.bytes().await }).await;
    Some(result?.map(|found| assert_equal(&found, &data[wanted])))
}

async fn ranges(planned: &PlannedClient, uri: &S3Uri, data: &Bytes, random: &mut Random) -> Result {
    if data.len() < 2 {
        return bytes(planned, uri, data).await;
    }
    let mut short = || {
        let Range { start, end } = any_range(data.len(), random);
        start..end.min(start + 30_000)
    };
    let wanted = [short(), short(), short()];
    let get = |client: &SealedClient| client.get().uri(uri);
    let asked = wanted.clone().map(|range| range.start as u64..range.end as u64);
    let result = planned.run(get(&planned.client).ranges(&asked)).await;
    Some(result?.map(|found| {
        assert_eq!(found.len(), wanted.len());
        found.iter().zip(wanted).for_each(|(found, wanted)| assert_equal(found, &data[wanted]));
    }))
}
