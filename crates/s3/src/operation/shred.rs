//! Removes an object's last keys, permanently.

use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
    time::SystemTime,
};

use aws_sdk_s3::{
    Client,
    operation::head_object::HeadObjectOutput,
    primitives::{DateTime, DateTimeFormat},
};
use futures_util::TryStreamExt as _;
use sealwax_envelope::{
    ObjectHeader,
    metadata::{self, FORMAT, KEYS, is_reserved},
};

use super::{Handle, object_setters};
use crate::{
    error::{Error, ErrorKind, ObjectRef, aws_failure::AwsFailure},
    format::{SHREDDED, same_format_metadata},
    store::{
        companion::Companion,
        deletion::Look,
        list::{ListPages, ListedObject},
        snapshot::{Snapshot, is_locked},
    },
    vault::sidecar,
};

/// Removes all of an object's wrapped keys, permanently. After that, no one can open the object:
/// neither its readers nor you.
///
/// S3 never changes a stored version. The newest version gets a successor with the same body and
/// attributes, but without Sealwax's metadata. Older versions keep their keys, and so do their
/// sidecars, until they are deleted ([`Shred::delete_versions`]). Replicas are separate objects:
/// shred each of them on its own.
///
/// [`ShredOutput::holders`] lists the versions that still hold a key. Sealwax does not know of
/// backups, or of copies under other names.
///
/// To make *all* objects under a KMS key unreadable in every place, schedule the deletion of that
/// key instead.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// let shred = client.shred().bucket("invoices").key("2026/0001.pdf").delete_versions();
/// println!("{} versions hold a key", shred.survey().await?.len());
/// let output = shred.confirm("s3://invoices/2026/0001.pdf").send().await?;
/// for holder in output.holders {
///     println!("version {} still holds a key", holder.version_id);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send` or `survey`"]
pub struct Shred {
    handle: Handle,
    bucket: Option<String>,
    key: Option<String>,
    confirmation: Option<String>,
    delete_versions: bool,
    replicas: Vec<(Client, String)>,
}

/// A version that holds wrapped keys: of an object, of its sidecar, or of a replica of either.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyHolder {
    /// Bucket of the version.
    pub bucket: String,
    /// Key of the object or of the sidecar.
    pub key: String,
    /// Version id; `null` if the bucket was not versioned when the version was stored.
    pub version_id: String,
    /// Entity tag, without quotes.
    pub e_tag: Option<String>,
    /// `true` if it is the newest version.
    pub is_latest: bool,
    /// `false` if the store knows no version id of it: it keeps none in this bucket.
    pub(crate) has_version_id: bool,
    /// `true` if it is a version of a sidecar.
    pub is_sidecar: bool,
    /// `true` if it is in a replica bucket.
    pub is_replica: bool,
    /// `true` if Object Lock protects it from deletion.
    pub is_locked: bool,
    /// Wrapping keys, as far as they can be read.
    pub wrapping_keys: BTreeSet<String>,
    /// Reason why it could not be deleted, if that was attempted.
    pub failure: Option<String>,
}

/// Result of a [`Shred`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShredOutput {
    /// `true` if the newest version lost its keys now; `false` if it had none.
    pub shredded: bool,
    /// Number of versions, of the object and of its sidecar, that were permanently deleted.
    pub deleted_versions: u64,
    /// Versions that still hold a key that opens the object.
    pub holders: Vec<KeyHolder>,
}

impl KeyHolder {
    /// `true` if both are the same version, even if newer versions were added.
    fn same_as(&self, other: &Self) -> bool {
        let state = |it: &Self| {
            (it.bucket.clone(), it.key.clone(), it.version_id.clone(), it.e_tag.clone())
        };
        state(self) == state(other)
    }
}

impl Shred {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            bucket: None,
            key: None,
            confirmation: None,
            delete_versions: false,
            replicas: Vec::new(),
        }
    }

    object_setters!();

    /// Confirms the object by its name, `s3://BUCKET/KEY`. Without it, `send` shreds nothing.
    pub fn confirm(mut self, uri: impl Into<String>) -> Self {
        self.confirmation = Some(uri.into());
        self
    }

    /// Permanently deletes the versions of the object and of its sidecar that hold keys. Their
    /// ciphertext is lost, too, except for that of the newest version.
    pub fn delete_versions(mut self) -> Self {
        self.delete_versions = true;
        self
    }

    /// Adds a replica bucket that is searched for holders of keys. `s3` is a client for its Region.
    /// The search changes nothing.
    pub fn replica(mut self, s3: &Client, bucket: impl Into<String>) -> Self {
        self.replicas.push((s3.clone(), bucket.into()));
        self
    }

    /// Returns the versions that hold a key that opens the object. Changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the bucket or the key is missing, or the failure of S3.
    pub async fn survey(&self) -> Result<Vec<KeyHolder>, Error> {
        let target = self.target()?;
        self.holders(&target).await
    }

    /// Shreds the object.
    ///
    /// # Errors
    /// * [`ErrorKind::InvalidInput`] if the confirmation is not the object's name;
    /// * [`ErrorKind::NotSealed`] if there is nothing to shred;
    /// * as [`crate::Rewrap::send`] for the newest version, which is unchanged then.
    ///
    /// A version that cannot be deleted is not an error: it stays in [`ShredOutput::holders`].
    #[tracing::instrument(
        name = "shred",
        skip_all,
        fields(bucket = self.bucket, key = self.key),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<ShredOutput, Error> {
        let target = self.target()?;
        let name = format!("s3://{}/{}", target.bucket, target.key);
        if self.confirmation.as_deref() != Some(name.as_str()) {
            let message = format!(
                "it is shredded only if {name} is confirmed: no one can read it afterwards"
            );
            return Err(target.error(ErrorKind::InvalidInput, message));
        }
        let before = self.holders(&target).await?;
        let snapshot = Snapshot::take(&self.handle.store, &target).await?;
        let shredded = if holds_keys(&snapshot.head) {
            self.strip(&target, snapshot).await?;
            true
        } else if before.iter().any(|holder| !holder.is_replica) || is_shredded(&snapshot.head) {
            false
        } else {
            return Err(target.error(ErrorKind::NotSealed, "it has no wrapped keys of Sealwax"));
        };

        // Deletes only versions seen before: one that a writer has added since then stays.
        let mut deleted_versions = 0;
        let mut holders = Vec::new();
        for mut holder in self.holders(&target).await? {
            if self.is_to_be_deleted(&holder) && before.iter().any(|seen| seen.same_as(&holder)) {
                match self.delete(&target, &holder).await {
                    Ok(()) => {
                        deleted_versions += 1;
                        continue;
                    }
                    Err(error) => holder.failure = Some(error.to_string()),
                }
            }
            holders.push(holder);
        }
        Ok(ShredOutput { shredded, deleted_versions, holders })
    }

    fn target(&self) -> Result<ObjectRef, Error> {
        ObjectRef::new("shred", self.handle.store.s3(), self.bucket.clone(), self.key.clone())
    }

    /// `true` if the version is to be deleted: as requested, or because it is the sidecar in an
    /// unversioned bucket, which is deleted together with the object's own keys.
    fn is_to_be_deleted(&self, holder: &KeyHolder) -> bool {
        let is_unversioned_sidecar =
            holder.is_sidecar && holder.version_id == "null" && holder.is_latest;
        !holder.is_replica && (self.delete_versions || is_unversioned_sidecar)
    }

    /// Copies the object onto itself without Sealwax's metadata. Only the time of the shredding is
    /// added.
    async fn strip(&self, target: &ObjectRef, snapshot: Snapshot) -> Result<(), Error> {
        let store = &self.handle.store;
        snapshot.check_copyable(target)?;
        let snapshot = snapshot.settled(store, target).await?;
        let kept = snapshot.head.metadata.iter().flatten().filter(|(name, _)| !is_reserved(name));
        let mut metadata: HashMap<_, _> =
            kept.map(|(name, value)| (name.clone(), value.clone())).collect();
        let now = DateTime::from(snapshot.now).fmt(DateTimeFormat::DateTime);
        metadata.insert(SHREDDED.to_owned(), now.unwrap_or_else(|_| "unknown".into()));
        let expected = metadata.clone();
        let is_ours =
            move |head: &HeadObjectOutput| same_format_metadata(head.metadata(), &expected);
        store.replace_metadata(target, &snapshot, metadata, &is_ours).await.map(drop)
    }

    async fn delete(&self, target: &ObjectRef, holder: &KeyHolder) -> Result<(), Error> {
        // Each one is looked at: a version that stays holds a key that opens the object.
        let (store, target) = (&self.handle.store, target.with_key(holder.key.clone()));
        let version_id = holder.has_version_id.then(|| holder.version_id.clone());
        let deleted = store.delete(&target, version_id, None, Look::Always).await;
        deleted.map(drop).map_err(|failure| failure.into_error(&target))
    }

    async fn holders(&self, target: &ObjectRef) -> Result<Vec<KeyHolder>, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let sidecar = Companion::of(target, vault.sidecars().suffix_to_write());
        let sidecar = sidecar.as_ref().map(|sidecar| (&sidecar.object().key, true));
        let own = (store.s3(), target.bucket.as_str(), false);
        let replicas = self.replicas.iter().map(|(s3, bucket)| (s3, bucket.as_str(), true));
        let mut holders = Vec::new();
        for (s3, bucket, is_replica) in std::iter::once(own).chain(replicas) {
            for (key, is_sidecar) in std::iter::once((&target.key, false)).chain(sidecar) {
                let found = holders_by_key(s3, bucket, key, (is_sidecar, is_replica)).await?;
                holders.extend(found);
            }
        }
        Ok(holders)
    }
}

/// Returns the versions of exactly this key that hold wrapped keys.
async fn holders_by_key(
    s3: &Client,
    bucket: &str,
    key: &str,
    (is_sidecar, is_replica): (bool, bool),
) -> Result<Vec<KeyHolder>, Error> {
    let target = ObjectRef::new("shred", s3, Some(bucket.to_owned()), Some(key.to_owned()))?;
    let mut holders = Vec::new();
    for version in versions_of(s3, bucket, key).await? {
        let version_id = version.version_id.unwrap_or_else(|| "null".into());
        let is_latest = version.is_latest.unwrap_or(true);
        let head = |version_id: Option<String>| {
            let request = s3.head_object().bucket(bucket).key(key).set_version_id(version_id);
            async move { request.send().await.map_err(|error| AwsFailure::new(&error)) }
        };
        let (mut head_of_version, mut has_version_id) =
            (head(Some(version_id.clone())).await, true);
        let is_missing = |failure: &AwsFailure| matches!(failure.status, Some(400 | 404 | 501));
        if is_latest && version_id == "null" && head_of_version.as_ref().is_err_and(is_missing) {
            // The bucket keeps no versions, and the store knows no name of the only one.
            (head_of_version, has_version_id) = (head(None).await, false);
        }
        let head = match head_of_version {
            Ok(head) => head,
            // A store without versions was not asked whether there is an object.
            Err(failure) if !has_version_id && failure.status == Some(404) => continue,
            Err(failure) => return Err(target.s3_failure("HeadObject", failure)),
        };
        let holds = if is_sidecar {
            head.content_type() == Some(sidecar::CONTENT_TYPE)
        } else {
            holds_keys(&head)
        };
        if holds {
            holders.push(KeyHolder {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                version_id,
                e_tag: version.e_tag,
                is_latest,
                has_version_id,
                is_sidecar,
                is_replica,
                is_locked: is_locked(&head, SystemTime::now().into()),
                wrapping_keys: if is_sidecar { BTreeSet::new() } else { wrapping_keys(&head) },
                failure: None,
            });
        }
    }
    Ok(holders)
}

/// Lists the versions of exactly this key. A store that knows no versions has one, if any.
async fn versions_of(s3: &Client, bucket: &str, key: &str) -> Result<Vec<ListedObject>, Error> {
    let mut listed = pin!(ListPages::versions(s3, bucket, key).into_stream());
    let mut versions = Vec::new();
    loop {
        match listed.try_next().await {
            // Listings are in the order of keys: the versions of the key itself come first.
            Ok(Some(version)) if version.key == key => versions.push(version),
            Ok(_) => return Ok(versions),
            Err(error) if error.kind() == ErrorKind::Unsupported && versions.is_empty() => {
                return Ok(vec![ListedObject::new(bucket, key)]);
            }
            Err(error) => return Err(error),
        }
    }
}

/// `true` if the metadata has wrapped keys, or claims to have them.
fn holds_keys(head: &HeadObjectOutput) -> bool {
    let names = || head.metadata().into_iter().flatten().map(|(name, _)| name);
    names().any(|name| name.eq_ignore_ascii_case(FORMAT) || name.eq_ignore_ascii_case(KEYS))
}

fn is_shredded(head: &HeadObjectOutput) -> bool {
    head.metadata().into_iter().flatten().any(|(name, _)| name.eq_ignore_ascii_case(SHREDDED))
}

fn wrapping_keys(head: &HeadObjectOutput) -> BTreeSet<String> {
    let metadata = metadata::pairs(head.metadata().into_iter().flatten());
    let header = ObjectHeader::parse(metadata);
    header.iter().flat_map(ObjectHeader::keys).map(|key| key.wrapping_key().to_owned()).collect()
}
