//! A fault at every call of a job, one after another. Afterwards every object opens, and the job
//! has reported every object.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use sealwax_jobs::{job::JobSummary as _, rewrap::Apply};
use sealwax_s3::{ErrorKind, KeyChanges, RewrapOutcome};
use sealwax_tests::{Reaction, SeaweedFs, Wire, local_keyring, read};
use tokio::time::sleep;

use crate::objects::{Objects, rewrapper, run};

const OBJECTS: usize = 3;
/// A job over [`OBJECTS`] objects makes fewer calls.
const MAX_CALLS: usize = 24;

/// Fault of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Refuse,
    LoseAnswer,
    SlowDown,
    Duplicate,
    /// Denies it and all later calls.
    DenyFromHere,
}

/// Returns a wire with a fault at call number `at`, and its count of calls.
fn wire(fault: Fault, at: usize) -> (Wire, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let wire = Wire::new(move |_| {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        if number != at && !(fault == Fault::DenyFromHere && number > at) {
            return Reaction::Pass;
        }
        let error = |code: &str| {
            format!("<Error><Code>{code}</Code><Message>by this test</Message></Error>")
        };
        match fault {
            Fault::Refuse => Reaction::Refuse,
            Fault::LoseAnswer => Reaction::LoseAnswer,
            Fault::SlowDown => Reaction::Answer(503, error("SlowDown")),
            Fault::Duplicate => Reaction::Duplicate,
            Fault::DenyFromHere => Reaction::Answer(403, error("AccessDenied")),
        }
    });
    (wire, calls)
}

#[tokio::test]
async fn a_fault_at_any_call_loses_no_key_and_skips_no_object() {
    let faults =
        [Fault::Refuse, Fault::LoseAnswer, Fault::SlowDown, Fault::Duplicate, Fault::DenyFromHere];
    // All at once, because rewraps must start in a later second than the puts.
    let sets =
        faults.map(|_| join_all((0..MAX_CALLS).map(|_| Objects::new("faults", OBJECTS, false))));
    let sets = join_all(sets).await;
    sleep(Duration::from_millis(3100)).await;
    let runs = faults.into_iter().zip(sets).map(|(fault, sets)| async move {
        for (at, objects) in sets.iter().enumerate() {
            if run_with(fault, at, objects).await <= at {
                return at;
            }
        }
        panic!("a job made more than {MAX_CALLS} calls")
    });
    for calls in join_all(runs).await {
        // One list, then at least a HEAD and a copy for each object.
        assert!(calls > 2 * OBJECTS, "{calls} calls");
    }
}

/// Runs a job with a fault, then the same job without. Returns the number of calls of the first.
async fn run_with(fault: Fault, at: usize, objects: &Objects) -> usize {
    let case = format!("{fault:?} at call {at}");
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let (wire, calls) = wire(fault, at);
    let edits = || KeyChanges::new().add_keys(local_keyring("b")).remove_key("a");
    let disturbed = rewrapper(&wire, edits()).await;
    let (reports, tally) = run(
        Apply::new(disturbed.clone()).concurrency(1).journal(&journal),
        objects.work(disturbed.s3()),
    )
    .await;
    match tally {
        Ok(tally) => {
            assert_eq!(reports.len(), OBJECTS, "{case}: an object was skipped");
            assert!(tally.is_complete() || fault == Fault::DenyFromHere, "{case}: {reports:?}");
        }
        // The listing itself failed.
        Err(error) => {
            assert!(fault == Fault::DenyFromHere && reports.is_empty(), "{case}: {error}");
        }
    }
    let store = SeaweedFs::new().await;
    for report in &reports {
        let uri = report.object.to_string().parse().expect("an address");
        let opens = async |name: &str| match read(&store.client(local_keyring(name)), &uri).await {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NoMatchingKey => false,
            Err(error) => panic!("{case}: {error:?}"),
        };
        let expected = if matches!(report.outcome, RewrapOutcome::Failed(_)) {
            (true, false)
        } else {
            (false, true)
        };
        assert_eq!((opens("a").await, opens("b").await), expected, "{case}: {report:?}");
    }
    let clean = rewrapper(&Wire::default(), edits()).await;
    let (_, tally) =
        run(Apply::new(clean.clone()).journal(&journal), objects.work(clean.s3())).await;
    assert!(tally.expect(&case).is_complete(), "{case}");
    objects.assert_open("b").await;
    assert_eq!(objects.generations().await, [2; OBJECTS], "{case}: an object was rewrapped twice");
    calls.load(Ordering::Relaxed)
}
