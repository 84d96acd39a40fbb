//! One run's connection to AWS: settings, clients, and messages to the user.

mod credentials;
mod endpoints;
mod keyrings;
mod refuse_plain_http;

use std::{
    env,
    ffi::OsStr,
    io::{self, Write as _},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{
    config::{
        SharedHttpClient,
        http::HttpResponse,
        retry::{RetryPartition, TokenBucket},
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use sealwax_jobs::drill::BlockedRegions;
use sealwax_s3::{
    Error, ErrorKind, KeyStorePolicy, KmsKeyArn, KmsKeyName, KnownStore, LimitedHttp, PlacePolicy,
    RateLimitedHttp, S3Uri, SealedClient, SealedClientBuilder, SidecarPolicy, StoreTrait,
    envelope::Keyring, small_buffer_http_client, with_sdk_limits,
};

pub(crate) use self::endpoints::{Endpoint, Service};
use self::{
    keyrings::{CONNECT_TIMEOUT, Keyrings},
    refuse_plain_http::RefusePlainHttp,
};
use crate::{
    args::{
        AclArg, BucketName, DestinationArgs, GlobalArgs, LimitRate, TypedKey, WrapKey,
        is_access_point,
    },
    failure::{Exit, Failure},
    local_key,
    progress::{JobProgress, Progress, ProgressArg},
    terminal_text::{Counted, Printable, command_line},
};

/// Advice for a run without a Region.
pub(crate) const NO_REGION: &str = "pass --region, set AWS_REGION, or set `region` in a profile of sealwax.toml or of the AWS files";

/// Caller of AWS, as STS tells it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Caller {
    pub(crate) arn: String,
    pub(crate) account: String,
}

/// State that all subcommands share.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// AWS's settings, for S3.
    config: SdkConfig,
    /// The same for KMS and STS.
    kms_config: SdkConfig,
    region: Region,
    /// `true` if no Region is set, and the command's own choice is used.
    region_is_assumed: bool,
    args: GlobalArgs,
    /// Treatment of access control lists in copies.
    acls: AclArg,
    keyrings: Keyrings,
    /// Knowledge of the store, for all of the run's clients.
    known_store: KnownStore,
}

impl Session {
    /// Loads the user's AWS settings.
    ///
    /// # Errors
    /// No Region is set, the AWS files lack the profile, or the local key cannot be read.
    pub(crate) async fn open(args: &GlobalArgs) -> Result<Self, Failure> {
        Self::load(args, &BlockedRegions::new([""; 0]), None).await
    }

    /// Loads the user's AWS settings; without a Region, `region` is used.
    ///
    /// # Errors
    /// As [`Session::open`], except for the Region.
    pub(crate) async fn open_or_in(args: &GlobalArgs, region: &str) -> Result<Self, Failure> {
        Self::load(args, &BlockedRegions::new([""; 0]), Some(region)).await
    }

    /// Loads the user's AWS settings, for reading many objects slowly.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(crate) async fn open_for_server(args: &GlobalArgs) -> Result<Self, Failure> {
        let http = BlockedRegions::over([""; 0], small_buffer_http_client());
        Self::load(args, &http, None).await
    }

    /// Returns the same session with all requests to the Regions in `blocked` refused.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(crate) async fn without(&self, blocked: &BlockedRegions) -> Result<Self, Failure> {
        Self::load(&self.args, blocked, None).await
    }

    /// Returns the same session in another Region.
    pub(crate) fn in_region(&self, region: &str) -> Self {
        let region = Region::new(region.to_owned());
        let there = |config: &SdkConfig| config.to_builder().region(region.clone()).build();
        let (config, kms_config) = (there(&self.config), there(&self.kms_config));
        let keyrings = self.keyrings.with_config(kms_config.clone());
        Self { config, kms_config, region, keyrings, ..self.clone() }
    }

    /// Returns the session of a copy's destination: the same, except for what is given.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(crate) async fn elsewhere(&self, there: &DestinationArgs) -> Result<Self, Failure> {
        let DestinationArgs { to_region, to_endpoint_url, to_profile } = there.clone();
        let is_other_caller = to_profile.is_some();
        let here = || (!is_other_caller).then(|| self.region.to_string());
        let args = GlobalArgs {
            region: to_region.or_else(here),
            endpoint_url: to_endpoint_url
                .or_else(|| self.args.endpoint_url.clone().filter(|_| !is_other_caller)),
            profile_is_typed: is_other_caller || self.args.profile_is_typed,
            profile: to_profile.or_else(|| self.args.profile.clone()),
            expected_bucket_owner: self
                .args
                .expected_bucket_owner
                .clone()
                .filter(|_| !is_other_caller),
            replica_of: None,
            ..self.args.clone()
        };
        let there = Self::load(&args, &BlockedRegions::new([""; 0]), None).await?;
        Ok(there.with_acls(self.acls))
    }

    async fn load(
        args: &GlobalArgs,
        http: &BlockedRegions,
        assumed: Option<&str>,
    ) -> Result<Self, Failure> {
        let http = match args.allow_http_kms {
            true => SharedHttpClient::new(http.clone()),
            false => SharedHttpClient::new(RefusePlainHttp::over(http.clone())),
        };
        let http = match &args.limit_rate {
            Some(LimitRate(rate)) => {
                SharedHttpClient::new(RateLimitedHttp::over(http, rate.clone()))
            }
            None => http,
        };
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(LimitedHttp::over(http.clone()).timeout(args.timeout()));
        if let Some(region) = &args.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &args.profile {
            loader = loader.profile_name(profile);
        }
        let local = args.local_key.as_deref().map(local_key::read).transpose()?;
        credentials::check_profile(args.profile.as_deref()).await?;
        let mut config = loader.load().await;
        if let Some(name) = args.profile.as_deref().filter(|_| args.profile_is_typed) {
            config = credentials::prefer_profile(name, config).await;
        }
        let set = config.region().filter(|region| !region.as_ref().is_empty()).cloned();
        let region_is_assumed = set.is_none();
        let Some(region) = set.or_else(|| Some(Region::new(assumed?.to_owned()))) else {
            return Err(Failure::new(Exit::Usage, "no AWS Region is set", NO_REGION));
        };
        config = config.into_builder().region(region.clone()).build();
        let kms_config = match &args.kms_endpoint_url {
            Some(url) => endpoints::at(&config, url),
            None => config.clone(),
        };
        if let Some(url) = &args.endpoint_url {
            config = endpoints::at(&config, url);
        }
        for (config, service) in
            [(&config, Service::S3), (&kms_config, Service::Kms), (&kms_config, Service::Sts)]
        {
            endpoints::check(config, service)?;
        }
        config = endpoints::with_slash(config);
        // Clients for S3 get their limits in `Session::s3`.
        let config = config.into_builder().http_client(http).build();
        let keyrings = Keyrings::new(kms_config.clone(), local, args);
        let acls = AclArg::default();
        let (known_store, args) = (known_store(args.quiet), args.clone());
        Ok(Self {
            config,
            kms_config,
            region,
            region_is_assumed,
            args,
            acls,
            keyrings,
            known_store,
        })
    }

    /// `true` if no Region is set, and the command's own choice is used.
    pub(crate) fn region_is_assumed(&self) -> bool {
        self.region_is_assumed
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
        let places = match BucketName::behind(&self.args.bucket_names, bucket) {
            Some(name) => places.bucket_name(bucket, name),
            None => places,
        };
        let sidecars =
            self.args.sidecars.as_ref().map_or_else(SidecarPolicy::off, SidecarPolicy::with_suffix);
        let builder = SealedClient::builder(self.s3(), keyring).places(places);
        let (checksum, conditions) = (self.args.body_checksum, self.args.conditions);
        builder
            .sidecars(sidecars)
            .acls(self.acls.into())
            .checksum(checksum.unwrap_or_default().into())
            .conditions(conditions.unwrap_or_default().into())
            .known_store(self.known_store.clone())
            .key_store(self.key_store())
    }

    /// Returns the policy on key stores.
    pub(crate) fn key_store(&self) -> KeyStorePolicy {
        let prefix = self.args.key_store.as_ref();
        prefix.map_or_else(KeyStorePolicy::off, KeyStorePolicy::with_prefix)
    }

    /// Returns the same session with a key store, if need be below the default prefix.
    pub(crate) fn with_key_store(&self) -> Self {
        let reserved = self.key_store().reserved_prefix().to_owned();
        Self { args: GlobalArgs { key_store: Some(reserved), ..self.args.clone() }, ..self.clone() }
    }

    /// Refuses to bind objects to the name of an access point: they would not open by their bucket's.
    ///
    /// # Errors
    /// `bucket` is an access point, and its bucket is not named.
    pub(crate) fn check_bucket_named(&self, bucket: &str) -> Result<(), Failure> {
        let is_named = BucketName::behind(&self.args.bucket_names, bucket).is_some();
        if self.args.no_place_binding || is_named || !is_access_point(bucket) {
            return Ok(());
        }
        let error = format!(
            "{bucket} is an access point, and objects that are bound to its name do not open by \
             the name of their bucket"
        );
        Err(Failure::usage(error).advise("name the bucket behind it with --bucket-name"))
    }

    /// Returns a plain S3 client.
    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let config = aws_sdk_s3::config::Builder::from(&self.config)
            .timeout_config(timeouts)
            // A throttled command slows down. It must not run out of retries too.
            .retry_partition(
                RetryPartition::custom("sealwax").token_bucket(TokenBucket::unlimited()).build(),
            )
            .force_path_style(self.has_own_endpoint());
        let client = aws_sdk_s3::Client::from_conf(config.build());
        with_sdk_limits(&self.args.request_headers().onto(&client), self.args.timeout())
    }

    /// `true` if S3 has an endpoint other than AWS's: buckets seldom have host names there.
    fn has_own_endpoint(&self) -> bool {
        self.s3_endpoint().is_some()
    }

    /// Returns the endpoint of S3, unless it is AWS's own.
    pub(crate) fn s3_endpoint(&self) -> Option<String> {
        endpoints::of_s3(&self.config)
    }

    /// Returns what tells apart buckets of the same name at the same endpoint: nothing on AWS, where
    /// names of buckets are unique; elsewhere the account, or else the access key id.
    pub(crate) async fn bucket_owner(&self) -> Option<String> {
        match self.has_own_endpoint() {
            true => credentials::account(&self.config).await,
            false => None,
        }
    }

    /// Returns where requests to a service go.
    pub(crate) async fn endpoint(&self, service: Service) -> Endpoint {
        let config = match service {
            Service::S3 => &self.config,
            Service::Kms | Service::Sts => &self.kms_config,
        };
        endpoints::endpoint(config, service).await
    }

    /// `true` if KMS and STS may be called over plain HTTP on other machines.
    pub(crate) fn allows_http_kms(&self) -> bool {
        self.args.allow_http_kms
    }

    /// Returns the Region of the bucket.
    pub(crate) fn region(&self) -> &str {
        self.region.as_ref()
    }

    /// Returns the settings for clients of KMS and STS.
    pub(crate) fn kms_config(&self) -> &SdkConfig {
        &self.kms_config
    }

    /// Returns the source of this session's keyrings.
    pub(crate) fn keyrings(&self) -> &Keyrings {
        &self.keyrings
    }

    /// Returns the ARNs of the keys that the caller named to wrap under, and prints those that were
    /// resolved. An object records the ARN.
    ///
    /// # Errors
    /// KMS does not tell.
    pub(crate) async fn resolve_kms(
        &self,
        names: &[KmsKeyName],
    ) -> Result<Vec<KmsKeyArn>, Failure> {
        let mut arns = Vec::with_capacity(names.len());
        for name in names {
            let arn = self.keyrings.kms_builder().resolve(name).await.map_err(|error| {
                let advice = "allow kms:DescribeKey on the key, or pass its ARN";
                match error.kind() {
                    ErrorKind::AccessDenied => Failure::from(error).advise(advice),
                    _ => error.into(),
                }
            })?;
            if name.arn().is_none() {
                self.say(format!("{name} is {arn}"));
            }
            arns.push(arn);
        }
        Ok(arns)
    }

    /// Returns the keys that the caller named to wrap under, as [`Session::resolve_kms`].
    ///
    /// # Errors
    /// As [`Session::resolve_kms`].
    pub(crate) async fn resolve(&self, keys: &[TypedKey]) -> Result<Vec<WrapKey>, Failure> {
        let mut resolved = Vec::with_capacity(keys.len());
        for key in keys {
            match key {
                TypedKey::Kms(name) => {
                    let arns = self.resolve_kms(std::slice::from_ref(name)).await?;
                    resolved.extend(arns.into_iter().map(WrapKey::Kms));
                }
                TypedKey::Local(name) => resolved.push(WrapKey::Local(name.clone())),
            }
        }
        Ok(resolved)
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

    /// Asks STS who the caller is. (AWS STS API Reference, "GetCallerIdentity": it needs no
    /// permission.)
    ///
    /// # Errors
    /// STS does not tell.
    pub(crate) async fn caller(&self) -> Result<Caller, Error> {
        let client = aws_sdk_sts::Client::new(&self.kms_config);
        let told = client.get_caller_identity().send().await;
        let told =
            told.map_err(|error| self.call_error("call", "STS", "GetCallerIdentity", &error))?;
        let text = |text: Option<&str>| text.unwrap_or("?").to_owned();
        Ok(Caller { arn: text(told.arn()), account: text(told.account()) })
    }

    /// Returns the name and origin of the profile of `sealwax.toml` in use.
    pub(crate) fn profile_in_use(&self) -> Option<&str> {
        self.args.profile_in_use.as_deref()
    }

    /// Returns the source bucket of a replica, and whether place binding is off.
    pub(crate) fn places(&self) -> (Option<&str>, bool) {
        (self.args.replica_of.as_deref(), self.args.no_place_binding)
    }

    /// Returns the Region of the replica's source, if there is one, it is in another Region, and S3
    /// tells it.
    pub(crate) async fn source_region(&self) -> Option<String> {
        let source = self.args.replica_of.as_deref()?;
        let region = match self.s3().head_bucket().bucket(source).send().await {
            Ok(bucket) => bucket.bucket_region,
            // From another Region, S3 redirects.
            Err(error) => error
                .raw_response()
                .and_then(|response| response.headers().get("x-amz-bucket-region"))
                .map(str::to_owned),
        };
        region.filter(|region| region != self.region())
    }

    /// Returns the suffix of sidecars, if they are in use.
    pub(crate) fn sidecars(&self) -> Option<&str> {
        self.args.sidecars.as_deref()
    }

    /// Returns the suffix that sidecars would have.
    pub(crate) fn sidecar_suffix(&self) -> &str {
        self.sidecars().unwrap_or(".sealwax")
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

    /// Returns the same session with another treatment of access control lists in copies.
    pub(crate) fn with_acls(&self, acls: AclArg) -> Self {
        Self { acls, ..self.clone() }
    }

    /// Returns the treatment of access control lists in copies.
    pub(crate) fn acls(&self) -> AclArg {
        self.acls
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

    /// Prints how to abort each upload that `client` may have begun without being told its id.
    pub(crate) fn report_unclaimed(&self, client: &SealedClient) {
        for upload in client.unclaimed_uploads() {
            let object = format!("s3://{}/{}", upload.bucket, upload.key);
            let words = ["uploads", "abort", &object, "--upload-id", &upload.upload_id];
            let command = self.command_line(&words.map(OsStr::new));
            self.say(format!(
                "warning: an upload to {object} began during a call whose answer was lost, and is \
                 incomplete; unless another program began it, abort it: {command}"
            ));
        }
    }

    /// Prints the number of incomplete files that were removed, if there were any.
    pub(crate) fn report_leftovers(&self, removed: u64) {
        if removed > 0 {
            let files = Counted(removed, "incomplete file");
            self.say(format!("removed {files} of killed processes"));
        }
    }

    /// Shows the progress of a transfer.
    pub(crate) fn progress(&self, total: Option<u64>) -> Progress {
        Progress::new(self.how_to_progress(), total)
    }

    /// Shows the progress of a job on objects, of `total` if that is known.
    pub(crate) fn job_progress(&self, total: Option<u64>) -> JobProgress {
        JobProgress::new(self.how_to_progress(), total)
    }

    fn how_to_progress(&self) -> ProgressArg {
        match self.args.progress {
            // A bar and messages would disturb each other.
            ProgressArg::Auto if self.args.quiet || self.args.verbose > 0 => ProgressArg::None,
            how => how,
        }
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

/// Returns the record of what is found out about the store. It prints a note when a client does
/// without something.
fn known_store(is_quiet: bool) -> KnownStore {
    KnownStore::telling(move |found| {
        let more = match found {
            StoreTrait::RefusesBodyChecksums => "; --body-checksum=none spares the attempt",
            StoreTrait::IgnoresConditions => "",
            _ => return,
        };
        if !is_quiet {
            // A closed standard error is no failure.
            let _ = writeln!(io::stderr(), "note: {found}{more}");
        }
    })
}
