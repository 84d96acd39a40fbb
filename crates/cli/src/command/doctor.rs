//! `sealwax doctor`.

mod bucket;
mod caller;
mod check;
mod clock;
mod keys;
mod store;

use std::io;

use sealwax_s3::envelope::EncryptionContext;

use self::check::{Check, Checks};
use crate::{
    args::DoctorArgs,
    aws::Session,
    error::{Exit, Failure},
    interrupt::unless_stopped,
    paint::Paint,
    pair,
    text::Counted,
};

/// Checks what the command needs.
pub(super) async fn run(session: &Session, args: DoctorArgs) -> Result<(), Failure> {
    let DoctorArgs { prefix, keys, context, read_only, json } = args;
    let context: EncryptionContext = pair::context(context)?;
    let mut checks = Checks::new(json, Paint::of(&io::stdout()));
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
        scratch.check(&mut checks).await?;
        scratch.round_trip(session, keys.clone(), context, &mut checks).await
    };
    let done: Result<Result<(), Failure>, _> = unless_stopped(work).await;
    // Whatever happened: nothing stays behind.
    if let Some(scratch) = &scratch {
        scratch.clean_up(&mut checks).await?;
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
