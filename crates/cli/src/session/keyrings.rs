//! Keyrings for reading and writing, of KMS keys and the local key.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use aws_config::{SdkConfig, timeout::TimeoutConfig};
use sealwax_s3::{
    DiscoveryFilter, Error, ErrorKind, KmsKeyArn, KmsKeyring, KmsKeyringBuilder, WrapPolicy,
    envelope::{CacheLimits, CachingKeyring, Keyring, LocalKeyring, MultiKeyring},
    error_chain, partition_of,
};

use super::credentials;
use crate::{
    args::{GlobalArgs, ReaderArgs, WrapKey},
    failure::{Exit, Failure},
};

/// Time limit for establishing a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for one attempt of a small request.
const SMALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The source of a session's keyrings.
#[derive(Debug, Clone)]
pub(crate) struct Keyrings {
    config: SdkConfig,
    local: Option<Arc<LocalKeyring>>,
    allow_http: bool,
    grant_tokens: Vec<String>,
}

/// Number of intermediate keys that drills and verifications remember: about 1 KB each.
const REMEMBERED: usize = 10_000;

impl Keyrings {
    pub(super) fn new(config: SdkConfig, local: Option<LocalKeyring>, args: &GlobalArgs) -> Self {
        Self {
            config,
            local: local.map(Arc::new),
            allow_http: args.allow_http_kms,
            grant_tokens: args.grant_tokens.clone(),
        }
    }

    pub(super) fn with_config(&self, config: SdkConfig) -> Self {
        Self { config, ..self.clone() }
    }

    /// Returns the local key, if one is used.
    pub(crate) fn local(&self) -> Option<&Arc<LocalKeyring>> {
        self.local.as_ref()
    }

    /// Returns a builder of a keyring of KMS keys.
    pub(crate) fn kms_builder(&self) -> KmsKeyringBuilder {
        let builder = KmsKeyring::builder(&self.config).allow_http(self.allow_http);
        self.grant_tokens.iter().fold(builder, |builder, token| builder.grant_token(token))
    }

    /// Returns a keyring without keys, for work on metadata alone.
    pub(crate) fn empty(&self) -> KmsKeyring {
        self.kms_builder().build().expect("no ARN to parse")
    }

    /// Returns a keyring of exactly these keys; `kms` builds the part of KMS.
    ///
    /// # Errors
    /// A local key is named that is not the one in use.
    pub(crate) fn of(
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
                    let error = format!("cannot wrap under local key {name}: it is not loaded");
                    let advice = "pass the key's file with --local-key; the file and `sealwax inspect` show its name";
                    return Err(Failure::new(Exit::Usage, error, advice));
                }
            }
        }
        Ok(match (arns.is_empty(), local) {
            (true, Some(local)) => local,
            (_, local) => {
                let kms = kms.keys(arns).build().map_err(Failure::usage)?;
                if local.is_some() { self.with_local(kms) } else { Arc::new(kms) }
            }
        })
    }

    /// Returns a keyring of these keys and the local one. The local key must wrap a new data key,
    /// and `at_least` this many of the others, or all.
    ///
    /// # Errors
    /// There is no key, or fewer than `at_least`.
    pub(crate) fn writing(
        &self,
        keys: Vec<KmsKeyArn>,
        at_least: Option<u8>,
    ) -> Result<Arc<dyn Keyring>, Failure> {
        if keys.is_empty() {
            let advice = "pass --key ARN or --local-key FILE, set SEALWAX_KEYS, or set `keys` in a profile of sealwax.toml";
            let none = || Failure::new(Exit::Usage, "no key to wrap the data key under", advice);
            return self.local.clone().map(|local| local as _).ok_or_else(none);
        }
        let distinct = keys.iter().collect::<BTreeSet<_>>().len();
        if let Some(count) = at_least.filter(|count| usize::from(*count) > distinct) {
            let are = if distinct == 1 { "key is" } else { "keys are" };
            let error = format!("--at-least {count}, but only {distinct} {are} given");
            let advice = "pass more keys with --key, or a smaller number";
            return Err(Failure::new(Exit::Usage, error, advice));
        }
        let policy = at_least.map_or(WrapPolicy::All, |count| WrapPolicy::AtLeast(count.into()));
        let kms = self.kms_builder().keys(keys).wrap_policy(policy).build();
        let kms = kms.map_err(Failure::usage)?;
        Ok(match self.local.clone() {
            None => Arc::new(kms),
            // The wrap policy holds for keys that the KMS part generates.
            Some(local) => Arc::new(MultiKeyring::new(Arc::new(kms), [local as Arc<dyn Keyring>])),
        })
    }

    /// Returns a keyring to read with: of the named keys and the local one, else of all keys in the
    /// named accounts, else in the caller's own account.
    ///
    /// # Errors
    /// STS does not return the caller's account.
    pub(crate) async fn reading(&self, args: ReaderArgs) -> Result<Arc<dyn Keyring>, Failure> {
        Ok(self.with_local(self.kms(args, &[], None).await?))
    }

    /// Returns the same, restricted to keys in these Regions if any are named. A local key is in
    /// none.
    ///
    /// # Errors
    /// As [`Keyrings::reading`].
    pub(crate) async fn reading_in(
        &self,
        args: ReaderArgs,
        regions: &[String],
    ) -> Result<Arc<dyn Keyring>, Failure> {
        let kms = self.kms(args, regions, None).await?;
        Ok(if regions.is_empty() { self.with_local(kms) } else { Arc::new(kms) })
    }

    /// Returns such a keyring for drills and verifications: each wrapped form of an intermediate key is
    /// unwrapped once for all objects that have it.
    ///
    /// # Errors
    /// As [`Keyrings::reading`].
    pub(crate) async fn verifying_in(
        &self,
        args: ReaderArgs,
        regions: &[String],
    ) -> Result<CachingKeyring, Failure> {
        let limits = CacheLimits::new().with_max_entries(REMEMBERED);
        let keyring = self.reading_in(args, regions).await?;
        Ok(CachingKeyring::with_limits(keyring, limits).by_form())
    }

    /// Returns the KMS part of such a keyring, with at most `calls_per_second` calls to each
    /// Region.
    ///
    /// # Errors
    /// As [`Keyrings::reading`].
    pub(crate) async fn kms(
        &self,
        args: ReaderArgs,
        regions: &[String],
        calls_per_second: Option<u32>,
    ) -> Result<KmsKeyring, Failure> {
        let builder = match calls_per_second {
            Some(calls) => self.kms_builder().calls_per_second(calls),
            None => self.kms_builder(),
        };
        if !args.keys.is_empty() {
            let meant = |key: &KmsKeyArn| {
                regions.is_empty() || regions.iter().any(|region| region == key.region())
            };
            let keys = args.keys.into_iter().filter(meant);
            return builder.keys(keys).build().map_err(Failure::usage);
        }
        let filter = match (args.accounts.is_empty(), &self.local) {
            // A caller who names a local key and nothing else needs no KMS.
            (true, Some(_)) if !args.besides_local => {
                return builder.build().map_err(Failure::usage);
            }
            (true, _) => self.own_account().await?,
            (false, _) => {
                let region = self.config.region().map(AsRef::as_ref).unwrap_or_default();
                DiscoveryFilter::accounts(args.accounts).partition(partition_of(region))
            }
        };
        let filter = if regions.is_empty() { filter } else { filter.regions(regions) };
        let builder = match args.source_region {
            Some(region) => builder.discovery_region(region),
            None => builder,
        };
        builder.discovery(filter).build().map_err(Failure::usage)
    }

    /// Returns this keyring and the local key, if one is used. The local key is tried first.
    pub(crate) fn with_local(&self, kms: impl Keyring + 'static) -> Arc<dyn Keyring> {
        match &self.local {
            None => Arc::new(kms),
            Some(local) => Arc::new(MultiKeyring::new(
                Arc::clone(local) as Arc<dyn Keyring>,
                [Arc::new(kms) as Arc<dyn Keyring>],
            )),
        }
    }

    /// Returns a keyring to wrap under the keys that the caller named: those of `kms`, and the local
    /// one.
    ///
    /// # Errors
    /// None is named: `kms` may use keys, but no one said which.
    pub(crate) fn named(&self, kms: &KmsKeyring) -> Result<Arc<dyn Keyring>, Failure> {
        match (kms.keys(), &self.local) {
            ([], None) => Err(Failure::new(
                Exit::Usage,
                "no key to wrap the new data key under",
                "name the new object's wrapping keys with --under or --key",
            )),
            ([], Some(local)) => Ok(Arc::clone(local) as _),
            (keys, _) => {
                let kms = kms.sibling().keys(keys).build().map_err(Failure::usage)?;
                Ok(self.with_local(kms))
            }
        }
    }

    /// Returns a filter for the caller's own account, by STS.
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
                if let Some(failure) = credentials::missing(&self.config).await {
                    return Err(failure);
                }
                let error = Error::from_sdk("call", "STS", "GetCallerIdentity", None, &error);
                let exit = match error.kind() {
                    ErrorKind::InsecureEndpoint => return Err(error.into()),
                    ErrorKind::AccessDenied | ErrorKind::Credentials => Exit::Denied,
                    _ => Exit::Failed,
                };
                return Err(unknown_account(exit, &error_chain(&error)));
            }
        };
        let partition = caller.arn().and_then(|arn| arn.split(':').nth(1));
        match (caller.account(), partition) {
            (Some(account), Some(partition)) => {
                Ok(DiscoveryFilter::accounts([account]).partition(partition))
            }
            _ => {
                Err(unknown_account(Exit::Failed, "the response of STS GetCallerIdentity has none"))
            }
        }
    }
}

/// `true` if this is the local key's name.
fn is_named(key: &LocalKeyring, name: &str) -> bool {
    key.name() == name
}

fn unknown_account(exit: Exit, why: &str) -> Failure {
    let advice = "name the wrapping keys with --key, or their account with --account";
    Failure::new(exit, format!("cannot determine the caller's account: {why}"), advice)
}
