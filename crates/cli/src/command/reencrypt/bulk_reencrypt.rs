//! `sealwax reencrypt` of many objects: by a plan, or by a listing.

use sealwax_jobs::{
    job::{PlanSummary, PlannedJob},
    migrate::MigrateSummary,
};
use sealwax_s3::{Migration, Migrator, envelope::EncryptionContext};
use serde::{Deserialize, Serialize};

use super::{ReencryptArgs, Sealing};
use crate::{
    args::{FormatArg, WrapKey, encryption_context},
    failure::Failure,
    figures::size,
    job::{Job, JobKind, JobSettings, open_plan, show_plan},
    session::Session,
    terminal_text::Counted,
};

/// Settings of a migration beside its format and keys.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct MigrateSettings {
    #[serde(default)]
    seal_unencrypted: bool,
}

/// Re-encrypts many objects, or prints what that would do.
pub(super) async fn run(
    session: &Session,
    args: ReencryptArgs,
    under: Vec<WrapKey>,
) -> Result<(), Failure> {
    let ReencryptArgs { prefix, context, reader, to, seal_unencrypted, bulk, s3ec, cache, .. } =
        args;
    let plan = open_plan(&bulk).await?;
    let (settings, sealing, context) = match &plan {
        Some(plan) => {
            let PlannedJob::Migrate { migration } = &plan.header().job else {
                return Err(Failure::usage("the plan is one of `sealwax rewrap`")
                    .advise("apply it with `sealwax rewrap --plan`"));
            };
            let settings: JobSettings<MigrateSettings> =
                JobSettings::of_plan(session, plan.header())?;
            settings.check_s3ec(&s3ec)?;
            let (sealing, context) = planned(migration, settings.kind.seal_unencrypted)?;
            (settings, sealing, context)
        }
        None => {
            let bucket = &prefix.as_ref().expect("required without a plan").bucket;
            let kind = MigrateSettings { seal_unencrypted };
            let settings = JobSettings::new(session, bucket, &reader, kind, s3ec);
            let to = to.expect("required without a plan");
            (settings, Sealing { to, under, seal_unencrypted }, encryption_context(context)?)
        }
    };
    if let Some(plan) = plan.as_ref().filter(|_| !bulk.apply) {
        return show_plan::<Migrator>(session, plan, bulk.json);
    }
    let (at_places, reader) = settings.applied(session)?;
    let calls_per_second = bulk.kms_calls_per_second;
    let (client, new_keys) = sealing
        .client(&at_places, &settings.bucket, reader, &settings.s3ec, calls_per_second)
        .await?;
    let mut work = client.migrator(sealing.to.to_write()).encryption_context(context);
    if let Some(keys) = new_keys {
        work = work.keyring(sealing.cached(&at_places, &cache, keys)?);
    }
    let (source, prefix, args) = (bulk.source(), prefix.as_ref(), &bulk);
    Job { session, client, work, settings: &settings, source, prefix, args }.run(plan).await
}

/// Returns format, keys and encryption context of a plan.
fn planned(
    migration: &Migration,
    seal_unencrypted: bool,
) -> Result<(Sealing, EncryptionContext), Failure> {
    let to = FormatArg::of_migration(migration.to)
        .ok_or_else(|| Failure::usage("this command does not know the plan's format"))?;
    let under = match to {
        FormatArg::Native => migration.under.as_slice(),
        // Raw keys have no names.
        _ => migration.under.get(..1).unwrap_or_default(),
    };
    let under: Result<Vec<_>, _> = under.iter().map(|name| WrapKey::of_name(name)).collect();
    let pairs = migration.context.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let context = EncryptionContext::try_from_iter(pairs).map_err(Failure::usage)?;
    Ok((Sealing { to, under: under.map_err(Failure::usage)?, seal_unencrypted }, context))
}

impl JobKind for Migrator {
    const VERB: &str = "reencrypt";
    const DONE: &str = "re-encrypted";
    const NOTHING: &str = "already in the target format";
    const EXTENSION: &str = "reencrypt";

    fn plan_text(summary: &PlanSummary) -> String {
        format!(
            "  bodies: {} downloaded, {} uploaded\n  requests: {}, {} that read, {} that write\n  object annotations are not kept\n",
            size(summary.bytes_downloaded),
            size(summary.bytes_uploaded),
            Counted(summary.objects, "HeadObject call"),
            summary.gets,
            summary.puts,
        )
    }

    fn counts(summary: &MigrateSummary) -> Vec<(u64, &'static str)> {
        vec![
            (summary.reencrypted, "re-encrypted"),
            (summary.unchanged, "already in the target format"),
        ]
    }
}
