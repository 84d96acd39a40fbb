//! Target files that cannot or must not be written.

use std::{fs, os::unix::net::UnixListener};

use sealwax_s3::ErrorKind::Io;
use sealwax_tests::{
    PART, Reaction, SeaweedFs, Wire, assert_kind, file_names, local_keyring, plaintext, wait_until,
};
use tempfile::TempDir;

#[tokio::test]
async fn a_target_that_is_not_a_file_is_not_replaced() {
    let (store, directory) = (SeaweedFs::new().await, TempDir::new().expect("a directory"));
    let (client, uri) = (store.client(local_keyring("a")), store.object("target"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    // As root, `get s3://b/k /dev/null` must not rename a file over the device. Here, a socket
    // stands in for it.
    let socket = directory.path().join("socket");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    let folder = directory.path().join("folder");
    fs::create_dir(&folder).expect("a directory");
    for path in [&socket, &folder, &folder.join("absent/file")] {
        let before = fs::symlink_metadata(path).map(|it| it.file_type()).ok();
        assert_kind(
            client.get().uri(&uri).to_file(path).await,
            Io,
            &uri,
            &path.display().to_string(),
        );
        assert_eq!(
            fs::symlink_metadata(path).map(|it| it.file_type()).ok(),
            before,
            "{} was replaced",
            path.display()
        );
    }
    assert_eq!(file_names(directory.path()), ["folder", "socket"]);
}

#[tokio::test]
async fn a_dropped_read_leaves_no_temporary_file() {
    // The first part arrives and is written. No other part does, so the read can't end.
    let wire = Wire::new(|call| match call.operation.as_str() {
        "GetObject" if call.nth > 0 => Reaction::Hang,
        _ => Reaction::Pass,
    });
    let (store, directory) = (SeaweedFs::over(wire).await, TempDir::new().expect("a directory"));
    let client = store.client_builder(local_keyring("a")).part_len(PART).build();
    let uri = store.object("target");
    client.put().uri(&uri).body(plaintext(5 * PART)).send().await.expect("put");
    let names = || file_names(directory.path());
    let begun = async {
        wait_until("a temporary file appears", || async { !names().is_empty() }).await;
        names()
    };
    let path = directory.path().join("target");
    tokio::select! {
        read = client.get().uri(&uri).to_file(&path) => panic!("it ended: {read:?}"),
        names = begun => assert!(names[0].starts_with(".sealwax-"), "{names:?}"),
    }
    // A write in progress ends on its own thread.
    wait_until("the temporary file is removed", || async { names().is_empty() }).await;
}
