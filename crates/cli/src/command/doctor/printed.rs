//! Documents that `doctor` and hints refer to, for those who have only the command.

use clap::ValueEnum;

use crate::{console::Lines, failure::Failure};

/// Document that `doctor --print` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Document {
    /// Settings file with all settings
    Settings,
    /// Lifecycle rules of a bucket, for `aws s3api put-bucket-lifecycle-configuration`
    Lifecycle,
    /// Replication to another Region, for `aws s3api put-bucket-replication`
    Replication,
    /// Policy of a bucket
    BucketPolicy,
    /// Policy of the replica's bucket
    ReplicaBucketPolicy,
    /// Policy of the first KMS key
    KeyPolicy,
    /// Policy of the KMS key in the other Region
    ReplicaKeyPolicy,
    /// IAM policy for `put`
    IamWriter,
    /// Addition for `put --resume`
    IamResume,
    /// IAM policy for `get` and `cat`
    IamReader,
    /// Addition for `ls`, `audit`, `verify` and rewraps of prefixes
    IamList,
    /// IAM policy for `rewrap` and `drill`
    IamDisasterRecovery,
    /// Addition for `put` with a key store
    IamWriterKeyStore,
    /// Addition for `get` and `cat` with a key store
    IamReaderKeyStore,
    /// Addition for `keys rewrap`
    IamDisasterRecoveryKeyStore,
    /// IAM policy for `audit` without the use of keys
    IamAuditor,
    /// IAM policy for `shred`
    IamShred,
    /// IAM policy for `uploads`
    IamUploads,
    /// IAM policy of S3 Replication
    IamReplication,
}

/// Embeds a document.
macro_rules! document {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/documents/", $name))
    };
}

impl Document {
    fn text(self) -> &'static str {
        match self {
            Self::Settings => document!("settings.toml"),
            Self::Lifecycle => document!("lifecycle.json"),
            Self::Replication => document!("replication.json"),
            Self::BucketPolicy => document!("bucket-policy-invoices.json"),
            Self::ReplicaBucketPolicy => document!("bucket-policy-invoices-west.json"),
            Self::KeyPolicy => document!("key-policy-us-east-1.json"),
            Self::ReplicaKeyPolicy => document!("key-policy-us-west-2.json"),
            Self::IamWriter => document!("iam-writer.json"),
            Self::IamResume => document!("iam-writer-resume.json"),
            Self::IamReader => document!("iam-reader.json"),
            Self::IamList => document!("iam-list.json"),
            Self::IamDisasterRecovery => document!("iam-disaster-recovery.json"),
            Self::IamWriterKeyStore => document!("iam-writer-key-store.json"),
            Self::IamReaderKeyStore => document!("iam-reader-key-store.json"),
            Self::IamDisasterRecoveryKeyStore => {
                document!("iam-disaster-recovery-key-store.json")
            }
            Self::IamAuditor => document!("iam-auditor.json"),
            Self::IamShred => document!("iam-shred.json"),
            Self::IamUploads => document!("iam-uploads.json"),
            Self::IamReplication => document!("iam-replication.json"),
        }
    }
}

/// Prints a document.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn print(document: Document) -> Result<(), Failure> {
    let mut lines = Lines::new();
    lines.text(document.text().trim_end())?;
    lines.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_document_is_json_or_the_settings() {
        for document in Document::value_variants() {
            let text = document.text();
            match document {
                Document::Settings => assert!(text.contains("[profiles.default]")),
                _ => drop(serde_json::from_str::<serde_json::Value>(text).expect("JSON")),
            }
        }
    }
}
