//! Reading and opening an object.

mod ranges;

use std::{
    fmt,
    ops::{Range, RangeBounds},
    path::Path,
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use sealwax_envelope::{EncryptionContext, ObjectHeader, s3ec::Envelope};
use tokio::io::AsyncBufRead;

use super::{ContextSetting, Handle, context_setters, head::Head, object_setters};
pub use crate::download::stream::PlaintextStream;
use crate::{
    download::{
        fetch::{Fetcher, FirstResponse, Pin, ranged_get},
        file,
        parts::{Download, Opening},
        requested_range::RequestedRange,
        whole_message::WholeMessage,
    },
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    object::{ContentRange, ObjectInfo, stored_len},
    progress::OnProgress,
    store::conditions::{ReadConditions, read_condition_setters},
};

/// Reads and opens an object, or a range of it. No byte is released before it verifies.
///
/// Objects of Sealwax and of the Amazon S3 Encryption Client are told apart by their metadata; [`crate::s3ec::S3ec`] says
/// which of the latter are read. The data key is unwrapped once. Longer objects are fetched in parts, several at once, all
/// of the same version; a part whose connection breaks is resumed from its last byte.
#[must_use = "nothing happens before `send` or `to_file`"]
pub struct Get {
    handle: Handle,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
    conditions: ReadConditions,
    context: ContextSetting,
    accepted_places: Vec<String>,
    any_context: bool,
    requested: RequestedRange,
    unauthenticated_range: bool,
    on_progress: Option<OnProgress>,
}

impl Get {
    pub(crate) fn new(handle: Handle) -> Self {
        Self {
            handle,
            bucket: None,
            key: None,
            version_id: None,
            conditions: ReadConditions::default(),
            context: ContextSetting::default(),
            accepted_places: Vec::new(),
            any_context: false,
            requested: RequestedRange::Whole,
            unauthenticated_range: false,
            on_progress: None,
        }
    }

    object_setters!();

    /// Reads this version.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.version_id = Some(version_id.into());
        self
    }

    read_condition_setters!();

    /// Reads these bytes of the plaintext, counted from 0, as far as the object has them: `10..20`, `10..`, `..=19`.
    ///
    /// Only the chunks that hold them are fetched. A range that ends before the object does says nothing about the
    /// object's length.
    pub fn range(mut self, range: impl RangeBounds<u64>) -> Self {
        self.requested = RequestedRange::range(range);
        self
    }

    /// As [`Get::range`], and also of an object of the S3 Encryption Client, where nothing authenticates a range.
    ///
    /// # Danger
    /// Of such an object, whoever can write to the bucket can flip any bit of what is read.
    pub fn dangerous_unauthenticated_range(mut self, range: impl RangeBounds<u64>) -> Self {
        self.unauthenticated_range = true;
        self.range(range)
    }

    /// Reads the last `len` bytes of the plaintext, or all of it where it is shorter. The object's end is authenticated.
    pub fn suffix(mut self, len: u64) -> Self {
        self.requested = RequestedRange::Suffix(len);
        self
    }

    context_setters!(
        /// Requires these pairs: an object whose encryption context lacks any of them is refused
        /// with [`ErrorKind::ContextMismatch`], before KMS is asked.
        ///
        /// For an object of the S3 Encryption Client these must be all of its pairs, unless
        /// [`crate::s3ec::S3ec::any_encryption_context`] is set.
    );

    /// Accepts an object whose wraps are bound to `place` (`bucket/key`), for this read alone.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Reads an object of the S3 Encryption Client whatever its encryption context.
    pub(crate) fn any_encryption_context(mut self) -> Self {
        self.any_context = true;
        self
    }

    /// Calls `on_progress` with the number of plaintext bytes that were opened since its last call.
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
        let store = &self.handle.store;
        let target = ObjectRef::new("get", store.s3(), self.bucket.clone(), self.key.clone())?;
        let context = self.context.clone().build(&target)?;
        self.requested.check().map_err(|message| target.error(ErrorKind::InvalidInput, message))?;
        let FirstAnswer { info, stored_len, pin, first } = self.first_answer(&target).await?;
        let Some(window) = self.requested.window(info.plaintext_len()) else {
            return Err(beyond_the_end(&target, info.plaintext_len()));
        };
        let fetcher = Fetcher { store: store.clone(), target, pin };
        let opening = ObjectOpening { get: &self, context, fetcher, window };
        let reader = match info.format() {
            ObjectFormat::Sealwax(header) => opening.sealed(header, &info).await?,
            ObjectFormat::S3ec(envelope) => opening.s3ec(envelope, &info, stored_len).await?,
            ObjectFormat::Unencrypted => opening.unencrypted(&info)?,
        };
        Ok(SealedObject { info, reader, first })
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
        let Some(first) = ranges::coalesce(ranges).into_iter().next() else {
            return Ok(Vec::new());
        };
        self.requested = RequestedRange::range(first);
        ranges::read(self.send().await?, ranges).await
    }

    /// Sends the first `GetObject`, for the first part of the requested bytes and the metadata.
    async fn first_answer(&self, target: &ObjectRef) -> Result<FirstAnswer, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let pin = Pin { version_id: self.version_id.clone(), conditions: self.conditions.clone() };
        let range = self.requested.first_request(store.part_len());
        match ranged_get(store.s3(), target, &pin, &range).await {
            Ok(output) => {
                let format = vault.format_of(store, target, output.metadata()).await?;
                let info = ObjectInfo::of_get(target, &output, format)?;
                let stored_len = stored_len(&output).unwrap_or_default();
                let pin = Pin::new(pin.version_id.or(output.version_id), output.e_tag);
                let range = output.content_range.as_deref().and_then(ContentRange::parse);
                let first = Some((output.body, range.map_or(0, |range| range.start)));
                Ok(FirstAnswer { info, stored_len, pin, first })
            }
            // The object has none of these bytes. The error says what it is: it may not be sealed.
            Err(failure) if failure.status == Some(416) => {
                let mut head =
                    Head::new(self.handle.clone()).bucket(&target.bucket).key(&target.key);
                if let Some(version_id) = &self.version_id {
                    head = head.version_id(version_id);
                }
                let info = head.send().await.map_err(|error| error.in_operation("get"))?;
                let beyond = || beyond_the_end(target, info.plaintext_len());
                if matches!(info.format(), ObjectFormat::Sealwax(_)) {
                    return Err(beyond());
                }
                let stored_len =
                    info.format().stored_len(info.plaintext_len()).ok_or_else(beyond)?;
                let version_id = pin.version_id.or_else(|| info.version_id.clone());
                let pin = Pin::new(version_id, info.e_tag.clone());
                Ok(FirstAnswer { info, stored_len, pin, first: None })
            }
            Err(failure) => Err(target.s3_failure("GetObject", failure)),
        }
    }
}

/// Content of the first response.
struct FirstAnswer {
    info: ObjectInfo,
    stored_len: u64,
    pin: Pin,
    first: Option<FirstResponse>,
}

/// An object whose format is known, about to be opened.
struct ObjectOpening<'a> {
    get: &'a Get,
    /// The required encryption context.
    context: EncryptionContext,
    fetcher: Fetcher,
    window: Range<u64>,
}

impl ObjectOpening<'_> {
    /// Opens an object in Sealwax's own format.
    async fn sealed(self, header: &ObjectHeader, info: &ObjectInfo) -> Result<Reader, Error> {
        let (get, target) = (self.get, &self.fetcher.target);
        let stored = header.context();
        let lacks = |(name, value): &(&str, &str)| stored.get(name) != Some(value);
        if let Some((name, _)) = self.context.iter().find(lacks) {
            let message = format!("its encryption context does not have the required {name:?}");
            return Err(target.error(ErrorKind::ContextMismatch, message));
        }
        let Handle { store, vault, .. } = &get.handle;
        let opener = vault.opener(store, target, header, &get.accepted_places).await?;
        tracing::debug!(
            plaintext_len = info.plaintext_len(),
            generation = header.generation(),
            start = self.window.start,
            end = self.window.end,
            "opening"
        );
        Ok(self.parts(info, Opening::Chunks { opener, body_header: *header.body_header() }))
    }

    /// Opens an object of the S3 Encryption Client.
    async fn s3ec(
        self,
        envelope: &Envelope,
        info: &ObjectInfo,
        stored_len: u64,
    ) -> Result<Reader, Error> {
        let Get { handle, any_context, requested, unauthenticated_range, .. } = self.get;
        let (vault, target) = (&handle.vault, &self.fetcher.target);
        let is_whole = *requested == RequestedRange::Whole;
        if !is_whole && !unauthenticated_range {
            let message = "a range of an object of the S3 Encryption Client can't be authenticated: \
                           read the whole object, or allow an unauthenticated range";
            return Err(target.error(ErrorKind::Unsupported, message));
        }
        let admitted = vault.admit(target, envelope.clone(), &self.context, *any_context)?;
        let data_key = vault.unwrap_s3ec(target, &admitted).await?;
        tracing::debug!(stored_len, format = %envelope.format(), "opening");
        if !is_whole {
            let opener = admitted.dangerous_range_opener(&data_key);
            let opener = opener.map_err(|error| target.s3ec_error(error))?;
            return Ok(self.parts(info, Opening::UnverifiedRange(Arc::new(opener))));
        }
        let opener = admitted.opener(&data_key, stored_len);
        Ok(Reader::Whole(Box::new(WholeMessage {
            opener: opener.map_err(|error| target.s3ec_error(error))?,
            stored_len,
            plaintext_len: info.plaintext_len(),
            max_buffer_len: vault.s3ec().max_buffer_len(),
            fetcher: self.fetcher,
            on_progress: self.get.on_progress.clone(),
        })))
    }

    /// Reads an object that is not encrypted, and that the client's policy passes through.
    fn unencrypted(self, info: &ObjectInfo) -> Result<Reader, Error> {
        if !self.context.is_empty() {
            let message = "an encryption context is required, and the object is not encrypted";
            return Err(self.fetcher.target.error(ErrorKind::ContextMismatch, message));
        }
        Ok(self.parts(info, Opening::Unencrypted))
    }

    fn parts(self, info: &ObjectInfo, opening: Opening) -> Reader {
        Reader::Parts(Box::new(Download {
            fetcher: self.fetcher,
            opening,
            plaintext_len: info.plaintext_len(),
            window: self.window,
            on_progress: self.get.on_progress.clone(),
        }))
    }
}

fn beyond_the_end(target: &ObjectRef, plaintext_len: u64) -> Error {
    target.error(
        ErrorKind::InvalidInput,
        format!("the range begins beyond its end: it has {plaintext_len} bytes"),
    )
}

impl fmt::Debug for Get {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get")
            .field("bucket", &self.bucket)
            .field("key", &self.key)
            .field("requested", &self.requested)
            .finish_non_exhaustive()
    }
}

/// An object whose data key was unwrapped and whose body is about to be opened.
pub struct SealedObject {
    info: ObjectInfo,
    reader: Reader,
    first: Option<FirstResponse>,
}

/// How the plaintext is read.
enum Reader {
    /// Part by part, each of them verified by itself; or unverified, as was asked for.
    Parts(Box<Download>),
    /// As one message, which is verified at its end.
    Whole(Box<WholeMessage>),
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
        match &self.reader {
            Reader::Parts(download) => download.window.clone(),
            Reader::Whole(content) => 0..content.plaintext_len,
        }
    }

    /// The plaintext in order, as a stream of verified pieces, up to one part in length each. Up to four parts are read
    /// ahead. An error in it means that the rest was not verified: use nothing of it as if it were the whole.
    ///
    /// An object of the S3 Encryption Client is held back until all of it has verified, up to
    /// [`crate::s3ec::S3ec::buffer_len`]; above that, the stream is an error: use [`SealedObject::to_file`], or
    /// [`SealedObject::release_unverified`].
    pub fn into_stream(self) -> PlaintextStream {
        match self.reader {
            Reader::Parts(download) => PlaintextStream::new(*download, self.first),
            Reader::Whole(content) => PlaintextStream::until_error(content.verified(self.first)),
        }
    }

    /// As [`SealedObject::into_stream`], but an object of the S3 Encryption Client is given out as it is decrypted, of any
    /// length: whether it was genuine is known only when the stream ends without an error.
    ///
    /// Whoever can write to the bucket can flip any bit of what comes before that. Use it only where all that was done with
    /// it can be undone.
    pub fn release_unverified(self) -> PlaintextStream {
        match self.reader {
            Reader::Parts(download) => PlaintextStream::new(*download, self.first),
            Reader::Whole(content) => PlaintextStream::until_error(content.unverified(self.first)),
        }
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
        match self.reader {
            Reader::Parts(download) => file::write(*download, self.first, path.as_ref()).await?,
            Reader::Whole(content) => content.into_file(self.first, path.as_ref()).await?,
        }
        Ok(self.info)
    }
}

impl fmt::Debug for SealedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedObject")
            .field("info", &self.info)
            .field("range", &self.range())
            .finish_non_exhaustive()
    }
}
