//! "Safe to delete" only after every version has another proven key.

use sealwax_jobs::{
    listing::Listing,
    retire::{Confirmed, Retire, RetireSummary, Verdict},
};
use sealwax_s3::KeyChanges;

use super::*;

async fn looked_at(
    client: &SealedClient,
    old: &KmsKeyArn,
    folder: &S3Uri,
) -> (RetireSummary, Confirmed) {
    let versions = Listing::versions(client.s3(), folder.bucket(), folder.key());
    let retire = Retire::new(client.clone(), old.as_str());
    let summary = retire.clone().run(versions).finish().await.expect("a listing");
    let confirmed = retire.confirm(&summary).await.expect("confirmed");
    (summary, confirmed)
}

fn in_folder(folder: &S3Uri, name: &str) -> S3Uri {
    format!("{folder}/{name}").parse().expect("a name")
}

#[tokio::test]
async fn one_older_version_is_enough_to_refuse() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let (old, new) = (&stack.home.key, &west().key);
    let folder = stack.object("retire");
    let (a, b) = (in_folder(&folder, "a"), in_folder(&folder, "b"));
    // An older version under an intermediate key of its own.
    put(&keys.writer(&stack, [old]), &a).await;
    let first = keys.only(&keys.reader(&stack, [old])).await;
    let writer = keys.writer(&stack, [old]);
    for uri in [&a, &b] {
        put(&writer, uri).await;
    }
    let operator = keys.reader(&stack, [old]);
    let store = operator.stored_keys(&keys.bucket).expect("a key store");
    let add = KeyChanges::new().add_keys(stack.keyring([new]));
    for key in keys.listed(&operator).await {
        if key.id() != first.id() {
            store.rewrap(&key, &add).await.expect("rewrapped");
        }
    }
    let both = || keys.reader(&stack, [old, new]);
    let (summary, confirmed) = looked_at(&both(), old, &folder).await;
    let expected = BTreeMap::from([(Verdict::CoveredByKeyStore, 2), (Verdict::Needed, 1)]);
    assert_eq!((summary.versions, &summary.verdicts), (3, &expected));
    assert!(!confirmed.is_safe() && confirmed.lost.is_empty(), "{confirmed:?}");

    store.rewrap(&first, &add).await.expect("rewrapped");
    let (summary, confirmed) = looked_at(&both(), old, &folder).await;
    assert_eq!(summary.verdicts, BTreeMap::from([(Verdict::CoveredByKeyStore, 3)]));
    assert_eq!((confirmed.is_safe(), confirmed.proven), (true, 2), "{confirmed:?}");

    // What is gone by then is noticed.
    let retire = Retire::new(both(), old.as_str());
    for (key, content) in keys.objects(&stack.s3()).await {
        let form = KeyObject::parse(&content).expect("a key object");
        if form.form().wrapping_key() == new.as_str() && form.id() == first.id() {
            let deletion = stack.s3().delete_object().bucket(&keys.bucket).key(key).send();
            deletion.await.expect("deleted");
        }
    }
    let confirmed = retire.confirm(&summary).await.expect("confirmed");
    assert_eq!(confirmed.lost, BTreeSet::from([first.id().to_string()]));
    assert!(!confirmed.is_safe());
}

/// A claim covers nothing, and neither does a bucket of which nothing was seen.
#[tokio::test]
async fn claims_and_nothing_are_not_enough() {
    let (stack, keys) = (LocalStack::new(east()), Keys::new());
    let (old, new) = (&stack.home.key, &west().key);
    let folder = stack.object("retire");
    let uri = in_folder(&folder, "a");
    put(&keys.writer(&stack, [old]), &uri).await;
    // A key object under the new key's name that holds nothing of it.
    let [(_, genuine)] = &keys.objects(&stack.s3()).await[..] else { panic!("one key object") };
    let genuine = KeyObject::parse(genuine).expect("a key object");
    let name = genuine.name().under("aws-kms", new.as_str());
    let text = genuine.to_json().replace(old.as_str(), new.as_str());
    keys.store(&stack.s3(), &format!("{}{name}", keys.prefix()), text).await;
    let (summary, confirmed) = looked_at(&keys.reader(&stack, [old, new]), old, &folder).await;
    assert_eq!(summary.verdicts, BTreeMap::from([(Verdict::Needed, 1)]));
    assert!(!confirmed.is_safe());
    // The reader has no other key, so it can prove none.
    let (summary, _) = looked_at(&keys.reader(&stack, [old]), old, &folder).await;
    assert_eq!(summary.verdicts, BTreeMap::from([(Verdict::Needed, 1)]));
    let (summary, _) = looked_at(&keys.reader(&stack, [old]), new, &stack.object("empty")).await;
    assert_eq!(summary.versions, 0);
    let (_, confirmed) = looked_at(&keys.reader(&stack, [old]), new, &stack.object("empty")).await;
    assert!(!confirmed.is_safe(), "there was no version");
}
