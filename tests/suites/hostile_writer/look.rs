//! A fresh look at the bucket: which wrapping keys open what is stored. It uses the stored bytes
//! and KMS, and no operation of the library but reads of the S3 Encryption Client's objects.

use std::{collections::HashMap, slice};

use bytes::Bytes;
use sealwax_s3::{
    S3Uri,
    envelope::{EncryptedDataKey, Keyring as _, ObjectHeader, Opener, Unwrap, metadata},
};
use sealwax_tests::{Stored, read};

use crate::{
    change::Tampered,
    outcome::Names,
    s3ec,
    scene::{Name, Scene},
};

/// A stored object, and the keys that open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) stored: Stored,
    /// Its sidecar or its instruction file.
    companion: Option<Bytes>,
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
pub(crate) struct Eye {
    keys: HashMap<(EncryptedDataKey, [u8; 56]), bool>,
    /// Objects of the S3 Encryption Client, with their files.
    s3ec: Vec<((Stored, Option<Bytes>), Names)>,
}

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
        let companion = fetch(scene, &beside(uri, scene.kind.companion())).await;
        let companion = companion.map(|it| it.body);
        let (mut opens, mut opens_anywhere) = (Names::new(), Names::new());
        if let Ok(header) = ObjectHeader::parse(metadata::pairs(&stored.metadata)) {
            let sidecar = companion.as_deref().filter(|_| !scene.kind.is_s3ec());
            let more = sidecar.and_then(|bytes| header.parse_sidecar(bytes).ok().flatten());
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
        if scene.kind.is_s3ec() && opens.is_empty() {
            opens = self.opens_s3ec(scene, uri, (&stored, &companion)).await;
            opens_anywhere.clone_from(&opens);
        }
        Some(Seen { stored, companion, opens, opens_anywhere })
    }

    /// `true` if a holder of the wrapping key of `key`, and of nothing else, gets the body's data key.
    async fn opens(
        &mut self,
        scene: &Scene,
        header: &ObjectHeader,
        key: &EncryptedDataKey,
    ) -> bool {
        let known = (key.clone(), header.body_header().to_bytes());
        if let Some(opens) = self.keys.get(&known) {
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
        self.keys.insert(known, opens);
        opens
    }

    /// Returns the keys that open an object of the S3 Encryption Client: only a read can tell.
    async fn opens_s3ec(
        &mut self,
        scene: &Scene,
        uri: &S3Uri,
        (stored, file): (&Stored, &Option<Bytes>),
    ) -> Names {
        let known = self.s3ec.iter().find(|((a, b), _)| (a, b) == (stored, file));
        if let Some((_, opens)) = known {
            return opens.clone();
        }
        let mut opens = Names::new();
        for name in [Name::East, Name::New, Name::Foreign] {
            let client = scene.quiet_store.client_builder(scene.only(name));
            let client = client.s3ec(s3ec::settings().any_encryption_context(true)).build();
            if read(&client, uri).await.is_ok() {
                opens.insert(name);
            }
        }
        self.s3ec.push(((stored.clone(), file.clone()), opens.clone()));
        opens
    }
}

/// Stores what the writer made of the object, without the companions of an earlier combination.
pub(crate) async fn plant(scene: &Scene, tampered: &Tampered, is_used: bool) {
    let s3 = scene.quiet_store.s3();
    tampered.object.store(&s3, &scene.object).await;
    let instruction = HashMap::from([("x-amz-crypto-instr-file".to_owned(), String::new())]);
    for (suffix, body, metadata) in [
        (".sealwax", &tampered.sidecar, HashMap::new()),
        (".instruction", &tampered.instruction_file, instruction),
    ] {
        let uri = beside(&scene.object, suffix);
        match body {
            Some(body) => {
                let put = s3.put_object().bucket(uri.bucket()).key(uri.key());
                let put = put.body(body.clone().into()).set_metadata(Some(metadata));
                let put = put.content_type("application/vnd.sealwax.sidecar+json");
                put.send().await.expect("stored");
            }
            None if is_used => remove(scene, &uri).await,
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

/// Returns an object, if there is one.
pub(crate) async fn fetch(scene: &Scene, uri: &S3Uri) -> Option<Stored> {
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
