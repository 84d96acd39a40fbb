//! Files that cannot be written, or must not be.

use std::{fs, os::unix::net::UnixListener, time::Duration};

use sealwax_s3::ErrorKind::Io;
use sealwax_tests::{SeaweedFs, assert_kind, local_keyring, plaintext};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

fn names(directory: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn what_is_no_file_is_not_replaced_by_one() {
    let (store, directory) = (SeaweedFs::new().await, TempDir::new().expect("a directory"));
    let (client, uri) = (store.client(local_keyring("a")), store.object("target"));
    client.put().uri(&uri).body("x").send().await.expect("put");
    // As root, `get s3://b/k /dev/null` must not rename a file over the device. A socket stands for it here.
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
    assert_eq!(names(&directory), ["folder", "socket"]);
}

#[tokio::test]
async fn a_dropped_read_leaves_no_temporary_file() {
    let (store, directory) = (SeaweedFs::new().await, TempDir::new().expect("a directory"));
    let (client, uri) = (store.client(local_keyring("a")), store.object("target"));
    client.put().uri(&uri).body(plaintext(24 << 20)).send().await.expect("put");
    let begun = async {
        while names(&directory).is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        names(&directory)
    };
    let path = directory.path().join("target");
    tokio::select! {
        _ = client.get().uri(&uri).to_file(&path) => panic!("it was not seen to begin"),
        names = begun => assert!(names[0].starts_with(".sealwax-"), "{names:?}"),
    }
    // A write in progress ends on its own thread.
    let gone = async {
        while !names(&directory).is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(5), gone)
        .await
        .unwrap_or_else(|_| panic!("left behind: {:?}", names(&directory)));
}
