//! Wraps one object under keys of two Regions. A read uses the nearest key that answers.
//!
//! `several_regions BUCKET KEY-ARN OTHER-KEY-ARN`

use std::{env, error::Error};

use sealwax_s3::{
    KmsKeyring, SealedClient, WrapPolicy,
    aws_config::{self, BehaviorVersion},
    aws_sdk_s3,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [bucket, key_arn, other] = &arguments[..] else {
        return Err("usage: several_regions BUCKET KEY-ARN OTHER-KEY-ARN".into());
    };
    let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
    let s3 = || aws_sdk_s3::Client::new(&config);

    // Each key's ARN names its Region. Writes continue while one Region is down.
    let keyring = KmsKeyring::builder(&config).key(key_arn).key(other);
    let both =
        SealedClient::builder(s3(), keyring.wrap_policy(WrapPolicy::AtLeast(1)).build()?).build();
    let stored = both
        .put()
        .bucket(bucket)
        .key("examples/regions")
        .body("readable in both Regions")
        .send()
        .await?;
    println!(
        "{} wrapped keys, {} missing",
        stored.header.keys().len(),
        stored.header.missing().len()
    );

    // After the loss of the first Region, the other key is enough.
    let keyring = KmsKeyring::builder(&config).key(other).build()?;
    let survivor = SealedClient::builder(s3(), keyring).build();
    let object = survivor.get().bucket(bucket).key("examples/regions").send().await?;
    println!("{}", String::from_utf8_lossy(&object.bytes().await?));
    Ok(())
}
