//! Names of Regions.

use std::fmt;

/// Regions that this build knows. (AWS General Reference, "AWS Regions", November 2026.)
const KNOWN: [&str; 44] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isof-east-1",
    "us-west-1",
    "us-west-2",
];

/// `true` for a Region of AWS that this build knows. AWS opens new ones, and other stores have
/// their own, so an unknown name need not be wrong.
#[must_use]
pub fn is_known_region(region: &str) -> bool {
    KNOWN.contains(&region)
}

/// `true` if a Region can have this name: AWS writes them in lower-case letters, digits and
/// hyphens.
#[must_use]
pub fn is_region_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(is_plain)
}

/// Returns the name, if it has the form of AWS's Regions: words in lower case, two at least, and a
/// number. New Regions have it too.
///
/// # Errors
/// It has another form.
pub(super) fn check_aws_region(name: &str) -> Result<&str, NoAwsRegion> {
    let words: Vec<&str> = name.split('-').collect();
    let is_word =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    match words.split_last() {
        Some((last, before))
            if before.len() >= 2 && is_number(last) && before.iter().all(is_word) =>
        {
            Ok(name)
        }
        _ => Err(NoAwsRegion { name: name.chars().take(64).collect(), nearest: nearest(name) }),
    }
}

/// Returns the one known Region whose name is the nearest to this one, and at most two letters away.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let distances = KNOWN.iter().map(|known| (distance(&name, known), *known));
    let near: Vec<_> = distances.filter(|(distance, _)| *distance <= 2).collect();
    let least = near.iter().map(|(distance, _)| *distance).min()?;
    let mut nearest = near.into_iter().filter(|(distance, _)| *distance == least);
    let (_, first) = nearest.next()?;
    nearest.next().is_none().then_some(first)
}

/// Returns how many letters are to be inserted, deleted or replaced. (Levenshtein distance.)
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// A name that no AWS Region can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoAwsRegion {
    name: String,
    nearest: Option<&'static str>,
}

impl fmt::Display for NoAwsRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an AWS Region", self.name)?;
        self.nearest.map_or(Ok(()), |nearest| write!(f, ", {nearest} is"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_aws_writes_them() {
        for name in KNOWN.into_iter().chain(["us-eats-1", "garage", "eu-isoe-west-1"]) {
            assert!(is_region_name(name), "{name}");
        }
        for name in ["", "US-EAST-1", "us_east_1", " us-east-1", "us-east-1\n", "us-éast-1"] {
            assert!(!is_region_name(name), "{name:?}");
        }
        assert!(KNOWN.is_sorted() && is_known_region("us-east-1"));
        assert!(!is_known_region("us-eats-1") && !is_known_region("US-EAST-1"));
    }

    #[test]
    fn what_cannot_be_a_region_of_aws_is_told_with_the_nearest_one() {
        for name in KNOWN.into_iter().chain(["nz-north-12", "us-new-east-1", "us-eats-1"]) {
            assert_eq!(check_aws_region(name), Ok(name));
        }
        for (name, nearest) in [
            ("us-east1", Some("us-east-1")),
            ("useast2", Some("us-east-2")),
            ("us_west_2", Some("us-west-2")),
            ("us-east-1a", Some("us-east-1")),
            ("EU-CENTRAL-1", Some("eu-central-1")),
            // Three Regions are as near.
            ("eu-west", None),
            ("us-1", None),
            ("garage", None),
            ("us--1", None),
            ("", None),
        ] {
            let error = check_aws_region(name).expect_err(name);
            assert_eq!(error, NoAwsRegion { name: name.into(), nearest }, "{name}");
            let told = nearest.map_or(String::new(), |nearest| format!(", {nearest} is"));
            assert_eq!(error.to_string(), format!("{name:?} is not an AWS Region{told}"));
        }
    }
}
