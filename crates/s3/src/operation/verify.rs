//! Proves that objects open.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sealwax_envelope::geometry::CHUNK_LEN;
use tracing::{Span, field::Empty};

use super::{
    Handle,
    get::{Get, PlaintextStream},
    head::Head,
    inspect::InspectOutput,
    object_setters,
};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    object::ObjectInfo,
};

/// Proves that an object opens with the client's keyring, to the chosen depth. The plaintext is
/// discarded.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// use sealwax_s3::VerifyDepth;
///
/// let verify = client.verify().bucket("invoices").key("2026/0001.pdf");
/// let output = verify.depth(VerifyDepth::Full).send().await?;
/// println!("opened {} bytes", output.opened);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send`"]
pub struct Verify {
    handle: Handle,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
    depth: VerifyDepth,
    accepted_places: Vec<String>,
    inspected: Option<Arc<InspectOutput>>,
}

/// Part of an object that is opened to verify it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum VerifyDepth {
    /// The keys only: the data key is unwrapped and matches the commitment in the metadata.
    ///
    /// It costs one `HeadObject` and the keyring's calls. It does not show that the body is stored
    /// as it was sealed.
    #[default]
    Keys,
    /// The first and the last chunk, too: the body begins as it was sealed and ends where it ended.
    ///
    /// It costs two more requests and 32 KiB of transfer.
    FirstLast,
    /// The whole body.
    Full,
}

/// Result of a [`Verify`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifyOutput {
    /// Properties of the object. Its encryption context and length are authenticated only as far as
    /// the depth says.
    pub info: ObjectInfo,
    /// Depth to which the object was verified.
    pub depth: VerifyDepth,
    /// Number of plaintext bytes that were opened.
    pub opened: u64,
}

impl Verify {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            bucket: None,
            key: None,
            version_id: None,
            depth: VerifyDepth::default(),
            accepted_places: Vec::new(),
            inspected: None,
        }
    }

    object_setters!();

    /// Verifies the object as it was inspected, without another `HeadObject`. An inspection of another
    /// object, or of another version, is not used.
    pub fn inspected(mut self, inspected: Arc<InspectOutput>) -> Self {
        self.inspected = Some(inspected);
        self
    }

    /// Verifies this version.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    /// Sets the depth: [`VerifyDepth::Keys`] by default.
    pub fn depth(mut self, depth: VerifyDepth) -> Self {
        self.depth = depth;
        self
    }

    /// Accepts wrapped keys that are bound to `place` (`bucket/key`).
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Verifies the object.
    ///
    /// # Errors
    /// As [`crate::Head::send`] and [`crate::Get::send`]: the object does not open, or could not be
    /// read. An object that is marked as shredded is [`ErrorKind::Shredded`] only if no sidecar and
    /// no instruction file has keys of it.
    #[tracing::instrument(
        name = "verify",
        skip_all,
        fields(bucket = self.bucket, key = self.key, bytes = Empty),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<VerifyOutput, Error> {
        let target = ObjectRef::new("verify", self.handle.store.s3(), self.bucket, self.key)?;
        let Handle { store, vault, .. } = &self.handle;
        let is_meant = |inspected: &&Arc<InspectOutput>| {
            let InspectOutput { target: of, version_id, .. } = &***inspected;
            (&of.bucket, &of.key, version_id) == (&target.bucket, &target.key, &self.version_id)
        };
        let info = match self.inspected.as_ref().filter(is_meant) {
            Some(inspected) => {
                let head = &inspected.head;
                let format = vault.format_of(store, &target, head.metadata()).await;
                format.and_then(|format| ObjectInfo::of_head(&target, head, format))
            }
            None => {
                let head = Head::new(self.handle.clone()).bucket(&target.bucket).key(&target.key);
                let head = match &self.version_id {
                    Some(version_id) => head.version_id(version_id),
                    None => head,
                };
                head.send().await
            }
        };
        let info = match info {
            Ok(info) => info,
            Err(error) => {
                // The mark is a claim: keys in a companion disprove it.
                if error.kind() == ErrorKind::Shredded && self.version_id.is_none() {
                    Box::pin(vault.check_shredded(store, &target)).await?;
                }
                return Err(error.in_operation(target.operation));
            }
        };
        let len = info.plaintext_len();
        if self.depth == VerifyDepth::Keys {
            match info.envelope() {
                Some(envelope) => vault.check_s3ec_key(&target, envelope, len).await?,
                None => {
                    let header = info.sealed_header(&target)?;
                    drop(vault.opener(store, &target, header, &self.accepted_places).await?);
                }
            }
            return Ok(VerifyOutput { info, depth: self.depth, opened: 0 });
        }

        let mut get = Get::new(self.handle.clone()).bucket(&target.bucket).key(&target.key);
        if let Some(version_id) = self.version_id.or_else(|| info.version_id.clone()) {
            get = get.version_id(version_id);
        }
        if let Some(e_tag) = &info.e_tag {
            get = get.if_match(e_tag);
        }
        get = self.accepted_places.into_iter().fold(get, |get, place| get.accept_place(place));
        if info.envelope().is_some() {
            // One tag at the end verifies the whole message. No plaintext leaves this function
            // before.
            let opened = async {
                count(get.any_encryption_context().send().await?.release_unverified()).await
            };
            let opened =
                opened.await.map_err(|error: Error| error.in_operation(target.operation))?;
            Span::current().record("bytes", opened);
            return Ok(VerifyOutput { info, depth: VerifyDepth::Full, opened });
        }
        let opened = match (self.depth, len) {
            // The only chunk of an empty object is both its first and its last.
            (VerifyDepth::FirstLast, 1..) => {
                let ends = [0..1, len - 1..len];
                // Whole chunks are opened for these two bytes.
                get.ranges(&ends[usize::from(len == 1)..]).await.map(|_| first_and_last(len))
            }
            _ => drain(get).await,
        };
        let opened = opened.map_err(|error| error.in_operation(target.operation))?;
        Span::current().record("bytes", opened);
        Ok(VerifyOutput { info, depth: self.depth, opened })
    }
}

/// Returns the number of plaintext bytes in the first and the last chunk of an object of `len`
/// bytes.
fn first_and_last(len: u64) -> u64 {
    let chunk = CHUNK_LEN as u64;
    // A full last chunk is followed by an empty one.
    let last = if len.is_multiple_of(chunk) { chunk } else { len % chunk };
    len.min(chunk + last)
}

/// Opens the whole object and discards the plaintext.
async fn drain(get: Get) -> Result<u64, Error> {
    count(get.send().await?.into_stream()).await
}

async fn count(plaintext: PlaintextStream) -> Result<u64, Error> {
    plaintext.try_fold(0, async |opened, piece| Ok(opened + piece.len() as u64)).await
}
