//! Settings from the function's environment and from a job's arguments.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aws_config::{Region, SdkConfig};
use sealwax_s3::{
    DiscoveryFilter, Error, KeyChanges, KeyStorage, KmsKeyArn, KmsKeyring, PlacePolicy, Rewrapper,
    SealedClient, SidecarPolicy,
    aws_sdk_s3::{Client, config::Builder},
    envelope::CachingKeyring,
};

/// Prefix of the environment variables; the argument's name follows, in capitals.
const PREFIX: &str = "SEALWAX_REWRAP_";

/// Names of all settings, and `true` for those that a job may set too. A job cannot set those that
/// decide which objects are trusted.
const NAMES: [(&str, bool); 12] = [
    ("accounts", false),
    ("add", true),
    ("keys", false),
    ("kms_calls_per_second", false),
    ("partition", false),
    ("refresh", true),
    ("region", false),
    ("remove", true),
    ("replace", true),
    ("replica_of", true),
    ("sidecars", false),
    ("to_sidecar", true),
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
    /// An argument does not exist, is reserved for the environment, or contradicts the environment.
    pub(crate) fn with_arguments(
        &self,
        arguments: &BTreeMap<String, String>,
    ) -> Result<Self, InvalidSetting> {
        let mut raw = self.clone();
        for (argument, value) in arguments {
            let name = match NAMES.iter().find(|(known, _)| known == argument) {
                Some((name, true)) => name,
                Some((_, false)) => {
                    return Err(InvalidSetting(format!(
                        "a job cannot set {argument}: set it in the function's environment"
                    )));
                }
                None => return Err(InvalidSetting(format!("there is no argument {argument}"))),
            };
            if self.0.get(name).is_some_and(|set| set != value.trim()) {
                return Err(InvalidSetting(format!(
                    "{argument} has another value in the function's environment"
                )));
            }
            raw.set(name, value);
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

    fn arns(&self, name: &str) -> Result<Vec<KmsKeyArn>, InvalidSetting> {
        self.list(name).map(|arn| arn.parse().map_err(|error| invalid(name, &error))).collect()
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
    replica_of: Option<String>,
    key_storage: KeyStorage,
    sidecars: SidecarPolicy,
    /// Keys to read with.
    keys: Vec<KmsKeyArn>,
    /// Accounts whose keys may be used to read.
    discovery: Option<DiscoveryFilter>,
    calls_per_second: Option<u32>,
    /// The buckets' Region, if it is not the function's.
    region: Option<Region>,
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
        let refresh = match raw.get("refresh") {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                return Err(invalid("refresh", &format!("must be true or false (got {other:?})")));
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
            refresh,
            replica_of: raw.get("replica_of").map(str::to_owned),
            key_storage,
            sidecars: raw
                .get("sidecars")
                .map_or_else(SidecarPolicy::off, SidecarPolicy::with_suffix),
            keys,
            discovery,
            calls_per_second,
            region: raw.get("region").map(|region| Region::new(region.to_owned())),
        })
    }

    /// Returns a client and a rewrapper for the objects of `bucket`.
    ///
    /// # Errors
    /// The settings change no key.
    pub(crate) fn rewrapper(
        &self,
        config: &SdkConfig,
        bucket: &str,
    ) -> Result<(SealedClient, Rewrapper), Error> {
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
        let places = match &self.replica_of {
            Some(source) => PlacePolicy::bound().replica_of(bucket, source),
            None => PlacePolicy::bound(),
        };
        let changes = self.key_changes(&reading);
        // Outside AWS, buckets seldom have host names of their own.
        let s3 = Builder::from(&config).force_path_style(config.endpoint_url().is_some()).build();
        // Unwraps an intermediate key once for many objects, for as long as Lambda keeps this
        // process.
        let client = SealedClient::builder(Client::from_conf(s3), CachingKeyring::new(reading));
        let client = client.places(places).sidecars(self.sidecars.clone()).build();
        let rewrapper = client.rewrapper(changes)?.key_storage(self.key_storage);
        Ok((client, rewrapper))
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
            ("SEALWAX_REWRAP_REPLICA_OF", "invoices"),
            ("SEALWAX_REWRAP_REMOVE", ""),
        ])
        .expect("settings");
        let job = arguments(&[
            ("add", WEST),
            ("remove", EAST),
            ("replica_of", "invoices"),
            ("to_sidecar", "needed"),
        ]);
        let settings =
            Settings::new(&raw.with_arguments(&job).expect("settings")).expect("settings");
        let (east, west) = (EAST.parse().expect("an ARN"), WEST.parse().expect("an ARN"));
        let expected = Settings {
            add: vec![west],
            replace: Vec::new(),
            remove: vec![east],
            refresh: false,
            replica_of: Some("invoices".into()),
            key_storage: KeyStorage::SidecarWhereNeeded,
            sidecars: SidecarPolicy::off(),
            keys: vec![EAST.parse().expect("an ARN"), WEST.parse().expect("an ARN")],
            discovery: None,
            calls_per_second: None,
            region: None,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn the_readme_lists_each_setting() {
        let readme = include_str!("../README.md");
        for (name, by_job) in NAMES {
            let argument = if by_job { format!("`{name}`") } else { String::new() };
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
                "SEALWAX_REWRAP_KMS_CALLS_PER_SECOND",
                "0",
                "invalid kms_calls_per_second: must be at least 1",
            ),
        ] {
            let message = rejected(&[keys, (variable, value)]);
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_job_cannot_widen_trust() {
        let raw = environment(&[
            ("SEALWAX_REWRAP_ACCOUNTS", "111122223333"),
            ("SEALWAX_REWRAP_ADD", WEST),
        ]);
        let raw = raw.expect("settings");
        assert!(Settings::new(&raw).is_ok());
        for (name, value, expected) in [
            (
                "accounts",
                "444455556666",
                "a job cannot set accounts: set it in the function's environment",
            ),
            ("keys", EAST, "a job cannot set keys: set it in the function's environment"),
            ("add", EAST, "add has another value in the function's environment"),
            ("add", "", "add has another value in the function's environment"),
            ("ADD", WEST, "there is no argument ADD"),
        ] {
            let message =
                raw.with_arguments(&arguments(&[(name, value)])).expect_err(name).to_string();
            assert_eq!(message, expected);
        }
    }
}
