//! Variables that `localstack/with-servers.sh` exports.

use std::env;

use sealwax_s3::KmsKeyArn;

/// Returns the value of an environment variable. A test without its servers fails; it is never
/// skipped.
pub(crate) fn variable(name: &str) -> String {
    env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which starts the servers"))
}

/// One seeded Region of LocalStack.
#[derive(Debug, Clone)]
pub struct Region {
    /// Name, such as `us-east-1`.
    pub name: &'static str,
    /// A bucket with versioning.
    pub bucket: String,
    /// A KMS key in this Region.
    pub key: KmsKeyArn,
    /// Another KMS key in this Region.
    pub key_2: KmsKeyArn,
    /// This Region's replica of a multi-Region key.
    pub mrk: KmsKeyArn,
}

impl Region {
    fn seeded(name: &'static str, prefix: &str) -> Self {
        let value = |what: &str| variable(&format!("SEALWAX_{prefix}_{what}"));
        let key = |what: &str| value(what).parse().expect("the ARN of a key");
        Self {
            name,
            bucket: value("BUCKET"),
            key: key("KEY"),
            key_2: key("KEY_2"),
            mrk: key("MRK"),
        }
    }
}

/// `us-east-1`.
#[must_use]
pub fn east() -> Region {
    Region::seeded("us-east-1", "EAST")
}

/// `us-west-2`.
#[must_use]
pub fn west() -> Region {
    Region::seeded("us-west-2", "WEST")
}
