//! The store seen without faults, and the objects of each run.

use bytes::Bytes;
use sealwax_s3::{
    ErrorKind, S3Uri, SealedClient,
    aws_sdk_s3::{
        Client,
        types::{Tag, Tagging},
    },
    envelope::CachingKeyring,
};
use sealwax_tests::{LocalStack, PART, Stored, assert_hidden, east, plaintext, read, unique};

use crate::actions::Action;

/// Content of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Absent,
    /// Before the action.
    Old,
    /// As a small put stores it.
    Small,
    /// As a long put stores it.
    Long,
    /// As the source of copies has it.
    Source,
    /// As a multipart upload stores it.
    Uploaded,
}

/// Objects that an action may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) object: Content,
    pub(crate) other: Content,
    pub(crate) tags: Vec<(String, String)>,
}

/// Objects of one run.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) prefix: String,
    pub(crate) object: S3Uri,
    /// A second object, which exists if the action deletes two.
    pub(crate) other: S3Uri,
}

/// State shared by all runs.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) s3: Client,
    pub(crate) client: SealedClient,
    /// Source of copies, never changed.
    pub(crate) source: S3Uri,
    /// A bucket without versions.
    unversioned: String,
    /// Parts that a client sends of a multipart upload. The last one is copied.
    pub(crate) parts: [Bytes; 2],
    /// Plaintexts, by content.
    plaintexts: Vec<(Content, Bytes)>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let stack = LocalStack::new(east());
        let key = stack.home.key.clone();
        let keyring = CachingKeyring::new(stack.keyring([&key]));
        let client = SealedClient::builder(stack.s3(), keyring).part_len(PART).build();
        let source = stack.object("gateway-source");
        let plaintexts = [
            (Content::Old, 300_001),
            (Content::Small, 70_001),
            (Content::Long, 2 * PART + 100_001),
            (Content::Source, 20_001),
        ];
        let mut plaintexts: Vec<_> =
            plaintexts.into_iter().map(|(content, len)| (content, plaintext(len))).collect();
        let [.., (_, copied)] = &plaintexts[..] else { unreachable!("there are four") };
        let parts = [PART + 1, PART + 70_000].map(plaintext);
        let all = [&parts[0][..], &parts[1], copied].concat();
        plaintexts.push((Content::Uploaded, all.into()));
        let unversioned = unique("gateway-unversioned");
        let s3 = stack.s3();
        s3.create_bucket().bucket(&unversioned).send().await.expect("a bucket");
        let world = Self { s3, client, source, unversioned, parts, plaintexts };
        world.put(&world.source, Content::Source).await;
        world
    }

    pub(crate) fn plaintext(&self, content: Content) -> Bytes {
        let known = self.plaintexts.iter().find(|(known, _)| *known == content);
        known.expect("an object with content").1.clone()
    }

    async fn put(&self, uri: &S3Uri, content: Content) {
        self.client.put().uri(uri).body(self.plaintext(content)).send().await.expect("put");
    }

    /// Stores the objects of a run.
    pub(crate) async fn scene(&self, action: Action) -> Scene {
        let prefix = unique("gateway");
        let bucket = match action {
            Action::Rewrite => &self.unversioned,
            _ => self.source.bucket(),
        };
        let [object, other] = ["object", "other"].map(|name| {
            let uri = format!("s3://{bucket}/{prefix}/{name}");
            uri.parse().expect("an object's name")
        });
        let scene = Scene { prefix, object, other };
        let before = action.before();
        for (uri, content) in [(&scene.object, before.object), (&scene.other, before.other)] {
            if content != Content::Absent {
                self.put(uri, content).await;
            }
        }
        if !before.tags.is_empty() {
            let tags = before.tags.iter().map(|(name, value)| {
                Tag::builder().key(name).value(value).build().expect("a name and a value")
            });
            let tags = Tagging::builder().set_tag_set(Some(tags.collect())).build();
            let put = self.s3.put_object_tagging().bucket(scene.object.bucket());
            let put = put.key(scene.object.key()).tagging(tags.expect("tags"));
            put.send().await.expect("tagged");
        }
        scene
    }

    /// Reads the state of a run's objects, and asserts that all that is stored is sealed.
    pub(crate) async fn state(&self, scene: &Scene) -> State {
        let mut state = State {
            object: self.content(&scene.object).await,
            other: self.content(&scene.other).await,
            tags: Vec::new(),
        };
        if state.object != Content::Absent {
            let get = self.s3.get_object_tagging().bucket(scene.object.bucket());
            let tags = get.key(scene.object.key()).send().await.expect("tags").tag_set;
            state.tags = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        }
        let list = self.s3.list_objects_v2().bucket(scene.object.bucket()).prefix(&scene.prefix);
        let listed = list.send().await.expect("listed");
        let keys: Vec<_> = listed.contents().iter().filter_map(|object| object.key()).collect();
        for key in keys {
            assert!([scene.object.key(), scene.other.key()].contains(&key), "{key} is left behind");
        }
        state
    }

    /// Reads an object with the library, and asserts that it is sealed and one of those that were put.
    async fn content(&self, uri: &S3Uri) -> Content {
        let plaintext = match read(&self.client, uri).await {
            Ok(plaintext) => plaintext,
            Err(error) if error.kind() == ErrorKind::NotFound => return Content::Absent,
            Err(error) => panic!("{uri} cannot be read: {error:?}"),
        };
        let known = self.plaintexts.iter().find(|(_, known)| *known == plaintext);
        let Some((content, plaintext)) = known else {
            panic!("{uri} has {} other bytes than any that were put", plaintext.len())
        };
        let stored = Stored::fetch(&self.s3, uri).await;
        assert!(stored.metadata.contains_key("sealwax-header"), "{:?}", stored.metadata);
        // The library has opened all of it. Comparing all of it would take seconds.
        let begin = |bytes: &Bytes| bytes.slice(..bytes.len().min(20_000));
        assert_hidden(&begin(plaintext), &begin(&stored.body));
        *content
    }
}
