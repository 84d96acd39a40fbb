//! One run's connection to AWS: settings, clients, and messages to the user.

mod credentials;
mod keyrings;

use std::{
    env,
    ffi::OsStr,
    io::{self, Write as _},
};

use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use aws_types::service_config::ServiceConfigKey;
use sealwax_jobs::drill::BlockedRegions;
use sealwax_s3::{
    Error, PlacePolicy, S3Uri, SealedClient, SealedClientBuilder, SidecarPolicy, envelope::Keyring,
    with_sdk_limits,
};

use self::keyrings::{CONNECT_TIMEOUT, Keyrings};
use crate::{
    args::GlobalArgs,
    failure::{Exit, Failure},
    local_key,
    progress::{JobProgress, Progress},
    terminal_text::{Printable, command_line},
};

/// State that all subcommands share.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    config: SdkConfig,
    region: Region,
    args: GlobalArgs,
    keyrings: Keyrings,
}

impl Session {
    /// Loads the user's AWS settings.
    ///
    /// # Errors
    /// No Region is set, the AWS files lack the profile, or the local key cannot be read.
    pub(crate) async fn open(args: &GlobalArgs) -> Result<Self, Failure> {
        Self::load(args, aws_config::defaults(BehaviorVersion::v2026_01_12())).await
    }

    /// Returns the same session with all requests to the Regions in `blocked` refused.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(crate) async fn without(&self, blocked: &BlockedRegions) -> Result<Self, Failure> {
        let loader =
            aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(blocked.clone());
        Self::load(&self.args, loader).await
    }

    /// Returns the same session in another Region.
    pub(crate) fn in_region(&self, region: &str) -> Self {
        let region = Region::new(region.to_owned());
        let config = self.config.to_builder().region(region.clone()).build();
        let keyrings = self.keyrings.with_config(config.clone());
        Self { config, region, keyrings, args: self.args.clone() }
    }

    async fn load(args: &GlobalArgs, mut loader: ConfigLoader) -> Result<Self, Failure> {
        if let Some(region) = &args.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint_url) = &args.endpoint_url {
            loader = loader.endpoint_url(endpoint_url);
        }
        if let Some(profile) = &args.profile {
            loader = loader.profile_name(profile);
        }
        let local = args.local_key.as_deref().map(local_key::read).transpose()?;
        let mut config = loader.load().await;
        if let Some(name) = &args.profile {
            credentials::check_profile(name).await?;
            if args.profile_is_typed {
                config = credentials::prefer_profile(name, config).await;
            }
        }
        let Some(region) = config.region().filter(|region| !region.as_ref().is_empty()).cloned()
        else {
            let advice = "pass --region, set AWS_REGION, or set `region` in a profile of sealwax.toml or of the AWS files";
            return Err(Failure::new(Exit::Usage, "no AWS Region is set", advice));
        };
        let keyrings = Keyrings::new(config.clone(), local);
        Ok(Self { config, region, args: args.clone(), keyrings })
    }

    /// Returns a client for the object at `uri`.
    pub(crate) fn client(&self, uri: &S3Uri, keyring: impl Keyring + 'static) -> SealedClient {
        self.client_builder(uri, keyring).build()
    }

    /// Returns a builder of a client for the object at `uri`.
    pub(crate) fn client_builder(
        &self,
        uri: &S3Uri,
        keyring: impl Keyring + 'static,
    ) -> SealedClientBuilder {
        self.client_builder_of(uri.bucket(), keyring)
    }

    /// Returns a client for the objects of a bucket.
    pub(crate) fn client_of(&self, bucket: &str, keyring: impl Keyring + 'static) -> SealedClient {
        self.client_builder_of(bucket, keyring).build()
    }

    /// Returns a builder of a client for the objects of a bucket.
    pub(crate) fn client_builder_of(
        &self,
        bucket: &str,
        keyring: impl Keyring + 'static,
    ) -> SealedClientBuilder {
        let places = match &self.args.replica_of {
            _ if self.args.no_place_binding => PlacePolicy::off(),
            Some(source) => PlacePolicy::bound().replica_of(bucket, source),
            None => PlacePolicy::bound(),
        };
        let sidecars =
            self.args.sidecars.as_ref().map_or_else(SidecarPolicy::off, SidecarPolicy::with_suffix);
        SealedClient::builder(self.s3(), keyring).places(places).sidecars(sidecars)
    }

    /// Returns a plain S3 client.
    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let config = aws_sdk_s3::config::Builder::from(&self.config)
            .timeout_config(timeouts)
            .force_path_style(self.has_own_endpoint());
        with_sdk_limits(&aws_sdk_s3::Client::from_conf(config.build()))
    }

    /// `true` if S3 has an endpoint other than AWS's: buckets seldom have host names there.
    fn has_own_endpoint(&self) -> bool {
        let of_s3 = ServiceConfigKey::builder()
            .service_id("S3")
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build();
        self.config.endpoint_url().is_some()
            || of_s3.is_ok_and(|key| {
                self.config.service_config().is_some_and(|it| it.load_config(key).is_some())
            })
    }

    /// Returns the Region of the bucket.
    pub(crate) fn region(&self) -> &str {
        self.region.as_ref()
    }

    /// Returns AWS's settings.
    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Returns the source of this session's keyrings.
    pub(crate) fn keyrings(&self) -> &Keyrings {
        &self.keyrings
    }

    /// Returns why there are no credentials, or `None` if there are some.
    pub(crate) async fn missing_credentials(&self) -> Option<Failure> {
        credentials::missing(&self.config).await
    }

    /// Returns the failure of an SDK call that the command made itself; see [`Error::from_sdk`].
    pub(crate) fn call_error<E>(
        &self,
        operation: &'static str,
        object: impl ToString,
        call: &str,
        error: &SdkError<E, HttpResponse>,
    ) -> Error
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    {
        Error::from_sdk(operation, object.to_string(), call, Some(self.region()), error)
    }

    /// Returns the name and origin of the profile of `sealwax.toml` in use.
    pub(crate) fn profile_in_use(&self) -> Option<&str> {
        self.args.profile_in_use.as_deref()
    }

    /// Returns the source bucket of a replica, and whether place binding is off.
    pub(crate) fn places(&self) -> (Option<&str>, bool) {
        (self.args.replica_of.as_deref(), self.args.no_place_binding)
    }

    /// Returns the suffix of sidecars, if they are in use.
    pub(crate) fn sidecars(&self) -> Option<&str> {
        self.args.sidecars.as_deref()
    }

    /// Returns the same session with other settings for places and sidecars.
    pub(crate) fn with_places(
        &self,
        replica_of: Option<String>,
        no_place_binding: bool,
        sidecars: Option<String>,
    ) -> Self {
        Self {
            args: GlobalArgs { replica_of, no_place_binding, sidecars, ..self.args.clone() },
            ..self.clone()
        }
    }

    /// Returns a command line with these words that reaches the same services.
    pub(crate) fn command_line(&self, words: &[&OsStr]) -> String {
        let program = env::args_os().next().unwrap_or_else(|| "sealwax".into());
        let connection = self.args.connection();
        let connection = connection.iter().map(OsStr::new);
        command_line(
            [program.as_os_str()].into_iter().chain(words.iter().copied()).chain(connection),
        )
    }

    /// Shows the progress of a transfer.
    pub(crate) fn progress(&self, total: Option<u64>) -> Progress {
        if self.shows_progress() { Progress::new(total) } else { Progress::hidden() }
    }

    /// Shows the progress of a job on objects, of `total` if that is known.
    pub(crate) fn job_progress(&self, total: Option<u64>) -> JobProgress {
        if self.shows_progress() { JobProgress::new(total) } else { JobProgress::hidden() }
    }

    fn shows_progress(&self) -> bool {
        !self.args.quiet && self.args.verbose == 0
    }

    /// Prints a message on standard error, unless `--quiet` is given.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if !self.args.quiet {
            // A closed standard error is no failure.
            let _ = writeln!(io::stderr(), "{}", Printable(text.as_ref()));
        }
    }

    /// Prints a message about one of many objects on standard error, if `--verbose` is given.
    pub(crate) fn detail(&self, text: impl AsRef<str>) {
        if self.args.verbose > 0 {
            self.say(text);
        }
    }
}
