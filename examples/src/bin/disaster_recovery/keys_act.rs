//! The second act: many small objects, recovered by a rewrap of their intermediate keys alone.

use std::time::{Duration, Instant};

use aws_sdk_s3::types::MetadataDirective;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sealwax_s3::{
    ErrorKind, KeyChanges, KeyStorePolicy, SealedClient,
    envelope::{CacheLimits, CachingKeyring},
};

use super::{
    Result,
    regions::{Region, Regions},
    report::{Calls, Report},
    require,
};

/// Number of objects.
pub(crate) const OBJECTS: usize = 10_000;
/// Objects under one intermediate key. In production, an age limits it too.
const OBJECTS_OF_A_KEY: u64 = 2_500;
const INTERMEDIATE_KEYS: usize = OBJECTS / 2_500;
/// Plaintext length of an object in bytes.
const LEN: usize = 1024;
/// Requests at a time.
const CONCURRENCY: usize = 32;
const PREFIX: &str = "records/";

/// Runs the act.
pub(crate) async fn run(report: &mut Report, regions: &Regions) -> Result<()> {
    let Regions { east, west } = regions;
    let key_store = KeyStorePolicy::with_prefix(format!(".sealwax/demo-{}", std::process::id()));
    seal(report, east, &key_store).await?;
    replicate(report, east, west, &key_store).await?;
    rewrap(report, east, west, &key_store).await?;

    east.disable_key().await?;
    report.step(format!("lost {} once more", east.name));
    read(report, east, west, &key_store).await
}

fn key(number: usize) -> String {
    format!("{PREFIX}{number:05}.json")
}

fn plaintext(number: usize) -> Vec<u8> {
    number.to_string().into_bytes().into_iter().cycle().take(LEN).collect()
}

/// Seals the objects, all of one encryption context, under the key of `east` alone.
async fn seal(report: &mut Report, east: &Region, key_store: &KeyStorePolicy) -> Result<()> {
    let started = Instant::now();
    let before = east.calls();
    let limits = CacheLimits::new()
        .with_max_age(Duration::from_secs(3_600))
        .with_max_objects(OBJECTS_OF_A_KEY);
    let keyring = CachingKeyring::with_limits(east.keyring(), limits);
    let writer =
        SealedClient::builder(east.s3.clone(), keyring).key_store(key_store.clone()).build();
    let put = |number| {
        let put = writer.put().bucket(&east.bucket).key(key(number)).body(plaintext(number));
        put.context("tenant", "st-elsewhere").send()
    };
    let puts = stream::iter((0..OBJECTS).map(put)).buffer_unordered(CONCURRENCY);
    puts.try_for_each(|_| async { Ok(()) }).await?;
    report.calls("seal", OBJECTS, east.calls().since(&before), started.elapsed());
    report.step(format!(
        "sealed {OBJECTS} objects of {LEN} bytes in {} under {INTERMEDIATE_KEYS} intermediate keys, \
         each with a key object",
        east.name
    ));
    Ok(())
}

/// Copies the objects and the key objects with their metadata, as S3 Replication does.
async fn replicate(
    report: &mut Report,
    east: &Region,
    west: &Region,
    key_store: &KeyStorePolicy,
) -> Result<()> {
    let prefix = key_store.prefix().unwrap_or_default();
    let listed = east.s3.list_objects_v2().bucket(&east.bucket).prefix(prefix).send().await?;
    let key_objects = listed.contents().iter().filter_map(|object| object.key());
    let keys: Vec<_> = key_objects.map(str::to_owned).chain((0..OBJECTS).map(key)).collect();
    require(keys.len() == OBJECTS + INTERMEDIATE_KEYS, "there are other key objects")?;
    let copy = |key: String| {
        let copy = west.s3.copy_object().bucket(&west.bucket).key(&key);
        let copy = copy.copy_source(format!("{}/{key}", east.bucket));
        copy.metadata_directive(MetadataDirective::Copy).send()
    };
    let copies = stream::iter(keys.into_iter().map(copy)).buffer_unordered(CONCURRENCY);
    copies.try_for_each(|_| async { Ok(()) }).await?;
    report.step(format!("copied them to {}, key objects too, as replication does", west.name));
    Ok(())
}

/// Adds the key of `west` to each intermediate key of the replica.
async fn rewrap(
    report: &mut Report,
    east: &Region,
    west: &Region,
    key_store: &KeyStorePolicy,
) -> Result<()> {
    let started = Instant::now();
    let before = west.calls();
    let operator = west.replica_builder(west.keyring_of(east), &east.bucket);
    let store = operator.key_store(key_store.clone()).build().stored_keys(&west.bucket)?;
    let changes = KeyChanges::new().add_keys(west.keyring());
    let (mut listing, mut added) = (store.list(), 0);
    while let Some(key) = listing.next_key().await? {
        added += store.rewrap(&key, &changes).await?.report.added.len();
    }
    require(added == INTERMEDIATE_KEYS, "not every intermediate key was rewrapped")?;
    report.calls("rewrap the keys", added, west.calls().since(&before), started.elapsed());
    report.step(format!(
        "rewrapped the {added} intermediate keys under the key of {}: no object was touched",
        west.name
    ));
    Ok(())
}

/// Reads every object of the replica with the key of `west` alone.
async fn read(
    report: &mut Report,
    east: &Region,
    west: &Region,
    key_store: &KeyStorePolicy,
) -> Result<()> {
    let started = Instant::now();
    let before = west.calls();
    let keyring = CachingKeyring::new(west.keyring());
    let reader = west.replica_builder(keyring, &east.bucket).key_store(key_store.clone()).build();
    let get = |number| {
        let get =
            reader.get().bucket(&west.bucket).key(key(number)).context("tenant", "st-elsewhere");
        async move {
            let read = get.send().await?.bytes().await?;
            require(read == plaintext(number), "an object is not what was sealed")
        }
    };
    let gets = stream::iter((0..OBJECTS).map(get)).buffer_unordered(CONCURRENCY);
    gets.try_for_each(|()| async { Ok(()) }).await?;
    report.calls("read all", OBJECTS, west.calls().since(&before), started.elapsed());

    let without = west.replica_builder(west.keyring(), &east.bucket).build();
    let lost = without.get().bucket(&west.bucket).key(key(0)).send().await;
    let error = lost.err().ok_or("an object opens without the key store")?;
    require(error.kind() == ErrorKind::NoMatchingKey, "it fails for another reason")?;
    report.step(format!(
        "read all {OBJECTS} with {} only; without the key store, none opens",
        west.name
    ));
    Ok(())
}

/// Returns the calls of a rewrap of each object: `Decrypt`, `Encrypt`, `HeadObject` and `CopyObject`.
pub(crate) fn object_by_object() -> Calls {
    Calls { kms: 2 * OBJECTS as u64, s3: 2 * OBJECTS as u64 }
}
