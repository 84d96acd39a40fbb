//! Credentials, and profiles of the AWS files.

use aws_config::{
    SdkConfig,
    default_provider::credentials::DefaultCredentialsChain,
    meta::credentials::CredentialsProviderChain,
    profile::{self, ProfileFileCredentialsProvider},
    provider_config::ProviderConfig,
};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_s3::config::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_types::os_shim_internal::{Env, Fs};
use sealwax_s3::{ErrorKind, PlainHttp, error_chain};

use crate::failure::{Exit, Failure, advice};

/// Fails if the AWS files cannot be read, or lack the profile that is `typed` or in `AWS_PROFILE`: the
/// SDK would continue with other settings, and without a Region.
///
/// # Errors
/// The profile does not exist, or the files cannot be read.
pub(super) async fn check_profile(typed: Option<&str>) -> Result<(), Failure> {
    let found = profile::load(&Fs::real(), &Env::real(), &EnvConfigFiles::default(), None).await;
    let found = found.map_err(|error| {
        Failure::new(
            Exit::Usage,
            error,
            "correct the AWS files (by default ~/.aws/config and ~/.aws/credentials)",
        )
    })?;
    let variable = std::env::var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
    let (name, origin) = match (typed, &variable) {
        (Some(name), _) => (name, "--profile"),
        (None, Some(name)) => (name.as_str(), "AWS_PROFILE"),
        (None, None) => return Ok(()),
    };
    // Every AWS tool has a default profile, which may be empty.
    if found.get_profile(name).is_some() || (typed.is_none() && name == "default") {
        return Ok(());
    }
    let mut names: Vec<_> = found.profiles().collect();
    names.sort_unstable();
    let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let error = format!("no profile {name} in the AWS files, which have: {has}");
    Err(Failure::new(
        Exit::Usage,
        error,
        format!("check {origin}; for a profile of sealwax.toml, use --sealwax-profile"),
    ))
}

/// Returns the same settings with the profile's credentials first, as `aws --profile` uses them.
///
/// Without this, credentials in environment variables take precedence. If the profile has no
/// credentials, the default chain follows.
pub(super) async fn prefer_profile(name: &str, config: SdkConfig) -> SdkConfig {
    let mut provider = ProviderConfig::without_region().with_region(config.region().cloned());
    if let Some(client) = config.http_client() {
        provider = provider.with_http_client(client);
    }
    let own =
        ProfileFileCredentialsProvider::builder().configure(&provider).profile_name(name).build();
    let rest =
        DefaultCredentialsChain::builder().configure(provider).profile_name(name).build().await;
    let chain = CredentialsProviderChain::first_try("Profile", own).or_else("Default", rest);
    config.into_builder().credentials_provider(SharedCredentialsProvider::new(chain)).build()
}

/// Returns the account of the credentials, if they tell it without a call. Otherwise their access
/// key id, or `None` without credentials.
pub(super) async fn account(config: &SdkConfig) -> Option<String> {
    let credentials = config.credentials_provider()?.provide_credentials().await.ok()?;
    let account = credentials.account_id().map(|account| account.as_str().to_owned());
    Some(account.unwrap_or_else(|| credentials.access_key_id().to_owned()))
}

/// Returns why there are no credentials, or `None` if there are some.
pub(super) async fn missing(config: &SdkConfig) -> Option<Failure> {
    let (error, kind) = match config.credentials_provider() {
        Some(provider) => {
            let error = provider.provide_credentials().await.err()?;
            let kind = match PlainHttp::among_causes(&error) {
                Some(_) => ErrorKind::InsecureEndpoint,
                None => ErrorKind::Credentials,
            };
            (error_chain(&error), kind)
        }
        None => ("none are configured".into(), ErrorKind::Credentials),
    };
    Some(Failure::new(kind.into(), format!("no AWS credentials: {error}"), advice(kind)))
}
