//! The one error of this crate: what failed, where, and what to do about it.

use std::fmt;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use sealwax_envelope::{Error as EnvelopeError, KeyringError, KeyringErrorKind};

use crate::aws_failure::{AwsFailure, Problem};

/// What kind of failure it is; [`ErrorKind::advice`] says what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// S3 or KMS denies the caller the call.
    AccessDenied,
    /// The key, the encryption context or the stored bytes are not the original ones. Which, cannot be told.
    Authentication,
    /// The object was replaced while it was being read. What was read before is of the older one.
    Changed,
    /// The object changed, or exists already, against the condition of the call.
    Conflict,
    /// The stored encryption context is not the one that the caller requires.
    ContextMismatch,
    /// There are no AWS credentials, or they have expired or are not known to AWS.
    Credentials,
    /// An argument cannot be used.
    InvalidInput,
    /// An inventory or a list of objects cannot be read, or is not whole.
    InvalidListing,
    /// A local file could not be read or written.
    Io,
    /// The wrapping key is disabled or pending deletion.
    KeyDisabled,
    /// There is no such wrapping key.
    KeyNotFound,
    /// The plan is cut off or not one, or the journal is of another job.
    JobMismatch,
    /// The object's metadata or body is not what a sealed object has.
    Malformed,
    /// Metadata would exceed what S3 stores.
    MetadataTooLarge,
    /// None of the object's wrapping keys belongs to the keyring.
    NoMatchingKey,
    /// There is no such object or bucket.
    NotFound,
    /// The object is still the one that the caller has, by the condition of the call.
    NotModified,
    /// The object exists, but Sealwax did not seal it.
    NotSealed,
    /// The object's wraps are bound to another place than the one that it is read from.
    PlaceMismatch,
    /// The object is of a kind that the client's policy does not let through.
    PolicyRefused,
    /// The service answered with an error that none of the other kinds covers.
    Service,
    /// The file is not what it was when its upload began.
    SourceChanged,
    /// The state file is of another upload: to another object, with another encryption context or other wrapping keys.
    StateFileMismatch,
    /// The service asks to slow down.
    Throttled,
    /// The object ends early.
    Truncated,
    /// The service does not answer: network, timeout, or its Region is down.
    Unavailable,
    /// What was asked for cannot be done with this object.
    Unsupported,
    /// Another process is at work on the upload that the state file describes.
    UploadBusy,
    /// The unfinished upload is no longer in S3: it was aborted, by hand or by a lifecycle rule, or completed.
    UploadNotFound,
    /// The bucket is in another Region than the client; the message names it, where S3 does.
    WrongRegion,
}

impl ErrorKind {
    /// One line on what to do.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::AccessDenied => {
                "check the caller's IAM policy, the bucket policy and the KMS key policy"
            }
            Self::Authentication => {
                "do not use this object: restore another version, or check that it was not changed or swapped"
            }
            Self::Changed => "read the object again from the start",
            Self::Conflict => "read the object again and decide anew",
            Self::ContextMismatch => {
                "inspect the object, and require the encryption context that it has if that is right"
            }
            Self::Credentials => "sign in, or set the credentials as for every AWS tool",
            Self::InvalidInput => "correct the argument",
            Self::InvalidListing => "take a complete inventory, or another list of the objects",
            Self::Io => "check the file, its permissions and the free space",
            Self::JobMismatch => "make a new plan, or name the journal of this job",
            Self::KeyDisabled => {
                "enable the KMS key or cancel its deletion, or use another of the object's keys"
            }
            Self::KeyNotFound => "check the key's ARN, account and Region",
            Self::Malformed => "restore another version of the object",
            Self::MetadataTooLarge => {
                "use fewer wrapping keys, a shorter encryption context or less metadata"
            }
            Self::NoMatchingKey => "add one of the object's wrapping keys to the keyring",
            Self::NotFound => "check the bucket, the key and the Region",
            Self::NotModified => "go on using what was read before",
            Self::NotSealed => "read it with a plain S3 client, or seal it",
            Self::PlaceMismatch => {
                "do as the message says if the object belongs there; if not, it may have been put there to deceive"
            }
            Self::PolicyRefused => {
                "allow such objects if they are expected; if not, this one may have been put there to deceive"
            }
            Self::Service => "see the service's message",
            Self::SourceChanged => {
                "abort the unfinished upload, delete its state file, and begin anew"
            }
            Self::StateFileMismatch => {
                "give the arguments that the upload began with, or another state file"
            }
            Self::Throttled => "retry later, or ask for a higher quota",
            Self::Truncated => "restore another version of the object",
            Self::Unavailable => "retry, or use a key and a bucket in another Region",
            Self::Unsupported => "see the message",
            Self::UploadBusy => "wait until the other process has ended",
            Self::UploadNotFound => "delete the upload's state file, if it has one, and begin anew",
            Self::WrongRegion => "use a client of the bucket's Region",
        }
    }

    /// Its name in reports, such as `no-matching-key`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "access-denied",
            Self::Authentication => "authentication",
            Self::Changed => "changed",
            Self::Conflict => "conflict",
            Self::ContextMismatch => "context-mismatch",
            Self::Credentials => "credentials",
            Self::InvalidInput => "invalid-input",
            Self::InvalidListing => "invalid-listing",
            Self::Io => "io",
            Self::JobMismatch => "job-mismatch",
            Self::KeyDisabled => "key-disabled",
            Self::KeyNotFound => "key-not-found",
            Self::Malformed => "malformed",
            Self::MetadataTooLarge => "metadata-too-large",
            Self::NoMatchingKey => "no-matching-key",
            Self::NotFound => "not-found",
            Self::NotModified => "not-modified",
            Self::NotSealed => "not-sealed",
            Self::PlaceMismatch => "place-mismatch",
            Self::PolicyRefused => "policy-refused",
            Self::Service => "service",
            Self::SourceChanged => "source-changed",
            Self::StateFileMismatch => "state-file-mismatch",
            Self::Throttled => "throttled",
            Self::Truncated => "truncated",
            Self::Unavailable => "unavailable",
            Self::Unsupported => "unsupported",
            Self::UploadBusy => "upload-busy",
            Self::UploadNotFound => "upload-not-found",
            Self::WrongRegion => "wrong-region",
        }
    }

    /// Whether the same call may succeed later without anything being changed.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Changed | Self::Throttled | Self::Unavailable | Self::UploadBusy)
    }
}

/// A failed operation on one object.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    object: String,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates an error of an operation such as `get` on an object: `s3://bucket/key`, or another
    /// name of what the operation works on. It reads "cannot OPERATION OBJECT: MESSAGE".
    ///
    /// ```
    /// use sealwax_s3::{Error, ErrorKind};
    ///
    /// let error = Error::new("read", "the list", ErrorKind::InvalidListing, "line 2 is empty");
    /// assert_eq!(error.to_string(), "cannot read the list: line 2 is empty");
    /// ```
    #[must_use]
    pub fn new(
        operation: &'static str,
        object: impl Into<String>,
        kind: ErrorKind,
        message: impl Into<String>,
    ) -> Self {
        let (object, message) = (object.into(), message.into());
        Self(Box::new(Inner { kind, operation, object, message, source: None }))
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed, such as `put`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The object, as `s3://bucket/key`.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.0.object
    }
}

impl Error {
    /// Describes a failed call that the application made itself with an SDK client.
    ///
    /// `operation` is a verb such as `list`, `object` its object such as `s3://bucket/key`, and
    /// `call` the API's name such as `ListObjectsV2`. `region` is the client's Region: it tells a
    /// bucket of another Region from a bad request. The SDK's error is not kept, because it may
    /// hold a whole response; its text without secrets becomes the [source].
    ///
    /// [source]: std::error::Error::source
    #[must_use]
    pub fn from_sdk<E>(
        operation: &'static str,
        object: impl Into<String>,
        call: &str,
        region: Option<&str>,
        error: &SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    {
        let failure = AwsFailure::new(error);
        let (kind, message) = judged(call, &failure, region);
        let mut error = Self::new(operation, object, kind, message);
        error.0.source = Some(failure.into());
        error
    }
}

impl Error {
    /// The same failure, and what it means.
    pub(crate) fn meaning(mut self, what: &str) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// The same failure, and what failed besides.
    pub(crate) fn and(mut self, what: &str) -> Self {
        self.0.message = format!("{}; {what}", self.0.message);
        self
    }

    /// What failed, without where.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The failure of the source, where that is an object of ours and is what failed.
    pub(crate) fn of_the_source(mut self) -> Self {
        let Some(source) = self.0.source.take() else { return self };
        match source.downcast::<std::io::Error>().map(|io| io.downcast::<Self>()) {
            Ok(Ok(ours)) => ours,
            Ok(Err(io)) => {
                self.0.source = Some(Box::new(io));
                self
            }
            Err(other) => {
                self.0.source = Some(other);
                self
            }
        }
    }

    /// The same failure, of the operation that it happened during.
    pub(crate) fn during(mut self, operation: &'static str) -> Self {
        self.0.operation = operation;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.0.operation {
            "head" => "look at",
            "list" => "list the objects of",
            operation => operation,
        };
        write!(f, "cannot {verb} {}: {}", self.0.object, self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Whether it was the caller's credentials that failed, and no key.
fn for_want_of_credentials(failure: &KeyringError) -> bool {
    let source =
        std::error::Error::source(failure).and_then(|source| source.downcast_ref::<AwsFailure>());
    source.is_some_and(|failure| failure.problem == Some(Problem::Credentials))
}

/// Kind and message of a failed call by a client of `region`.
fn judged(call: &str, failure: &AwsFailure, region: Option<&str>) -> (ErrorKind, String) {
    // HEAD has no body, so its status is all there is to go by.
    let kind = match (failure.code.as_deref(), failure.status) {
        _ if failure.problem == Some(Problem::Credentials) => ErrorKind::Credentials,
        _ if failure.problem == Some(Problem::NotBuilt) => ErrorKind::InvalidInput,
        (Some("SlowDown" | "ThrottlingException" | "RequestLimitExceeded"), _) | (_, Some(429)) => {
            ErrorKind::Throttled
        }
        (Some("InvalidObjectState" | "ObjectNotInActiveTierError"), _) => ErrorKind::Unsupported,
        (Some("NoSuchUpload"), _) => ErrorKind::UploadNotFound,
        (Some("MetadataTooLarge"), _) => ErrorKind::MetadataTooLarge,
        (_, Some(401 | 403)) => ErrorKind::AccessDenied,
        // (Amazon S3 API Reference, "Error responses": PermanentRedirect, AuthorizationHeaderMalformed.)
        (_, Some(301)) => ErrorKind::WrongRegion,
        (_, Some(400))
            if failure.bucket_region.is_some() && failure.bucket_region.as_deref() != region =>
        {
            ErrorKind::WrongRegion
        }
        (_, Some(304)) => ErrorKind::NotModified,
        (_, Some(404)) => ErrorKind::NotFound,
        (_, Some(409 | 412)) => ErrorKind::Conflict,
        (_, Some(501)) => ErrorKind::Unsupported,
        (_, None | Some(200..=299 | 500..)) => ErrorKind::Unavailable,
        _ => ErrorKind::Service,
    };
    let message = match kind {
        ErrorKind::NotFound => format!("{call} found no such object or bucket"),
        ErrorKind::UploadNotFound => {
            format!(
                "{call} found the unfinished upload gone: it was aborted, or has expired, or was completed"
            )
        }
        ErrorKind::Conflict => {
            format!("{call} met another state of the object than was required")
        }
        ErrorKind::NotModified => format!("{call} found the object unmodified"),
        ErrorKind::AccessDenied => format!("{call} was denied"),
        ErrorKind::WrongRegion => match &failure.bucket_region {
            Some(region) => {
                format!("{call} went to the wrong Region: the bucket is in {region}")
            }
            None => format!("{call} went to the wrong Region: the bucket is in another one"),
        },
        _ => format!("{call} failed"),
    };
    (kind, message)
}

/// What an operation works on; makes its errors.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) operation: &'static str,
    pub(crate) bucket: String,
    pub(crate) key: String,
    region: Option<String>,
}

impl Target {
    /// Takes the object that a fluent builder was given, if it was.
    pub(crate) fn new(
        operation: &'static str,
        s3: &aws_sdk_s3::Client,
        bucket: Option<String>,
        key: Option<String>,
    ) -> Result<Self, Error> {
        let region = s3.config().region().map(ToString::to_string);
        let target = Self {
            operation,
            bucket: bucket.unwrap_or_default(),
            key: key.unwrap_or_default(),
            region,
        };
        match () {
            () if target.bucket.is_empty() => {
                Err(target.error(ErrorKind::InvalidInput, "no bucket was given"))
            }
            () if target.key.is_empty() => {
                Err(target.error(ErrorKind::InvalidInput, "no key was given"))
            }
            () => Ok(target),
        }
    }

    /// All objects whose keys begin with `prefix`, which may be empty.
    pub(crate) fn of_prefix(
        operation: &'static str,
        s3: &aws_sdk_s3::Client,
        bucket: &str,
        prefix: &str,
    ) -> Result<Self, Error> {
        let target = Self::new(operation, s3, Some(bucket.to_owned()), Some("(all)".to_owned()))?;
        Ok(Self { key: prefix.to_owned(), ..target })
    }

    /// Another object of the same bucket.
    pub(crate) fn with_key(&self, key: String) -> Self {
        Self { key, ..self.clone() }
    }

    pub(crate) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            operation: self.operation,
            object: match &self.region {
                Some(region) => format!("s3://{}/{} in {region}", self.bucket, self.key),
                None => format!("s3://{}/{}", self.bucket, self.key),
            },
            message: message.into(),
            source: None,
        }))
    }

    fn caused(
        &self,
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        let mut error = self.error(kind, message);
        error.0.source = Some(source.into());
        error
    }

    pub(crate) fn io(&self, what: impl Into<String>, source: std::io::Error) -> Error {
        self.caused(ErrorKind::Io, what, source)
    }

    /// A failed S3 call. `call` is the API's name, such as `GetObject`.
    pub(crate) fn s3<E>(&self, call: &'static str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    {
        self.s3_failure(call, AwsFailure::new(error))
    }

    pub(crate) fn s3_failure(&self, call: &'static str, failure: AwsFailure) -> Error {
        let (kind, message) = judged(call, &failure, self.region.as_deref());
        self.caused(kind, message, failure)
    }

    /// A failure of the envelope core.
    pub(crate) fn envelope(&self, error: EnvelopeError) -> Error {
        let kind = match &error {
            EnvelopeError::Authentication => ErrorKind::Authentication,
            EnvelopeError::MetadataTooLarge { .. } => ErrorKind::MetadataTooLarge,
            EnvelopeError::NotSealed => ErrorKind::NotSealed,
            EnvelopeError::Truncated => ErrorKind::Truncated,
            EnvelopeError::UnsupportedFormat(_) => ErrorKind::Unsupported,
            EnvelopeError::ApiMisuse(_)
            | EnvelopeError::InvalidContext(_)
            | EnvelopeError::InvalidMetadata(_)
            | EnvelopeError::TooLong => ErrorKind::InvalidInput,
            EnvelopeError::RandomUnavailable => ErrorKind::Io,
            _ => ErrorKind::Malformed,
        };
        self.error(kind, error.to_string())
    }

    /// Wrapping keys that failed, at least one.
    pub(crate) fn keyring(&self, failures: Vec<KeyringError>) -> Error {
        // What the caller can act upon comes first; a cryptographic failure counts only where nothing else failed.
        const ORDER: [(KeyringErrorKind, ErrorKind); 6] = [
            (KeyringErrorKind::AccessDenied, ErrorKind::AccessDenied),
            (KeyringErrorKind::Disabled, ErrorKind::KeyDisabled),
            (KeyringErrorKind::Unavailable, ErrorKind::Unavailable),
            (KeyringErrorKind::Throttled, ErrorKind::Throttled),
            (KeyringErrorKind::NotFound, ErrorKind::KeyNotFound),
            (KeyringErrorKind::Other, ErrorKind::Service),
        ];
        let kind =
            ORDER.iter().find(|(kind, _)| failures.iter().any(|failure| failure.kind() == *kind));
        let Some((_, kind)) = kind else { return self.envelope(EnvelopeError::Authentication) };
        // No policy is to blame where KMS could not know who asks.
        let (kind, message) = match failures.iter().any(for_want_of_credentials) {
            true => (&ErrorKind::Credentials, "no credentials that KMS knows".to_owned()),
            false => {
                (kind, failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            }
        };
        let causes: Vec<_> = failures
            .iter()
            .filter_map(std::error::Error::source)
            .map(ToString::to_string)
            .collect();
        match causes.as_slice() {
            [] => self.error(*kind, message),
            causes => self.caused(*kind, message, causes.join("; ")),
        }
    }
}
