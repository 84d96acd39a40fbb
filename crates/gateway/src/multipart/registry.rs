//! All multipart uploads of this process.

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use s3s::{S3Error, S3ErrorCode, S3Result};
use sealwax_s3::{Error, SealedClient, recorded_object};
use tokio::time::sleep;

use super::{
    part::{PartStore, Place},
    upload::{Start, Upload},
};
use crate::{
    budget::{Room, slow_down},
    upstream::Upstream,
};

/// Most uploads that are open or remembered.
const MAX_UPLOADS: usize = 10_000;
/// Time for which the end of an upload is remembered, for clients that ask again.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Time for which an upload stays open without a request.
const IDLE: Duration = Duration::from_secs(24 * 3600);
/// Time for which a body waits for the end of others, before parts in memory are moved to the spool.
const BEFORE_SPOOL: Duration = Duration::from_secs(1);

/// Uploads by their ids. Clones share them.
#[derive(Clone)]
pub(crate) struct Uploads(Arc<Inner>);

struct Inner {
    /// Names this process in the ids of its uploads.
    instance: String,
    store: PartStore,
    /// Directory for the records of the store's uploads.
    records: Option<PathBuf>,
    uploads: Mutex<HashMap<String, Upload>>,
    /// Held by the request that moves parts to the spool.
    moving: tokio::sync::Mutex<()>,
}

impl Uploads {
    pub(crate) fn new(store: PartStore, records: Option<PathBuf>) -> Self {
        let instance = random_name()[..8].to_owned();
        let (uploads, moving) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Inner { instance, store, records, uploads, moving }))
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// Too many are open.
    pub(crate) fn begin(&self, upstream: &Upstream, start: Start) -> S3Result<Upload> {
        let mut uploads = self.uploads();
        forget_old(&mut uploads);
        if uploads.len() >= MAX_UPLOADS {
            forget_ended(&mut uploads)?;
        }
        let id = format!("{}-{}", self.0.instance, random_name());
        let record = self.0.records.as_ref().map(|directory| directory.join(&id));
        let upload =
            Upload::new(id.clone(), start, (upstream.clone(), self.0.store.puts.clone()), record);
        uploads.insert(id, upload.clone());
        Ok(upload)
    }

    /// Returns the upload `id` of a client to an object.
    ///
    /// # Errors
    /// There is none, or it is that of another client or to another object.
    pub(crate) fn find(&self, id: &str, client: &str, bucket: &str, key: &str) -> S3Result<Upload> {
        let found = self.uploads().get(id).cloned().filter(|upload| {
            let start = upload.start();
            (&*start.client, &*start.bucket, &*start.key) == (client, bucket, key)
        });
        found.ok_or_else(|| {
            let instance = &self.0.instance;
            let message = match id.split_once('-') {
                Some((other, _)) if other != instance && other.len() == instance.len() => format!(
                    "the upload belongs to the gateway process {other}; this one is {instance}"
                ),
                _ => "the upload does not exist".to_owned(),
            };
            S3Error::with_message(S3ErrorCode::NoSuchUpload, message)
        })
    }

    /// Ends an upload.
    ///
    /// # Errors
    /// It was completed.
    pub(crate) fn abort(&self, upload: &Upload) -> S3Result<()> {
        upload.abort()?;
        self.uploads().remove(upload.id());
        Ok(())
    }

    /// Returns the open uploads of a client in a bucket, by key and id.
    pub(crate) fn open(&self, client: &str, bucket: &str, prefix: &str) -> Vec<Upload> {
        let mut open: Vec<Upload> = self
            .uploads()
            .values()
            .filter(|upload| {
                let start = upload.start();
                !upload.last_used().1
                    && (&*start.client, &*start.bucket) == (client, bucket)
                    && start.key.starts_with(prefix)
            })
            .cloned()
            .collect();
        open.sort_by(|one, other| {
            (&one.start().key, one.id()).cmp(&(&other.start().key, other.id()))
        });
        open
    }

    /// Finds room for a part of `len` bytes. If there is none, parts in memory that are sealed already
    /// are given up.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn place(&self, len: u64) -> S3Result<Place> {
        if let Some(room) = self.0.store.budget.room(len) {
            return Ok(Place::Memory(room));
        }
        self.give_up_memory();
        self.0.store.place(len).await
    }

    /// Waits for room for a body of `len` bytes that is sealed as it arrives.
    ///
    /// # Errors
    /// There was none for ten seconds.
    pub(crate) async fn wait_for_room(&self, len: u64) -> S3Result<Room> {
        let budget = &self.0.store.budget;
        if let Some(room) = budget.room(len) {
            return Ok(room);
        }
        self.give_up_memory();
        let mut room = pin!(budget.wait_for(len));
        tokio::select! {
            room = &mut room => return room,
            () = self.move_to_spool() => {}
        }
        room.await
    }

    /// Moves parts in memory to the spool, until it is dropped. Other bodies leave soon, but parts may
    /// wait for a day.
    async fn move_to_spool(&self) {
        let Some(spool) = &self.0.store.spool else { return };
        sleep(BEFORE_SPOOL).await;
        let _turn = self.0.moving.lock().await;
        let mut uploads: Vec<Upload> = self.uploads().values().cloned().collect();
        uploads.sort_by_key(|upload| upload.last_used().0);
        for upload in uploads {
            if let Err(error) = upload.move_to_spool(spool).await {
                tracing::error!(%error, "the spool failed");
                return;
            }
        }
    }

    /// Gives up parts in memory that are sealed already.
    fn give_up_memory(&self) {
        let uploads: Vec<Upload> = self.uploads().values().cloned().collect();
        for upload in uploads {
            upload.give_up_memory();
        }
    }

    /// Returns a new path for the record of an upload in the store, if there are records.
    pub(crate) fn new_record(&self) -> Option<PathBuf> {
        let name = format!("{}-{}.upload", self.0.instance, random_name());
        self.0.records.as_ref().map(|directory| directory.join(name))
    }

    /// Returns the number of bytes in memory that bodies take, over all requests.
    pub(crate) fn memory(&self) -> u64 {
        let PartStore { budget, puts, .. } = &self.0.store;
        budget.taken() + puts.taken()
    }

    /// Returns the number of open uploads.
    pub(crate) fn open_count(&self) -> usize {
        self.uploads().values().filter(|upload| !upload.last_used().1).count()
    }

    /// Aborts all open uploads, and waits until their puts have ended.
    pub(crate) async fn abort_all(&self) {
        let uploads = std::mem::take(&mut *self.uploads());
        // A completed one has nothing to abort.
        let tasks: Vec<_> = uploads.values().filter_map(|upload| upload.abort().ok()?).collect();
        for task in tasks {
            // It was cancelled.
            let _ = task.await;
        }
    }

    fn uploads(&self) -> MutexGuard<'_, HashMap<String, Upload>> {
        self.0.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Aborts the store's uploads that an earlier process recorded in `directory` and did not end.
/// Returns how many there were.
pub(crate) async fn sweep(client: &SealedClient, directory: &Path) -> std::io::Result<usize> {
    let mut swept = 0;
    // Records that were not complete, and so have no upload with a part.
    sealwax_files::remove_leftovers(directory)?;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "upload") {
            continue;
        }
        match abort_recorded(client, &path).await {
            Ok(()) => swept += 1,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an upload could not be aborted");
            }
        }
    }
    Ok(swept)
}

async fn abort_recorded(client: &SealedClient, path: &Path) -> Result<(), Error> {
    if let Some(uri) = recorded_object(path).await? {
        client.abort_unfinished(&uri, path).await?;
    }
    Ok(())
}

/// Forgets uploads that ended long ago, and aborts those that are not used.
fn forget_old(uploads: &mut HashMap<String, Upload>) {
    let now = Instant::now();
    uploads.retain(|_, upload| {
        let (used, has_ended) = upload.last_used();
        let age = used.map_or(Duration::MAX, |used| now.duration_since(used));
        let stays = age < if has_ended { REMEMBERED } else { IDLE };
        if !stays {
            // A completed one has nothing to abort.
            let _ = upload.abort();
        }
        stays
    });
}

/// Forgets the upload that ended longest ago.
///
/// # Errors
/// All are open.
fn forget_ended(uploads: &mut HashMap<String, Upload>) -> S3Result<()> {
    let ended = uploads.iter().filter_map(|(id, upload)| match upload.last_used() {
        (used, true) => Some((used, id.clone())),
        (_, false) => None,
    });
    let (_, id) = ended.min().ok_or_else(slow_down)?;
    uploads.remove(&id);
    Ok(())
}

/// Returns 128 random bits in hexadecimal.
pub(crate) fn random_name() -> String {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads").field("instance", &self.0.instance).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use aws_sdk_s3::config::{BehaviorVersion, Region};
    use bytes::Bytes;
    use s3s::dto::StreamingBlob;
    use sealwax_s3::{Attributes, envelope::LocalKeyring};
    use tokio::time::Instant;

    use super::{
        super::{
            part::{Part, PartBody, receive},
            spool::{Spool, SpoolSettings},
        },
        *,
    };
    use crate::{budget::Budget, unsealed::UnsealedObjects};

    const MIB: u64 = 1 << 20;

    fn upstream() -> Upstream {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-east-1"));
        let keyring = LocalKeyring::new("key", &mut [7; 32]).expect("a key");
        let s3 = aws_sdk_s3::Client::from_conf(config.build());
        let sealed = SealedClient::builder(s3, keyring).build();
        Upstream::new(sealed, UnsealedObjects::Refuse, Vec::new())
    }

    fn start() -> Start {
        Start {
            client: "client".into(),
            bucket: "bucket".into(),
            key: "key".into(),
            attributes: Attributes::default(),
            metadata: Vec::new(),
            checksum: None,
            is_checksum_of_whole: false,
        }
    }

    /// Receives a part of bytes that all are `byte`, as `UploadPart` does.
    async fn add(uploads: &Uploads, upload: &Upload, number: u16, byte: u8, len: u64) {
        let bytes = vec![byte; usize::try_from(len).expect("short")];
        let body = StreamingBlob::from(s3s::Body::from(Bytes::from(bytes)));
        let place = uploads.place(len).await.expect("room");
        let received = receive(place, body, None).await.expect("received");
        let part = Part {
            len: received.len,
            e_tag: random_name(),
            sum: received.sum,
            checksum: None,
            modified: SystemTime::now(),
            body: received.body,
        };
        upload.add(number, part).expect("it is open");
    }

    async fn content(body: &PartBody) -> Vec<u8> {
        let mut reader = body.read().expect("the spool works");
        let mut all = Vec::new();
        while let Some(current) = reader {
            let (pieces, rest) = current.next().await.expect("unchanged").unzip();
            all.extend(pieces.into_iter().flatten().flatten());
            reader = rest;
        }
        all
    }

    /// Uploads that are not continued do not keep the memory from other requests.
    #[tokio::test(start_paused = true)]
    async fn parts_that_wait_leave_the_memory_for_the_spool() {
        let folder = tempfile::tempdir().expect("a folder");
        // No put has room to begin, so all parts wait.
        let (budget, puts) = (Budget::new(4 * MIB), Budget::new(0));
        let spool = Some(Spool::new(SpoolSettings {
            directory: folder.path().to_owned(),
            len: 3 * MIB,
            files: 10,
        }));
        let (uploads, upstream) =
            (Uploads::new(PartStore { budget, puts, spool }, None), upstream());
        let [first, second] = [(); 2].map(|()| uploads.begin(&upstream, start()).expect("room"));
        add(&uploads, &first, 1, 1, 2 * MIB).await;
        add(&uploads, &second, 1, 2, MIB + 4096).await;
        add(&uploads, &second, 3, 3, MIB - 4096).await;
        assert_eq!(uploads.memory(), 4 * MIB);

        let begun = Instant::now();
        let room = uploads.wait_for_room(2 * MIB).await.expect("that of the first part");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let moved = first.parts().remove(0).1;
        assert!(!moved.body.is_in_memory());
        assert!(content(&moved.body).await == vec![1; 2 << 20]);

        // The spool has room for one of the other parts, which is not enough.
        let refused = uploads.wait_for_room(2 * MIB).await.expect_err("no room");
        assert_eq!(refused.code(), &S3ErrorCode::SlowDown);
        let left = second.parts();
        let in_memory: Vec<_> =
            left.iter().map(|(number, part)| (*number, part.body.is_in_memory())).collect();
        assert_eq!(in_memory, [(1, true), (3, false)]);
        for ((_, part), byte) in left.iter().zip([2, 3]) {
            assert!(
                content(&part.body).await == vec![byte; usize::try_from(part.len).expect("short")]
            );
        }
        assert_eq!(uploads.memory(), 3 * MIB + 4096);
        drop(room);
        assert!(uploads.wait_for_room(2 * MIB).await.is_ok(), "that of the request");
    }

    /// A client that completes ten thousand uploads within an hour can begin more.
    #[tokio::test]
    async fn ended_uploads_make_room_for_new_ones() {
        let budget = || Budget::new(1 << 20);
        let store = PartStore { budget: budget(), puts: budget(), spool: None };
        let (uploads, upstream) = (Uploads::new(store, None), upstream());
        let begin = || uploads.begin(&upstream, start());
        let begun: Vec<_> = (0..4).map(|_| begin().expect("room")).collect();
        let forget = || forget_ended(&mut uploads.uploads());
        assert_eq!(forget().expect_err("all are open").code(), &S3ErrorCode::SlowDown);
        for upload in &begun[1..3] {
            upload.abort().expect("it is open");
        }
        let find = |upload: &Upload| uploads.find(upload.id(), "client", "bucket", "key");
        forget().expect("one has ended");
        let gone = find(&begun[1]).expect_err("the first one");
        assert_eq!(gone.code(), &S3ErrorCode::NoSuchUpload);
        assert!(find(&begun[2]).is_ok(), "the second one");
        forget().expect("another one");
        assert_eq!(forget().expect_err("all are open").code(), &S3ErrorCode::SlowDown);
        assert!(find(&begun[0]).is_ok() && find(&begun[3]).is_ok());
    }
}
