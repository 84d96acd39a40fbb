//! Removing an object's last keys, on purpose and for good.

use std::{
    collections::{BTreeSet, HashMap},
    pin::pin,
};

use aws_sdk_s3::{
    operation::head_object::HeadObjectOutput,
    primitives::{DateTime, DateTimeFormat},
};
use futures_util::TryStreamExt as _;
use sealwax_envelope::{
    ObjectHeader,
    metadata::{FORMAT, KEYS, is_reserved},
};

use super::{
    object_setters,
    rewrap::{
        copy::{self, NewMetadata},
        landing::is_locked,
        present::Present,
    },
};
use crate::{
    SealedClient,
    error::{Error, ErrorKind, Target},
    list::ListPages,
    sidecars,
};

/// The one name of ours that a shredded object has: when it was shredded, as in RFC 3339. It has no other, so that nothing
/// takes it for a sealed object.
pub(crate) const SHREDDED: &str = "sealwax-shredded";

/// Removes all of an object's wrapped keys, so that nobody can open it any more: neither its readers nor you.
///
/// S3 changes no version in place. The newest version gets a successor with the same body and attributes and without any of
/// Sealwax's metadata; the versions before it keep their keys, and so do their sidecars, unless they are deleted
/// ([`Shred::delete_versions`]). Replicas are objects of their own: each is shredded by itself. Whatever still holds a key is
/// told in [`ShredOutput::holders`]. What it cannot tell of are backups, and copies under other names.
///
/// To make *all* objects under a KMS key unreadable, wherever they are, schedule the deletion of that key instead.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send` or `survey`"]
pub struct Shred {
    client: SealedClient,
    bucket: Option<String>,
    key: Option<String>,
    confirmation: Option<String>,
    delete_versions: bool,
    replicas: Vec<(SealedClient, String)>,
}

/// A version of an object, of its sidecar, or of a replica of either, that holds wrapped keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyHolder {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its version; `null` in a bucket that is not versioned, or was not then.
    pub version_id: String,
    /// Its entity tag, without quotes.
    pub e_tag: Option<String>,
    /// Whether it is the newest version.
    pub is_latest: bool,
    /// Whether it is a sidecar.
    pub is_sidecar: bool,
    /// Whether it is in a replica bucket.
    pub is_replica: bool,
    /// Whether Object Lock keeps it from being deleted.
    pub is_locked: bool,
    /// The wrapping keys, as far as they can be read.
    pub wrapping_keys: BTreeSet<String>,
    /// Why it could not be deleted, if that was tried.
    pub failure: Option<String>,
}

/// What became of the object.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ShredOutput {
    /// Whether the newest version lost its keys now; if not, it had none.
    pub shredded: bool,
    /// How many versions, of the object and of its sidecar, were deleted for good.
    pub deleted_versions: u64,
    /// What still holds a key that opens the object.
    pub holders: Vec<KeyHolder>,
}

impl KeyHolder {
    /// Whether both are the same version, whatever came after it.
    fn same_as(&self, other: &Self) -> bool {
        let state = |it: &Self| {
            (it.bucket.clone(), it.key.clone(), it.version_id.clone(), it.e_tag.clone())
        };
        state(self) == state(other)
    }
}

impl Shred {
    pub(crate) fn new(client: SealedClient) -> Self {
        Self {
            client,
            bucket: None,
            key: None,
            confirmation: None,
            delete_versions: false,
            replicas: Vec::new(),
        }
    }

    object_setters!();

    /// The object once more, as `s3://BUCKET/KEY`: nothing is shredded that is not named twice.
    pub fn confirm(mut self, uri: impl Into<String>) -> Self {
        self.confirmation = Some(uri.into());
        self
    }

    /// Deletes the versions of the object, and of its sidecar, that hold keys, for good: also the ciphertext is gone then,
    /// but for the newest version's.
    pub fn delete_versions(mut self) -> Self {
        self.delete_versions = true;
        self
    }

    /// Looks for holders of keys in this replica bucket too, by `client`, which reaches that bucket's Region. Nothing is
    /// changed there.
    pub fn replica(mut self, client: &SealedClient, bucket: impl Into<String>) -> Self {
        self.replicas.push((client.clone(), bucket.into()));
        self
    }

    /// What holds a key that opens the object. Changes nothing.
    ///
    /// # Errors
    /// An [`Error`] of S3's making.
    pub async fn survey(&self) -> Result<Vec<KeyHolder>, Error> {
        let target = self.target()?;
        self.holders(&target).await
    }

    /// Shreds the object.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where the confirmation is not the object's name; [`ErrorKind::NotSealed`] where there is
    /// nothing to shred; as [`crate::Rewrap::send`], for the newest version, which is as it was then. A version that could
    /// not be deleted is no error, but among the holders.
    #[tracing::instrument(name = "shred", skip_all, fields(bucket = self.bucket, key = self.key), err(level = "debug"))]
    pub async fn send(self) -> Result<ShredOutput, Error> {
        let target = self.target()?;
        let name = format!("s3://{}/{}", target.bucket, target.key);
        if self.confirmation.as_deref() != Some(name.as_str()) {
            let message = format!(
                "it is shredded only if {name} is confirmed: nobody can read it afterwards"
            );
            return Err(target.error(ErrorKind::InvalidInput, message));
        }
        let before = self.holders(&target).await?;
        let present = Present::look(&self.client, &target).await?;
        let shredded = if holds_keys(&present.head) {
            self.strip(&target, present).await?;
            true
        } else if before.iter().any(|holder| !holder.is_replica) || is_shredded(&present.head) {
            false
        } else {
            return Err(target.error(ErrorKind::NotSealed, "it holds no wrapped key of Sealwax's"));
        };

        // Only what was seen before: a version that a writer has put there since is not deleted.
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

    fn target(&self) -> Result<Target, Error> {
        Target::new("shred", self.client.s3(), self.bucket.clone(), self.key.clone())
    }

    /// The sidecar of a bucket without versions goes with the object's own keys.
    fn is_to_be_deleted(&self, holder: &KeyHolder) -> bool {
        let is_unversioned_sidecar =
            holder.is_sidecar && holder.version_id == "null" && holder.is_latest;
        !holder.is_replica && (self.delete_versions || is_unversioned_sidecar)
    }

    /// Copies the object onto itself without any of our metadata.
    async fn strip(&self, target: &Target, present: Present) -> Result<(), Error> {
        copy::check_possible(target, &present.head)?;
        let present = present.settled(&self.client, target).await?;
        let own = present.head.metadata.iter().flatten().filter(|(name, _)| !is_reserved(name));
        let mut all: HashMap<_, _> =
            own.map(|(name, value)| (name.clone(), value.clone())).collect();
        let now = DateTime::from(present.now)
            .fmt(DateTimeFormat::DateTime)
            .unwrap_or_else(|_| "unknown".into());
        all.insert(SHREDDED.to_owned(), now);
        copy::onto_itself(&self.client, target, &present, NewMetadata::new(all)).await.map(drop)
    }

    async fn delete(&self, target: &Target, holder: &KeyHolder) -> Result<(), Error> {
        let request = self.client.s3().delete_object().bucket(&holder.bucket).key(&holder.key);
        let deleted = request.version_id(&holder.version_id).send().await;
        deleted
            .map(drop)
            .map_err(|error| target.with_key(holder.key.clone()).s3("DeleteObject", &error))
    }

    async fn holders(&self, target: &Target) -> Result<Vec<KeyHolder>, Error> {
        let mut holders = Vec::new();
        let own = (&self.client, target.bucket.as_str(), false);
        let replicas = self.replicas.iter().map(|(client, bucket)| (client, bucket.as_str(), true));
        for (client, bucket, is_replica) in std::iter::once(own).chain(replicas) {
            let suffix = self.client.sidecars().suffix_to_write();
            let sidecar = sidecars::beside(target, suffix);
            // The sidecar's key begins with the object's, but much else may too.
            for (key, is_sidecar) in std::iter::once((&target.key, false))
                .chain(sidecar.iter().map(|sidecar| (&sidecar.key, true)))
            {
                self.holders_by_name(client, bucket, key, (is_sidecar, is_replica), &mut holders)
                    .await?;
            }
        }
        Ok(holders)
    }

    async fn holders_by_name(
        &self,
        client: &SealedClient,
        bucket: &str,
        key: &str,
        (is_sidecar, is_replica): (bool, bool),
        holders: &mut Vec<KeyHolder>,
    ) -> Result<(), Error> {
        let target =
            Target::new("shred", client.s3(), Some(bucket.to_owned()), Some(key.to_owned()))?;
        let mut versions = pin!(ListPages::versions(client.s3(), bucket, key).into_stream());
        while let Some(version) = versions.try_next().await? {
            if version.key != key {
                // In the order of keys, the object's own versions are the first.
                break;
            }
            let request = client.s3().head_object().bucket(bucket).key(key);
            let version_id = version.version_id.unwrap_or_else(|| "null".into());
            let head = request.version_id(&version_id).send().await;
            let head = head.map_err(|error| target.s3("HeadObject", &error))?;
            let holds = if is_sidecar {
                head.content_type() == Some(sidecars::CONTENT_TYPE)
            } else {
                holds_keys(&head)
            };
            if holds {
                holders.push(KeyHolder {
                    bucket: bucket.to_owned(),
                    key: key.to_owned(),
                    version_id,
                    e_tag: version.e_tag,
                    is_latest: version.is_latest.unwrap_or(true),
                    is_sidecar,
                    is_replica,
                    is_locked: is_locked(&head, DateTime::from(std::time::SystemTime::now())),
                    wrapping_keys: if is_sidecar { BTreeSet::new() } else { wrapping_keys(&head) },
                    failure: None,
                });
            }
        }
        Ok(())
    }
}

/// Whether there are wrapped keys in it, or what claims to be.
fn holds_keys(head: &HeadObjectOutput) -> bool {
    let names = || head.metadata().into_iter().flatten().map(|(name, _)| name);
    names().any(|name| name.eq_ignore_ascii_case(FORMAT) || name.eq_ignore_ascii_case(KEYS))
}

fn is_shredded(head: &HeadObjectOutput) -> bool {
    head.metadata().into_iter().flatten().any(|(name, _)| name.eq_ignore_ascii_case(SHREDDED))
}

fn wrapping_keys(head: &HeadObjectOutput) -> BTreeSet<String> {
    let metadata =
        head.metadata().into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
    let header = ObjectHeader::parse(metadata);
    header.iter().flat_map(ObjectHeader::keys).map(|key| key.wrapping_key().to_owned()).collect()
}
