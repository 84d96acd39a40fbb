//! Objects of the S3 Encryption Client: what a writer makes of them, and what must follow.
//!
//! They have one wrapped key, bound to the encryption context alone. V3 commits to its data key; of
//! V2 only the whole body proves the key.

use std::collections::HashMap;

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use bytes::Bytes;
use sealwax_s3::{
    ErrorKind,
    aws_sdk_kms::types::DataKeySpec,
    s3ec::{CommitmentPolicy, S3ec},
};
use sealwax_tests::{Random, Stored, plaintext};
use serde_json::Value;

use crate::{
    change::{Change, Tampered},
    look::{self, beside},
    loot::Plaintexts,
    operation::Operation,
    outcome::{Names, Outcome, Report, Version},
    scene::{Kind, Name, Role, Scene},
};

/// An object, and the file with its key if the metadata has none.
#[derive(Clone)]
struct Pair {
    object: Stored,
    file: Option<Bytes>,
}

/// Material that a writer has for changes of such an object.
pub(crate) struct S3ecLoot {
    pub(crate) plaintexts: Plaintexts,
    original: Pair,
    /// An older version: same context and length.
    older: Pair,
    /// Wrapped keys that somebody with `GenerateDataKey` made for the same context.
    strangers: HashMap<Name, String>,
}

/// Returns settings that read V3 and V2.
pub(crate) fn settings() -> S3ec {
    S3ec::new().commitment_policy(CommitmentPolicy::RequireEncryptAllowDecrypt)
}

impl S3ecLoot {
    /// Stores the operator's objects, and collects what the writer finds and makes.
    pub(crate) async fn collect(scene: &Scene) -> Self {
        let data = |more: usize| plaintext(20_000 + more).slice(more..);
        let plaintexts = Plaintexts { original: data(0), older: data(1) };
        let older = put(scene, &plaintexts.older).await;
        let original = put(scene, &plaintexts.original).await;
        let suite = if scene.kind == Kind::V2 { "AES/GCM/NoPadding" } else { "115" };
        let mut strangers = HashMap::new();
        for name in [Name::East, Name::Foreign] {
            let made = scene.kms_of(name).generate_data_key().key_id(scene.key(name).as_str());
            let made = made
                .key_spec(DataKeySpec::Aes256)
                .encryption_context("tenant", "acme")
                .encryption_context("aws:x-amz-cek-alg", suite)
                .send()
                .await
                .expect("a data key");
            strangers.insert(name, BASE64.encode(made.ciphertext_blob.expect("a ciphertext")));
        }
        Self { plaintexts, original, older, strangers }
    }

    /// Changes the object of `scene`.
    pub(crate) fn apply(&self, change: Change, kind: Kind, random: &mut Random) -> Tampered {
        let (original, older) = (&self.original, &self.older);
        let object = |object: Stored| Pair { object, file: original.file.clone() };
        let Pair { object, file } = match change {
            Change::ForeignGenuine => original.with_key(&self.strangers[&Name::Foreign]),
            Change::EastReplacedByStrangers => original.with_key(&self.strangers[&Name::East]),
            Change::EastCut => {
                let key = original.key();
                original.with_key(&key[..4 * random.below(key.len() / 4).max(1)])
            }
            Change::OlderKeysOnly => original.with_key(&older.key()),
            Change::NoKeys => original.without_key(),
            Change::OtherContext => original.edited(|_, value| {
                *value = value.replace("acme", "evil");
            }),
            Change::OlderHeader => {
                let names: &[_] =
                    if kind == Kind::V2 { &["x-amz-iv"] } else { &["x-amz-i", "x-amz-d"] };
                object(names.iter().fold(original.object.clone(), |it, name| {
                    it.with(name, &older.object.metadata[*name])
                }))
            }
            Change::OlderObject => older.clone(),
            Change::OlderBody => object(original.object.with_body(older.object.body.clone())),
            Change::BodyFlipped => {
                let mut body = original.object.body.to_vec();
                let at = random.below(body.len());
                body[at] ^= 1 << random.below(8);
                object(original.object.with_body(body))
            }
            Change::InstructionFile => {
                let file = serde_json::to_vec(&older.object.metadata).expect("JSON").into();
                Pair { file: original.file.clone().or(Some(file)), ..original.clone() }
            }
            _ => original.clone(),
        };
        Tampered { object, sidecar: None, instruction_file: file }
    }
}

impl Pair {
    /// Returns the pair with each name and value of the object's metadata, and of its file, edited.
    fn edited(&self, mut edit: impl FnMut(&str, &mut String)) -> Self {
        let mut new = self.clone();
        new.object.metadata.iter_mut().for_each(|(name, value)| edit(name, value));
        new.file = self.file.as_ref().map(|file| {
            let mut pairs: Value = serde_json::from_slice(file).expect("JSON");
            for (name, value) in pairs.as_object_mut().expect("pairs") {
                let mut text = value.as_str().expect("text").to_owned();
                edit(name, &mut text);
                *value = Value::String(text);
            }
            serde_json::to_vec(&pairs).expect("JSON").into()
        });
        new
    }

    fn key(&self) -> String {
        let mut key = String::new();
        self.edited(|name, value| {
            if is_key(name) {
                key.clone_from(value);
            }
        });
        key
    }

    fn with_key(&self, key: &str) -> Self {
        self.edited(|name, value| {
            if is_key(name) {
                key.clone_into(value);
            }
        })
    }

    fn without_key(&self) -> Self {
        let mut new = self.clone();
        new.object.metadata.retain(|name, _| !is_key(name));
        Self { file: None, ..new }
    }
}

fn is_key(name: &str) -> bool {
    ["x-amz-3", "x-amz-key-v2"].contains(&name)
}

async fn put(scene: &Scene, data: &Bytes) -> Pair {
    let policy = match scene.kind {
        Kind::V2 => CommitmentPolicy::ForbidEncryptAllowDecrypt,
        _ => CommitmentPolicy::RequireEncryptRequireDecrypt,
    };
    let client = scene.quiet_store.client_builder(scene.only(Name::East));
    let client = client.s3ec(S3ec::new().commitment_policy(policy)).build();
    let put = client.put().uri(&scene.object).body(data.clone());
    let put = put.encryption_context(Scene::context()).s3ec();
    let put = match scene.kind {
        Kind::V3File => put.instruction_file().replace_instruction_file(),
        _ => put,
    };
    put.send().await.expect("put");
    let object = Stored::fetch(client.s3(), &scene.object).await;
    let file = look::fetch(scene, &beside(&scene.object, ".instruction")).await;
    Pair { object, file: file.map(|it| it.body) }
}

/// Returns the expected outcome.
pub(crate) fn expected(operation: Operation, change: Change, role: Role, kind: Kind) -> Outcome {
    outcome(operation, change, role, kind).unwrap_or_else(Outcome::Failed)
}

fn outcome(
    operation: Operation,
    change: Change,
    role: Role,
    kind: Kind,
) -> Result<Outcome, ErrorKind> {
    let parsed = || if change == Change::NoKeys { Err(ErrorKind::Malformed) } else { Ok(()) };
    let permitted = || match role {
        Role::ReEncrypts => Err(ErrorKind::AccessDenied),
        Role::EastDown => Err(ErrorKind::Unavailable),
        Role::Throttled => Err(ErrorKind::Throttled),
        Role::Full | Role::Account => Ok(()),
    };
    // The key alone, as far as the format lets it speak.
    let key = || {
        parsed()?;
        permitted()?;
        match change {
            Change::ForeignGenuine | Change::EastCut | Change::OtherContext => {
                Err(ErrorKind::Authentication)
            }
            Change::EastReplacedByStrangers | Change::OlderKeysOnly | Change::OlderHeader
                if kind != Kind::V2 =>
            {
                Err(ErrorKind::Authentication)
            }
            _ => Ok(()),
        }
    };
    // KMS wraps the key again without showing it, where nothing could prove it or nothing has to.
    let replaced = || {
        let is_inside_kms = kind == Kind::V2 || operation == Operation::ReplaceUnproven;
        match (role, change) {
            (
                Role::ReEncrypts,
                Change::NoKeys | Change::ForeignGenuine | Change::EastCut | Change::OtherContext,
            ) => key(),
            (Role::ReEncrypts, _) if is_inside_kms => Ok(()),
            _ => key(),
        }
    };
    let whole = || {
        key()?;
        match change {
            Change::EastReplacedByStrangers
            | Change::OlderKeysOnly
            | Change::OlderHeader
            | Change::OlderBody
            | Change::BodyFlipped => Err(ErrorKind::Authentication),
            Change::OlderObject => Ok(Version::Older),
            _ => Ok(Version::Original),
        }
    };
    let read = || {
        parsed()?;
        match change {
            Change::OtherContext => Err(ErrorKind::ContextMismatch),
            _ => whole(),
        }
    };
    match operation {
        Operation::Get | Operation::StoreGet => read().map(Outcome::Plaintext),
        Operation::Verify => key().map(|()| Outcome::Done),
        Operation::VerifyFull => whole().map(|_| Outcome::Done),
        // West's Region has none of its keys.
        Operation::Drill => match role {
            Role::EastDown => parsed().and(Err(ErrorKind::Authentication)),
            _ => parsed().and(permitted()).and(Err(ErrorKind::Authentication)),
        },
        Operation::Head => parsed().map(|()| Outcome::Done),
        // What no key is named for, no report can list.
        Operation::Inspect => parsed().map(|()| Outcome::Listed(Names::new(), None)),
        Operation::Audit | Operation::AuditKeyMaterial => {
            Ok(Outcome::Listed(Names::new(), parsed().err()))
        }
        Operation::Reencrypt | Operation::Migrate => read().map(|_| Outcome::Done),
        Operation::Replace | Operation::ReplaceUnproven => {
            replaced().map(|()| Outcome::Keys(Report { stored: true, ..Report::default() }))
        }
        Operation::Refresh => {
            key().map(|()| Outcome::Keys(Report { stored: true, ..Report::default() }))
        }
        Operation::ReplaceJob => replaced().map(|()| Outcome::Job("rewrapped")),
        Operation::Plan => parsed().map(|()| Outcome::Job("rewrap")),
        Operation::Shred => Err(ErrorKind::NotSealed),
        Operation::Delete => Ok(Outcome::Done),
        Operation::GetRange
        | Operation::CopyNear
        | Operation::CopyFar
        | Operation::CopyAtLeastOne
        | Operation::CopyUnderNew
        | Operation::Move
        | Operation::Add
        | Operation::AddAndProve
        | Operation::AddToSidecar
        | Operation::Remove
        | Operation::AddAndRemove
        | Operation::Lambda
        | Operation::StoreCopy
        | Operation::StoreRename => parsed().and(Err(ErrorKind::Unsupported)),
    }
}
