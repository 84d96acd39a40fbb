//! Objects of a history, what others do to them, and the fresh look at them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::{
    Client,
    config::{Credentials, SharedCredentialsProvider},
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use sealwax_s3::{KmsKeyring, SealedClient, SidecarPolicy};
use tokio::runtime::Runtime;

use super::calls::Calls;
use crate::support::{Scene, Sealwax, east_key, endpoint, second_s3, west_key};

/// Few buckets for all tests, because each bucket takes seven volumes of SeaweedFS.
const BUCKET: &str = "sealwax-tests";
const VERSIONED_BUCKET: &str = "sealwax-tests-versioned";

/// Place of the objects of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// In a versioned bucket.
    pub(super) is_versioned: bool,
    /// Everybody looks for sidecars.
    pub(super) has_sidecars: bool,
}

impl Place {
    /// Half of the histories are in a versioned bucket, and every third one has sidecars.
    pub(super) fn of(number: u64) -> Self {
        Self { is_versioned: number % 2 == 1, has_sidecars: number % 3 == 1 }
    }

    fn bucket(self) -> &'static str {
        if self.is_versioned { VERSIONED_BUCKET } else { BUCKET }
    }

    fn sidecars(self) -> SidecarPolicy {
        if self.has_sidecars { SidecarPolicy::read() } else { SidecarPolicy::off() }
    }
}

const SUFFIX: &str = ".sealwax";

/// A change that somebody else makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Overwrite,
    OverwriteByEncryptionClient,
    Delete,
    Add,
    Shred,
    /// The object as it was at the start, from a backup.
    Restore,
    /// A copy by another tool: its keys are bound to the place that it came from.
    CopyByOthers,
    /// To another name, with its keys.
    Move,
}

impl Change {
    pub(super) const ALL: [Self; 8] = [
        Self::Overwrite,
        Self::OverwriteByEncryptionClient,
        Self::Delete,
        Self::Add,
        Self::Shred,
        Self::Restore,
        Self::CopyByOthers,
        Self::Move,
    ];
}

/// An object as somebody with single keys sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its plaintext, if one of the keys opens it.
    pub(super) text: Option<String>,
    pub(super) east: bool,
    pub(super) west: bool,
    pub(super) is_of_encryption_client: bool,
    pub(super) is_shredded: bool,
}

impl Seen {
    /// `true` if there are keys that should open it.
    pub(super) fn is_sealed(&self) -> bool {
        !self.is_shredded
    }

    /// `true` unless the S3 Encryption Client wrote it, whose objects don't name their key.
    pub(super) fn names_its_keys(&self) -> bool {
        !self.is_of_encryption_client
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut also = String::new();
        for (holds, what) in [
            (self.east, " east"),
            (self.west, " west"),
            (self.is_of_encryption_client, " s3ec"),
            (self.is_shredded, " shredded"),
        ] {
            also += if holds { what } else { "" };
        }
        write!(f, "{}{also}", self.text.as_deref().unwrap_or("-"))
    }
}

/// All objects of a folder by their names below it.
pub(super) type Look = BTreeMap<String, Seen>;

/// The version ids of a folder's objects, without delete markers.
pub(super) type Versions = BTreeMap<String, BTreeSet<String>>;

type Stored = (Vec<u8>, HashMap<String, String>);

/// A bucket, and the clients of somebody else.
pub(super) struct World {
    /// The calls of the commands.
    pub(super) calls: Calls,
    pub(super) place: Place,
    scene: Scene,
    runtime: Runtime,
    s3: Client,
    config: SdkConfig,
    backup: BTreeMap<String, Stored>,
    texts: AtomicUsize,
}

impl World {
    pub(super) fn new(number: u64) -> Arc<Self> {
        let scene = Scene::new(&format!("evidence-{number}"));
        let credentials = Credentials::new("test", "test", None, None, "tests");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            .endpoint_url(second_s3())
            .force_path_style(true);
        let s3 = Client::from_conf(s3.build());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let place = Place::of(number);
        runtime.block_on(async {
            // It may already exist.
            let _ = s3.create_bucket().bucket(place.bucket()).send().await;
            if place.is_versioned {
                let enabled = VersioningConfiguration::builder();
                let enabled = enabled.status(BucketVersioningStatus::Enabled).build();
                let put = s3.put_bucket_versioning().bucket(place.bucket());
                put.versioning_configuration(enabled).send().await.expect("versioned");
            }
        });
        let (backup, texts) = (BTreeMap::new(), AtomicUsize::new(0));
        let calls = Calls::new(&second_s3(), &endpoint());
        Arc::new(Self { calls, place, scene, runtime, s3, config, backup, texts })
    }

    /// Remembers the folder's objects, for [`Change::Restore`].
    pub(super) fn back_up(self: &mut Arc<Self>, folder: &str) {
        let names = self.names(folder);
        let backup = names.into_iter().map(|name| {
            let stored = self.fetch(&self.key(folder, &name)).expect("an object");
            (name, stored)
        });
        let backup = backup.collect();
        Arc::get_mut(self).expect("nobody else has it yet").backup = backup;
    }

    /// Returns the command with this history's servers and state.
    pub(super) fn command(&self, args: &[String]) -> Sealwax {
        Sealwax::new(args)
            .env("AWS_ENDPOINT_URL", &self.calls.kms)
            .env("AWS_ENDPOINT_URL_S3", &self.calls.s3)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("XDG_STATE_HOME", self.scene.path("state"))
            .in_directory(self.scene.path(".").as_path())
    }

    pub(super) fn address(&self, folder: &str) -> String {
        format!("s3://{}/{}/{folder}/", self.bucket(), self.scene.key)
    }

    fn bucket(&self) -> &'static str {
        self.place.bucket()
    }

    fn key(&self, folder: &str, name: &str) -> String {
        format!("{}/{folder}/{name}", self.scene.key)
    }

    fn client(&self, key: &str) -> SealedClient {
        let keyring = KmsKeyring::builder(&self.config).key(key).build().expect("an ARN");
        let client = SealedClient::builder(self.s3.clone(), keyring);
        client.sidecars(self.place.sidecars()).build()
    }

    fn next_text(&self) -> String {
        let number = self.texts.fetch_add(1, Ordering::Relaxed);
        format!("text {number}")
    }

    /// Seals a new text at this name, with a keyring for each of the keys.
    pub(super) fn put(
        &self,
        folder: &str,
        name: &str,
        keys: &[String],
        by_encryption_client: bool,
    ) {
        let builder = KmsKeyring::builder(&self.config).keys(keys);
        let client = SealedClient::builder(self.s3.clone(), builder.build().expect("ARNs")).build();
        let put =
            client.put().bucket(self.bucket()).key(self.key(folder, name)).body(self.next_text());
        self.runtime.block_on(async {
            if by_encryption_client {
                put.s3ec().send().await.expect("put");
            } else {
                put.send().await.expect("put");
            }
        });
    }

    fn fetch(&self, key: &str) -> Option<Stored> {
        self.runtime.block_on(async {
            let output = self.s3.get_object().bucket(self.bucket()).key(key).send().await.ok()?;
            let metadata = output.metadata.clone().unwrap_or_default();
            Some((output.body.collect().await.expect("all of it").to_vec(), metadata))
        })
    }

    fn store(&self, key: &str, (body, metadata): Stored) {
        let put = self.s3.put_object().bucket(self.bucket()).key(key).set_metadata(Some(metadata));
        self.runtime.block_on(put.body(body.into()).send()).expect("stored");
    }

    /// Changes an object, and returns the names of all objects that may have changed.
    pub(super) fn change(&self, change: Change, folder: &str, name: &str) -> Vec<String> {
        let key = self.key(folder, name);
        match change {
            Change::Overwrite => self.put(folder, name, &[east_key()], false),
            Change::OverwriteByEncryptionClient => self.put(folder, name, &[east_key()], true),
            Change::Delete => {
                let delete = self.s3.delete_object().bucket(self.bucket()).key(key);
                self.runtime.block_on(delete.send()).expect("deleted");
            }
            Change::Add => {
                let name = format!("added-{}", self.texts.load(Ordering::Relaxed));
                self.put(folder, &name, &[east_key()], false);
                return vec![name];
            }
            Change::Shred => {
                let uri = format!("s3://{}/{key}", self.bucket());
                let shred =
                    self.client(&east_key()).shred().bucket(self.bucket()).key(key).confirm(uri);
                // An object of the S3 Encryption Client, or none, can't be shredded.
                let _ = self.runtime.block_on(shred.send());
            }
            Change::Restore => {
                if let Some(stored) = self.backup.get(name) {
                    self.store(&key, stored.clone());
                }
            }
            Change::CopyByOthers => {
                let to = format!("copied-{name}");
                if let Some(stored) = self.fetch(&key) {
                    self.store(&self.key(folder, &to), stored);
                }
                return vec![to];
            }
            Change::Move => {
                let to = format!("moved-{name}");
                let client = self.client(&east_key());
                let copy = client
                    .copy()
                    .source_bucket(self.bucket())
                    .source_key(&key)
                    .bucket(self.bucket());
                // An object that the East's key does not open stays.
                let copy = copy.key(self.key(folder, &to)).prove_keys().send();
                if self.runtime.block_on(copy).is_ok_and(|copy| copy.report.opens.is_proven()) {
                    let delete = self.s3.delete_object().bucket(self.bucket()).key(key);
                    self.runtime.block_on(delete.send()).expect("deleted");
                }
                return vec![name.to_owned(), to];
            }
        }
        vec![name.to_owned()]
    }

    /// Returns the names of the folder's objects, without sidecars.
    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        self.listed(folder).into_iter().filter(|name| !self.is_sidecar(name)).collect()
    }

    /// Returns the names of the objects whose sidecars are in the folder.
    pub(super) fn with_sidecars(&self, folder: &str) -> BTreeSet<String> {
        let sidecars = self.listed(folder).into_iter().filter(|name| self.is_sidecar(name));
        sidecars.map(|name| name.strip_suffix(SUFFIX).expect("a sidecar").to_owned()).collect()
    }

    fn is_sidecar(&self, name: &str) -> bool {
        self.place.has_sidecars && name.ends_with(SUFFIX)
    }

    fn listed(&self, folder: &str) -> Vec<String> {
        let prefix = self.key(folder, "");
        let list = self.s3.list_objects_v2().bucket(self.bucket()).prefix(&prefix);
        let listed = self.runtime.block_on(list.send()).expect("listed").contents;
        let names = listed.unwrap_or_default().into_iter().filter_map(|object| object.key);
        names.map(|key| key.strip_prefix(&prefix).expect("in the folder").to_owned()).collect()
    }

    /// Returns all versions of the folder's objects, if the bucket is versioned.
    pub(super) fn versions(&self, folder: &str) -> Versions {
        let mut versions = Versions::new();
        if !self.place.is_versioned {
            return versions;
        }
        let prefix = self.key(folder, "");
        let list = self.s3.list_object_versions().bucket(self.bucket()).prefix(&prefix);
        let listed = self.runtime.block_on(list.send()).expect("listed");
        for version in listed.versions.unwrap_or_default() {
            let (key, id) = (version.key.expect("a key"), version.version_id.expect("an id"));
            let name = key.strip_prefix(&prefix).expect("in the folder");
            if !self.is_sidecar(name) {
                versions.entry(name.to_owned()).or_default().insert(id);
            }
        }
        versions
    }

    /// Opens each object with each key alone.
    pub(super) fn look(&self, folder: &str) -> Look {
        let clients = [east_key(), west_key()].map(|key| self.client(&key));
        let with_sidecars = self.with_sidecars(folder);
        let see = |name: String| {
            let key = self.key(folder, &name);
            let (_, metadata) = self.fetch(&key)?;
            let texts = clients.each_ref().map(|client| {
                self.runtime.block_on(async {
                    let object = client.get().bucket(self.bucket()).key(&key).send().await.ok()?;
                    let bytes = object.bytes().await.ok()?;
                    Some(String::from_utf8(bytes.to_vec()).expect("our text"))
                })
            });
            let [east, west] = texts.each_ref().map(Option::is_some);
            let seen = Seen {
                text: texts.into_iter().flatten().next(),
                east,
                west,
                is_of_encryption_client: metadata.contains_key("x-amz-i"),
                // A sidecar that stays makes the mark untrue.
                is_shredded: metadata.contains_key("sealwax-shredded")
                    && !with_sidecars.contains(&name),
            };
            Some((name, seen))
        };
        self.names(folder).into_iter().filter_map(see).collect()
    }
}
