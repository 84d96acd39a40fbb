//! Endpoints of the services.

use aws_config::{Region, SdkConfig};
use aws_sdk_s3::config::endpoint as s3_endpoint;
use aws_sdk_sts::config::endpoint as sts_endpoint;
use aws_types::{origin::Origin, service_config::ServiceConfigKey};
use sealwax_s3::{aws_sdk_kms::config::endpoint as kms_endpoint, is_aws_url};

use crate::{
    args::endpoint_url,
    failure::{Exit, Failure},
};

/// A service that the command calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    S3,
    Kms,
    Sts,
}

impl Service {
    /// Returns the service's name, as in AWS's variables and in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Kms => "KMS",
            Self::Sts => "STS",
        }
    }
}

/// Destination of the requests to one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The URL, or why there is none.
    pub(crate) url: String,
    /// `true` if the host is AWS's.
    pub(crate) is_aws: bool,
}

/// Returns the endpoint that flags, variables and files set for a service, as the SDK's clients
/// find it; `None` for AWS's own.
pub(super) fn configured(config: &SdkConfig, service: Service) -> Option<String> {
    let general = || config.endpoint_url().map(str::to_owned);
    if config.get_origin("endpoint_url").is_client_config() {
        return general();
    }
    let key = ServiceConfigKey::builder()
        .service_id(service.name())
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let of_service = || config.service_config()?.load_config(key.ok()?);
    of_service().or_else(general)
}

/// Fails if the endpoint that the AWS files set for a service is no URL: flags and variables were
/// checked before.
pub(super) fn check(config: &SdkConfig, service: Service) -> Result<(), Failure> {
    let Some(url) = configured(config, service) else { return Ok(()) };
    endpoint_url(&url).map(drop).map_err(|reason| {
        let what = format!("the endpoint_url of {} {reason} (got {url:?})", service.name());
        let advice = "correct the AWS files (by default ~/.aws/config), or pass --endpoint-url";
        Failure::new(Exit::Usage, what, advice)
    })
}

/// Returns the configuration for S3 with a slash at the end of its endpoint's path. Without one, the
/// SDK appends the bucket's name to the last word of the path.
pub(super) fn with_slash(config: SdkConfig) -> SdkConfig {
    let has_path = |url: &str| {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.contains('/') && !rest.contains(['?', '#'])
    };
    match configured(&config, Service::S3) {
        Some(url) if has_path(&url) && !url.ends_with('/') => at(&config, &format!("{url}/")),
        _ => config,
    }
}

/// Returns the endpoint that flags, variables and files set for S3, without a password; `None` for
/// AWS's own.
pub(super) fn of_s3(config: &SdkConfig) -> Option<String> {
    configured(config, Service::S3).map(|url| without_password(&url))
}

/// Returns the configuration with `url` as the endpoint of all services, whatever AWS's variables and
/// files say.
pub(super) fn at(config: &SdkConfig, url: &str) -> SdkConfig {
    let mut builder = config.to_builder().endpoint_url(url);
    builder.insert_origin("endpoint_url", Origin::shared_config());
    builder.build()
}

/// Returns where clients of `config` send requests to `service`.
pub(super) async fn endpoint(config: &SdkConfig, service: Service) -> Endpoint {
    match configured(config, service) {
        Some(url) => Endpoint { is_aws: is_aws_url(&url), url: without_password(&url) },
        None => {
            let url = of_aws(config, service).await;
            Endpoint { is_aws: url.is_ok(), url: url.unwrap_or_else(|error| error.to_string()) }
        }
    }
}

/// Returns AWS's own endpoint, by the rules of the SDK.
async fn of_aws(
    config: &SdkConfig,
    service: Service,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    // The three SDK crates have types of their own for the same rules.
    macro_rules! resolve {
        ($sdk:ident) => {{
            use $sdk::ResolveEndpoint as _;
            let params = $sdk::Params::builder()
                .set_region(config.region().map(Region::to_string))
                .set_use_fips(config.use_fips())
                .set_use_dual_stack(config.use_dual_stack())
                .build()?;
            $sdk::DefaultResolver::new().resolve_endpoint(&params).await?.url().to_owned()
        }};
    }
    Ok(match service {
        Service::S3 => resolve!(s3_endpoint),
        Service::Kms => resolve!(kms_endpoint),
        Service::Sts => resolve!(sts_endpoint),
    })
}

/// Returns the URL without a user's name and password.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or(0, |(user, _)| user.len() + 1);
    format!("{scheme}://{}", &rest[user..])
}

#[cfg(test)]
mod tests {
    use aws_config::BehaviorVersion;

    use super::*;

    /// The SDK appends a bucket's name to the last word of a path without one.
    #[test]
    fn a_path_ends_with_a_slash() {
        for (url, expected) in [
            ("http://host", "http://host"),
            ("http://host/", "http://host/"),
            ("http://host/storage/v1/s3", "http://host/storage/v1/s3/"),
            ("http://host/storage/v1/s3/", "http://host/storage/v1/s3/"),
            ("http://host/s3?x=y", "http://host/s3?x=y"),
        ] {
            let config = SdkConfig::builder().behavior_version(BehaviorVersion::v2026_01_12());
            let config = with_slash(config.endpoint_url(url).build());
            assert_eq!(configured(&config, Service::S3).as_deref(), Some(expected), "{url}");
        }
    }

    #[tokio::test]
    async fn an_endpoint_is_set_or_the_regions_own() {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-west-2"))
            .build();
        for (service, url) in [
            (Service::S3, "https://s3.us-west-2.amazonaws.com"),
            (Service::Kms, "https://kms.us-west-2.amazonaws.com"),
            (Service::Sts, "https://sts.us-west-2.amazonaws.com"),
        ] {
            let expected = Endpoint { url: url.into(), is_aws: true };
            assert_eq!(endpoint(&config, service).await, expected);
            let elsewhere = Endpoint { url: "https://kms.example".into(), is_aws: false };
            assert_eq!(endpoint(&at(&config, &elsewhere.url), service).await, elsewhere);
        }
    }
}
