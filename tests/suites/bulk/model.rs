//! Random sequences of puts, overwrites, deletes, restores, rewraps, lost Regions and crashes, against
//! a model. Between two runs of a job, other writers change its objects.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proptest::{collection::vec, prelude::*, test_runner::Config};
use sealwax_jobs::{
    job::JobSummary as _,
    listing::Listing,
    rewrap::{Apply, JobInput, RewrapSummary},
};
use sealwax_s3::{ErrorKind, KeyChanges, S3Uri, aws_sdk_s3::types::MetadataDirective};
use sealwax_tests::{Reaction, SeaweedFs, Wire, local_keyring, read};
use tokio::{sync::Notify, time::sleep};

const OBJECTS: usize = 4;
/// A local key for each Region.
const REGIONS: [&str; 3] = ["east", "west", "south"];

/// Change by a writer that is no job.
#[derive(Debug, Clone)]
enum Write {
    Put {
        at: usize,
        region: usize,
    },
    Delete {
        at: usize,
    },
    /// Gives an object back the metadata of its put, and with it the keys. Its entity tag stays.
    Restore {
        at: usize,
    },
}

#[derive(Debug, Clone)]
enum Operation {
    Write(Write),
    /// Runs a job over all objects from a Region several times with one journal.
    Rewrap {
        region: usize,
        edit: Edit,
        key: usize,
        runs: Vec<Run>,
    },
    /// Reads everything without this Region.
    Lose {
        region: usize,
    },
}

/// One run of a job, which crashes at a call or tries all objects, and writes after it.
#[derive(Debug, Clone)]
struct Run {
    crash: Option<usize>,
    then: Vec<Write>,
}

#[derive(Debug, Clone, Copy)]
enum Edit {
    Add,
    Replace,
    Remove,
}

fn any_write() -> impl Strategy<Value = Write> {
    let (at, region) = (0..OBJECTS, 0..REGIONS.len());
    prop_oneof![
        3 => (at.clone(), region).prop_map(|(at, region)| Write::Put { at, region }),
        1 => at.clone().prop_map(|at| Write::Delete { at }),
        2 => at.prop_map(|at| Write::Restore { at }),
    ]
}

fn any_run() -> impl Strategy<Value = Run> {
    (prop_oneof![3 => (0..14_usize).prop_map(Some), 1 => Just(None)], vec(any_write(), 0..3))
        .prop_map(|(crash, then)| Run { crash, then })
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let region = 0..REGIONS.len();
    let edit = prop_oneof![3 => Just(Edit::Add), 1 => Just(Edit::Replace), 2 => Just(Edit::Remove)];
    prop_oneof![
        4 => any_write().prop_map(Operation::Write),
        4 => (region.clone(), edit, region.clone(), vec(any_run(), 0..3))
            .prop_map(|(region, edit, key, runs)| Operation::Rewrap { region, edit, key, runs }),
        1 => region.prop_map(|region| Operation::Lose { region }),
    ]
}

/// Expected state of an object.
struct Expected {
    text: String,
    /// Regions that can open it.
    regions: BTreeSet<usize>,
    /// Region of its put, and the metadata that the put stored.
    put: (usize, HashMap<String, String>),
}

type Model = BTreeMap<usize, Expected>;

struct World {
    uris: Vec<S3Uri>,
    prefix: String,
    model: Model,
    next: usize,
}

impl World {
    async fn new() -> Self {
        let first = SeaweedFs::new().await.object("bulk-model");
        let uri = |n: usize| {
            format!("s3://{}/{}/{n}", first.bucket(), first.key()).parse().expect("an address")
        };
        Self {
            uris: (0..OBJECTS).map(uri).collect(),
            prefix: format!("{}/", first.key()),
            model: Model::new(),
            next: 0,
        }
    }

    async fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Write(write) => self.write(write).await,
            Operation::Rewrap { region, edit, key, runs } => {
                self.rewrap(*region, *edit, *key, runs).await;
            }
            Operation::Lose { region } => self.check(Some(*region)).await,
        }
    }

    async fn write(&mut self, write: &Write) {
        let store = SeaweedFs::new().await;
        match write {
            Write::Put { at, region } => {
                self.next += 1;
                let (text, uri) = (self.next.to_string(), &self.uris[*at]);
                let client = store.client(local_keyring(REGIONS[*region]));
                client.put().uri(uri).body(text.clone()).send().await.expect("put");
                let head = client.s3().head_object().bucket(uri.bucket()).key(uri.key());
                let metadata = head.send().await.expect("head").metadata.expect("metadata");
                let (regions, put) = ([*region].into(), (*region, metadata));
                self.model.insert(*at, Expected { text, regions, put });
            }
            Write::Delete { at } => {
                store
                    .client(local_keyring("any"))
                    .delete()
                    .uri(&self.uris[*at])
                    .send()
                    .await
                    .expect("delete");
                self.model.remove(at);
            }
            Write::Restore { at } => {
                let Some(Expected { regions, put: (region, metadata), .. }) =
                    self.model.get_mut(at)
                else {
                    return;
                };
                let (client, uri) = (store.client(local_keyring("any")), &self.uris[*at]);
                let copy = client.s3().copy_object().bucket(uri.bucket()).key(uri.key());
                copy.copy_source(format!("{}/{}", uri.bucket(), uri.key()))
                    .metadata_directive(MetadataDirective::Replace)
                    .set_metadata(Some(metadata.clone()))
                    .send()
                    .await
                    .expect("restored");
                *regions = [*region].into();
            }
        }
    }

    /// Returns the Regions that open the object after this rewrap, or `None` if the rewrap must
    /// fail.
    fn rewrapped(
        regions: &BTreeSet<usize>,
        region: usize,
        edit: Edit,
        key: usize,
    ) -> Option<BTreeSet<usize>> {
        let mut after = regions.clone();
        match edit {
            Edit::Add => after.extend([key]),
            Edit::Replace => after = [key].into(),
            Edit::Remove => {
                after.remove(&key);
            }
        }
        let usable = if matches!(edit, Edit::Remove) { &after } else { regions };
        let allowed = after == *regions || usable.contains(&region);
        (!after.is_empty() && allowed).then_some(after)
    }

    async fn rewrap(&mut self, region: usize, edit: Edit, key: usize, runs: &[Run]) {
        let directory = tempfile::tempdir().expect("a directory");
        let keyring = || local_keyring(REGIONS[key]);
        let edits = || match edit {
            Edit::Add => KeyChanges::new().add_keys(keyring()),
            Edit::Replace => KeyChanges::new().replace_keys(keyring()),
            Edit::Remove => KeyChanges::new().remove_key(REGIONS[key]),
        };
        let (bucket, prefix) = (self.uris[0].bucket().to_owned(), self.prefix.clone());
        let attempt = async |wire: Option<Wire>| {
            let client = SeaweedFs::over(wire.clone().unwrap_or_default())
                .await
                .client(local_keyring(REGIONS[region]));
            let rewrapper = client.rewrapper(edits()).expect("edits");
            loop {
                let apply = Apply::new(rewrapper.clone())
                    .concurrency(if wire.is_some() { 1 } else { 4 })
                    .journal(directory.path().join("journal"));
                let listing = Listing::objects(rewrapper.s3(), &bucket, &prefix);
                match apply.run(JobInput::listing(listing, "all").live()).finish().await {
                    Ok(tally) => return tally,
                    // The thread of a crashed job still writes its last line.
                    Err(error) if error.kind() == ErrorKind::Locked => {
                        sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        for Run { crash, then } in runs {
            let Some(crash) = crash else {
                let summary = attempt(None).await;
                self.check_summary(&summary, region, edit, key);
                for write in then {
                    self.write(write).await;
                }
                continue;
            };
            // The process dies at this call, which may or may not arrive.
            let (calls, gone) = (AtomicUsize::new(0), Arc::new(Notify::new()));
            let dies = Arc::clone(&gone);
            let (crash, arrives) = (*crash, crash % 2 == 0);
            let wire =
                Wire::new(move |_| match calls.fetch_add(1, Ordering::Relaxed).cmp(&crash) {
                    std::cmp::Ordering::Less => Reaction::Pass,
                    std::cmp::Ordering::Equal if arrives => {
                        let dies = Arc::clone(&dies);
                        Reaction::HoldAnswer(Box::pin(async move {
                            dies.notify_one();
                            std::future::pending::<()>().await;
                        }))
                    }
                    _ => {
                        dies.notify_one();
                        Reaction::Hang
                    }
                });
            tokio::select! {
                () = gone.notified() => {}
                _ = attempt(Some(wire)) => {}
            }
            for write in then {
                self.write(write).await;
            }
        }
        let summary = attempt(None).await;
        self.check_summary(&summary, region, edit, key);
    }

    /// Asserts what a run counts that tried every object, and moves the model on.
    fn check_summary(&mut self, tally: &RewrapSummary, region: usize, edit: Edit, key: usize) {
        let mut failed = 0;
        for Expected { regions, .. } in self.model.values_mut() {
            match Self::rewrapped(regions, region, edit, key) {
                Some(after) => *regions = after,
                None => failed += 1,
            }
        }
        assert_eq!(tally.counts.errors, failed, "{tally:?}");
        assert_eq!(
            (tally.all_objects(), tally.counts.stopped),
            (self.model.len() as u64, false),
            "{tally:?}"
        );
    }

    /// Asserts that each object matches the model, seen from each Region that is not lost.
    async fn check(&self, lost: Option<usize>) {
        let store = SeaweedFs::new().await;
        for (at, uri) in self.uris.iter().enumerate() {
            for (region, name) in
                REGIONS.iter().enumerate().filter(|(region, _)| Some(*region) != lost)
            {
                let found = read(&store.client(local_keyring(name)), uri)
                    .await
                    .map_err(|error| error.kind());
                let expected = match self.model.get(&at) {
                    None => Err(ErrorKind::NotFound),
                    Some(object) if object.regions.contains(&region) => {
                        Ok(object.text.clone().into())
                    }
                    Some(_) => Err(ErrorKind::NoMatchingKey),
                };
                assert_eq!(found, expected, "object {at} from {name}");
            }
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 6, max_shrink_iters: 16, failure_persistence: None, ..Config::default() })]

    #[test]
    fn jobs_match_the_model(operations in vec(any_operation(), 1..9)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new().await;
            for operation in &operations {
                world.run(operation).await;
            }
            world.check(None).await;
        });
    }
}
