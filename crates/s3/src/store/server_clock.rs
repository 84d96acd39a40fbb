//! The service's clock, as its responses tell it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::BeforeDeserializationInterceptorContextRef,
    },
    error::BoxError,
    primitives::{DateTime, DateTimeFormat},
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;

/// An SDK interceptor that records the service's time from the `Date` header of each response.
///
/// Failed calls count too. Clones share one record. Add one with `interceptor()`, to the
/// configuration of an SDK client or to a single call by `customize()`.
#[derive(Debug, Clone, Default)]
pub struct ServerClock(Arc<Mutex<Option<Reading>>>);

/// One `Date` header, and the local time at which it arrived.
#[derive(Debug, Clone, Copy)]
struct Reading {
    server: SystemTime,
    local: SystemTime,
    is_amazon_s3: bool,
}

impl ServerClock {
    /// Returns the service's time in its last response, in whole seconds.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.reading().map(|reading| reading.server)
    }

    /// Returns how many seconds the local clock was ahead of the service's at the last response.
    #[must_use]
    pub fn local_ahead_secs(&self) -> Option<i64> {
        let Reading { server, local, .. } = self.reading()?;
        Some(DateTime::from(local).secs() - DateTime::from(server).secs())
    }

    /// `true` if the last response names Amazon S3 as its server.
    pub(super) fn is_amazon_s3(&self) -> bool {
        self.reading().is_some_and(|reading| reading.is_amazon_s3)
    }

    fn reading(&self) -> Option<Reading> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[dyn_dispatch_hint]
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
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        let server = date.and_then(|date| SystemTime::try_from(date).ok());
        let is_amazon_s3 = context.response().headers().get("server") == Some("AmazonS3");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            server.map(|server| Reading { server, local: SystemTime::now(), is_amazon_s3 });
        Ok(())
    }
}
