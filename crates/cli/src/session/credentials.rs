//! Credentials, and the profile in the AWS files that was named.

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
use sealwax_s3::{ErrorKind, error_chain};

use crate::failure::{Exit, Failure, advice};

/// Refuses a profile that is not there: the SDK would go on with whatever else it finds.
///
/// # Errors
/// There is none of this name, or the files cannot be read.
pub(super) async fn check_profile(name: &str) -> Result<(), Failure> {
    let found = profile::load(&Fs::real(), &Env::real(), &EnvConfigFiles::default(), None).await;
    let found = found.map_err(|error| {
        Failure::new(
            Exit::Usage,
            error,
            "correct the AWS files: ~/.aws/config and ~/.aws/credentials, unless set",
        )
    })?;
    if found.get_profile(name).is_some() {
        return Ok(());
    }
    let mut names: Vec<_> = found.profiles().collect();
    names.sort_unstable();
    let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let error = format!("there is no profile {name} in the AWS files, which have: {has}");
    Err(Failure::new(
        Exit::Usage,
        error,
        "check --profile; a profile of sealwax.toml is named by --sealwax-profile",
    ))
}

/// The same settings with the profile's own credentials, as by `aws --profile`: those of the environment, if there are
/// some, are others. A profile that has none leaves it to the rest of the chain.
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

/// Returns why there are no credentials, or `None` if there are some.
pub(super) async fn missing(config: &SdkConfig) -> Option<Failure> {
    let error = match config.credentials_provider() {
        Some(provider) => error_chain(&provider.provide_credentials().await.err()?),
        None => "none are set up".into(),
    };
    let kind = ErrorKind::Credentials;
    Some(Failure::new(kind.into(), format!("no AWS credentials: {error}"), advice(kind)))
}
