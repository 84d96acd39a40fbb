//! Seals a file with progress, resumes an interrupted upload, and reads the object back into
//! another file.
//!
//! `file BUCKET KEY-ARN PATH`

use std::{env, error::Error, fs};

use sealwax_s3::{
    KmsKeyring, PlaintextSource, SealedClient,
    aws_config::{self, BehaviorVersion},
    aws_sdk_s3,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [bucket, key_arn, path] = &arguments[..] else {
        return Err("usage: file BUCKET KEY-ARN PATH".into());
    };
    let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
    let keyring = KmsKeyring::builder(&config).key(key_arn).build()?;
    let client = SealedClient::builder(aws_sdk_s3::Client::new(&config), keyring).build();

    // Parts are read, sealed and sent in parallel. If this process is killed, run it again to
    // resume: the state file records the uploaded parts. It contains no plaintext and no plaintext
    // key.
    let put = client.put().bucket(bucket).key("examples/file").body(PlaintextSource::file(path));
    let put = put.content_type("application/octet-stream").metadata("origin", "examples");
    let put = put
        .state_file(format!("{path}.upload"))
        .on_progress(|bytes| eprintln!("{bytes} bytes stored"));
    let stored = put.send().await?;
    println!("sealed {} bytes", stored.plaintext_len);

    // The file appears complete, or not at all.
    let copy = format!("{path}.copy");
    let info = client.get().bucket(bucket).key("examples/file").to_file(&copy).await?;
    assert_eq!(fs::read(path)?, fs::read(&copy)?);
    println!("read back {} bytes, verified", info.plaintext_len());
    Ok(())
}
