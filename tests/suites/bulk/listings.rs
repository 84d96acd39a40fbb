//! Listings are complete and correct.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_jobs::listing::{Listing, ManifestLocation};
use sealwax_s3::{ErrorKind, ListedObject, aws_sdk_s3::Client};
use sealwax_tests::{LocalStack, SeaweedFs, east};

async fn fill(s3: &Client, bucket: &str, keys: &[String]) {
    let put = |key: &String| s3.put_object().bucket(bucket).key(key).body(vec![7; 3].into()).send();
    stream::iter(keys.iter().map(put))
        .buffer_unordered(32)
        .try_collect::<Vec<_>>()
        .await
        .expect("put");
}

fn keys(objects: &[ListedObject]) -> BTreeSet<&str> {
    objects.iter().map(|object| object.key.as_str()).collect()
}

#[tokio::test]
async fn keys_are_listed_once_across_pages_and_with_unusual_names() {
    let (stack, store) = (LocalStack::new(east()), SeaweedFs::new().await);
    for (s3, uri) in [(stack.s3(), stack.object("list")), (store.s3(), store.object("list"))] {
        // Unusual names in a listing of one page: LocalStack 4.10 loses non-ASCII keys on a second
        // page.
        let odd = [
            "odd/a b+c",
            "odd/é%/?&=#",
            "odd/%2F",
            "odd/q\"b's",
            "odd/日本語",
            "odd/a-b",
            "odd/a/c",
        ];
        let pages = (0..1005).map(|n| format!("pages/{n:04}"));
        let names: Vec<_> = odd.map(str::to_owned).into_iter().chain(pages).collect();
        let names: Vec<_> = names.iter().map(|name| format!("{}/{name}", uri.key())).collect();
        fill(&s3, uri.bucket(), &names).await;
        fill(&s3, uri.bucket(), &[format!("{}-other", uri.key())]).await;
        let mut listed = Vec::new();
        for part in ["odd/", "pages/"] {
            let listing = Listing::objects(&s3, uri.bucket(), format!("{}/{part}", uri.key()));
            listed.extend(listing.try_collect::<Vec<_>>().await.expect("a list"));
        }
        let (found, expected) =
            (keys(&listed), names.iter().map(String::as_str).collect::<BTreeSet<_>>());
        let different: Vec<_> = found.symmetric_difference(&expected).collect();
        assert!(different.is_empty(), "{different:?}");
        assert_eq!(listed.len(), names.len());
        assert!(
            listed
                .iter()
                .all(|it| it.size == Some(3) && it.e_tag.is_some() && it.last_modified.is_some())
        );
    }
}

#[tokio::test]
async fn a_listing_of_versions_skips_delete_markers() {
    let stack = LocalStack::new(east());
    let (s3, uri) = (stack.s3(), stack.object("versions"));
    let names: Vec<_> = (0..3).map(|n| format!("{}/{n}", uri.key())).collect();
    for _ in 0..2 {
        fill(&s3, uri.bucket(), &names).await;
    }
    s3.delete_object().bucket(uri.bucket()).key(&names[1]).send().await.expect("delete");
    let prefix = format!("{}/", uri.key());
    let versions: Vec<_> = Listing::versions(&s3, uri.bucket(), &prefix)
        .try_collect()
        .await
        .expect("a list of versions");
    assert_eq!(versions.len(), 6);
    assert!(versions.iter().all(|version| version.version_id.is_some()));
    let latest: Vec<_> =
        versions.iter().filter(|it| it.is_latest == Some(true)).map(|it| it.key.as_str()).collect();
    assert_eq!(
        latest,
        [&names[0], &names[2]],
        "the newest of the deleted one is its delete marker"
    );
    let objects: Vec<_> =
        Listing::objects(&s3, uri.bucket(), &prefix).try_collect().await.expect("a list");
    assert_eq!(keys(&objects), [names[0].as_str(), &names[2]].into());
}

#[tokio::test]
async fn an_inventory_in_s3_is_fetched_and_verified() {
    let stack = LocalStack::new(east());
    let (s3, uri) = (stack.s3(), stack.object("inventory"));
    for name in ["csv", "parquet"] {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/jobs/fixtures/inventory");
        let root = std::path::Path::new(root).join(name);
        let upload = async |path: &str, key: &str| {
            let body = std::fs::read(root.join(path)).expect("a fixture");
            s3.put_object()
                .bucket(uri.bucket())
                .key(key)
                .body(body.into())
                .send()
                .await
                .expect("put");
        };
        let path = "inventories/invoices/daily/2025-11-25T00-00Z/manifest.json";
        let manifest = std::fs::read(root.join(path)).expect("a manifest");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        for file in manifest["files"].as_array().expect("files") {
            let key = file["key"].as_str().expect("a key");
            upload(key, key).await;
        }
        let key = format!("{}/{name}/manifest.json", uri.key());
        upload(path, &key).await;
        let location: ManifestLocation =
            format!("s3://{}/{key}", uri.bucket()).parse().expect("an address");
        let listed: Vec<_> =
            Listing::inventory(&s3, location.clone()).try_collect().await.expect("an inventory");
        assert_eq!(listed.len(), 303, "{name}");

        // One of its files is replaced. The listing ends with an error, not as a shorter list.
        let last = manifest["files"][1]["key"].as_str().expect("a key");
        s3.put_object()
            .bucket(uri.bucket())
            .key(last)
            .body(vec![0; 9].into())
            .send()
            .await
            .expect("put");
        let mut listing = Listing::inventory(&s3, location.clone());
        let mut results = Vec::new();
        while let Some(result) = listing.next().await {
            results.push(result);
        }
        let error = results.pop().expect("a result").expect_err("the file was replaced");
        assert_eq!(
            (error.kind(), results.len()),
            (ErrorKind::InvalidListing, 3),
            "{name}: {error}"
        );
        s3.delete_object().bucket(uri.bucket()).key(last).send().await.expect("delete");
        let error = Listing::inventory(&s3, location)
            .try_collect::<Vec<_>>()
            .await
            .expect_err("the file is gone");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{name}: {error}");
    }
}

#[tokio::test]
async fn a_failed_listing_is_an_error() {
    let stack = LocalStack::new(east());
    for listing in [
        Listing::objects(&stack.s3(), "no-such-bucket-0", ""),
        Listing::versions(&stack.s3(), "no-such-bucket-0", ""),
    ] {
        let error = listing.try_collect::<Vec<_>>().await.expect_err("no such bucket");
        assert_eq!(error.kind(), ErrorKind::NoSuchBucket, "{error}");
    }
}
