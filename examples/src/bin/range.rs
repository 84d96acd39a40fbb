//! Reads parts of an object. Only the 16 KiB chunks that contain them are fetched, and each chunk
//! is verified.
//!
//! `range BUCKET KEY-ARN`

use std::{env, error::Error};

use sealwax_s3::{
    KmsKeyring, SealedClient,
    aws_config::{self, BehaviorVersion},
    aws_sdk_s3,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [bucket, key_arn] = &arguments[..] else {
        return Err("usage: range BUCKET KEY-ARN".into());
    };
    let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
    let keyring = KmsKeyring::builder(&config).key(key_arn).build()?;
    let client = SealedClient::builder(aws_sdk_s3::Client::new(&config), keyring).build();

    let numbers: Vec<u8> = (0..500_000_u32).flat_map(u32::to_be_bytes).collect();
    client.put().bucket(bucket).key("examples/range").body(numbers.clone()).send().await?;

    let get = || client.get().bucket(bucket).key("examples/range");
    let middle = get().range(1_000_000..1_000_008).send().await?.bytes().await?;
    assert_eq!(middle, numbers[1_000_000..1_000_008]);

    // The end is authenticated too, so a truncated object fails here.
    let end = get().suffix(4).send().await?.bytes().await?;
    assert_eq!(end, 499_999_u32.to_be_bytes()[..]);

    // The data key is unwrapped once. Ranges that are close together share a request.
    let several = get().ranges(&[0..4, 4_000..4_004, 1_999_996..2_000_000]).await?;
    println!(
        "{} bytes of the middle, {} of the end, {} ranges",
        middle.len(),
        end.len(),
        several.len()
    );
    Ok(())
}
