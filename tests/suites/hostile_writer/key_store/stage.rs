//! The stage of a combination: an object under an intermediate key, and its key store.

use std::collections::{BTreeMap, HashMap};

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD as BASE64};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use sealwax_s3::{
    KeyStorePolicy, KmsKeyArn, ListPages, S3Uri, SealedClient,
    aws_sdk_kms::{primitives::Blob, types::DataKeySpec},
    envelope::{
        CacheLimits, CachingKeyring, EncryptedDataKey, EncryptionContext, KeyObject, KeyObjectName,
        Keyring, ObjectHeader, Opener, Unwrap, WrappedForms,
    },
};
use sealwax_tests::{Stored, plaintext, unique};

use super::{
    attack::{Planted, edited},
    operation::Operation,
};
use crate::{
    look,
    loot::header_of,
    outcome::Names,
    scene::{Kind, Name, Role, Scene},
};

/// Storage of the wrapped forms of the intermediate key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Wrapped {
    /// In the key store, and in the object.
    Attached,
    /// In the key store alone.
    Detached,
}

impl Wrapped {
    pub(super) const ALL: [Self; 2] = [Self::Attached, Self::Detached];
}

pub(super) struct Stage {
    pub(super) scene: Scene,
    pub(super) plaintext: Bytes,
    policy: KeyStorePolicy,
    name: KeyObjectName,
    /// Contents of the genuine key objects under East and West.
    genuine: BTreeMap<Name, String>,
    older_east: String,
    under_new: String,
    /// The key object under East of another id, and of another context.
    other_id: String,
    other_context: String,
    strangers: HashMap<Name, String>,
    opened: HashMap<(EncryptedDataKey, [u8; 56]), bool>,
}

/// Stored objects, and the keys that open them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) object: Stored,
    pub(super) is_detached: bool,
    /// Wrapping keys that open the object, by its own keys or by key objects.
    pub(super) opens: Names,
    /// The same of the copy, if there is one.
    pub(super) copy: Option<Names>,
    /// Key objects of the intermediate key, with their entity tags.
    pub(super) key_objects: BTreeMap<String, String>,
    /// Key objects of other ids.
    pub(super) others: BTreeMap<String, String>,
}

impl Stage {
    pub(super) async fn new(wrapped: Wrapped, foreign: &KmsKeyArn) -> Self {
        let scene = Scene::new(Kind::Shared, foreign).await;
        let policy = KeyStorePolicy::with_prefix(unique("keys"));
        let plaintext = plaintext(20_000);
        let put = async |uri: &S3Uri, tenant: &str| {
            let keyring = scene.quiet_kms.keyring([scene.key(Name::East), scene.key(Name::West)]);
            let limits = CacheLimits::new().with_scope_folders(1);
            let keyring = CachingKeyring::with_limits(keyring, limits);
            let forms = match wrapped {
                Wrapped::Attached => WrappedForms::InObjects,
                Wrapped::Detached => WrappedForms::Detached,
            };
            let client = scene.quiet_store.client_builder(keyring.with_wrapped_forms(forms));
            let client = client.key_store(policy.clone()).build();
            let context =
                EncryptionContext::try_from_iter([("tenant", tenant)]).expect("a context");
            let put = client.put().uri(uri).body(plaintext.clone());
            put.encryption_context(context).send().await.expect("put").header
        };
        let header = put(&scene.object, "acme").await;
        let beside = |name: &str| format!("{}-{name}", scene.object).parse().expect("a name");
        let others = [put(&beside("id"), "acme").await, put(&beside("context"), "evil").await];
        let east = scene.key(Name::East).as_str();
        let [name, other_id, other_context] = [&header, &others[0], &others[1]]
            .map(|header| header.slots()[0].key_object_name("aws-kms", east));
        let read = async |name: &KeyObjectName| {
            let key = format!("{}{name}", policy.prefix().expect("a key store"));
            let uri = S3Uri::new(scene.object.bucket(), key).expect("a name");
            let stored = look::fetch(&scene, &uri).await.expect("a key object");
            String::from_utf8(stored.body.to_vec()).expect("text")
        };
        let older_east = read(&name).await;
        let west = read(&name.under("aws-kms", scene.key(Name::West).as_str())).await;
        let form = KeyObject::parse(older_east.as_bytes()).expect("a key object");
        let context: HashMap<String, String> =
            form.form().wrap_context().pairs().into_iter().collect();
        let re_encrypted = async |to: Name| {
            let re_encrypt = scene.kms_of(Name::East).re_encrypt();
            let answer = re_encrypt
                .ciphertext_blob(Blob::new(form.form().ciphertext()))
                .set_source_encryption_context(Some(context.clone()))
                .source_key_id(east)
                .set_destination_encryption_context(Some(context.clone()))
                .destination_key_id(scene.key(to).as_str())
                .send()
                .await
                .expect("re-encrypted");
            let ciphertext = BASE64.encode(answer.ciphertext_blob.expect("a ciphertext"));
            edited(&older_east, |json| {
                json["ciphertext"] = ciphertext.into();
                json["wrapping-key"] = scene.key(to).as_str().into();
            })
        };
        let mut strangers = HashMap::new();
        for name in Name::ALL {
            let made = scene.kms_of(name).generate_data_key().key_id(scene.key(name).as_str());
            let made = made.key_spec(DataKeySpec::Aes256);
            let made = made.set_encryption_context(Some(context.clone())).send().await;
            let made = made.expect("a data key").ciphertext_blob.expect("a ciphertext");
            strangers.insert(name, BASE64.encode(made));
        }
        let genuine = [(Name::East, re_encrypted(Name::East).await), (Name::West, west)].into();
        let (under_new, other_id, other_context) =
            (re_encrypted(Name::New).await, read(&other_id).await, read(&other_context).await);
        Self {
            plaintext,
            policy,
            name,
            genuine,
            older_east,
            under_new,
            other_id,
            other_context,
            strangers,
            opened: HashMap::new(),
            scene,
        }
    }

    pub(super) fn genuine(&self, name: Name) -> &str {
        &self.genuine[&name]
    }

    /// Returns a genuine key object with another wrapping key, for another ciphertext.
    pub(super) fn named(&self, name: Name) -> String {
        let arn = self.scene.key(name).as_str();
        edited(&self.older_east, |json| json["wrapping-key"] = arn.into())
    }

    pub(super) fn older_east(&self) -> &str {
        &self.older_east
    }

    pub(super) fn under_new(&self) -> &str {
        &self.under_new
    }

    pub(super) fn other_id(&self) -> &str {
        &self.other_id
    }

    pub(super) fn other_context(&self) -> &str {
        &self.other_context
    }

    /// Returns the ciphertext of a stranger's key, for the binding of the intermediate key.
    pub(super) fn strangers(&self, name: Name) -> &str {
        &self.strangers[&name]
    }

    fn prefix(&self) -> &str {
        self.policy.prefix().expect("a key store")
    }

    /// Returns the folder of the intermediate key.
    pub(super) fn folder(&self) -> String {
        self.name.folder()
    }

    fn name_of(&self, name: Name) -> KeyObjectName {
        self.name.under("aws-kms", self.scene.key(name).as_str())
    }

    /// Returns the wrapping keys in the order in which a listing has their key objects.
    pub(super) fn order(&self) -> Vec<Name> {
        let mut order = Name::ALL.to_vec();
        order.sort_by_key(|name| self.name_of(*name).to_string());
        order
    }

    /// Returns the operator's client with this keyring.
    pub(super) fn client(&self, keyring: impl Keyring + 'static) -> SealedClient {
        self.scene.client_builder(keyring).key_store(self.policy.clone()).build()
    }

    /// Stores the key objects as the writer leaves them, without those of an earlier combination.
    pub(super) async fn plant(&self, planted: &Planted) {
        let (s3, bucket) = (self.scene.quiet_store.s3(), self.scene.object.bucket());
        let mut wanted: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (name, content) in &planted.by_name {
            if let Some(content) = content {
                wanted.insert(format!("{}{}", self.prefix(), self.name_of(*name)), content.clone());
            }
        }
        if planted.is_flooded {
            let first = Name::ALL.map(|name| self.name_of(name).to_string()).into_iter().min();
            let first = first.expect("a name");
            let others = (0..).map(|n| self.name.under("aws-kms", &format!("planted {n}")));
            let before = others.map(|name| name.to_string()).filter(|name| *name < first).take(64);
            wanted.extend(before.map(|name| (format!("{}{name}", self.prefix()), b"{}".to_vec())));
        }
        let (stored, _) = self.listed().await;
        for key in stored.keys().filter(|key| !wanted.contains_key(*key)) {
            s3.delete_object().bucket(bucket).key(key).send().await.expect("deleted");
        }
        for (key, content) in wanted {
            // Those of a flood are all alike.
            if content != b"{}" || !stored.contains_key(&key) {
                let put = s3.put_object().bucket(bucket).key(key).body(content.into());
                put.send().await.expect("stored");
            }
        }
    }

    /// Lists the key objects of the intermediate key, and all others, with their entity tags.
    async fn listed(&self) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let (s3, bucket) = (self.scene.quiet_store.s3(), self.scene.object.bucket());
        let listed = ListPages::objects(&s3, bucket, self.prefix()).into_stream();
        let listed: Vec<_> = listed.try_collect().await.expect("a listing");
        let folder = format!("{}{}", self.prefix(), self.folder());
        let tagged = listed.into_iter().map(|it| (it.key, it.e_tag.expect("an entity tag")));
        tagged.partition(|(key, _)| key.starts_with(&folder))
    }

    /// Looks at the bucket.
    pub(super) async fn look(&mut self, copy: Option<S3Uri>) -> Look {
        let (key_objects, others) = self.listed().await;
        let mut forms = BTreeMap::new();
        for name in Name::ALL {
            let key = format!("{}{}", self.prefix(), self.name_of(name));
            if key_objects.contains_key(&key) {
                let uri = S3Uri::new(self.scene.object.bucket(), key).expect("a name");
                let content = look::fetch(&self.scene, &uri).await.expect("listed").body;
                forms.extend(
                    KeyObject::parse_named(&self.name_of(name), &content).map(|it| (name, it)),
                );
            }
        }
        let object = look::fetch(&self.scene, &self.scene.object).await.expect("the object");
        let header = header_of(&object);
        let opens = self.opening(&header, &forms).await;
        let copy = match copy {
            Some(uri) => match look::fetch(&self.scene, &uri).await {
                Some(copy) => Some(self.opening(&header_of(&copy), &forms).await),
                None => None,
            },
            None => None,
        };
        let is_detached = header.keys().is_empty();
        Look { object, is_detached, opens, copy, key_objects, others }
    }

    /// Returns the wrapping keys that open the body of this header: each alone, as a reader without
    /// any other would find it.
    async fn opening(&mut self, header: &ObjectHeader, forms: &BTreeMap<Name, KeyObject>) -> Names {
        let mut opens = Names::new();
        for name in Name::ALL {
            let form = forms.get(&name);
            let slots = header.slots();
            let stored = slots.iter().filter_map(|slot| slot.with_form(form?.form()));
            let arn = self.scene.key(name).as_str();
            let own = header.keys().iter().filter(|key| key.wrapping_key() == arn).cloned();
            let keys: Vec<_> = own.chain(stored).collect();
            for key in keys {
                if self.is_opened_by(name, header, key).await {
                    opens.insert(name);
                }
            }
        }
        opens
    }

    async fn is_opened_by(
        &mut self,
        name: Name,
        header: &ObjectHeader,
        key: EncryptedDataKey,
    ) -> bool {
        let known = (key, header.body_header().to_bytes());
        if let Some(opens) = self.opened.get(&known) {
            return *opens;
        }
        let opens = match self.scene.only(name).unwrap(std::slice::from_ref(&known.0)).await {
            Unwrap::Unwrapped(data_key) => {
                let context = header.context().body_context();
                Opener::new(&data_key, &context, header.body_header()).is_ok()
            }
            Unwrap::Failed(_) | Unwrap::NotMine => false,
        };
        self.opened.insert(known, opens);
        opens
    }

    pub(super) async fn remove_copy(&self, copy: Option<S3Uri>) {
        if let Some(copy) = copy {
            look::remove(&self.scene, &copy).await;
        }
    }

    /// Asserts that KMS was called only as the operation and the role allow: with keys that the
    /// operator reads with or names, and under none but New and, for a copy, the object's own.
    pub(super) fn check_kms_calls(&self, operation: Operation, role: Role) {
        let scene = &self.scene;
        let genuine = KeyObject::parse(self.older_east.as_bytes()).expect("a key object");
        let genuine = genuine.form().wrap_context().pairs();
        let may_use: Names = match role {
            Role::Account => Name::ALL.into(),
            _ => [Name::East, Name::West, Name::New].into(),
        };
        for call in scene.wire.calls().iter().filter(|call| call.service == "kms") {
            let name = |member: &str| {
                let arn = call.json[member].as_str()?;
                let name = scene.name(arn).expect("a key of the scene");
                assert!(may_use.contains(&name), "a foreign key was used: {call:?}");
                Some(name)
            };
            let (from, to, key) = (name("SourceKeyId"), name("DestinationKeyId"), name("KeyId"));
            let context = |member: &str| -> BTreeMap<String, String> {
                serde_json::from_value(call.json[member].clone()).expect("an encryption context")
            };
            let is_adding = matches!(
                operation,
                Operation::Add
                    | Operation::AddAndProve
                    | Operation::Replace
                    | Operation::ReplaceUnproven
            );
            match call.operation.as_str() {
                "Decrypt" => assert_eq!(context("EncryptionContext")["tenant"], "acme", "{call:?}"),
                // The new wrapped form has the binding of the key, whatever a key object claims.
                "Encrypt" if is_adding => {
                    assert_eq!(
                        (key, context("EncryptionContext")),
                        (Some(Name::New), genuine.clone())
                    );
                }
                "ReEncrypt" if is_adding => assert_eq!(to, Some(Name::New), "{call:?}"),
                "ReEncrypt" => {
                    let refreshes =
                        matches!(operation, Operation::Refresh | Operation::RefreshUnproven);
                    assert!(refreshes && from == to, "the key went to another one: {call:?}");
                }
                "Encrypt" if operation == Operation::CopyFar => {}
                _ => panic!("{operation:?} does not need this call: {call:?}"),
            }
        }
    }
}
