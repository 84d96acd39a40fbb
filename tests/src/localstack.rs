//! S3 and KMS of two Regions.

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

/// A LocalStack, seen from one Region over one wire.
#[derive(Debug, Clone)]
pub struct LocalStack {
    /// What goes over the wire.
    pub wire: Wire,
    /// Where the caller is.
    pub home: Region,
    /// The configuration of all its clients.
    pub config: SdkConfig,
}

impl LocalStack {
    /// From `home`, over a wire of its own.
    #[must_use]
    pub fn new(home: Region) -> Self {
        Self::over(Wire::default(), home)
    }

    /// From `home`, over `wire`.
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

    /// S3 of the home Region.
    #[must_use]
    pub fn s3(&self) -> aws_sdk_s3::Client {
        s3(&self.config)
    }

    /// KMS of the home Region.
    #[must_use]
    pub fn kms(&self) -> aws_sdk_kms::Client {
        aws_sdk_kms::Client::new(&self.config)
    }

    /// Begins a keyring without keys. It waits for KMS as long as a busy machine may take.
    #[must_use]
    pub fn keyring_builder(&self) -> KmsKeyringBuilder {
        KmsKeyring::builder(&self.config).timeout(PATIENCE)
    }

    /// A keyring of these keys.
    #[must_use]
    pub fn keyring<'a>(&self, keys: impl IntoIterator<Item = &'a KmsKeyArn>) -> KmsKeyring {
        keys.into_iter()
            .fold(self.keyring_builder(), |builder, key| builder.key(key.clone()))
            .build()
    }

    /// Begins a client of these keys.
    #[must_use]
    pub fn client_builder<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a KmsKeyArn>,
    ) -> SealedClientBuilder {
        SealedClient::builder(self.s3(), self.keyring(keys))
    }

    /// A client of these keys.
    #[must_use]
    pub fn client<'a>(&self, keys: impl IntoIterator<Item = &'a KmsKeyArn>) -> SealedClient {
        self.client_builder(keys).build()
    }

    /// A new object's name in the home bucket.
    #[must_use]
    pub fn object(&self, name: &str) -> S3Uri {
        format!("s3://{}/{}", self.home.bucket, unique(name)).parse().expect("an object's name")
    }

    /// A new KMS key of the home Region, of the caller's own: it may be disabled.
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
