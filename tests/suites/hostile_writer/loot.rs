//! Everything that a writer to the bucket has for changes: the stored objects, their older
//! versions, and wrapped keys that somebody with `GenerateDataKey` made for the very same binding.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD as BASE64};
use bytes::Bytes;
use sealwax_s3::{
    S3Uri,
    aws_sdk_kms::{primitives::Blob, types::DataKeySpec},
    envelope::{Keyring, ObjectHeader, Place, WrapContext, metadata},
    s3ec::S3ec,
};
use sealwax_tests::{Stored, plaintext};

use crate::{
    key_list::{Key, KeyList},
    scene::{Kind, Name, Scene},
};

/// Length of each plaintext in bytes: two chunks.
const LEN: usize = 20_000;

/// Plaintexts of the operator's objects. All have the same length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plaintexts {
    pub(crate) original: Bytes,
    pub(crate) older: Bytes,
}

/// Stored objects and wrapped keys.
pub(crate) struct Loot {
    pub(crate) plaintexts: Plaintexts,
    /// The object as the operator stored it.
    pub(crate) original: Stored,
    /// An older version of it: same place, context, length and, if any, intermediate key.
    pub(crate) older: Stored,
    /// An object at another place, of the same context, under an intermediate key of its own.
    pub(crate) other: Stored,
    /// An object under the same intermediate key, at another place.
    pub(crate) sibling: Stored,
    /// An object of the S3 Encryption Client, of the same context and under East.
    pub(crate) s3ec: Stored,
    /// Wrapped keys of strangers' data keys, for the binding of the object's data key.
    strangers: HashMap<Name, String>,
    /// The same for the binding of its intermediate key.
    strangers_intermediate: HashMap<Name, String>,
    /// The object's own data or intermediate key, as East has it, under New.
    pub(crate) under_new: String,
    /// Place of the object.
    pub(crate) place: String,
}

impl Loot {
    /// Stores the operator's objects, and collects what the writer finds and makes.
    pub(crate) async fn collect(scene: &Scene) -> Self {
        let data = |more: usize| plaintext(LEN + more).slice(more..);
        let plaintexts = Plaintexts { original: data(0), older: data(1) };
        let sealing = scene.sealing();
        let beside = |name: &str| format!("{}-{name}", scene.object).parse().expect("a name");
        let older = put(scene, &sealing, &scene.object, &plaintexts.older).await;
        let sibling = put(scene, &sealing, &beside("sibling"), &data(2)).await;
        let other = put(scene, &scene.sealing(), &beside("other"), &data(3)).await;
        let original = put(scene, &sealing, &scene.object, &plaintexts.original).await;

        let place = Scene::place(&scene.object);
        let header = header_of(&original);
        let binding = header.wrap_context(Some(
            Place::new(scene.object.bucket(), scene.object.key()).expect("a place"),
        ));
        let mut strangers = HashMap::new();
        for name in Name::ALL {
            strangers.insert(name, made_by_strangers(scene, name, &binding).await);
        }
        let mut strangers_intermediate = HashMap::new();
        let own = &header.keys()[0];
        if scene.kind != Kind::Direct {
            for name in [Name::East, Name::Foreign] {
                let made = made_by_strangers(scene, name, own.wrap_context()).await;
                strangers_intermediate.insert(name, made);
            }
        }
        let context: HashMap<String, String> = own.wrap_context().pairs().into_iter().collect();
        let re_encrypted = scene
            .kms_of(Name::New)
            .re_encrypt()
            .ciphertext_blob(Blob::new(own.ciphertext()))
            .set_source_encryption_context(Some(context.clone()))
            .source_key_id(scene.key(Name::East).as_str())
            .set_destination_encryption_context(Some(context))
            .destination_key_id(scene.key(Name::New).as_str())
            .send()
            .await
            .expect("re-encrypted");
        let under_new = BASE64.encode(re_encrypted.ciphertext_blob.expect("a ciphertext"));
        Self {
            plaintexts,
            original,
            older,
            other,
            sibling,
            s3ec: put_s3ec(scene, &beside("s3ec"), &data(4)).await,
            strangers,
            strangers_intermediate,
            under_new,
            place,
        }
    }

    /// Returns the list of wrapped keys of the unchanged object.
    pub(crate) fn keys(&self) -> KeyList {
        keys_of(&self.original)
    }

    /// Returns the wrapped key of a stranger's data key under `name`, for this object.
    pub(crate) fn strangers(&self, scene: &Scene, name: Name) -> Key {
        named(scene, name, &self.strangers[&name])
    }

    /// Returns the wrapped key of a stranger's intermediate key under `name`, for this id.
    pub(crate) fn strangers_intermediate(&self, scene: &Scene, name: Name) -> Key {
        named(scene, name, &self.strangers_intermediate[&name])
    }

    /// Returns a stored object's sidecar with these wrapped keys.
    pub(crate) fn sidecar(object: &Stored, keys: &KeyList) -> Bytes {
        let object = object.with("sealwax-keys", keys.to_json());
        let names: BTreeMap<_, _> =
            object.metadata.iter().filter(|(name, _)| metadata::is_reserved(name)).collect();
        serde_json::to_vec(&names).expect("JSON").into()
    }
}

/// Returns a wrapped key under `name`.
pub(crate) fn named(scene: &Scene, name: Name, ciphertext: &str) -> Key {
    ["aws-kms".to_owned(), scene.key(name).as_str().to_owned(), ciphertext.to_owned()]
}

/// Returns the list of wrapped keys of a stored object.
pub(crate) fn keys_of(stored: &Stored) -> KeyList {
    KeyList::parse(&stored.metadata["sealwax-keys"])
}

/// Parses the metadata of a sealed object.
pub(crate) fn header_of(stored: &Stored) -> ObjectHeader {
    ObjectHeader::parse(metadata::pairs(&stored.metadata)).expect("a sealed object")
}

async fn put(
    scene: &Scene,
    keyring: &std::sync::Arc<dyn Keyring>,
    uri: &S3Uri,
    data: &Bytes,
) -> Stored {
    let client = scene.quiet_store.client(std::sync::Arc::clone(keyring));
    let put = client.put().uri(uri).body(data.clone()).encryption_context(Scene::context());
    put.send().await.expect("put");
    Stored::fetch(client.s3(), uri).await
}

async fn put_s3ec(scene: &Scene, uri: &S3Uri, data: &Bytes) -> Stored {
    let client = scene.quiet_store.client_builder(scene.only(Name::East)).s3ec(S3ec::new()).build();
    let put = client.put().uri(uri).body(data.clone()).encryption_context(Scene::context());
    put.s3ec().send().await.expect("put");
    Stored::fetch(client.s3(), uri).await
}

async fn made_by_strangers(scene: &Scene, name: Name, binding: &WrapContext) -> String {
    let made = scene
        .kms_of(name)
        .generate_data_key()
        .key_id(scene.key(name).as_str())
        .key_spec(DataKeySpec::Aes256)
        .set_encryption_context(Some(binding.pairs().into_iter().collect()))
        .send()
        .await
        .expect("a data key");
    BASE64.encode(made.ciphertext_blob.expect("a ciphertext"))
}
