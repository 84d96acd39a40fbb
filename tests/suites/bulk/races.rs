//! Concurrent writers on the same objects: each wins or loses as a whole.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use sealwax_jobs::{job::JobSummary as _, rewrap::Apply};
use sealwax_s3::{
    ErrorKind, KeyChanges, RewrapOutcome,
    envelope::{Keyring, MultiKeyring},
};
use sealwax_tests::{Reaction, SeaweedFs, Wire, local_keyring, read};

use crate::objects::{Objects, add_b, rewrapper, run};

/// Another writer changes all objects before the first copy arrives.
#[tokio::test]
async fn an_object_that_changes_during_the_job_is_evaluated_again() {
    for overwrites in [true, false] {
        let objects = Objects::new("race", 4, true).await;
        let rival = objects.client.clone();
        let uris = objects.uris.clone();
        let wire = Wire::new(move |call| {
            if call.operation != "CopyObject" || call.nth > 0 {
                return Reaction::Pass;
            }
            let (rival, uris) = (rival.clone(), uris.clone());
            let act = async move {
                for uri in &uris {
                    if overwrites {
                        rival.put().uri(uri).body("newer").send().await.expect("put");
                    } else {
                        // It may conflict with the job, but in the end the key must be there.
                        let _ = rival.rewrap().uri(uri).add_keys(local_keyring("c")).send().await;
                    }
                }
            };
            Reaction::Await(act.boxed())
        });
        let rewrapper = rewrapper(&wire, add_b()).await;
        let (reports, tally) =
            run(Apply::new(rewrapper.clone()).concurrency(1), objects.work(rewrapper.s3())).await;
        assert!(tally.expect("done").is_complete(), "{reports:?}");
        assert!(
            reports.iter().all(|report| matches!(report.outcome, RewrapOutcome::Rewrapped { .. })),
            "{reports:?}"
        );
        let store = SeaweedFs::new().await;
        for uri in &objects.uris {
            let expected = if overwrites { "newer" } else { uri.key() };
            let keys: &[_] = if overwrites { &["a", "b"] } else { &["a", "b", "c"] };
            for name in keys {
                let client = store.client(local_keyring(name));
                assert_eq!(
                    read(&client, uri).await.expect("it opens"),
                    expected,
                    "{uri} by {name}"
                );
            }
        }
    }
}

/// A writer puts while jobs rewrap: no write and no key is lost.
#[tokio::test]
async fn a_job_loses_no_concurrent_write_and_no_key() {
    let objects = Objects::new("writer", 8, false).await;
    let store = SeaweedFs::new().await;
    let both = {
        let others: [Arc<dyn Keyring>; 1] = [Arc::new(local_keyring("b"))];
        store.client(MultiKeyring::new(Arc::new(local_keyring("a")), others))
    };
    let writer = async {
        for round in 0..6 {
            for uri in &objects.uris {
                both.put()
                    .uri(uri)
                    .body(format!("{round} {}", uri.key()))
                    .send()
                    .await
                    .expect("put");
            }
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    };
    let rewrapper =
        rewrapper(&Wire::default(), KeyChanges::new().remove_key("a").add_keys(local_keyring("c")))
            .await;
    let job = async {
        let mut reports = Vec::new();
        for _ in 0..3 {
            reports
                .extend(run(Apply::new(rewrapper.clone()), objects.work(rewrapper.s3())).await.0);
        }
        reports
    };
    let ((), reports) = tokio::join!(writer, job);
    assert_eq!(reports.len(), 24, "each object in each job");
    for uri in &objects.uris {
        // The last write is there, even if a job rewrapped it.
        let by = store.client(local_keyring("b"));
        let found = read(&by, uri).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoMatchingKey, "{uri}");
                read(&store.client(local_keyring("c")), uri).await.expect("by b or c")
            }
        };
        assert_eq!(found, format!("5 {}", uri.key()), "{uri}");
    }
}
