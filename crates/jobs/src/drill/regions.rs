//! Names of Regions.

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
}
