//! Names of KMS keys that only KMS can turn into ARNs.

use std::{fmt, str::FromStr};

use super::{
    key_arn::{InvalidArn, KmsKeyArn},
    region::NoAwsRegion,
};

/// Name of a KMS key, as people type it: an ARN, a key id, an alias, or the ARN of an alias.
///
/// Objects and policies name keys by ARN alone, because an alias can be moved to another key. So a
/// writer resolves a name once, by [`KmsKeyringBuilder::resolve`], and uses the ARN.
///
/// ```
/// use sealwax_s3::KmsKeyName;
///
/// let name: KmsKeyName = "alias/invoices".parse()?;
/// assert_eq!(name.arn(), None);
/// # Ok::<(), sealwax_s3::InvalidKeyName>(())
/// ```
///
/// [`KmsKeyringBuilder::resolve`]: crate::KmsKeyringBuilder::resolve
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsKeyName(Name);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Arn(KmsKeyArn),
    /// An alias, or the id of a key.
    InOwnRegion(String),
    /// The ARN of an alias, and its Region.
    AliasArn {
        text: String,
        region: String,
    },
}

impl KmsKeyName {
    /// Returns the ARN, if the name is one. Any other name must be resolved.
    #[must_use]
    pub fn arn(&self) -> Option<&KmsKeyArn> {
        match &self.0 {
            Name::Arn(arn) => Some(arn),
            Name::InOwnRegion(_) | Name::AliasArn { .. } => None,
        }
    }

    /// Returns the Region that the name tells. An alias or a key id is one of the caller's own Region.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        match &self.0 {
            Name::Arn(arn) => Some(arn.region()),
            Name::InOwnRegion(_) => None,
            Name::AliasArn { region, .. } => Some(region),
        }
    }

    /// Returns the name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Arn(arn) => arn.as_str(),
            Name::InOwnRegion(text) | Name::AliasArn { text, .. } => text,
        }
    }
}

impl From<KmsKeyArn> for KmsKeyName {
    fn from(arn: KmsKeyArn) -> Self {
        Self(Name::Arn(arn))
    }
}

impl FromStr for KmsKeyName {
    type Err = InvalidKeyName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(arn) = text.parse() {
            return Ok(Self(Name::Arn(arn)));
        }
        if is_alias(text) || is_key_id(text) {
            return Ok(Self(Name::InOwnRegion(text.to_owned())));
        }
        let invalid = |region| InvalidKeyName { text: text.chars().take(256).collect(), region };
        // An alias has the same Region and account in its ARN as a key.
        let (before, resource) = text.rsplit_once(':').ok_or_else(|| invalid(None))?;
        let beside: KmsKeyArn = format!("{before}:key/id")
            .parse()
            .map_err(|error: InvalidArn| invalid(error.region()))?;
        match is_alias(resource) {
            true => {
                let region = beside.region().to_owned();
                Ok(Self(Name::AliasArn { text: text.to_owned(), region }))
            }
            false => Err(invalid(None)),
        }
    }
}

impl fmt::Display for KmsKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `true` for an alias. (AWS KMS API Reference, `CreateAlias`.)
fn is_alias(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte);
    text.strip_prefix("alias/")
        .is_some_and(|name| (1..=250).contains(&name.len()) && name.bytes().all(is_plain))
}

/// `true` for a UUID, and for the id of a multi-Region key.
fn is_key_id(text: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(digits) = text.strip_prefix("mrk-") {
        return digits.len() == 32 && is_hex(digits);
    }
    let groups: Vec<&str> = text.split('-').collect();
    let lens: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lens == [8, 4, 4, 4, 12] && groups.into_iter().all(is_hex)
}

/// A text that names no KMS key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidKeyName {
    text: String,
    /// The Region in the ARN, if that is the fault.
    region: Option<NoAwsRegion>,
}

impl fmt::Display for InvalidKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.region {
            Some(region) => {
                write!(f, "{:?} is not the ARN of a KMS key or of an alias: {region}", self.text)
            }
            None => write!(
                f,
                "{:?} is not the ARN of a KMS key or of an alias, a key id, or an alias (alias/NAME)",
                self.text
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let arn = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let alias = "arn:aws:kms:us-west-2:111122223333:alias/a/b";
        for (text, is_arn, region) in [
            (arn, true, Some("us-east-1")),
            (alias, false, Some("us-west-2")),
            ("alias/invoices", false, None),
            ("1234abcd-12ab-34cd-56ef-1234567890ab", false, None),
            ("mrk-1234abcd12ab34cd56ef1234567890ab", false, None),
        ] {
            let name: KmsKeyName = text.parse().expect(text);
            assert_eq!((name.arn().is_some(), name.region()), (is_arn, region), "{text}");
            assert_eq!(name.to_string(), text);
        }
        for text in [
            "",
            "invoices",
            "alias/",
            "alias/a b",
            "mrk-1234",
            "1234abcd-12ab-34cd-56ef",
            "arn:aws:kms:us-east-1:111122223333:alias/",
            "arn:aws:kms:us-east-1:111122223333:grant/x",
            "arn:aws:s3:us-east-1:111122223333:alias/x",
            "arn:aws:kms:cn-north-1:111122223333:alias/x",
        ] {
            let error = text.parse::<KmsKeyName>().expect_err(text).to_string();
            assert!(error.starts_with(&format!("{text:?} is not the ARN")), "{error}");
        }
        for resource in ["key/x", "alias/x"] {
            let text = format!("arn:aws:kms:us-west2:111122223333:{resource}");
            let error = text.parse::<KmsKeyName>().expect_err(resource).to_string();
            let reason = "the ARN of a KMS key or of an alias: \"us-west2\" is not an AWS Region, us-west-2 is";
            assert_eq!(error, format!("{text:?} is not {reason}"));
        }
    }
}
