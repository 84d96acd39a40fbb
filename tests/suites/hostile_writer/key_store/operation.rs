//! Operations on a key store, or by it.

use futures_util::{TryStreamExt as _, stream};
use sealwax_jobs::retire::Retire;
use sealwax_s3::{
    Error, KeyChanges, KeyProof, KeyReport, ListedObject, S3Uri, SealedClient, StoredKeyOutput,
};

use super::{
    outcome::{Outcome, Proof, Report},
    stage::{Look, Stage, Wrapped},
};
use crate::{
    outcome::Names,
    scene::{Name, Role, Scene},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Operation {
    Get,
    Verify,
    Add,
    AddAndProve,
    Replace,
    ReplaceUnproven,
    /// Removes East.
    Remove,
    Refresh,
    RefreshUnproven,
    /// Decision whether East may be deleted.
    Retire,
    CopyNear,
    CopyFar,
    Shred,
}

impl Operation {
    /// All operations.
    pub(super) const ALL: [Self; 13] = {
        use Operation::*;
        [
            Get,
            Verify,
            Add,
            AddAndProve,
            Replace,
            ReplaceUnproven,
            Remove,
            Refresh,
            RefreshUnproven,
            Retire,
            CopyNear,
            CopyFar,
            Shred,
        ]
    };

    /// `false` for what is not a subject of this suite: a job that waits while it is throttled, a
    /// role that does not matter, and copies of objects with keys of their own.
    pub(super) fn is_for(self, role: Role, wrapped: Wrapped) -> bool {
        match self {
            Self::Retire => role != Role::Throttled,
            Self::Shred => role == Role::Full,
            Self::CopyNear | Self::CopyFar => wrapped == Wrapped::Detached,
            _ => true,
        }
    }

    /// Returns the place of the copy that the operation makes, if it makes one.
    pub(super) fn target(self, stage: &Stage) -> Option<S3Uri> {
        match self {
            Self::CopyNear => Some(stage.scene.near.clone()),
            Self::CopyFar => Some(stage.scene.far.clone()),
            _ => None,
        }
    }

    /// Carries out the operation.
    pub(super) async fn run(self, stage: &Stage, role: Role) -> Outcome {
        self.attempt(stage, role).await.unwrap_or_else(|error| Outcome::Failed(error.kind()))
    }

    async fn attempt(self, stage: &Stage, role: Role) -> Result<Outcome, Error> {
        let Stage { scene, .. } = stage;
        let (uri, client) = (&scene.object, stage.client(scene.reading(role)));
        match self {
            Self::Get => {
                let get = client.get().uri(uri).encryption_context(Scene::context());
                let bytes = get.send().await?.bytes().await?;
                assert_eq!(bytes, stage.plaintext, "unverified bytes were returned");
                Ok(Outcome::Plaintext)
            }
            Self::Retire => {
                let client = match role {
                    Role::Account => client,
                    _ => stage.client(scene.keyring(&[Name::West, Name::New])),
                };
                let retire = Retire::new(client, scene.key(Name::East).as_str());
                let versions = stream::iter([Ok(ListedObject::new(uri.bucket(), uri.key()))]);
                let mut job = retire.clone().run(versions);
                let version = job.try_next().await?.expect("one version");
                assert!(job.try_next().await?.is_none());
                let confirmed = retire.confirm(job.summary()).await?;
                Ok(Outcome::Retired(version.verdict.name(), confirmed.is_safe()))
            }
            Self::CopyNear | Self::CopyFar => {
                let target = self.target(stage).expect("a copy");
                let copied = client.copy().source_uri(uri).uri(&target).send().await?;
                let KeyReport { disproved, missing, .. } = copied.report;
                let names = |arns: Vec<String>| {
                    arns.iter().map(|arn| scene.name(arn).expect("a key of the scene")).collect()
                };
                Ok(Outcome::Copied { disproved: names(disproved), missing: names(missing) })
            }
            _ => self.on_the_key_store(stage, &client).await,
        }
    }

    async fn on_the_key_store(
        self,
        stage: &Stage,
        client: &SealedClient,
    ) -> Result<Outcome, Error> {
        let store = client.stored_keys(stage.scene.object.bucket())?;
        let Some(key) = store.list_below(&stage.folder()).next_key().await? else {
            return Ok(Outcome::Gone);
        };
        let scene = &stage.scene;
        let new = || scene.keyring(&[Name::New]);
        let changes = match self {
            Self::Verify => {
                let proof = |proof: KeyProof| match proof {
                    KeyProof::Proven { .. } => Proof::Proven,
                    KeyProof::Disproved(_) => Proof::Disproved,
                    KeyProof::Unknown(error) => Proof::Unknown(error.kind()),
                    _ => Proof::NotAsked,
                };
                let name = |arn: &str| scene.name(arn).expect("a key of the scene");
                let proven = store.prove(&key).await?.into_iter();
                let proofs = proven.map(|it| (name(it.form.wrapping_key()), proof(it.proof)));
                return Ok(Outcome::Proofs(proofs.collect()));
            }
            Self::Shred => return store.shred(&key).await.map(Outcome::Shredded),
            Self::Add => KeyChanges::new().add_keys(new()),
            Self::AddAndProve => KeyChanges::new().add_keys(new()).prove_present(),
            Self::Replace => KeyChanges::new().replace_keys(new()),
            Self::ReplaceUnproven => {
                KeyChanges::new().replace_keys(new()).dangerous_allow_unproven()
            }
            Self::Remove => KeyChanges::new().remove_key(scene.key(Name::East).as_str()),
            Self::RefreshUnproven => KeyChanges::new().refresh_keys().dangerous_allow_unproven(),
            _ => KeyChanges::new().refresh_keys(),
        };
        let StoredKeyOutput { report, removed, refreshed, .. } =
            store.rewrap(&key, &changes).await?;
        let names = |arns: Vec<String>| -> Names {
            arns.iter().map(|arn| scene.name(arn).expect("a key of the scene")).collect()
        };
        let named = |arns: Vec<String>| arns.iter().map(|arn| scene.name(arn)).collect();
        Ok(Outcome::Keys(Report {
            added: names(report.added),
            claimed: names(report.claimed),
            proven: names(report.proven),
            disproved: names(report.disproved),
            kept: named(report.kept),
            removed: named(removed),
            refreshed: names(refreshed),
            opens: report.opens.is_proven(),
        }))
    }

    /// Asserts the invariants, whatever the table says.
    pub(super) fn check(self, outcome: &Outcome, before: &Look, after: &Look) {
        assert_eq!(after.object, before.object, "the object was touched");
        assert_eq!(after.others, before.others, "key objects of other ids were touched");
        let listed: Names = match self {
            Self::Add | Self::AddAndProve | Self::Replace | Self::ReplaceUnproven => {
                [Name::New].into()
            }
            _ => Names::new(),
        };
        let known: Names = before.opens.union(&listed).copied().collect();
        for opens in [Some(&after.opens), after.copy.as_ref()].into_iter().flatten() {
            assert!(opens.is_subset(&known), "{opens:?} of {known:?}");
        }
        let is_changed = after.key_objects != before.key_objects;
        let had = &before.opens;
        match self {
            Self::Get | Self::Verify | Self::Retire | Self::CopyNear | Self::CopyFar => {
                assert!(!is_changed, "a reader changed key objects");
                if let (Outcome::Copied { disproved, missing }, Some(copy)) = (outcome, &after.copy)
                {
                    assert!(missing.is_empty() && disproved.is_disjoint(had), "{outcome:?}");
                    assert!(!copy.is_empty(), "the copy does not open");
                }
                if let Outcome::Retired(_, true) = outcome {
                    let others = had.iter().any(|name| *name != Name::East);
                    assert!(others, "safe to delete, and nothing else opens it: {had:?}");
                }
            }
            Self::Shred => assert!(after.opens.is_empty() || !before.is_detached, "shredded"),
            // The operator allowed it.
            Self::ReplaceUnproven => {}
            Self::Replace | Self::Remove => {
                assert!(had.is_empty() || !after.opens.is_empty(), "removed and unreadable");
                if let Outcome::Keys(report) = outcome {
                    let lost = had.difference(&after.opens);
                    let told = lost.clone().all(|name| report.removed.contains(&Some(*name)));
                    assert!(told, "lost in silence: {had:?}, now {:?}", after.opens);
                }
            }
            Self::Add | Self::AddAndProve | Self::Refresh | Self::RefreshUnproven => {
                assert!(had.is_subset(&after.opens), "lost: {had:?}, now {:?}", after.opens);
            }
        }
        if let Outcome::Keys(report) = outcome {
            assert!(report.proven.is_subset(&after.opens), "proven, and does not open");
            let news = !report.added.is_empty() && report.opens && self != Self::ReplaceUnproven;
            assert!(!news || after.opens.contains(&Name::New), "new, proven, and does not open");
        }
    }
}
