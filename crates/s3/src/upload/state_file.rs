//! State file of a multipart upload: all that is needed to resume it after the process was killed.
//!
//! It consists of JSON lines, which are appended and never rewritten. It holds no plaintext and no
//! plaintext key, and says so.
//!
//! A part's fingerprint is on disk before the part is first sent. A resumed upload seals the part
//! again in memory, and sends it only if its fingerprint is the recorded one. So no two different
//! plaintexts ever leave the process sealed under one nonce, regardless of what happened to the
//! file in between.
//!
//! The body of a copied object is sealed already. Parts that S3 has are not read again: S3 compares
//! their entity tags and checksums when the upload is completed.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use aws_sdk_s3::types::CompletedPart;
use sealwax_envelope::{
    ascii_json,
    geometry::{HEADER_LEN, SEALED_CHUNK_LEN, TAG_LEN},
};
use sealwax_files::{NewFile, open_to_append};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_util::task::TaskTracker;

use super::source::SourceFile;
use crate::{
    blocking::blocking,
    error::{Error, ErrorKind, ObjectRef},
    store::checksum::SentChecksum,
};

const NOTE: &str =
    "State of an unfinished Sealwax upload. It holds no plaintext and no plaintext key.";

/// First line of a state file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadStart {
    sealwax_upload: u32,
    note: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) upload_id: String,
    #[serde(alias = "file")]
    pub(crate) source: UploadSource,
    pub(crate) part_chunks: usize,
    /// Sealwax's metadata of the object.
    pub(crate) metadata: BTreeMap<String, String>,
    /// `true` if the store got no checksums of parts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    without_checksum: bool,
}

impl UploadStart {
    pub(crate) fn new(
        (bucket, key): (&str, &str),
        upload_id: &str,
        source: UploadSource,
        part_chunks: usize,
        metadata: BTreeMap<String, String>,
        checksum: SentChecksum,
    ) -> Self {
        Self {
            sealwax_upload: 1,
            note: NOTE.into(),
            bucket: bucket.into(),
            key: key.into(),
            upload_id: upload_id.into(),
            source,
            part_chunks,
            metadata,
            without_checksum: checksum == SentChecksum::Nothing,
        }
    }

    /// Returns the checksum that the upload began with.
    pub(crate) fn checksum(&self) -> SentChecksum {
        match self.without_checksum {
            true => SentChecksum::Nothing,
            false => SentChecksum::Crc64Nvme,
        }
    }
}

/// Source of an upload's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum UploadSource {
    /// A file, which is sealed part by part. Its upload is kept for later when it fails.
    File(FileIdentity),
    /// An object whose sealed body is copied. Only the record of a killed process outlives it.
    Object(ObjectIdentity),
    /// A source that is read once. Only the record of a killed process outlives its upload.
    Once(Once),
}

impl UploadSource {
    /// Returns the length of the body in bytes, before it is sealed.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::File(file) => file.len,
            Self::Object(object) => object.len,
            Self::Once(_) => 0,
        }
    }

    /// Returns a source that is read once.
    pub(crate) fn once() -> Self {
        Self::Once(Once { read: Reads::Once })
    }
}

/// Length and modification time of a file when its upload began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileIdentity {
    len: u64,
    modified_nanos: Option<u64>,
}

impl FileIdentity {
    pub(crate) fn of(file: &SourceFile) -> Self {
        let since = file.modified.and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
        let nanos = since.and_then(|since| u64::try_from(since.as_nanos()).ok());
        Self { len: file.len, modified_nanos: nanos }
    }
}

/// Mark of a source that is read once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Once {
    read: Reads,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reads {
    Once,
}

/// One version of a copied object, and what its copy gets beside the body and the keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectIdentity {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) version_id: Option<String>,
    pub(crate) e_tag: Option<String>,
    /// Length of the sealed body in bytes.
    pub(crate) len: u64,
    /// SHA-256 of the copy's attributes and user-defined metadata, in hexadecimal.
    pub(crate) attributes: String,
}

/// Any later line of a state file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// A part is about to be sent.
    Sending { part: i32, fingerprint: String },
    /// S3 has a part.
    Stored { part: i32, e_tag: Option<String>, crc64_nvme: Option<String> },
}

/// Recorded state of one part.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    fingerprint: Option<String>,
    stored: Option<CompletedPart>,
}

/// An open state file, locked against other processes.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    start: UploadStart,
    state: Mutex<State>,
    /// Work on blocking threads, which continues after its caller is dropped.
    work: TaskTracker,
}

#[derive(Debug)]
struct State {
    file: File,
    parts: HashMap<i32, Recorded>,
}

/// A state file to create once its upload has begun.
#[derive(Debug, Clone)]
pub(crate) struct NewStateFile {
    pub(crate) path: PathBuf,
    pub(crate) source: UploadSource,
}

/// Action for a sealed part.
pub(crate) enum Decision {
    /// The plaintext changed: the part must not be sent.
    Changed,
    /// The part must be sent.
    Send,
    /// S3 has the part already.
    Stored(Box<CompletedPart>),
}

impl StateFile {
    /// Creates a state file, which must not exist yet. Only its owner can read it, and it appears
    /// with its first line in it.
    pub(crate) async fn create(path: &Path, start: UploadStart) -> io::Result<Arc<Self>> {
        let path = path.to_owned();
        blocking(move || {
            let new = NewFile::create_private(&path)?;
            // Locked before it has its name: a process that opens it by that name finds it locked.
            lock(new.file())?;
            append(new.file(), &start)?;
            Ok(Self::new(path, start, new.complete()?, HashMap::new()))
        })
        .await
    }

    /// Opens the state file of an incomplete upload, if it exists.
    pub(crate) async fn open(path: &Path) -> io::Result<Option<Arc<Self>>> {
        let path = path.to_owned();
        blocking(move || {
            let Some(mut file) = open_to_append(&path)? else { return Ok(None) };
            lock(&file)?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            let parsed = Contents::parse(&text).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            });
            let Contents { start, parts, whole } = parsed?;
            if whole < text.len() {
                file.set_len(whole as u64)?;
            }
            Ok(Some(Self::new(path, start, file, parts)))
        })
        .await
    }

    fn new(
        path: PathBuf,
        start: UploadStart,
        file: File,
        parts: HashMap<i32, Recorded>,
    ) -> Arc<Self> {
        Arc::new(Self {
            path,
            start,
            state: Mutex::new(State { file, parts }),
            work: TaskTracker::new(),
        })
    }

    pub(crate) fn start(&self) -> &UploadStart {
        &self.start
    }

    /// Returns part `number` if S3 had it when the file was opened, and it need not be sealed again.
    pub(super) fn copied_part(&self, number: i32) -> Option<CompletedPart> {
        let UploadSource::Object(_) = self.start.source else { return None };
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.parts.get(&number)?.stored.clone()
    }

    /// Returns the numbers of the parts that S3 has.
    pub(super) fn stored_parts(&self) -> Vec<i32> {
        stored(&self.state.lock().unwrap_or_else(PoisonError::into_inner).parts).collect()
    }

    /// Decides about a sealed part. If it must be sent, its fingerprint is on disk when this
    /// returns.
    ///
    /// A part that was sealed before has no fingerprint: the same nonces are used for it again.
    pub(crate) async fn decide(self: &Arc<Self>, part: i32, sealed: &[u8]) -> io::Result<Decision> {
        if !matches!(self.start.source, UploadSource::File(_)) {
            return Ok(Decision::Send);
        }
        let fingerprint = fingerprint(sealed, part == 1);
        self.work(move |State { file, parts }| {
            let recorded = parts.entry(part).or_default();
            match &recorded.fingerprint {
                Some(known) if *known != fingerprint => return Ok(Decision::Changed),
                Some(_) => {}
                None => {
                    append(file, &Line::Sending { part, fingerprint: fingerprint.clone() })?;
                    recorded.fingerprint = Some(fingerprint);
                }
            }
            Ok(recorded
                .stored
                .clone()
                .map_or(Decision::Send, |completed| Decision::Stored(Box::new(completed))))
        })
        .await
    }

    /// Records a part that S3 has.
    pub(crate) async fn stored(self: &Arc<Self>, completed: &CompletedPart) -> io::Result<()> {
        if let UploadSource::Once(_) = self.start.source {
            return Ok(());
        }
        let line = Line::Stored {
            part: completed.part_number().unwrap_or_default(),
            e_tag: completed.e_tag.clone(),
            crc64_nvme: completed.checksum_crc64_nvme.clone(),
        };
        self.work(move |state| append(&state.file, &line)).await
    }

    async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut State) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let state_file = Arc::clone(self);
        let work = self.work.spawn_blocking(move || {
            work(&mut state_file.state.lock().unwrap_or_else(PoisonError::into_inner))
        });
        work.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Waits until no thread works on the file. After that, dropping the `StateFile` unlocks it.
    pub(crate) async fn settle(&self) {
        self.work.close();
        self.work.wait().await;
    }

    /// Deletes the state file of a completed upload.
    pub(crate) async fn remove(&self) -> io::Result<()> {
        match tokio::fs::remove_file(&self.path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// Returns the fingerprint of a sealed part: SHA-256 over the tags of its chunks. Each tag
/// authenticates its chunk under the object's own key.
fn fingerprint(sealed: &[u8], has_header: bool) -> String {
    let mut hash = Sha256::new();
    for chunk in sealed[if has_header { HEADER_LEN } else { 0 }..].chunks(SEALED_CHUNK_LEN) {
        hash.update(&chunk[chunk.len().saturating_sub(TAG_LEN)..]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lock(file: &File) -> io::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            io::Error::new(io::ErrorKind::ResourceBusy, "another process is using it")
        }
        TryLockError::Error(error) => error,
    })
}

/// Appends one line and waits until it is on the disk.
fn append(mut file: &File, line: &impl Serialize) -> io::Result<()> {
    let line = ascii_json::to_string(line) + "\n";
    file.write_all(line.as_bytes())?;
    file.sync_data()
}

/// Content of a state file.
pub(super) struct Contents {
    pub(super) start: UploadStart,
    pub(super) parts: HashMap<i32, Recorded>,
    /// Length in bytes up to the end of the last whole line.
    whole: usize,
}

impl Contents {
    /// Parses the content of a state file.
    ///
    /// A last line without an end was being written when the process died, and is ignored: a part
    /// that it announces was not sent yet, and a part that it reports as stored is sent again.
    pub(super) fn parse(text: &str) -> io::Result<Self> {
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = text[..whole].lines();
        let start: UploadStart =
            serde_json::from_str(lines.next().unwrap_or_default()).map_err(|error| {
                io::Error::other(format!(
                    "not a state file of an upload, or one that was cut before its upload began: \
                     delete it to start again: {error}"
                ))
            })?;
        if start.sealwax_upload != 1 {
            return Err(io::Error::other("a newer version of Sealwax wrote this state file"));
        }
        let mut parts: HashMap<i32, Recorded> = HashMap::new();
        for line in lines {
            match serde_json::from_str(line)? {
                Line::Sending { part, fingerprint } => {
                    parts.entry(part).or_default().fingerprint = Some(fingerprint);
                }
                Line::Stored { part, e_tag, crc64_nvme } => {
                    let completed = CompletedPart::builder().part_number(part).set_e_tag(e_tag);
                    let completed = completed.set_checksum_crc64_nvme(crc64_nvme).build();
                    parts.entry(part).or_default().stored = Some(completed);
                }
            }
        }
        Ok(Self { start, parts, whole })
    }
}

/// Returns the numbers of the parts that S3 has.
pub(super) fn stored(parts: &HashMap<i32, Recorded>) -> impl Iterator<Item = i32> {
    parts.iter().filter(|(_, recorded)| recorded.stored.is_some()).map(|(number, _)| *number)
}

/// Describes a failure to use a state file.
pub(crate) fn state_file_failed(target: &ObjectRef) -> impl Fn(io::Error) -> Error + '_ {
    |error| match error.kind() {
        // It is locked, or another process created it in the meantime.
        io::ErrorKind::ResourceBusy | io::ErrorKind::AlreadyExists => {
            target.error(ErrorKind::Locked, "another process is using this state file")
        }
        _ => target.io("the upload's state file could not be used", error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, OpenOptions},
        os::unix::fs::PermissionsExt as _,
    };

    use futures_util::FutureExt as _;

    use super::*;

    fn start() -> UploadStart {
        let source = UploadSource::File(FileIdentity { len: 3, modified_nanos: Some(1) });
        UploadStart::new(("b", "k"), "id", source, 512, BTreeMap::new(), SentChecksum::Crc64Nvme)
    }

    #[tokio::test]
    async fn a_reopened_state_file_knows_its_parts_and_refuses_other_bytes() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        assert!(StateFile::open(&path).await.expect("no error").is_none());

        let state_file = StateFile::create(&path, start()).await.expect("created");
        assert_eq!(fs::metadata(&path).expect("it exists").permissions().mode() & 0o777, 0o600);
        let second = StateFile::create(&path, start()).await.map(drop);
        assert_eq!(
            second.expect_err("a second upload's state file").kind(),
            io::ErrorKind::AlreadyExists
        );
        let locked = StateFile::open(&path).await.map(drop);
        assert_eq!(locked.expect_err("it is locked").kind(), io::ErrorKind::ResourceBusy);
        assert!(matches!(state_file.decide(2, &[1; 32]).await.expect("written"), Decision::Send));
        assert!(matches!(state_file.decide(3, &[1; 32]).await.expect("written"), Decision::Send));
        let completed = CompletedPart::builder().part_number(3).e_tag("tag").build();
        state_file.stored(&completed).await.expect("written");
        drop(state_file);

        // The process was killed while it wrote a line.
        let mut file = OpenOptions::new().append(true).open(&path).expect("it exists");
        file.write_all(b"{\"sending\":{\"pa").expect("written");
        drop(file);

        let state_file = StateFile::open(&path).await.expect("readable").expect("it exists");
        assert_eq!(state_file.start.upload_id, "id");
        assert!(matches!(state_file.decide(2, &[1; 32]).await.expect("read"), Decision::Send));
        assert!(matches!(state_file.decide(2, &[2; 32]).await.expect("read"), Decision::Changed));
        assert!(matches!(state_file.decide(3, &[2; 32]).await.expect("read"), Decision::Changed));
        let Decision::Stored(stored) = state_file.decide(3, &[1; 32]).await.expect("read") else {
            panic!("not stored")
        };
        assert_eq!(*stored, completed);
        assert!(matches!(state_file.decide(4, &[4; 32]).await.expect("written"), Decision::Send));
        drop(state_file);
        assert!(
            StateFile::open(&path).await.expect("still readable after the torn line").is_some()
        );
    }

    #[tokio::test]
    async fn a_state_file_appears_whole_or_not_at_all() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        let absent = StateFile::create(&directory.path().join("absent/state"), start()).await;
        assert_eq!(
            absent.map(drop).expect_err("no such directory").kind(),
            io::ErrorKind::NotFound
        );
        StateFile::create(&path, start()).await.expect("created").remove().await.expect("removed");
        assert_eq!(
            fs::read_dir(directory.path()).expect("readable").count(),
            0,
            "a temporary file was left behind"
        );
        for text in ["", "{\"sealwax_upload\":1", "{}\n", "{\"sealwax_upload\":1}\n"] {
            fs::write(&path, text).expect("written");
            let error = StateFile::open(&path).await.expect_err("no state file");
            assert_eq!(error.kind(), io::ErrorKind::Other);
            assert!(error.to_string().contains("not a state file of an upload"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_state_file_is_unlocked_after_it_settled() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        let state_file = StateFile::create(&path, start()).await.expect("created");
        for part in 2..10 {
            // Dropped half-way, as the parts of a failed upload are.
            let _ = state_file.decide(part, &[1; 32]).now_or_never();
        }
        state_file.settle().await;
        drop(state_file);
        StateFile::open(&path).await.expect("unlocked").expect("it exists");
    }

    #[tokio::test]
    async fn parts_of_copies_are_known_without_their_bytes() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        let source = UploadSource::Object(ObjectIdentity {
            bucket: "from".into(),
            key: "k".into(),
            version_id: None,
            e_tag: Some("tag".into()),
            len: 3,
            attributes: "digest".into(),
        });
        let start = UploadStart { source, ..start() };
        let state_file = StateFile::create(&path, start.clone()).await.expect("created");
        assert!(matches!(state_file.decide(1, &[1; 32]).await.expect("no work"), Decision::Send));
        let completed = CompletedPart::builder().part_number(2).e_tag("of part").build();
        state_file.stored(&completed).await.expect("written");
        drop(state_file);
        let state_file = StateFile::open(&path).await.expect("readable").expect("it exists");
        assert_eq!(state_file.start.source, start.source);
        assert_eq!(state_file.copied_part(1), None);
        assert_eq!(state_file.copied_part(2), Some(completed));

        // A file is sealed again, and compared: so no part of it is skipped.
        let of_file = StateFile::create(&directory.path().join("file"), self::start()).await;
        let of_file = of_file.expect("created");
        of_file.stored(&CompletedPart::builder().part_number(1).build()).await.expect("written");
        assert_eq!(of_file.copied_part(1), None);
    }

    #[test]
    fn state_files_of_earlier_versions_are_read() {
        let line = r#"{"sealwax_upload":1,"note":"","bucket":"b","key":"k","upload_id":"id",
            "file":{"len":3,"modified_nanos":1784000000000000000},"part_chunks":512,"metadata":{}}"#;
        let contents = Contents::parse(&(line.replace('\n', "") + "\n")).expect("a state file");
        let file = FileIdentity { len: 3, modified_nanos: Some(1_784_000_000_000_000_000) };
        assert_eq!(contents.start.source, UploadSource::File(file));
    }

    #[test]
    fn a_fingerprint_covers_the_tag_of_every_chunk() {
        let part = vec![0; 2 * SEALED_CHUNK_LEN + 20];
        let known = fingerprint(&part, false);
        for tag_byte in [SEALED_CHUNK_LEN - 1, 2 * SEALED_CHUNK_LEN - 16, 2 * SEALED_CHUNK_LEN + 19]
        {
            let mut changed = part.clone();
            changed[tag_byte] = 1;
            assert_ne!(fingerprint(&changed, false), known, "{tag_byte}");
        }
    }
}
