//! Random sequences of operations against a model of three objects and two keyrings.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*, test_runner::Config};
use sealwax_s3::{Error, ErrorKind, S3Uri, SealedClient};
use sealwax_tests::{SeaweedFs, local_keyring, plaintext, read};

const OBJECTS: usize = 3;
/// One keyring each: a caller in a Region reads with that Region's key only.
const REGIONS: [&str; 2] = ["east", "west"];

#[derive(Debug, Clone, Copy)]
enum Operation {
    Put { at: usize, len: usize },
    Get { at: usize },
    Delete { at: usize },
    Copy { from: usize, to: usize },
    Rewrap { at: usize, edit: Edit, key: usize, accept: bool },
}

#[derive(Debug, Clone, Copy)]
enum Edit {
    Add,
    Replace,
    Remove,
}

fn any_operation() -> impl Strategy<Value = (usize, Operation)> {
    let at = 0..OBJECTS;
    let len = prop_oneof![Just(0_usize), 0..100_usize, Just(16_384), 16_000..40_000_usize];
    let edit = prop_oneof![Just(Edit::Add), Just(Edit::Replace), Just(Edit::Remove)];
    let operation = prop_oneof![
        2 => (at.clone(), len).prop_map(|(at, len)| Operation::Put { at, len }),
        3 => at.clone().prop_map(|at| Operation::Get { at }),
        1 => at.clone().prop_map(|at| Operation::Delete { at }),
        1 => (at.clone(), 1..OBJECTS).prop_map(|(from, by)| Operation::Copy { from, to: (from + by) % OBJECTS }),
        4 => (at, edit, 0..REGIONS.len(), any::<bool>())
            .prop_map(|(at, edit, key, accept)| Operation::Rewrap { at, edit, key, accept }),
    ];
    (0..REGIONS.len(), operation)
}

/// The expected state of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    data: Bytes,
    /// The wrapping key and the place of each wrapped key, both by number.
    wraps: Vec<(usize, usize)>,
    generation: u32,
}

impl Object {
    /// Predicts the result of an unwrap by a caller in `region` at `at`.
    fn unwrap(&self, region: usize, at: usize, accept: bool) -> Result<(), ErrorKind> {
        let mut here = self.wraps.iter().filter(|(_, place)| accept || *place == at).peekable();
        here.peek().ok_or(ErrorKind::PlaceMismatch)?;
        here.any(|(key, _)| *key == region).then_some(()).ok_or(ErrorKind::NoMatchingKey)
    }

    fn rewrapped(
        &self,
        region: usize,
        at: usize,
        edit: Edit,
        key: usize,
        accept: bool,
    ) -> Result<Self, ErrorKind> {
        let others = self.wraps.iter().copied().filter(|(known, _)| *known != key);
        let wraps: Vec<_> = match edit {
            Edit::Add => others.chain([(key, at)]).collect(),
            Edit::Replace => vec![(key, at)],
            Edit::Remove => others.collect(),
        };
        // The order matters only if something changes.
        let sorted = |wraps: &[(usize, usize)]| -> Vec<_> {
            let mut wraps = wraps.to_vec();
            wraps.sort_unstable();
            wraps
        };
        if wraps.is_empty() {
            return Err(ErrorKind::InvalidInput);
        }
        if sorted(&wraps) == sorted(&self.wraps) {
            return Ok(self.clone());
        }
        let rewrapped = Self { wraps, generation: self.generation + 1, ..self.clone() };
        // Adding a key needs one of the existing keys. Removing one needs one of the remaining
        // keys.
        let used = if matches!(edit, Edit::Remove) { &rewrapped } else { self };
        used.unwrap(region, at, accept)?;
        Ok(rewrapped)
    }
}

struct World {
    clients: Vec<SealedClient>,
    uris: Vec<S3Uri>,
    model: BTreeMap<usize, Object>,
}

impl World {
    async fn new() -> Self {
        let store = SeaweedFs::new().await;
        Self {
            clients: REGIONS.iter().map(|name| store.client(local_keyring(name))).collect(),
            uris: (0..OBJECTS).map(|_| store.object("model")).collect(),
            model: BTreeMap::new(),
        }
    }

    fn place(&self, at: usize) -> String {
        format!("{}/{}", self.uris[at].bucket(), self.uris[at].key())
    }

    async fn run(&mut self, region: usize, operation: Operation) {
        let client = self.clients[region].clone();
        match operation {
            Operation::Put { at, len } => {
                let data = plaintext(len);
                client.put().uri(&self.uris[at]).body(data.clone()).send().await.expect("put");
                self.model.insert(at, Object { data, wraps: vec![(region, at)], generation: 1 });
            }
            Operation::Get { at } => {
                let expected = self.model.get(&at).ok_or(ErrorKind::NotFound);
                let expected = expected.and_then(|object| {
                    object.unwrap(region, at, false).map(|()| object.data.clone())
                });
                assert_eq!(
                    read(&client, &self.uris[at]).await.map_err(|error| error.kind()),
                    expected
                );
            }
            Operation::Delete { at } => {
                client.delete().uri(&self.uris[at]).send().await.expect("delete");
                self.model.remove(&at);
            }
            Operation::Copy { from, to } => {
                let Some(object) = self.model.get(&from).cloned() else { return };
                let copy = client.s3().copy_object().copy_source(self.place(from));
                copy.bucket(self.uris[to].bucket())
                    .key(self.uris[to].key())
                    .send()
                    .await
                    .expect("copy");
                self.model.insert(to, object);
            }
            Operation::Rewrap { at, edit, key, accept } => {
                let keyring = local_keyring(REGIONS[key]);
                let mut rewrap = client.rewrap().uri(&self.uris[at]);
                rewrap = match edit {
                    Edit::Add => rewrap.add_keys(keyring),
                    Edit::Replace => rewrap.replace_keys(keyring),
                    Edit::Remove => rewrap.remove_key(REGIONS[key]),
                };
                for place in (0..OBJECTS).filter(|_| accept) {
                    rewrap = rewrap.accept_place(self.place(place));
                }
                let done = rewrap
                    .send()
                    .await
                    .map(|output| output.rewrapped)
                    .map_err(|error: Error| error.kind());
                let before = self.model.get(&at).ok_or(ErrorKind::NotFound);
                let after =
                    before.and_then(|object| object.rewrapped(region, at, edit, key, accept));
                let rewrapped = |after: &Object| self.model.get(&at) != Some(after);
                assert_eq!(done, after.as_ref().map(rewrapped).map_err(|kind| *kind));
                if let Ok(after) = after {
                    self.model.insert(at, after);
                }
            }
        }
    }

    /// Asserts that each object matches the model, down to its wrapped keys.
    async fn check(&self) {
        for (at, uri) in self.uris.iter().enumerate() {
            let head = self.clients[0].head().uri(uri).send().await.map_err(|error| error.kind());
            let found = head.map(|info| {
                let number = |name: &str| {
                    REGIONS.iter().position(|known| *known == name).expect("one of ours")
                };
                let place = |place: &str| {
                    (0..OBJECTS).position(|at| self.place(at) == place).expect("one of ours")
                };
                let wraps = info.keys().iter();
                let wraps = wraps.map(|key| {
                    (number(key.wrapping_key()), place(key.place().expect("bound").as_str()))
                });
                (wraps.collect::<Vec<_>>(), info.generation(), info.plaintext_len())
            });
            let expected = self.model.get(&at).ok_or(ErrorKind::NotFound);
            let expected = expected
                .map(|object| (object.wraps.clone(), object.generation, object.data.len() as u64));
            assert_eq!(found, expected, "object {at}");
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 48, max_shrink_iters: 64, failure_persistence: None, ..Config::default() })]

    #[test]
    fn objects_match_the_model(operations in vec(any_operation(), 1..24)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new().await;
            for (region, operation) in operations {
                world.run(region, operation).await;
            }
            world.check().await;
        });
    }
}
