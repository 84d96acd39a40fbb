//! Gains of a writer to the bucket from operations on a key store, or by it.
//!
//! Each combination stores key objects as a writer can leave them, runs one operation in one role,
//! and compares the outcome with the table in `expected.rs`. The invariants are those of the whole
//! suite: no key outside of the operator's list opens anything new, nothing that opened stops opening
//! unless the operation said so, and KMS is called only as the operation allows.

mod attack;
mod expected;
mod operation;
mod outcome;
mod stage;

use std::{
    collections::VecDeque,
    env,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use sealwax_tests::{LocalStack, Random, east, in_time};

use self::{
    attack::Attack,
    expected::Case,
    operation::Operation,
    stage::{Stage, Wrapped},
};
use crate::{said, scene::Role};

/// Scenes of each kind of intermediate key.
const SCENES: usize = 8;

/// An operation on an attacked key store.
#[derive(Debug, Clone, Copy)]
struct Combination {
    operation: Operation,
    attack: Attack,
    role: Role,
    wrapped: Wrapped,
}

impl Combination {
    fn name(&self) -> String {
        let Self { operation, attack, role, wrapped } = self;
        format!("{operation:?} × {attack:?} × {role:?} × {wrapped:?}")
    }

    /// Returns those of a seed: each operation meets each attack in a role that may do all, and in
    /// any.
    fn all(wrapped: Wrapped, seed: u64) -> Vec<Self> {
        let mut all = Vec::new();
        for operation in Operation::ALL {
            for attack in Attack::ALL {
                let mut random =
                    Random::of([seed, wrapped as u64, operation as u64, attack as u64]);
                for roles in [&Role::ALL[..2], &Role::ALL[2..]] {
                    let roles: Vec<_> = roles
                        .iter()
                        .copied()
                        .filter(|role| operation.is_for(*role, wrapped))
                        .collect();
                    if !roles.is_empty() {
                        all.push(Self { operation, attack, role: random.pick(&roles), wrapped });
                    }
                }
            }
        }
        all
    }

    /// Runs the operation, and asserts the expected outcome and the invariants.
    async fn run(self, stage: &mut Stage, seed: u64) {
        let Self { operation, attack, role, wrapped } = self;
        let mut random = Random::of([seed, operation as u64, attack as u64, role as u64]);
        let planted = attack.apply(stage, &mut random);
        stage.plant(&planted).await;
        let before = stage.look(operation.target(stage)).await;
        stage.scene.begin(role);
        let outcome = operation.run(stage, role).await;
        stage.check_kms_calls(operation, role);
        let after = stage.look(operation.target(stage)).await;
        stage.remove_copy(operation.target(stage)).await;

        let case = Case::new(attack, role, wrapped, stage.order());
        assert_eq!(outcome, case.expected(operation), "outcome, and expected");
        operation.check(&outcome, &before, &after);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_gains_nothing_from_key_objects() {
    let seed = env::var("SEALWAX_HOSTILE_SEED").map_or(0, |seed| seed.parse().expect("a number"));
    let only = env::var("SEALWAX_HOSTILE_ONLY").ok();
    let chosen = |it: &Combination| only.as_ref().is_none_or(|text| it.name().contains(text));
    let foreign = LocalStack::new(east()).new_key().await;
    let (failures, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
    let mut lanes = Vec::new();
    for wrapped in Wrapped::ALL {
        let queue: VecDeque<_> =
            Combination::all(wrapped, seed).into_iter().filter(chosen).collect();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..SCENES {
            let (queue, foreign) = (Arc::clone(&queue), foreign.clone());
            let (failures, count) = (Arc::clone(&failures), Arc::clone(&count));
            lanes.push(tokio::spawn(async move {
                let mut stage = None;
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(combination) = next else { break };
                    let stage = match &mut stage {
                        Some(stage) => stage,
                        None => stage.insert(Stage::new(wrapped, &foreign).await),
                    };
                    let name = format!("SEALWAX_HOSTILE_SEED={seed} {}", combination.name());
                    let run = in_time(&name, combination.run(stage, seed));
                    *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                    if let Err(panic) = AssertUnwindSafe(run).catch_unwind().await {
                        let mut all = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        all.push(format!("{name}: {}", said(&*panic)));
                    }
                }
            }));
        }
    }
    let lanes: Vec<_> = stream::iter(lanes).then(|lane| lane).collect().await;
    lanes.into_iter().for_each(|lane| lane.expect("a scene"));
    let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    let count = *count.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{count} combinations of key objects");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(only.is_some() || count >= 1200, "only {count} combinations");
}
