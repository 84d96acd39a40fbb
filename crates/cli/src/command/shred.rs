//! `sealwax shred`.

use clap::Args;
use sealwax_s3::{KeyHolder, S3Uri, Shred};
use serde::Serialize;

use crate::{
    args::Pair,
    console::{Lines, can_prompt, prompt},
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    session::Session,
    terminal_text::{Counted, Printable},
};

const EXAMPLES: &str = "\
Examples:
  sealwax shred s3://bucket/2026/report.pdf                  # says what holds a key, and changes nothing
  sealwax shred s3://bucket/2026/report.pdf --delete-versions --replica bucket-west=us-west-2 \\
      --confirm s3://bucket/2026/report.pdf";

/// Remove an object's last keys, for good: nobody can read it afterwards.
///
/// S3 changes no version in place. The newest version gets a successor without keys; the versions before it hold their
/// keys until they are deleted (--delete-versions), and a replica until it is shredded itself. Without --confirm what
/// holds a key is listed, and on a terminal the object's name is asked for; without a terminal nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShredArgs {
    /// What to shred
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) uri: S3Uri,

    /// The object once more, to say that it is meant
    #[arg(long, value_name = "s3://BUCKET/KEY")]
    pub(crate) confirm: Option<String>,

    /// Delete the versions that hold keys, of the object and of its sidecar
    #[arg(long)]
    pub(crate) delete_versions: bool,

    /// Look for keys in this replica bucket of that Region too; repeatable. Nothing is changed there
    #[arg(long, value_name = "BUCKET=REGION")]
    pub(crate) replica: Vec<Pair>,

    /// Print one JSON object for each version that holds a key
    #[arg(long)]
    pub(crate) json: bool,
}

/// A version that holds a key. Its names are those of the JSON, and stay as they are.
#[derive(Debug, Serialize)]
struct Line {
    object: String,
    version_id: String,
    is_latest: bool,
    is_sidecar: bool,
    is_replica: bool,
    is_locked: bool,
    wrapping_keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// Removes an object's last keys, or tells what holds them.
pub(super) async fn run(session: &Session, args: ShredArgs) -> Result<(), Failure> {
    let ShredArgs { uri, confirm, delete_versions, replica, json } = args;
    let client = session.client(&uri, session.keyrings().empty());
    let mut shred = client.shred().uri(&uri);
    for pair in replica {
        let there = session.in_region(&pair.value);
        let client = there.client_of(&pair.name, there.keyrings().empty());
        shred = shred.replica(client.s3(), pair.name);
    }
    if delete_versions {
        shred = shred.delete_versions();
    }
    let confirm = match confirm {
        Some(confirm) => confirm,
        None => match asked(session, &shred, &uri, json).await? {
            Some(confirm) => confirm,
            None => return Ok(()),
        },
    };
    let done = unless_stopped(shred.confirm(confirm).send()).await;
    let stopped = |signal| {
        Failure::stopped(signal, format!("{uri} may have been shredded in part; run it again"))
    };
    let done = done.map_err(stopped)??;
    client.settle().await;
    list(&done.holders, json)?;
    session.say(summary(&uri, done.shredded, done.deleted_versions));
    if done.holders.is_empty() {
        return Ok(());
    }
    let still = Counted(done.holders.len() as u64, "version");
    let advice = "shred replicas by themselves, delete older versions by --delete-versions, and locked ones when their lock is over";
    Err(Failure::new(Exit::SomeFailed, format!("{still} still hold a key of {uri}"), advice))
}

/// Tells what holds a key; gives what is typed to confirm that the object is meant, if there is a terminal and anything
/// is typed.
async fn asked(
    session: &Session,
    shred: &Shred,
    uri: &S3Uri,
    json: bool,
) -> Result<Option<String>, Failure> {
    const UNCHANGED: &str = "nothing was changed";
    let holders = unless_stopped(shred.survey())
        .await
        .map_err(|signal| Failure::stopped(signal, UNCHANGED))??;
    list(&holders, json)?;
    let count = Counted(holders.len() as u64, "version");
    // Where JSON is wanted, a program is at work.
    if can_prompt() && !json && !holders.is_empty() {
        session.say(format!("{count} with a key of {uri}. Nobody can read it once it is shredded"));
        let answer =
            prompt(format!("type {uri} to shred it, or nothing to leave it:"), UNCHANGED).await?;
        if answer.is_empty() {
            session.say(UNCHANGED);
        }
        return Ok(Some(answer).filter(|answer| !answer.is_empty()));
    }
    session.say(format!(
        "{count} with a key of {uri}; {UNCHANGED}. To shred it, once more with --confirm {uri}"
    ));
    Ok(None)
}

fn summary(uri: &S3Uri, shredded: bool, deleted_versions: u64) -> String {
    let newest = if shredded { "shredded" } else { "has no key in its newest version:" };
    let deleted = Counted(deleted_versions, "version");
    format!("{newest} {uri}; {deleted} deleted")
}

fn list(holders: &[KeyHolder], json: bool) -> Result<(), Failure> {
    let mut lines = Lines::new();
    for holder in holders {
        let line = Line::new(holder);
        if json { lines.json(&line)? } else { lines.line(line.text())? }
    }
    lines.finish()
}

impl Line {
    fn new(holder: &KeyHolder) -> Self {
        Self {
            object: format!("s3://{}/{}", holder.bucket, holder.key),
            version_id: holder.version_id.clone(),
            is_latest: holder.is_latest,
            is_sidecar: holder.is_sidecar,
            is_replica: holder.is_replica,
            is_locked: holder.is_locked,
            wrapping_keys: holder.wrapping_keys.iter().cloned().collect(),
            failure: holder.failure.clone(),
        }
    }

    fn text(&self) -> String {
        let mut text =
            format!("{} version {}", Printable(&self.object), Printable(&self.version_id));
        let notes = [
            (self.is_latest, "newest"),
            (self.is_sidecar, "sidecar"),
            (self.is_replica, "replica"),
            (self.is_locked, "locked"),
        ];
        for (_, note) in notes.iter().filter(|(is, _)| *is) {
            text.push_str(&format!(", {note}"));
        }
        if !self.wrapping_keys.is_empty() {
            text.push_str(&format!(", under {}", Printable(&self.wrapping_keys.join(" "))));
        }
        if let Some(failure) = &self.failure {
            text.push_str(&format!(": {}", Printable(failure)));
        }
        text
    }
}
