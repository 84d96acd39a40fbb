//! Seals a few bytes under one KMS key and reads them back.
//!
//! `round_trip BUCKET KEY-ARN`, with the usual AWS environment.

use sealwax_s3::{KmsKeyring, SealedClient, aws_config, aws_sdk_s3};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bucket, key_arn] = &arguments[..] else {
        return Err("usage: round_trip BUCKET KEY-ARN".into());
    };

    let config = aws_config::load_defaults(aws_config::BehaviorVersion::v2026_01_12()).await;
    let keyring = KmsKeyring::builder(&config).key(key_arn).build()?;
    let client = SealedClient::builder(aws_sdk_s3::Client::new(&config), keyring).build();

    client
        .put()
        .bucket(bucket)
        .key("greeting")
        .context("tenant", "acme")
        .body("hello, sealed")
        .send()
        .await?;

    let object = client.get().bucket(bucket).key("greeting").send().await?;
    println!("{}", String::from_utf8_lossy(&object.bytes().await?));
    Ok(())
}
