//! `sealwax doctor`.

mod bucket;
mod caller;
mod check;
mod keys;
mod store;

use std::io;

use clap::Args;
use sealwax_s3::{KmsKeyArn, envelope::EncryptionContext};

use self::check::{Check, Checks};
use crate::{
    args::{Pair, Prefix, encryption_context},
    failure::{Exit, Failure},
    interrupt::unless_stopped,
    session::Session,
    terminal_text::{Colors, Counted},
};

const EXAMPLES: &str = "\
Examples:
  sealwax doctor s3://bucket --key \"$EAST_KEY\" --key \"$WEST_KEY\"
  sealwax doctor s3://bucket/2026/ --sealwax-profile prod -c tenant=acme
  sealwax doctor s3://bucket --read-only --json | jq 'select(.status != \"ok\")'";

/// Check credentials, Regions, keys, bucket and clock, and say what to do about each.
///
/// With a bucket, a small object is stored in it under `.sealwax-doctor/` and deleted for good, to see what the store honours
/// and whether an object sealed under the keys opens again; --read-only leaves that out. Exits with 1 if a check failed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// The bucket, and a prefix to store the object below
    #[arg(value_name = "s3://BUCKET[/PREFIX]")]
    pub(crate) prefix: Option<Prefix>,

    /// KMS key to check; repeatable
    #[arg(long = "key", value_name = "ARN")]
    pub(crate) keys: Vec<KmsKeyArn>,

    /// Encryption context to check the keys with: their policies may ask for it; repeatable
    #[arg(short = 'c', long = "context", value_name = "NAME=VALUE")]
    pub(crate) context: Vec<Pair>,

    /// Store nothing
    #[arg(long)]
    pub(crate) read_only: bool,

    /// Print one JSON object for each check
    #[arg(long)]
    pub(crate) json: bool,
}

/// Checks what the command needs.
pub(super) async fn run(session: &Session, args: DoctorArgs) -> Result<(), Failure> {
    let DoctorArgs { prefix, keys, context, read_only, json } = args;
    let context: EncryptionContext = encryption_context(context)?;
    let mut checks = Checks::new(json, Colors::of(&io::stdout()));
    let scratch = prefix.as_ref().map(|prefix| store::Scratch::new(session, prefix)).transpose()?;
    let work = async {
        settings(session, &mut checks)?;
        let is_known = caller::check(session, &mut checks).await?;
        if !is_known {
            return Ok(());
        }
        let place = scratch.as_ref().map(store::Scratch::place).transpose()?;
        for key in &keys {
            keys::check(session, key, &context, place.as_ref(), &mut checks).await?;
        }
        keys::check_regions(session, &keys, &mut checks)?;
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
        if read_only {
            return checks.add(Check::skipped(
                "store",
                "nothing is stored with --read-only",
                "leave it out to see",
            ));
        }
        scratch.check(session, &mut checks).await?;
        scratch.round_trip(session, keys.clone(), context, &mut checks).await
    };
    let done: Result<Result<(), Failure>, _> = unless_stopped(work).await;
    // Whatever happened: nothing stays behind.
    if let Some(scratch) = &scratch {
        scratch.clean_up(session, &mut checks).await?;
    }
    checks.finish()?;
    done.map_err(|signal| Failure::stopped(signal, "not all was checked"))??;
    let (failed, all) = (checks.failed(), checks.all());
    session.say(format!(
        "{}: {} failed, {} to be looked at",
        Counted(all, "check"),
        failed,
        checks.doubtful()
    ));
    if failed > 0 {
        let advice = "do what the hints of the failed checks say";
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
        None => "no profile of sealwax.toml, but flags and variables".to_owned(),
    };
    checks.add(Check::ok("settings", format!("Region {}; {from}", session.region())))
}
