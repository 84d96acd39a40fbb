//! `sealwax shred`.

use clap::Args;
use sealwax_s3::{ErrorKind, KeyHolder, S3Uri, SealedClient, Shred};
use serde::Serialize;

use crate::{
    args::{AclArgs, Pair},
    console::{Lines, can_prompt, confirm},
    failure::{Exit, Failure, of_one},
    interrupt::unless_stopped,
    object_report,
    session::Session,
    terminal_text::{Counted, Printable},
};

const EXAMPLES: &str = "\
Examples:
  sealwax shred s3://bucket/2026/report.pdf

Without a question, with older versions and in a replica:
  sealwax shred s3://bucket/2026/report.pdf --delete-versions \\
      --replica bucket-west=us-west-2 --confirm s3://bucket/2026/report.pdf";

/// Permanently remove an object's last keys.
///
/// Afterwards no one can open the object. S3 cannot change a version in place. The command stores a new latest version without keys. Older
/// versions keep their keys until they are deleted (--delete-versions), replicas until they are
/// shredded separately. Without --confirm, versions with keys are listed. On a terminal, the
/// command then asks; without a terminal, nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShredArgs {
    /// Object
    #[arg(value_name = "s3://BUCKET/KEY")]
    pub(crate) uri: S3Uri,

    /// The same object again, as confirmation
    #[arg(long, value_name = "s3://BUCKET/KEY", conflicts_with = "dry_run")]
    pub(crate) confirm: Option<String>,

    /// Delete all versions with keys, of the object and of its sidecar
    #[arg(long)]
    pub(crate) delete_versions: bool,

    /// Also list versions with keys in this replica bucket and Region, without changing them;
    /// repeatable
    #[arg(long, value_name = "BUCKET=REGION")]
    pub(crate) replica: Vec<Pair>,

    /// List the versions with keys, and change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Print one JSON object per version with keys
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) acl: AclArgs,
}

/// Version with keys. Field names are stable JSON output.
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

/// Removes an object's last keys, or lists the versions with keys.
pub(super) async fn run(session: &Session, args: ShredArgs) -> Result<(), Failure> {
    let ShredArgs { uri, confirm, delete_versions, replica, dry_run, json, acl } = args;
    let session = &session.with_acls(acl.acl);
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
        None if asked(session, &client, (&shred, &uri), dry_run, json).await? => uri.to_string(),
        None => return Ok(()),
    };
    let done = unless_stopped(shred.confirm(confirm).send()).await;
    let stopped = |signal| {
        Failure::stopped(
            signal,
            format!("{uri} may be partly shredded; rerun the command to complete it"),
        )
    };
    let done = done.map_err(stopped)??;
    client.settle().await;
    list(&done.holders, json)?;
    session.say(summary(&uri, done.shredded, done.deleted_versions));
    if done.holders.is_empty() {
        return Ok(());
    }
    let still = Counted(done.holders.len() as u64, "version");
    let advice = "shred replicas separately, delete older versions with --delete-versions, and locked versions after their lock expires";
    Err(Failure::new(Exit::SomeFailed, format!("{still} with a key of {uri} left"), advice))
}

/// Lists the versions with keys, and asks for confirmation on a terminal; returns `true` if it was
/// given.
async fn asked(
    session: &Session,
    client: &SealedClient,
    (shred, uri): (&Shred, &S3Uri),
    dry_run: bool,
    json: bool,
) -> Result<bool, Failure> {
    const UNCHANGED: &str = "nothing was changed";
    let holders = unless_stopped(shred.survey())
        .await
        .map_err(|signal| Failure::stopped(signal, UNCHANGED))??;
    if holders.is_empty() {
        return nothing_to_shred(session, client, uri).await.map(|()| false);
    }
    list(&holders, json)?;
    let count = Counted(holders.len() as u64, "version");
    // JSON output is for programs, which cannot answer.
    if can_prompt() && !dry_run && !json {
        let what =
            format!("This removes the last keys of {uri} ({count}): no one can open it afterwards");
        confirm(&what, UNCHANGED).await?;
        return Ok(true);
    }
    session.say(format!(
        "{count} with a key of {uri}; {UNCHANGED}. To shred the object, rerun with --confirm {uri}"
    ));
    Ok(false)
}

/// Says that the object was shredded before.
///
/// # Errors
/// There is no such object, or it has no keys of Sealwax.
async fn nothing_to_shred(
    session: &Session,
    client: &SealedClient,
    uri: &S3Uri,
) -> Result<(), Failure> {
    match client.head().uri(uri).send().await {
        Err(error) if error.kind() == ErrorKind::Shredded => {
            session.say(format!("no version has a key of {uri}: {}", error.message()));
            Ok(())
        }
        Err(error) => Err(of_one(error, uri)),
        Ok(info) => {
            let what = object_report::format(&info);
            let error = format!("{uri} has no wrapped keys of Sealwax to shred: {what}");
            Err(Failure::new(Exit::NotFound, error, "delete the object and its older versions"))
        }
    }
}

fn summary(uri: &S3Uri, shredded: bool, deleted_versions: u64) -> String {
    let newest = if shredded { "shredded" } else { "no key in the latest version of" };
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
            (self.is_latest, "latest"),
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
