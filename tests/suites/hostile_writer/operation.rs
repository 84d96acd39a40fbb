//! Operations of the operator on the writer's object.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use sealwax_jobs::{
    audit::Audit,
    drill::BlockedRegions,
    rewrap::{Apply, JobInput},
    verify::{VerifyAll, VerifyOutcome},
};
use sealwax_object_store::v0_14::{
    SealedStore,
    object_store::{self, ObjectStoreExt as _, path::Path},
};
use sealwax_s3::{
    Error, ErrorKind, ForecastAction, Forecaster, KeyChanges, KeyStorage, ListedObject,
    MigrateOutcome, Rewrap, RewrapOutcome, S3Uri, SealedClient, VerifyDepth, WrapPolicy,
    WriteFormat, envelope::CachingKeyring,
};

use crate::{
    loot::Plaintexts,
    outcome::{Outcome, Report},
    scene::{Name, Role, Scene},
};

/// An operation, with the library calls that the command, the adapter or the function makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    Get,
    GetRange,
    /// Also each line of `ls --long`.
    Head,
    Inspect,
    CopyNear,
    CopyFar,
    /// With at least one of the keys.
    CopyAtLeastOne,
    /// Under New instead of the object's keys.
    CopyUnderNew,
    /// As `mv`: the source is deleted if the copy lacks nothing and opens.
    Move,
    Add,
    AddAndProve,
    AddToSidecar,
    Replace,
    ReplaceUnproven,
    /// Removes East.
    Remove,
    /// Adds New and removes East.
    AddAndRemove,
    Refresh,
    /// `rewrap --recursive --replace`.
    ReplaceJob,
    /// Its plan.
    Plan,
    /// The Lambda function, with New among its keys.
    Lambda,
    Reencrypt,
    Migrate,
    Audit,
    AuditKeyMaterial,
    Verify,
    VerifyFull,
    /// With West's Region alone.
    Drill,
    Shred,
    Delete,
    StoreGet,
    StoreCopy,
    StoreRename,
}

/// First byte of a range.
const RANGE_START: usize = 16_000;

impl Operation {
    /// All operations.
    pub(crate) const ALL: [Self; 32] = {
        use Operation::*;
        [
            Get,
            GetRange,
            Head,
            Inspect,
            CopyNear,
            CopyFar,
            CopyAtLeastOne,
            CopyUnderNew,
            Move,
            Add,
            AddAndProve,
            AddToSidecar,
            Replace,
            ReplaceUnproven,
            Remove,
            AddAndRemove,
            Refresh,
            ReplaceJob,
            Plan,
            Lambda,
            Reencrypt,
            Migrate,
            Audit,
            AuditKeyMaterial,
            Verify,
            VerifyFull,
            Drill,
            Shred,
            Delete,
            StoreGet,
            StoreCopy,
            StoreRename,
        ]
    };

    /// `true` if a job repeats what may pass: such roles would only make it wait.
    pub(crate) fn retries(self) -> bool {
        matches!(self, Self::ReplaceJob | Self::AuditKeyMaterial)
    }

    /// Returns the place of the copy that the operation makes, if it makes one.
    pub(crate) fn target(self, scene: &Scene) -> Option<&S3Uri> {
        match self {
            Self::CopyNear | Self::CopyAtLeastOne | Self::CopyUnderNew => Some(&scene.near),
            Self::StoreCopy | Self::StoreRename => Some(&scene.near),
            Self::CopyFar | Self::Move => Some(&scene.far),
            _ => None,
        }
    }

    /// Carries out the operation.
    pub(crate) async fn run(self, scene: &Scene, role: Role, plaintexts: &Plaintexts) -> Outcome {
        self.attempt(scene, role, plaintexts)
            .await
            .unwrap_or_else(|error| Outcome::Failed(error.kind()))
    }

    async fn attempt(
        self,
        scene: &Scene,
        role: Role,
        plaintexts: &Plaintexts,
    ) -> Result<Outcome, Error> {
        let (uri, client) = (&scene.object, scene.client(scene.reading(role)));
        let listed = ListedObject::new(uri.bucket(), uri.key());
        match self {
            Self::Get => {
                let get = client.get().uri(uri).encryption_context(Scene::context());
                let bytes = get.send().await?.bytes().await?;
                Ok(Outcome::of_plaintext(plaintexts, &bytes, 0))
            }
            Self::GetRange => {
                let get = client.get().uri(uri).encryption_context(Scene::context());
                let get = get.range(RANGE_START as u64..RANGE_START as u64 + 1000);
                let bytes = get.send().await?.bytes().await?;
                Ok(Outcome::of_plaintext(plaintexts, &bytes, RANGE_START))
            }
            Self::Head => client.head().uri(uri).send().await.map(|_| Outcome::Done),
            Self::Inspect => {
                let inspected = client.inspect().uri(uri).send().await?;
                let names =
                    inspected.keys.iter().map(|it| scene.name(it.key.wrapping_key())).collect();
                Ok(listed_keys(names, inspected.problem.as_ref()))
            }
            Self::CopyNear
            | Self::CopyFar
            | Self::CopyAtLeastOne
            | Self::CopyUnderNew
            | Self::Move => self.copy(scene, &client).await,
            Self::Add
            | Self::AddAndProve
            | Self::AddToSidecar
            | Self::Replace
            | Self::ReplaceUnproven
            | Self::Remove
            | Self::AddAndRemove
            | Self::Refresh => {
                let output = self.changes(scene, client.rewrap().uri(uri)).send().await?;
                Ok(Outcome::Keys(Report::new(scene, output.report, output.rewrapped)))
            }
            Self::ReplaceJob => {
                let changes = KeyChanges::new().replace_keys(scene.keyring(&[Name::New]));
                let objects = JobInput::listing(stream::iter([Ok(listed)]), "one object");
                let mut job = Apply::new(client.rewrapper(changes)?).run(objects);
                Ok(of_rewrap(job.next().await.expect("one object")?.outcome))
            }
            Self::Plan => {
                let changes = KeyChanges::new().replace_keys(scene.keyring(&[Name::New]));
                let forecaster = Forecaster::new(&client.rewrapper(changes)?);
                match forecaster.forecast(&listed).await.action {
                    ForecastAction::Unchanged => Ok(Outcome::Job("unchanged")),
                    ForecastAction::Change(_) => Ok(Outcome::Job("rewrap")),
                    ForecastAction::Skip(why) => Ok(Outcome::Job(why.name())),
                    ForecastAction::Fail(error) => Err(error),
                }
            }
            Self::Lambda => {
                let reading = match role {
                    Role::Account => scene.reading(role),
                    _ => scene.keyring(&[Name::East, Name::West, Name::New]),
                };
                let changes = KeyChanges::new().add_keys(scene.keyring(&[Name::New]));
                let rewrapper = scene.client(CachingKeyring::new(reading)).rewrapper(changes)?;
                Ok(of_rewrap(rewrapper.rewrap_one(&listed).await))
            }
            Self::Reencrypt => {
                let reencrypt = client.reencrypt().uri(uri).encryption_context(Scene::context());
                let reencrypt = match scene.kind.is_s3ec() {
                    true => reencrypt,
                    false => reencrypt.keyring(scene.keyring(&[Name::East, Name::West])),
                };
                reencrypt.send().await.map(|_| Outcome::Done)
            }
            Self::Migrate => {
                let migrator = client.migrator(WriteFormat::Sealwax);
                let migrator = migrator.encryption_context(Scene::context());
                match migrator.migrate_one(&listed).await {
                    MigrateOutcome::Changed(error) | MigrateOutcome::Failed(error) => Err(error),
                    _ => Ok(Outcome::Done),
                }
            }
            Self::Audit | Self::AuditKeyMaterial => {
                let audit = Audit::new(client);
                let audit = if self == Self::Audit { audit } else { audit.key_material() };
                let mut job = audit.run(stream::iter([Ok(listed)]));
                let audited = job.next().await.expect("one object")?;
                let names = audited.keys.iter().map(|key| scene.name(&key.wrapping_key)).collect();
                Ok(listed_keys(names, audited.problem.as_ref()))
            }
            Self::Verify | Self::VerifyFull => {
                let depth =
                    if self == Self::Verify { VerifyDepth::Keys } else { VerifyDepth::Full };
                client.verify().uri(uri).depth(depth).send().await.map(|_| Outcome::Done)
            }
            Self::Drill => {
                let blocked = BlockedRegions::over(["us-east-1"], scene.wire.clone());
                let mut kms = scene.kms().clone();
                kms.config = kms.config.to_builder().http_client(blocked).build();
                let keyring = kms.keyring([scene.key(Name::West)]);
                let mut job = VerifyAll::new(scene.client(keyring)).run(stream::iter([Ok(listed)]));
                match job.next().await.expect("one object")?.outcome {
                    VerifyOutcome::Opened(_) => Ok(Outcome::Done),
                    VerifyOutcome::Shredded(error)
                    | VerifyOutcome::Unsealed(error)
                    | VerifyOutcome::Failed(error) => Err(error),
                    skipped => panic!("it was skipped: {}", skipped.name()),
                }
            }
            Self::Shred => {
                let shred = client.shred().uri(uri).confirm(uri.to_string());
                shred.send().await.map(|_| Outcome::Done)
            }
            Self::Delete => client.delete().uri(uri).send().await.map(|_| Outcome::Done),
            Self::StoreGet | Self::StoreCopy | Self::StoreRename => {
                Ok(self.by_adapter(scene, client, plaintexts).await)
            }
        }
    }

    fn changes(self, scene: &Scene, rewrap: Rewrap) -> Rewrap {
        let new = || scene.keyring(&[Name::New]);
        let east = scene.key(Name::East).as_str();
        match self {
            Self::Add => rewrap.add_keys(new()),
            Self::AddAndProve => rewrap.add_keys(new()).prove_present(),
            Self::AddToSidecar => rewrap.add_keys(new()).key_storage(KeyStorage::Sidecar),
            Self::Replace => rewrap.replace_keys(new()),
            Self::ReplaceUnproven => rewrap.replace_keys(new()).dangerous_allow_unproven(),
            Self::Remove => rewrap.remove_key(east),
            Self::AddAndRemove => rewrap.add_keys(new()).remove_key(east),
            _ => rewrap.refresh_keys(),
        }
    }

    async fn copy(self, scene: &Scene, client: &SealedClient) -> Result<Outcome, Error> {
        let target = self.target(scene).expect("a copy");
        let copy = client.copy().source_uri(&scene.object).uri(target);
        let copy = match self {
            Self::CopyAtLeastOne => copy.wrap_policy(WrapPolicy::AtLeast(1)),
            Self::CopyUnderNew => copy.keyring(Arc::new(scene.keyring(&[Name::New]))),
            _ => copy,
        };
        let output = match self {
            Self::Move => match copy.delete_source().copy().await?.delete_source().await {
                Ok(moved) => moved.copy,
                Err(error) => return Ok(Outcome::CopiedOnly(error.kind())),
            },
            _ => copy.send().await?,
        };
        Ok(Outcome::Keys(Report::new(scene, output.report, true)))
    }

    async fn by_adapter(
        self,
        scene: &Scene,
        client: SealedClient,
        plaintexts: &Plaintexts,
    ) -> Outcome {
        let store = SealedStore::new(client, scene.object.bucket());
        let store = store.require_context(Scene::context());
        let path = |uri: &S3Uri| Path::parse(uri.key()).expect("a path");
        let from = path(&scene.object);
        let result = match self {
            Self::StoreGet => match store.get(&from).await {
                Ok(object) => match object.bytes().await {
                    Ok(bytes) => return Outcome::of_plaintext(plaintexts, &bytes, 0),
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            },
            Self::StoreCopy => store.copy(&from, &path(&scene.near)).await,
            _ => store.rename(&from, &path(&scene.near)).await,
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(error) => {
                let kind = kind_of(&error);
                match error.to_string().contains("kept the source") {
                    true => Outcome::CopiedOnly(kind),
                    false => Outcome::Failed(kind),
                }
            }
        }
    }
}

/// Returns the kind of the error behind an error of the adapter.
fn kind_of(error: &object_store::Error) -> ErrorKind {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(ours) = cause.downcast_ref::<Error>() {
            return ours.kind();
        }
        source = cause.source();
    }
    panic!("no error of ours: {error:?}");
}

fn listed_keys(
    names: Option<std::collections::BTreeSet<Name>>,
    problem: Option<&Error>,
) -> Outcome {
    Outcome::Listed(names.expect("keys of the scene"), problem.map(Error::kind))
}

fn of_rewrap(outcome: RewrapOutcome) -> Outcome {
    match outcome {
        RewrapOutcome::Changed(error) | RewrapOutcome::Failed(error) => {
            Outcome::Failed(error.kind())
        }
        other => Outcome::Job(other.name()),
    }
}
