//! Implements a keyring that wraps each tenant's objects under that tenant's KMS key. The
//! encryption context names the tenant.
//!
//! `custom_keyring BUCKET KEY-ARN-OF-ACME KEY-ARN-OF-GLOBEX`

use std::{collections::BTreeMap, env, error::Error};

use sealwax_s3::{
    KmsKeyring, SealedClient,
    aws_config::{self, BehaviorVersion},
    aws_sdk_s3,
    envelope::{
        BoxFuture, EncryptedDataKey, EncryptionMaterials, Keyring, KeyringError, KeyringErrorKind,
        PlaintextDataKey, Unwrap, WrapContext,
    },
};

/// One KMS keyring per tenant. No tenant's objects are ever wrapped under the key of another.
#[derive(Debug)]
struct ByTenant(BTreeMap<String, KmsKeyring>);

impl ByTenant {
    fn for_tenant(&self, wrap_context: &WrapContext) -> Result<&KmsKeyring, KeyringError> {
        let tenant = wrap_context.context().get("tenant").unwrap_or("(none)");
        self.0.get(tenant).ok_or_else(|| {
            KeyringError::new(KeyringErrorKind::NotFound, format!("(none for tenant {tenant})"))
        })
    }
}

impl Keyring for ByTenant {
    fn generate<'a>(
        &'a self,
        wrap_context: &'a WrapContext,
        plaintext_len: Option<u64>,
    ) -> BoxFuture<'a, Result<EncryptionMaterials, KeyringError>> {
        Box::pin(async move {
            self.for_tenant(wrap_context)?.generate(wrap_context, plaintext_len).await
        })
    }

    fn wrap<'a>(
        &'a self,
        data_key: &'a PlaintextDataKey,
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Vec<EncryptedDataKey>, KeyringError>> {
        Box::pin(async move { self.for_tenant(wrap_context)?.wrap(data_key, wrap_context).await })
    }

    fn rewrap<'a>(
        &'a self,
        keys: &'a [EncryptedDataKey],
        wrap_context: &'a WrapContext,
    ) -> BoxFuture<'a, Result<Option<Vec<EncryptedDataKey>>, KeyringError>> {
        Box::pin(async move { self.for_tenant(wrap_context)?.rewrap(keys, wrap_context).await })
    }

    fn unwrap<'a>(&'a self, keys: &'a [EncryptedDataKey]) -> BoxFuture<'a, Unwrap> {
        Box::pin(async move {
            // All keys of an object have its encryption context.
            match keys.first().map(|key| self.for_tenant(key.wrap_context())) {
                Some(Ok(keyring)) => keyring.unwrap(keys).await,
                Some(Err(_)) | None => Unwrap::NotMine,
            }
        })
    }

    fn accepts(&self, key: &EncryptedDataKey) -> bool {
        self.for_tenant(key.wrap_context()).is_ok_and(|keyring| keyring.accepts(key))
    }

    fn expected_keys(&self, wrap_context: &WrapContext) -> Vec<EncryptedDataKey> {
        self.for_tenant(wrap_context)
            .map_or(Vec::new(), |keyring| keyring.expected_keys(wrap_context))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [bucket, acme, globex] = &arguments[..] else {
        return Err("usage: custom_keyring BUCKET KEY-ARN-OF-ACME KEY-ARN-OF-GLOBEX".into());
    };
    let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
    let mut tenants = BTreeMap::new();
    for (tenant, key_arn) in [("acme", acme), ("globex", globex)] {
        tenants.insert(tenant.to_owned(), KmsKeyring::builder(&config).key(key_arn).build()?);
    }
    let client = SealedClient::builder(aws_sdk_s3::Client::new(&config), ByTenant(tenants)).build();

    for (tenant, key_arn) in [("acme", acme), ("globex", globex)] {
        let put = client.put().bucket(bucket).key(format!("examples/{tenant}")).body("their data");
        let stored = put.context("tenant", tenant).send().await?;
        assert_eq!(stored.header.keys()[0].wrapping_key(), key_arn);
        client.get().bucket(bucket).key(format!("examples/{tenant}")).send().await?.bytes().await?;
    }
    let without_tenant =
        client.put().bucket(bucket).key("examples/stranger").body("no tenant's data").send().await;
    println!("without a tenant: {}", without_tenant.expect_err("no key"));
    Ok(())
}
