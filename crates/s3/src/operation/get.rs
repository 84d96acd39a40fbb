//! Reads and opens objects.

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
use sealwax_files::NewFile;
use tokio::io::AsyncBufRead;
use tracing::{Span, field::Empty};

use super::{ContextSetting, Handle, context_setters, head::Head, object_setters};
pub use crate::download::stream::PlaintextStream;
use crate::{
    download::{
        fetch::{Fetcher, FirstResponse},
        file::{self, PlaintextFile},
        parts::{Download, Opening},
        requested_range::RequestedRange,
        whole_message::WholeMessage,
    },
    error::{Error, ErrorKind, ObjectRef},
    format::ObjectFormat,
    object::ObjectInfo,
    progress::OnProgress,
    store::{
        conditions::{ReadConditions, read_condition_setters},
        ranged_get::{Pin, RangedAnswer, ranged_get},
    },
};

/// Reads and opens an object, or a range of it. No byte is released before it is verified.
///
/// The metadata tells whether an object is Sealwax's or the Amazon S3 Encryption Client's;
/// [`S3ec`](crate::s3ec::S3ec) sets which of the latter are read. The data key is unwrapped once.
/// Longer objects are fetched in parts, several at a time, all of the same version. A part whose
/// connection breaks is resumed after its last received byte.
///
/// ```no_run
/// # async fn example(client: sealwax_s3::SealedClient) -> Result<(), sealwax_s3::Error> {
/// let get = client.get().bucket("invoices").key("2026/0001.pdf").context("tenant", "acme");
///
/// // The whole object in memory, its first KiB, and the whole object as a file.
/// let plaintext = get.clone().send().await?.bytes().await?;
/// let start = get.clone().range(..1024).send().await?.bytes().await?;
/// let info = get.to_file("0001.pdf").await?;
/// println!("wrote {} bytes", info.plaintext_len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing happens before `send`, `to_file` or `ranges`"]
pub struct Get {
    handle: Handle,
    bucket: Option<String>,
    key: Option<String>,
    version_id: Option<String>,
    conditions: ReadConditions,
    context: ContextSetting,
    accepted_places: Vec<String>,
    any_encryption_context: bool,
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
            any_encryption_context: false,
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

    /// Reads only these bytes of the plaintext, counted from 0: `10..20`, `10..`, `..=19`.
    ///
    /// The range is cut off at the object's end. Only the chunks that hold it are fetched. A range
    /// that ends before the object does says nothing about the object's length.
    pub fn range(mut self, range: impl RangeBounds<u64>) -> Self {
        self.requested = RequestedRange::range(range);
        self
    }

    /// Reads only these bytes as [`Get::range`] does, but also of an object of the S3 Encryption
    /// Client, where nothing authenticates a range.
    ///
    /// # Danger
    /// Anyone who can write to the bucket can flip any bit of what is read of such an object.
    pub fn dangerous_unauthenticated_range(mut self, range: impl RangeBounds<u64>) -> Self {
        self.unauthenticated_range = true;
        self.range(range)
    }

    /// Reads only the last `len` bytes of the plaintext, or all of it if it is shorter. The
    /// object's end is authenticated.
    pub fn suffix(mut self, len: u64) -> Self {
        self.requested = RequestedRange::Suffix(len);
        self
    }

    context_setters!(
        /// Requires these pairs: an object whose encryption context lacks any of them is refused
        /// with [`ErrorKind::ContextMismatch`], before any call to KMS.
        ///
        /// For an object of the S3 Encryption Client, they must be its whole encryption context,
        /// unless [`S3ec::any_encryption_context`] is set.
        ///
        /// [`S3ec::any_encryption_context`]: crate::s3ec::S3ec::any_encryption_context
    );

    /// Accepts wrapped keys that are bound to `place` (`bucket/key`), for this read only.
    pub fn accept_place(mut self, place: impl Into<String>) -> Self {
        self.accepted_places.push(place.into());
        self
    }

    /// Accepts any encryption context of an object of the S3 Encryption Client.
    pub(crate) fn any_encryption_context(mut self) -> Self {
        self.any_encryption_context = true;
        self
    }

    /// Calls `on_progress` with the number of plaintext bytes opened since its last call.
    pub fn on_progress(mut self, on_progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(on_progress));
        self
    }

    /// Sends the first request, unwraps the data key and checks the object's commitment to it.
    ///
    /// The returned [`SealedObject`] reads the plaintext.
    ///
    /// # Errors
    /// * [`ErrorKind::NotFound`] if the object does not exist;
    /// * [`ErrorKind::NotSealed`] if no client encrypted the object, unless the client passes such
    ///   objects through;
    /// * [`ErrorKind::Malformed`] or [`ErrorKind::Truncated`] if the object is damaged;
    /// * [`ErrorKind::ContextMismatch`] if the encryption context is not the required one;
    /// * [`ErrorKind::PlaceMismatch`] if the wrapped keys are bound to another place;
    /// * [`ErrorKind::NoMatchingKey`] if the keyring has none of the object's wrapping keys;
    /// * [`ErrorKind::Authentication`] if the key, the encryption context or the stored bytes are
    ///   not the original ones;
    /// * [`ErrorKind::InvalidInput`] if an argument is missing or invalid, or the object has no
    ///   byte of the requested range;
    /// * [`ErrorKind::Conflict`] or [`ErrorKind::NotModified`] if a condition does not hold;
    /// * the failure of a wrapping key or of S3.
    #[tracing::instrument(
        name = "get",
        skip_all,
        fields(bucket = self.bucket, key = self.key, bytes = Empty),
        err(level = "debug")
    )]
    pub async fn send(self) -> Result<SealedObject, Error> {
        let store = &self.handle.store;
        let target = ObjectRef::new("get", store.s3(), self.bucket.clone(), self.key.clone())?;
        let context = self.context.clone().build(&target)?;
        self.requested.check().map_err(|message| target.error(ErrorKind::InvalidInput, message))?;
        let OpeningResponse { info, stored_len, pin, first } =
            Box::pin(self.first_response(&target)).await?;
        let Some(window) = self.requested.window(info.plaintext_len()) else {
            return Err(beyond_the_end(&target, info.plaintext_len()));
        };
        Span::current().record("bytes", window.end - window.start);
        let fetcher = Fetcher { store: store.clone(), target, pin, stored_len };
        let opening = ObjectOpening { get: &self, context, fetcher, window };
        let reader = match info.format() {
            ObjectFormat::Sealwax(header) => opening.sealed(header, &info).await?,
            ObjectFormat::S3ec(envelope) => opening.s3ec(envelope, &info, stored_len).await?,
            ObjectFormat::Unencrypted => opening.unencrypted(&info)?,
        };
        Ok(SealedObject { info, reader, first })
    }

    /// Reads the object into a file at `path`.
    ///
    /// The file appears, or replaces an existing one, only after all of it is verified: whole, or
    /// not at all. Until then, it has mode 0600 and an unpredictable name in the same folder. An
    /// existing file's mode, owner and group are kept; a new file gets those of any new file. A
    /// symbolic link to a regular file is followed. Other links, special files and folders are
    /// refused. ([`files`](crate::files) has the whole policy.)
    ///
    /// # Errors
    /// As [`Get::send`], and [`ErrorKind::Io`] if the file cannot be written. On failure, no file
    /// is left behind.
    pub async fn to_file(self, path: impl AsRef<Path>) -> Result<ObjectInfo, Error> {
        self.send().await?.to_file(path).await
    }

    /// Reads several ranges of the plaintext (ends exclusive), and unwraps the data key once.
    ///
    /// Ranges that lie close together share one request. The results are in the order of `ranges`.
    ///
    /// # Errors
    /// As [`Get::send`], and [`ErrorKind::InvalidInput`] if a range is empty or ends beyond the
    /// object.
    pub async fn ranges(mut self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let Some(first) = ranges::coalesce(ranges).into_iter().next() else {
            return Ok(Vec::new());
        };
        self.requested = RequestedRange::range(first);
        ranges::read(self.send().await?, ranges).await
    }

    /// Sends the first `GetObject`, for the metadata and the first part of the requested bytes.
    async fn first_response(&self, target: &ObjectRef) -> Result<OpeningResponse, Error> {
        let Handle { store, vault, .. } = &self.handle;
        let pin = Pin { version_id: self.version_id.clone(), conditions: self.conditions.clone() };
        let range = self.requested.first_request(store.part_len());
        match ranged_get(store.s3(), target, &pin, &range).await {
            Ok(RangedAnswer { output, start, total }) => {
                let format = vault.format_of(store, target, output.metadata()).await?;
                let info = ObjectInfo::of_get(target, &output, format)?;
                let pin = Pin::new(pin.version_id.or(output.version_id), output.e_tag);
                let first = Some((output.body, start));
                Ok(OpeningResponse { info, stored_len: total, pin, first })
            }
            // The object has none of these bytes. The error depends on its format: it may not be
            // sealed.
            Err(failure) if failure.status() == Some(416) => {
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
                Ok(OpeningResponse { info, stored_len, pin, first: None })
            }
            Err(failure) => Err(failure.into_error(target)),
        }
    }
}

/// Content of the first response, and the version that it came from.
struct OpeningResponse {
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
        check_context(target, header.context(), &self.context)?;
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
        let Get { handle, any_encryption_context, requested, unauthenticated_range, .. } = self.get;
        let (vault, target) = (&handle.vault, &self.fetcher.target);
        let is_whole = *requested == RequestedRange::Whole;
        if !is_whole && !unauthenticated_range {
            let message = "a range of an object of the S3 Encryption Client cannot be \
                           authenticated: read the whole object, or allow an unauthenticated range";
            return Err(target.error(ErrorKind::Unsupported, message));
        }
        let admitted =
            vault.admit(target, envelope.clone(), &self.context, *any_encryption_context)?;
        let data_key = vault.unwrap_s3ec(target, &admitted).await?;
        tracing::debug!(stored_len, format = %envelope.format(), "opening");
        if !is_whole {
            let opener = admitted
                .dangerous_range_opener(&data_key)
                .map_err(|error| target.s3ec_error(error))?;
            return Ok(self.parts(info, Opening::UnverifiedRange(Arc::new(opener))));
        }
        let opener =
            admitted.opener(&data_key, stored_len).map_err(|error| target.s3ec_error(error))?;
        Ok(Reader::Whole(Box::new(WholeMessage {
            opener,
            stored_len,
            plaintext_len: info.plaintext_len(),
            max_buffer_len: vault.s3ec().max_buffer_len(),
            fetcher: self.fetcher,
            on_progress: self.get.on_progress.clone(),
        })))
    }

    /// Reads an object that is not encrypted, and that the client's policy passes through.
    fn unencrypted(self, info: &ObjectInfo) -> Result<Reader, Error> {
        check_no_context(&self.fetcher.target, &self.context)?;
        Ok(self.parts(info, Opening::Unencrypted))
    }

    fn parts(self, info: &ObjectInfo, opening: Opening) -> Reader {
        Reader::Parts(Box::new(Download {
            fetcher: self.fetcher,
            opening,
            plaintext_len: info.plaintext_len(),
            window: self.window,
            on_progress: self.get.on_progress.clone(),
            buffers: Arc::default(),
        }))
    }
}

/// Requires pairs of an object's encryption context.
pub(super) fn check_context(
    target: &ObjectRef,
    stored: &EncryptionContext,
    required: &EncryptionContext,
) -> Result<(), Error> {
    let lacks = |(name, value): &(&str, &str)| stored.get(name) != Some(value);
    match required.iter().find(lacks) {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!("its encryption context does not have the required {name:?}");
            Err(target.error(ErrorKind::ContextMismatch, message))
        }
    }
}

/// Refuses an object that is not encrypted if pairs are required.
pub(super) fn check_no_context(
    target: &ObjectRef,
    required: &EncryptionContext,
) -> Result<(), Error> {
    if required.is_empty() {
        return Ok(());
    }
    let message = "an encryption context is required, and the object is not encrypted";
    Err(target.error(ErrorKind::ContextMismatch, message))
}

fn beyond_the_end(target: &ObjectRef, plaintext_len: u64) -> Error {
    target.error(
        ErrorKind::InvalidInput,
        format!("the range starts beyond the object's end: the object has {plaintext_len} bytes"),
    )
}

impl fmt::Debug for Get {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get")
            .field("bucket", &self.bucket)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// An object whose data key is unwrapped and whose plaintext is ready to be read.
///
/// ```no_run
/// use futures_util::TryStreamExt as _;
/// use sealwax_s3::{Error, SealedClient};
///
/// # async fn example(client: &SealedClient) -> Result<(), Error> {
/// let object = client.get().bucket("invoices").key("2026/1.json").send().await?;
/// assert_eq!(object.info().content_type.as_deref(), Some("application/json"));
/// let text = object.text().await?;
///
/// // A large object, piece by piece: each piece was verified before it is returned.
/// let object = client.get().bucket("invoices").key("2026.tar").send().await?;
/// let mut pieces = object.into_stream();
/// while let Some(piece) = pieces.try_next().await? {
///     println!("{} bytes", piece.len());
/// }
/// # Ok(())
/// # }
/// ```
pub struct SealedObject {
    info: ObjectInfo,
    reader: Reader,
    first: Option<FirstResponse>,
}

/// Way of reading the plaintext.
enum Reader {
    /// In parts, each verified on its own; or unverified, if the caller allowed it.
    Parts(Box<Download>),
    /// As one message, which is verified at its end.
    Whole(Box<WholeMessage>),
}

impl SealedObject {
    /// Returns the properties of the object.
    #[must_use]
    pub fn info(&self) -> &ObjectInfo {
        &self.info
    }

    /// Returns the range of the plaintext that is read (end exclusive): the requested range, or the
    /// whole plaintext.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        match &self.reader {
            Reader::Parts(download) => download.window.clone(),
            Reader::Whole(content) => 0..content.plaintext_len,
        }
    }

    /// Returns the plaintext in order, as a stream of verified pieces of up to one part each.
    ///
    /// Up to four parts are read ahead. An error in the stream means that the rest was not
    /// verified: do not use the pieces before it as if they were the whole plaintext.
    ///
    /// An object of the S3 Encryption Client is held back until all of it is verified, up to
    /// [`S3ec::buffer_len`](crate::s3ec::S3ec::buffer_len). For a longer object, the stream returns
    /// an error: use [`SealedObject::to_file`] or [`SealedObject::release_unverified`].
    pub fn into_stream(self) -> PlaintextStream {
        match self.reader {
            Reader::Parts(download) => PlaintextStream::new(*download, self.first),
            Reader::Whole(content) => PlaintextStream::until_error(content.verified(self.first)),
        }
    }

    /// Returns the plaintext as [`SealedObject::into_stream`] does, in pieces of at most 256 KiB and
    /// without reading ahead, for a reader that may be slow. One piece is held in memory, and what the
    /// connection has received.
    pub fn into_slow_stream(self) -> PlaintextStream {
        match self.reader {
            Reader::Parts(download) => PlaintextStream::in_turn(*download, self.first),
            Reader::Whole(content) => PlaintextStream::until_error(content.verified(self.first)),
        }
    }

    /// Returns the plaintext as [`SealedObject::into_stream`] does, but releases an object of the
    /// S3 Encryption Client, of any length, while it is decrypted.
    ///
    /// Only a stream that ends without an error shows that the object was genuine.
    ///
    /// # Danger
    /// Anyone who can write to the bucket can flip any bit of what is released before the end. Use
    /// it only if everything done with the plaintext can be undone.
    pub fn release_unverified(self) -> PlaintextStream {
        match self.reader {
            Reader::Parts(download) => PlaintextStream::new(*download, self.first),
            Reader::Whole(content) => PlaintextStream::until_error(content.unverified(self.first)),
        }
    }

    /// Returns the plaintext in order, as a reader.
    #[must_use]
    pub fn into_async_read(self) -> impl AsyncBufRead + Send + use<> {
        tokio_util::io::StreamReader::new(self.into_stream().map_err(std::io::Error::other))
    }

    /// Returns the whole plaintext, or the whole requested range.
    ///
    /// # Errors
    /// As the stream's.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        let mut object = self;
        let len = object.range().end - object.range().start;
        if let Reader::Parts(download) = &object.reader
            && let Some(whole) = download.only_part(&mut object.first).await?
        {
            return Ok(whole);
        }
        let mut pieces = object.into_stream();
        let first = pieces.try_next().await?.unwrap_or_default();
        // The store claims the length: the first allocation is in proportion to what was verified.
        let room = usize::try_from(len).unwrap_or_default().min(8 * first.len());
        let whole = BytesMut::with_capacity(room);
        let append = |mut whole: BytesMut, piece: Bytes| async move {
            whole.extend_from_slice(&piece);
            Ok(whole)
        };
        Ok(pieces.try_fold(append(whole, first).await?, append).await?.freeze())
    }

    /// Returns the whole plaintext, or the whole requested range, as text.
    ///
    /// # Errors
    /// As [`SealedObject::bytes`]; [`ErrorKind::InvalidInput`] if the plaintext is not UTF-8.
    pub async fn text(self) -> Result<String, Error> {
        let target = self.target().clone();
        String::from_utf8(self.bytes().await?.into())
            .map_err(|_| target.error(ErrorKind::InvalidInput, "the plaintext is not UTF-8"))
    }

    /// Writes the plaintext to a file, as [`Get::to_file`] does.
    ///
    /// # Errors
    /// As [`Get::to_file`].
    pub async fn to_file(self, path: impl AsRef<Path>) -> Result<ObjectInfo, Error> {
        let new = PlaintextFile::create(path.as_ref(), self.target()).await?;
        self.to_new_file(new).await
    }

    /// Writes the plaintext to a new file, such as one in a [`Folder`](crate::files::Folder).
    ///
    /// The file gets its name only after all of the plaintext is verified. On failure, it is
    /// removed.
    ///
    /// # Errors
    /// As [`Get::to_file`].
    pub async fn to_new_file(self, new: NewFile) -> Result<ObjectInfo, Error> {
        match self.reader {
            Reader::Parts(download) => {
                file::write(*download, self.first, new).await?;
                Ok(self.info)
            }
            Reader::Whole(content) => {
                let len = content.into_file(self.first, new).await?;
                Ok(self.info.with_opened_len(len))
            }
        }
    }

    fn target(&self) -> &ObjectRef {
        match &self.reader {
            Reader::Parts(download) => download.target(),
            Reader::Whole(content) => &content.fetcher.target,
        }
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
