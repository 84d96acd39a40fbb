//! Interrupted uploads: a state file resumes them with the same bytes, or not at all.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use sealwax_s3::{
    Error, ErrorKind, PlacePolicy, PlaintextSource, PutOutput, S3Uri, SealedClient,
    UnfinishedUpload,
    envelope::{Keyring, MultiKeyring},
};
use sealwax_tests::{
    PART, Reaction, SeaweedFs, Wire, assert_kind, local_keyring, plaintext, read,
    unfinished_uploads,
};
use tempfile::TempDir;

/// Four parts.
const LEN: usize = 3 * PART + 100;

struct Fixture {
    store: SeaweedFs,
    client: SealedClient,
    uri: S3Uri,
    data: Bytes,
    directory: TempDir,
}

impl Fixture {
    async fn over(wire: Wire, name: &str) -> Self {
        let store = SeaweedFs::over(wire).await;
        // One part at a time, so that the parts sent before the interruption are known.
        let keyring = local_keyring("marker-key-");
        let client = store.client_builder(keyring).part_len(PART).memory_budget(PART).build();
        let (uri, data) = (store.object(name), plaintext(LEN));
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("file"), &data).expect("a file");
        Self { store, client, uri, data, directory }
    }

    /// Puts a file, and cuts the wire at the third part.
    async fn interrupted(name: &str) -> Self {
        let cut = AtomicUsize::new(0);
        let wire = Wire::new(move |call| match (call.operation.as_str(), call.part) {
            // The SDK makes three attempts.
            ("UploadPart", Some(3)) if cut.fetch_add(1, Ordering::Relaxed) < 3 => Reaction::Refuse,
            _ => Reaction::Pass,
        });
        let it = Self::over(wire, name).await;
        assert_kind(it.put().await, ErrorKind::Unavailable, &it.uri, "the wire was cut");
        assert!(it.state().exists(), "the state file is missing");
        assert_eq!(unfinished_uploads(&it.store.s3(), &it.uri).await, 1, "the upload was not kept");
        it.store.wire.forget();
        it
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("file")
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    async fn put(&self) -> Result<PutOutput, Error> {
        let source = PlaintextSource::file(self.file());
        self.client.put().uri(&self.uri).body(source).state_file(self.state()).send().await
    }

    /// Returns the parts sent so far, retries included.
    fn parts_sent(&self) -> Vec<u32> {
        let mut parts: Vec<_> =
            self.store.wire.calls().iter().filter_map(|call| call.part).collect();
        parts.sort_unstable();
        parts
    }

    async fn assert_done(&self) {
        assert!(
            read(&self.client, &self.uri).await.expect("readable") == self.data,
            "other bytes were stored"
        );
        assert!(!self.state().exists(), "the state file was left behind");
        assert_eq!(unfinished_uploads(&self.store.s3(), &self.uri).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_upload_sends_only_missing_parts() {
    let it = Fixture::interrupted("missing").await;
    it.put().await.expect("resumed");
    assert_eq!(it.parts_sent(), [3, 4]);
    it.assert_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_file_shows_the_progress_of_the_upload() {
    let it = Fixture::interrupted("how-far").await;
    let unfinished =
        UnfinishedUpload::from_state_file(it.state()).await.expect("readable").expect("there");
    assert_eq!((unfinished.bucket(), unfinished.key()), (it.uri.bucket(), it.uri.key()));
    assert_eq!((unfinished.parts(), unfinished.stored_parts()), (4, 2));
    assert_eq!(
        (unfinished.plaintext_len(), unfinished.stored_len()),
        (LEN as u64, 2 * PART as u64)
    );
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    let put =
        it.client.put().uri(&it.uri).body(PlaintextSource::file(it.file())).state_file(it.state());
    let put = put.on_resume(move |upload| {
        *tell.lock().expect("no panic") = Some(upload.upload_id().to_owned());
    });
    put.send().await.expect("resumed");
    assert_eq!(told.lock().expect("no panic").as_deref(), Some(unfinished.upload_id()));
    assert!(UnfinishedUpload::from_state_file(it.state()).await.expect("no error").is_none());
    it.assert_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_aborted_elsewhere_is_reported_gone() {
    let it = Fixture::interrupted("gone").await;
    let unfinished =
        UnfinishedUpload::from_state_file(it.state()).await.expect("readable").expect("there");
    let abort = it.store.s3().abort_multipart_upload().bucket(it.uri.bucket()).key(it.uri.key());
    abort.upload_id(unfinished.upload_id()).send().await.expect("aborted");
    assert_kind(it.put().await, ErrorKind::UploadNotFound, &it.uri, "aborted");
    assert!(it.state().exists(), "the state file was deleted without being asked");
    fs::remove_file(it.state()).expect("there");
    it.put().await.expect("a new upload");
    it.assert_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_file_that_cannot_be_created_leaves_no_upload() {
    let it = Fixture::over(Wire::default(), "no-state").await;
    let put = it.client.put().uri(&it.uri).body(PlaintextSource::file(it.file()));
    let result = put.state_file(it.directory.path().join("absent/state")).send().await;
    assert_kind(result, ErrorKind::Io, &it.uri, "no such directory");
    assert_eq!(unfinished_uploads(&it.store.s3(), &it.uri).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_upload_with_a_state_file_can_be_resumed() {
    let reached = Arc::new(tokio::sync::Notify::new());
    let notify = Arc::clone(&reached);
    let hung = AtomicUsize::new(0);
    let wire = Wire::new(move |call| match (call.operation.as_str(), call.part) {
        ("UploadPart", Some(2)) if hung.fetch_add(1, Ordering::Relaxed) == 0 => {
            notify.notify_one();
            Reaction::Hang
        }
        _ => Reaction::Pass,
    });
    let it = Fixture::over(wire, "dropped").await;
    tokio::select! {
        _ = it.put() => panic!("it ended"),
        () = reached.notified() => {}
    }
    it.client.settle().await;
    it.store.wire.forget();
    it.put().await.expect("resumed");
    assert_eq!(it.parts_sent(), [2, 3, 4]);
    it.assert_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completed_upload_is_found_after_a_lost_response() {
    let dark = Arc::new(AtomicBool::new(true));
    let in_the_dark = Arc::clone(&dark);
    let wire = Wire::new(move |call| match call.operation.as_str() {
        "CompleteMultipartUpload" if in_the_dark.load(Ordering::Relaxed) => Reaction::LoseAnswer,
        "HeadObject" if in_the_dark.load(Ordering::Relaxed) => Reaction::Refuse,
        _ => Reaction::Pass,
    });
    let it = Fixture::over(wire, "unnoticed").await;
    assert_kind(it.put().await, ErrorKind::Unavailable, &it.uri, "no answer came");
    assert!(it.state().exists());
    dark.store(false, Ordering::Relaxed);
    it.put().await.expect("found");
    it.assert_done().await;
}

/// FORMAT.md W1: a retry sends the same bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_refused_before_anything_is_sent() {
    let it = Fixture::interrupted("changed").await;
    let modified = fs::metadata(it.file()).expect("a file").modified().expect("a time");
    let mut other = it.data.to_vec();
    other[0] ^= 1;
    fs::write(it.file(), &other).expect("written");
    fs::File::open(it.file())
        .expect("a file")
        .set_modified(modified + Duration::from_secs(1))
        .expect("set");
    assert_kind(it.put().await, ErrorKind::SourceChanged, &it.uri, "another time");
    assert_eq!(it.store.wire.calls().len(), 0);

    // Same length and time, but other bytes in the first part, which S3 has.
    fs::File::open(it.file()).expect("a file").set_modified(modified).expect("set");
    assert_kind(it.put().await, ErrorKind::SourceChanged, &it.uri, "another byte in a stored part");
    assert_eq!(it.parts_sent(), [0; 0]);

    // Other bytes in the part in flight, which S3 may or may not have.
    other[0] ^= 1;
    other[2 * PART] ^= 1;
    fs::write(it.file(), &other).expect("written");
    fs::File::open(it.file()).expect("a file").set_modified(modified).expect("set");
    assert_kind(
        it.put().await,
        ErrorKind::SourceChanged,
        &it.uri,
        "another byte in a part that was sent",
    );
    assert_eq!(it.parts_sent(), [0; 0]);

    fs::write(it.file(), &it.data).expect("written");
    fs::File::open(it.file()).expect("a file").set_modified(modified).expect("set");
    it.put().await.expect("resumed with the original file");
    it.assert_done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_file_belongs_to_one_upload() {
    let it = Fixture::interrupted("alone").await;
    let other = it.store.object("other");
    let put = || it.client.put().body(PlaintextSource::file(it.file())).state_file(it.state());
    assert_kind(
        put().uri(&other).send().await,
        ErrorKind::StateFileMismatch,
        &other,
        "another object",
    );
    let context =
        sealwax_s3::envelope::EncryptionContext::try_from_iter([("a", "b")]).expect("a context");
    let result = put().uri(&it.uri).encryption_context(context).send().await;
    assert_kind(result, ErrorKind::StateFileMismatch, &it.uri, "another context");
    let [own, other] = ["marker-key-", "another-key-"]
        .map(|name| Arc::new(local_keyring(name)) as Arc<dyn Keyring>);
    for keyring in [MultiKeyring::new(Arc::clone(&other), []), MultiKeyring::new(own, [other])] {
        let client = it.store.client_builder(keyring).part_len(PART).build();
        let put =
            client.put().uri(&it.uri).body(PlaintextSource::file(it.file())).state_file(it.state());
        assert_kind(put.send().await, ErrorKind::StateFileMismatch, &it.uri, "other keys");
    }
    let client =
        it.store.client_builder(local_keyring("marker-key-")).places(PlacePolicy::off()).build();
    let put =
        client.put().uri(&it.uri).body(PlaintextSource::file(it.file())).state_file(it.state());
    assert_kind(put.send().await, ErrorKind::StateFileMismatch, &it.uri, "bound to no place");
    let result = it.client.put().uri(&it.uri).body("bytes").state_file(it.state()).send().await;
    assert_kind(result, ErrorKind::InvalidInput, &it.uri, "no file");
    fs::write(it.state(), "not a state file\n").expect("written");
    assert_kind(it.put().await, ErrorKind::Io, &it.uri, "damaged");
    assert_eq!(it.parts_sent(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_file_is_private_and_holds_no_secret() {
    let it = Fixture::interrupted("private").await;
    assert_eq!(fs::metadata(it.state()).expect("there").permissions().mode() & 0o777, 0o600);
    let state = fs::read_to_string(it.state()).expect("text");
    assert!(state.contains("no plaintext key"), "the state file does not say that it holds no key");
    // The wrapping key is its own name, repeated. The file holds the name but must not hold the
    // key.
    assert!(!state.contains("marker-key-marker-key-"), "the wrapping key is in the state file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_leaves_no_state_file() {
    let it = Fixture::over(Wire::default(), "small").await;
    fs::write(it.file(), "small").expect("written");
    it.put().await.expect("put");
    assert!(!it.state().exists());
    assert_eq!(read(&it.client, &it.uri).await.expect("readable"), "small");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_upload_is_aborted_by_its_state_file() {
    let it = Fixture::interrupted("aborted").await;
    let other = it.store.object("another");
    let aborted = it.client.abort_unfinished(&other, it.state()).await;
    assert_kind(aborted, ErrorKind::StateFileMismatch, &other, "goes to another object");
    assert_eq!(unfinished_uploads(&it.store.s3(), &it.uri).await, 1);
    assert!(it.client.abort_unfinished(&it.uri, it.state()).await.expect("aborted"));
    assert_eq!(unfinished_uploads(&it.store.s3(), &it.uri).await, 0);
    assert!(!it.state().exists(), "the state file was left behind");
    assert!(!it.client.abort_unfinished(&it.uri, it.state()).await.expect("nothing to do"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_upload_could_not_be_aborted_goes_on() {
    let is_cut = Arc::new(AtomicBool::new(false));
    let of_wire = Arc::clone(&is_cut);
    let wire = Wire::new(move |call| match (call.operation.as_str(), call.part) {
        ("UploadPart", Some(3)) | ("AbortMultipartUpload", _)
            if of_wire.load(Ordering::Relaxed) =>
        {
            Reaction::Refuse
        }
        _ => Reaction::Pass,
    });
    let it = Fixture::over(wire, "copied").await;
    it.put().await.expect("stored");
    let to = it.store.object("copy");
    let copy = || {
        let copy = it.client.copy_to(&it.client).source_uri(&it.uri).uri(&to);
        copy.state_file(it.state())
    };
    is_cut.store(true, Ordering::Relaxed);
    assert_kind(copy().send().await, ErrorKind::Unavailable, &to, "the wire was cut");
    assert_eq!(unfinished_uploads(&it.store.s3(), &to).await, 1, "it could not be aborted");
    // A put to the same address does not take the state for one of its own.
    let put = it.client.put().uri(&to).body(PlaintextSource::file(it.file()));
    let put = put.state_file(it.state()).send().await;
    assert_kind(put, ErrorKind::StateFileMismatch, &to, "that of a copy");

    is_cut.store(false, Ordering::Relaxed);
    it.store.wire.forget();
    copy().send().await.expect("copied");
    assert_eq!(it.parts_sent(), [3, 4]);
    assert!(read(&it.client, &to).await.expect("readable") == it.data);
    assert!(!it.state().exists(), "the state file was left behind");
    assert_eq!(unfinished_uploads(&it.store.s3(), &to).await, 0);

    // What passes through nothing has no state.
    let inside = it.client.copy().source_uri(&it.uri).uri(&to).state_file(it.state());
    assert_kind(inside.send().await, ErrorKind::InvalidInput, &to, "inside one store");
}
