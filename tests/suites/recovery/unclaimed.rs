//! Uploads that began during a call whose answer was lost.

use sealwax_s3::{S3Uri, SealedClientBuilder, aws_sdk_s3::Client};
use sealwax_tests::{LocalStack, PART, Reaction, SeaweedFs, Wire, east, local_keyring, plaintext};

/// Returns a wire that loses the first `count` answers to `CreateMultipartUpload`.
fn losing(count: usize) -> Wire {
    Wire::new(move |call| match call.operation == "CreateMultipartUpload" && call.nth < count {
        true => Reaction::LoseAnswer,
        false => Reaction::Pass,
    })
}

async fn check(builder: SealedClientBuilder, s3: &Client, uri: &S3Uri, count: usize) {
    let client = builder.part_len(PART).build();
    let other = uri.key().to_owned() + "-2";
    // Another program's upload, to another object.
    s3.create_multipart_upload().bucket(uri.bucket()).key(&other).send().await.expect("an upload");
    let put = client.put().uri(uri).body(plaintext(PART + 1000)).send().await;
    client.settle().await;
    assert_eq!(put.is_ok(), count < 3, "{count}");
    let listed = s3.list_multipart_uploads().bucket(uri.bucket()).prefix(uri.key()).send().await;
    let listed = listed.expect("a list");
    let ids = listed.uploads().iter().filter(|it| it.key() == Some(uri.key()));
    let mut left: Vec<_> = ids.filter_map(|it| it.upload_id().map(str::to_owned)).collect();
    let found = client.unclaimed_uploads();
    assert!(found.iter().all(|it| (&*it.bucket, &*it.key) == (uri.bucket(), uri.key())));
    let mut found: Vec<_> = found.into_iter().map(|it| it.upload_id).collect();
    left.sort_unstable();
    found.sort_unstable();
    assert_eq!((found.len(), &found), (count, &left), "each upload that was left, and no other");
}

#[tokio::test]
async fn uploads_whose_answers_were_lost_are_reported() {
    for count in [0, 1, 3] {
        let stack = LocalStack::new(east());
        let lossy = LocalStack::over(losing(count), east());
        let builder = lossy.client_builder([&lossy.home.key]);
        check(builder, &stack.s3(), &stack.object("unclaimed"), count).await;
        let store = SeaweedFs::new().await;
        let builder = SeaweedFs::over(losing(count)).await.client_builder(local_keyring("a"));
        check(builder, &store.s3(), &store.object("unclaimed"), count).await;
    }
}
