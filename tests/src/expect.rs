//! What must hold of readable and of unreadable objects.

use std::{collections::HashSet, fs};

use bytes::Bytes;
use futures_util::StreamExt as _;
use sealwax_s3::{Error, ErrorKind, S3Uri, SealedClient, envelope::geometry::CHUNK_LEN};

/// The object's plaintext.
///
/// # Errors
/// The client's.
pub async fn read(client: &SealedClient, uri: &S3Uri) -> Result<Bytes, Error> {
    client.get().uri(uri).send().await?.bytes().await
}

/// The result must be an error of this kind that names the object.
#[track_caller]
pub fn assert_kind<T>(result: Result<T, Error>, kind: ErrorKind, uri: &S3Uri, case: &str) -> Error {
    let Err(error) = result else { panic!("{case}: no error") };
    assert_eq!(error.kind(), kind, "{case}: {error:?}");
    assert!(
        error.to_string().contains(&uri.to_string()),
        "{case}: the object is not named: {error}"
    );
    error
}

/// The object must fail to open with an error of one of these kinds, however it is read: as a stream, which releases
/// nothing but whole verified chunks of `plaintext`; to a new file, which does not appear; over a file, which stays.
pub async fn assert_unreadable(
    client: &SealedClient,
    uri: &S3Uri,
    kinds: &[ErrorKind],
    plaintext: &[u8],
    case: &str,
) {
    let expect = |error: Error| {
        assert!(kinds.contains(&error.kind()), "{case}: {error:?}, expected {kinds:?}");
        assert!(
            error.to_string().contains(&uri.to_string()),
            "{case}: the object is not named: {error}"
        );
    };

    match client.get().uri(uri).send().await {
        Err(error) => expect(error),
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
                "{case}: other bytes than the plaintext were released"
            );
            assert!(
                released.len().is_multiple_of(CHUNK_LEN),
                "{case}: a part of a chunk was released"
            );
            assert!(stream.next().await.is_none(), "{case}: the stream went on after its error");
            expect(error);
        }
    }

    let directory = tempfile::tempdir().expect("a directory");
    let (absent, present) = (directory.path().join("absent"), directory.path().join("present"));
    fs::write(&present, "as it was").expect("a file");
    for path in [&absent, &present] {
        expect(client.get().uri(uri).to_file(path).await.expect_err(case));
    }
    let names: Vec<_> = fs::read_dir(&directory)
        .expect("the directory")
        .map(|entry| entry.map(|it| it.path()))
        .collect();
    assert!(
        matches!(&names[..], [Ok(left)] if *left == present),
        "{case}: {names:?} was left behind"
    );
    assert_eq!(fs::read(&present).expect("the file"), b"as it was", "{case}: a file was changed");
}

/// No eight bytes of the plaintext may appear in what is stored.
#[track_caller]
pub fn assert_hidden(plaintext: &[u8], stored: &[u8]) {
    let secret: HashSet<[u8; 8]> = plaintext.as_chunks().0.iter().copied().collect();
    let at = stored.array_windows().position(|window| secret.contains(window));
    assert_eq!(at, None, "plaintext is visible in the stored bytes");
}
