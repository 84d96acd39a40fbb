//! Plain HTTP to services that handle data keys or credentials: refused, except on this machine.

use std::{env, error::Error, net::IpAddr};

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextRef,
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::{interceptors::dyn_dispatch_hint, orchestrator::Metadata};

use crate::causes::find_cause;

/// A request that was not sent, because plain HTTP would show data keys or credentials to the
/// network.
///
/// `http://` is allowed to this machine only: 127.0.0.0/8, `::1`, `localhost` and names that end in
/// `.localhost`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to call {service} at {endpoint}: plain HTTP shows data keys and credentials to the \
     network; use an https:// endpoint or, if that network is trusted, set {}=true",
    Self::VARIABLE
)]
pub struct PlainHttp {
    service: String,
    endpoint: String,
}

impl PlainHttp {
    /// Environment variable that allows plain HTTP to KMS if it is `true` or `1`: for tests with a
    /// KMS in another container.
    pub const VARIABLE: &str = "SEALWAX_ALLOW_HTTP_KMS";

    /// Checks the URL of a request to `service`, such as `KMS`.
    ///
    /// # Errors
    /// It is `http://` to another machine.
    pub fn check(service: &str, url: &str) -> Result<(), Self> {
        let Some((scheme, rest)) = url.split_once("://") else { return Ok(()) };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if !scheme.eq_ignore_ascii_case("http") || is_this_machine(host) {
            return Ok(());
        }
        Err(Self { service: service.to_owned(), endpoint: format!("http://{host}") })
    }

    /// Returns the refusal among an error's causes, if there is one.
    #[must_use]
    pub fn among_causes<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        find_cause(error)
    }

    /// `true` if the environment allows plain HTTP to KMS.
    pub(crate) fn is_allowed_by_environment() -> bool {
        env::var(Self::VARIABLE).is_ok_and(|value| matches!(value.as_str(), "true" | "1"))
    }
}

/// `true` for a host, with or without a port, that is this machine.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(address) => address.split(']').next(),
        None => host.split(':').next(),
    };
    let name = name.unwrap_or_default().to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// An SDK interceptor that refuses each attempt over plain HTTP to another machine, before it is
/// sent.
///
/// It sees the URL as the SDK resolved it, wherever the endpoint was set.
#[derive(Debug)]
pub(crate) struct RefusePlainHttp;

#[dyn_dispatch_hint]
impl Intercept for RefusePlainHttp {
    fn name(&self) -> &'static str {
        "RefusePlainHttp"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let service = config.load::<Metadata>().map_or("a service", Metadata::service);
        Ok(PlainHttp::check(service, context.request().uri())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_reached_over_plain_http() {
        for url in [
            "http://127.0.0.1:4566/",
            "http://127.255.255.254",
            "http://[::1]:4566/path",
            "http://localhost",
            "HTTP://LocalHost:4566/?x=@kms.example",
            "http://kms.localhost:4566",
            "http://user@localhost",
            "https://kms.us-east-1.amazonaws.com/",
            "https://169.254.169.254/",
        ] {
            assert_eq!(PlainHttp::check("KMS", url), Ok(()), "{url}");
        }
        for (url, endpoint) in [
            ("http://kms.example:4566/x", "http://kms.example:4566"),
            ("HTTP://kms.example", "http://kms.example"),
            ("http://localhost@kms.example/", "http://kms.example"),
            ("http://kms.example#@localhost", "http://kms.example"),
            ("http://kms.example/@localhost", "http://kms.example"),
            ("http://kms.example?localhost", "http://kms.example"),
            ("http://secret:word@kms.example/", "http://kms.example"),
            ("http://localhost.example", "http://localhost.example"),
            ("http://notlocalhost", "http://notlocalhost"),
            ("http://127.1", "http://127.1"),
            ("http://0.0.0.0", "http://0.0.0.0"),
            ("http://10.0.0.1:4566", "http://10.0.0.1:4566"),
            ("http://[::2]:80", "http://[::2]:80"),
            ("http://[::ffff:10.0.0.1]", "http://[::ffff:10.0.0.1]"),
            ("http://", "http://"),
        ] {
            let refused = PlainHttp { service: "KMS".into(), endpoint: endpoint.into() };
            assert_eq!(PlainHttp::check("KMS", url), Err(refused), "{url}");
        }
    }

    #[test]
    fn the_message_names_service_endpoint_and_both_ways_out() {
        let refused = PlainHttp::check("STS", "http://sts.example:80").expect_err("refused");
        assert_eq!(
            refused.to_string(),
            "refusing to call STS at http://sts.example:80: plain HTTP shows data keys and \
             credentials to the network; use an https:// endpoint or, if that network is trusted, \
             set SEALWAX_ALLOW_HTTP_KMS=true"
        );
    }
}
