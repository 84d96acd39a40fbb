//! Gains of a writer to the bucket from each operation that an operator runs on his objects.
//!
//! Each combination stores an object with one change that a writer can make, runs one operation in
//! one role, compares the outcome with the table in `expected.rs`, and looks at the bucket again:
//! no key outside of the operator's list opens anything new, nothing that opened stops opening
//! unless the operation said so, no unverified byte is returned, and KMS is called only as the
//! operation allows.
//!
//! `SEALWAX_HOSTILE_SEED=n` draws other combinations. `SEALWAX_HOSTILE_ONLY=text` runs those whose
//! name contains the text.

mod change;
mod expected;
mod held;
mod invariants;
mod key_list;
mod key_store;
mod look;
mod loot;
mod operation;
mod outcome;
mod rules;
mod s3ec;
mod scene;
mod tally;

use std::{
    any::Any,
    collections::VecDeque,
    env,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use sealwax_s3::KmsKeyArn;
use sealwax_tests::{LocalStack, Random, east, in_time};
use tokio::time::Instant;

use self::{
    change::{Change, Tampered},
    expected::expected,
    look::Eye,
    loot::{Loot, Plaintexts},
    operation::Operation,
    s3ec::S3ecLoot,
    scene::{Kind, Role, Scene},
    tally::Tally,
};

/// Combinations of each operation and change: one in a role that may do all, and one in any.
const ROUNDS: u64 = 2;
/// Scenes of each kind of object. A rewrap waits until the second of the object's last change is
/// over, and meanwhile others work.
const SCENES: usize = 16;

/// An operation on a changed object.
#[derive(Debug, Clone)]
struct Combination {
    operation: Operation,
    change: Change,
    role: Role,
    kind: Kind,
    random: Random,
}

impl Combination {
    /// Draws a combination of this operation and change.
    fn draw(operation: Operation, change: Change, round: u64, seed: u64) -> Self {
        let mut random = Random::of([seed, operation as u64, change as u64, round]);
        let kinds: Vec<_> = Kind::ALL.into_iter().filter(|kind| change.applies_to(*kind)).collect();
        let roles = if round == 0 { &Role::ALL[..2] } else { &Role::ALL[..] };
        let may_pass = |role: &Role| matches!(role, Role::EastDown | Role::Throttled);
        let kind = random.pick(&kinds);
        // Objects of the S3 Encryption Client do not name their key, which an account may find.
        let is_role = |role: &Role| {
            (!operation.retries() || !may_pass(role)) && (*role != Role::Account || !kind.is_s3ec())
        };
        let roles: Vec<_> = roles.iter().copied().filter(is_role).collect();
        let role = random.pick(&roles);
        Self { operation, change, role, kind, random }
    }

    fn name(&self) -> String {
        let Self { operation, change, role, kind, .. } = self;
        format!("{operation:?} × {change:?} × {role:?} × {kind:?}")
    }
}

/// Material that the writer has for changes of an object.
enum AnyLoot {
    Sealwax(Box<Loot>),
    S3ec(Box<S3ecLoot>),
}

impl AnyLoot {
    async fn collect(scene: &Scene) -> Self {
        match scene.kind.is_s3ec() {
            true => Self::S3ec(Box::new(S3ecLoot::collect(scene).await)),
            false => Self::Sealwax(Box::new(Loot::collect(scene).await)),
        }
    }

    fn plaintexts(&self) -> &Plaintexts {
        match self {
            Self::Sealwax(loot) => &loot.plaintexts,
            Self::S3ec(loot) => &loot.plaintexts,
        }
    }

    fn apply(&self, change: Change, scene: &Scene, random: &mut Random) -> Tampered {
        match self {
            Self::Sealwax(loot) => change.apply(scene, loot, random),
            Self::S3ec(loot) => loot.apply(change, scene.kind, random),
        }
    }
}

/// A scene with its loot, for one combination after another.
struct Stage {
    scene: Scene,
    loot: AnyLoot,
    eye: Eye,
    is_used: bool,
}

impl Stage {
    async fn new(kind: Kind, foreign: &KmsKeyArn) -> Self {
        let scene = Scene::new(kind, foreign).await;
        let loot = AnyLoot::collect(&scene).await;
        // The operator's own instruction file is there already.
        Self { scene, loot, eye: Eye::default(), is_used: kind.is_s3ec() }
    }

    /// Runs a combination, and asserts the expected outcome and the invariants.
    async fn run(&mut self, combination: &Combination, tally: &Mutex<Tally>) {
        let Combination { operation, change, role, kind, mut random } = combination.clone();
        let Self { scene, loot, eye, is_used } = self;
        let target = operation.target(scene);
        let tampered = loot.apply(change, scene, &mut random);
        look::plant(scene, &tampered, *is_used).await;
        *is_used = true;
        let before = eye.look(scene, None).await;

        scene.begin(role);
        let plaintexts = loot.plaintexts();
        let outcome = operation.run(scene, role, plaintexts).await;
        let kms_calls = scene.wire.kms().len();
        let after = eye.look(scene, target).await;
        if let Some(copy) = target.filter(|_| after.copy.is_some()) {
            look::remove(scene, copy).await;
        }

        assert_eq!(outcome, expected(operation, change, role, kind), "outcome, and expected");
        invariants::check(scene, operation, &outcome, (&before, &after), plaintexts).await;
        invariants::check_kms_calls(scene, (operation, change, role), &outcome, &tampered);
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.add((operation, change, role, kind), &outcome, kms_calls);
    }
}

/// Returns all combinations of a seed.
fn combinations(seed: u64) -> Vec<Combination> {
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        for operation in Operation::ALL {
            let draw = |change| Combination::draw(operation, change, round, seed);
            all.extend(Change::ALL.into_iter().map(draw));
        }
    }
    all
}

/// Returns the message of a panic.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_gains_nothing_from_any_operation() {
    let seed = env::var("SEALWAX_HOSTILE_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    let only = env::var("SEALWAX_HOSTILE_ONLY").ok();
    let chosen = |it: &Combination| only.as_ref().is_none_or(|text| it.name().contains(text));
    let begun = Instant::now();
    let (tally, failures) =
        (Arc::new(Mutex::new(Tally::default())), Arc::new(Mutex::new(Vec::new())));
    let foreign = LocalStack::new(east()).new_key().await;

    let mut lanes = Vec::new();
    for kind in Kind::ALL {
        let queue = combinations(seed).into_iter().filter(|it| it.kind == kind && chosen(it));
        let queue: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(queue.collect()));
        for _ in 0..SCENES {
            let (queue, foreign) = (Arc::clone(&queue), foreign.clone());
            let (tally, failures) = (Arc::clone(&tally), Arc::clone(&failures));
            lanes.push(tokio::spawn(async move {
                let mut stage = None;
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(combination) = next else { break };
                    let stage = match &mut stage {
                        Some(stage) => stage,
                        None => stage.insert(Stage::new(kind, &foreign).await),
                    };
                    let name = format!("SEALWAX_HOSTILE_SEED={seed} {}", combination.name());
                    let run = in_time(&name, stage.run(&combination, &tally));
                    if let Err(panic) = AssertUnwindSafe(run).catch_unwind().await {
                        let why = said(&*panic);
                        let mut all = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        all.push(format!("{name}: {why}"));
                    }
                }
            }));
        }
    }
    let lanes: Vec<_> = stream::iter(lanes).then(|lane| lane).collect().await;
    lanes.into_iter().for_each(|lane| lane.expect("a scene"));

    let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    println!("seed {seed}: {tally}\n  in {:.1?}", begun.elapsed());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    if only.is_none() {
        assert!(tally.combinations() >= 2000, "only {} combinations", tally.combinations());
        let pairs = Operation::ALL.len() * Change::ALL.len();
        assert_eq!(tally.pairs.len(), pairs, "each operation meets each change");
    }
}
