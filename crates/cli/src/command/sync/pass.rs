//! One pass: transfers, then deletions.

use std::{
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use sealwax_jobs::merge::{Joined, Keyed, in_order, join};
use sealwax_s3::S3Uri;

use super::{
    args::SyncArgs,
    record::{Change, Counts, Record},
};
use crate::{
    bulk::{Outcome, Skip, Summary, engine},
    comparison::Differences,
    console::print_line,
    failure::{Exit, Failure, Unfinished},
    interrupt::unless_stopped,
    local_files::{self, Found, LocalFile},
    session::Session,
    terminal_text::{Counted, this_command_line},
};

/// Entries of a listing that are sorted in memory, for stores that list keys in another order.
const WINDOW: usize = 100_000;

/// Kind of a synchronization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Upload,
    Download,
    Copy,
}

impl Direction {
    /// Returns the action in JSON.
    pub(super) fn action(self) -> &'static str {
        match self {
            Self::Upload => "seal",
            Self::Download => "open",
            Self::Copy => "copy",
        }
    }

    fn verb(self, is_planned: bool) -> &'static str {
        match (self, is_planned) {
            (Self::Upload, false) => "sealed",
            (Self::Upload, true) => "would seal",
            (Self::Download, false) => "opened",
            (Self::Download, true) => "would open",
            (Self::Copy, false) => "copied",
            (Self::Copy, true) => "would copy",
        }
    }

    fn preposition(self) -> &'static str {
        match self {
            Self::Upload => "under",
            Self::Download => "in",
            Self::Copy => "to",
        }
    }

    /// Returns the properties beside the content that the stored objects should have.
    fn properties(self) -> Option<&'static str> {
        match self {
            Self::Upload => Some("wrapping keys, context and attributes"),
            Self::Copy => Some("wrapping keys and attributes"),
            Self::Download => None,
        }
    }

    /// Returns the noun for an entry of the source.
    fn noun(self) -> &'static str {
        match self {
            Self::Upload => "file",
            Self::Download | Self::Copy => "object",
        }
    }

    /// Returns the noun for an entry of the destination.
    pub(super) fn noun_there(self) -> &'static str {
        match self {
            Self::Upload | Self::Copy => "object",
            Self::Download => "file",
        }
    }
}

/// The two sides of a synchronization.
pub(super) trait Sides: Sync {
    /// Entry of the source.
    type Source: Keyed + Clone + Send + Sync;
    /// Entry of the destination.
    type Destination: Keyed + Clone + Send + Sync;

    const DIRECTION: Direction;

    fn sources<'a>(
        &'a self,
        pass: &'a Pass<'_>,
    ) -> impl Stream<Item = Result<Self::Source, Failure>> + Send + 'a;

    fn destinations<'a>(
        &'a self,
        pass: &'a Pass<'_>,
    ) -> impl Stream<Item = Result<Self::Destination, Failure>> + Send + 'a;

    /// Transfers an entry of the source, unless the destination is the same already.
    fn transfer(
        &self,
        pass: &Pass<'_>,
        source: Self::Source,
        destination: Option<Self::Destination>,
    ) -> impl Future<Output = Outcome> + Send;

    /// Returns why an entry that only the destination has is not to be deleted.
    fn kept(
        &self,
        extra: &Self::Destination,
    ) -> impl Future<Output = Result<Option<Skip>, Failure>> + Send;

    /// Deletes an entry that only the destination has, as it was listed.
    fn delete(&self, extra: &Self::Destination)
    -> impl Future<Output = Result<(), Failure>> + Send;

    /// Returns the name of an entry of the destination in messages.
    fn name(&self, extra: &Self::Destination) -> String;

    /// Waits until nothing is left in the background, and reports what remains. `is_whole` says that
    /// all transfers of the pass succeeded.
    fn settle(
        &self,
        session: &Session,
        is_whole: bool,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// One comparison of the two sides.
pub(super) struct Pass<'a> {
    pub(super) session: &'a Session,
    pub(super) args: &'a SyncArgs,
    pub(super) record: &'a Record,
    pub(super) number: u64,
    /// Entries of the source.
    sources: AtomicU64,
    /// `true` once both sides answered.
    has_listed: AtomicBool,
    /// Objects that are unchanged by the listings alone.
    by_listing: AtomicU64,
    /// Number of them whose keys and attributes were compared.
    looked_at: AtomicU64,
    /// Entries of folders that are no files.
    others: Mutex<Vec<Found>>,
    /// Paths of links that were skipped, with all that is behind them.
    hidden: Mutex<Vec<String>>,
}

/// Work of a pass.
#[derive(Debug, Clone)]
enum Step<S, D> {
    /// An entry of the source and, if there is one, of the destination.
    Transfer(S, Option<D>),
    /// An entry of a folder that is no file.
    Other(Found),
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        session: &'a Session,
        args: &'a SyncArgs,
        record: &'a Record,
        number: u64,
    ) -> Self {
        Self {
            session,
            args,
            record,
            number,
            sources: AtomicU64::new(0),
            has_listed: AtomicBool::new(false),
            by_listing: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
            others: Mutex::default(),
            hidden: Mutex::default(),
        }
    }

    /// Lists a folder's files, without those that the filter leaves out. All other entries wait until
    /// the files are done.
    pub(super) fn files(
        &self,
        root: &Path,
        follow_links: bool,
    ) -> impl Stream<Item = Result<LocalFile, Failure>> + Send {
        local_files::selected(root, follow_links, &self.args.filter, |other| {
            if let Found::Link(link) = &other {
                lock(&self.hidden).push(link.relative.clone());
            }
            lock(&self.others).push(other);
        })
    }

    /// Transfers what is new or has changed. Also returns the entries that only the destination has, as
    /// far as both sides were listed.
    pub(super) async fn transfers<T: Sides>(
        &self,
        sides: &T,
        counts: &mut Counts,
    ) -> (Result<(), Failure>, Vec<T::Destination>) {
        let extras = Mutex::new(Vec::new());
        let done = self.transfer_all(sides, &extras, counts).await;
        (done, extras.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// `true` once both sides answered.
    pub(super) fn has_listed(&self) -> bool {
        self.has_listed.load(Ordering::Relaxed)
    }

    async fn transfer_all<T: Sides>(
        &self,
        sides: &T,
        extras: &Mutex<Vec<T::Destination>>,
        counts: &mut Counts,
    ) -> Result<(), Failure> {
        let (session, args, direction) = (self.session, self.args, T::DIRECTION);
        let sources = in_order(sides.sources(self), WINDOW);
        let joined = join(sources, in_order(sides.destinations(self), WINDOW));
        let steps = joined.try_filter_map(|joined| {
            self.has_listed.store(true, Ordering::Relaxed);
            let (source, destination) = match joined {
                Joined::Left(source) => (Some(source), None),
                Joined::Both(source, destination) => (Some(source), Some(destination)),
                Joined::Right(destination) => (None, Some(destination)),
            };
            std::future::ready(Ok(match (source, destination) {
                (Some(source), destination) => {
                    self.sources.fetch_add(1, Ordering::Relaxed);
                    Some(Step::Transfer(source, destination))
                }
                (None, destination) => {
                    lock(extras).extend(destination);
                    None
                }
            }))
        });
        let others = stream::once(async {
            self.has_listed.store(true, Ordering::Relaxed);
            std::mem::take(&mut *lock(&self.others))
        });
        let others = others.flat_map(|others| stream::iter(others.into_iter().map(Step::Other)));
        let work = |step| async move {
            match step {
                Step::Transfer(source, destination) => {
                    sides.transfer(self, source, destination).await
                }
                Step::Other(found) => found.left_out(),
            }
        };
        let mut summary = Summary::default();
        let done = unless_stopped(summary.run_watched(
            session,
            steps.chain(others.map(Ok)),
            &engine(args.concurrency),
            work,
            |outcome| self.record_failure(direction.action(), outcome),
        ))
        .await;
        let is_whole = matches!(done, Ok(Ok(()))) && summary.failed == 0;
        let settled = sides.settle(session, is_whole).await;
        counts.add(&summary);
        if summary.all() > 0 {
            let what = Counted(summary.done, direction.noun());
            let bytes = Counted(summary.bytes, "byte");
            let (verb, into) = (direction.verb(args.dry_run), direction.preposition());
            let (from, to) = (&args.from, &args.to);
            let left = self.not_compared(direction, counts);
            session.say(format!("{verb} {what} of {from} {into} {to} ({bytes}){summary}{left}"));
        }
        let unfinished = Unfinished::new(
            "the other changes were not made; rerun the command to continue",
            "to continue",
            this_command_line(),
        );
        unfinished.check(done)?;
        settled?;
        summary.result(direction.noun())
    }

    /// Returns the outcome for an object that is unchanged by the listings, which show neither wrapping
    /// keys nor attributes. `look` compares those, for the first object of the pass: a change of the
    /// command's options shows in each object that was stored before.
    pub(super) async fn unchanged_by_listing(
        &self,
        direction: Direction,
        (name, destination): (&str, &S3Uri),
        look: impl Future<Output = Option<Differences>> + Send,
    ) -> Outcome {
        if self.by_listing.fetch_add(1, Ordering::Relaxed) == 0
            && let Some(differences) = look.await
        {
            self.looked_at.fetch_add(1, Ordering::Relaxed);
            if !differences.is_empty() {
                self.session.say(format!(
                    "warning: {destination} has other {differences} than this command would store; \
                     its content is unchanged, so it stays: --check stores such objects again, and \
                     `sealwax rewrap` changes wrapping keys alone"
                ));
                self.record.change(&Change {
                    action: direction.action(),
                    result: "skipped",
                    source: Some(name.to_owned()),
                    destination: Some(destination.to_string()),
                    message: Some(format!("unchanged, but with other {differences}")),
                    ..Change::default()
                });
            }
        }
        Outcome::Unchanged(format!("skipped {name}: unchanged"))
    }

    /// Returns what was not compared, for the closing line.
    fn not_compared(&self, direction: Direction, counts: &mut Counts) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let left = count(&self.by_listing).saturating_sub(count(&self.looked_at));
        match direction.properties() {
            Some(properties) if left > 0 => {
                counts.not_compared = left;
                format!("; {properties} of {left} not compared (--check compares them)")
            }
            _ => String::new(),
        }
    }

    /// Records a failed outcome.
    pub(super) fn record_failure(&self, action: &'static str, outcome: &Outcome) {
        if let Outcome::Failed(what, failure) = outcome {
            self.record.change(&Change {
                action,
                result: "failed",
                source: Some(what.clone()),
                message: Some(failure.in_one_line()),
                ..Change::default()
            });
        }
    }

    /// Records a change that was made, or would be, and returns its outcome.
    pub(super) fn changed(&self, text: String, change: &Change) -> Outcome {
        if change.result == "planned" && !self.args.json {
            print_line(&text);
        }
        self.record.change(change);
        Outcome::Done(text, change.bytes.unwrap_or_default())
    }

    /// Fails if the source has nothing at all.
    pub(super) fn check_source(&self, direction: Direction, extras: u64) -> Result<(), Failure> {
        if self.sources.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let (from, to) = (&self.args.from, &self.args.to);
        let error = format!(
            "{from} has no {}s, so nothing was deleted: the {} of {to} stay",
            direction.noun(),
            Counted(extras, direction.noun_there())
        );
        let advice = "check the source and the filters; delete the destination's contents with \
                      `sealwax rm --recursive`, or as files";
        Err(Failure::new(Exit::NotFound, error, advice))
    }

    /// `true` if this path of the source is behind a skipped link.
    pub(super) fn is_hidden(&self, path: &str) -> bool {
        lock(&self.hidden).iter().any(|link| {
            let below = path.strip_prefix(link.as_str());
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
