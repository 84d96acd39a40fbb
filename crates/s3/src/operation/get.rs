//! Reading and opening an object.

mod download;
mod file;
mod ranges;
mod stream;
mod wanted;

use std::{
    fmt,
    ops::{Range, RangeBounds},
    path::Path,
    sync::Arc,
};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use sealwax_envelope::EncryptionContext;
use tokio::io::AsyncBufRead;

pub use self::stream::PlaintextStream;
use self::{
    download::{Download, FirstBody, Pin, ranged_get},
    wanted::Wanted,
};
use super::{
    conditions::{ReadConditions, condition_setters},
    object_setters,
};
use crate::{
    ObjectInfo, SealedClient,
    error::{Error, ErrorKind, Target},
    object::ContentRange,
    upload::OnProgress,
};

/// Reads and opens an object, or a range of it. No byte is released before it verifies.
///
/// The data key is unwrapped once. Longer objects are fetched in parts, several at once, all of the same version; a part
/// whose connection breaks is resumed from its last byte.
#[must_use = "nothing happens before `send` or `to_file`"]
pub struct Get {
    client: SealedClient,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
    conditions: ReadConditions,
    required_context: EncryptionContext,
    accepted_places: Vec<String>,
    wanted: Wanted,
    on_progress: Option<OnProgress>,
}

impl Get {
    pub(crate) fn new(client: SealedClient) -> Self {
        Self {
            client,
            bucket: None,
            key: None,
            version_id: None,
            conditions: ReadConditions::default(),
            required_context: EncryptionContext::new(),
            accepted_places: Vec::new(),
            wanted: Wanted::Whole,
            on_progress: None,
        }
    }

    object_setters!();

    /// Reads this version.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    condition_setters!();

    /// Reads these bytes of the plaintext, counted from 0, as far as the object has them: `10..20`, `10..`, `..=19`.
    ///
    /// Only the chunks that hold them are fetched. A range that ends before the object does says nothing about the
    /// object's length.
    pub fn range(mut self, range: impl RangeBounds<u64>) -> Self {
        self.wanted = Wanted::range(range);
        self
    }

    /// Reads the last `len` bytes of the plaintext, or all of it where it is shorter. The object's end is authenticated.
    pub fn suffix(mut self, len: u64) -> Self {
        self.wanted = Wanted::Suffix(len);
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

    /// Calls `on_progress` with the number of plaintext bytes that were verified since its last call.
    pub fn on_progress(mut self, on_progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(on_progress));
        self
    }

    /// Sends the first request, unwraps the data key and checks the object's commitment to it. The plaintext follows.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotSealed`], [`ErrorKind::Malformed`], [`ErrorKind::ContextMismatch`],
    /// [`ErrorKind::PlaceMismatch`], [`ErrorKind::NoMatchingKey`], [`ErrorKind::Authentication`], what the wrapping keys
    /// say, or an [`Error`] of S3's making; [`ErrorKind::InvalidInput`] for a range of which the object has no byte;
    /// [`ErrorKind::Conflict`] and [`ErrorKind::NotModified`] where a condition does not hold.
    #[tracing::instrument(name = "get", skip_all, fields(bucket = self.bucket, key = self.key), err(level = "debug"))]
    pub async fn send(self) -> Result<SealedObject, Error> {
        let target = Target::new("get", self.client.s3(), self.bucket.clone(), self.key.clone())?;
        self.wanted.check().map_err(|message| target.error(ErrorKind::InvalidInput, message))?;
        let output = self.first_answer(&target).await?;
        let info = ObjectInfo::of_get(&target, &output)?;
        let stored = info.encryption_context();
        if let Some((name, _)) = self.required_context.iter().find(|(name, value)| stored.get(name) != Some(value)) {
            let message = format!("its encryption context does not have the required {name:?}");
            return Err(target.error(ErrorKind::ContextMismatch, message));
        }
        let Some(window) = self.wanted.window(info.plaintext_len()) else {
            return Err(beyond_the_end(&target, info.plaintext_len()));
        };
        let opener = self.client.opener(&target, info.header(), &self.accepted_places).await?;
        let (plaintext_len, generation) = (info.plaintext_len(), info.generation());
        tracing::debug!(plaintext_len, generation, start = window.start, end = window.end, "opening");
        let pin = Pin::new(self.version_id.or(output.version_id), output.e_tag);
        let first_byte = output.content_range.as_deref().and_then(ContentRange::parse).map_or(0, |range| range.start);
        let download = Download {
            client: self.client,
            target,
            pin,
            opener,
            body_header: *info.header().body_header(),
            plaintext_len: info.plaintext_len(),
            window,
            on_progress: self.on_progress,
        };
        Ok(SealedObject { info, download, first: Some((output.body, first_byte)) })
    }

    /// Reads the object into a file, which appears at `path`, or is replaced there, only when all of it has verified.
    ///
    /// # Errors
    /// As [`Get::send`]; [`ErrorKind::Io`] where the file cannot be written. No file is left behind then.
    pub async fn to_file(self, path: impl AsRef<Path>) -> Result<ObjectInfo, Error> {
        self.send().await?.to_file(path).await
    }

    /// Reads several ranges of the plaintext (ends exclusive) with one unwrap of the data key. Ranges that lie close
    /// together are fetched by one request. The answers are in the order of `ranges`.
    ///
    /// # Errors
    /// As [`Get::send`]; [`ErrorKind::InvalidInput`] also for a range that is empty, or ends beyond the object.
    pub async fn ranges(mut self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let Some(first) = ranges::coalesce(ranges).into_iter().next() else { return Ok(Vec::new()) };
        self.wanted = Wanted::range(first);
        ranges::read(self.send().await?, ranges).await
    }

    /// The first `GetObject`: the first part of what is wanted, and the metadata with it.
    async fn first_answer(&self, target: &Target) -> Result<GetObjectOutput, Error> {
        let pin = Pin { version_id: self.version_id.clone(), conditions: self.conditions.clone() };
        let range = self.wanted.first_request(self.client.part_len());
        match ranged_get(self.client.s3(), target, &pin, &range).await {
            Ok(output) => Ok(output),
            // The object has none of these bytes: say what it is, which may be no sealed object at all.
            Err(failure) if failure.status == Some(416) => {
                let mut head = self.client.head().bucket(&target.bucket).key(&target.key);
                if let Some(version_id) = &self.version_id {
                    head = head.version_id(version_id);
                }
                let info = head.send().await.map_err(|error| error.during("get"))?;
                Err(beyond_the_end(target, info.plaintext_len()))
            }
            Err(failure) => Err(target.s3_failure("GetObject", failure)),
        }
    }
}

fn beyond_the_end(target: &Target, plaintext_len: u64) -> Error {
    target.error(ErrorKind::InvalidInput, format!("the range begins beyond its end: it has {plaintext_len} bytes"))
}

impl fmt::Debug for Get {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get")
            .field("bucket", &self.bucket)
            .field("key", &self.key)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

/// An object whose data key was unwrapped and whose body is about to be opened.
pub struct SealedObject {
    info: ObjectInfo,
    download: Download,
    first: Option<FirstBody>,
}

impl SealedObject {
    /// What is known of the object.
    #[must_use]
    pub fn info(&self) -> &ObjectInfo {
        &self.info
    }

    /// The bytes of the plaintext that will be read, end exclusive: the whole of it, or the range that was asked for.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.download.window.clone()
    }

    /// The plaintext in order, as a stream of verified pieces, up to one part in length each. Up to four parts are read
    /// ahead. An error in it means that the rest was not verified: use nothing of it as if it were the whole.
    #[must_use]
    pub fn into_stream(self) -> PlaintextStream {
        PlaintextStream::new(self.download, self.first)
    }

    /// The plaintext in order, as a reader.
    #[must_use]
    pub fn into_async_read(self) -> impl AsyncBufRead + Send + use<> {
        tokio_util::io::StreamReader::new(self.into_stream().map_err(std::io::Error::other))
    }

    /// All of the plaintext.
    ///
    /// # Errors
    /// As the stream's.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        let len = self.range().end - self.range().start;
        let mut pieces = self.into_stream();
        let first = pieces.try_next().await?.unwrap_or_default();
        if first.len() as u64 == len {
            // One piece is all: nothing needs to be copied. What follows it is the end, or an error.
            return match pieces.try_next().await? {
                Some(_) | None => Ok(first),
            };
        }
        let whole = BytesMut::with_capacity(usize::try_from(len).unwrap_or_default().min(64 << 20));
        let append = |mut whole: BytesMut, piece: Bytes| async move {
            whole.extend_from_slice(&piece);
            Ok(whole)
        };
        Ok(pieces.try_fold(append(whole, first).await?, append).await?.freeze())
    }

    /// Writes the plaintext to a file, as [`Get::to_file`] does.
    ///
    /// # Errors
    /// As [`Get::to_file`].
    pub async fn to_file(self, path: impl AsRef<Path>) -> Result<ObjectInfo, Error> {
        file::write(self.download, self.first, path.as_ref()).await?;
        Ok(self.info)
    }
}

impl fmt::Debug for SealedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedObject").field("info", &self.info).field("range", &self.range()).finish_non_exhaustive()
    }
}
