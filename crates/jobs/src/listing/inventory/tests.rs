//! The inventories in `fixtures/inventory`, and damaged copies of them.

use std::{fs, path::Path};

use futures_util::TryStreamExt as _;
use md5::Digest as _;

use super::*;
use crate::listing::Listing;

const MANIFEST: &str = "inventories/invoices/daily/2025-11-25T00-00Z/manifest.json";
const FIRST_FILE: &str = "inventories/invoices/daily/data/00000000-0000-4000-8000-000000000000";

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/inventory").join(name)
}

/// Returns a client that reaches no server.
fn nowhere() -> Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::v2026_01_12())
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .endpoint_url("http://127.0.0.1:9")
        .credentials_provider(aws_sdk_s3::config::Credentials::for_tests());
    Client::from_conf(config.build())
}

async fn list(manifest: &Path) -> Result<Vec<ListedObject>, Error> {
    Listing::inventory(&nowhere(), ManifestLocation::File(manifest.to_owned())).try_collect().await
}

/// Copies a fixture, to be damaged.
fn copy(name: &str) -> tempfile::TempDir {
    fn copy_all(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("an entry");
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                fs::create_dir(&to).expect("a new directory");
                copy_all(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).expect("a copy");
            }
        }
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    copy_all(&fixture(name), directory.path());
    directory
}

fn edit(path: &Path, edit: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(path).expect("a text");
    fs::write(path, edit(text)).expect("written");
}

#[tokio::test]
async fn all_columns_of_an_inventory_are_listed() {
    #[cfg(feature = "parquet")]
    let names = ["csv", "parquet"];
    #[cfg(not(feature = "parquet"))]
    let names = ["csv"];
    for name in names {
        let objects = list(&fixture(name).join(MANIFEST)).await.expect(name);
        assert_eq!(objects.len(), 303, "{name}");
        let odd = "2026/a b+c=%é\"'.pdf";
        let mut first = ListedObject::new("invoices", odd).version("v2");
        first.is_latest = Some(true);
        first.size = Some(1072);
        first.e_tag = Some("d41d8cd98f00b204e9800998ecf8427e".into());
        first.last_modified = Some(DateTime::from_millis(1_764_000_000_123));
        first.storage_class = Some("STANDARD".into());
        assert_eq!(objects[0], first, "{name}");
        let brief: Vec<_> = objects[1..4]
            .iter()
            .map(|it| (it.key.as_str(), it.version_id.as_deref(), it.is_latest))
            .collect();
        let expected = [
            (odd, Some("v1"), Some(false)),
            ("2026/empty", Some("null"), Some(true)),
            ("many/0000", Some("m0"), Some(true)),
        ];
        assert_eq!(brief, expected, "{name}: without the delete marker");
        assert_eq!(objects[302].to_string(), "s3://invoices/many/0299", "{name}");
        assert_eq!(objects[302].size, Some(5 << 30), "{name}");
    }
}

#[tokio::test]
async fn the_manifest_tells_the_columns() {
    let copied = copy("csv");
    let manifest = copied.path().join(MANIFEST);
    edit(&manifest, |text| {
        text.replace("IsDeleteMarker", "NewColumn").replace("IsLatest", "AnotherOne")
    });
    let objects = list(&manifest).await.expect("an inventory");
    assert_eq!(objects.len(), 304, "no column marks delete markers");
    assert!(objects.iter().all(|object| object.is_latest.is_none()));
}

#[tokio::test]
async fn files_beside_the_manifest_are_found() {
    let copied = copy("csv");
    let flat = tempfile::tempdir().expect("a temporary directory");
    let data = copied.path().join(FIRST_FILE).parent().expect("a directory").to_owned();
    for path in fs::read_dir(data).expect("files").map(|entry| entry.expect("an entry").path()) {
        fs::copy(&path, flat.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    let manifest = flat.path().join("manifest.json");
    fs::copy(copied.path().join(MANIFEST), &manifest).expect("a copy");
    assert_eq!(list(&manifest).await.expect("an inventory").len(), 303);
}

/// A damaged inventory is never taken for a shorter list.
#[tokio::test]
async fn damage_is_an_error() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage, &str); 7] = [
        ("a file changed", |root| flip(&root.join(FIRST_FILE).with_extension("csv.gz")), "MD5"),
        (
            "a file cut off",
            |root| cut(&root.join(FIRST_FILE).with_extension("csv.gz")),
            "should have",
        ),
        (
            "a file that is another one, and says so",
            |root| {
                let text = b"\"invoices\",\"k\"\n";
                fs::write(root.join(FIRST_FILE).with_extension("csv.gz"), text).expect("written");
                let digest = format!("{:x}", Hex(md5::Md5::digest(text).to_vec()));
                edit(&root.join(MANIFEST), |manifest| with_first(&manifest, text.len(), &digest));
            },
            "gzip",
        ),
        (
            "a column more",
            |root| edit(&root.join(MANIFEST), |text| text.replace("ETag, ", "ETag, Owner, ")),
            "fields",
        ),
        (
            "no key",
            |root| edit(&root.join(MANIFEST), |text| text.replace("Key, ", "Name, ")),
            "lacks Bucket or Key",
        ),
        (
            "another format",
            |root| edit(&root.join(MANIFEST), |text| text.replace("\"CSV\"", "\"ORC\"")),
            "in ORC",
        ),
        (
            "no manifest",
            |root| edit(&root.join(MANIFEST), |_| "{}".into()),
            "not an S3 Inventory manifest",
        ),
    ];
    for (what, damage, why) in damages {
        let copied = copy("csv");
        damage(copied.path());
        let error = list(&copied.path().join(MANIFEST)).await.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::InvalidListing, "{what}");
        assert!(error.to_string().contains(why), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_key_that_leads_out_of_the_directories_is_not_followed() {
    let copied = copy("csv");
    let manifest = copied.path().join(MANIFEST);
    edit(&manifest, |text| text.replacen("inventories/invoices/daily/data/", "../data/", 1));
    let error = list(&manifest).await.expect_err("no such file");
    // It is searched in the inventory's bucket instead, which this client does not reach.
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

struct Hex(Vec<u8>);

impl std::fmt::LowerHex for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Changes length and digest of the first file in a manifest.
fn with_first(manifest: &str, len: usize, md5: &str) -> String {
    let mut json: serde_json::Value = serde_json::from_str(manifest).expect("JSON");
    json["files"][0]["size"] = len.into();
    json["files"][0]["MD5checksum"] = md5.into();
    json.to_string()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).expect("written");
}

fn cut(path: &Path) {
    let bytes = fs::read(path).expect("a file");
    fs::write(path, &bytes[..bytes.len() - 9]).expect("written");
}
