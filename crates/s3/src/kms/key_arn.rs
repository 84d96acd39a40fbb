//! ARNs of KMS keys.

use std::{convert::Infallible, fmt, str::FromStr};

use super::region::{NoAwsRegion, check_aws_region};

/// Provider name of data keys that AWS KMS wrapped.
pub const KMS_PROVIDER: &str = "aws-kms";

/// The ARN of one KMS key: `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
///
/// Aliases are not accepted: an alias can be moved to another key, but an object must name the key
/// that it needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KmsKeyArn {
    arn: String,
    region: (usize, usize),
    account: (usize, usize),
}

impl KmsKeyArn {
    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.arn
    }

    /// The partition of the key's Region, such as `aws` or `aws-us-gov`.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.arn["arn:".len()..self.region.0 - ":kms:".len()]
    }

    /// The key's Region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.arn[self.region.0..self.region.1]
    }

    /// The account that owns the key.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.arn[self.account.0..self.account.1]
    }

    /// The key's id.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.arn[self.account.1 + ":key/".len()..]
    }

    /// `true` for a multi-Region key, whose id begins with `mrk-`. (AWS KMS Developer Guide,
    /// "Multi-Region keys".)
    #[must_use]
    pub fn is_multi_region(&self) -> bool {
        self.key_id().starts_with("mrk-")
    }

    /// The replica of a multi-Region key in `region`; `None` for a single-Region key.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Option<Self> {
        let arn = format!("{}{region}{}", &self.arn[..self.region.0], &self.arn[self.region.1..]);
        self.is_multi_region().then(|| arn.parse().ok()).flatten()
    }

    /// `true` if both have the same key material: they are equal, or replicas of one multi-Region
    /// key.
    #[must_use]
    pub fn is_related_to(&self, other: &Self) -> bool {
        self == other || self.in_region(other.region()).as_ref() == Some(other)
    }
}

/// Prefixes of the Regions of each partition; all other Regions are in the partition `aws`.
const PARTITIONS: [(&str, &str); 7] = [
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-isof-", "aws-iso-f"),
    ("eusc-", "aws-eusc"),
];

/// Returns the partition of a Region.
///
/// ```
/// assert_eq!(sealwax_s3::partition_of("us-gov-west-1"), "aws-us-gov");
/// assert_eq!(sealwax_s3::partition_of("eu-west-1"), "aws");
/// ```
#[must_use]
pub fn partition_of(region: &str) -> &'static str {
    let known = PARTITIONS.iter().find(|(prefix, _)| region.starts_with(prefix));
    known.map_or("aws", |(_, partition)| partition)
}

/// `true` unless the Region is in another partition than this one, as far as both are known.
fn is_in_partition(region: &str, partition: &str) -> bool {
    match partition_of(region) {
        "aws" => !PARTITIONS.iter().any(|(_, known)| *known == partition),
        known => known == partition,
    }
}

impl FromStr for KmsKeyArn {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, InvalidArn> {
        let invalid = || InvalidArn::new(text, None);
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", partition, "kms", region, account, resource] = parts[..] else {
            return Err(invalid());
        };
        let id = resource.strip_prefix("key/").ok_or_else(invalid)?;
        let plain = |text: &str| {
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if ![partition, region, account, id].into_iter().all(plain) || text.len() > 256 {
            return Err(invalid());
        }
        // The Region decides where a call goes.
        check_aws_region(region).map_err(|error| InvalidArn::new(text, Some(error)))?;
        if !is_in_partition(region, partition) {
            return Err(invalid());
        }
        let region_start = "arn:".len() + partition.len() + ":kms:".len();
        let account_start = region_start + region.len() + 1;
        Ok(Self {
            arn: text.to_owned(),
            region: (region_start, region_start + region.len()),
            account: (account_start, account_start + account.len()),
        })
    }
}

impl TryFrom<&str> for KmsKeyArn {
    type Error = InvalidArn;

    fn try_from(text: &str) -> Result<Self, InvalidArn> {
        text.parse()
    }
}

impl TryFrom<&String> for KmsKeyArn {
    type Error = InvalidArn;

    fn try_from(text: &String) -> Result<Self, InvalidArn> {
        text.parse()
    }
}

impl TryFrom<String> for KmsKeyArn {
    type Error = InvalidArn;

    fn try_from(text: String) -> Result<Self, InvalidArn> {
        text.parse()
    }
}

impl From<&Self> for KmsKeyArn {
    fn from(arn: &Self) -> Self {
        arn.clone()
    }
}

impl fmt::Display for KmsKeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arn)
    }
}

/// A text that is not the ARN of a KMS key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidArn {
    text: String,
    /// The Region, if that is the fault.
    region: Option<NoAwsRegion>,
}

impl InvalidArn {
    fn new(text: &str, region: Option<NoAwsRegion>) -> Self {
        Self { text: text.chars().take(256).collect(), region }
    }

    /// Returns the Region, if that is the fault.
    pub(super) fn region(self) -> Option<NoAwsRegion> {
        self.region
    }
}

impl fmt::Display for InvalidArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not the ARN of a KMS key", self.text)?;
        match &self.region {
            Some(region) => write!(f, ": {region}"),
            None => {
                f.write_str(" (arn:aws:kms:REGION:ACCOUNT:key/ID; not an alias, not a bare id)")
            }
        }
    }
}

impl From<Infallible> for InvalidArn {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINGLE: &str =
        "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const MULTI: &str =
        "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab";

    #[test]
    fn parts() {
        let arn: KmsKeyArn = SINGLE.parse().expect("an ARN");
        assert_eq!(
            (arn.partition(), arn.region(), arn.account()),
            ("aws", "us-east-1", "123456789012")
        );
        assert_eq!(arn.key_id(), "1234abcd-12ab-34cd-56ef-1234567890ab");
        assert!(!arn.is_multi_region());
        assert_eq!(arn.in_region("us-west-2"), None);
        assert!(arn.is_related_to(&arn));
    }

    #[test]
    fn a_region_is_in_its_own_partition() {
        for (partition, region) in [
            ("aws", "us-east-1"),
            ("aws", "mx-central-1"),
            ("aws-cn", "cn-northwest-1"),
            ("aws-us-gov", "us-gov-east-1"),
            ("aws-iso-b", "us-isob-east-1"),
            ("aws-eusc", "eusc-de-east-1"),
            ("aws-new", "nw-east-1"),
        ] {
            let arn: KmsKeyArn = format!("arn:{partition}:kms:{region}:123456789012:key/mrk-a")
                .parse()
                .expect(region);
            assert_eq!((arn.partition(), arn.region()), (partition, region));
            let elsewhere = if partition == "aws-cn" { "us-east-1" } else { "cn-north-1" };
            assert_eq!(arn.in_region(elsewhere), None, "{region}");
        }
    }

    #[test]
    fn only_replicas_of_one_multi_region_key_are_related() {
        let arn: KmsKeyArn = MULTI.parse().expect("an ARN");
        let replica = arn.in_region("us-gov-east-1").expect("a multi-Region key");
        assert_eq!((replica.partition(), replica.region()), ("aws-us-gov", "us-gov-east-1"));
        assert!(replica.is_related_to(&arn) && arn.is_related_to(&replica));
        let foreign: KmsKeyArn =
            MULTI.replace("123456789012", "999999999999").parse().expect("an ARN");
        assert!(!foreign.is_related_to(&arn));
    }

    #[test]
    fn other_texts_are_rejected() {
        let long = format!("{SINGLE}{}", "a".repeat(256));
        for text in [
            "",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "alias/mine",
            "arn:aws:kms:us-east-1:123456789012:alias/mine",
            "arn:aws:s3:us-east-1:123456789012:key/x",
            "arn:aws:kms::123456789012:key/x",
            "arn:aws:kms:us-east-1::key/x",
            "arn:aws:kms:us-east-1:123456789012:key/",
            "arn:aws:kms:us-east-1:123456789012:key/x/y",
            "arn:aws:kms:us-east-1:123456789012:key/x:y",
            "arn:aws:kms:us-east-1/evil:123456789012:key/x",
            "arn:aws:kms:cn-north-1:123456789012:key/x",
            "arn:aws-cn:kms:us-east-1:123456789012:key/x",
            "arn:aws:kms:us-gov-west-1:123456789012:key/x",
            "arn:aws-us-gov:kms:cn-north-1:123456789012:key/x",
            "arn:aws:kms:us-isob-east-1:123456789012:key/x",
            &long,
        ] {
            let shown: String = text.chars().take(256).collect();
            let error = text.parse::<KmsKeyArn>().expect_err(text);
            assert_eq!(error, InvalidArn { text: shown, region: None });
            assert!(error.to_string().ends_with("not an alias, not a bare id)"), "{error}");
        }
    }

    #[test]
    fn a_region_that_cannot_be_is_named() {
        let arn = SINGLE.replace("us-east-1", "us-east1");
        let error = arn.parse::<KmsKeyArn>().expect_err("no Region");
        assert_eq!(
            error.to_string(),
            format!(
                "{arn:?} is not the ARN of a KMS key: \"us-east1\" is not an AWS Region, us-east-1 is"
            )
        );
        // AWS may open it tomorrow.
        SINGLE.replace("us-east-1", "nz-north-1").parse::<KmsKeyArn>().expect("an ARN");
    }
}
