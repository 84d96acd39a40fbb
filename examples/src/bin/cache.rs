//! Seals many objects with few KMS calls: objects with the same encryption context share an
//! intermediate key.
//!
//! `cache BUCKET KEY-ARN`

use std::{env, error::Error, time::Duration};

use sealwax_s3::{
    KmsKeyring, SealedClient,
    aws_config::{self, BehaviorVersion},
    aws_sdk_s3,
    envelope::{CacheLimits, CachingKeyring},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [bucket, key_arn] = &arguments[..] else {
        return Err("usage: cache BUCKET KEY-ARN".into());
    };
    let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
    let keyring = KmsKeyring::builder(&config).key(key_arn).build()?;

    // Cached keys are in this process's memory, and keep working for up to this time after KMS
    // revokes access.
    let limits = CacheLimits::new().with_max_age(Duration::from_secs(60));
    let keyring = CachingKeyring::with_limits(keyring, limits);
    let client = SealedClient::builder(aws_sdk_s3::Client::new(&config), keyring).build();

    for number in 0..20 {
        let put = client.put().bucket(bucket).key(format!("examples/cache/{number}")).body("x");
        put.context("tenant", "acme").send().await?;
    }
    for number in 0..20 {
        client
            .get()
            .bucket(bucket)
            .key(format!("examples/cache/{number}"))
            .send()
            .await?
            .bytes()
            .await?;
    }
    println!("20 objects put and got");
    Ok(())
}
