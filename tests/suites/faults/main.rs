//! Repeatable plans of faults on the wire.
//!
//! Whatever happens to requests and responses: a successful put reads back equal, a failed put
//! changes nothing and leaves nothing behind, a get returns no wrong byte, a rewrap leaves the
//! object readable, no object lacks its key object, and every operation ends.
//!
//! `SEALWAX_FAULTS_PLANS=n` sets the number of random plans. `SEALWAX_FAULTS_SEED=n` runs only the
//! plan with this seed.

mod gets;
mod ledger;
mod orphans;
mod plan;
mod planned_client;
mod puts;
mod rewraps;
mod stored_keys;
mod tally;
mod world;

use std::{env, panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use sealwax_tests::{PATIENCE, Random};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use self::{
    ledger::Ledger,
    plan::{Fault, Plan},
    tally::{Outcome, Run, Tally},
    world::World,
};

/// Default number of random plans.
const PLANS: u64 = 400;
/// Number of plans in flight.
const CONCURRENCY: usize = 8;
/// Attempts of a resumed upload. All other operations have one.
const ATTEMPTS: usize = 4;
/// An operation under its plan, with its checks.
type Scenario = Box<dyn Send + for<'a> FnOnce(&'a World, &'a [Ledger]) -> BoxFuture<'a, Run>>;

/// Returns the scenario of a seed.
fn scenario(seed: u64) -> Scenario {
    let mut random = Random::of([seed]);
    match random.below(16) {
        0..4 => Box::new(move |world, ledgers| puts::small(world, random, ledgers).boxed()),
        4..6 => Box::new(move |world, ledgers| puts::large(world, random, ledgers).boxed()),
        6 => Box::new(move |world, ledgers| puts::resumed(world, random, ledgers).boxed()),
        7..12 => Box::new(move |world, ledgers| gets::any(world, random, ledgers).boxed()),
        12..15 => Box::new(move |world, ledgers| rewraps::any(world, random, ledgers).boxed()),
        _ => Box::new(move |world, ledgers| rewraps::delete(world, random, ledgers).boxed()),
    }
}

/// Runs several scenarios at once. All of them end; then it reports the failed ones.
async fn run_all(world: World, scenarios: impl Iterator<Item = (String, Scenario)>) -> Tally {
    // One test after another: memory holds the plaintexts of one.
    static ALONE: Mutex<()> = Mutex::const_new(());
    let _alone = ALONE.lock().await;
    let begun = Instant::now();
    orphans::capture_warnings();
    let world = Arc::new(world);
    let mut runs = stream::iter(scenarios)
        .map(|(name, scenario)| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let ledgers: Vec<_> = (0..ATTEMPTS).map(|_| Ledger::default()).collect();
                let run = AssertUnwindSafe(timeout(PATIENCE, scenario(&world, &ledgers)))
                    .catch_unwind()
                    .await;
                (name, run, ledgers)
            })
        })
        .buffer_unordered(CONCURRENCY);
    let (mut tally, mut failures) = (Tally::default(), Vec::new());
    while let Some(run) = runs.next().await {
        let (name, run, ledgers) = run.expect("panics are caught");
        let what = match run {
            Ok(Ok(run)) => {
                tally.add(run, &ledgers);
                continue;
            }
            Ok(Err(_)) => "it hung",
            Err(panic) => &panic
                .downcast::<String>()
                .map_or_else(|_| "it panicked".to_owned(), |message| *message),
        };
        let ledgers =
            ledgers.iter().map(|ledger| format!("{ledger:?}")).filter(|ledger| !ledger.is_empty());
        failures.push(format!("{name}: {what}\n{}", ledgers.collect::<Vec<_>>().join("  then\n")));
    }
    println!("{tally}\n  in {:.1?}", begun.elapsed());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_plans_break_no_guarantee() {
    let number = |name| env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let one = number("SEALWAX_FAULTS_SEED");
    let plans = number("SEALWAX_FAULTS_PLANS").unwrap_or(PLANS);
    let seeds = one.map_or(0..plans, |seed| seed..seed + 1);
    let old = usize::try_from(plans / 4).expect("a number of objects");
    let world = World::new(if one.is_some() { 1 } else { old }).await;
    let named = seeds.map(|seed| (format!("SEALWAX_FAULTS_SEED={seed}"), scenario(seed)));
    let tally = run_all(world, named).await;
    if plans >= PLANS && one.is_none() {
        for fault in Fault::ALL {
            assert!(tally.faults.contains_key(&fault), "{fault:?} never occurred");
        }
        for operation in tally.outcomes.keys().map(|(operation, _)| *operation) {
            let outcome = |ok| {
                tally
                    .outcomes
                    .keys()
                    .any(|(other, outcome)| *other == operation && (*outcome == Outcome::Ok) == ok)
            };
            assert!(outcome(true) && outcome(false), "{operation} must both succeed and fail");
        }
    }
}

/// An operation under a given plan.
type Under = for<'a> fn(&'a World, Plan, &'a [Ledger]) -> BoxFuture<'a, Run>;

/// Strikes each request of a faultless run of the operation with each fault, once and permanently,
/// and with a drop. A transient fault must not fail the operation.
async fn assert_safe_everywhere(world: World, under: Under) {
    let calm = [Ledger::default()];
    under(&world, Plan::calm(), &calm).await;
    let requests = calm[0].entries().into_iter().map(|(call, _)| call.operation).enumerate();
    let plans = requests.flat_map(|(at, operation)| {
        let strikes = Fault::ALL.into_iter().filter(move |fault| fault.strikes(&operation));
        let struck = strikes.flat_map(move |fault| {
            [false, true]
                .map(|for_good| (Plan::exactly(at, fault, for_good), fault.is_survived(for_good)))
        });
        struck.chain([(Plan::dropping(at), false)])
    });
    let scenarios = plans.map(|(plan, is_survived)| {
        let name = format!("{plan:?}");
        let scenario: Scenario = Box::new(move |world, ledgers| {
            let run = under(world, plan, ledgers);
            run.inspect(move |run| {
                assert!(!is_survived || run.outcomes == [Outcome::Ok], "{:?}", run.outcomes);
            })
            .boxed()
        });
        (name, scenario)
    });
    run_all(world, scenarios).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_is_safe_at_each_request() {
    assert_safe_everywhere(World::new(0).await, |world, plan, ledgers| {
        puts::three_parts(world, plan, ledgers).boxed()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrap_is_safe_at_each_request() {
    assert_safe_everywhere(World::new(150).await, |world, plan, ledgers| {
        rewraps::rewrap(world, plan, false, ledgers).boxed()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_with_a_key_object_is_safe_at_each_request() {
    assert_safe_everywhere(World::new(0).await, |world, plan, ledgers| {
        stored_keys::put(world, plan, ledgers).boxed()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewrap_of_keys_is_safe_at_each_request() {
    assert_safe_everywhere(World::new(0).await, |world, plan, ledgers| {
        stored_keys::rewrap(world, plan, ledgers).boxed()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_of_keys_is_safe_at_each_request() {
    assert_safe_everywhere(World::new(0).await, |world, plan, ledgers| {
        stored_keys::refresh(world, plan, ledgers).boxed()
    })
    .await;
}
