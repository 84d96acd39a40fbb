//! Random sequences of puts, overwrites, deletes, rewraps, lost Regions and crashes, against a
//! model.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proptest::{collection::vec, prelude::*, test_runner::Config};
use sealwax_jobs::{
    Summary as _,
    listing::Listing,
    rewrap::{Apply, JobInput},
};
use sealwax_s3::{ErrorKind, KeyChanges, S3Uri};
use sealwax_tests::{Reaction, SeaweedFs, Wire, local_keyring, read};
use tokio::{sync::Notify, time::sleep};

const OBJECTS: usize = 4;
/// A local key for each Region.
const REGIONS: [&str; 3] = ["east", "west", "south"];

#[derive(Debug, Clone)]
enum Operation {
    Put {
        at: usize,
        region: usize,
    },
    Delete {
        at: usize,
    },
    /// Runs a job over all objects from a Region. It crashes at each of these calls and resumes.
    Rewrap {
        region: usize,
        edit: Edit,
        key: usize,
        crashes: Vec<usize>,
    },
    /// Reads everything without this Region.
    Lose {
        region: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum Edit {
    Add,
    Replace,
    Remove,
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let (at, region) = (0..OBJECTS, 0..REGIONS.len());
    let edit = prop_oneof![3 => Just(Edit::Add), 1 => Just(Edit::Replace), 2 => Just(Edit::Remove)];
    prop_oneof![
        3 => (at.clone(), region.clone()).prop_map(|(at, region)| Operation::Put { at, region }),
        1 => at.prop_map(|at| Operation::Delete { at }),
        4 => (region.clone(), edit, region.clone(), vec(0..14_usize, 0..3))
            .prop_map(|(region, edit, key, crashes)| Operation::Rewrap { region, edit, key, crashes }),
        1 => region.prop_map(|region| Operation::Lose { region }),
    ]
}

/// Expected state of each object: its plaintext, and the Regions that can open it.
type Model = BTreeMap<usize, (String, BTreeSet<usize>)>;

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
        let store = SeaweedFs::new().await;
        match operation {
            Operation::Put { at, region } => {
                self.next += 1;
                let text = self.next.to_string();
                let client = store.client(local_keyring(REGIONS[*region]));
                client.put().uri(&self.uris[*at]).body(text.clone()).send().await.expect("put");
                self.model.insert(*at, (text, [*region].into()));
            }
            Operation::Delete { at } => {
                store
                    .client(local_keyring("any"))
                    .delete()
                    .uri(&self.uris[*at])
                    .send()
                    .await
                    .expect("delete");
                self.model.remove(at);
            }
            Operation::Rewrap { region, edit, key, crashes } => {
                self.rewrap(*region, *edit, *key, crashes).await;
            }
            Operation::Lose { region } => self.check(Some(*region)).await,
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

    async fn rewrap(&mut self, region: usize, edit: Edit, key: usize, crashes: &[usize]) {
        let directory = tempfile::tempdir().expect("a directory");
        let keyring = || local_keyring(REGIONS[key]);
        let edits = || match edit {
            Edit::Add => KeyChanges::new().add_keys(keyring()),
            Edit::Replace => KeyChanges::new().replace_keys(keyring()),
            Edit::Remove => KeyChanges::new().remove_key(REGIONS[key]),
        };
        let bucket = self.uris[0].bucket().to_owned();
        let attempt = async |wire: Wire| {
            let client = SeaweedFs::over(wire).await.client(local_keyring(REGIONS[region]));
            let rewrapper = client.rewrapper(edits()).expect("edits");
            loop {
                let apply = Apply::new(rewrapper.clone())
                    .concurrency(4)
                    .journal(directory.path().join("journal"));
                let listing = Listing::objects(rewrapper.s3(), &bucket, &self.prefix);
                match apply.run(JobInput::listing(listing, "all")).finish().await {
                    Ok(tally) => return tally,
                    // The thread of a crashed job still writes its last line.
                    Err(error) if error.kind() == ErrorKind::Locked => {
                        sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        };
        for crash in crashes {
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
                _ = attempt(wire) => {}
            }
        }
        let tally = attempt(Wire::default()).await;
        let mut failed = 0;
        for (_, regions) in self.model.values_mut() {
            match Self::rewrapped(regions, region, edit, key) {
                Some(after) => *regions = after,
                None => failed += 1,
            }
        }
        assert_eq!(tally.errors, failed, "{tally:?}");
        assert_eq!(
            tally.done() + tally.done_before + tally.failed(),
            self.model.len() as u64,
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
                    Some((text, regions)) if regions.contains(&region) => Ok(text.clone().into()),
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
