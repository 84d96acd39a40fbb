//! `sealwax rewrap` of many objects: by a plan, or by a listing.

use std::sync::Arc;

use sealwax_jobs::{
    job::{PlanSummary, PlannedJob},
    rewrap::RewrapSummary,
};
use sealwax_s3::{
    KeyChange, KeyChanges, KmsKeyring, RewrapOutcome, Rewrapper, SealedClient,
    envelope::{CachingKeyring, Keyring},
};
use serde::{Deserialize, Serialize};

use super::{
    NewKeys,
    args::{KeyOptionArgs, RewrapArgs, SidecarWhen},
};
use crate::{
    args::WrapKey,
    failure::Failure,
    job::{Job, JobKind, JobSettings, open_plan, show_plan},
    session::Session,
    terminal_text::Counted,
};

/// Settings of a rewrap beside its key changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RewrapSettings {
    #[serde(default)]
    to_sidecar: SidecarWhen,
    #[serde(flatten)]
    options: KeyOptionArgs,
}

/// Rewraps many objects, or prints what that would do.
pub(super) async fn run(session: &Session, args: RewrapArgs, new: &NewKeys) -> Result<(), Failure> {
    let plan = open_plan(&args.bulk).await?;
    let (settings, edits) = match &plan {
        Some(plan) => {
            let PlannedJob::Rewrap { edits } = &plan.header().job else {
                return Err(other_kind());
            };
            let settings = JobSettings::of_plan(session, plan.header())?;
            settings.check_s3ec(&args.s3ec)?;
            (settings, edits.clone())
        }
        None => {
            let bucket = &args.prefix.as_ref().expect("required").bucket;
            let kind = RewrapSettings { to_sidecar: args.to_sidecar, options: args.options };
            let s3ec = args.s3ec.clone();
            (JobSettings::new(session, bucket, &args.reader, kind, s3ec), edits(&args, new))
        }
    };
    if let Some(plan) = plan.as_ref().filter(|_| !args.bulk.apply) {
        return show_plan::<Rewrapper>(session, plan, args.bulk.json);
    }
    let calls_per_second = args.bulk.kms_calls_per_second;
    let (client, work) = rewrapper(session, &settings, &edits, calls_per_second).await?;
    let (source, prefix, args) = (args.source(), args.prefix.as_ref(), &args.bulk);
    Job { session, client, work, settings: &settings, source, prefix, args }.run(plan).await
}

fn other_kind() -> Failure {
    Failure::usage("the plan is one of `sealwax reencrypt`")
        .advise("apply it with `sealwax reencrypt --plan`")
}

impl JobKind for Rewrapper {
    const VERB: &str = "rewrap";
    const DONE: &str = "rewrapped";
    const NOTHING: &str = "already have the requested keys";
    const EXTENSION: &str = "rewrap";

    fn note(outcome: &RewrapOutcome) -> Option<String> {
        let RewrapOutcome::Kept { wrapping_keys, .. } = outcome else { return None };
        Some(wrapping_keys.join(", "))
    }

    fn plan_text(summary: &PlanSummary) -> String {
        let mut said = format!(
            "  data keys: {} re-encrypted in KMS, {} decrypted and encrypted by this process\n",
            summary.re_encrypt, summary.decrypt_encrypt
        );
        said.push_str(&format!(
            "  copies in S3: {} by CopyObject, {} by UploadPartCopy, {}, {}; {}\n",
            summary.copies,
            summary.multipart_copies,
            Counted(summary.sidecars, "sidecar"),
            Counted(summary.instruction_files, "instruction file"),
            Counted(summary.bytes_copied, "byte"),
        ));
        if summary.multipart_copies > 0 {
            said.push_str("  object annotations are not copied by UploadPartCopy\n");
        }
        said
    }

    fn counts(summary: &RewrapSummary) -> Vec<(u64, &'static str)> {
        vec![
            (summary.rewrapped, "rewrapped"),
            (summary.unchanged, "unchanged"),
            (summary.proven, "proven to have the wanted keys"),
            (summary.claimed, "claimed to have the wanted keys (--prove checks)"),
            (summary.kept, "with keys that stay, because nothing proved the others"),
        ]
    }
}

/// Returns the key changes of the arguments, in the order of execution.
fn edits(args: &RewrapArgs, new: &NewKeys) -> Vec<KeyChange> {
    let names = |keys: &[WrapKey]| keys.iter().map(|key| key.name().to_owned()).collect::<Vec<_>>();
    let mut edits = Vec::new();
    if !new.replace.is_empty() {
        edits.push(KeyChange::Replace(names(&new.replace)));
    }
    if !new.add.is_empty() {
        edits.push(KeyChange::Add(names(&new.add)));
    }
    if args.refresh {
        edits.push(KeyChange::Refresh);
    }
    edits.extend(names(&args.remove).into_iter().map(KeyChange::Remove));
    edits
}

/// Returns a rewrapper for these key changes, with a limit on the rate of KMS calls.
async fn rewrapper(
    session: &Session,
    settings: &JobSettings<RewrapSettings>,
    edits: &[KeyChange],
    calls_per_second: Option<u32>,
) -> Result<(SealedClient, Rewrapper), Failure> {
    let (session, mut reader) = settings.applied(session)?;
    reader.besides_local = edits.iter().any(adds_local);
    reader.source_region = session.source_region().await;
    let reading = Arc::new(session.keyrings().kms(reader, &[], calls_per_second).await?);
    let mut made = KeyChanges::new();
    for edit in edits {
        made = match edit {
            KeyChange::Add(keys) => made.add_keys(keyring(&session, &reading, keys)?),
            KeyChange::Replace(keys) => made.replace_keys(keyring(&session, &reading, keys)?),
            KeyChange::Remove(key) => made.remove_key(key),
            KeyChange::Refresh => made.refresh_keys(),
            other => {
                return Err(Failure::usage(format!(
                    "this command does not support the key change {other:?}"
                )));
            }
        };
    }
    let made = settings.kind.options.on(made);
    // The cache unwraps an intermediate key once for many objects.
    let client = session
        .client_builder_of(
            &settings.bucket,
            CachingKeyring::new(session.keyrings().with_local(reading)),
        )
        .s3ec(settings.s3ec.settings()?)
        .build();
    let rewrapper = client.rewrapper(made)?.key_storage(settings.kind.to_sidecar.into());
    Ok((client, rewrapper))
}

/// `true` if the change wraps data keys under the local key, so that objects may have other keys.
fn adds_local(edit: &KeyChange) -> bool {
    let (KeyChange::Add(keys) | KeyChange::Replace(keys)) = edit else { return false };
    keys.iter().any(|name| matches!(WrapKey::of_name(name), Ok(WrapKey::Local(_))))
}

fn keyring(
    session: &Session,
    reading: &KmsKeyring,
    keys: &[String],
) -> Result<Arc<dyn Keyring>, Failure> {
    let keys: Result<Vec<_>, _> = keys.iter().map(|name| WrapKey::of_name(name)).collect();
    session.keyrings().of(&keys.map_err(Failure::usage)?, reading.sibling())
}
