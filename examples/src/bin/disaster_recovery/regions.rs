//! The two Regions, each with its own bucket, key and clients.

use std::env;

use aws_config::{BehaviorVersion, SdkConfig};
use sealwax_s3::{
    KmsKeyArn, KmsKeyring, PlacePolicy, SealedClient, SealedClientBuilder, envelope::Keyring,
};

use super::{Result, counting::Counting, report::Calls};

/// Both Regions, as `localstack/seed.py` made them.
pub(crate) struct Regions {
    pub(crate) east: Region,
    pub(crate) west: Region,
}

/// One Region.
pub(crate) struct Region {
    pub(crate) name: &'static str,
    pub(crate) bucket: String,
    pub(crate) s3: aws_sdk_s3::Client,
    key: KmsKeyArn,
    kms: aws_sdk_kms::Client,
    config: SdkConfig,
    http: Counting,
}

impl Regions {
    pub(crate) async fn from_env() -> Result<Self> {
        let endpoint = variable("SEALWAX_TEST_LOCALSTACK_URL")?;
        let east = Region::new("us-east-1", "SEALWAX_EAST", &endpoint).await?;
        let west = Region::new("us-west-2", "SEALWAX_WEST", &endpoint).await?;
        Ok(Self { east, west })
    }
}

impl Region {
    async fn new(name: &'static str, prefix: &str, endpoint: &str) -> Result<Self> {
        let http = Counting::new();
        let defaults = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(name)
            .endpoint_url(endpoint)
            .http_client(http.clone());
        let config = defaults.load().await;
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        Ok(Self {
            name,
            bucket: variable(&format!("{prefix}_BUCKET"))?,
            s3: aws_sdk_s3::Client::from_conf(s3),
            key: variable(&format!("{prefix}_KEY"))?.parse()?,
            kms: aws_sdk_kms::Client::new(&config),
            config,
            http,
        })
    }

    /// Returns the numbers of requests of this Region's clients so far.
    pub(crate) fn calls(&self) -> Calls {
        self.http.calls()
    }

    /// Returns a keyring of this Region's clients with the key of `other` only.
    pub(crate) fn keyring_of(&self, other: &Self) -> KmsKeyring {
        KmsKeyring::builder(&self.config).key(&other.key).build().expect("a parsed ARN")
    }

    /// Returns a keyring with this Region's key only.
    pub(crate) fn keyring(&self) -> KmsKeyring {
        KmsKeyring::builder(&self.config).key(&self.key).build().expect("a parsed ARN")
    }

    /// Returns a client for this Region's bucket.
    pub(crate) fn client(&self, keyring: KmsKeyring) -> SealedClient {
        SealedClient::builder(self.s3.clone(), keyring).build()
    }

    /// Returns a client that accepts this Region's bucket as a replica of `source`.
    pub(crate) fn replica_client(&self, keyring: KmsKeyring, source: &str) -> SealedClient {
        self.replica_builder(keyring, source).build()
    }

    /// Begins such a client.
    pub(crate) fn replica_builder(
        &self,
        keyring: impl Keyring + 'static,
        source: &str,
    ) -> SealedClientBuilder {
        let places = PlacePolicy::bound().replica_of(&self.bucket, source);
        SealedClient::builder(self.s3.clone(), keyring).places(places)
    }

    /// Returns the number of parts of an object.
    pub(crate) async fn parts_of(&self, key: &str) -> Result<usize> {
        let head =
            self.s3.head_object().bucket(&self.bucket).key(key).part_number(1).send().await?;
        Ok(usize::try_from(head.parts_count().unwrap_or(1))?)
    }

    pub(crate) async fn disable_key(&self) -> Result<()> {
        self.kms.disable_key().key_id(self.key.as_str()).send().await?;
        Ok(())
    }

    pub(crate) async fn enable_key(&self) -> Result<()> {
        self.kms.enable_key().key_id(self.key.as_str()).send().await?;
        Ok(())
    }
}

fn variable(name: &str) -> Result<String> {
    env::var(name)
        .map_err(|_| format!("{name} is not set: run this program with `make demo`").into())
}
