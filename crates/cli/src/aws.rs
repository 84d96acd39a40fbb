//! AWS as the user has set it up, and the clients made of that.

use std::{
    env,
    ffi::OsStr,
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_s3::{
    config::{ProvideCredentials as _, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
};
use aws_types::service_config::ServiceConfigKey;
use sealwax_s3::{
    DiscoveryFilter, ErrorKind, KmsKeyArn, KmsKeyring, KmsKeyringBuilder, PlacePolicy, S3Uri,
    SealedClient, SealedClientBuilder, SidecarPolicy, WrapPolicy,
    drill::BlockedRegions,
    envelope::{EncryptedDataKey, Keyring, LocalKeyring, MultiKeyring},
};

use crate::{
    args::{GlobalArgs, ReaderArgs},
    aws_profile,
    error::{Exit, Failure, advice},
    local_key, many,
    progress::{JobProgress, Progress},
    shell,
    text::Printable,
    wrap_key::WrapKey,
};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one try of a small request may take.
const SMALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What all subcommands share.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    config: SdkConfig,
    region: Region,
    args: GlobalArgs,
    local: Option<Arc<LocalKeyring>>,
    quiet: bool,
    verbose: bool,
    /// The options that say where the services are, as they were given.
    connection: Vec<String>,
}

impl Session {
    /// Loads the user's AWS settings.
    ///
    /// # Errors
    /// No Region is set, there is no such profile in the AWS files, or the local key cannot be read.
    pub(crate) async fn open(args: &GlobalArgs) -> Result<Self, Failure> {
        Self::load(args, aws_config::defaults(BehaviorVersion::v2026_01_12())).await
    }

    /// The same session, but that it reaches nothing in the Regions that `blocked` names.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub(crate) async fn without(&self, blocked: &BlockedRegions) -> Result<Self, Failure> {
        let loader =
            aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(blocked.clone());
        Self::load(&self.args, loader).await
    }

    /// The same session, but in another Region.
    pub(crate) fn in_region(&self, region: &str) -> Self {
        let region = Region::new(region.to_owned());
        let config = self.config.to_builder().region(region.clone()).build();
        Self { config, region, ..self.clone() }
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
        let local = args.local_key.as_deref().map(local_key::read).transpose()?.map(Arc::new);
        let mut config = loader.load().await;
        if let Some(name) = &args.profile {
            aws_profile::check(name).await?;
            if args.profile_is_typed {
                config = aws_profile::first(name, config).await;
            }
        }
        let Some(region) = config.region().filter(|region| !region.as_ref().is_empty()).cloned()
        else {
            let advice = "give --region, or set AWS_REGION, or set `region` in the profile, here or in the AWS files";
            return Err(Failure::new(Exit::Usage, "no AWS Region is set", advice));
        };
        Ok(Self {
            config,
            region,
            args: args.clone(),
            local,
            quiet: args.quiet,
            verbose: args.verbose > 0,
            connection: connection(args),
        })
    }

    /// A client for the object at `uri`.
    pub(crate) fn client(&self, uri: &S3Uri, keyring: impl Keyring + 'static) -> SealedClient {
        self.client_builder(uri, keyring).build()
    }

    /// Begins a client for the object at `uri`.
    pub(crate) fn client_builder(
        &self,
        uri: &S3Uri,
        keyring: impl Keyring + 'static,
    ) -> SealedClientBuilder {
        self.client_builder_of(uri.bucket(), keyring)
    }

    /// A client for the objects of a bucket.
    pub(crate) fn client_of(&self, bucket: &str, keyring: impl Keyring + 'static) -> SealedClient {
        self.client_builder_of(bucket, keyring).build()
    }

    /// Begins a client for the objects of a bucket.
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

    /// The Region of the bucket.
    pub(crate) fn region(&self) -> &str {
        self.region.as_ref()
    }

    /// Whether a request to each of S3, KMS and STS in `region` is refused before it leaves this process.
    pub(crate) async fn reaches(
        &self,
        region: &str,
        blocked: &BlockedRegions,
    ) -> Vec<&'static str> {
        let there = self.in_region(region);
        let refused = |service: &str| {
            let calls = blocked.refused().into_iter().filter(|(calls, _)| {
                (calls.region.as_str(), calls.service.as_str()) == (region, service)
            });
            calls.map(|(_, count)| count).sum::<u64>()
        };
        let mut reached = Vec::new();
        for service in ["s3", "kms", "sts"] {
            let before = refused(service);
            match service {
                "s3" => drop(there.s3().list_buckets().send().await),
                "kms" => drop(
                    sealwax_s3::aws_sdk_kms::Client::new(&there.config).list_keys().send().await,
                ),
                _ => {
                    drop(
                        aws_sdk_sts::Client::new(&there.config).get_caller_identity().send().await,
                    );
                }
            }
            if refused(service) == before {
                reached.push(service);
            }
        }
        reached
    }

    /// Begins a keyring of keys of KMS.
    pub(crate) fn kms_builder(&self) -> KmsKeyringBuilder {
        KmsKeyring::builder(&self.config)
    }

    /// A keyring of these keys alone.
    pub(crate) fn keyring(&self, keys: impl IntoIterator<Item = KmsKeyArn>) -> KmsKeyring {
        keys.into_iter().fold(self.kms_builder(), KmsKeyringBuilder::key).build()
    }

    /// A keyring of just these keys; those of KMS by `kms`.
    ///
    /// # Errors
    /// A local key is named that is not the one in use.
    pub(crate) fn keyring_of(
        &self,
        keys: &[WrapKey],
        kms: KmsKeyringBuilder,
    ) -> Result<Arc<dyn Keyring>, Failure> {
        let (mut arns, mut local) = (Vec::new(), None);
        for key in keys {
            match (key, &self.local) {
                (WrapKey::Kms(arn), _) => arns.push(arn.clone()),
                (WrapKey::Local(name), Some(key)) if is_named(key, name) => {
                    local = Some(Arc::clone(key));
                }
                (WrapKey::Local(name), _) => {
                    let error = format!("there is no local key {name} at hand to wrap under");
                    let advice = "give its file by --local-key; a line in it, and `sealwax inspect`, tell its name";
                    return Err(Failure::new(Exit::Usage, error, advice));
                }
            }
        }
        Ok(match (arns.is_empty(), local) {
            (true, Some(local)) => local,
            (_, local) => {
                let kms = arns.into_iter().fold(kms, KmsKeyringBuilder::key).build();
                if local.is_some() { self.with_local(kms) } else { Arc::new(kms) }
            }
        })
    }

    /// A keyring of these keys and the local one, of which `at_least` so many must wrap a new data key, or all.
    ///
    /// # Errors
    /// There is no key.
    pub(crate) fn writing_keyring(
        &self,
        keys: Vec<KmsKeyArn>,
        at_least: Option<u8>,
    ) -> Result<Arc<dyn Keyring>, Failure> {
        if keys.is_empty() && self.local.is_none() {
            let advice = "give --key ARN or --local-key FILE, or set SEALWAX_KEYS, or `keys` in a profile of sealwax.toml";
            return Err(Failure::new(
                Exit::Usage,
                "there is no key to wrap the data key under",
                advice,
            ));
        }
        if keys.is_empty()
            && let Some(local) = &self.local
        {
            return Ok(Arc::clone(local) as Arc<dyn Keyring>);
        }
        let policy = at_least.map_or(WrapPolicy::All, |count| WrapPolicy::AtLeast(count.into()));
        let kms = keys
            .into_iter()
            .fold(KmsKeyring::builder(&self.config), |keyring, key| keyring.key(key));
        Ok(self.with_local(kms.wrap_policy(policy).build()))
    }

    /// A keyring to read with: of the named keys and the local one, else of all keys in the named accounts, else in the
    /// caller's own.
    ///
    /// # Errors
    /// STS does not say which account the caller's own is.
    pub(crate) async fn reading_keyring(
        &self,
        args: ReaderArgs,
    ) -> Result<Arc<dyn Keyring>, Failure> {
        Ok(self.with_local(self.kms_keyring(args, &[], None).await?))
    }

    /// The same, of keys in these Regions alone, if any are named: a local key is in none.
    ///
    /// # Errors
    /// As [`Session::reading_keyring`].
    pub(crate) async fn regional_keyring(
        &self,
        args: ReaderArgs,
        regions: &[String],
    ) -> Result<Arc<dyn Keyring>, Failure> {
        let kms = self.kms_keyring(args, regions, None).await?;
        Ok(if regions.is_empty() { self.with_local(kms) } else { Arc::new(kms) })
    }

    /// What of it is KMS's; it makes at most `calls_per_second` calls to each Region.
    ///
    /// # Errors
    /// As [`Session::reading_keyring`].
    pub(crate) async fn kms_keyring(
        &self,
        args: ReaderArgs,
        regions: &[String],
        calls_per_second: Option<u32>,
    ) -> Result<KmsKeyring, Failure> {
        let builder = KmsKeyring::builder(&self.config);
        let builder = match calls_per_second {
            Some(calls) => builder.calls_per_second(calls),
            None => builder,
        };
        if !args.keys.is_empty() {
            let meant = |key: &KmsKeyArn| {
                regions.is_empty() || regions.iter().any(|region| region == key.region())
            };
            let keys = args.keys.into_iter().filter(meant);
            return Ok(keys.fold(builder, |keyring, key| keyring.key(key)).build());
        }
        let filter = match (args.accounts.is_empty(), &self.local) {
            // Whoever names a local key and nothing else needs no KMS.
            (true, Some(_)) if !args.besides_local => return Ok(builder.build()),
            (true, _) => self.own_account().await?,
            (false, _) => {
                DiscoveryFilter::accounts(args.accounts).partition(partition(self.region.as_ref()))
            }
        };
        let filter = if regions.is_empty() { filter } else { filter.regions(regions) };
        Ok(builder.discovery(filter).build())
    }

    /// This keyring and the local key, if one is used. What is in this process is asked first.
    pub(crate) fn with_local(&self, kms: impl Keyring + 'static) -> Arc<dyn Keyring> {
        match &self.local {
            None => Arc::new(kms),
            Some(local) => Arc::new(MultiKeyring::new(
                Arc::clone(local) as Arc<dyn Keyring>,
                [Arc::new(kms) as Arc<dyn Keyring>],
            )),
        }
    }

    /// A keyring to wrap under the same keys as these, as far as `reading` may use them: whoever can write to the bucket can
    /// name others there. It shares the clients of `shared`. `None`: there is none.
    pub(crate) fn same_keys(
        &self,
        keys: &[EncryptedDataKey],
        reading: &dyn Keyring,
        shared: &KmsKeyring,
    ) -> Option<Arc<dyn Keyring>> {
        let accepted = || keys.iter().filter(|key| reading.accepts(key));
        let arns: Vec<KmsKeyArn> =
            accepted().filter_map(|key| key.wrapping_key().parse().ok()).collect();
        let local = self.local.clone().filter(|local| accepted().any(|key| local.accepts(key)));
        match (arns.is_empty(), local) {
            (true, None) => None,
            (true, Some(local)) => Some(local),
            (false, local) => {
                let kms = arns.into_iter().fold(shared.sibling(), KmsKeyringBuilder::key).build();
                Some(if local.is_some() { self.with_local(kms) } else { Arc::new(kms) })
            }
        }
    }

    /// The local key, if one is used.
    pub(crate) fn local_key(&self) -> Option<&Arc<LocalKeyring>> {
        self.local.as_ref()
    }

    /// AWS's settings.
    pub(crate) fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Which profile of Sealwax's own settings is used.
    pub(crate) fn profile_in_use(&self) -> Option<&str> {
        self.args.profile_in_use.as_deref()
    }

    /// Whose replica the bucket is, and whether wraps are bound to no place.
    pub(crate) fn places(&self) -> (Option<&str>, bool) {
        (self.args.replica_of.as_deref(), self.args.no_place_binding)
    }

    /// What a sidecar's key has after the object's, if sidecars are looked for.
    pub(crate) fn sidecars(&self) -> Option<&str> {
        self.args.sidecars.as_deref()
    }

    /// The same session, with other settings of places and of sidecars.
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

    /// A command line with these words that reaches the same services.
    pub(crate) fn command_line(&self, words: &[&OsStr]) -> String {
        let program = env::args_os().next().unwrap_or_else(|| "sealwax".into());
        let connection = self.connection.iter().map(OsStr::new);
        shell::line(
            [program.as_os_str()].into_iter().chain(words.iter().copied()).chain(connection),
        )
    }

    /// A call failed.
    pub(crate) async fn failure(&self, call: FailedCall) -> Failure {
        if let Some(failure) = self.want_of_credentials().await {
            return failure;
        }
        let there = call.bucket_region.filter(|region| region != self.region());
        let kind = match call.status {
            Some(401 | 403) => ErrorKind::AccessDenied,
            Some(404) => ErrorKind::NotFound,
            Some(301) => ErrorKind::WrongRegion,
            Some(400) if there.is_some() => ErrorKind::WrongRegion,
            None | Some(500..) => ErrorKind::Unavailable,
            _ => ErrorKind::Service,
        };
        let text = match there {
            Some(region) => format!("{}: the bucket is in {region}", call.text),
            None => call.text,
        };
        Failure::new(kind.into(), text, advice(kind))
    }

    /// Shows how far a transfer is.
    pub(crate) fn progress(&self, total: Option<u64>) -> Progress {
        if self.quiet || self.verbose { Progress::hidden() } else { Progress::new(total) }
    }

    /// Shows how many objects of a job are done, of `total` if that is known.
    pub(crate) fn job_progress(&self, total: Option<u64>) -> JobProgress {
        if self.quiet || self.verbose { JobProgress::hidden() } else { JobProgress::new(total) }
    }

    /// Says on standard error what was done, unless asked to be quiet.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if !self.quiet {
            // Where standard error is closed, nobody wants to know.
            let _ = writeln!(io::stderr(), "{}", Printable(text.as_ref()));
        }
    }

    /// Says on standard error what was done with one of many, if asked to say more.
    pub(crate) fn detail(&self, text: impl AsRef<str>) {
        if self.verbose {
            self.say(text);
        }
    }

    /// Says on standard error that one of many failed.
    pub(crate) fn complain(&self, what: &str, failure: &Failure) {
        let _ = io::stderr().lock().write_all(many::line(what, failure).as_bytes());
    }

    /// Why there are no credentials, if that is so.
    pub(crate) async fn want_of_credentials(&self) -> Option<Failure> {
        let error = match self.config.credentials_provider() {
            Some(provider) => chain(&provider.provide_credentials().await.err()?),
            None => "none are set up".into(),
        };
        let kind = ErrorKind::Credentials;
        Some(Failure::new(kind.into(), format!("no AWS credentials: {error}"), advice(kind)))
    }

    /// A plain client.
    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let config = aws_sdk_s3::config::Builder::from(&self.config)
            .timeout_config(timeouts)
            .force_path_style(self.has_own_endpoint());
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// Whether S3 is elsewhere than at AWS: there, buckets seldom have host names of their own.
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

    /// The caller's own account, by STS.
    async fn own_account(&self) -> Result<DiscoveryFilter, Failure> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(SMALL_TIMEOUT)
            .build();
        let config =
            aws_sdk_sts::config::Builder::from(&self.config).timeout_config(timeouts).build();
        let caller = aws_sdk_sts::Client::from_conf(config).get_caller_identity().send().await;
        let caller = match caller {
            Ok(caller) => caller,
            Err(error) => {
                if let Some(failure) = self.want_of_credentials().await {
                    return Err(failure);
                }
                let denied = error
                    .raw_response()
                    .is_some_and(|answer| matches!(answer.status().as_u16(), 401 | 403));
                return Err(unknown_account(
                    if denied { Exit::Denied } else { Exit::Failed },
                    &chain(&error),
                ));
            }
        };
        let partition = caller.arn().and_then(|arn| arn.split(':').nth(1));
        match (caller.account(), partition) {
            (Some(account), Some(partition)) => {
                Ok(DiscoveryFilter::accounts([account]).partition(partition))
            }
            _ => Err(unknown_account(Exit::Failed, "the answer names none")),
        }
    }
}

/// A failed call of S3, in words.
#[derive(Debug)]
pub(crate) struct FailedCall {
    pub(crate) status: Option<u16>,
    pub(crate) code: Option<String>,
    /// The Region that the bucket is in, where S3 tells that the request should have gone there.
    bucket_region: Option<String>,
    text: String,
}

impl std::fmt::Display for FailedCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl FailedCall {
    /// `what` could not be done.
    pub(crate) fn new<E>(what: &str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        let code = error.code().map(str::to_owned);
        let redirected = error.raw_response().filter(|_| matches!(status, Some(301 | 400)));
        let bucket_region =
            redirected.and_then(|answer| answer.headers().get("x-amz-bucket-region"));
        let bucket_region = bucket_region.map(str::to_owned);
        let said = match (status, &code) {
            (Some(status), Some(code)) => {
                let message =
                    error.message().map_or_else(String::new, |message| format!(": {message}"));
                format!("the service answered {status} {code}{message}")
            }
            // To a HEAD, that is all.
            (Some(status @ 300..), None) => {
                format!("the service answered {status} without an error code")
            }
            _ => chain(error),
        };
        Self { status, code, bucket_region, text: format!("{what}: {said}") }
    }

    /// `what` could not be done, for a list has more pages and the service does not tell which is next.
    pub(crate) fn endless(what: &str) -> Self {
        Self {
            status: Some(200),
            code: None,
            bucket_region: None,
            text: format!("{what}: the service does not say where its list goes on"),
        }
    }
}

/// Whether this is the local key's name.
fn is_named(key: &LocalKeyring, name: &str) -> bool {
    key.outline(None).iter().any(|wrap| wrap.wrapping_key() == name)
}

/// The options among `args` that say where the services are and who calls them.
fn connection(args: &GlobalArgs) -> Vec<String> {
    let options = [
        ("--region", &args.region),
        ("--endpoint-url", &args.endpoint_url),
        ("--profile", &args.profile),
    ];
    let given =
        options.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value.clone()?]));
    given.flatten().collect()
}

fn unknown_account(exit: Exit, why: &str) -> Failure {
    let advice = "name the wrapping keys that may be used by --key, or their account by --account";
    Failure::new(
        exit,
        format!("STS GetCallerIdentity does not tell the caller's account: {why}"),
        advice,
    )
}

/// The partition of a Region.
fn partition(region: &str) -> &'static str {
    const BY_PREFIX: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    BY_PREFIX
        .iter()
        .find(|(prefix, _)| region.starts_with(prefix))
        .map_or("aws", |(_, partition)| partition)
}

/// An error and its causes in one line, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ").replace(":; ", ": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions() {
        for (region, expected) in [
            ("us-east-1", "aws"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-isob-east-1", "aws-iso-b"),
            ("cn-north-1", "aws-cn"),
        ] {
            assert_eq!(partition(region), expected, "{region}");
        }
    }
}
