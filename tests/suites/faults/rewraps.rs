//! Rewraps and deletes: an object is readable with its old keys or its new ones until it is
//! deleted.

use sealwax_s3::{ErrorKind, SealedClient};
use sealwax_tests::{Random, local_keyring, read};

use crate::{
    ledger::Ledger,
    orphans::Orphans,
    plan::Plan,
    planned_client::PlannedClient,
    tally::{Outcome, Run},
    world::{BEFORE, World},
};

const REQUESTS: [&str; 5] =
    ["HeadObject", "CopyObject", "CopyObject", "GetObjectAcl", "GetBucketOwnershipControls"];

/// Rewraps from the key `a` to both keys, or to `b` alone.
pub(crate) async fn any(world: &World, mut random: Random, ledgers: &[Ledger]) -> Run {
    let plan = Plan::random(&mut random, &REQUESTS);
    rewrap(world, plan, random.one_in(2), ledgers).await
}

/// Rewraps under a plan; with `replace`, to `b` alone.
pub(crate) async fn rewrap(world: &World, plan: Plan, replace: bool, ledgers: &[Ledger]) -> Run {
    let uri = world.old_object().await;
    let planned = PlannedClient::new(&world.clean, plan, ledgers[0].clone(), 1);
    let rewrap = planned.client.rewrap().uri(&uri);
    let keyring = local_keyring("b");
    let rewrap = if replace { rewrap.replace_keys(keyring) } else { rewrap.add_keys(keyring) };
    let result = planned.run(rewrap.send()).await;
    let outcome = Outcome::of(&result);

    let opens = async |client: &SealedClient| match read(client, &uri).await {
        Ok(found) => {
            assert_eq!(found, BEFORE);
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NoMatchingKey, "{error:?}");
            false
        }
    };
    let other = world.clean.client(local_keyring("b"));
    let (before, after) = ((true, false), (!replace, true));
    let mut opens_with = (opens(&world.client).await, opens(&other).await);
    if result.is_none() && opens_with != before && opens_with != after {
        // The request of a dropped rewrap arrived between the two reads.
        opens_with = (opens(&world.client).await, opens(&other).await);
    }
    let mut hidden = false;
    match result {
        Some(Ok(_)) => assert_eq!(opens_with, after, "the keys that open it"),
        failed => {
            hidden = opens_with != before;
            assert!(!hidden || opens_with == after, "the keys that open it: {opens_with:?}");
            let could_know = failed.is_some() && !planned.ledger.hid_the_outcome();
            assert!(
                !hidden || !could_know,
                "the object was rewrapped, but the rewrap failed: {failed:?}"
            );
        }
    }
    world.remove(&uri).await;
    Run { operation: "rewrap", outcomes: vec![outcome], orphans: Orphans::default(), hidden }
}

/// Deletes an object.
pub(crate) async fn delete(world: &World, mut random: Random, ledgers: &[Ledger]) -> Run {
    let uri = world.old_object().await;
    let plan = Plan::random(&mut random, &["DeleteObject"]);
    let planned = PlannedClient::new(&world.clean, plan, ledgers[0].clone(), 1);
    let result = planned.run(planned.client.delete().uri(&uri).send()).await;
    match world.look(&uri).await {
        None => {}
        Some(found) => {
            assert_eq!(found, BEFORE);
            assert!(!matches!(result, Some(Ok(_))), "the object still exists");
            world.remove(&uri).await;
        }
    }
    Run {
        operation: "delete",
        outcomes: vec![Outcome::of(&result)],
        orphans: Orphans::default(),
        hidden: false,
    }
}
