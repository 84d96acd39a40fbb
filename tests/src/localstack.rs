//! LocalStack: S3 and KMS in two Regions.

use sealwax_s3::{
    KmsKeyArn, KmsKeyring, KmsKeyringBuilder, S3Uri, SealedClient, SealedClientBuilder,
    aws_config::{BehaviorVersion, Region as AwsRegion, SdkConfig},
    aws_sdk_kms, aws_sdk_s3,
};

use crate::{
    Region, Wire,
    environment::variable,
    harness::{PATIENCE, unique},
    seaweedfs::{credentials, s3},
};

/// LocalStack as seen from one Region over one wire.
#[derive(Debug, Clone)]
pub struct LocalStack {
    /// The wire below all its clients.
    pub wire: Wire,
    /// The caller's Region.
    pub home: Region,
    /// Configuration of all its clients.
    pub config: SdkConfig,
}

impl LocalStack {
    /// Connects from `home` over a new wire.
    #[must_use]
    pub fn new(home: Region) -> Self {
        Self::over(Wire::default(), home)
    }

    /// Connects from `home` over `wire`.
    #[must_use]
    pub fn over(wire: Wire, home: Region) -> Self {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(AwsRegion::new(home.name))
            .endpoint_url(variable("SEALWAX_TEST_LOCALSTACK_URL"))
            .credentials_provider(credentials("test"))
            .http_client(wire.clone())
            .build();
        Self { wire, home, config }
    }

    /// Returns an S3 client for the home Region.
    #[must_use]
    pub fn s3(&self) -> aws_sdk_s3::Client {
        s3(&self.config)
    }

    /// Returns a KMS client for the home Region.
    #[must_use]
    pub fn kms(&self) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::new(&self.config)
    }

    /// Starts to build a keyring without keys. Its timeout only catches a hang.
    #[must_use]
    pub fn keyring_builder(&self) -> KmsKeyringBuilder {
        KmsKeyring::builder(&self.config).timeout(PATIENCE)
    }

    /// Returns a keyring with these keys.
    #[must_use]
    pub fn keyring<'a>(&self, keys: impl IntoIterator<Item = &'a KmsKeyArn>) -> KmsKeyring {
        self.keyring_builder().keys(keys).build().expect("parsed ARNs")
    }

    /// Starts to build a client with these keys.
    #[must_use]
    pub fn client_builder<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a KmsKeyArn>,
    ) -> SealedClientBuilder {
        SealedClient::builder(self.s3(), self.keyring(keys))
    }

    /// Returns a client with these keys.
    #[must_use]
    pub fn client<'a>(&self, keys: impl IntoIterator<Item = &'a KmsKeyArn>) -> SealedClient {
        self.client_builder(keys).build()
    }

    /// Returns the name of a new object in the home bucket.
    #[must_use]
    pub fn object(&self, name: &str) -> S3Uri {
        format!("s3://{}/{}", self.home.bucket, unique(name)).parse().expect("an object's name")
    }

    /// Creates a KMS key in the home Region. No other test uses it, so it may be disabled.
    pub async fn new_key(&self) -> KmsKeyArn {
        let created = self.kms().create_key().send().await.expect("create a key");
        created
            .key_metadata
            .and_then(|key| key.arn)
            .expect("an ARN")
            .parse()
            .expect("the ARN of a key")
    }
}
