//! Wrapping keys on the command line.

use std::{fmt, str::FromStr};

use sealwax_s3::{InvalidArn, InvalidKeyName, KmsKeyArn, KmsKeyName};

/// Prefix of a local key's name.
const LOCAL: &str = "local:";

/// Key to wrap under, as typed. [`Session::resolve`] turns it into a [`WrapKey`].
///
/// [`Session::resolve`]: crate::session::Session::resolve
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TypedKey {
    Kms(KmsKeyName),
    Local(String),
}

impl FromStr for TypedKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match local_name(text)? {
            Some(name) => Ok(Self::Local(name.to_owned())),
            None => text
                .parse()
                .map(Self::Kms)
                .map_err(|error: InvalidKeyName| or_local(text, error.to_string())),
        }
    }
}

/// Returns the name of a local key.
fn local_name(text: &str) -> Result<Option<&str>, String> {
    match text.strip_prefix(LOCAL) {
        Some("") => Err("the name of the local key is missing".into()),
        name => Ok(name),
    }
}

/// Returns the error, and how a local key is named, unless the text is an ARN.
fn or_local(text: &str, error: String) -> String {
    match text.starts_with("arn:") {
        true => error,
        false => format!("{error}; a local key is {LOCAL}NAME"),
    }
}

/// Parses the ARN of a key that an object names, or is to be read with.
pub(crate) fn key_arn(text: &str) -> Result<KmsKeyArn, String> {
    text.parse().map_err(|error: InvalidArn| match text.parse::<KmsKeyName>() {
        // An alias can be moved to another key, and objects name keys by ARN.
        Ok(_) => format!(
            "the ARN is needed here; `aws kms describe-key --key-id {text} --query \
             KeyMetadata.Arn --output text` prints it"
        ),
        Err(_) => error.to_string(),
    })
}

/// KMS key, or the local key with this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WrapKey {
    Kms(KmsKeyArn),
    Local(String),
}

impl WrapKey {
    /// Returns the key that objects and plans call `name`.
    ///
    /// # Errors
    /// The name looks like an ARN but is not valid.
    pub(crate) fn of_name(name: &str) -> Result<Self, String> {
        match name.starts_with("arn:") {
            true => name.parse().map(Self::Kms).map_err(|error: InvalidArn| error.to_string()),
            false => Ok(Self::Local(name.to_owned())),
        }
    }

    /// `true` for a local key.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// Returns the key's name in objects and plans.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Kms(arn) => arn.as_str(),
            Self::Local(name) => name,
        }
    }
}

impl FromStr for WrapKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match local_name(text)? {
            Some(name) => Ok(Self::Local(name.to_owned())),
            None => key_arn(text).map(Self::Kms).map_err(|error| or_local(text, error)),
        }
    }
}

impl fmt::Display for WrapKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kms(arn) => f.write_str(arn.as_str()),
            Self::Local(name) => write!(f, "{LOCAL}{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_and_stored_names_parse_to_the_same_key() {
        let arn = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        for (typed, name) in [(arn, arn), ("local:archive-2026", "archive-2026")] {
            let key: WrapKey = typed.parse().expect("a key");
            assert_eq!((key.to_string().as_str(), key.name()), (typed, name));
            assert_eq!(WrapKey::of_name(name), Ok(key));
        }
        let no_arn = |text: &str| {
            text.parse::<KmsKeyArn>().expect_err("not an ARN of a KMS key").to_string()
        };
        for typed in ["", "archive-2026"] {
            let reason = format!("{}; a local key is local:NAME", no_arn(typed));
            assert_eq!(typed.parse::<WrapKey>(), Err(reason));
            let error = typed.parse::<TypedKey>().expect_err("no key");
            assert!(error.ends_with("; a local key is local:NAME"), "{error}");
        }
        for typed in ["alias/key", "arn:aws:kms:us-east-1:1:alias/key"] {
            let error = typed.parse::<WrapKey>().expect_err("it is no ARN");
            let expected =
                format!("the ARN is needed here; `aws kms describe-key --key-id {typed} ");
            assert!(error.starts_with(&expected), "{error}");
            assert_eq!(typed.parse(), Ok(TypedKey::Kms(typed.parse().expect("a name"))));
        }
        assert_eq!("local:a".parse(), Ok(TypedKey::Local("a".into())));
        let nameless = "the name of the local key is missing";
        assert_eq!("local:".parse::<WrapKey>(), Err(nameless.into()));
        let bucket = "arn:aws:s3:::bucket";
        assert_eq!(WrapKey::of_name(bucket), Err(no_arn(bucket)));
    }
}
