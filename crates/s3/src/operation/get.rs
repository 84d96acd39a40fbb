//! Reading and opening an object.

mod file;
mod stream;

use std::{fmt, path::Path};

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use sealwax_envelope::EncryptionContext;
use tokio::io::AsyncBufRead;

pub use self::stream::PlaintextStream;
use super::object_setters;
use crate::{
    ObjectInfo, SealedClient,
    error::{Error, ErrorKind, Target},
};

/// Reads and opens an object, by one `GetObject` and one unwrap of its data key. No byte is released before it verifies.
#[derive(Debug, Clone)]
#[must_use = "nothing happens before `send` or `to_file`"]
pub struct Get {
    client: SealedClient,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
    if_match: Option<String>,
    required_context: EncryptionContext,
    accepted_places: Vec<String>,
}

impl Get {
    pub(crate) fn new(client: SealedClient) -> Self {
        Self {
            client,
            bucket: None,
            key: None,
            version_id: None,
            if_match: None,
            required_context: EncryptionContext::new(),
            accepted_places: Vec::new(),
        }
    }

    object_setters!();

    /// Reads this version.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    /// Reads only the object with this entity tag.
    pub fn if_match(mut self, e_tag: impl Into<String>) -> Self {
        self.if_match = Some(e_tag.into());
        self
    }

    /// Refuses an object whose encryption context lacks any of these pairs, before KMS is asked.
    pub fn require_context(mut self, pairs: EncryptionContext) -> Self {
        self.required_context = pairs;
        self
    }

    /// Accepts an object whose wraps are bound to `place` (`bucket/key`), for this read alone.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Sends the request, unwraps the data key and checks the object's commitment to it. The body follows as a stream.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotSealed`], [`ErrorKind::Malformed`], [`ErrorKind::ContextMismatch`],
    /// [`ErrorKind::PlaceMismatch`], [`ErrorKind::NoMatchingKey`], [`ErrorKind::Authentication`], what the wrapping keys
    /// say, or an [`Error`] of S3's making.
    #[tracing::instrument(name = "get", skip_all, fields(bucket = self.bucket, key = self.key), err(level = "debug"))]
    pub async fn send(self) -> Result<SealedObject, Error> {
        let s3 = self.client.s3();
        let target = Target::new("get", s3, self.bucket, self.key)?;
        let output = s3
            .get_object()
            .bucket(&target.bucket)
            .key(&target.key)
            .set_version_id(self.version_id)
            .set_if_match(self.if_match)
            .send()
            .await
            .map_err(|error| target.s3("GetObject", &error))?;
        let info = ObjectInfo::of_get(&target, &output)?;
        let stored = info.encryption_context();
        if let Some((name, _)) = self.required_context.iter().find(|(name, value)| stored.get(name) != Some(value)) {
            let message = format!("its encryption context does not have the required {name:?}");
            return Err(target.error(ErrorKind::ContextMismatch, message));
        }
        let opener = self.client.opener(&target, info.header(), &self.accepted_places).await?;
        let body = PlaintextStream::new(target, output.body, opener);
        Ok(SealedObject { info, body })
    }

    /// Reads the object into a file, which appears at `path`, or is replaced there, only when all of it has verified.
    ///
    /// # Errors
    /// As [`Get::send`]; [`ErrorKind::Io`] where the file cannot be written. No file is left behind then.
    pub async fn to_file(self, path: impl AsRef<Path>) -> Result<ObjectInfo, Error> {
        self.send().await?.to_file(path).await
    }
}

/// An object whose data key was unwrapped and whose body is about to be opened.
pub struct SealedObject {
    info: ObjectInfo,
    body: PlaintextStream,
}

impl SealedObject {
    /// What is known of the object.
    #[must_use]
    pub fn info(&self) -> &ObjectInfo {
        &self.info
    }

    /// The plaintext in order, as a stream of verified pieces of up to 16 KiB. An error in it means that the rest of the
    /// object was not verified: use nothing of it as if it were the whole.
    #[must_use]
    pub fn into_stream(self) -> PlaintextStream {
        self.body
    }

    /// The plaintext in order, as a reader.
    #[must_use]
    pub fn into_async_read(self) -> impl AsyncBufRead + Send + use<> {
        tokio_util::io::StreamReader::new(self.body.map_err(std::io::Error::other))
    }

    /// All of the plaintext.
    ///
    /// # Errors
    /// As the stream's.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        let whole =
            BytesMut::with_capacity(usize::try_from(self.info.plaintext_len()).unwrap_or_default().min(64 << 20));
        let whole = self.body.try_fold(whole, |mut whole, piece| async move {
            whole.extend_from_slice(&piece);
            Ok(whole)
        });
        Ok(whole.await?.freeze())
    }

    /// Writes the plaintext to a file, as [`Get::to_file`] does.
    ///
    /// # Errors
    /// As [`Get::to_file`].
    pub async fn to_file(self, path: impl AsRef<Path>) -> Result<ObjectInfo, Error> {
        file::write(self.body, path.as_ref()).await?;
        Ok(self.info)
    }
}

impl fmt::Debug for SealedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedObject").field("info", &self.info).finish_non_exhaustive()
    }
}
