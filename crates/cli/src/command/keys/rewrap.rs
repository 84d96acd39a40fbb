//! `sealwax keys rewrap`.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    Summary as _,
    stored_keys::{CountsByKey, RewrapKeys, RewrapKeysSummary, RewrappedKey, RewrappedKeyOutcome},
};
use sealwax_s3::{KeyChanges, StoredKey, error_chain};
use serde::Serialize;

use super::{Keys, Store, args::KeysRewrapArgs, name_of, provider_and_name};
use crate::{
    args::WrapKey,
    console::Lines,
    failure::{Exit, Failure, Unfinished},
    interrupt::unless_stopped,
    progress::Cleared,
    session::Session,
    terminal_text::{Counted, Printable, this_command_line},
};

/// Line of one intermediate key. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Line {
    key: String,
    id: String,
    /// `rewrapped`, `kept`, `claimed`, `proven`, `unchanged` or `failed`.
    outcome: &'static str,
    added: Vec<String>,
    removed: Vec<String>,
    /// Wrapping keys with a new ciphertext from their newest key material.
    refreshed: Vec<String>,
    /// Wrapping keys that were to be removed or refreshed and stay as they were, because nothing else could
    /// be shown to unwrap.
    kept: Vec<String>,
    /// Wrapping keys whose key objects held something else.
    disproved: Vec<String>,
    /// Error kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Line of one intermediate key of a dry run. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct PlannedLine {
    key: String,
    id: String,
    /// `planned` or `unchanged`.
    outcome: &'static str,
    add: Vec<String>,
    /// Number of key objects to delete.
    remove: u64,
    /// Number of key objects that a refresh may replace, if KMS tells that they are not up to date.
    refresh: u64,
}

/// Keys to add, or to use alone, and keys to remove.
struct Edits {
    add: Vec<WrapKey>,
    replace: Vec<WrapKey>,
    remove: Vec<WrapKey>,
    /// `true` to refresh the others.
    refresh: bool,
}

/// Changes the wrapping keys of intermediate keys.
pub(super) async fn run(session: &Session, args: KeysRewrapArgs) -> Result<(), Failure> {
    let edits = Edits {
        add: session.resolve(&args.add).await?,
        replace: session.resolve(&args.replace).await?,
        remove: args.remove.clone(),
        refresh: args.refresh,
    };
    if args.dry_run {
        return dry_run(session, &args, &edits).await;
    }
    let mut reader = args.reader.clone();
    reader.besides_local = edits.wanted().any(WrapKey::is_local);
    reader.source_region = session.source_region().await;
    let rate = args.job.kms_calls_per_second;
    let kms = Arc::new(session.keyrings().kms(reader, &[], rate).await?);
    let mut changes = KeyChanges::new();
    let of = |keys: &[WrapKey]| session.keyrings().of(keys, kms.sibling());
    if !edits.replace.is_empty() {
        changes = changes.replace_keys(of(&edits.replace)?);
    }
    if !edits.add.is_empty() {
        changes = changes.add_keys(of(&edits.add)?);
    }
    for key in &edits.remove {
        changes = changes.remove_key(key.name());
    }
    if edits.refresh {
        changes = changes.refresh_keys();
    }
    if args.unproven {
        changes = changes.dangerous_allow_unproven();
    }
    if args.prove {
        changes = changes.prove_present();
    }
    let store = Store::open(session, &args.bucket, session.keyrings().with_local(kms))?;
    let (mut lines, mut summary) = (Lines::new(), RewrapKeysSummary::default());
    let progress = Cleared(session.job_progress(None));
    let done = unless_stopped(async {
        let keys = store.select(&args.ids).await?;
        let job = RewrapKeys::new(store.keys.clone(), changes);
        let mut outcomes = job.concurrency(args.job.concurrency.into()).run(keys);
        while let Some(key) = outcomes.try_next().await? {
            summary.record(&key);
            let mut told = Ok(());
            progress.0.suspend(|| told = tell(session, &mut lines, &key, args.job.json));
            told?;
            progress.0.one_more(summary.failed());
        }
        Ok::<_, Failure>(())
    })
    .await;
    drop(progress);
    if args.job.json {
        lines.json(&serde_json::json!({ "summary": &summary }))?;
    }
    lines.finish()?;
    let consequence = "the other keys are unchanged, and each key object is whole; rerun the command to \
                       continue";
    Unfinished::new(consequence, "to continue", this_command_line()).check(done)?;
    let all = summary.objects();
    if all == 0 {
        return Err(empty(&store));
    }
    session.say(text_of(&summary));
    let failed = summary.failed();
    let what =
        format!("{failed} of {} do not have the wanted keys", Counted(all, "intermediate key"));
    Failure::of_many(failed, all, what)
}

/// Returns the failure for a key store without key objects.
pub(super) fn empty(store: &Store) -> Failure {
    let error = format!("no key objects in {}", store.address());
    let advice = "check the bucket; another prefix is named by --key-store=PREFIX";
    Failure::new(Exit::NotFound, error, advice)
}

fn tell(
    session: &Session,
    lines: &mut Lines,
    key: &RewrappedKey,
    json: bool,
) -> Result<(), Failure> {
    let line = Line::new(key);
    if json {
        return lines.json(&line);
    }
    match &key.outcome {
        RewrappedKeyOutcome::Failed(_) | RewrappedKeyOutcome::Kept(_) => lines.line(line.text()),
        _ => {
            session.detail(line.text());
            Ok(())
        }
    }
}

impl Line {
    fn new(key: &RewrappedKey) -> Self {
        let output = key.outcome.output().cloned().unwrap_or_default();
        Self {
            key: name_of(&key.key),
            id: key.key.id().to_string(),
            outcome: key.outcome.name(),
            added: output.report.added,
            removed: output.removed,
            refreshed: output.refreshed,
            kept: output.report.kept,
            disproved: output.report.disproved,
            reason: key.outcome.error().map(|error| error.kind().name()),
            message: key.outcome.error().map(|error| error_chain(error)),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}: {}", self.key, self.outcome);
        for (what, names) in [
            ("added", &self.added),
            ("removed", &self.removed),
            ("refreshed", &self.refreshed),
            ("keeps", &self.kept),
            ("held something else", &self.disproved),
        ] {
            if !names.is_empty() {
                text.push_str(&format!("; {what}: {}", Printable(&names.join(", "))));
            }
        }
        if let (Some(reason), Some(message)) = (self.reason, &self.message) {
            text.push_str(&format!(" ({reason}): {}", Printable(message)));
        }
        text
    }
}

fn text_of(summary: &RewrapKeysSummary) -> String {
    let mut text = format!(
        "{}: {} rewrapped",
        Counted(summary.objects(), "intermediate key"),
        summary.rewrapped
    );
    for (count, what) in [
        (summary.unchanged, "unchanged"),
        (summary.proven, "proven to have the wanted keys"),
        (summary.claimed, "claimed to have the wanted keys (--prove checks)"),
        (summary.kept, "with keys that stay, because nothing proved the others"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    for (reason, count) in &summary.failures {
        text.push_str(&format!(", {count} failed ({reason})"));
    }
    let counts = |text: &mut String, what: &str, counts: &CountsByKey| {
        for (name, count) in counts.iter() {
            text.push_str(&format!("; {what} {name}: {count}"));
        }
        if counts.others() > 0 {
            text.push_str(&format!("; {what} other keys: {}", counts.others()));
        }
    };
    counts(&mut text, "added", &summary.added);
    counts(&mut text, "removed", &summary.removed);
    counts(&mut text, "refreshed", &summary.refreshed);
    text
}

impl Edits {
    /// Returns the keys that each intermediate key is to have.
    fn wanted(&self) -> impl Iterator<Item = &WrapKey> {
        self.add.iter().chain(&self.replace)
    }

    /// Returns what would be done to an intermediate key, by the names in the listing.
    fn planned(&self, key: &StoredKey) -> PlannedLine {
        let claims = |wrapping_key: &&WrapKey| {
            let (provider, name) = provider_and_name(wrapping_key);
            key.claims(provider, name)
        };
        let add: Vec<_> =
            self.wanted().filter(|it| !claims(it)).map(|it| it.name().to_owned()).collect();
        let remove = match self.replace.is_empty() {
            true => self.remove.iter().filter(claims).count(),
            false => key.names().len() - self.replace.iter().filter(claims).count(),
        };
        let refresh = if self.refresh { key.names().len() - remove } else { 0 };
        let is_unchanged = add.is_empty() && remove == 0 && refresh == 0;
        let outcome = if is_unchanged { "unchanged" } else { "planned" };
        PlannedLine {
            key: name_of(key),
            id: key.id().to_string(),
            outcome,
            add,
            remove: remove as u64,
            refresh: refresh as u64,
        }
    }
}

/// Prints what would be done. It lists, and reads nothing.
async fn dry_run(session: &Session, args: &KeysRewrapArgs, edits: &Edits) -> Result<(), Failure> {
    let store = Store::open(session, &args.bucket, session.keyrings().empty())?;
    let mut lines = Lines::new();
    let (mut all, mut changed, mut added, mut removed, mut refreshed) = (0, 0, 0, 0, 0);
    let done = unless_stopped(async {
        let mut keys: Keys = store.select(&args.ids).await?;
        while let Some(key) = keys.try_next().await? {
            let line = edits.planned(&key);
            all += 1;
            changed += u64::from(line.outcome == "planned");
            (added, removed) = (added + line.add.len() as u64, removed + line.remove);
            refreshed += line.refresh;
            match args.job.json {
                true => lines.json(&line)?,
                false => session.detail(line.text()),
            }
        }
        Ok::<_, Failure>(())
    })
    .await;
    if args.job.json && matches!(done, Ok(Ok(()))) {
        let summary = serde_json::json!({
            "keys": all, "planned": changed, "unchanged": all - changed, "add": added, "remove": removed,
            "refresh": refreshed,
        });
        lines.json(&serde_json::json!({ "summary": summary }))?;
    }
    lines.finish()?;
    done.map_err(|signal| Failure::stopped(signal, "nothing was changed"))??;
    if all == 0 {
        return Err(empty(&store));
    }
    let objects = |count| Counted(count, "key object");
    let refreshed = match edits.refresh {
        true => format!(", {} to ask KMS about", objects(refreshed)),
        false => String::new(),
    };
    session.say(format!(
        "would rewrap {changed} of {}: {} to write, {} to delete{refreshed}; nothing was changed",
        Counted(all, "intermediate key"),
        objects(added),
        objects(removed),
    ));
    Ok(())
}

impl PlannedLine {
    fn text(&self) -> String {
        let mut text = format!("{}: {}", self.key, self.outcome);
        if !self.add.is_empty() {
            text.push_str(&format!("; add: {}", Printable(&self.add.join(", "))));
        }
        if self.remove > 0 {
            text.push_str(&format!("; delete: {}", Counted(self.remove, "key object")));
        }
        if self.refresh > 0 {
            text.push_str(&format!("; ask KMS about {}", Counted(self.refresh, "key object")));
        }
        text
    }
}
