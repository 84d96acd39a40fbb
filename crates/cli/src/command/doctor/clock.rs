//! The clock of the service, beside ours.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use aws_sdk_sts::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::BeforeDeserializationInterceptorContextRef,
    },
    error::BoxError,
};

use super::{Check, Checks};
use crate::{error::Failure, text::Counted};

/// Signatures of requests hold for 5 minutes of difference at KMS and STS, for 15 at S3. (AWS General Reference,
/// "Signature Version 4".)
const MAX_SECONDS: i64 = 300;
/// More than any clock that is set by NTP is off.
const FINE_SECONDS: i64 = 30;

/// Reads the clock of the service off its answers, failures too.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerClock(Arc<Mutex<Option<i64>>>);

impl ServerClock {
    /// Checks what was read.
    pub(super) fn check(&self, checks: &mut Checks) -> Result<(), Failure> {
        let ahead = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ahead) = ahead else {
            return checks.add(Check::unknown(
                "clock",
                "the service does not tell the time",
                "compare it by hand",
            ));
        };
        let seconds = Counted(ahead.unsigned_abs(), "second");
        let how = if ahead > 0 { "ahead of" } else { "behind" };
        let message = format!("this machine is {seconds} {how} the service");
        let hint = "set the clock, by NTP for instance: requests are signed with the time";
        checks.add(match ahead.abs() {
            0..=FINE_SECONDS => {
                Check::ok("clock", format!("within {FINE_SECONDS} seconds of the service's"))
            }
            31..MAX_SECONDS => Check::warning("clock", message, hint),
            _ => Check::failed("clock", message, hint),
        })
    }
}

impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "ServerClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(there) =
            date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok())
        {
            let ahead = DateTime::from(SystemTime::now()).secs() - there.secs();
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        }
        Ok(())
    }
}
