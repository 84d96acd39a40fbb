//! A history: commands over a folder, disturbed and run again, with changes in between.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
};

use super::{
    calls::Disturbance,
    rules,
    world::{Change, Look, Place, Versions, World},
};
use crate::support::{Random, Run, east_key, west_key};

/// A command over all objects of the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// `rewrap --add` the key in us-west-2.
    Add,
    /// The same, into sidecars.
    AddBeside,
    /// The same by a plan that was saved before.
    Plan,
    /// `rewrap --replace` by the key in us-west-2.
    Replace,
    /// `reencrypt --to native --under` the key in us-west-2.
    Migrate,
    Copy,
    Move,
    Delete,
    /// `rm --versions`: older versions.
    Purge,
    /// `audit --lacks us-west-2`.
    Audit,
    Verify,
    /// `drill --block us-east-1`.
    Drill,
}

impl Job {
    pub(super) const ALL: [Self; 12] = [
        Self::Add,
        Self::AddBeside,
        Self::Plan,
        Self::Replace,
        Self::Migrate,
        Self::Copy,
        Self::Move,
        Self::Delete,
        Self::Purge,
        Self::Audit,
        Self::Verify,
        Self::Drill,
    ];

    /// Returns a job that makes sense there.
    fn at(self, place: Place) -> Self {
        match self {
            Self::AddBeside if !place.has_sidecars => Self::Add,
            Self::Purge if !place.is_versioned => Self::Verify,
            job => job,
        }
    }

    fn arguments(self, (from, to): (&str, &str), place: Place, report: usize) -> Vec<String> {
        let (east, west) = (east_key(), west_key());
        let report = format!("report-{report}");
        let words: &[&str] = match self {
            Self::Add => &["rewrap", from, "-r", "--add", &west, "--apply", "--json"],
            Self::AddBeside => {
                &["rewrap", from, "-r", "--add", &west, "--to-sidecar=always", "--apply", "--json"]
            }
            Self::Plan => &["rewrap", "--plan", "plan", "--apply", "--json"],
            Self::Replace => &["rewrap", from, "-r", "--replace", &west, "--apply", "--json"],
            Self::Migrate => {
                &["reencrypt", from, "-r", "--to", "native", "--under", &west, "--apply", "--json"]
            }
            Self::Copy => &["cp", "-r", from, to],
            Self::Move => &["mv", "-r", from, to],
            Self::Delete => &["rm", "-r", "--yes", from],
            Self::Purge => &["rm", "-r", "--versions", "--yes", from],
            Self::Audit => &["audit", from, "--lacks", "us-west-2", "--json"],
            // Objects of the S3 Encryption Client don't name their key.
            Self::Verify => &["verify", from, "--key", &east, "--key", &west, "--json"],
            Self::Drill => &[
                "drill",
                from,
                "--region",
                "us-west-2",
                "--block",
                "us-east-1",
                "--report",
                &report,
            ],
        };
        let sidecars = place.has_sidecars.then_some("--sidecars");
        words.iter().copied().chain(sidecars).map(str::to_owned).collect()
    }
}

/// Kind of a disturbance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Kill,
    LoseAnswer,
    Busy,
    Change,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Kill, Self::LoseAnswer, Self::Busy, Self::Change];
}

/// A run of a command, with what was there before and after it.
pub(super) struct Done {
    pub(super) job: Job,
    /// The disturbance, if it came to pass.
    pub(super) disturbed: Option<Kind>,
    pub(super) run: Run,
    pub(super) before: Look,
    pub(super) after: Look,
    /// The destination before and after a copy or a move.
    pub(super) target: Option<(Look, Look)>,
    /// Versions before and after it, in a versioned bucket.
    pub(super) versions: (Versions, Versions),
    /// Objects whose sidecars are there after it.
    pub(super) with_sidecars: BTreeSet<String>,
    /// Objects that somebody else may have changed meanwhile.
    pub(super) touched: Vec<String>,
    /// Objects that the job is about, if not all.
    pub(super) planned: Option<BTreeSet<String>>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, disturbed, run, before, after, target, touched, .. } = self;
        writeln!(f, "{job:?} with {disturbed:?}, which touched {touched:?}: {:?}", run.code)?;
        writeln!(f, "{}{}", String::from_utf8_lossy(&run.stdout), run.stderr)?;
        let mut looks = vec![("before", before), ("after", after)];
        if let Some((before, after)) = target {
            looks.extend([("target before", before), ("target after", after)]);
        }
        for (when, look) in looks {
            writeln!(f, "{when}:")?;
            look.iter().try_for_each(|(name, seen)| writeln!(f, "  {name}: {seen}"))?;
        }
        if !self.with_sidecars.is_empty() {
            writeln!(f, "with sidecars after: {:?}", self.with_sidecars)?;
        }
        let (before, after) = &self.versions;
        for (when, versions) in [("before", before), ("after", after)] {
            versions
                .iter()
                .try_for_each(|(name, ids)| writeln!(f, "versions {when}: {name}: {ids:?}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            match event {
                Event::Change(change, name) => writeln!(f, "{change:?} of {name}")?,
                Event::Run(done) => write!(f, "{done}")?,
            }
        }
        Ok(())
    }
}

enum Event {
    Run(Box<Done>),
    Change(Change, String),
}

/// Runs and changes, in their order.
#[derive(Default)]
pub(super) struct History {
    events: Vec<Event>,
}

/// Returns what a suite of histories must have seen: each command disturbed, and each disturbance.
pub(super) fn all_parts() -> impl Iterator<Item = String> {
    let jobs = Job::ALL.into_iter().map(|job| format!("{job:?} with"));
    jobs.chain(Kind::ALL.into_iter().map(|kind| format!("with {kind:?}")))
}

impl History {
    pub(super) fn kinds(&self) -> impl Iterator<Item = String> {
        self.runs().map(|done| match (done.disturbed, done.run.code) {
            (Some(kind), _) => format!("{:?} with {kind:?}", done.job),
            (None, code) => format!("{:?}, exit {}", done.job, code.expect("not killed")),
        })
    }

    fn runs(&self) -> impl Iterator<Item = &Done> {
        self.events.iter().filter_map(|event| match event {
            Event::Run(done) => Some(&**done),
            Event::Change(..) => None,
        })
    }

    /// Runs the history with this number, and checks each of its reports.
    pub(super) fn run(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed << 32 | number);
        let mut world = World::new(number);
        let mut folder = "0".to_owned();
        set_up(&world, &mut random);
        world.back_up(&folder);
        let mut history = Self::default();
        for step in 1..=2 {
            if world.names(&folder).is_empty() {
                break;
            }
            let job = random.pick(&Job::ALL).at(world.place);
            let to = step.to_string();
            let planned = (job == Job::Plan).then(|| {
                let planned = world.look(&folder);
                let address = world.address(&folder);
                let plan = ["rewrap", &address, "-r", "--add", &west_key(), "--save-plan", "plan"];
                let sidecars = world.place.has_sidecars.then_some("--sidecars");
                let plan: Vec<_> = plan.into_iter().chain(sidecars).map(str::to_owned).collect();
                world.calls.disturb(None);
                let code = world.command(&plan).run().code;
                // Some objects of a plan can't be rewrapped.
                assert!(matches!(code, Some(0 | 7 | 8)), "a plan: {code:?}");
                planned.into_keys().collect::<BTreeSet<_>>()
            });
            if planned.is_some() {
                history.change(&world, &folder, &mut random);
            }
            let kind = random.pick(&Kind::ALL);
            // It lists, and deletes all versions at once.
            let calls = if job == Job::Purge { 3 } else { 3 + 6 * world.names(&folder).len() };
            let at = random.below(calls);
            let done = history.command(
                &world,
                (job, &planned),
                (&folder, &to),
                Some((kind, at)),
                &mut random,
            );
            let was_disturbed = done.disturbed.is_some();
            rules::check(done);
            if was_disturbed {
                if random.below(2) == 0 {
                    history.change(&world, &folder, &mut random);
                }
                let done =
                    history.command(&world, (job, &planned), (&folder, &to), None, &mut random);
                rules::check(done);
            }
            if job == Job::Move {
                folder = to;
            }
            history.change(&world, &folder, &mut random);
        }
        for job in [Job::Audit, Job::Verify] {
            if !world.names(&folder).is_empty() {
                rules::check(history.command(
                    &world,
                    (job, &None),
                    (&folder, ""),
                    None,
                    &mut random,
                ));
            }
        }
        history
    }

    fn change(&mut self, world: &World, folder: &str, random: &mut Random) {
        let names = world.names(folder);
        if !names.is_empty() {
            let name = names[random.below(names.len())].clone();
            let change = random.pick(&Change::ALL);
            world.change(change, folder, &name);
            self.events.push(Event::Change(change, name));
        }
    }

    /// Runs a command, and looks before and after it.
    fn command(
        &mut self,
        world: &Arc<World>,
        (job, planned_names): (Job, &Option<BTreeSet<String>>),
        (folder, to): (&str, &str),
        disturbance: Option<(Kind, usize)>,
        random: &mut Random,
    ) -> &Done {
        let before = world.look(folder);
        let copies = matches!(job, Job::Copy | Job::Move);
        let target_before = copies.then(|| world.look(to));
        let touched = Arc::new(Mutex::new(Vec::new()));
        let prepared = disturbance.map(|(kind, _)| match kind {
            Kind::Kill => Disturbance::Kill { arrives: random.below(2) == 0 },
            Kind::LoseAnswer => Disturbance::LoseAnswer,
            Kind::Busy => Disturbance::Busy { times: 1 + random.below(40) },
            Kind::Change => {
                let (world, touched, folder) =
                    (Arc::clone(world), Arc::clone(&touched), folder.to_owned());
                let change = random.pick(&Change::ALL);
                let nth = random.below(before.len().max(1));
                let name = before.keys().nth(nth).cloned().unwrap_or_default();
                Disturbance::Change(Box::new(move || {
                    *touched.lock().expect("no panic") = world.change(change, &folder, &name);
                }))
            }
        });
        world.calls.disturb(disturbance.map(|(_, at)| at).zip(prepared));
        let versions_before = world.versions(folder);
        let addresses = (&*world.address(folder), &*world.address(to));
        let arguments = job.arguments(addresses, world.place, self.runs().count());
        let child = world.command(&arguments).spawn();
        world.calls.are_of(child.id());
        let run = Run::new(child.wait_with_output().expect("it ends"));
        let was_disturbed = world.calls.end();
        let disturbed = disturbance.filter(|_| was_disturbed).map(|(kind, _)| kind);
        let touched = std::mem::take(&mut *touched.lock().expect("no panic"));
        let after = world.look(folder);
        let target = target_before.map(|before| (before, world.look(to)));
        let planned = planned_names.clone();
        let versions = (versions_before, world.versions(folder));
        let with_sidecars = world.with_sidecars(folder);
        let done = Done {
            job,
            disturbed,
            run,
            before,
            after,
            target,
            versions,
            with_sidecars,
            touched,
            planned,
        };
        self.events.push(Event::Run(Box::new(done)));
        self.runs().last().expect("pushed just now")
    }
}

/// Puts three to five objects of drawn kinds.
fn set_up(world: &World, random: &mut Random) {
    for number in 0..3 + random.below(3) {
        let name = number.to_string();
        match random.below(10) {
            0..5 => world.put("0", &name, &[east_key()], false),
            5..7 => world.put("0", &name, &[east_key(), west_key()], false),
            7..9 => world.put("0", &name, &[east_key()], true),
            _ => {
                world.put("0", &name, &[east_key()], false);
                world.change(Change::CopyByOthers, "0", &name);
            }
        }
    }
}
