//! The error of this crate: what failed, where, and what to do about it.

pub(crate) mod aws_failure;

use std::fmt;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use sealwax_envelope::{
    Error as EnvelopeError, KeyringError, KeyringErrorKind, s3ec::Error as FormatError,
};

pub use self::aws_failure::error_chain;
use self::aws_failure::{AwsFailure, Problem};
use crate::{
    causes::with_causes,
    limits::{MAX_BUCKET_LEN, MAX_KEY_LEN},
};

/// Kind of a failure. [`ErrorKind::advice`] says what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// S3 or KMS denied the call.
    AccessDenied,
    /// The store does not tell the object's access control list (ACL), which a copy would lose.
    AclUnreadable,
    /// The object is in an archive, such as S3 Glacier Deep Archive, and must be restored first.
    Archived,
    /// The key, the encryption context or the stored bytes are not the original ones. Which of
    /// them is wrong can't be told.
    Authentication,
    /// The object was replaced while it was being read. Everything read before is of the older one.
    Changed,
    /// A precondition of the call does not hold: the object changed, or exists already.
    Conflict,
    /// This machine's clock is more than 15 minutes off, so S3 rejects the signatures of requests.
    ClockSkew,
    /// Another write of the object was in progress, and S3 decided neither way.
    ConcurrentWrite,
    /// The store ignores the condition of a write, so the write could replace an object that the
    /// condition protects.
    ConditionIgnored,
    /// The stored encryption context is not the required one.
    ContextMismatch,
    /// There are no AWS credentials, they have expired, or AWS does not know them.
    Credentials,
    /// KMS or STS would have been called over plain HTTP, and was not: [`PlainHttp`].
    ///
    /// [`PlainHttp`]: crate::PlainHttp
    InsecureEndpoint,
    /// An argument is invalid.
    InvalidInput,
    /// A list of objects or an inventory is incomplete or can't be read.
    InvalidListing,
    /// A local file could not be read or written.
    Io,
    /// This process has as many open files and connections as the system allows.
    TooManyFiles,
    /// The wrapping key is disabled or pending deletion.
    KeyDisabled,
    /// The wrapping key does not exist.
    KeyNotFound,
    /// The object's wrapped keys are in a key store alone, and none that the keyring can use is there
    /// yet, or any more. The object is not shredded: replication may bring the key object later.
    KeyObjectMissing,
    /// The plan is incomplete or not a plan, or the journal belongs to another job.
    JobMismatch,
    /// Another process holds the lock of the state file or of the journal.
    Locked,
    /// The object's metadata or body is not that of a sealed object.
    Malformed,
    /// The metadata would exceed S3's limit.
    MetadataTooLarge,
    /// The keyring has none of the object's wrapping keys.
    NoMatchingKey,
    /// The bucket does not exist.
    NoSuchBucket,
    /// The object does not exist; or the bucket, where S3's answer does not tell which.
    NotFound,
    /// The object is still the one that the caller has, by the condition of the call.
    NotModified,
    /// The object exists, but Sealwax did not seal it.
    NotSealed,
    /// The object's wrapped keys are bound to another place than the one that it is read from.
    PlaceMismatch,
    /// The client's policy refuses objects of this kind.
    PolicyRefused,
    /// The service answered with an error that no other kind covers, or not as its API says.
    Service,
    /// The object was shredded: its keys are gone for good.
    Shredded,
    /// The file changed since its upload began.
    SourceChanged,
    /// The state file describes another upload: to another object, with another encryption
    /// context, or with other wrapping keys.
    StateFileMismatch,
    /// The service asks for fewer requests.
    Throttled,
    /// The object ends early.
    Truncated,
    /// The service does not answer: network, timeout, or an outage of its Region.
    Unavailable,
    /// The name of the service's host is unknown, or cannot be looked up.
    UnknownHost,
    /// The object was copied, and the copy may lack some of its keys: the source was kept.
    Unproven,
    /// The operation is not possible with this object.
    Unsupported,
    /// The certificate of the service's host is not trusted.
    UntrustedHost,
    /// The multipart upload no longer exists in S3: it was aborted, manually or by a lifecycle
    /// rule, or completed.
    UploadNotFound,
    /// The bucket is in another Region than the client. The message names the Region if S3 does.
    WrongRegion,
}

impl ErrorKind {
    /// Returns advice in one line.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::AccessDenied => {
                "check the caller's IAM policy, the bucket policy and the KMS key policy"
            }
            Self::AclUnreadable => {
                "retry, or ignore ACLs if the store's objects have none of their own"
            }
            Self::Archived => "restore the object, and wait until it is restored",
            Self::Authentication => {
                "do not use this object: restore another version, or check whether it was changed \
                 or swapped"
            }
            Self::Changed => "read the object again from the start",
            Self::ClockSkew => {
                "set the clock, for example by NTP: request signatures contain the time"
            }
            Self::ConcurrentWrite => "store the object again, from the start",
            Self::ConditionIgnored => {
                "use a store that honours conditional writes, or have one writer at a time look at \
                 the object and write it without a condition"
            }
            Self::Conflict => "read the object again before you retry",
            Self::ContextMismatch => {
                "inspect the object, and require its encryption context if it is the right one"
            }
            Self::Credentials => "sign in, or set the credentials as for any AWS tool",
            Self::InsecureEndpoint => "use an https:// endpoint for KMS and STS",
            Self::InvalidInput => "correct the argument",
            Self::InvalidListing => "use a complete inventory, or another list of the objects",
            Self::Io => "check the file, its permissions and the free space",
            Self::JobMismatch => "make a new plan, or use the journal of this job",
            Self::KeyDisabled => {
                "enable the KMS key or cancel its deletion, or use another of the object's keys"
            }
            Self::KeyNotFound => "check the key's ARN, account and Region",
            Self::KeyObjectMissing => {
                "retry when replication has caught up, or use a wrapping key that the key store has"
            }
            Self::Locked => "wait until the other process has ended",
            Self::Malformed => "restore another version of the object",
            Self::MetadataTooLarge => {
                "use fewer wrapping keys, a shorter encryption context or less metadata"
            }
            Self::NoMatchingKey => "add one of the object's wrapping keys to the keyring",
            Self::NoSuchBucket => "check the bucket's name and its Region",
            Self::NotFound => "check the bucket, the key and the Region",
            Self::NotModified => "use the bytes that you already have",
            Self::NotSealed => "read it with a plain S3 client, or seal it",
            Self::PlaceMismatch => {
                "follow the message if the object belongs there; otherwise an attacker may \
                 have put it there"
            }
            Self::PolicyRefused => {
                "allow such objects if you expect them; otherwise an attacker may have put \
                 this one there"
            }
            Self::Service => "see the message, and check that the endpoint is one of this service",
            Self::Shredded => "delete the object when the record of it is no longer needed",
            Self::SourceChanged => {
                "abort the incomplete upload, delete its state file, and upload the file again"
            }
            Self::StateFileMismatch => {
                "use the arguments that the upload began with, or another state file"
            }
            Self::Throttled => "retry later, or request a higher quota",
            Self::TooManyFiles => {
                "raise the limit of open files (ulimit -n), or work on fewer objects at a time"
            }
            Self::Truncated => "restore another version of the object",
            Self::Unavailable => "retry, or use a key and a bucket in another Region",
            Self::UnknownHost => "check the endpoint's host, the Region's name and the network",
            Self::Unproven => "rewrap the copy, or allow an unproven move",
            Self::Unsupported => "see the message",
            Self::UntrustedHost => {
                "check the endpoint's host, or trust its certificate authority (SSL_CERT_FILE)"
            }
            Self::UploadNotFound => {
                "delete the upload's state file, if it has one, and upload the file again"
            }
            Self::WrongRegion => "use a client of the bucket's Region",
        }
    }

    /// Returns the kind's name in reports, such as `no-matching-key`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "access-denied",
            Self::AclUnreadable => "acl-unreadable",
            Self::Archived => "archived",
            Self::Authentication => "authentication",
            Self::Changed => "changed",
            Self::ClockSkew => "clock-skew",
            Self::ConcurrentWrite => "concurrent-write",
            Self::ConditionIgnored => "condition-ignored",
            Self::Conflict => "conflict",
            Self::ContextMismatch => "context-mismatch",
            Self::Credentials => "credentials",
            Self::InsecureEndpoint => "insecure-endpoint",
            Self::InvalidInput => "invalid-input",
            Self::InvalidListing => "invalid-listing",
            Self::Io => "io",
            Self::JobMismatch => "job-mismatch",
            Self::KeyDisabled => "key-disabled",
            Self::KeyNotFound => "key-not-found",
            Self::KeyObjectMissing => "key-object-missing",
            Self::Locked => "locked",
            Self::Malformed => "malformed",
            Self::MetadataTooLarge => "metadata-too-large",
            Self::NoMatchingKey => "no-matching-key",
            Self::NoSuchBucket => "no-such-bucket",
            Self::NotFound => "not-found",
            Self::NotModified => "not-modified",
            Self::NotSealed => "not-sealed",
            Self::PlaceMismatch => "place-mismatch",
            Self::PolicyRefused => "policy-refused",
            Self::Service => "service",
            Self::Shredded => "shredded",
            Self::SourceChanged => "source-changed",
            Self::StateFileMismatch => "state-file-mismatch",
            Self::Throttled => "throttled",
            Self::TooManyFiles => "too-many-files",
            Self::Truncated => "truncated",
            Self::Unavailable => "unavailable",
            Self::UnknownHost => "unknown-host",
            Self::Unproven => "unproven",
            Self::Unsupported => "unsupported",
            Self::UntrustedHost => "untrusted-host",
            Self::UploadNotFound => "upload-not-found",
            Self::WrongRegion => "wrong-region",
        }
    }

    /// `true` if the same call may succeed later although nothing else changes.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::AclUnreadable
                | Self::Changed
                | Self::ConcurrentWrite
                | Self::KeyObjectMissing
                | Self::Locked
                | Self::Throttled
                | Self::TooManyFiles
                | Self::Unavailable
                | Self::UnknownHost
        )
    }
}

/// A failed operation on one object.
///
/// It displays as `cannot get s3://bucket/key in us-east-1: why`. It holds no secret: AWS responses
/// are reduced to text.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    operation: &'static str,
    object: String,
    message: String,
    answer: Option<Answer>,
    /// `true` if a key service did not answer for one of the keys, or asks for fewer requests.
    has_unasked_key: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Identification of a failed call in the service's own logs.
#[derive(Debug, Clone, Default)]
struct Answer {
    status: Option<u16>,
    code: Option<String>,
    request_id: Option<String>,
    extended_request_id: Option<String>,
    e_tag: Option<String>,
    is_delete_marker: bool,
    version_id: Option<String>,
}

impl Error {
    /// Returns the kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// `true` if the same call may succeed later although nothing else changes: by its kind, or
    /// because one of several wrapping keys could not be asked.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable() || self.0.has_unasked_key
    }

    /// Returns the failed operation, such as `put`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Returns the object, as `s3://bucket/key`, and its Region if known.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.0.object
    }

    /// Returns what failed, without where.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the HTTP status of S3's answer, if S3 answered the failed call.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.answer.as_ref()?.status
    }

    /// Returns S3's error code, such as `NoSuchKey`. Answers to HEAD requests have none.
    #[must_use]
    pub fn service_code(&self) -> Option<&str> {
        self.0.answer.as_ref()?.code.as_deref()
    }

    /// `true` if S3 says that the version is a delete marker: the current one, or the named one.
    #[must_use]
    pub fn is_delete_marker(&self) -> bool {
        self.0.answer.as_ref().is_some_and(|answer| answer.is_delete_marker)
    }

    /// Returns the version that S3's answer names, such as a delete marker's.
    #[must_use]
    pub fn version_id(&self) -> Option<&str> {
        self.0.answer.as_ref()?.version_id.as_deref()
    }

    /// Returns the request id of S3's answer, which AWS Support asks for.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.answer.as_ref()?.request_id.as_deref()
    }

    /// Returns the extended request id of S3's answer, which AWS Support asks for.
    #[must_use]
    pub fn extended_request_id(&self) -> Option<&str> {
        self.0.answer.as_ref()?.extended_request_id.as_deref()
    }

    /// Returns the object's entity tag, if S3's answer names it: that of [`ErrorKind::NotModified`].
    #[must_use]
    pub fn e_tag(&self) -> Option<&str> {
        self.0.answer.as_ref()?.e_tag.as_deref()
    }

    /// Describes a failure in the terms of this crate, for tools that build on it.
    ///
    /// `operation` is a verb such as `list`, and `object` its object, such as `s3://bucket/key` or
    /// `the plan`.
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
        Self(Box::new(Inner {
            kind,
            operation,
            object,
            message,
            answer: None,
            has_unasked_key: false,
            source: None,
        }))
    }

    /// Adds the cause, which must hold no secret.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

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
        Self::from_failure(operation, object, call, region, AwsFailure::new(error))
    }

    fn from_failure(
        operation: &'static str,
        object: impl Into<String>,
        call: &str,
        region: Option<&str>,
        failure: AwsFailure,
    ) -> Self {
        let (kind, message) = judged(call, &failure, region);
        let mut error = Self::new(operation, object, kind, message);
        error.0.answer = Some(Answer {
            status: failure.status,
            code: failure.code.clone(),
            request_id: failure.request_id.clone(),
            extended_request_id: failure.extended_request_id.clone(),
            e_tag: failure.e_tag.clone(),
            is_delete_marker: failure.is_delete_marker,
            version_id: failure.version_id.clone(),
        });
        error.0.source = Some(failure.into());
        error
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Replaces the message.
    pub(crate) fn with_message(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Prefixes the message: `prefix: message`.
    pub(crate) fn with_prefix(mut self, prefix: &str) -> Self {
        self.0.message = format!("{prefix}: {}", self.0.message);
        self
    }

    /// Appends to the message: `message; suffix`.
    pub(crate) fn with_suffix(mut self, suffix: &str) -> Self {
        self.0.message = format!("{}; {suffix}", self.0.message);
        self
    }

    /// Changes the operation to the one that the failed step was part of.
    pub(crate) fn in_operation(mut self, operation: &'static str) -> Self {
        self.0.operation = operation;
        self
    }

    /// Returns the plaintext source's error if it is one of ours, and `self` otherwise.
    pub(crate) fn or_from_source(mut self) -> Self {
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
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.0.operation {
            "head" => "read the header of",
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

/// `true` if the system refused another open file or connection, to this process or to all. The
/// error may be a cause of `error`.
pub fn has_too_many_files(error: &(dyn std::error::Error + 'static)) -> bool {
    // Linux's and macOS's ENFILE and EMFILE, which the standard library has no kind for.
    const CODES: [i32; 2] = [23, 24];
    with_causes(error).any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.and_then(std::io::Error::raw_os_error).is_some_and(|code| CODES.contains(&code))
    })
}

/// `true` if this is the problem of a call to a key service.
fn has_problem(failure: &KeyringError, problem: Problem) -> bool {
    let source = std::error::Error::source(failure);
    let failure = source.and_then(|source| source.downcast_ref::<AwsFailure>());
    failure.is_some_and(|failure| failure.problem == Some(problem))
}

/// Says what is wrong with the credentials that KMS got.
fn credentials_message(failures: &[KeyringError]) -> String {
    match failures.iter().any(|failure| has_problem(failure, Problem::NoCredentials)) {
        true => NO_CREDENTIALS.to_owned(),
        false => "the AWS credentials have expired, or KMS does not know them".to_owned(),
    }
}

/// `true` if the caller's credentials failed, and not a key.
fn is_credentials_failure(failure: &KeyringError) -> bool {
    let source =
        std::error::Error::source(failure).and_then(|source| source.downcast_ref::<AwsFailure>());
    source.is_some_and(AwsFailure::is_credentials_problem)
}

/// Message of a call that had no credentials to be signed with.
const NO_CREDENTIALS: &str = "there are no AWS credentials";

/// Kind and message of a failed call by a client of `region`.
fn judged(call: &str, failure: &AwsFailure, region: Option<&str>) -> (ErrorKind, String) {
    // HEAD has no body, so its status is all there is to go by.
    let kind = match (failure.code.as_deref(), failure.status) {
        _ if failure.is_credentials_problem() => ErrorKind::Credentials,
        _ if failure.problem == Some(Problem::UnknownHost) => ErrorKind::UnknownHost,
        _ if failure.problem == Some(Problem::UntrustedHost) => ErrorKind::UntrustedHost,
        _ if failure.problem == Some(Problem::PlainHttp) => ErrorKind::InsecureEndpoint,
        _ if failure.problem == Some(Problem::NotBuilt) => ErrorKind::InvalidInput,
        _ if failure.problem == Some(Problem::TooManyFiles) => ErrorKind::TooManyFiles,
        (Some("RequestTimeTooSkewed"), _) => ErrorKind::ClockSkew,
        (None, Some(403)) if failure.is_clock_off() => ErrorKind::ClockSkew,
        _ if failure.is_throttled() => ErrorKind::Throttled,
        // The body did not arrive in time.
        (Some("RequestTimeout"), _) | (_, Some(408)) => ErrorKind::Unavailable,
        (Some("InvalidObjectState" | "ObjectNotInActiveTierError"), _) => ErrorKind::Archived,
        (Some("NoSuchUpload"), _) => ErrorKind::UploadNotFound,
        (Some("MetadataTooLarge"), _) => ErrorKind::MetadataTooLarge,
        (_, Some(401 | 403)) => ErrorKind::AccessDenied,
        // KMS answers with 400 to all.
        (Some("AccessDeniedException"), Some(400)) => ErrorKind::AccessDenied,
        (Some("NotFoundException"), Some(400)) => ErrorKind::KeyNotFound,
        // (Amazon S3 API Reference, "Error responses": PermanentRedirect, AuthorizationHeaderMalformed.)
        (_, Some(301)) => ErrorKind::WrongRegion,
        (_, Some(400))
            if failure.bucket_region.is_some() && failure.bucket_region.as_deref() != region =>
        {
            ErrorKind::WrongRegion
        }
        (_, Some(304)) => ErrorKind::NotModified,
        (Some("NoSuchBucket"), _) => ErrorKind::NoSuchBucket,
        (_, Some(404)) => ErrorKind::NotFound,
        // (Amazon S3 User Guide, "Conditional write behavior".)
        _ if call == "CompleteMultipartUpload" && failure.is_conditional_request_conflict() => {
            ErrorKind::ConcurrentWrite
        }
        (_, Some(409 | 412)) => ErrorKind::Conflict,
        (_, Some(501)) => ErrorKind::Unsupported,
        // Both answer with headers alone, as far as the SDK reads: FORMAT.md R1, R3.
        (_, Some(200..=299)) if matches!(call, "GetObject" | "HeadObject") => ErrorKind::Malformed,
        (_, Some(200..=299)) if failure.is_cut => ErrorKind::Service,
        (_, None | Some(200..=299 | 500..)) => ErrorKind::Unavailable,
        _ => ErrorKind::Service,
    };
    let message = match kind {
        ErrorKind::NoSuchBucket => format!("{call} found no such bucket"),
        ErrorKind::NotFound => format!("{call} found no such object or bucket"),
        ErrorKind::UploadNotFound => {
            format!("{call} found no such upload: it was aborted, has expired, or was completed")
        }
        ErrorKind::Conflict => {
            format!("{call} failed a precondition: the object changed or exists already")
        }
        ErrorKind::ConcurrentWrite => format!(
            "{call} met another write of the object, which was in progress: nothing was stored"
        ),
        ErrorKind::Archived => format!("{call} found the object in an archive"),
        ErrorKind::Credentials if failure.problem == Some(Problem::NoCredentials) => {
            NO_CREDENTIALS.to_owned()
        }
        ErrorKind::Credentials => {
            format!(
                "{call} was denied: the AWS credentials have expired, or AWS does not know them"
            )
        }
        ErrorKind::UnknownHost => format!("{call} found no host of that name"),
        ErrorKind::UntrustedHost => {
            format!("{call} was not sent: the certificate of the host is not trusted")
        }
        ErrorKind::NotModified => format!("{call} found the object unmodified"),
        ErrorKind::KeyNotFound => format!("{call} found no such key"),
        ErrorKind::AccessDenied => format!("{call} was denied"),
        ErrorKind::ClockSkew => match failure.clock_ahead_secs {
            Some(ahead) => format!(
                "{call} was denied: this machine's clock is {} seconds {} the service's",
                ahead.unsigned_abs(),
                if ahead < 0 { "behind" } else { "ahead of" },
            ),
            None => format!("{call} was denied: this machine's clock is not the service's"),
        },
        ErrorKind::WrongRegion => match &failure.bucket_region {
            Some(region) => {
                format!("{call} went to the wrong Region: the bucket is in {region}")
            }
            None => format!("{call} went to the wrong Region: the bucket is in another one"),
        },
        ErrorKind::Malformed => format!(
            "{call} returned headers that cannot be read: one is there twice, is not in ASCII, or has \
             an invalid value"
        ),
        _ => format!("{call} failed"),
    };
    (kind, message)
}

/// The object that an operation works on. It makes the operation's errors.
#[derive(Debug, Clone)]
pub(crate) struct ObjectRef {
    pub(crate) operation: &'static str,
    pub(crate) bucket: String,
    pub(crate) key: String,
    region: Option<String>,
}

impl ObjectRef {
    /// Takes the bucket and the key that a fluent builder was given.
    pub(crate) fn new(
        operation: &'static str,
        s3: &aws_sdk_s3::Client,
        bucket: Option<String>,
        key: Option<String>,
    ) -> Result<Self, Error> {
        let key = key.unwrap_or_default();
        let target = Self::of_prefix(operation, s3, &bucket.unwrap_or_default(), &key)?;
        if target.key.is_empty() {
            return Err(target.error(ErrorKind::InvalidInput, "no key was given"));
        }
        Ok(target)
    }

    /// Names all objects whose keys begin with `prefix`, which may be empty.
    pub(crate) fn of_prefix(
        operation: &'static str,
        s3: &aws_sdk_s3::Client,
        bucket: &str,
        prefix: &str,
    ) -> Result<Self, Error> {
        let region = s3.config().region().map(ToString::to_string);
        let (bucket, key) = (bucket.to_owned(), prefix.to_owned());
        let target = Self { operation, bucket, key, region };
        let invalid = |message: &str| Err(target.error(ErrorKind::InvalidInput, message));
        if target.bucket.is_empty() {
            return invalid("no bucket was given");
        }
        // The SDK panics where an address gets too long for HTTP.
        if target.bucket.len() > MAX_BUCKET_LEN {
            return invalid(&format!("the bucket's name has more than {MAX_BUCKET_LEN} bytes"));
        }
        if target.key.len() > MAX_KEY_LEN {
            let len = target.key.len();
            return invalid(&format!("the key has {len} bytes; S3 allows {MAX_KEY_LEN}"));
        }
        Ok(target)
    }

    /// Names another object of the same bucket.
    pub(crate) fn with_key(&self, key: String) -> Self {
        Self { key, ..self.clone() }
    }

    pub(crate) fn error(&self, kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::new(self.operation, self.to_string(), kind, message)
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
        let kind = match has_too_many_files(&source) {
            true => ErrorKind::TooManyFiles,
            false => ErrorKind::Io,
        };
        self.caused(kind, what, source)
    }

    /// Describes a failed S3 call. `call` is the API's name, such as `GetObject`.
    pub(crate) fn s3_error<E>(&self, call: &'static str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    {
        self.s3_failure(call, AwsFailure::new(error))
    }

    pub(crate) fn s3_failure(&self, call: &'static str, failure: AwsFailure) -> Error {
        Error::from_failure(self.operation, self.to_string(), call, self.region.as_deref(), failure)
    }

    /// Describes a failure of the envelope core.
    pub(crate) fn envelope_error(&self, error: EnvelopeError) -> Error {
        let kind = match &error {
            EnvelopeError::Authentication => ErrorKind::Authentication,
            EnvelopeError::MetadataTooLarge { .. } => ErrorKind::MetadataTooLarge,
            EnvelopeError::NotSealed => ErrorKind::NotSealed,
            EnvelopeError::Truncated => ErrorKind::Truncated,
            EnvelopeError::UnsupportedFormat(_) => ErrorKind::Unsupported,
            EnvelopeError::ApiMisuse(_)
            | EnvelopeError::InvalidContext(_)
            | EnvelopeError::InvalidMetadata(_)
            | EnvelopeError::InvalidPlace(_)
            | EnvelopeError::TooLong => ErrorKind::InvalidInput,
            EnvelopeError::RandomUnavailable => ErrorKind::Io,
            _ => ErrorKind::Malformed,
        };
        self.error(kind, error.to_string())
    }

    /// Describes the failures of wrapping keys, at least one.
    pub(crate) fn keyring_error(&self, failures: Vec<KeyringError>) -> Error {
        // What the caller can act upon comes first; a cryptographic failure counts only where nothing else failed.
        const ORDER: [(KeyringErrorKind, ErrorKind); 8] = [
            (KeyringErrorKind::InsecureEndpoint, ErrorKind::InsecureEndpoint),
            (KeyringErrorKind::AccessDenied, ErrorKind::AccessDenied),
            (KeyringErrorKind::Disabled, ErrorKind::KeyDisabled),
            (KeyringErrorKind::Unavailable, ErrorKind::Unavailable),
            (KeyringErrorKind::Throttled, ErrorKind::Throttled),
            (KeyringErrorKind::NotFound, ErrorKind::KeyNotFound),
            (KeyringErrorKind::Unsuitable, ErrorKind::InvalidInput),
            (KeyringErrorKind::Other, ErrorKind::Service),
        ];
        let kind =
            ORDER.iter().find(|(kind, _)| failures.iter().any(|failure| failure.kind() == *kind));
        let Some((_, kind)) = kind else {
            return self.envelope_error(EnvelopeError::Authentication);
        };
        // No later attempt helps against a certificate that is not trusted.
        let mut unreached =
            failures.iter().filter(|failure| failure.kind() == KeyringErrorKind::Unavailable);
        let is_untrusted = *kind == ErrorKind::Unavailable
            && unreached.all(|failure| has_problem(failure, Problem::UntrustedHost));
        let kind = if is_untrusted { &ErrorKind::UntrustedHost } else { kind };
        // No policy is to blame where KMS could not know who asks.
        let (kind, message) = match failures.iter().any(is_credentials_failure) {
            true => (&ErrorKind::Credentials, credentials_message(&failures)),
            false => {
                (kind, failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            }
        };
        let causes: Vec<_> = failures
            .iter()
            .filter_map(std::error::Error::source)
            .map(ToString::to_string)
            .collect();
        let mut error = match causes.as_slice() {
            [] => self.error(*kind, message),
            causes => self.caused(*kind, message, causes.join("; ")),
        };
        error.0.has_unasked_key = failures.iter().any(|failure| {
            matches!(failure.kind(), KeyringErrorKind::Unavailable | KeyringErrorKind::Throttled)
        });
        error
    }

    /// Describes a failure of the formats of the S3 Encryption Client.
    pub(crate) fn s3ec_error(&self, error: FormatError) -> Error {
        let kind = match error {
            FormatError::Authentication => ErrorKind::Authentication,
            FormatError::InstructionFile => ErrorKind::NotSealed,
            FormatError::Unsupported(_) => ErrorKind::Unsupported,
            FormatError::CommitmentPolicy { .. }
            | FormatError::LegacyContent(_)
            | FormatError::LegacyWrap(_)
            | FormatError::RawKeyCbc(_) => ErrorKind::PolicyRefused,
            FormatError::ContextMismatch(_) | FormatError::NoContext(_) => {
                ErrorKind::ContextMismatch
            }
            FormatError::TooLong => ErrorKind::InvalidInput,
            FormatError::Truncated => ErrorKind::Truncated,
            FormatError::RandomUnavailable => ErrorKind::Io,
            FormatError::Metadata(error) => return self.envelope_error(error),
            _ => ErrorKind::Malformed,
        };
        self.error(kind, error.to_string())
    }
}

/// `s3://bucket/key in REGION`. Of a key that no object has, it shows the beginning.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.get(..self.key.floor_char_boundary(MAX_KEY_LEN)) {
            Some(start) if start.len() < self.key.len() => {
                write!(f, "s3://{}/{start}…", self.bucket)?;
            }
            _ => write!(f, "s3://{}/{}", self.bucket, self.key)?,
        }
        match &self.region {
            Some(region) => write!(f, " in {region}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Store, answers::Answer};

    fn target(store: &Store) -> ObjectRef {
        let (bucket, key) = (Some("bucket".to_owned()), Some("key".to_owned()));
        ObjectRef::new("get", store.s3(), bucket, key).expect("a name")
    }

    async fn get(answer: Answer) -> Error {
        let store = answer.store();
        let get = store.s3().get_object().bucket("bucket").key("key").send().await;
        target(&store).s3_error("GetObject", &get.expect_err("a failure"))
    }

    #[tokio::test]
    async fn delete_markers_are_told_with_their_version() {
        let error = |code| format!("<Error><Code>{code}</Code></Error>");
        for (status, code, kind) in
            [(404, "NoSuchKey", ErrorKind::NotFound), (405, "MethodNotAllowed", ErrorKind::Service)]
        {
            let answer = Answer::new(status, error(code)).with("x-amz-version-id", "v1");
            let error = get(answer.clone()).await;
            assert_eq!((error.is_delete_marker(), error.version_id()), (false, Some("v1")));
            let error = get(answer.with("x-amz-delete-marker", "true")).await;
            assert_eq!((error.is_delete_marker(), error.version_id()), (true, Some("v1")));
            assert_eq!(error.kind(), kind);
        }
        let error = target(&Answer::new(200, "").store()).error(ErrorKind::NotFound, "why");
        assert_eq!((error.is_delete_marker(), error.version_id()), (false, None));
    }

    #[tokio::test]
    async fn what_a_repetition_may_mend_is_an_outage() {
        for (status, code) in [
            (400, "RequestTimeout"),
            (408, "Other"),
            (500, "InternalError"),
            (502, "Other"),
            (503, "ServiceUnavailable"),
            (504, "Other"),
        ] {
            let answer = Answer::new(status, format!("<Error><Code>{code}</Code></Error>"));
            assert_eq!(get(answer).await.kind(), ErrorKind::Unavailable, "{status} {code}");
        }
        let store = Answer::new(200, "").store();
        for (code, kind) in [
            ("InternalError", ErrorKind::Unavailable),
            ("ServiceUnavailable", ErrorKind::Unavailable),
            ("SlowDown", ErrorKind::Throttled),
            ("AccessDenied", ErrorKind::AccessDenied),
            ("InvalidArgument", ErrorKind::Service),
        ] {
            let failure = AwsFailure::of_item(code, "why");
            assert_eq!(target(&store).s3_failure("DeleteObjects", failure).kind(), kind, "{code}");
        }
    }

    #[test]
    fn a_key_that_could_not_be_asked_may_help_later() {
        use KeyringErrorKind as Kind;
        let store = Answer::new(200, "").store();
        for (kinds, expected, is_retryable) in [
            (&[Kind::AccessDenied][..], ErrorKind::AccessDenied, false),
            (&[Kind::AccessDenied, Kind::Disabled], ErrorKind::AccessDenied, false),
            (&[Kind::AccessDenied, Kind::Unavailable], ErrorKind::AccessDenied, true),
            (&[Kind::Throttled, Kind::Disabled], ErrorKind::KeyDisabled, true),
            (&[Kind::Throttled, Kind::NotFound], ErrorKind::Throttled, true),
            (&[Kind::Unavailable], ErrorKind::Unavailable, true),
            (&[Kind::Other], ErrorKind::Service, false),
            (&[Kind::Rejected], ErrorKind::Authentication, false),
        ] {
            let failures = kinds.iter().map(|kind| KeyringError::new(*kind, "key"));
            let error = target(&store).keyring_error(failures.collect());
            assert_eq!((error.kind(), error.is_retryable()), (expected, is_retryable), "{kinds:?}");
        }
    }
}
