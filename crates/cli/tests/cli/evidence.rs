//! Jobs whose reports are held against the bucket.
//!
//! Each history is a folder of a few objects, of which others overwrite, delete, shred, restore and
//! copy some, and several commands over it. A command is killed, loses an answer, is throttled or
//! meets a change at one of its calls, and is run again. A fresh look at the bucket then says
//! whether its exit code and its report were true: see `rules`.
//!
//! `SEALWAX_EVIDENCE_HISTORIES` sets the number of histories (default 300), `SEALWAX_EVIDENCE_SEED`
//! their seed, and `SEALWAX_EVIDENCE_ONLY` runs one alone and prints it.

mod calls;
mod history;
mod rules;
mod world;

use std::{
    collections::BTreeMap,
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use self::history::History;

/// Most of the time of a history is spent waiting, for the second of an object's change to end.
const AT_ONCE: usize = 16;

fn variable(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn reports_agree_with_a_fresh_look_at_the_bucket() {
    let seed = variable("SEALWAX_EVIDENCE_SEED").unwrap_or(1);
    if let Some(number) = variable("SEALWAX_EVIDENCE_ONLY") {
        let history = History::run(seed, number);
        println!("{history}");
        return;
    }
    let count = variable("SEALWAX_EVIDENCE_HISTORIES").unwrap_or(300);
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let tally = Mutex::new(BTreeMap::<String, usize>::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    match catch_unwind(AssertUnwindSafe(|| History::run(seed, number))) {
                        Ok(history) => {
                            let mut tally = tally.lock().expect("no panic");
                            for kind in history.kinds() {
                                *tally.entry(kind).or_default() += 1;
                            }
                        }
                        Err(_) => failed.lock().expect("no panic").push(number),
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().expect("no panic");
    println!("{count} histories of seed {seed}: {tally:#?}");
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_empty(), "seed {seed}: SEALWAX_EVIDENCE_ONLY={failed:?}");
    // A suite that no longer runs some command, or never disturbs it, must not pass.
    if count >= 300 {
        let seen = |part: &str| -> usize {
            let of_part = tally.iter().filter(|(kind, _)| kind.contains(part));
            of_part.map(|(_, count)| count).sum()
        };
        for part in history::all_parts() {
            assert!(seen(&part) >= 5, "{part}: {} runs", seen(&part));
        }
    }
}
