//! `sealwax audit`.

mod args;
mod audit_output;
mod audit_report;
mod name_table;

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::SystemTime,
};

use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    Summary as _,
    audit::{Audit, AuditSummary, AuditedMaterial, AuditedObject, Dependence},
    stored_keys::StoredKeyCounts,
};
use sealwax_s3::{ErrorKind, KmsKeyArn, ObjectKind, SealedClient, envelope::Keyring, error_chain};

pub(crate) use self::args::AuditArgs;
use self::{
    audit_output::{Counts, KeyStoreCounts, Line, table},
    audit_report::{Collected, KIND, Report},
};
use crate::{
    args::KeyId,
    console::Lines,
    failure::{Exit, Failure, Unfinished},
    interrupt::unless_stopped,
    progress::Cleared,
    report::{Provenance, ReportFiles},
    session::Session,
    terminal_text::{Counted, Printable, Width, this_command_line},
};

/// Lists or counts objects by the keys they depend on.
pub(super) async fn run(session: &Session, args: AuditArgs) -> Result<(), Failure> {
    let (filter, started) = (Filter::new(&args), SystemTime::now());
    let choose = |path| ReportFiles::choose(Some(path), KIND, started);
    let files = args.report.as_deref().map(choose).transpose()?;
    let mut collected = Collected::default();
    let asks_material = args.key_material || args.stale;
    let keyring: Arc<dyn Keyring> = match asks_material || args.prove {
        true => {
            let kms =
                session.keyrings().kms(args.reader.clone(), &[], args.kms_calls_per_second).await?;
            session.keyrings().with_local(kms)
        }
        false => Arc::new(session.keyrings().empty()),
    };
    let client = session.client_builder_of(&args.objects.prefix.bucket, keyring);
    let client = client.s3ec(args.s3ec.settings()?).build();
    let listing = args.objects.list(&client);
    let left_alone = listing.left_alone();
    let (mut lines, mut summary) = (Lines::new(), AuditSummary::default());
    // Objects about which a question has no answer, without those that have a problem.
    let (mut unknown, mut listed) = (0, 0);
    let progress = Cleared(session.job_progress(None));
    let counting = progress.0.count(|| args.objects.list_again(&client));
    let mut key_store = KeyStoreCounts::default();
    let done = unless_stopped(async {
        key_store = counted_keys(&client, &args.objects.prefix.bucket).await?;
        if let Some(problem) = &key_store.problem {
            session.say(format!("warning: {problem}: its keys don't count"));
        }
        let mut audit = Audit::new(client.clone()).concurrency(args.objects.concurrency.into());
        if asks_material {
            audit = audit.key_material();
        }
        if args.prove {
            audit = audit.prove();
        }
        let mut found = audit.run(listing);
        while let Some(object) = found.try_next().await? {
            summary.record(&object);
            unknown += u64::from(object.problem.is_none() && filter.has_no_answer(&object));
            if files.is_some() {
                collected.record(&object, filter.line(&object));
            }
            let mut told = Ok(());
            let line = filter.line(&object);
            listed += u64::from(line.is_some());
            progress.0.suspend(|| match (line, &object.problem) {
                (Some(line), _) if args.json => told = lines.json(&line),
                (Some(line), _) => told = lines.line(line.text()),
                (None, Some(problem)) => print_problem(&object, problem),
                (None, None) => {}
            });
            told?;
            progress.0.one_more(summary.failed() + unknown);
        }
        Ok::<_, Failure>(())
    })
    .await;
    drop((counting, progress));
    key_store.left_out = left_alone.so_far();
    let counts = Counts::new(&summary, &key_store);
    match (args.json, filter.lists_any()) {
        (true, _) => lines.json(&serde_json::json!({ "summary": counts }))?,
        (false, false) => {
            lines.line(table(&summary, &key_store, Width::of(&io::stdout())).trim_end())?;
        }
        (false, true) => session.say(format!("{} audited", Counted(summary.objects, "object"))),
    }
    lines.finish()?;
    let unfinished = Unfinished::new(
        "the other objects were not audited; rerun the command to audit all of them",
        "to audit all of them",
        this_command_line(),
    );
    unfinished.check(done)?;
    if summary.objects == 0 {
        let error = format!("no objects in {}", args.objects.prefix);
        return Err(Failure::new(Exit::NotFound, error, "check the bucket and the prefix"));
    }
    if let Some(files) = files {
        let provenance = Provenance::of(session, started).await;
        let counted = (&summary, &key_store);
        let report = Report::new(session, &args, provenance, counted, unknown, collected);
        let written = files.write(&report, report.page(&summary))?;
        session.say(format!("report: {}", written.text()));
    }
    let failed = summary.failed();
    let objects = Counted(summary.objects, "object");
    let mut what = Vec::new();
    if failed > 0 {
        what.push(format!("{failed} of {objects} could not be audited or have a problem"));
    }
    if unknown > 0 {
        what.push(format!("{unknown} of {objects} do not name all of their wrapping keys"));
    }
    let done = Failure::of_many(failed + unknown, summary.objects, what.join("; "));
    done.map_err(|failure| match (unknown, args.prove) {
        (0, _) => failure,
        (_, false) => failure.advise("pass --prove: KMS then names the key that opens an object"),
        (_, true) => failure.advise("each may depend on any key: see the reason for each object"),
    })?;
    match args.fail_if_any && listed > 0 {
        false => Ok(()),
        true => Err(Failure::new(
            Exit::Found,
            format!("{listed} of {objects} found"),
            "see the list; without --fail-if-any, the exit code is 0",
        )),
    }
}

/// Counts the keys in the bucket's key store, if the client reads one.
async fn counted_keys(client: &SealedClient, bucket: &str) -> Result<KeyStoreCounts, Failure> {
    let mut counts = KeyStoreCounts::default();
    if client.key_store().prefix().is_none() {
        return Ok(counts);
    }
    let stored = client.stored_keys(bucket)?;
    match StoredKeyCounts::of(stored.list()).await {
        Ok(stored) => counts.stored = Some(stored),
        // The audit's other reads take a denied list as an empty one.
        Err(error) if error.kind() == ErrorKind::AccessDenied => {
            counts.problem =
                Some(format!("the caller may not list s3://{bucket}/{}", stored.prefix()));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(counts)
}

/// Prints the problem of an object that is not listed.
fn print_problem(object: &AuditedObject, problem: &sealwax_s3::Error) {
    let line = format!("failed: {}: {}\n", object.object, Printable(&error_chain(problem)));
    // If standard error is closed, only the counts and the exit code remain.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Filter of the objects to list.
struct Filter {
    lacks: Vec<String>,
    depends_on: Vec<KmsKeyArn>,
    intermediate_keys: Vec<KeyId>,
    solely: bool,
    unsealed: bool,
    stale: bool,
    all: bool,
    replicated_to: Vec<String>,
}

impl Filter {
    fn new(args: &AuditArgs) -> Self {
        Self {
            lacks: args.lacks.clone(),
            depends_on: args.depends_on.clone(),
            intermediate_keys: args.intermediate_key.clone(),
            solely: args.solely,
            unsealed: args.unsealed,
            stale: args.stale,
            all: args.list,
            replicated_to: args.replicated_to.clone(),
        }
    }

    fn lists_any(&self) -> bool {
        self.all
            || self.unsealed
            || self.stale
            || !self.lacks.is_empty()
            || !self.depends_on.is_empty()
            || !self.intermediate_keys.is_empty()
    }

    /// `true` if the answer to --lacks or --depends-on is unknown: the object may have other keys.
    fn has_no_answer(&self, object: &AuditedObject) -> bool {
        let depends = |key: &KmsKeyArn| object.dependence(key.as_str()) == Dependence::Unknown;
        let lacks = |region: &String| object.lacks(region, &self.replicated_to);
        object.may_have_other_keys
            && (self.depends_on.iter().any(depends) || self.lacks.iter().any(lacks))
    }

    /// `true` if the object is under one of the intermediate keys.
    fn is_under_one(&self, object: &AuditedObject) -> bool {
        !self.intermediate_keys.is_empty() && {
            let under = object.intermediate_keys();
            self.intermediate_keys.iter().any(|key| under.contains_key(key.id()))
        }
    }

    /// Returns the line of a matching object. An object that could not be read matches every
    /// filter.
    fn line(&self, object: &AuditedObject) -> Option<Line> {
        let dependence = self.depends_on.iter().map(|key| object.dependence(key.as_str()));
        let depends = dependence.max().filter(|depends| *depends != Dependence::None);
        let depends_as_asked =
            depends.is_some_and(|depends| depends > Dependence::Shared || !self.solely);
        let meant = self.all
            || self.lists_any() && object.kind == ObjectKind::Unreadable
            || self.unsealed && object.kind == ObjectKind::Unsealed
            || self.stale && object.keys.iter().any(|key| is_stale(&key.material))
            || self.lacks.iter().any(|region| object.lacks(region, &self.replicated_to))
            || self.is_under_one(object)
            || depends_as_asked;
        meant.then(|| Line::new(object, depends.map(Dependence::name)))
    }
}

/// `true` if the key material is or may be an older one.
fn is_stale(material: &AuditedMaterial) -> bool {
    material.is_older() || *material == AuditedMaterial::Unknown
}
