//! Sealing an object anew: a new data key, and so a new body.

use std::{io, sync::Arc};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use futures_util::TryStreamExt as _;
use sealwax_envelope::Keyring;

use super::{
    object_setters,
    put::PutOutput,
    rewrap::{acl, present::Present, tags},
};
use crate::{
    Attributes, PlaintextSource, SealedClient,
    error::{Error, ErrorKind, Target},
    upload::OnProgress,
};

/// Seals an object anew, in its place: for a data key that may have become known.
///
/// The object is read, verified and stored under a new data key as it comes, in parts, through this process; the new object
/// takes the old one's place only when all of it is stored, and only if the body is still the one that was read. Encryption
/// context, content headers, the user's own metadata, tags, storage class, server-side encryption, Object Lock settings,
/// website redirect and ACL are kept. A change of these alone, made meanwhile, is lost.
///
/// In a versioned bucket the older versions keep their bodies and their data key, until they are deleted.
#[must_use = "nothing happens before `send`"]
pub struct Reencrypt {
    client: SealedClient,
    bucket: Option<String>,
    key: Option<String>,
    accepted_places: Vec<String>,
    keyring: Option<Arc<dyn Keyring>>,
    on_progress: Option<OnProgress>,
}

impl Reencrypt {
    pub(crate) fn new(client: SealedClient) -> Self {
        Self { client, bucket: None, key: None, accepted_places: Vec::new(), keyring: None, on_progress: None }
    }

    object_setters!();

    /// Wraps the new data key under the wrapping keys of `keyring`, instead of the client's.
    pub fn keyring(mut self, keyring: impl Keyring + 'static) -> Self {
        self.keyring = Some(Arc::new(keyring));
        self
    }

    /// Accepts an object whose wraps are bound to `place` (`bucket/key`): it was moved here on purpose.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Calls `on_progress` with the number of plaintext bytes that were stored since its last call.
    pub fn on_progress(mut self, on_progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(on_progress));
        self
    }

    /// Seals the object anew.
    ///
    /// # Errors
    /// As [`crate::Get::send`] and [`crate::Put::send`]; [`ErrorKind::Conflict`] where the object changed meanwhile. It is
    /// unchanged then.
    #[tracing::instrument(name = "reencrypt", skip_all, fields(bucket = self.bucket, key = self.key), err(level = "debug"))]
    pub async fn send(self) -> Result<PutOutput, Error> {
        let target = Target::new("reencrypt", self.client.s3(), self.bucket.clone(), self.key.clone())?;
        let present = Present::look(&self.client, &target).await?;
        let attributes = self.attributes(&target, &present).await?;
        let e_tag =
            present.head.e_tag().ok_or_else(|| target.error(ErrorKind::Service, "HeadObject gave no entity tag"))?;

        let mut get = self.client.get().bucket(&target.bucket).key(&target.key).if_match(e_tag);
        for place in &self.accepted_places {
            get = get.accept_place(place);
        }
        let object = get.send().await.map_err(|error| error.during(target.operation))?;
        let info = object.info().clone();
        let plaintext = PlaintextSource::stream(object.into_stream().map_err(io::Error::other));

        let mut put = self.client.put().bucket(&target.bucket).key(&target.key).body(plaintext).if_match(e_tag);
        put = put.encryption_context(info.encryption_context().clone()).attributes(attributes);
        for (name, value) in info.metadata {
            put = put.metadata(name, value);
        }
        if let Some(keyring) = self.keyring {
            put = put.wrapped_by(keyring);
        }
        if let Some(on_progress) = self.on_progress {
            put = put.on_progress(move |bytes| on_progress(bytes));
        }
        put.send().await.map_err(|error| error.of_the_source().during(target.operation))
    }

    /// All attributes of the present object.
    async fn attributes(&self, target: &Target, present: &Present) -> Result<Attributes, Error> {
        let head = &present.head;
        if head.missing_meta().is_some_and(|count| count > 0) {
            let message = "it has metadata that S3 does not return in headers and that would be lost";
            return Err(target.error(ErrorKind::Unsupported, message));
        }
        let grants = acl::grants_to_keep(&self.client, target, head.version_id()).await?;
        let mut attributes = grants.onto(Attributes::of_stored(head, present.now.into()));
        attributes.tagging = tags::of_stored(self.client.s3(), target, head).await?;
        if let Some(expires) = &head.expires_string {
            let date = DateTime::from_str(expires, DateTimeFormat::HttpDate).map_err(|_| {
                target.error(ErrorKind::Unsupported, "its Expires header is no date, which S3 takes in a copy alone")
            })?;
            attributes.expires = Some(date);
        }
        Ok(attributes)
    }
}

impl std::fmt::Debug for Reencrypt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reencrypt").field("bucket", &self.bucket).field("key", &self.key).finish_non_exhaustive()
    }
}
