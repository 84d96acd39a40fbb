//! Seals a stream of unknown length in constant memory, and reads it back as a stream.
//!
//! `stream BUCKET KEY-ARN MIB`

use std::{env, error::Error, io};

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use sealwax_s3::{
    KmsKeyring, PlaintextSource, SealedClient,
    aws_config::{self, BehaviorVersion},
    aws_sdk_s3,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [bucket, key_arn, mib] = &arguments[..] else {
        return Err("usage: stream BUCKET KEY-ARN MIB".into());
    };
    let mib: usize = mib.parse()?;
    let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
    let keyring = KmsKeyring::builder(&config).key(key_arn).build()?;
    // Limit for the parts in memory, of all uploads of this client together.
    let client = SealedClient::builder(aws_sdk_s3::Client::new(&config), keyring)
        .memory_budget(32 << 20)
        .build();

    // An error in the stream fails the upload, and no object appears.
    let pieces = stream::iter(
        (0..mib).map(|number| Ok::<_, io::Error>(Bytes::from(vec![number as u8; 1 << 20]))),
    );
    client
        .put()
        .bucket(bucket)
        .key("examples/stream")
        .body(PlaintextSource::stream(pieces))
        .send()
        .await?;

    let object = client.get().bucket(bucket).key("examples/stream").send().await?;
    let mut stream = object.into_stream();
    let mut read = 0;
    // Each piece is verified. Only the end of the stream, without an error, proves that the object
    // ends there.
    while let Some(piece) = stream.try_next().await? {
        read += piece.len();
    }
    assert_eq!(read, mib << 20);
    println!("streamed {read} bytes to S3 and back");
    Ok(())
}
