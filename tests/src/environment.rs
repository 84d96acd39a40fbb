//! What `localstack/with-servers.sh` exports.

use std::env;

use sealwax_s3::KmsKeyArn;

/// The value of an environment variable. A test without its servers fails: it is never skipped.
pub(crate) fn variable(name: &str) -> String {
    env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which starts the servers"))
}

/// One Region of the LocalStack, as seeded.
#[derive(Debug, Clone)]
pub struct Region {
    /// Its name, such as `us-east-1`.
    pub name: &'static str,
    /// A versioned bucket.
    pub bucket: String,
    /// A key of this Region.
    pub key: KmsKeyArn,
    /// Another key of this Region.
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
