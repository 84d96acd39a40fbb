//! Drills of objects whose own keys are all in the lost Region.

use sealwax_jobs::{
    drill::BlockedRegions,
    listing::Listing,
    verify::{VerifyAll, VerifySummary},
};
use sealwax_s3::KeyChanges;

use super::*;

/// Returns LocalStack as seen from us-west-2, with us-east-1 blocked.
fn without_the_east() -> (LocalStack, BlockedRegions) {
    let mut stack = LocalStack::new(west());
    let blocked = BlockedRegions::over(["us-east-1"], stack.wire.clone());
    stack.config = stack.config.to_builder().http_client(blocked.clone()).build();
    (stack, blocked)
}

#[tokio::test]
async fn key_objects_alone_pass_a_drill_and_are_not_examined() {
    let stack = LocalStack::new(west());
    let (here, lost) = (&stack.home.key, &east().key);
    let folder = stack.object("drill");
    let prefix = format!("{}/", folder.key());
    let policy = KeyStorePolicy::with_prefix(format!("{prefix}keys"));
    let keys = Keys { bucket: folder.bucket().to_owned(), policy };
    let writer = keys.writer(&stack, [lost]);
    for name in ["a", "b"] {
        put(&writer, &format!("{folder}/{name}").parse().expect("a name")).await;
    }
    let drill = async |reading: &[&KmsKeyArn]| {
        let (stack, blocked) = without_the_east();
        let client = keys.reader(&stack, reading.iter().copied());
        let listing = Listing::objects(client.s3(), &keys.bucket, &prefix).key_store(&keys.policy);
        let left_alone = listing.left_alone_counter();
        let summary: VerifySummary =
            VerifyAll::new(client).run(listing).finish().await.expect("a listing");
        (summary, left_alone.so_far().objects, blocked)
    };

    for (reading, reason) in [(&[here, lost][..], "unavailable"), (&[here], "no-matching-key")] {
        let (summary, left_alone, _) = drill(reading).await;
        assert_eq!((summary.opened, left_alone), (0, 1), "{reason}");
        assert_eq!(summary.failures, BTreeMap::from([(reason, 2)]));
    }

    let before = keys.objects(&stack.s3()).await;
    let operator = keys.reader(&stack, [lost]);
    let store = operator.stored_keys(&keys.bucket).expect("a key store");
    let add = KeyChanges::new().add_keys(stack.keyring([here]));
    store.rewrap(&keys.only(&operator).await, &add).await.expect("rewrapped");
    let after = keys.objects(&stack.s3()).await;
    assert_eq!((before.len(), after.len()), (1, 2));
    for reading in [&[here, lost][..], &[here]] {
        let (summary, left_alone, blocked) = drill(reading).await;
        assert_eq!((summary.opened, left_alone), (2, 2), "{summary:?}");
        assert_eq!(summary.failures, BTreeMap::new());
        assert_eq!(blocked.decrypts(), BTreeMap::from([(here.to_string(), 2)]));
    }
    assert_eq!(keys.objects(&stack.s3()).await, after, "they are left alone");
}
