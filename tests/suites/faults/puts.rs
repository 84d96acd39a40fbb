//! Puts: a success reads back equal; a failure changes nothing and leaves nothing behind.

use std::fs;

use bytes::Bytes;
use futures_util::stream;
use sealwax_s3::{PlaintextSource, S3Uri};
use sealwax_tests::Random;

use crate::{
    ledger::Ledger,
    orphans::assert_no_orphans,
    plan::{Fault, Plan},
    planned_client::PlannedClient,
    tally::{Outcome, Run},
    world::{BEFORE, World},
};

/// Requests of a put, including those after a failure.
const PARTS: [&str; 6] = [
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "HeadObject",
    "AbortMultipartUpload",
    "UploadPart",
];

/// Puts a few bytes in one request.
pub(crate) async fn small(world: &World, mut random: Random, ledgers: &[Ledger]) -> Run {
    let plan = Plan::random(&mut random, &["PutObject", "PutObject", "HeadObject"]);
    let data = world.small()[random.below(world.small().len())].clone();
    let source = Source::any(&mut random);
    put(
        "put small",
        world,
        plan,
        Put { source, data, there: random.one_in(2), only_new: random.one_in(3) },
        1,
        ledgers,
    )
    .await
}

/// Puts several parts.
pub(crate) async fn large(world: &World, mut random: Random, ledgers: &[Ledger]) -> Run {
    let plan = Plan::random(&mut random, &PARTS);
    let data = world.large()[random.below(world.large().len())].clone();
    let source = Source::any(&mut random);
    let (there, only_new, parts) = (random.one_in(2), random.one_in(4), random.pick(&[1, 3]));
    put("put large", world, plan, Put { source, data, there, only_new }, parts, ledgers).await
}

/// Puts three parts, one after another, under this plan.
pub(crate) async fn three_parts(world: &World, plan: Plan, ledgers: &[Ledger]) -> Run {
    let data = world.large()[2].clone();
    put(
        "put",
        world,
        plan,
        Put { source: Source::Bytes, data, there: false, only_new: false },
        1,
        ledgers,
    )
    .await
}

#[derive(Debug, Clone, Copy)]
enum Source {
    Bytes,
    Stream,
    File,
}

impl Source {
    fn any(random: &mut Random) -> Self {
        random.pick(&[Self::Bytes, Self::Stream, Self::File])
    }
}

struct Put {
    source: Source,
    data: Bytes,
    /// `true` if an object exists already.
    there: bool,
    /// `If-None-Match: *`.
    only_new: bool,
}

async fn put(
    name: &'static str,
    world: &World,
    plan: Plan,
    Put { source, data, there, only_new }: Put,
    parts: usize,
    ledgers: &[Ledger],
) -> Run {
    let uri = if there { world.old_object().await } else { world.clean.object("put") };
    let file = tempfile::NamedTempFile::new().expect("a file");
    let body = match source {
        Source::Bytes => data.clone().into(),
        Source::Stream => {
            let pieces: Vec<_> =
                data.chunks(1_000_000).map(|piece| Ok(data.slice_ref(piece))).collect();
            PlaintextSource::stream(stream::iter(pieces))
        }
        Source::File => {
            fs::write(&file, &data).expect("written");
            PlaintextSource::file(file.path())
        }
    };
    let planned = PlannedClient::new(&world.clean, plan, ledgers[0].clone(), parts);
    let mut put = planned.client.put().uri(&uri).body(body);
    if only_new {
        put = put.if_none_match("*");
    }
    let result = planned.run(put.send()).await;
    let outcome = Outcome::of(&result);

    let found = world.look(&uri).await;
    let before = there.then_some(Bytes::from_static(BEFORE.as_bytes()));
    let mut hidden = false;
    match result {
        _ if there && only_new => {
            assert!(found == before, "an object was overwritten against the condition");
            assert_ne!(outcome, Outcome::Ok, "the put succeeded against its condition");
        }
        Some(Ok(output)) => {
            assert!(found.as_ref() == Some(&data), "bytes other than those put");
            let head = world.client.head().uri(&uri).send().await.expect("head");
            // If a response ends early but still parses, the SDK accepts it, with its truncated
            // entity tag.
            let cut = planned
                .ledger
                .entries()
                .iter()
                .any(|(_, fault)| *fault == Some(Fault::EndAnswerEarly));
            assert!(cut || output.e_tag == head.e_tag, "{:?}", output.e_tag);
        }
        failed => {
            hidden = found != before;
            assert!(
                !hidden || found == Some(data),
                "the object is neither the old one nor the new one"
            );
            let could_know = failed.is_some() && !planned.ledger.hid_the_outcome();
            assert!(
                !hidden || !could_know,
                "the object was stored, but the put failed: {failed:?}"
            );
        }
    }
    let orphans = assert_no_orphans(&world.clean.s3(), &uri, &[&planned.ledger]).await;
    world.remove(&uri).await;
    Run { operation: name, outcomes: vec![outcome], orphans, hidden }
}

/// Puts a file with a state file. Each attempt has its own plan, and the last one has no faults.
pub(crate) async fn resumed(world: &World, mut random: Random, ledgers: &[Ledger]) -> Run {
    let data = world.large()[random.below(world.large().len())].clone();
    let directory = tempfile::tempdir().expect("a directory");
    let (file, state) = (directory.path().join("file"), directory.path().join("state"));
    fs::write(&file, &data).expect("written");
    let uri = world.clean.object("resumed");
    let (mut outcomes, mut used, mut hidden, mut could_know) =
        (Vec::new(), Vec::new(), false, true);
    for (number, ledger) in ledgers.iter().enumerate() {
        let last = number + 1 == ledgers.len();
        let plan = if last { Plan::calm() } else { Plan::random(&mut random, &PARTS) };
        let planned = PlannedClient::new(&world.clean, plan, ledger.clone(), random.pick(&[1, 3]));
        let put =
            planned.client.put().uri(&uri).body(PlaintextSource::file(&file)).state_file(&state);
        let result = planned.run(put.send()).await;
        outcomes.push(Outcome::of(&result));
        used.push(ledger);
        assert_stored_or_nothing(world, &uri, &data, matches!(result, Some(Ok(_)))).await;
        match result {
            Some(Ok(_)) => break,
            failed => {
                assert!(!last, "the upload could not be resumed: {failed:?}");
                could_know &= failed.is_some() && !ledger.hid_the_outcome();
                hidden |= world.look(&uri).await.is_some();
                assert!(
                    !hidden || !could_know,
                    "the object was stored, but the put failed: {failed:?}"
                );
            }
        }
    }
    assert!(!state.exists(), "the state file was left behind");
    let orphans = assert_no_orphans(&world.clean.s3(), &uri, &used).await;
    world.remove(&uri).await;
    Run { operation: "put resumed", outcomes, orphans, hidden }
}

async fn assert_stored_or_nothing(world: &World, uri: &S3Uri, data: &Bytes, stored: bool) {
    match world.look(uri).await {
        Some(found) => assert!(found == *data, "bytes other than those put"),
        None => assert!(!stored, "the object is absent"),
    }
}
