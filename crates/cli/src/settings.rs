//! Settings from environment variables and from a file of profiles: `sealwax.toml`.
//!
//! They become default values of arguments, so flags take precedence over variables, and variables
//! over the file.

mod gateway;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs, io,
    num::NonZeroU64,
    ops::Range,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ValueEnum,
    builder::{ArgPredicate, Resettable},
};
use sealwax_s3::PlainHttp;
use serde::Deserialize;
use toml::Spanned;

use self::gateway::GatewayProfile;
use crate::{
    args::{
        BodyChecksumArg, ConditionsArg, KEY_STORE, LimitRate, Pair, TimeSpan, account_id,
        check_canned_acl, check_sse, endpoint_url, key_arn,
    },
    failure::{Exit, Failure},
};

const ADVICE: &str = "correct the file; `sealwax doctor --print settings` shows all settings";

/// Command that has settings of its own.
const GATEWAY: &str = "serve";

/// Separators of several values in a variable.
const SEPARATORS: [char; 4] = [',', ' ', '\n', '\t'];

/// Default values of arguments, by argument id.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, Vec<OsString>>,
    /// Default values of the gateway's own arguments.
    gateway: BTreeMap<&'static str, Vec<OsString>>,
    /// Name and file of the profile in use.
    pub(crate) profile_in_use: Option<String>,
    /// Origins of values that a failure may have to name, by argument id.
    pub(crate) origins: BTreeMap<&'static str, String>,
}

impl Settings {
    /// Loads the settings for a command with these words.
    ///
    /// # Errors
    /// The file or a variable is not valid.
    pub(crate) fn load(words: &[OsString]) -> Result<Self, Failure> {
        let mut settings = Self::default();
        let named = option(words, "--sealwax-profile").or_else(|| variable("SEALWAX_PROFILE"));
        let file =
            option(words, "--config").or_else(|| variable("SEALWAX_CONFIG")).map(PathBuf::from);
        if let Some((mut profile, origin)) = profile(named, file)? {
            settings.gateway = std::mem::take(&mut profile.serve).values();
            settings.values = profile.values();
            let origins = settings.values.keys().map(|id| (*id, origin.clone()));
            settings.origins = origins.collect();
            settings.profile_in_use = Some(origin);
        }
        settings.apply_variables()?;
        if is_given(words, "--no-context") {
            settings.values.remove("context");
        }
        // They belong to the profile's algorithm, and not to another one.
        if option(words, "--sse").is_some() {
            settings.values.remove("sse_kms_key_id");
            settings.values.remove("bucket_key_enabled");
        }
        Ok(settings)
    }

    /// Applies variables, which take precedence over the file. The SDK reads the AWS variables
    /// itself, so for them only the file's value is removed.
    fn apply_variables(&mut self) -> Result<(), Failure> {
        let ignores_endpoints = variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if !ignores_endpoints {
            check_endpoint_variables()?;
        }
        for (id, names) in [
            ("region", &["AWS_REGION", "AWS_DEFAULT_REGION"][..]),
            ("endpoint_url", &["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]),
            (
                "kms_endpoint_url",
                &["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL_STS"],
            ),
            ("profile", &["AWS_PROFILE"]),
        ] {
            let is_ignored = ignores_endpoints && id.ends_with("endpoint_url");
            if !is_ignored && names.iter().any(|name| variable(name).is_some()) {
                self.values.remove(id);
            }
        }
        // Keys replace accounts, as with flags.
        let lists = [
            ("keys", "SEALWAX_KEYS", is_key as Check),
            ("accounts", "SEALWAX_ACCOUNTS", is_account),
        ];
        let lists = lists.into_iter().chain([("context", "SEALWAX_CONTEXT", is_pair as Check)]);
        for (id, name, check) in lists {
            let Some(text) = variable(name) else { continue };
            let text = text.into_string().map_err(|_| unusable(name, "it is not UTF-8"))?;
            let values: Vec<&str> =
                text.split(SEPARATORS).filter(|value| !value.is_empty()).collect();
            for value in &values {
                check(value).map_err(|reason| unusable(name, &reason))?;
            }
            if id == "keys" {
                self.values.remove("accounts");
            }
            self.origins.insert(id, name.to_owned());
            self.values.insert(id, values.into_iter().map(OsString::from).collect());
        }
        for (id, name) in [("replica_of", "SEALWAX_REPLICA_OF"), ("local_key", "SEALWAX_LOCAL_KEY")]
        {
            if let Some(value) = variable(name) {
                self.values.insert(id, vec![value]);
            }
        }
        for (id, name, check) in [
            ("kms_endpoint_url", "SEALWAX_KMS_ENDPOINT_URL", is_endpoint_url as Check),
            ("timeout", "SEALWAX_TIMEOUT", is_time),
            ("body_checksum", "SEALWAX_BODY_CHECKSUM", is_one::<BodyChecksumArg>),
            ("conditions", "SEALWAX_CONDITIONS", is_one::<ConditionsArg>),
        ] {
            let Some(value) = variable(name) else { continue };
            let text = value.to_str().ok_or_else(|| unusable(name, "it is not UTF-8"))?;
            check(text).map_err(|reason| unusable(name, &reason))?;
            self.values.insert(id, vec![value]);
        }
        if let Some(value) = variable("SEALWAX_KEY_STORE") {
            let text =
                value.to_str().ok_or_else(|| unusable("SEALWAX_KEY_STORE", "it is not UTF-8"));
            match text? {
                "true" | "1" => self.values.insert("key_store", vec![KEY_STORE.into()]),
                "false" | "0" => self.values.remove("key_store"),
                _ => self.values.insert("key_store", vec![value]),
            };
        }
        if let Some(value) = variable(PlainHttp::VARIABLE) {
            match value.to_str() {
                Some("true" | "1") => self.values.insert("allow_http_kms", vec!["true".into()]),
                Some("false" | "0") => self.values.remove("allow_http_kms"),
                _ => return Err(unusable(PlainHttp::VARIABLE, "must be true or false")),
            };
        }
        Ok(())
    }

    /// Returns the command and its subcommands with these default values.
    pub(crate) fn onto(&self, mut command: clap::Command) -> clap::Command {
        let has = |command: &clap::Command, id: &str| {
            command.get_arguments().any(|arg| arg.get_id() == id)
        };
        // A command that writes under the same keys reads with accounts besides.
        let has_accounts = has(&command, "accounts") && !has(&command, "watch");
        for (&id, values) in &self.values {
            // Readers take either keys or accounts.
            let other = match id {
                "keys" if has_accounts && self.values.contains_key("accounts") => continue,
                "keys" if has_accounts => Some("accounts"),
                "accounts" => Some("keys"),
                _ => None,
            };
            if has(&command, id) {
                command = command.mut_arg(id, |arg| with_default(arg, values, other));
            }
        }
        // What needs an `sse` has the profile's.
        if self.values.contains_key("sse") && has(&command, "sse") {
            for id in ["sse_kms_key_id", "bucket_key_enabled"] {
                command = command.mut_arg(id, |arg| arg.requires(Resettable::Reset));
            }
        }
        let names: Vec<String> =
            command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        names.into_iter().fold(command, |command, name| {
            let is_gateway = name == GATEWAY;
            command.mut_subcommand(name, |sub| match is_gateway {
                true => self.onto_gateway(self.onto(sub)),
                false => self.onto(sub),
            })
        })
    }

    /// Returns the command of the gateway with the default values of its own arguments.
    fn onto_gateway(&self, command: clap::Command) -> clap::Command {
        self.gateway.iter().fold(command, |command, (&id, values)| {
            // They exclude each other, and a flag replaces the file's.
            let other = match id {
                "unsealed" => Some("unsealed_in"),
                "unsealed_in" => Some("unsealed"),
                _ => None,
            };
            command.mut_arg(id, |arg| with_default(arg.required(false), values, other))
        })
    }
}

/// Returns the argument with these default values, unless `other` is on the command line.
fn with_default(arg: Arg, values: &[OsString], other: Option<&'static str>) -> Arg {
    let takes_value = arg.get_action().takes_values();
    let arg = arg.default_values(values.iter().cloned()).hide_default_value(takes_value);
    match other {
        Some(other) => arg.default_value_if(other, ArgPredicate::IsPresent, None),
        None => arg,
    }
}

/// Returns the value of an option that is needed before the command line is parsed.
fn option(words: &[OsString], name: &str) -> Option<OsString> {
    let mut words = words.iter().skip(1).take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == name {
            return words.next().cloned();
        }
        let value = word.to_str().and_then(|word| word.strip_prefix(name)?.strip_prefix('='));
        if let Some(value) = value {
            return Some(value.into());
        }
    }
    None
}

/// `true` if the flag is on the command line. It is needed before that is parsed.
fn is_given(words: &[OsString], name: &str) -> bool {
    words.iter().skip(1).take_while(|word| *word != "--").any(|word| word == name)
}

/// Returns an environment variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Checks the variables that the SDK reads: it would report their faults as network failures.
fn check_endpoint_variables() -> Result<(), Failure> {
    for name in
        ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL_STS"]
    {
        let Some(value) = env::var_os(name) else { continue };
        let text = value.to_str().ok_or_else(|| unusable(name, "it is not UTF-8"))?;
        is_endpoint_url(text)
            .map_err(|reason| unusable(name, &format!("{reason} (got {text:?})")))?;
    }
    Ok(())
}

fn unusable(name: &str, reason: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("cannot use environment variable {name}: {reason}"),
        "correct it or unset it",
    )
}

/// Returns the profile to use, and its name and file for messages.
fn profile(
    named: Option<OsString>,
    file: Option<PathBuf>,
) -> Result<Option<(Profile, String)>, Failure> {
    let name = named.as_deref().map(|name| name.to_string_lossy().into_owned());
    let is_named = file.is_some() || name.is_some();
    let Some(path) = file.or_else(default_path) else {
        return match name {
            None => Ok(None),
            Some(name) => Err(no_profile(&name, "there is no home directory with a sealwax.toml")),
        };
    };
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let error = format!("cannot read settings file {}: no such file", path.display());
            let advice = "check --config, SEALWAX_CONFIG, --sealwax-profile and SEALWAX_PROFILE, or create the file";
            return Err(Failure::new(Exit::Usage, error, advice));
        }
        read => read.map_err(|error| {
            Failure::io(&format!("cannot read settings file {}", path.display()), error)
        })?,
    };
    let mut file = File::parse(&text, &path)?;
    let wanted = name.clone().unwrap_or_else(|| "default".into());
    match (file.profiles.remove(&wanted), name) {
        (Some(profile), _) => {
            let origin = format!("profile {wanted} of {}", path.display());
            Ok(Some((profile.relative_to(&path), origin)))
        }
        (None, None) => Ok(None),
        (None, Some(name)) => {
            let has: Vec<_> = file.profiles.into_keys().collect();
            Err(no_profile(&name, &format!("{} has: {}", path.display(), has.join(", "))))
        }
    }
}

fn no_profile(name: &str, reason: &str) -> Failure {
    let advice = "name an existing profile, or add [profiles.NAME] to the file";
    Failure::new(Exit::Usage, format!("no profile {name}: {reason}"), advice)
}

/// Returns the user's settings file. The current directory is never searched: its author could
/// choose the wrapping keys.
fn default_path() -> Option<PathBuf> {
    let config = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let config = config.or_else(|| Some(Path::new(&variable("HOME")?).join(".config")))?;
    Some(config.join("sealwax").join("sealwax.toml"))
}

/// `sealwax.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

impl File {
    fn parse(text: &str, path: &Path) -> Result<Self, Failure> {
        let failed = |span: Option<Range<usize>>, reason: &str| {
            let line = span.map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let error =
                format!("{}, line {line}: {}", path.display(), reason.trim().replace('\n', "; "));
            Failure::new(Exit::Usage, error, ADVICE)
        };
        let file: Self = toml::from_str(text)
            .map_err(|error: toml::de::Error| failed(error.span(), error.message()))?;
        match file.profiles.values().find_map(|profile| profile.check().err()) {
            None => Ok(file),
            Some((span, reason)) => Err(failed(Some(span), &reason)),
        }
    }
}

/// Settings of one profile.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Profile {
    region: Option<String>,
    endpoint_url: Option<Spanned<String>>,
    kms_endpoint_url: Option<Spanned<String>>,
    allow_http_kms: bool,
    /// Profile in the AWS files.
    aws_profile: Option<String>,
    keys: Vec<Spanned<String>>,
    accounts: Vec<Spanned<String>>,
    context: BTreeMap<String, String>,
    replica_of: Option<String>,
    local_key: Option<PathBuf>,
    at_least: Option<u8>,
    timeout: Option<Spanned<String>>,
    expected_bucket_owner: Option<Spanned<String>>,
    request_payer: Option<Spanned<String>>,
    limit_rate: Option<Spanned<String>>,
    body_checksum: Option<Spanned<String>>,
    conditions: Option<Spanned<String>>,
    storage_class: Option<Spanned<String>>,
    sse: Option<Spanned<String>>,
    sse_kms_key_id: Option<Spanned<String>>,
    bucket_key_enabled: Option<Spanned<bool>>,
    acl: Option<Spanned<String>>,
    key_store: Option<KeyStoreSetting>,
    key_cache: Option<Spanned<String>>,
    key_cache_objects: Option<NonZeroU64>,
    key_context: Option<Spanned<Vec<String>>>,
    detached_keys: Option<Spanned<bool>>,
    /// Settings of the gateway alone.
    serve: GatewayProfile,
}

/// `true`, or the prefix of the key store.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "must be true, false or a prefix")]
enum KeyStoreSetting {
    Default(bool),
    Prefix(String),
}

impl KeyStoreSetting {
    fn prefix(self) -> Option<String> {
        match self {
            Self::Default(true) => Some(KEY_STORE.to_owned()),
            Self::Default(false) => None,
            Self::Prefix(prefix) => Some(prefix).filter(|prefix| !prefix.is_empty()),
        }
    }
}

impl Profile {
    /// Checks each value as flags are checked; returns the position and the reason of the first
    /// error.
    fn check(&self) -> Result<(), (Range<usize>, String)> {
        let urls = self.endpoint_url.iter().chain(&self.kms_endpoint_url);
        let urls = urls.map(|value| (value, is_endpoint_url as Check));
        let keys = self.keys.iter().map(|value| (value, is_key as Check));
        let accounts = self.accounts.iter().map(|value| (value, is_account as Check));
        let timeout = self.timeout.iter().map(|value| (value, is_time as Check));
        let owner = self.expected_bucket_owner.iter().map(|value| (value, is_account as Check));
        let payer = self.request_payer.iter().map(|value| (value, is_payer as Check));
        let rate = self.limit_rate.iter().map(|value| (value, is_rate as Check));
        let payer = payer.chain(rate);
        let checksum =
            self.body_checksum.iter().map(|value| (value, is_one::<BodyChecksumArg> as Check));
        let conditions =
            self.conditions.iter().map(|value| (value, is_one::<ConditionsArg> as Check));
        let sse = self.sse.iter().map(|value| (value, check_sse as Check));
        let acl = self.acl.iter().map(|value| (value, check_canned_acl as Check));
        let texts = self.storage_class.iter().chain(&self.sse_kms_key_id);
        let texts = texts.map(|value| (value, is_not_empty as Check));
        let cache = self.key_cache.iter().map(|value| (value, is_time as Check));
        let of_store = checksum.chain(conditions).chain(sse).chain(acl).chain(texts).chain(cache);
        let all = urls.chain(keys).chain(accounts).chain(timeout).chain(owner).chain(payer);
        for (value, check) in all.chain(of_store) {
            check(value.get_ref()).map_err(|reason| (value.span(), reason))?;
        }
        let with_sse = self.sse_kms_key_id.iter().map(|value| ("sse_kms_key_id", value.span()));
        let bucket_key = self.bucket_key_enabled.iter().filter(|value| *value.get_ref());
        let bucket_key = bucket_key.map(|value| ("bucket_key_enabled", value.span()));
        let is_kms = self.sse.as_ref().is_some_and(|sse| sse.get_ref().starts_with("aws:kms"));
        if let Some((name, span)) = with_sse.chain(bucket_key).next().filter(|_| !is_kms) {
            return Err((span, format!("{name} needs sse = \"aws:kms\"")));
        }
        let key_context = self.key_context.iter().map(|value| ("key_context", value.span()));
        let detached = self.detached_keys.iter().filter(|value| *value.get_ref());
        let detached = detached.map(|value| ("detached_keys", value.span()));
        match key_context.chain(detached).next().filter(|_| self.key_cache.is_none()) {
            Some((name, span)) => Err((span, format!("{name} needs key_cache"))),
            None => self.serve.check(),
        }
    }

    /// Resolves paths relative to the settings file or, with `~`, to the home directory.
    fn relative_to(mut self, file: &Path) -> Self {
        let resolve = |path: &mut PathBuf| {
            let home = path
                .strip_prefix("~")
                .ok()
                .and_then(|rest| Some(Path::new(&variable("HOME")?).join(rest)));
            *path = home.unwrap_or_else(|| file.parent().unwrap_or(Path::new("")).join(&*path));
        };
        self.local_key.iter_mut().for_each(resolve);
        self.serve.resolve(resolve);
        self
    }

    /// Returns the values by argument id.
    fn values(self) -> BTreeMap<&'static str, Vec<OsString>> {
        let one = |value: Option<String>| value.map(OsString::from).into_iter().collect::<Vec<_>>();
        let all = |values: Vec<String>| values.into_iter().map(OsString::from).collect();
        let pairs =
            self.context.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let detached = self.detached_keys.is_some_and(Spanned::into_inner);
        let values = [
            ("region", one(self.region)),
            ("endpoint_url", one(self.endpoint_url.map(Spanned::into_inner))),
            ("kms_endpoint_url", one(self.kms_endpoint_url.map(Spanned::into_inner))),
            ("allow_http_kms", one(self.allow_http_kms.then(|| "true".to_owned()))),
            ("profile", one(self.aws_profile)),
            ("keys", all(self.keys.into_iter().map(Spanned::into_inner).collect())),
            ("accounts", all(self.accounts.into_iter().map(Spanned::into_inner).collect())),
            ("context", all(pairs)),
            ("replica_of", one(self.replica_of)),
            ("local_key", self.local_key.map(PathBuf::into_os_string).into_iter().collect()),
            ("at_least", one(self.at_least.map(|count| count.to_string()))),
            ("timeout", one(self.timeout.map(Spanned::into_inner))),
            ("expected_bucket_owner", one(self.expected_bucket_owner.map(Spanned::into_inner))),
            ("request_payer", one(self.request_payer.map(Spanned::into_inner))),
            ("limit_rate", one(self.limit_rate.map(Spanned::into_inner))),
            ("body_checksum", one(self.body_checksum.map(Spanned::into_inner))),
            ("conditions", one(self.conditions.map(Spanned::into_inner))),
            ("storage_class", one(self.storage_class.map(Spanned::into_inner))),
            ("sse", one(self.sse.map(Spanned::into_inner))),
            ("sse_kms_key_id", one(self.sse_kms_key_id.map(Spanned::into_inner))),
            (
                "bucket_key_enabled",
                one(self
                    .bucket_key_enabled
                    .filter(|value| *value.get_ref())
                    .map(|_| "true".to_owned())),
            ),
            ("acl", one(self.acl.map(Spanned::into_inner))),
            ("key_store", one(self.key_store.and_then(KeyStoreSetting::prefix))),
            ("key_cache", one(self.key_cache.map(Spanned::into_inner))),
            ("key_cache_objects", one(self.key_cache_objects.map(|count| count.to_string()))),
            ("key_context", all(self.key_context.map(Spanned::into_inner).unwrap_or_default())),
            ("detached_keys", one(detached.then(|| "true".to_owned()))),
        ];
        values.into_iter().filter(|(_, values)| !values.is_empty()).collect()
    }
}

type Check = fn(&str) -> Result<(), String>;

fn is_key(text: &str) -> Result<(), String> {
    key_arn(text).map(drop)
}

fn is_not_empty(text: &str) -> Result<(), String> {
    (!text.is_empty()).then_some(()).ok_or_else(|| "must not be empty".to_owned())
}

fn is_account(text: &str) -> Result<(), String> {
    account_id(text).map(drop).map_err(str::to_owned)
}

fn is_rate(text: &str) -> Result<(), String> {
    text.parse::<LimitRate>().map(drop).map_err(str::to_owned)
}

fn is_payer(text: &str) -> Result<(), String> {
    (text == "requester").then_some(()).ok_or_else(|| "must be requester".to_owned())
}

fn is_endpoint_url(text: &str) -> Result<(), String> {
    endpoint_url(text).map(drop).map_err(str::to_owned)
}

fn is_time(text: &str) -> Result<(), String> {
    text.parse::<TimeSpan>().map(drop).map_err(str::to_owned)
}

/// Checks one of a few values.
fn is_one<T: ValueEnum>(text: &str) -> Result<(), String> {
    let names = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let names: Vec<_> = names.map(|value| value.get_name().to_owned()).collect();
    match names.iter().any(|name| name == text) {
        true => Ok(()),
        false => Err(format!("must be one of {} (got {text:?})", names.join(", "))),
    }
}

fn is_pair(text: &str) -> Result<(), String> {
    text.parse::<Pair>().map(drop).map_err(str::to_owned)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, FromArgMatches as _};

    use sealwax_s3::KmsKeyName;

    use super::*;
    use crate::{
        args::UnsealedArg,
        command::{Cli, Command},
    };

    const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn parse(text: &str) -> Result<Profile, String> {
        let parsed = File::parse(text, Path::new("/etc/sealwax.toml"))
            .map_err(|failure| failure.in_one_line());
        parsed.map(|mut file| file.profiles.remove("default").expect("there"))
    }

    fn command(mut profile: Profile, words: &[&str]) -> Cli {
        let gateway = std::mem::take(&mut profile.serve).values();
        let settings = Settings { values: profile.values(), gateway, ..Settings::default() };
        let matches =
            settings.onto(Cli::command()).try_get_matches_from(words).expect("it is right");
        Cli::from_arg_matches(&matches).expect("it is right")
    }

    #[test]
    fn flags_take_precedence_over_the_file() {
        let text = format!(
            "[profiles.default]\nregion = \"r-1\"\nkeys = [\"{KEY}\"]\ncontext = {{ tenant = \"acme\" }}\nreplica_of = \"b\""
        );
        let profile = || parse(&text).expect("it is right");
        let cli = command(profile(), &["sealwax", "put", "f", "s3://b/k"]);
        assert_eq!(
            (cli.global.region.as_deref(), cli.global.replica_of.as_deref()),
            (Some("r-1"), Some("b"))
        );
        let Command::Put(put) = cli.command else { panic!("it is a put") };
        assert_eq!((put.keys.len(), put.context.len()), (1, 1));

        let other = "arn:aws:kms:us-west-2:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
        let words =
            ["sealwax", "--region", "r-2", "put", "f", "s3://b/k", "--key", other, "-c", "a=b"];
        let cli = command(profile(), &words);
        assert_eq!(cli.global.region.as_deref(), Some("r-2"));
        let Command::Put(put) = cli.command else { panic!("it is a put") };
        assert_eq!(put.keys.iter().map(KmsKeyName::as_str).collect::<Vec<_>>(), [other]);
        assert_eq!(put.context, ["a=b".parse().expect("a pair")]);
        assert!(
            command(profile(), &["sealwax", "--no-place-binding", "ls"]).global.no_place_binding
        );
    }

    #[test]
    fn readers_get_either_keys_or_accounts() {
        let reader = |text: &str, words: &[&str]| {
            let words = [&["sealwax", "get", "s3://b/k", "f"], words].concat();
            let Command::Get(get) = command(parse(text).expect("it is right"), &words).command
            else {
                panic!("a get")
            };
            (get.reader.keys.len(), get.reader.accounts.len())
        };
        let keys = format!("[profiles.default]\nkeys = [\"{KEY}\"]");
        let both = format!("{keys}\naccounts = [\"111122223333\"]");
        assert_eq!(reader(&keys, &[]), (1, 0));
        assert_eq!(reader(&keys, &["--account", "000000000000"]), (0, 1));
        assert_eq!(reader(&both, &[]), (0, 1));
        assert_eq!(reader(&both, &["--key", KEY]), (1, 0));
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        for (text, line, word) in [
            ("[profiles.default]\nregion = \"r\"\nkyes = []", 3, "kyes"),
            ("[profiles.default]\nkeys = [\n  \"nothing\",\n]", 3, "nothing"),
            ("[profiles.default]\naccounts = [\"1\"]", 2, "12 digits"),
            ("[profiles.default]\nendpoint_url = \"x\"", 2, "http"),
            ("[profiles.default]\n\nregion = 7", 3, "string"),
            ("[profiles.default]\ntimeout = \"60\"", 2, "a unit of s, m, h, d or w"),
            ("[profiles.default]\nexpected_bucket_owner = \"1\"", 2, "12 digits"),
            ("[profiles.default]\nrequest_payer = \"me\"", 2, "must be requester"),
            (
                "[profiles.default]\nbody_checksum = \"x\"",
                2,
                "one of auto, crc64nvme, none (got \"x\")",
            ),
            (
                "[profiles.default]\nsse = \"aes\"",
                2,
                "one of AES256, aws:kms, aws:kms:dsse (got \"aes\")",
            ),
            ("[profiles.default]\nacl = \"mine\"", 2, "must be one of authenticated-read, "),
            ("[profiles.default]\nstorage_class = \"\"", 2, "must not be empty"),
            (
                "[profiles.default]\nsse_kms_key_id = \"k\"",
                2,
                "sse_kms_key_id needs sse = \"aws:kms\"",
            ),
            (
                "[profiles.default]\nsse = \"AES256\"\nbucket_key_enabled = true",
                3,
                "bucket_key_enabled needs sse = \"aws:kms\"",
            ),
            ("[profiles.default]\nconditions = \"x\"", 2, "one of prove, look, trust (got \"x\")"),
            ("[profiles.default]\nkey_store = 7", 2, "must be true, false or a prefix"),
            ("[profiles.default]\nkey_cache = true", 2, "string"),
            ("[profiles.default]\nkey_cache = \"1\"", 2, "a unit of s, m, h, d or w"),
            ("[profiles.default]\n\nkey_context = [\"t\"]", 3, "key_context needs key_cache"),
            ("[profiles.default]\ndetached_keys = true", 2, "detached_keys needs key_cache"),
            ("[profiles.default.serve]\nlisten = \"9000\"", 2, "an address and a port"),
            ("[profiles.default.serve]\nclient = 1", 2, "unknown field `client`"),
            ("[profiles.default.serve]\ntls_key = \"k\"", 2, "needs tls_certificate"),
            ("[profiles.default.serve]\nmemory = 31", 2, "must be 32 or more"),
            ("[profiles.default.serve]\nunsealed = \"x\"", 2, "one of refuse, pass (got \"x\")"),
            (
                "[profiles.default.serve]\nunsealed = \"pass\"\nunsealed_in = [\"bucket\"]",
                3,
                "unsealed_in replaces unsealed",
            ),
            (
                "[profiles.default.serve]\nunsealed_in = [\"bucket/prefix\"]",
                2,
                "must end in a slash",
            ),
            ("region = \"r\"", 1, "region"),
            ("[profiles.default\n", 1, ""),
        ] {
            let error = parse(text).expect_err(text);
            assert!(
                error.contains(&format!("/etc/sealwax.toml, line {line}: "))
                    && error.contains(word),
                "{error}"
            );
        }
    }

    #[test]
    fn the_printed_settings_file_has_all_settings() {
        let text = include_str!("../documents/settings.toml");
        let mut profile = parse(text).expect("it is right");
        let gateway = std::mem::take(&mut profile.serve).values();
        let known = |table: &str| {
            let unknown = parse(&format!("[profiles.default{table}]\nunknown = 1"));
            let unknown = unknown.expect_err("unknown");
            let known = unknown.split("expected one of ").nth(1).expect("the known ones");
            let known = known.split(", ").map(|name| name.trim_matches('`').to_owned());
            known.collect::<Vec<_>>()
        };
        let (of_all, of_gateway) = (known(""), known(".serve"));
        for name in of_all.iter().filter(|name| *name != "serve").chain(&of_gateway) {
            assert!(text.contains(&format!("\n{name} = ")), "{name}");
        }
        // Those that are off, and the table.
        assert_eq!(profile.values().len(), of_all.len() - 3);
        // One of two that exclude each other, and one for no TLS, are off.
        assert_eq!(gateway.len(), of_gateway.len() - 2);
    }

    #[test]
    fn the_gateway_has_settings_of_its_own() {
        let text = format!(
            "[profiles.default]\nkeys = [\"{KEY}\"]\n[profiles.default.serve]\nclients = \"c.toml\"\n\
             listen = \"127.0.0.1:9100\"\nunsealed_in = [\"bucket/open/\"]\nidle = \"5m\"\n\
             memory = 64\naccess_log = true\ntls_certificate = \"a\"\ntls_key = \"b\""
        );
        let serve = |words: &[&str]| {
            let words = [&["sealwax", "serve"], words].concat();
            let profile = parse(&text).expect("it is right");
            let cli = command(profile.relative_to(Path::new("/etc/sealwax.toml")), &words);
            let Command::Serve(serve) = cli.command else { panic!("it is serve") };
            serve
        };
        let of_file = serve(&[]);
        assert_eq!(of_file.clients, Path::new("/etc/c.toml"));
        assert_eq!(of_file.tls_key.as_deref(), Some(Path::new("/etc/b")));
        assert_eq!(of_file.listen.port(), 9100);
        assert_eq!((of_file.memory, of_file.access_log, of_file.keys.len()), (64, true, 1));
        assert_eq!((of_file.unsealed, of_file.unsealed_in.len()), (None, 1));
        let words = ["--unsealed", "pass", "--clients", "d.toml", "--memory", "128"];
        let of_flags = serve(&words);
        assert_eq!(of_flags.clients, Path::new("d.toml"));
        assert_eq!((of_flags.memory, of_flags.listen.port()), (128, 9100));
        assert_eq!((of_flags.unsealed, of_flags.unsealed_in.len()), (Some(UnsealedArg::Pass), 0));
        // They are the gateway's alone.
        let put = command(parse(&text).expect("it is right"), &["sealwax", "put", "f", "s3://b/k"]);
        assert!(matches!(put.command, Command::Put(_)));
    }

    #[test]
    fn options_are_found_before_parsing() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(option(&words("sealwax put --config f x"), "--config"), Some("f".into()));
        assert_eq!(option(&words("sealwax --config=f put"), "--config"), Some("f".into()));
        assert_eq!(option(&words("sealwax put -- --config f"), "--config"), None);
        assert_eq!(option(&words("sealwax put --configs=f"), "--config"), None);
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let profile = |text: &str| Profile { local_key: Some(text.into()), ..Profile::default() };
        let path = |text| {
            profile(text)
                .relative_to(Path::new("/etc/sealwax/sealwax.toml"))
                .local_key
                .expect("a path")
        };
        assert_eq!(path("a.key"), Path::new("/etc/sealwax/a.key"));
        assert_eq!(path("/b.key"), Path::new("/b.key"));
        assert!(path("~/c.key").ends_with("c.key") && !path("~/c.key").starts_with("/etc"));
    }
}
