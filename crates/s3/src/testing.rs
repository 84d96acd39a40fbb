//! Test fixtures for your own tests on [LocalStack](https://github.com/localstack/localstack) or a
//! compatible server: a bucket and KMS keys per Region, with unique names.
//!
//! ```no_run
//! use sealwax_s3::testing::LocalStack;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let stack = LocalStack::new("http://127.0.0.1:4566");
//! let (east, west) = (stack.region("us-east-1").await?, stack.region("us-west-2").await?);
//!
//! east.client().put().bucket(east.bucket()).key("key").body("plaintext").send().await?;
//! let plaintext = east.client().get().bucket(east.bucket()).key("key").send().await?.bytes().await?;
//! assert_eq!(plaintext, "plaintext");
//!
//! for region in [east, west] {
//!     region.clean_up().await?;
//! }
//! # Ok(())
//! # }
//! ```

use std::{
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::{
    config::{Credentials, SharedCredentialsProvider},
    types::{
        BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration,
        VersioningConfiguration,
    },
};

use sealwax_envelope::Keyring;

use crate::{KmsKeyArn, KmsKeyring, SealedClient, SealedClientBuilder};

/// An error during set-up or clean-up.
pub type SetupError = Box<dyn std::error::Error + Send + Sync>;

/// The Region whose buckets have no location constraint.
const DEFAULT_REGION: &str = "us-east-1";

/// A running LocalStack.
#[derive(Debug, Clone)]
pub struct LocalStack {
    endpoint: String,
}

/// One Region of a LocalStack, with a versioned bucket and KMS keys for one test.
#[derive(Debug, Clone)]
pub struct TestRegion {
    config: SdkConfig,
    bucket: String,
    keys: Vec<KmsKeyArn>,
}

impl LocalStack {
    /// Uses the server at `endpoint`, such as `http://127.0.0.1:4566`.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into() }
    }

    /// Returns an SDK configuration for `region` that ignores the environment's settings and
    /// credentials.
    #[must_use]
    pub fn config(&self, region: &str) -> SdkConfig {
        let credentials = Credentials::new("test", "test", None, None, "testing");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()))
            .endpoint_url(&self.endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build()
    }

    /// Creates a versioned bucket and a KMS key in `region`.
    ///
    /// # Errors
    /// The server does not answer, or a call fails.
    pub async fn region(&self, region: &str) -> Result<TestRegion, SetupError> {
        let config = self.config(region);
        let mut this = TestRegion { config, bucket: unique("sealwax"), keys: Vec::new() };
        let create = this.s3().create_bucket().bucket(&this.bucket);
        let create = match region {
            DEFAULT_REGION => create,
            _ => {
                let constraint = BucketLocationConstraint::from(region);
                create.create_bucket_configuration(
                    CreateBucketConfiguration::builder().location_constraint(constraint).build(),
                )
            }
        };
        create.send().await?;
        let versioned =
            VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        this.s3()
            .put_bucket_versioning()
            .bucket(&this.bucket)
            .versioning_configuration(versioned)
            .send()
            .await?;
        this.new_key().await?;
        Ok(this)
    }
}

impl TestRegion {
    /// SDK configuration of this Region.
    #[must_use]
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The first KMS key.
    #[must_use]
    pub fn key(&self) -> &KmsKeyArn {
        &self.keys[0]
    }

    /// All KMS keys of this Region, in order of creation.
    #[must_use]
    pub fn keys(&self) -> &[KmsKeyArn] {
        &self.keys
    }

    /// Creates another KMS key.
    ///
    /// # Errors
    /// A call fails.
    pub async fn new_key(&mut self) -> Result<KmsKeyArn, SetupError> {
        let created = self.kms().create_key().description("Sealwax test key").send().await?;
        let arn = created
            .key_metadata()
            .and_then(|metadata| metadata.arn())
            .ok_or("CreateKey returned no ARN")?;
        let arn: KmsKeyArn = arn.parse()?;
        self.keys.push(arn.clone());
        Ok(arn)
    }

    /// Returns an S3 client for this Region.
    #[must_use]
    pub fn s3(&self) -> aws_sdk_s3::Client {
        // Not every resolver knows host names such as "bucket.localhost".
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// Returns a KMS client for this Region.
    #[must_use]
    pub fn kms(&self) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::new(&self.config)
    }

    /// Returns a keyring with all KMS keys of this Region. It calls the server over plain HTTP,
    /// wherever the server is.
    #[must_use]
    pub fn keyring(&self) -> KmsKeyring {
        let keyring = KmsKeyring::builder(&self.config).allow_http(true);
        keyring.keys(&self.keys).build().expect("KMS returned ARNs")
    }

    /// Returns a client with [`keyring`](Self::keyring).
    #[must_use]
    pub fn client(&self) -> SealedClient {
        SealedClient::builder(self.s3(), self.keyring()).build()
    }

    /// Begins a client over `keyring`, for other settings than those of [`client`](Self::client): a key
    /// store, for example.
    ///
    /// ```no_run
    /// # fn example(region: &sealwax_s3::testing::TestRegion) {
    /// use sealwax_s3::{KeyStorePolicy, envelope::CachingKeyring};
    ///
    /// let keyring = CachingKeyring::new(region.keyring());
    /// let client = region.client_builder(keyring).key_store(KeyStorePolicy::on()).build();
    /// # }
    /// ```
    #[must_use]
    pub fn client_builder(&self, keyring: impl Keyring + 'static) -> SealedClientBuilder {
        SealedClient::builder(self.s3(), keyring)
    }

    /// Deletes the bucket with all object versions, and schedules the keys for deletion.
    ///
    /// # Errors
    /// A call fails.
    pub async fn clean_up(self) -> Result<(), SetupError> {
        let s3 = self.s3();
        loop {
            let listed = s3.list_object_versions().bucket(&self.bucket).send().await?;
            let versions = listed.versions().iter().map(|it| (it.key(), it.version_id()));
            let markers = listed.delete_markers().iter().map(|it| (it.key(), it.version_id()));
            let mut is_empty = true;
            for (key, version_id) in versions.chain(markers) {
                is_empty = false;
                let delete =
                    s3.delete_object().bucket(&self.bucket).set_key(key.map(str::to_owned));
                delete.set_version_id(version_id.map(str::to_owned)).send().await?;
            }
            if is_empty {
                break;
            }
        }
        s3.delete_bucket().bucket(&self.bucket).send().await?;
        for key in &self.keys {
            let delete =
                self.kms().schedule_key_deletion().key_id(key.as_str()).pending_window_in_days(7);
            delete.send().await?;
        }
        Ok(())
    }
}

/// Returns a name that is unique across tests and runs: `NAME-…`, valid for buckets and keys.
#[must_use]
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{name}-{now:x}-{:x}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
