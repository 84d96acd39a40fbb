//! Settings from the function's environment and from a job's arguments.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aws_config::{Region, SdkConfig};
use sealwax_s3::{
    DiscoveryFilter, Error, KeyChanges, KeyStorage, KeyStorePolicy, KmsKeyArn, KmsKeyring,
    PlacePolicy, Rewrapper, SealedClient, SidecarPolicy,
    aws_sdk_s3::{Client, config::Builder},
    envelope::CachingKeyring,
    s3ec::{CommitmentPolicy, S3ec},
};

/// Prefix of the environment variables; the argument's name follows, in capitals.
const PREFIX: &str = "SEALWAX_REWRAP_";

/// Rights of a job over a setting. It can narrow what the environment allows, and never widen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JobAccess {
    /// No right: the setting decides which objects and keys are trusted, or which services are
    /// called.
    None,
    /// Sets it if the environment doesn't.
    Set,
    /// Chooses from the environment's `keys` if the environment doesn't set it.
    ChooseKeys,
    /// Sets it to this value, the narrowest, whatever the environment says.
    Narrow(&'static str),
}

/// Commitment policy that reads the fewest formats.
const STRICT_POLICY: &str = "require-encrypt-require-decrypt";

/// Names of all settings, and what a job may do with each.
const NAMES: [(&str, JobAccess); 19] = [
    ("accounts", JobAccess::None),
    ("add", JobAccess::ChooseKeys),
    ("commitment_policy", JobAccess::Narrow(STRICT_POLICY)),
    ("instruction_file_suffix", JobAccess::None),
    ("key_store", JobAccess::None),
    ("keys", JobAccess::None),
    ("kms_calls_per_second", JobAccess::None),
    ("legacy_unauthenticated_modes", JobAccess::Narrow("false")),
    ("legacy_wrapping_algorithms", JobAccess::Narrow("false")),
    ("no_s3ec", JobAccess::Narrow("true")),
    ("partition", JobAccess::None),
    ("rebind", JobAccess::Narrow("false")),
    ("refresh", JobAccess::Set),
    ("region", JobAccess::None),
    ("remove", JobAccess::Set),
    ("replace", JobAccess::ChooseKeys),
    ("replicas", JobAccess::None),
    ("sidecars", JobAccess::None),
    ("to_sidecar", JobAccess::Set),
];

/// An invalid setting.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct InvalidSetting(String);

/// Unparsed settings, without empty ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RawSettings(BTreeMap<&'static str, String>);

impl RawSettings {
    /// Reads the environment: `SEALWAX_REWRAP_ADD` and so on.
    ///
    /// # Errors
    /// A variable has the prefix but is not a setting, such as a mistyped one.
    pub(crate) fn from_environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, InvalidSetting> {
        let mut raw = Self::default();
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            let known = NAMES.iter().find(|(known, _)| known.to_uppercase() == name);
            let (name, _) =
                known.ok_or_else(|| InvalidSetting(format!("there is no setting {variable}")))?;
            raw.set(name, &value);
        }
        Ok(raw)
    }

    /// Adds the arguments of a job.
    ///
    /// # Errors
    /// An argument does not exist, is reserved for the environment, contradicts the environment, or
    /// names a key to wrap under that is not one of the environment's `keys`.
    pub(crate) fn with_arguments(
        &self,
        arguments: &BTreeMap<String, String>,
    ) -> Result<Self, InvalidSetting> {
        let mut raw = self.clone();
        for (argument, value) in arguments {
            let Some(&(name, access)) = NAMES.iter().find(|(known, _)| known == argument) else {
                return Err(InvalidSetting(format!("there is no argument {argument}")));
            };
            if access == JobAccess::None {
                return Err(InvalidSetting(format!(
                    "a job cannot set {argument}: set it in the function's environment"
                )));
            }
            if let JobAccess::Narrow(narrowest) = access {
                if value.trim() != narrowest {
                    return Err(InvalidSetting(format!(
                        "a job can set {argument} to {narrowest} only: set it in the function's \
                         environment"
                    )));
                }
                raw.set(name, value);
                continue;
            }
            if self.0.get(name).is_some_and(|set| set != value.trim()) {
                return Err(InvalidSetting(format!(
                    "{argument} has another value in the function's environment"
                )));
            }
            raw.set(name, value);
            if access == JobAccess::ChooseKeys && !self.0.contains_key(name) {
                let keys = self.arns("keys")?;
                if let Some(key) = raw.arns(name)?.into_iter().find(|key| !keys.contains(key)) {
                    return Err(InvalidSetting(format!(
                        "invalid {argument}: a job can name keys of {PREFIX}KEYS only, and {key} is not one"
                    )));
                }
            }
        }
        Ok(raw)
    }

    fn set(&mut self, name: &'static str, value: &str) {
        if !value.trim().is_empty() {
            self.0.insert(name, value.trim().to_owned());
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(NAMES.iter().any(|(known, _)| *known == name), "{name}");
        self.0.get(name).map(String::as_str)
    }

    /// Returns the items of a list, which are separated by spaces or commas.
    fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        let text = self.get(name).unwrap_or_default();
        text.split([' ', ',', '\n']).filter(|item| !item.is_empty())
    }

    fn is_set(&self, name: &'static str) -> Result<bool, InvalidSetting> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(invalid(name, &format!("must be true or false (got {other:?})"))),
        }
    }

    /// Returns the settings for objects of the S3 Encryption Client, under KMS keys only.
    fn s3ec(&self) -> Result<S3ecSettings, InvalidSetting> {
        let commitment_policy = match self.get("commitment_policy") {
            None | Some(STRICT_POLICY) => CommitmentPolicy::RequireEncryptRequireDecrypt,
            Some("require-encrypt-allow-decrypt") => CommitmentPolicy::RequireEncryptAllowDecrypt,
            Some("forbid-encrypt-allow-decrypt") => CommitmentPolicy::ForbidEncryptAllowDecrypt,
            Some(other) => {
                let why = format!(
                    "must be {STRICT_POLICY}, require-encrypt-allow-decrypt or \
                     forbid-encrypt-allow-decrypt (got {other:?})"
                );
                return Err(invalid("commitment_policy", &why));
            }
        };
        Ok(S3ecSettings {
            refused: self.is_set("no_s3ec")?,
            commitment_policy,
            legacy_wrapping_algorithms: self.is_set("legacy_wrapping_algorithms")?,
            legacy_unauthenticated_modes: self.is_set("legacy_unauthenticated_modes")?,
            instruction_file_suffix: self.get("instruction_file_suffix").map(str::to_owned),
        })
    }

    fn arns(&self, name: &str) -> Result<Vec<KmsKeyArn>, InvalidSetting> {
        self.list(name).map(|arn| arn.parse().map_err(|error| invalid(name, &error))).collect()
    }

    /// Returns the buckets that are replicas, each with its source.
    fn replicas(&self) -> Result<Vec<(String, String)>, InvalidSetting> {
        let pair = |item: &str| {
            let pair = item.split_once('=').filter(|(replica, source)| {
                [replica, source].iter().all(|name| !name.is_empty() && !name.contains(['/', '=']))
            });
            let (replica, source) = pair.ok_or_else(|| {
                let why = format!("must be REPLICA=SOURCE pairs of bucket names (got {item:?})");
                invalid("replicas", &why)
            })?;
            Ok((replica.to_owned(), source.to_owned()))
        };
        self.list("replicas").map(pair).collect()
    }
}

/// A client, and what it changes.
#[derive(Debug, Clone)]
pub(crate) struct Rewrappers {
    pub(crate) client: SealedClient,
    /// Rewraps objects.
    pub(crate) objects: Rewrapper,
    /// Changes of the keys of a key store.
    pub(crate) changes: KeyChanges,
}

/// Settings for objects of the S3 Encryption Client.
#[derive(Debug, Clone, PartialEq, Eq)]
struct S3ecSettings {
    refused: bool,
    commitment_policy: CommitmentPolicy,
    legacy_wrapping_algorithms: bool,
    legacy_unauthenticated_modes: bool,
    instruction_file_suffix: Option<String>,
}

impl S3ecSettings {
    /// Returns the client's settings. A rewrap keeps the encryption context, whatever it is.
    fn to_client(&self) -> S3ec {
        if self.refused {
            return S3ec::refused();
        }
        let s3ec = S3ec::new()
            .commitment_policy(self.commitment_policy)
            .legacy_wrapping_algorithms(self.legacy_wrapping_algorithms)
            .legacy_unauthenticated_modes(self.legacy_unauthenticated_modes);
        match &self.instruction_file_suffix {
            Some(suffix) => s3ec.instruction_file_suffix(suffix),
            None => s3ec,
        }
    }
}

/// Parsed settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    add: Vec<KmsKeyArn>,
    replace: Vec<KmsKeyArn>,
    remove: Vec<KmsKeyArn>,
    /// `true` to rewrap keys that are wrapped under older key material.
    pub(crate) refresh: bool,
    /// `true` to bind the requested keys to a replica's own place, even if the object has them bound to
    /// its place in the source.
    rebind: bool,
    /// Buckets that are replicas, each with its source.
    replicas: Vec<(String, String)>,
    key_storage: KeyStorage,
    sidecars: SidecarPolicy,
    key_store: KeyStorePolicy,
    /// Keys to read with.
    keys: Vec<KmsKeyArn>,
    /// Accounts whose keys may be used to read.
    discovery: Option<DiscoveryFilter>,
    calls_per_second: Option<u32>,
    /// The buckets' Region, if it is not the function's.
    region: Option<Region>,
    s3ec: S3ecSettings,
}

impl Settings {
    /// Parses settings.
    ///
    /// # Errors
    /// A setting is missing or invalid.
    pub(crate) fn new(raw: &RawSettings) -> Result<Self, InvalidSetting> {
        let keys = raw.arns("keys")?;
        let discovery = raw.get("accounts").map(|_| {
            DiscoveryFilter::accounts(raw.list("accounts"))
                .partition(raw.get("partition").unwrap_or("aws"))
        });
        if keys.is_empty() && discovery.is_none() {
            return Err(InvalidSetting(format!(
                "no keys to open objects with: set {PREFIX}KEYS or {PREFIX}ACCOUNTS"
            )));
        }
        let key_storage = match raw.get("to_sidecar") {
            None | Some("never") => KeyStorage::Metadata,
            Some("needed") => KeyStorage::SidecarWhereNeeded,
            Some("always") => KeyStorage::Sidecar,
            Some(other) => {
                return Err(invalid(
                    "to_sidecar",
                    &format!("must be one of never, needed, always (got {other:?})"),
                ));
            }
        };
        let calls = raw.get("kms_calls_per_second").map(str::parse).transpose();
        let calls_per_second: Option<u32> =
            calls.map_err(|error| invalid("kms_calls_per_second", &error))?;
        if calls_per_second == Some(0) {
            return Err(invalid("kms_calls_per_second", &"must be at least 1"));
        }
        Ok(Self {
            add: raw.arns("add")?,
            replace: raw.arns("replace")?,
            remove: raw.arns("remove")?,
            refresh: raw.is_set("refresh")?,
            rebind: raw.is_set("rebind")?,
            replicas: raw.replicas()?,
            key_storage,
            sidecars: raw
                .get("sidecars")
                .map_or_else(SidecarPolicy::off, SidecarPolicy::with_suffix),
            key_store: match raw.get("key_store") {
                None | Some("false") => KeyStorePolicy::off(),
                Some("true") => KeyStorePolicy::on(),
                Some(prefix) => KeyStorePolicy::with_prefix(prefix),
            },
            keys,
            discovery,
            calls_per_second,
            region: raw.get("region").map(|region| Region::new(region.to_owned())),
            s3ec: raw.s3ec()?,
        })
    }

    /// Returns what rewraps objects and keys.
    ///
    /// # Errors
    /// The settings change no key.
    pub(crate) fn rewrappers(&self, config: &SdkConfig) -> Result<Rewrappers, Error> {
        let config = match &self.region {
            Some(region) => config.to_builder().region(region.clone()).build(),
            None => config.clone(),
        };
        let mut reading = KmsKeyring::builder(&config).keys(&self.keys);
        if let Some(discovery) = &self.discovery {
            reading = reading.discovery(discovery.clone());
        }
        if let Some(calls) = self.calls_per_second {
            reading = reading.calls_per_second(calls);
        }
        let reading = Arc::new(reading.build().expect("parsed ARNs"));
        let places =
            self.replicas.iter().fold(PlacePolicy::bound(), |places, (replica, source)| {
                places.replica_of(replica, source)
            });
        let changes = self.key_changes(&reading);
        // Outside AWS, buckets seldom have host names of their own.
        let s3 = Builder::from(&config).force_path_style(config.endpoint_url().is_some()).build();
        // Unwraps an intermediate key once for many objects.
        let client = SealedClient::builder(Client::from_conf(s3), CachingKeyring::new(reading));
        let client = client.places(places).sidecars(self.sidecars.clone());
        let client = client.key_store(self.key_store.clone());
        let client = client.s3ec(self.s3ec.to_client()).build();
        let objects = client.rewrapper(changes.clone())?.key_storage(self.key_storage);
        Ok(Rewrappers { client, objects, changes })
    }

    /// Returns the key changes in the order that the command uses: replace, add, refresh, remove.
    fn key_changes(&self, reading: &KmsKeyring) -> KeyChanges {
        let keyring =
            |keys: &[KmsKeyArn]| reading.sibling().keys(keys).build().expect("parsed ARNs");
        let mut changes = KeyChanges::new();
        if !self.replace.is_empty() {
            changes = changes.replace_keys(keyring(&self.replace));
        }
        if !self.add.is_empty() {
            changes = changes.add_keys(keyring(&self.add));
        }
        if self.refresh {
            changes = changes.refresh_keys();
        }
        if self.rebind {
            changes = changes.rebind();
        }
        self.remove.iter().fold(changes, |changes, key| changes.remove_key(key.as_str()))
    }
}

fn invalid(name: &str, why: &dyn fmt::Display) -> InvalidSetting {
    InvalidSetting(format!("invalid {name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EAST: &str = "arn:aws:kms:us-east-1:111122223333:key/e";
    const WEST: &str = "arn:aws:kms:us-west-2:111122223333:key/w";

    fn environment(variables: &[(&str, &str)]) -> Result<RawSettings, InvalidSetting> {
        RawSettings::from_environment(
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    fn arguments(arguments: &[(&str, &str)]) -> BTreeMap<String, String> {
        arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn settings_come_from_the_environment_and_the_job() {
        let raw = environment(&[
            ("PATH", "/bin"),
            ("SEALWAX_REWRAP_KEYS", &format!("{EAST}, {WEST}")),
            ("SEALWAX_REWRAP_REPLICAS", "invoices-west=invoices, orders-west=orders"),
            ("SEALWAX_REWRAP_REMOVE", ""),
        ])
        .expect("settings");
        let job = arguments(&[("add", WEST), ("remove", EAST), ("to_sidecar", "needed")]);
        let settings =
            Settings::new(&raw.with_arguments(&job).expect("settings")).expect("settings");
        let (east, west) = (EAST.parse().expect("an ARN"), WEST.parse().expect("an ARN"));
        let expected = Settings {
            add: vec![west],
            replace: Vec::new(),
            remove: vec![east],
            refresh: false,
            rebind: false,
            replicas: vec![
                ("invoices-west".into(), "invoices".into()),
                ("orders-west".into(), "orders".into()),
            ],
            key_storage: KeyStorage::SidecarWhereNeeded,
            sidecars: SidecarPolicy::off(),
            key_store: KeyStorePolicy::off(),
            keys: vec![EAST.parse().expect("an ARN"), WEST.parse().expect("an ARN")],
            discovery: None,
            calls_per_second: None,
            region: None,
            s3ec: S3ecSettings {
                refused: false,
                commitment_policy: CommitmentPolicy::RequireEncryptRequireDecrypt,
                legacy_wrapping_algorithms: false,
                legacy_unauthenticated_modes: false,
                instruction_file_suffix: None,
            },
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn the_readme_lists_each_setting() {
        let readme = include_str!("../README.md");
        for (name, access) in NAMES {
            let is_argument = access != JobAccess::None;
            let argument = if is_argument { format!("`{name}`") } else { String::new() };
            let row = format!("| `{PREFIX}{}` | {argument}", name.to_uppercase());
            assert!(readme.contains(&row), "{row}");
        }
        assert_eq!(readme.matches(&format!("| `{PREFIX}")).count(), NAMES.len());
    }

    #[test]
    fn invalid_settings_are_rejected() {
        let rejected = |variables: &[(&str, &str)]| {
            environment(variables)
                .and_then(|raw| Settings::new(&raw))
                .expect_err("refused")
                .to_string()
        };
        let keys = ("SEALWAX_REWRAP_KEYS", EAST);
        assert_eq!(
            rejected(&[("SEALWAX_REWRAP_ADDS", WEST)]),
            "there is no setting SEALWAX_REWRAP_ADDS"
        );
        assert!(
            rejected(&[("SEALWAX_REWRAP_ADD", WEST)])
                .starts_with("no keys to open objects with: set SEALWAX_REWRAP_KEYS or")
        );
        for (variable, value, expected) in [
            ("SEALWAX_REWRAP_ADD", "alias/west", "invalid add: "),
            (
                "SEALWAX_REWRAP_TO_SIDECAR",
                "yes",
                "invalid to_sidecar: must be one of never, needed, always (got \"yes\")",
            ),
            (
                "SEALWAX_REWRAP_REFRESH",
                "yes",
                "invalid refresh: must be true or false (got \"yes\")",
            ),
            (
                "SEALWAX_REWRAP_REPLICAS",
                "invoices",
                "invalid replicas: must be REPLICA=SOURCE pairs of bucket names (got \"invoices\")",
            ),
            ("SEALWAX_REWRAP_REPLICAS", "a=b/c", "invalid replicas: must be REPLICA=SOURCE pairs"),
            ("SEALWAX_REWRAP_REPLICAS", "a=b=c", "invalid replicas: must be REPLICA=SOURCE pairs"),
            ("SEALWAX_REWRAP_REPLICAS", "=b", "invalid replicas: must be REPLICA=SOURCE pairs"),
            (
                "SEALWAX_REWRAP_KMS_CALLS_PER_SECOND",
                "0",
                "invalid kms_calls_per_second: must be at least 1",
            ),
        ] {
            let message = rejected(&[keys, (variable, value)]);
            assert!(message.starts_with(expected), "{message}");
        }
    }

    /// Each setting × set in the environment or not × what a job says of it.
    #[test]
    fn a_job_narrows_and_never_widens() {
        const OTHER: &str = "arn:aws:kms:us-east-1:444455556666:key/o";
        /// Result of one row: the setting that applies, or the reason of the refusal.
        type Expected = Result<Option<&'static str>, &'static str>;
        const FIXED: &str = "has another value in the function's environment";
        const RESERVED: &str = "a job cannot set";
        const NARROW: &str = " only: set it in the function's environment";
        const ALLOW: &str = "require-encrypt-allow-decrypt";
        const FOREIGN: &str = "a job can name keys of SEALWAX_REWRAP_KEYS only";
        let table: &[(&str, Option<&str>, &str, Expected)] = &[
            // Reserved for the environment, even to repeat what it says.
            ("accounts", None, "444455556666", Err(RESERVED)),
            ("accounts", Some("111122223333"), "111122223333", Err(RESERVED)),
            ("keys", Some(EAST), OTHER, Err(RESERVED)),
            ("keys", Some(EAST), EAST, Err(RESERVED)),
            ("kms_calls_per_second", None, "100", Err(RESERVED)),
            ("partition", None, "aws-cn", Err(RESERVED)),
            ("region", None, "us-west-2", Err(RESERVED)),
            ("replicas", None, "invoices-west=secrets", Err(RESERVED)),
            ("replicas", Some("invoices-west=invoices"), "invoices-west=secrets", Err(RESERVED)),
            ("replicas", Some(""), "invoices-west=secrets", Err(RESERVED)),
            ("sidecars", None, ".sealwax", Err(RESERVED)),
            ("key_store", None, ".sealwax", Err(RESERVED)),
            ("sidecars", Some(".sealwax"), "", Err(RESERVED)),
            // Keys to wrap under: the environment's own, of which a job chooses.
            ("add", None, WEST, Ok(Some(WEST))),
            ("add", None, OTHER, Err(FOREIGN)),
            ("add", None, "", Ok(None)),
            ("add", Some(""), WEST, Ok(Some(WEST))),
            ("add", Some(""), OTHER, Err(FOREIGN)),
            ("add", Some(WEST), WEST, Ok(Some(WEST))),
            ("add", Some(WEST), EAST, Err(FIXED)),
            ("add", Some(WEST), "", Err(FIXED)),
            ("add", Some(OTHER), OTHER, Ok(Some(OTHER))),
            ("replace", None, WEST, Ok(Some(WEST))),
            ("replace", None, OTHER, Err(FOREIGN)),
            ("replace", Some(WEST), EAST, Err(FIXED)),
            ("replace", Some(WEST), "", Err(FIXED)),
            // Changes that add no reader.
            ("rebind", None, "true", Err(NARROW)),
            ("rebind", Some("false"), "true", Err(NARROW)),
            ("rebind", Some("true"), "false", Ok(Some("false"))),
            ("refresh", None, "true", Ok(Some("true"))),
            ("refresh", Some("false"), "true", Err(FIXED)),
            ("remove", None, OTHER, Ok(Some(OTHER))),
            ("remove", Some(EAST), WEST, Err(FIXED)),
            ("to_sidecar", None, "always", Ok(Some("always"))),
            ("to_sidecar", Some("never"), "always", Err(FIXED)),
            // Formats of the S3 Encryption Client: a job reads fewer, never more.
            ("commitment_policy", None, ALLOW, Err(NARROW)),
            ("commitment_policy", None, STRICT_POLICY, Ok(Some(STRICT_POLICY))),
            ("commitment_policy", Some(ALLOW), STRICT_POLICY, Ok(Some(STRICT_POLICY))),
            ("legacy_wrapping_algorithms", None, "true", Err(NARROW)),
            ("legacy_wrapping_algorithms", Some("true"), "false", Ok(Some("false"))),
            ("legacy_unauthenticated_modes", None, "true", Err(NARROW)),
            ("legacy_unauthenticated_modes", Some("true"), "", Err(NARROW)),
            ("no_s3ec", Some("false"), "true", Ok(Some("true"))),
            ("no_s3ec", Some("true"), "false", Err(NARROW)),
            ("instruction_file_suffix", None, ".key", Err(RESERVED)),
            // Not settings.
            ("ADD", None, WEST, Err("there is no argument ADD")),
            ("replica_of", None, "secrets", Err("there is no argument replica_of")),
        ];
        for (name, of_environment, of_job, expected) in table {
            let mut variables =
                BTreeMap::from([("SEALWAX_REWRAP_KEYS".to_owned(), format!("{EAST} {WEST}"))]);
            if let Some(value) = of_environment {
                variables.insert(format!("{PREFIX}{}", name.to_uppercase()), (*value).to_owned());
            }
            let raw = RawSettings::from_environment(variables).expect("settings");
            let row = format!("{name}: {of_environment:?}, then {of_job:?} by the job");
            match (raw.with_arguments(&arguments(&[(name, of_job)])), expected) {
                (Ok(settings), Ok(expected)) => {
                    assert_eq!(settings.get(name), *expected, "{row}");
                    Settings::new(&settings).expect(&row);
                }
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{row}: {error}");
                }
                (found, _) => panic!("{row}: {found:?}"),
            }
        }
        for (name, _) in NAMES {
            assert!(table.iter().any(|(listed, ..)| *listed == name), "{name} is not in the table");
        }
    }

    /// A job with `accounts` alone in the environment can name no key to wrap under.
    #[test]
    fn accounts_are_not_keys_to_wrap_under() {
        let raw = environment(&[("SEALWAX_REWRAP_ACCOUNTS", "111122223333")]).expect("settings");
        let refused = raw.with_arguments(&arguments(&[("add", EAST)])).expect_err("refused");
        assert_eq!(
            refused.to_string(),
            format!(
                "invalid add: a job can name keys of SEALWAX_REWRAP_KEYS only, and {EAST} is not one"
            )
        );
    }
}
