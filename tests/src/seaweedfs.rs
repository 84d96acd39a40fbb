//! SeaweedFS: a second S3 server, which checks signatures and honours conditions on copies. It has
//! no KMS.

use aws_credential_types::{
    credential_fn::provide_credentials_fn, provider::error::CredentialsError,
};
use sealwax_s3::{
    S3Uri, SealedClient, SealedClientBuilder,
    aws_config::{BehaviorVersion, Region, SdkConfig},
    aws_sdk_s3::{
        self,
        config::{Credentials, SharedCredentialsProvider},
        operation::create_bucket::CreateBucketError,
    },
    envelope::{Keyring, LocalKeyring},
};
use tokio::sync::OnceCell;

use crate::{Wire, environment::variable, harness::unique};

/// The only bucket: SeaweedFS reserves seven volumes for each.
const BUCKET: &str = "sealwax-tests";

/// SeaweedFS over one wire.
#[derive(Debug, Clone)]
pub struct SeaweedFs {
    /// The wire below its clients.
    pub wire: Wire,
    config: SdkConfig,
}

impl SeaweedFs {
    /// Connects over a new wire.
    pub async fn new() -> Self {
        Self::over(Wire::default()).await
    }

    /// Connects over `wire`.
    pub async fn over(wire: Wire) -> Self {
        static BUCKET_MADE: OnceCell<()> = OnceCell::const_new();
        BUCKET_MADE.get_or_init(|| Self::with_secret(Wire::default(), "test").make_bucket()).await;
        Self::with_secret(wire, "test")
    }

    /// Connects over `wire`, and signs with `secret`. The server's secret is `test`.
    #[must_use]
    pub fn with_secret(wire: Wire, secret: &str) -> Self {
        Self::reached(wire, credentials(secret), &variable("SEALWAX_TEST_SEAWEEDFS_URL"))
    }

    /// Connects to `url` instead of the server.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self::reached(Wire::default(), credentials("test"), url)
    }

    /// Connects as a caller whose credentials cannot be found.
    #[must_use]
    pub fn without_credentials() -> Self {
        let none = provide_credentials_fn(async || {
            Err(CredentialsError::not_loaded("there are no credentials"))
        });
        let url = variable("SEALWAX_TEST_SEAWEEDFS_URL");
        Self::reached(Wire::default(), SharedCredentialsProvider::new(none), &url)
    }

    fn reached(wire: Wire, credentials: SharedCredentialsProvider, url: &str) -> Self {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url(url)
            .credentials_provider(credentials)
            .http_client(wire.clone())
            .build();
        Self { wire, config }
    }

    async fn make_bucket(self) {
        if let Err(error) = self.s3().create_bucket().bucket(BUCKET).send().await {
            let error = error.into_service_error();
            let exists = matches!(
                error,
                CreateBucketError::BucketAlreadyExists(_)
                    | CreateBucketError::BucketAlreadyOwnedByYou(_)
            );
            assert!(exists, "the bucket {BUCKET}: {error:?}");
        }
    }

    /// Returns an S3 client.
    #[must_use]
    pub fn s3(&self) -> aws_sdk_s3::Client {
        s3(&self.config)
    }

    /// Starts to build a client with `keyring`.
    #[must_use]
    pub fn client_builder(&self, keyring: impl Keyring + 'static) -> SealedClientBuilder {
        SealedClient::builder(self.s3(), keyring)
    }

    /// Returns a client with `keyring`.
    #[must_use]
    pub fn client(&self, keyring: impl Keyring + 'static) -> SealedClient {
        self.client_builder(keyring).build()
    }

    /// Returns the name of a new object.
    #[must_use]
    pub fn object(&self, name: &str) -> S3Uri {
        format!("s3://{BUCKET}/{}", unique(name)).parse().expect("an object's name")
    }
}

/// Returns the keyring of the local key `name`. The same name gives the same key.
#[must_use]
pub fn local_keyring(name: &str) -> LocalKeyring {
    let mut key: Vec<u8> = name.bytes().cycle().take(32).collect();
    LocalKeyring::new(name, &mut key).expect("a local key")
}

pub(crate) fn credentials(secret: &str) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new("test", secret, None, None, "tests"))
}

pub(crate) fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::config::Builder::from(config).force_path_style(true).build(),
    )
}
