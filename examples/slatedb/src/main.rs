//! A SlateDB database whose files are sealed.
//!
//! The program writes a thousand rows, opens the database again and reads them, and shows that the
//! bucket has none of them in clear. `make example-slatedb` runs it.

use std::{env, error::Error, sync::Arc};

use sealwax_object_store::v0_14::{
    SealedStore,
    object_store::{ObjectStore, prefix::PrefixStore},
};
use sealwax_s3::{
    KmsKeyring, ListPages, SealedClient,
    aws_config::{self, BehaviorVersion},
    aws_sdk_s3,
    envelope::CachingKeyring,
};
use slatedb::Db;

const ROWS: u32 = 1000;
/// Folder of the database in the bucket.
const FOLDER: &str = "slatedb";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [endpoint, bucket, key_arn] = &arguments[..] else {
        return Err("usage: slatedb ENDPOINT BUCKET KEY-ARN".into());
    };
    let config =
        aws_config::defaults(BehaviorVersion::v2026_01_12()).endpoint_url(endpoint).load().await;
    let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    // A database writes many small files: with a cache, most of them need no call to KMS.
    let keyring = CachingKeyring::new(KmsKeyring::builder(&config).key(key_arn).build()?);
    let client = SealedClient::builder(s3.clone(), keyring).build();
    let store = PrefixStore::new(SealedStore::new(client, bucket), FOLDER);
    let store: Arc<dyn ObjectStore> = Arc::new(store);

    let database = Db::open("customers", Arc::clone(&store)).await?;
    for number in 0..ROWS {
        database.put(key(number), value(number)).await?;
    }
    database.close().await?;
    println!("wrote {ROWS} rows, and closed the database");

    let database = Db::open("customers", store).await?;
    let found = database.get(key(42)).await?.ok_or("row 42 is missing")?;
    assert_eq!(found, value(42).as_bytes());
    let mut rows = database.scan(key(100)..key(200)).await?;
    let mut scanned = 0;
    while let Some(row) = rows.next().await? {
        assert_eq!(row.value, value(100 + scanned).as_bytes());
        scanned += 1;
    }
    assert_eq!(scanned, 100, "rows of the scan");
    database.close().await?;
    println!("opened it again: row 42 is \"{}\", and a scan found {scanned} rows", value(42));

    let (mut files, mut bytes) = (0_u32, 0);
    let mut pages = ListPages::objects(&s3, bucket, format!("{FOLDER}/"));
    while let Some(page) = pages.next_page().await? {
        for object in page.objects {
            let stored = s3.get_object().bucket(bucket).key(&object.key).send().await?;
            let stored = stored.body.collect().await?.into_bytes();
            let is_in_clear = stored.windows(8).any(|bytes| bytes == b"customer");
            assert!(!is_in_clear, "{} has a row in clear", object.key);
            (files, bytes) = (files + 1, bytes + stored.len());
        }
    }
    println!("the bucket has {files} files of {bytes} bytes, and no row in clear");
    Ok(())
}

fn key(number: u32) -> String {
    format!("{number:08}")
}

fn value(number: u32) -> String {
    format!("customer {number}, of Example Street {}", number % 97)
}
