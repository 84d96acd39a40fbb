//! Assertions about readable and unreadable objects.

use std::{collections::HashSet, fs};

use bytes::Bytes;
use futures_util::StreamExt as _;
use sealwax_s3::{Error, ErrorKind, S3Uri, SealedClient, envelope::geometry::CHUNK_LEN};

/// Reads an object's plaintext.
///
/// # Errors
/// The error of the client.
pub async fn read(client: &SealedClient, uri: &S3Uri) -> Result<Bytes, Error> {
    client.get().uri(uri).send().await?.bytes().await
}

/// Asserts that the result is an error of this kind that names the object.
#[track_caller]
pub fn assert_kind<T>(result: Result<T, Error>, kind: ErrorKind, uri: &S3Uri, case: &str) -> Error {
    let Err(error) = result else { panic!("{case}: no error") };
    assert_eq!(error.kind(), kind, "{case}: {error:?}");
    assert!(
        error.to_string().contains(&uri.to_string()),
        "{case}: the error does not name the object: {error}"
    );
    error
}

/// Asserts that the object fails to open with an error of this kind, by each way of reading. Of two
/// kinds, the first is a stream's and the second a file's.
///
/// A stream releases only whole verified chunks of `plaintext`. A new file does not appear. An
/// existing file stays unchanged.
pub async fn assert_unreadable(
    client: &SealedClient,
    uri: &S3Uri,
    kinds: &[ErrorKind],
    plaintext: &[u8],
    case: &str,
) {
    let [of_stream, of_file] = match kinds {
        [kind] => [*kind; 2],
        [of_stream, of_file] => [*of_stream, *of_file],
        _ => panic!("{case}: one kind, or one of streams and one of files"),
    };
    let expect = |error: Error, kind| drop(assert_kind::<()>(Err(error), kind, uri, case));

    match client.get().uri(uri).send().await {
        Err(error) => expect(error, of_stream),
        Ok(object) => {
            let mut stream = object.into_stream();
            let mut released = Vec::new();
            let error = loop {
                match stream.next().await {
                    Some(Ok(piece)) => released.extend_from_slice(&piece),
                    Some(Err(error)) => break error,
                    None => panic!("{case}: the stream ended without an error"),
                }
            };
            assert!(
                plaintext.starts_with(&released),
                "{case}: bytes other than the plaintext were released"
            );
            assert!(
                released.len().is_multiple_of(CHUNK_LEN),
                "{case}: a part of a chunk was released"
            );
            assert!(stream.next().await.is_none(), "{case}: the stream continued after its error");
            expect(error, of_stream);
        }
    }

    let directory = tempfile::tempdir().expect("a directory");
    let (absent, present) = (directory.path().join("absent"), directory.path().join("present"));
    fs::write(&present, "original").expect("a file");
    for path in [&absent, &present] {
        expect(client.get().uri(uri).to_file(path).await.expect_err(case), of_file);
    }
    let names: Vec<_> = fs::read_dir(&directory)
        .expect("the directory")
        .map(|entry| entry.map(|it| it.path()))
        .collect();
    assert!(
        matches!(&names[..], [Ok(left)] if *left == present),
        "{case}: {names:?} was left behind"
    );
    assert_eq!(fs::read(&present).expect("the file"), b"original", "{case}: a file was changed");
}

/// Asserts that no 8 aligned bytes of the plaintext appear in the stored bytes.
#[track_caller]
pub fn assert_hidden(plaintext: &[u8], stored: &[u8]) {
    let secret: HashSet<[u8; 8]> = plaintext.as_chunks().0.iter().copied().collect();
    let at = stored.array_windows().position(|window| secret.contains(window));
    assert_eq!(at, None, "plaintext is visible in the stored bytes");
}
