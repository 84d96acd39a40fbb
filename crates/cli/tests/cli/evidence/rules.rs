//! Promises of an exit code and a report, in terms of a fresh look at the bucket.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    history::{Done, Job, Kind},
    world::{Look, Seen},
};
use crate::support::json_lines;

/// Panics if the run lost something, or promised what the bucket does not show.
pub(super) fn check(done: &Done) {
    let says = || done.to_string();
    nothing_is_lost(done).unwrap_or_else(|what| panic!("{what}: {}", says()));
    let code = match (done.disturbed, done.run.code) {
        (Some(Kind::Kill), None) => return,
        (_, Some(code)) => code,
        (_, None) => panic!("it died: {}", says()),
    };
    let is_known = match code {
        0 | 4..=8 => true,
        // The account can't be asked for.
        1 => done.disturbed.is_some(),
        // No object has a key in the blocked Region.
        2 => {
            done.job == Job::Drill && !done.after.values().any(|it| it.east && it.names_its_keys())
        }
        _ => false,
    };
    assert!(is_known, "exit {code}: {}", says());
    if code == 0 {
        kept(done).unwrap_or_else(|what| panic!("exit 0, but {what}: {}", says()));
    }
    // A lost answer or a busy server may be survived or not. Without them, each failure is true.
    if done.disturbed.is_none() {
        let excuse = match done.job {
            // There is nothing left to do.
            Job::Move | Job::Copy | Job::Delete if code == 4 => done.before.is_empty(),
            // What was shredded has no key for another place or format.
            Job::Move | Job::Copy | Job::Migrate => done.before.values().any(|it| it.is_shredded),
            Job::Drill => code == 2,
            _ => false,
        };
        if code != 0 && !excuse {
            let what = kept(done).map(|()| "everything was done");
            assert!(what.is_err(), "exit {code}, but everything was done: {}", says());
        }
        report(done, code).unwrap_or_else(|what| panic!("{what}: {}", says()));
    }
}

/// Objects that the job is about and nobody else touched.
fn untouched<'a>(done: &'a Done, look: &'a Look) -> impl Iterator<Item = (&'a String, &'a Seen)> {
    let planned =
        |name: &String| done.planned.as_ref().is_none_or(|planned| planned.contains(name));
    look.iter().filter(move |(name, _)| planned(name) && !done.touched.contains(name))
}

/// Each text that was there is still there, in its place or at the destination.
fn nothing_is_lost(done: &Done) -> Result<(), String> {
    for (name, before) in untouched(done, &done.before) {
        let Some(text) = &before.text else { continue };
        let after = done.after.get(name);
        let there = match done.job {
            Job::Delete => continue,
            Job::Move => after.or_else(|| done.target.as_ref().and_then(|(_, to)| to.get(name))),
            _ => after,
        };
        let Some(there) = there else { return Err(format!("{name} is gone")) };
        if there.text.as_ref() != Some(text) {
            return Err(format!("{name} no longer opens with its text"));
        }
        // Only these take a key away.
        let takes = matches!(done.job, Job::Replace | Job::Migrate);
        if !takes && ((before.east && !there.east) || (before.west && !there.west)) {
            return Err(format!("{name} has lost a key"));
        }
    }
    if done.job != Job::Purge {
        let (before, after) = &done.versions;
        for (name, before) in before {
            if !after.get(name).is_some_and(|after| before.is_subset(after)) {
                return Err(format!("older versions of {name} are gone"));
            }
        }
    }
    Ok(())
}

/// Checks the promise of exit code 0.
fn kept(done: &Done) -> Result<(), String> {
    let all = |what: &str, holds: &dyn Fn(&Seen) -> bool| {
        let broken =
            untouched(done, &done.after).find(|(_, seen)| seen.is_sealed() && !holds(seen));
        broken.map_or(Ok(()), |(name, _)| Err(format!("{name} {what}")))
    };
    match done.job {
        // An object of the S3 Encryption Client has one key.
        Job::Add | Job::AddBeside | Job::Plan => {
            all("lacks the key", &|seen| seen.west && seen.names_its_keys())
        }
        Job::Replace => all("has another key", &|seen| seen.west && !seen.east),
        Job::Migrate => all("is not migrated", &|seen| !seen.is_of_encryption_client),
        Job::Verify => all("does not open", &|seen| seen.text.is_some()),
        Job::Drill => all("needs the blocked Region", &|seen| seen.west),
        Job::Audit => all("may lack the key", &Seen::names_its_keys),
        Job::Delete | Job::Move => {
            match untouched(done, &done.after).find(|(_, seen)| seen.is_sealed()) {
                Some((name, _)) => Err(format!("{name} is still there")),
                None => sidecars_went_along(done).and_then(|()| arrived(done)),
            }
        }
        Job::Purge => {
            let (_, after) = &done.versions;
            let many = after.iter().find(|(name, ids)| {
                !done.touched.contains(name)
                    && (ids.len() > usize::from(done.after.contains_key(*name)))
            });
            many.map_or(Ok(()), |(name, _)| Err(format!("{name} still has older versions")))
        }
        Job::Copy => arrived(done),
    }
}

fn sidecars_went_along(done: &Done) -> Result<(), String> {
    let left = done.with_sidecars.iter().find(|name| {
        !done.touched.contains(name) && done.after.get(*name).is_none_or(|seen| !seen.is_shredded)
    });
    left.map_or(Ok(()), |name| Err(format!("the sidecar of {name} is still there")))
}

/// Each object that opened is at the destination, with the keys that it had.
fn arrived(done: &Done) -> Result<(), String> {
    let Some((_, target)) = &done.target else { return Ok(()) };
    for (name, before) in untouched(done, &done.before).filter(|(_, seen)| seen.is_sealed()) {
        let keys = |seen: &Seen| (seen.text.clone(), seen.east, seen.west);
        if before.text.is_none() || target.get(name).map(keys) != Some(keys(before)) {
            return Err(format!("{name} is not at the destination as it was"));
        }
    }
    Ok(())
}

/// The report of an undisturbed run, object by object.
fn report(done: &Done, code: i32) -> Result<(), String> {
    match done.job {
        Job::Audit => {
            let mut listed: BTreeSet<_> =
                json_lines(&done.run).iter().filter_map(|line| name(done, line)).collect();
            // What can't be audited is a failure.
            let failures = done.run.stderr.lines().filter_map(|line| line.strip_prefix("failed: "));
            let failures: Vec<_> = failures.collect();
            listed.extend(
                done.after
                    .keys()
                    .filter(|name| failures.iter().any(|line| line.contains(&format!("/{name}: "))))
                    .cloned(),
            );
            let lacks = |seen: &Seen| seen.is_sealed() && !(seen.west && seen.names_its_keys());
            let expected: BTreeSet<_> = done
                .after
                .iter()
                .filter(|(_, seen)| lacks(seen))
                .map(|(name, _)| name.clone())
                .collect();
            same("listed", &listed, &expected)
        }
        Job::Verify => {
            let opened: BTreeMap<_, _> = json_lines(&done.run)
                .iter()
                .filter_map(|line| Some((name(done, line)?, line["opens"] == true)))
                .collect();
            for (name, seen) in done.after.iter().filter(|(_, seen)| seen.is_sealed()) {
                if opened.get(name) != Some(&seen.text.is_some()) {
                    return Err(format!("{name} is reported as {:?}", opened.get(name)));
                }
            }
            Ok(())
        }
        Job::Add | Job::AddBeside | Job::Plan | Job::Replace => {
            // 7: some failed; 8: all did.
            let failed = |seen: &&Seen| match done.job {
                Job::Replace => !seen.west || seen.east,
                _ => !(seen.west && seen.names_its_keys()),
            };
            let all: Vec<_> = untouched(done, &done.after).map(|(_, seen)| seen).collect();
            let failed = all.iter().copied().filter(|seen| seen.is_sealed()).filter(failed).count();
            let expected = match failed {
                0 => 0,
                // An object of a plan that is gone did not fail.
                _ if failed == all.len() && done.planned.is_none() => 8,
                _ if failed == all.len() => code.clamp(7, 8),
                _ => 7,
            };
            same("the exit code is", &code, &expected)
        }
        _ => Ok(()),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} {found:?}, not {expected:?}")) }
}

/// The object's name below the folder, if the line is one of an object.
fn name(done: &Done, line: &Value) -> Option<String> {
    let object = line["object"].as_str().or_else(|| line["key"].as_str())?;
    done.after.keys().find(|name| object.ends_with(&format!("/{name}"))).cloned()
}
