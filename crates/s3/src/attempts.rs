//! Trace events for request attempts.

use std::time::Instant;

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::{
    interceptors::dyn_dispatch_hint, orchestrator::Metadata, retries::RequestAttempts,
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};

/// An SDK interceptor that logs each attempt of a request, retries included, in the current span.
///
/// The event `attempt` has the service, the API's name, the attempt's number from 1, the HTTP status
/// if there was an answer, and the duration in milliseconds. It is on the level DEBUG.
#[derive(Debug)]
pub(crate) struct AttemptEvents;

/// Start of the current attempt.
#[derive(Debug)]
struct Started(Instant);

impl Storable for Started {
    type Storer = StoreReplace<Self>;
}

#[dyn_dispatch_hint]
impl Intercept for AttemptEvents {
    fn name(&self) -> &'static str {
        "AttemptEvents"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if tracing::enabled!(tracing::Level::DEBUG) {
            config.interceptor_state().store_put(Started(Instant::now()));
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Started(started)) = config.load::<Started>() else { return Ok(()) };
        let duration = started.elapsed();
        let metadata = config.load::<Metadata>();
        tracing::debug!(
            service = metadata.map(Metadata::service),
            call = metadata.map(Metadata::name),
            attempt = config.load::<RequestAttempts>().map(RequestAttempts::attempts),
            status = context.response().map(|response| response.status().as_u16()),
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "attempt"
        );
        // A client that was wrapped twice logs each attempt once.
        config.interceptor_state().unset::<Started>();
        Ok(())
    }
}
