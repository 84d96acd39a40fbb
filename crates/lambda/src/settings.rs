//! What is to be done with the objects: by the function's environment, and by a job's arguments.

use std::{collections::BTreeMap, fmt, sync::Arc};

use aws_config::{Region, SdkConfig};
use sealwax_s3::{
    DiscoveryFilter, Error, KeyChanges, KeyStorage, KmsKeyArn, KmsKeyring, PlacePolicy, Rewrapper,
    SealedClient, SidecarPolicy, aws_sdk_s3::Client, aws_sdk_s3::config::Builder,
    envelope::CachingKeyring,
};

/// What the names of the variables begin with. The rest is the argument's name, in capitals.
const PREFIX: &str = "SEALWAX_REWRAP_";

/// All names, and whether a job may set them too. What decides which objects are trusted, it may not.
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

/// A setting that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Invalid(String);

/// Settings as they were given, without the empty ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Given(BTreeMap<&'static str, String>);

impl Given {
    /// Those of the environment: `SEALWAX_REWRAP_ADD` and so on.
    ///
    /// # Errors
    /// A variable that is none of ours though its name begins as theirs: a mistyped one must not go unnoticed.
    pub(crate) fn by_environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Invalid> {
        let mut given = Self::default();
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            let known = NAMES.iter().find(|(known, _)| known.to_uppercase() == name);
            let (name, _) =
                known.ok_or_else(|| Invalid(format!("there is no setting {variable}")))?;
            given.set(name, &value);
        }
        Ok(given)
    }

    /// These, and those of a job.
    ///
    /// # Errors
    /// An argument that does not exist, that a job may not set, or that the environment sets in another way.
    pub(crate) fn and_of_job(&self, arguments: &BTreeMap<String, String>) -> Result<Self, Invalid> {
        let mut given = self.clone();
        for (argument, value) in arguments {
            let name = match NAMES.iter().find(|(known, _)| known == argument) {
                Some((name, true)) => name,
                Some((_, false)) => {
                    return Err(Invalid(format!(
                        "a job may not set {argument}: the function's environment does"
                    )));
                }
                None => return Err(Invalid(format!("there is no argument {argument}"))),
            };
            if self.0.get(name).is_some_and(|set| set != value.trim()) {
                return Err(Invalid(format!(
                    "{argument} is set in the function's environment, and in another way by the job"
                )));
            }
            given.set(name, value);
        }
        Ok(given)
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

    /// A list, with spaces or commas between.
    fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        let text = self.get(name).unwrap_or_default();
        text.split([' ', ',', '\n']).filter(|item| !item.is_empty())
    }

    fn arns(&self, name: &str) -> Result<Vec<KmsKeyArn>, Invalid> {
        self.list(name).map(|arn| arn.parse().map_err(|error| invalid(name, &error))).collect()
    }
}

/// Settings that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    add: Vec<KmsKeyArn>,
    replace: Vec<KmsKeyArn>,
    remove: Vec<KmsKeyArn>,
    /// Whether wraps under older material are made anew.
    pub(crate) refresh: bool,
    replica_of: Option<String>,
    landing: KeyStorage,
    sidecars: SidecarPolicy,
    /// To read with: these,
    keys: Vec<KmsKeyArn>,
    /// or all of these accounts.
    discovery: Option<DiscoveryFilter>,
    calls_per_second: Option<u32>,
    /// That of the buckets, if it is not the function's.
    region: Option<Region>,
}

impl Settings {
    /// Checks what was given.
    ///
    /// # Errors
    /// What cannot be used, or is missing.
    pub(crate) fn new(given: &Given) -> Result<Self, Invalid> {
        let keys = given.arns("keys")?;
        let discovery = given.get("accounts").map(|_| {
            DiscoveryFilter::accounts(given.list("accounts"))
                .partition(given.get("partition").unwrap_or("aws"))
        });
        if keys.is_empty() && discovery.is_none() {
            return Err(Invalid(format!(
                "neither {PREFIX}KEYS nor {PREFIX}ACCOUNTS says which wrapping keys objects may be opened with"
            )));
        }
        let landing = match given.get("to_sidecar") {
            None | Some("never") => KeyStorage::Metadata,
            Some("needed") => KeyStorage::SidecarWhereNeeded,
            Some("always") => KeyStorage::Sidecar,
            Some(other) => {
                return Err(invalid(
                    "to_sidecar",
                    &format!("{other} is none of never, needed, always"),
                ));
            }
        };
        let refresh = match given.get("refresh") {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                return Err(invalid("refresh", &format!("{other} is neither true nor false")));
            }
        };
        let calls = given.get("kms_calls_per_second").map(str::parse).transpose();
        let calls_per_second: Option<u32> =
            calls.map_err(|error| invalid("kms_calls_per_second", &error))?;
        if calls_per_second == Some(0) {
            return Err(invalid("kms_calls_per_second", &"none at all is not enough"));
        }
        Ok(Self {
            add: given.arns("add")?,
            replace: given.arns("replace")?,
            remove: given.arns("remove")?,
            refresh,
            replica_of: given.get("replica_of").map(str::to_owned),
            landing,
            sidecars: given
                .get("sidecars")
                .map_or_else(SidecarPolicy::off, SidecarPolicy::with_suffix),
            keys,
            discovery,
            calls_per_second,
            region: given.get("region").map(|region| Region::new(region.to_owned())),
        })
    }

    /// What rewraps the objects of `bucket` so.
    ///
    /// # Errors
    /// Nothing is to be changed.
    pub(crate) fn rewrapper(
        &self,
        config: &SdkConfig,
        bucket: &str,
    ) -> Result<(SealedClient, Rewrapper), Error> {
        let config = match &self.region {
            Some(region) => config.to_builder().region(region.clone()).build(),
            None => config.clone(),
        };
        let mut reading = KmsKeyring::builder(&config);
        reading = self.keys.iter().cloned().fold(reading, |keyring, key| keyring.key(key));
        if let Some(discovery) = &self.discovery {
            reading = reading.discovery(discovery.clone());
        }
        if let Some(calls) = self.calls_per_second {
            reading = reading.calls_per_second(calls);
        }
        let reading = Arc::new(reading.build());
        let places = match &self.replica_of {
            Some(source) => PlacePolicy::bound().replica_of(bucket, source),
            None => PlacePolicy::bound(),
        };
        let edits = self.edits(&reading);
        // Elsewhere than at AWS, buckets seldom have host names of their own.
        let s3 = Builder::from(&config).force_path_style(config.endpoint_url().is_some()).build();
        // Intermediate keys are unwrapped once for many objects, as long as Lambda keeps this process.
        let client = SealedClient::builder(Client::from_conf(s3), CachingKeyring::new(reading));
        let client = client.places(places).sidecars(self.sidecars.clone()).build();
        let rewrapper = client.rewrapper(edits)?.key_storage(self.landing);
        Ok((client, rewrapper))
    }

    /// In the order of the command: replace, add, refresh, remove.
    fn edits(&self, reading: &KmsKeyring) -> KeyChanges {
        let keyring = |keys: &[KmsKeyArn]| {
            keys.iter().cloned().fold(reading.sibling(), |keyring, key| keyring.key(key)).build()
        };
        let mut edits = KeyChanges::new();
        if !self.replace.is_empty() {
            edits = edits.replace_keys(keyring(&self.replace));
        }
        if !self.add.is_empty() {
            edits = edits.add_keys(keyring(&self.add));
        }
        if self.refresh {
            edits = edits.refresh_keys();
        }
        self.remove.iter().fold(edits, |edits, key| edits.remove_key(key.as_str()))
    }
}

fn invalid(name: &str, why: &dyn fmt::Display) -> Invalid {
    Invalid(format!("{name} cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EAST: &str = "arn:aws:kms:us-east-1:111122223333:key/e";
    const WEST: &str = "arn:aws:kms:us-west-2:111122223333:key/w";

    fn environment(variables: &[(&str, &str)]) -> Result<Given, Invalid> {
        Given::by_environment(
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    fn arguments(arguments: &[(&str, &str)]) -> BTreeMap<String, String> {
        arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_environment_and_the_job_together_say_what_to_do() {
        let given = environment(&[
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
        let settings = Settings::new(&given.and_of_job(&job).expect("settings")).expect("settings");
        let (east, west) = (EAST.parse().expect("an ARN"), WEST.parse().expect("an ARN"));
        let expected = Settings {
            add: vec![west],
            replace: Vec::new(),
            remove: vec![east],
            refresh: false,
            replica_of: Some("invoices".into()),
            landing: KeyStorage::SidecarWhereNeeded,
            sidecars: SidecarPolicy::off(),
            keys: vec![EAST.parse().expect("an ARN"), WEST.parse().expect("an ARN")],
            discovery: None,
            calls_per_second: None,
            region: None,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn the_readme_has_each_setting() {
        let readme = include_str!("../README.md");
        for (name, by_job) in NAMES {
            let argument = if by_job { format!("`{name}`") } else { String::new() };
            let row = format!("| `{PREFIX}{}` | {argument}", name.to_uppercase());
            assert!(readme.contains(&row), "{row}");
        }
        assert_eq!(readme.matches(&format!("| `{PREFIX}")).count(), NAMES.len());
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        let refused = |variables: &[(&str, &str)]| {
            environment(variables)
                .and_then(|given| Settings::new(&given))
                .expect_err("refused")
                .to_string()
        };
        let keys = ("SEALWAX_REWRAP_KEYS", EAST);
        assert_eq!(
            refused(&[("SEALWAX_REWRAP_ADDS", WEST)]),
            "there is no setting SEALWAX_REWRAP_ADDS"
        );
        assert!(
            refused(&[("SEALWAX_REWRAP_ADD", WEST)]).starts_with("neither SEALWAX_REWRAP_KEYS nor")
        );
        for (variable, value, expected) in [
            ("SEALWAX_REWRAP_ADD", "alias/west", "add cannot be used: "),
            ("SEALWAX_REWRAP_TO_SIDECAR", "yes", "to_sidecar cannot be used: yes is none of"),
            ("SEALWAX_REWRAP_REFRESH", "yes", "refresh cannot be used: yes is neither"),
            (
                "SEALWAX_REWRAP_KMS_CALLS_PER_SECOND",
                "0",
                "kms_calls_per_second cannot be used: none",
            ),
        ] {
            let said = refused(&[keys, (variable, value)]);
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn a_job_cannot_widen_what_the_environment_trusts() {
        let given = environment(&[
            ("SEALWAX_REWRAP_ACCOUNTS", "111122223333"),
            ("SEALWAX_REWRAP_ADD", WEST),
        ]);
        let given = given.expect("settings");
        assert!(Settings::new(&given).is_ok());
        for (name, value, expected) in [
            (
                "accounts",
                "444455556666",
                "a job may not set accounts: the function's environment does",
            ),
            ("keys", EAST, "a job may not set keys: the function's environment does"),
            (
                "add",
                EAST,
                "add is set in the function's environment, and in another way by the job",
            ),
            ("add", "", "add is set in the function's environment, and in another way by the job"),
            ("ADD", WEST, "there is no argument ADD"),
        ] {
            let said = given.and_of_job(&arguments(&[(name, value)])).expect_err(name).to_string();
            assert_eq!(said, expected);
        }
    }
}
