//! `sealwax doctor`.

mod bucket;
mod caller;
mod check;
mod endpoints;
mod key_store;
mod keys;
pub(crate) mod printed;
mod store;

use clap::Args;
use sealwax_s3::{KmsKeyName, envelope::EncryptionContext};

use self::{
    check::{Check, Checks},
    printed::Document,
};
use crate::{
    args::{AtRestArgs, GlobalArgs, Pair, Prefix, encryption_context},
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    session::{NO_REGION, Session},
    terminal_text::Counted,
};

const EXAMPLES: &str = "\
Examples:
  sealwax doctor s3://bucket --key \"$EAST_KEY\" --key \"$WEST_KEY\"
  sealwax doctor s3://bucket/2026/ --sealwax-profile prod -c tenant=acme
  sealwax doctor s3://bucket --read-only --json | jq 'select(.status != \"ok\")'
  sealwax doctor --print lifecycle >lifecycle.json";

/// Check credentials, endpoints, Regions, keys, bucket and clock.
///
/// Each problem comes with a hint. With a bucket, a small object is stored under `.sealwax-doctor/` and deleted permanently. This
/// shows which conditional requests the store supports, and that an object sealed under the keys
/// opens again; --read-only skips it. Exits with 1 if a check fails.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Bucket, and prefix for the test object
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Option<Prefix>,

    /// KMS key to check: an ARN, a key id or an alias; repeatable
    #[arg(long = "key", value_name = "KEY")]
    pub(crate) keys: Vec<KmsKeyName>,

    /// Encryption context for the key checks, because key policies can require it; repeatable
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    /// Store no object
    #[arg(long)]
    pub(crate) read_only: bool,

    #[command(flatten)]
    pub(crate) at_rest: AtRestArgs,

    /// Print one JSON object per check
    #[arg(long)]
    pub(crate) json: bool,

    /// Print a document that hints refer to, such as a policy, and check nothing
    ///
    /// The policies are for the example of the manual: the buckets `invoices` and `invoices-west`,
    /// the prefix `2026/` and the account 111122223333.
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["prefix", "keys", "context", "read_only", "json"])]
    pub(crate) print: Option<Document>,
}

/// Loads the settings. A missing Region is a finding, so the checks go on in the Region of the first
/// key, or in us-east-1.
pub(super) async fn session(global: &GlobalArgs, args: &DoctorArgs) -> Result<Session, Failure> {
    let region = args.keys.iter().find_map(KmsKeyName::region).unwrap_or("us-east-1");
    Session::open_or_in(global, region).await
}

/// Runs all checks.
pub(super) async fn run(session: &Session, args: DoctorArgs) -> Result<(), Failure> {
    let DoctorArgs { prefix, keys: names, context, read_only, at_rest, json, print: _ } = args;
    let context: EncryptionContext = encryption_context(context)?;
    let mut checks = Checks::new(json);
    let scratch = prefix
        .as_ref()
        .map(|prefix| store::Scratch::new(session, prefix, at_rest.clone()))
        .transpose()?;
    let work = async {
        settings(session, &mut checks)?;
        if let Some(stored) = at_rest.described() {
            checks.add(Check::ok("new objects", stored))?;
        }
        endpoints::check(session, &names, &mut checks).await?;
        let is_known = caller::check(session, &mut checks).await?;
        if !is_known {
            return Ok(());
        }
        let keys = keys::resolve(session, &names, &mut checks).await?;
        let place = scratch.as_ref().map(store::Scratch::place).transpose()?;
        for key in &keys {
            keys::check(session, key, &context, place.as_ref(), &mut checks).await?;
        }
        if keys.len() == names.len() {
            keys::check_regions(session, &keys, &mut checks)?;
        }
        let Some(scratch) = &scratch else {
            return checks.add(Check::skipped(
                "bucket",
                "no bucket was named",
                "name one: sealwax doctor s3://BUCKET",
            ));
        };
        if !bucket::check(session, scratch.bucket(), &mut checks).await? {
            return Ok(());
        }
        if let Some(prefix) = session.key_store().prefix() {
            key_store::check(session, scratch.bucket(), prefix, &mut checks).await?;
        }
        if read_only {
            return checks.add(Check::skipped(
                "store",
                "--read-only stores no object",
                "omit --read-only to run this check",
            ));
        }
        scratch.check(session, &mut checks).await?;
        scratch.round_trip(session, keys.clone(), context, &mut checks).await
    };
    let done: Result<Result<(), Failure>, _> = unless_stopped(work).await;
    // The test object is deleted in any case.
    if let Some(scratch) = &scratch {
        scratch.clean_up(session, &mut checks).await?;
    }
    checks.finish()?;
    done.map_err(|signal| Failure::stopped(signal, "some checks did not run"))??;
    let (failed, all) = (checks.failed(), checks.all());
    session.say(format!(
        "{}: {} failed, {}",
        Counted(all, "check"),
        failed,
        Counted(checks.doubtful(), "warning")
    ));
    if failed > 0 {
        let advice = "follow the hints of the failed checks";
        return Err(Failure::new(
            Exit::Failed,
            format!("{failed} of {} failed", Counted(all, "check")),
            advice,
        ));
    }
    Ok(())
}

fn settings(session: &Session, checks: &mut Checks) -> Result<(), Failure> {
    let from = match session.profile_in_use() {
        Some(profile) => profile.to_owned(),
        None => "flags and variables, no profile of sealwax.toml".to_owned(),
    };
    let region = session.region();
    checks.add(match session.region_is_assumed() {
        false => Check::ok("settings", format!("Region {region}; {from}")),
        true => Check::failed(
            "settings",
            format!("no AWS Region is set, so {region} is assumed; {from}"),
            NO_REGION,
        ),
    })
}
