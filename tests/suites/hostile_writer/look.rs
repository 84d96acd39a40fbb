//! A fresh look at the bucket: which wrapping keys open what is stored. It uses no operation of the
//! library, only the stored bytes and KMS.

use std::{collections::HashMap, slice};

use bytes::Bytes;
use sealwax_s3::{
    S3Uri,
    envelope::{EncryptedDataKey, Keyring as _, ObjectHeader, Opener, Unwrap, metadata},
};
use sealwax_tests::Stored;

use crate::{change::Tampered, outcome::Names, scene::Scene};

/// A stored object, and the keys that open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) stored: Stored,
    sidecar: Option<Bytes>,
    /// By wrapped keys that are bound to the object's place.
    pub(crate) opens: Names,
    /// By any wrapped key.
    pub(crate) opens_anywhere: Names,
}

/// The object, and the copy that an operation may have made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) object: Option<Seen>,
    pub(crate) copy: Option<Seen>,
}

/// Looks at objects. It asks KMS once about each wrapped key.
#[derive(Default)]
pub(crate) struct Eye(HashMap<(EncryptedDataKey, [u8; 56]), bool>);

impl Eye {
    /// Looks at the scene's object, and at `copy`.
    pub(crate) async fn look(&mut self, scene: &Scene, copy: Option<&S3Uri>) -> State {
        let object = self.see(scene, &scene.object).await;
        let copy = match copy {
            Some(copy) => self.see(scene, copy).await,
            None => None,
        };
        State { object, copy }
    }

    async fn see(&mut self, scene: &Scene, uri: &S3Uri) -> Option<Seen> {
        let stored = fetch(scene, uri).await?;
        let sidecar = fetch(scene, &beside(uri, ".sealwax")).await.map(|it| it.body);
        let (mut opens, mut opens_anywhere) = (Names::new(), Names::new());
        if let Ok(header) = ObjectHeader::parse(metadata::pairs(&stored.metadata)) {
            let more =
                sidecar.as_deref().and_then(|bytes| header.parse_sidecar(bytes).ok().flatten());
            let more = more.iter().flat_map(ObjectHeader::keys);
            for key in header.keys().iter().chain(more) {
                let name = scene.name(key.wrapping_key()).expect("a key of the scene");
                if self.opens(scene, &header, key).await {
                    opens_anywhere.insert(name);
                    if key.place().is_some_and(|place| place.as_str() == Scene::place(uri)) {
                        opens.insert(name);
                    }
                }
            }
        }
        Some(Seen { stored, sidecar, opens, opens_anywhere })
    }

    /// `true` if whoever has the wrapping key of `key`, and nothing else, gets the body's data key.
    async fn opens(
        &mut self,
        scene: &Scene,
        header: &ObjectHeader,
        key: &EncryptedDataKey,
    ) -> bool {
        let known = (key.clone(), header.body_header().to_bytes());
        if let Some(opens) = self.0.get(&known) {
            return *opens;
        }
        let name = scene.name(key.wrapping_key()).expect("a key of the scene");
        let opens = match scene.only(name).unwrap(slice::from_ref(key)).await {
            Unwrap::Unwrapped(data_key) => {
                let context = header.context().body_context();
                Opener::new(&data_key, &context, header.body_header()).is_ok()
            }
            Unwrap::Failed(_) | Unwrap::NotMine => false,
        };
        self.0.insert(known, opens);
        opens
    }
}

/// Stores what the writer made of the object, and removes everything else that is there.
pub(crate) async fn plant(scene: &Scene, tampered: &Tampered, leftovers: &State) {
    let s3 = scene.quiet_store.s3();
    tampered.object.store(&s3, &scene.object).await;
    for (suffix, body, had) in [
        (
            ".sealwax",
            &tampered.sidecar,
            leftovers.object.as_ref().is_some_and(|it| it.sidecar.is_some()),
        ),
        (".instruction", &tampered.instruction_file, false),
    ] {
        let uri = beside(&scene.object, suffix);
        match body {
            Some(body) => {
                let metadata =
                    HashMap::from([("x-amz-crypto-instr-file".to_owned(), String::new())]);
                let metadata = if suffix == ".instruction" { metadata } else { HashMap::new() };
                let put =
                    s3.put_object().bucket(uri.bucket()).key(uri.key()).body(body.clone().into());
                let put = put.content_type("application/vnd.sealwax.sidecar+json");
                put.set_metadata(Some(metadata)).send().await.expect("stored");
            }
            None if had => remove(scene, &uri).await,
            None => {}
        }
    }
}

/// Removes an object.
pub(crate) async fn remove(scene: &Scene, uri: &S3Uri) {
    let s3 = scene.quiet_store.s3();
    s3.delete_object().bucket(uri.bucket()).key(uri.key()).send().await.expect("deleted");
}

/// Returns the name of a companion of an object.
pub(crate) fn beside(uri: &S3Uri, suffix: &str) -> S3Uri {
    format!("{uri}{suffix}").parse().expect("an object's name")
}

async fn fetch(scene: &Scene, uri: &S3Uri) -> Option<Stored> {
    let s3 = scene.quiet_store.s3();
    let got = s3.get_object().bucket(uri.bucket()).key(uri.key()).send().await;
    let output = match got {
        Ok(output) => output,
        Err(error) if error.as_service_error().is_some_and(|it| it.is_no_such_key()) => {
            return None;
        }
        Err(error) => panic!("{uri}: {error:?}"),
    };
    let metadata = output.metadata.unwrap_or_default();
    Some(Stored { body: output.body.collect().await.expect("its body").into_bytes(), metadata })
}
