//! Who calls, by which credentials.

use aws_sdk_s3::config::ProvideCredentials as _;

use super::{Check, Checks, clock::ServerClock};
use crate::{
    aws::{FailedCall, Session},
    error::Failure,
};

/// Checks credentials, by STS, and the clock. Whether there are any.
pub(super) async fn check(session: &Session, checks: &mut Checks) -> Result<bool, Failure> {
    if let Some(failure) = session.want_of_credentials().await {
        let hint = "sign in, or set up credentials as for every AWS tool: environment, profile, SSO or instance role";
        checks.add(Check::failed("credentials", failure.in_one_line(), hint))?;
        return Ok(false);
    }
    let clock = ServerClock::default();
    let config = aws_sdk_sts::config::Builder::from(session.config()).interceptor(clock.clone());
    let caller = aws_sdk_sts::Client::from_conf(config.build()).get_caller_identity().send().await;
    let is_known = caller.is_ok();
    checks.add(match caller {
        Ok(caller) => {
            let (account, arn) = (caller.account().unwrap_or("?"), caller.arn().unwrap_or("?"));
            let until = match session.config().credentials_provider() {
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
                format!(", for {left} minutes more")
            });
            Check::ok("credentials", format!("{arn}, account {account}{until}"))
        }
        Err(error) => {
            let failed = FailedCall::new("STS GetCallerIdentity failed", &error);
            let hint = match failed.status {
                Some(401 | 403) => "the credentials are wrong or have expired: sign in again",
                _ => "check the Region, the endpoint and the network",
            };
            Check::failed("credentials", failed.to_string(), hint)
        }
    })?;
    clock.check(checks)?;
    Ok(is_known)
}
