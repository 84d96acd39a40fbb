//! Faults at each upstream request of each operation.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use sealwax_tests::{PATIENCE, unfinished_uploads};
use tokio::time::timeout;

use crate::{
    actions::{Action, Attempt, Failure},
    plan::{Fault, PlannedWire, Strike},
    running::Home,
    world::World,
};

/// Number of gateways at a time.
const CONCURRENCY: usize = 4;

/// Result of an action under a plan.
struct Run {
    /// Answer that the client got first.
    outcome: Result<(), Failure>,
    /// Operation and number of each request until then.
    requests: Vec<(String, usize)>,
}

/// Runs an action under a plan, on a gateway of its own, and once more without faults.
async fn run(world: &World, action: Action, strikes: &[Strike], wire: &PlannedWire) -> Run {
    let is_for_good = strikes.iter().any(|strike| strike.for_good);
    let is_survived = strikes.iter().all(Strike::is_survived);
    let scene = world.scene(action).await;
    let home = Home::new(scene.object.bucket());
    let running = home.start(wire, !is_for_good).await;
    let attempt = Attempt::new(world, &scene, &running, wire);
    let outcome = attempt.run(action).await;
    let requests = wire.requests();

    let (state, before, after) = (world.state(&scene).await, action.before(), action.after());
    match &outcome {
        Ok(()) => assert_eq!(state, after, "the client was told that it succeeded"),
        Err(failure) => {
            assert!(!is_survived || is_read(action), "{failure:?}: the library repeats requests");
            assert!(is_told(failure, action, strikes), "{failure:?} is no answer to {strikes:?}");
            let is_hidden = state == after && wire.has_written();
            assert!(state == before || is_hidden, "{failure:?}, but {state:?}");
        }
    }

    // The next request works, and a failed completion can be repeated.
    running.settle(action == Action::Abort).await;
    let (unknown, unaborted) = (wire.unknown_uploads(), wire.was_abort_prevented());
    wire.calm();
    if outcome.is_err() || before == after {
        attempt.run(action).await.expect("the fault is over");
        assert_eq!(world.state(&scene).await, after, "after the fault");
    }

    running.settle(true).await;
    drop(attempt);
    running.end().await;
    let left = unfinished_uploads(&world.s3, &scene.object).await;
    assert!(left <= unknown + usize::from(unaborted), "{left} uploads are left");
    let records = home.records();
    assert_eq!(records.len(), usize::from(unaborted), "{records:?}");
    assert_eq!(home.sweep().await, records.len(), "the next start aborts what was recorded");
    let left = unfinished_uploads(&world.s3, &scene.object).await;
    assert!(left <= unknown, "{left} uploads are left after the next start");
    assert_eq!(home.records(), [""; 0]);
    Run { outcome, requests }
}

/// `true` if the client gets content, whose status was sent before it could fail.
fn is_read(action: Action) -> bool {
    matches!(action, Action::Get | Action::GetRange)
}

/// `true` if a failure is the right answer to the faults. What a repeated request may mend has a 503,
/// always; what it cannot has none.
fn is_told(failure: &Failure, action: Action, strikes: &[Strike]) -> bool {
    let has = |fault| strikes.iter().any(|strike| strike.fault == fault);
    let is = |fault, operations: &[&str]| {
        strikes.iter().any(|it| it.fault == fault && operations.contains(&&*it.operation))
    };
    let may_pass = strikes.iter().any(|strike| strike.fault.is_transient());
    // An answer to HEAD has no code: the store's 503 is a request to slow down, or an outage.
    let is_throttled = has(Fault::Throttled) || is(Fault::Unavailable, &["HeadObject"]);
    let is_out = strikes.iter().any(|it| it.fault.is_transient() && it.fault != Fault::Throttled);
    match failure {
        Failure::BrokeOff => is_read(action),
        Failure::Answer { status, code } => match (*status, &**code) {
            (403, "") => has(Fault::AccessDenied) && action == Action::Head,
            (503, "") => may_pass && action == Action::Head,
            (403, "AccessDenied") => has(Fault::AccessDenied),
            (503, "ServiceUnavailable") => is_out,
            (503, "SlowDown") => is_throttled,
            // The store is asked again for longer than a client waits for the status.
            (200, "SlowDown") => is_throttled && action == Action::Multipart,
            _ => false,
        },
    }
}

/// Runs plans, several at a time. All of them end; then it reports the failed ones.
async fn run_all(world: Arc<World>, plans: Vec<(Action, Vec<Strike>)>) {
    let mut runs = stream::iter(plans)
        .map(|(action, strikes)| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let wire = PlannedWire::new(strikes.clone());
                let run = AssertUnwindSafe(run(&world, action, &strikes, &wire));
                let run = timeout(PATIENCE, run.catch_unwind()).await;
                (action, strikes, run, wire)
            })
        })
        .buffer_unordered(CONCURRENCY);
    let (mut outcomes, mut failures) = (BTreeMap::<_, usize>::new(), Vec::new());
    while let Some(run) = runs.next().await {
        let (action, strikes, run, wire) = run.expect("panics are caught");
        let what = match run {
            Ok(Ok(run)) => {
                *outcomes.entry((action, run.outcome)).or_default() += 1;
                continue;
            }
            Ok(Err(panic)) => match panic.downcast::<String>() {
                Ok(message) => *message,
                Err(_) => "it panicked".to_owned(),
            },
            Err(_) => "it hung".to_owned(),
        };
        failures.push(format!("{action:?} under {strikes:?}: {what}\n{wire:?}"));
    }
    for ((action, outcome), count) in &outcomes {
        println!("{action:?}: {outcome:?} {count}");
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Strikes each upstream request of each action with each fault, once and for good.
async fn strike_everywhere(actions: &[Action]) {
    let world = Arc::new(World::new().await);
    let mut plans = Vec::new();
    for &action in actions {
        let calm = run(&world, action, &[], &PlannedWire::new(Vec::new())).await;
        assert_eq!(calm.outcome, Ok(()), "{action:?} without a fault");
        assert!(!calm.requests.is_empty());
        let count = |of: &str| calm.requests.iter().filter(|(it, _)| it == of).count();
        for (operation, nth) in &calm.requests {
            // Parts in the middle are all alike, and an abort shares its other requests with a put.
            let is_between = operation == "UploadPart" && *nth > 0 && nth + 1 < count(operation);
            let is_shared = action == Action::Abort && !operation.contains("Upload");
            if is_between || is_shared {
                continue;
            }
            for fault in Fault::ALL.into_iter().filter(|fault| fault.strikes(operation)) {
                // A denial is never repeated, and of two like answers one is enough for good.
                let is_once = matches!(fault, Fault::AccessDenied | Fault::Unavailable);
                for &for_good in if is_once { &[false][..] } else { &[false, true] } {
                    let (operation, nth) = (operation.clone(), *nth);
                    let strike = Strike { operation, nth, fault, for_good };
                    plans.push((action, vec![strike]));
                }
            }
        }
    }
    run_all(world, plans).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_requests_are_safe_at_each_upstream_request() {
    strike_everywhere(&[
        Action::PutSmall,
        Action::Get,
        Action::GetRange,
        Action::Head,
        Action::Copy,
        Action::CopyInPlace,
        Action::Rewrite,
        Action::Delete,
        Action::DeleteMany,
        Action::List,
        Action::WriteTags,
        Action::ReadTags,
        Action::RemoveTags,
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_in_parts_are_safe_at_each_upstream_request() {
    strike_everywhere(&[Action::PutLong, Action::Multipart, Action::Abort]).await;
}

/// The record of an upload outlives the process, and the next one aborts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_abort_failed_is_aborted_by_the_next_start() {
    let world = Arc::new(World::new().await);
    let for_good = |operation: &str, fault| Strike {
        operation: operation.to_owned(),
        nth: 0,
        fault,
        for_good: true,
    };
    let mut plans = Vec::new();
    for fault in Fault::ALL.into_iter().filter(|fault| fault.strikes("AbortMultipartUpload")) {
        let abort = for_good("AbortMultipartUpload", fault);
        plans.push((Action::Abort, vec![abort.clone()]));
        for action in [Action::PutLong, Action::Multipart] {
            for failed in ["UploadPart", "CompleteMultipartUpload"] {
                let failed = for_good(failed, Fault::InternalError);
                plans.push((action, vec![failed, abort.clone()]));
            }
        }
    }
    run_all(world, plans).await;
}
