//! Checks of the caller's credentials and clock.

use aws_sdk_s3::config::ProvideCredentials as _;
use sealwax_s3::{ErrorKind, ServerClock, error_chain};

use super::check::{Check, Checks};
use crate::{failure::Failure, session::Session, terminal_text::Counted};

/// KMS and STS accept request signatures with a clock skew of up to 5 minutes, S3 of up to 15.
/// (AWS General Reference, "Signature Version 4".)
const MAX_SECONDS: i64 = 300;
/// Skew that a clock set by NTP never reaches.
const FINE_SECONDS: i64 = 30;

/// Checks the credentials by STS, and the clock; returns `true` if the credentials are valid.
pub(super) async fn check(session: &Session, checks: &mut Checks) -> Result<bool, Failure> {
    if let Some(failure) = session.missing_credentials().await {
        let hint = "sign in, or configure credentials as for every AWS tool: environment, profile, SSO or instance role";
        checks.add(Check::failed("credentials", failure.in_one_line(), hint))?;
        return Ok(false);
    }
    let clock = ServerClock::default();
    let config =
        aws_sdk_sts::config::Builder::from(session.kms_config()).interceptor(clock.clone());
    let caller = aws_sdk_sts::Client::from_conf(config.build()).get_caller_identity().send().await;
    let is_known = caller.is_ok();
    checks.add(match caller {
        Ok(caller) => {
            let (account, arn) = (caller.account().unwrap_or("?"), caller.arn().unwrap_or("?"));
            let until = match session.kms_config().credentials_provider() {
                Some(provider) => {
                    provider.provide_credentials().await.ok().and_then(|it| it.expiry())
                }
                None => None,
            };
            let until = until.map_or_else(String::new, |until| {
                let left = until
                    .duration_since(std::time::SystemTime::now())
                    .unwrap_or_default()
                    .as_secs()
                    / 60;
                format!(", valid for {left} more minutes")
            });
            Check::ok("credentials", format!("{arn}, account {account}{until}"))
        }
        Err(error) => {
            let error = session.call_error("call", "STS", "GetCallerIdentity", &error);
            let hint = match error.kind() {
                ErrorKind::AccessDenied | ErrorKind::Credentials => {
                    "sign in again: the credentials are invalid or have expired"
                }
                _ => "check the Region, the endpoint and the network",
            };
            Check::failed("credentials", error_chain(&error), hint)
        }
    })?;
    checks.add(check_clock(&clock))?;
    Ok(is_known)
}

/// Compares the clocks.
fn check_clock(clock: &ServerClock) -> Check {
    let Some(ahead) = clock.local_ahead_secs() else {
        return Check::unknown(
            "clock",
            "the service returns no time",
            "compare the clock manually",
        );
    };
    let seconds = Counted(ahead.unsigned_abs(), "second");
    let how = if ahead > 0 { "ahead of" } else { "behind" };
    let message = format!("this machine is {seconds} {how} the service");
    let hint = "set the clock, for example by NTP: request signatures contain the time";
    match ahead.abs() {
        0..=FINE_SECONDS => {
            Check::ok("clock", format!("within {FINE_SECONDS} seconds of the service's clock"))
        }
        31..MAX_SECONDS => Check::warning("clock", message, hint),
        _ => Check::failed("clock", message, hint),
    }
}
