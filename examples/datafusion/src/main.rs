//! SQL over sealed Parquet with DataFusion, compared with plain Parquet by bytes read.
//!
//! The program writes the same table twice: sealed through `SealedStore`, and plain through
//! `object_store`'s own S3 client. Both reach S3 through a proxy that counts the bytes on the wire.
//! `make example-datafusion` runs it.

mod orders;
mod proxy;

use std::{env, error::Error, sync::Arc};

use datafusion::{dataframe::DataFrameWriteOptions, prelude::*};
use object_store::{ObjectStore, aws::AmazonS3Builder};
use sealwax_object_store::v0_13::SealedStore;
use sealwax_s3::{
    KmsKeyring, SealedClient,
    aws_config::{self, BehaviorVersion},
    aws_sdk_s3,
    envelope::CachingKeyring,
};
use url::Url;

use self::proxy::Proxy;

const QUERIES: [(&str, &str); 3] = [
    (
        "two columns of all",
        "SELECT region, count(*) AS orders, sum(cents) AS cents FROM orders GROUP BY region ORDER BY region",
    ),
    (
        "a few rows of some",
        "SELECT id, region, cents, note FROM orders WHERE id BETWEEN 700000 AND 700002 ORDER BY id",
    ),
    ("statistics alone", "SELECT count(*) AS rows, min(id) AS first, max(id) AS last FROM orders"),
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [endpoint, bucket, key_arn] = &arguments[..] else {
        return Err("usage: datafusion ENDPOINT BUCKET KEY-ARN".into());
    };
    let (sealed_wire, plain_wire) = (Proxy::start(endpoint).await?, Proxy::start(endpoint).await?);

    let config =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).endpoint_url(endpoint).load().await;
    let s3 = aws_sdk_s3::config::Builder::from(&config)
        .endpoint_url(sealed_wire.url())
        .force_path_style(true);
    let keyring = CachingKeyring::new(KmsKeyring::builder(&config).key(key_arn).build()?);
    let client = SealedClient::builder(aws_sdk_s3::Client::from_conf(s3.build()), keyring).build();
    let sealed = open(Arc::new(SealedStore::new(client, bucket)), "sealed").await?;

    let plain = AmazonS3Builder::from_env().with_endpoint(plain_wire.url()).with_allow_http(true);
    let plain = plain.with_region("us-east-1").with_bucket_name(bucket).build()?;
    let plain = open(Arc::new(plain), "plain").await?;

    println!(
        "{:<22}{:>12}{:>12}{:>8}{:>10}{:>10}",
        "bytes from S3", "sealed", "plain", "ratio", "requests", "(plain)"
    );
    for (name, query) in QUERIES {
        sealed_wire.reset();
        let table = sealed.sql(query).await?.collect().await?;
        let sealed_counts = sealed_wire.counts();
        plain_wire.reset();
        let same = plain.sql(query).await?.collect().await?;
        let plain_counts = plain_wire.counts();
        assert_eq!(pretty(&table)?, pretty(&same)?, "the same rows");
        #[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
        let ratio = sealed_counts.received as f64 / plain_counts.received as f64;
        println!(
            "{name:<22}{:>12}{:>12}{ratio:>8.3}{:>10}{:>10}",
            sealed_counts.received,
            plain_counts.received,
            sealed_counts.requests,
            plain_counts.requests
        );
        println!("{query}\n{}\n", pretty(&table)?);
    }
    Ok(())
}

/// Writes the table to `store`, and registers the stored file with DataFusion.
async fn open(store: Arc<dyn ObjectStore>, scheme: &str) -> Result<SessionContext, Box<dyn Error>> {
    // One partition keeps row groups in the order of the ids, so that queries can skip most of
    // them.
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let url = Url::parse(&format!("{scheme}://bucket/datafusion/{scheme}/orders.parquet"))?;
    context.register_object_store(&url, store);
    let orders = context.read_batches(orders::batches()?)?;
    let options = DataFrameWriteOptions::new().with_single_file_output(true);
    orders.write_parquet(url.as_str(), options, Some(orders::parquet_options())).await?;
    context.register_parquet("orders", url.as_str(), ParquetReadOptions::default()).await?;
    Ok(context)
}

fn pretty(batches: &[datafusion::arrow::array::RecordBatch]) -> Result<String, Box<dyn Error>> {
    Ok(datafusion::arrow::util::pretty::pretty_format_batches(batches)?.to_string())
}
