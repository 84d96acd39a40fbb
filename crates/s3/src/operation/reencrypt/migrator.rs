//! Re-encryption of many objects in one format.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;
use sealwax_envelope::{EncryptionContext, Keyring, WrapContext, s3ec::ContentSuite};
use serde::{Deserialize, Serialize};

use super::{OPERATION, WriteFormat, resealing::Resealing};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    object::ObjectInfo,
    object_state::ObjectState,
    operation::{
        Handle,
        listed::{Attempt, Listed, Processed},
        skipped::Skipped,
    },
    store::{list::ListedObject, snapshot::Snapshot},
    vault::object_kind::ObjectKind,
};

/// Re-encrypts any number of objects in one format, one at a time. Cloning is cheap.
///
/// Objects that have the format already stay as they are. Unlike [`Reencrypt`](crate::Reencrypt), it
/// skips objects that are not eligible, and tries again if another writer changes the object
/// meanwhile. The crate `sealwax-jobs` runs it over whole listings.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) {
/// use sealwax_s3::{ListedObject, MigrateOutcome, WriteFormat};
///
/// let migrator = client.migrator(WriteFormat::Sealwax);
/// let outcome = migrator.migrate_one(&ListedObject::new("invoices", "by/java/0001.pdf")).await;
/// if let MigrateOutcome::Failed(error) = outcome {
///     eprintln!("{error}");
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Migrator(pub(super) Arc<Resealing>);

/// Result of the migration of one object. Exhaustive: summaries count every outcome.
#[derive(Debug)]
pub enum MigrateOutcome {
    /// The object was stored in the wanted format.
    Reencrypted {
        /// Length of its plaintext in bytes.
        plaintext_len: u64,
        /// Its new version id, in a versioned bucket.
        version_id: Option<String>,
    },
    /// The object already had the wanted format.
    Unchanged,
    /// Skipped: not eligible. An object that no client encrypted is a failure instead.
    Skipped(Skipped),
    /// Failed: other writers changed the object during every attempt, and their last change stands.
    Changed(Error),
    /// The migration failed. The object is unchanged.
    Failed(Error),
}

/// A migration by names. Field names are stable JSON output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Migration {
    /// Format to write.
    pub to: MigrationFormat,
    /// Names of the new wrapping keys, as far as they have names. AWS KMS keys are named by their
    /// ARNs.
    pub under: Vec<String>,
    /// Pairs that the encryption context of each object must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, String>,
}

/// Format of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MigrationFormat {
    /// Sealwax's own format.
    Sealwax,
    /// V2 of the Amazon S3 Encryption Client.
    S3ecV2,
    /// V3 of the Amazon S3 Encryption Client.
    S3ecV3,
}

impl Migrator {
    pub(crate) fn new(handle: Handle, to: WriteFormat) -> Self {
        Self(Arc::new(Resealing { to: Some(to), ..Resealing::new(handle) }))
    }

    /// Requires these pairs in the encryption context of each object, as a reader would. A migrated
    /// object is genuine whatever the old one was.
    #[must_use]
    pub fn encryption_context(self, context: EncryptionContext) -> Self {
        Self(Arc::new(Resealing { context, ..Resealing::clone(&self.0) }))
    }

    /// Wraps the new data keys under the wrapping keys of `keyring` instead of the client's.
    #[must_use]
    pub fn keyring(self, keyring: impl Keyring + 'static) -> Self {
        let keyring = Some(Arc::new(keyring) as Arc<dyn Keyring>);
        Self(Arc::new(Resealing { keyring, ..Resealing::clone(&self.0) }))
    }

    /// Returns the SDK's client.
    #[must_use]
    pub fn s3(&self) -> &aws_sdk_s3::Client {
        self.0.handle.store.s3()
    }

    /// Returns the migration by names.
    #[must_use]
    pub fn names(&self) -> Migration {
        let vault = &self.0.handle.vault;
        let keyring = self.0.keyring.as_ref().unwrap_or_else(|| vault.keyring());
        let to = match (self.0.to, vault.s3ec().policy().suite()) {
            (Some(WriteFormat::S3ec), ContentSuite::AesGcmCommitKey) => MigrationFormat::S3ecV3,
            (Some(WriteFormat::S3ec), _) => MigrationFormat::S3ecV2,
            _ => MigrationFormat::Sealwax,
        };
        let under = match to {
            MigrationFormat::Sealwax => {
                let keys = keyring.expected_keys(&WrapContext::for_names());
                keys.iter().map(|key| key.wrapping_key().to_owned()).collect()
            }
            _ => {
                let given = self.0.keyring.as_ref().and_then(|keyring| keyring.s3ec());
                let keyring = given.or_else(|| vault.s3ec_keyrings().next());
                keyring.and_then(|keyring| keyring.wrapping_key()).into_iter().collect()
            }
        };
        let pairs = self.0.context.iter();
        let context = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Migration { to, under, context }
    }

    /// Migrates an object unless it already has the wanted format.
    ///
    /// If another writer changes the object meanwhile, it is read again, up to three times. Only the
    /// latest version can be migrated.
    pub async fn migrate_one(&self, object: &ListedObject) -> MigrateOutcome {
        let migrated = self.migrate_planned(object, None, &|_| false).await;
        migrated.expect("no state counts as done").outcome
    }

    /// Migrates an object as [`Migrator::migrate_one`] does, and reports whether it changed.
    ///
    /// A change is one since the state `planned`, if there is a plan, or during the migration. Returns
    /// `None` if the object is in a state that `is_done` accepts, after one `HeadObject`.
    pub async fn migrate_planned(
        &self,
        object: &ListedObject,
        planned: Option<&ObjectState>,
        is_done: &(dyn Fn(&ObjectState) -> bool + Send + Sync),
    ) -> Option<Processed<MigrateOutcome>> {
        let listed = match Listed::new(OPERATION, &self.0.handle, object) {
            Ok(listed) => listed,
            Err(error) => return Some(Processed::without_state(MigrateOutcome::Failed(error))),
        };
        // Boxed, for the compiler gives up on futures that are nested too deeply.
        let work = |snapshot| Box::pin(self.migrate(listed.target(), snapshot)) as BoxFuture<'_, _>;
        let processed = listed.process(planned, is_done, work).await?;
        let went_along = listed.target().key.ends_with(self.0.handle.vault.s3ec().file_suffix());
        Some(processed.map(|attempt| match attempt {
            Attempt::Done(outcome) => outcome,
            // Its object took it along.
            Attempt::Skipped(Skipped::Gone) if went_along => {
                MigrateOutcome::Skipped(Skipped::Companion)
            }
            Attempt::Skipped(Skipped::NotSealed) => {
                MigrateOutcome::Failed(not_sealed(listed.target()))
            }
            Attempt::Skipped(why) => MigrateOutcome::Skipped(why),
            Attempt::Changed(error) => MigrateOutcome::Changed(error),
            Attempt::Failed(error) => MigrateOutcome::Failed(error),
        }))
    }

    async fn migrate(
        &self,
        target: &ObjectRef,
        snapshot: Snapshot,
    ) -> Result<(MigrateOutcome, Option<ObjectState>), Error> {
        let info = self.info(target, &snapshot).await?;
        if self.is_there(&info) {
            return Ok((MigrateOutcome::Unchanged, ObjectState::of_body(snapshot.head.e_tag())));
        }
        let output = self.0.reseal(target, &snapshot).await?;
        let state = ObjectState::of_body(output.e_tag.as_deref());
        let (plaintext_len, version_id) = (output.plaintext_len, output.version_id);
        Ok((MigrateOutcome::Reencrypted { plaintext_len, version_id }, state))
    }

    /// Reads the format of the object, and returns its properties.
    ///
    /// # Errors
    /// [`ErrorKind::NotSealed`] also for a companion or a folder marker that the client would pass
    /// through.
    pub(super) async fn info(
        &self,
        target: &ObjectRef,
        snapshot: &Snapshot,
    ) -> Result<ObjectInfo, Error> {
        let Handle { store, vault, .. } = &self.0.handle;
        let format = vault.format_of(store, target, snapshot.head.metadata()).await?;
        let info = ObjectInfo::of_head(target, &snapshot.head, format)?;
        if matches!(info.format(), ObjectFormat::Unencrypted) {
            let kind = Box::pin(vault.kind(store, target, None, &snapshot.head)).await?;
            if kind.is_companion() || kind == ObjectKind::FolderMarker {
                return Err(not_sealed(target));
            }
        }
        Ok(info)
    }

    /// `true` if the object already has the wanted format.
    pub(super) fn is_there(&self, info: &ObjectInfo) -> bool {
        match info.format() {
            ObjectFormat::Sealwax(_) => self.0.to == Some(WriteFormat::Sealwax),
            ObjectFormat::S3ec(envelope) => {
                let suite = self.0.handle.vault.s3ec().policy().suite();
                self.0.to == Some(WriteFormat::S3ec) && envelope.content().suite() == suite
            }
            ObjectFormat::Unencrypted => false,
        }
    }
}

pub(super) fn not_sealed(target: &ObjectRef) -> Error {
    target.error(ErrorKind::NotSealed, "the object is not sealed: no client encrypted it")
}

impl MigrateOutcome {
    /// Returns the failure, if any.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Changed(error) | Self::Failed(error) => Some(error),
            Self::Reencrypted { .. } | Self::Unchanged | Self::Skipped(_) => None,
        }
    }

    /// Returns the name in reports: `reencrypted`, `unchanged`, `changed`, `failed` or a reason of
    /// [`Skipped`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reencrypted { .. } => "reencrypted",
            Self::Unchanged => "unchanged",
            Self::Skipped(why) => why.name(),
            Self::Changed(_) => "changed",
            Self::Failed(_) => "failed",
        }
    }
}
