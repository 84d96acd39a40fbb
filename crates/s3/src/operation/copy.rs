//! Copying an object inside S3 to another place. Its body is not read, moved through this process, or sealed anew.

use std::sync::Arc;

use sealwax_envelope::{Keyring, ObjectHeader};

use super::{
    object_setters,
    rewrap::{
        Edits, acl,
        copy::{Held, NewMetadata, ServerCopy, Stored, check_possible},
        intermediate::IntermediateKeys,
        landing::{self, Landing},
        object::Object,
        present::Present,
        wrapping::Wrapping,
    },
};
use crate::{
    Attributes, ObjectFormat, ObjectInfo, S3Uri, SealedClient,
    client::envelope_error,
    error::{Error, ErrorKind, Target},
    object::join_metadata,
    upload::Conditions,
};

/// Copies an object inside S3 to another place, and wraps its data key anew for that place. The body is copied as it is.
///
/// The new wraps are made as by [`Rewrap::add_keys`](crate::Rewrap::add_keys) with the client's keyring: by KMS `ReEncrypt`
/// where it can be. Wraps under keys that the keyring does not have stay as they are, bound to the place that they were
/// made for: [`Get::accept_place`](crate::Get::accept_place) reads by them.
///
/// Content headers, the user's own metadata, tags, storage class, server-side encryption, Object Lock settings, website
/// redirect and, where the bucket has ACLs, the ACL are those of the source, unless [`Copy::attributes`] says otherwise.
///
/// What is copied is the source as it is looked at, by its entity tag, and in a versioned bucket by its version. Both buckets
/// must be in the Region of the client.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Copy {
    client: SealedClient,
    source_bucket: Option<String>,
    source_key: Option<String>,
    source_version_id: Option<String>,
    source_if_match: Option<String>,
    bucket: Option<String>,
    key: Option<String>,
    conditions: Conditions,
    accepted_places: Vec<String>,
    keyring: Option<Arc<dyn Keyring>>,
    attributes: Option<Attributes>,
}

/// What was copied, and what was stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CopyOutput {
    /// The entity tag of the copy, as S3 gave it.
    pub e_tag: Option<String>,
    /// The version of the copy, in a versioned bucket.
    pub version_id: Option<String>,
    /// Sealwax's metadata of the copy, as stored.
    pub header: ObjectHeader,
    /// The source.
    pub source: ObjectInfo,
}

impl Copy {
    pub(crate) fn new(client: SealedClient) -> Self {
        Self {
            client,
            source_bucket: None,
            source_key: None,
            source_version_id: None,
            source_if_match: None,
            bucket: None,
            key: None,
            conditions: Conditions::default(),
            accepted_places: Vec::new(),
            keyring: None,
            attributes: None,
        }
    }

    /// The bucket of the source: a name, or the ARN of an access point.
    pub fn source_bucket(mut self, bucket: impl Into<String>) -> Self {
        self.source_bucket = Some(bucket.into());
        self
    }

    /// The key of the source.
    pub fn source_key(mut self, key: impl Into<String>) -> Self {
        self.source_key = Some(key.into());
        self
    }

    /// Bucket and key of the source at once.
    pub fn source_uri(self, uri: &S3Uri) -> Self {
        self.source_bucket(uri.bucket()).source_key(uri.key())
    }

    /// Copies this version of the source. To the source's own place, it becomes the current one again.
    pub fn source_version_id(mut self, version_id: impl Into<String>) -> Self {
        self.source_version_id = Some(version_id.into());
        self
    }

    /// Copies only a source with this entity tag.
    pub fn source_if_match(mut self, e_tag: impl Into<String>) -> Self {
        self.source_if_match = Some(e_tag.into());
        self
    }

    object_setters!();

    /// Stores only over the object with this entity tag.
    pub fn if_match(mut self, e_tag: impl Into<String>) -> Self {
        self.conditions.if_match = Some(e_tag.into());
        self
    }

    /// `*`: stores only where there is no object yet.
    pub fn if_none_match(mut self, e_tag: impl Into<String>) -> Self {
        self.conditions.if_none_match = Some(e_tag.into());
        self
    }

    /// Wraps the copy's data key under the wrapping keys of `keyring`, instead of the client's.
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.keyring = Some(Arc::new(keyring));
        self
    }

    /// Accepts a source whose wraps are bound to `place` (`bucket/key`): it was moved there on purpose.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// The copy's attributes, instead of the source's: all of them but the tags, which are the source's unless given.
    pub fn attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = Some(attributes);
        self
    }

    /// Copies the object: one `HeadObject`, the KMS calls, one `CopyObject`; above 5 GiB, or above
    /// [`crate::SealedClientBuilder::copy_in_parts_above`], an `UploadPartCopy` for each of the object's parts instead.
    ///
    /// # Errors
    /// As [`crate::Get::send`]; [`ErrorKind::InvalidInput`] for a copy onto itself; [`ErrorKind::Changed`] where the source
    /// changed meanwhile; [`ErrorKind::Conflict`] where a condition does not hold; [`ErrorKind::Unsupported`] for one that must
    /// be restored from an archive first. Nothing was stored then.
    #[tracing::instrument(name = "copy", skip_all, fields(bucket = self.bucket, key = self.key), err(level = "debug"))]
    pub async fn send(self) -> Result<CopyOutput, Error> {
        let s3 = self.client.s3();
        let source = Target::new("copy", s3, self.source_bucket.clone(), self.source_key.clone())?;
        let target = Target::new("copy", s3, self.bucket.clone(), self.key.clone())?;
        let is_onto_itself = (&source.bucket, &source.key) == (&target.bucket, &target.key);
        if is_onto_itself && self.source_version_id.is_none() {
            return Err(source.error(
                ErrorKind::InvalidInput,
                "source and destination of the copy are the same",
            ));
        }

        let present =
            Present::look_at(&self.client, &source, self.source_version_id.clone()).await?;
        let format = ObjectFormat::of(&self.client, &source, present.head.metadata(), None).await?;
        let info = ObjectInfo::of_head(&source, &present.head, format)?;
        let sealed = info.sealed_header(&source)?.clone();
        check_possible(&source, &present.head)?;
        if self.source_if_match.is_some() && self.source_if_match != info.e_tag {
            return Err(
                source.error(ErrorKind::Conflict, "it has another entity tag than was required")
            );
        }

        let (info, header) = self.header_for(&source, &target, info).await?;
        tracing::debug!(generation = header.generation(), keys = header.keys().len(), "copying");
        let (attributes, expires) = self.attributes_for(&source, &target, &present).await?;
        let copy = ServerCopy {
            client: &self.client,
            source: &source,
            present: &present,
            held: Held::ByVersion(
                self.source_version_id.clone().or_else(|| info.version_id.clone()),
            ),
            target: &target,
            conditions: self.conditions.clone(),
            attributes,
            expires,
            metadata: NewMetadata::new(join_metadata(
                &ObjectFormat::Sealwax(header.clone()),
                &info.metadata,
            )),
            // Wraps that were made just now are in no other copy.
            is_recognisable: header != sealed,
        };
        match copy.send().await {
            Ok(Stored { e_tag, version_id }) => {
                Ok(CopyOutput { e_tag, version_id, header, source: info })
            }
            Err(error)
                if error.kind() == ErrorKind::Conflict
                    && self.source_has_changed(&source, &info).await =>
            {
                Err(source.error(ErrorKind::Changed, "it was replaced while it was being copied"))
            }
            Err(error) => Err(error),
        }
    }

    /// The source with the keys of its sidecar among its own, and the copy's metadata: the source's data key, wrapped for
    /// `target`.
    async fn header_for(
        &self,
        source: &Target,
        target: &Target,
        info: ObjectInfo,
    ) -> Result<(ObjectInfo, ObjectHeader), Error> {
        let keyring = self.keyring.as_ref().unwrap_or(self.client.keyring());
        let wrapping = Wrapping {
            client: self.client.clone(),
            edits: Edits::new().add_keys(Arc::clone(keyring)),
            accepted_places: self.accepted_places.clone(),
            intermediate_keys: IntermediateKeys::default(),
            landing: Landing::Copy,
            instruction_file_suffix: None,
        };
        let object = Object::find(&wrapping, source, info, target, false).await?;
        let keys = wrapping.keys(&object).await?;
        let info = object.info;
        // The same keys: bound to no place, or to a logical one that both share.
        let header = match keys == info.keys() {
            true => info.sealed_header(source)?.clone(),
            false => info.sealed_header(source)?.rewrapped(keys).map_err(envelope_error(target))?,
        };
        landing::check_fits(&header, &info, false).map_err(envelope_error(target))?;
        if self.client.places().acceptable_keys(target, &header, &[]).is_err() {
            return Err(target.error(
                ErrorKind::InvalidInput,
                "the keyring has no key to wrap the copy's data key under",
            ));
        }
        Ok((info, header))
    }

    /// The copy's attributes, and its `Expires`.
    async fn attributes_for(
        &self,
        source: &Target,
        target: &Target,
        present: &Present,
    ) -> Result<(Attributes, Option<String>), Error> {
        if let Some(attributes) = &self.attributes {
            return Ok((attributes.clone(), None));
        }
        let head = &present.head;
        let grants = match self.client.acls_are_off(&target.bucket).await {
            true => acl::Grants::default(),
            false => acl::grants_to_keep(&self.client, source, head.version_id()).await?,
        };
        Ok((
            grants.onto(Attributes::of_stored(head, present.now.into())),
            head.expires_string.clone(),
        ))
    }

    async fn source_has_changed(&self, source: &Target, info: &ObjectInfo) -> bool {
        let mut head = self.client.head().bucket(&source.bucket).key(&source.key);
        if let Some(version_id) = self.source_version_id.as_ref().or(info.version_id.as_ref()) {
            head = head.version_id(version_id);
        }
        head.send().await.map_or(true, |now| now.e_tag != info.e_tag)
    }
}
