//! Audits of objects under intermediate keys.

use futures_util::TryStreamExt as _;
use sealwax_jobs::{
    Summary as _,
    audit::{Audit, AuditSummary, AuditedObject},
    listing::Listing,
    stored_keys::StoredKeyCounts,
};
use sealwax_s3::envelope::WrappedForms;

use super::*;

/// An object names its intermediate key in its metadata, detached or not, with or without a key store.
#[tokio::test]
async fn an_audit_counts_objects_by_intermediate_key_and_leaves_the_key_store_alone() {
    let stack = LocalStack::new(east());
    let folder = stack.object("audit");
    let prefix = format!("{}/", folder.key());
    let policy = KeyStorePolicy::with_prefix(format!("{prefix}keys"));
    let keys = Keys { bucket: folder.bucket().to_owned(), policy };
    let object = |name: &str| format!("{folder}/{name}").parse::<S3Uri>().expect("a name");
    let caching = || CachingKeyring::new(stack.keyring([&stack.home.key]));
    let attached = keys.client(&stack, caching());
    let detached = keys.client(&stack, caching().with_wrapped_forms(WrappedForms::Detached));
    for name in ["a1", "a2", "a3"] {
        put(&attached, &object(name)).await;
    }
    for name in ["d1", "d2"] {
        put(&detached, &object(name)).await;
    }
    put(&stack.client([&stack.home.key]), &object("own")).await;
    keys.store(&stack.s3(), &format!("{}stray", keys.prefix()), "no key object").await;

    for reads in [true, false] {
        let keyring = stack.keyring([&stack.home.key]);
        let client = match reads {
            true => keys.client(&stack, keyring),
            false => SealedClient::builder(stack.s3(), keyring).build(),
        };
        let listing = Listing::objects(&stack.s3(), &keys.bucket, &prefix).key_store(&keys.policy);
        let left_alone = listing.left_alone_counter();
        let found: Vec<AuditedObject> =
            Audit::new(client).run(listing).try_collect().await.expect("a whole listing");
        let mut summary = AuditSummary::default();
        found.iter().for_each(|object| summary.record(object));
        assert_eq!((summary.objects, summary.under_intermediate_keys), (6, 5), "{reads}");
        assert_eq!(left_alone.so_far().objects, 3, "two key objects, and another one");
        let objects = keys.objects(&stack.s3()).await;
        let bytes = objects.iter().map(|(_, content)| content.len() as u64).sum::<u64>();
        assert_eq!(left_alone.so_far().bytes, bytes);
        let mut uses: Vec<_> = summary.intermediate_keys.values().collect();
        uses.sort_by_key(|uses| uses.objects);
        let scope = Some(format!("{}/", keys.bucket));
        assert!(uses.iter().all(|uses| uses.scope == scope), "{uses:?}");
        assert_eq!(uses.iter().map(|uses| uses.objects).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(summary.objects_per_intermediate_key(), Some(2.5));
        assert!(summary.has_all_intermediate_keys());
        let of = |name: &str| {
            let object = found.iter().find(|it| it.object.key.ends_with(name)).expect("an object");
            object.intermediate_keys().into_keys().collect::<Vec<_>>()
        };
        assert_eq!((of("/d1"), of("/a1")), (of("/d2"), of("/a3")));
        assert_eq!((of("/d1").len(), of("/a1").len(), of("/own").len()), (1, 1, 0));
        assert_ne!(of("/d1"), of("/a1"));
    }

    let store = attached.stored_keys(&keys.bucket).expect("a key store");
    let counts = StoredKeyCounts::of(store.list()).await.expect("a listing");
    assert_eq!((counts.intermediate_keys, counts.key_objects, counts.others), (2, 2, 1));
}
