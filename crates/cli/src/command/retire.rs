//! `sealwax retire`.

use std::collections::BTreeMap;

use clap::Args;
use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    Summary as _,
    listing::Listing,
    retire::{Confirmed, Retire, RetireSummary, RetiredVersion, Verdict},
};
use sealwax_s3::{KmsKeyArn, error_chain};
use serde::Serialize;

use crate::{
    args::{Prefix, ReaderArgs, S3ecPolicyArgs},
    console::Lines,
    failure::{Exit, Failure, Unfinished},
    interrupt::unless_stopped,
    progress::Cleared,
    session::Session,
    terminal_text::{Counted, Printable, this_command_line},
};

const EXAMPLES: &str = "\
Examples:
  sealwax retire s3://bucket --wrapping-key \"$OLD_KEY\" --key \"$NEW_KEY\"
  sealwax retire s3://bucket --wrapping-key \"$OLD_KEY\" --key \"$NEW_KEY\" \\
      --key-store --sidecars --json | jq -r 'select(.held) | .object'";

/// Find out whether a wrapping key may be deleted.
///
/// It looks at every version below the prefix, and proves by the keys of --key that each one which
/// names the wrapping key opens without it. In the end it proves once more what it relied on in the
/// key store. It cannot see replicas, backups, other buckets and other prefixes: run it for each of
/// them. Exits with 0 if the key is safe to delete as far as it sees, and with 9 if a version needs
/// the key or may need it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RetireArgs {
    /// Bucket, and prefix of the keys
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Prefix,

    /// KMS key to delete; its replicas in other Regions count as the same key
    #[arg(long, value_name = "ARN")]
    pub(crate) wrapping_key: KmsKeyArn,

    /// Number of versions in parallel
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,

    /// Print one JSON object for each version, and the counts last; without it, only versions that
    /// hold the key are listed
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) reader: ReaderArgs,

    #[command(flatten)]
    pub(crate) s3ec: S3ecPolicyArgs,
}

/// Line of one version. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Line {
    object: String,
    version_id: Option<String>,
    /// `unrelated`, `covered`, `covered-by-key-store`, `needed` or `unknown`.
    verdict: &'static str,
    /// `true` if the version stands in the way of a deletion.
    held: bool,
    problem: Option<String>,
}

/// Counts. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Counts {
    versions: u64,
    verdicts: BTreeMap<&'static str, u64>,
    /// Intermediate keys that were proven once more in the end.
    confirmed: u64,
    /// Ids of intermediate keys that could not be proven once more.
    lost: Vec<String>,
    safe_to_delete: bool,
}

impl Line {
    fn new(version: &RetiredVersion) -> Self {
        let audited = &version.audited;
        Self {
            object: audited.object.to_string(),
            version_id: audited.object.version_id.clone(),
            verdict: version.verdict.name(),
            held: !version.verdict.is_free(),
            problem: audited.problem.as_ref().map(|problem| error_chain(problem)),
        }
    }

    fn text(&self) -> String {
        let version = self.version_id.as_ref().map(|id| format!(" version {}", Printable(id)));
        let problem = self.problem.as_ref().map(|problem| format!(": {}", Printable(problem)));
        format!(
            "{}{}: {}{}",
            Printable(&self.object),
            version.unwrap_or_default(),
            self.verdict,
            problem.unwrap_or_default()
        )
    }
}

impl Counts {
    fn new(summary: &RetireSummary, confirmed: &Confirmed) -> Self {
        let verdicts = summary.verdicts.iter().map(|(verdict, count)| (verdict.name(), *count));
        Self {
            versions: summary.versions,
            verdicts: verdicts.collect(),
            confirmed: confirmed.proven,
            lost: confirmed.lost.iter().cloned().collect(),
            safe_to_delete: confirmed.is_safe(),
        }
    }

    fn text(&self, name: &Verdict) -> u64 {
        self.verdicts.get(name.name()).copied().unwrap_or_default()
    }
}

/// Finds out whether every version opens without the wrapping key.
pub(super) async fn run(session: &Session, args: RetireArgs) -> Result<(), Failure> {
    let RetireArgs { prefix, wrapping_key, concurrency, json, reader, s3ec } = args;
    let keyring = session.keyrings().reading_in(reader, &[]).await?;
    let client = session.client_builder_of(&prefix.bucket, keyring).s3ec(s3ec.settings()?).build();
    let retire = Retire::new(client.clone(), wrapping_key.as_str()).concurrency(concurrency.into());
    let (mut lines, mut summary) = (Lines::new(), RetireSummary::default());
    let work = async {
        let progress = Cleared(session.job_progress(None));
        let key_store = client.key_store();
        let versions =
            || Listing::versions(client.s3(), &prefix.bucket, &prefix.key).key_store(key_store);
        let _counting = progress.0.count(|| Some(versions()));
        let mut outcomes = retire.clone().run(versions());
        while let Some(version) = outcomes.try_next().await? {
            summary.record(&version);
            let line = Line::new(&version);
            let mut told = Ok(());
            progress.0.suspend(|| {
                told = match json {
                    true => lines.json(&line),
                    false if !line.held => Ok(()),
                    false => lines.line(line.text()),
                };
            });
            told?;
            progress.0.one_more(summary.held());
        }
        Ok::<_, Failure>(retire.confirm(&summary).await?)
    };
    let done = unless_stopped(work).await;
    let confirmed = match done {
        Ok(Ok(confirmed)) => confirmed,
        other => {
            lines.finish()?;
            let unfinished = Unfinished::new(
                "the remaining versions were not checked, so nothing says that the key is safe to \
                 delete; rerun the command",
                "to check all of them",
                this_command_line(),
            );
            return unfinished.check(other.map(|done| done.map(drop)));
        }
    };
    let counts = Counts::new(&summary, &confirmed);
    if json {
        lines.json(&serde_json::json!({ "summary": &counts }))?;
    }
    lines.finish()?;
    session.say(format!(
        "{}: {} unrelated, {} covered, {} covered by the key store, {} needed, {} unknown",
        Counted(counts.versions, "version"),
        counts.text(&Verdict::Unrelated),
        counts.text(&Verdict::Covered),
        counts.text(&Verdict::CoveredByKeyStore),
        counts.text(&Verdict::Needed),
        counts.text(&Verdict::Unknown),
    ));
    judged(&prefix, &wrapping_key, &counts, &confirmed)?;
    session.say(format!(
        "{wrapping_key} is safe to delete as far as {prefix} shows: check its replicas, backups and \
         other buckets too"
    ));
    Ok(())
}

/// Returns an error unless the key is safe to delete.
fn judged(
    prefix: &Prefix,
    wrapping_key: &KmsKeyArn,
    counts: &Counts,
    confirmed: &Confirmed,
) -> Result<(), Failure> {
    if counts.safe_to_delete {
        return Ok(());
    }
    if confirmed.versions == 0 {
        let error =
            format!("no version in {prefix}, so nothing says that the key is safe to delete");
        return Err(Failure::new(Exit::NotFound, error, "check the bucket and the prefix"));
    }
    if confirmed.held > 0 {
        let error = format!(
            "{wrapping_key} is not safe to delete: {} may need it",
            Counted(confirmed.held, "version")
        );
        let advice = "rewrap these objects or their keys, or delete the versions; \
                      --key names keys that open the others";
        return Err(Failure::new(Exit::Found, error, advice));
    }
    let error = format!(
        "{wrapping_key} is not safe to delete: {} of the key store could not be proven once more",
        Counted(confirmed.lost.len() as u64, "key")
    );
    Err(Failure::new(
        Exit::Found,
        error,
        "`sealwax keys verify` shows why; then run this once more",
    ))
}
