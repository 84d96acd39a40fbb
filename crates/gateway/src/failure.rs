//! Failures of the store and of keys, as answers that S3 clients understand.
//!
//! Clients repeat what is answered with 5xx, so only what may pass gets such a status. Messages of
//! failures that are not the client's name nothing of the store: the log has them.

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ALLOW, ETAG},
};
use s3s::{S3Error, S3ErrorCode, StdError};
use sealwax_s3::{Error, ErrorKind, SealedClient};

use crate::{
    entity_tag,
    gate::{BodyError, Code},
};

/// Answer to a request whose object cannot be opened, whatever the reason.
const UNREADABLE: &str = "SealedObjectUnreadable";

/// Describes a failure of the sealed client, which is logged with its causes: as a warning if the client
/// is not told the reason.
pub(crate) fn answer(error: Error) -> S3Error {
    let mut answer = logged(&error);
    if error.is_delete_marker() {
        answer.set_headers(of_delete_marker(&error, answer.status_code()));
    } else if error.kind() == ErrorKind::NotModified
        && let Some(e_tag) = error.e_tag()
        && let Ok(e_tag) = entity_tag::shown(e_tag).to_http_header()
    {
        answer.set_headers(HeaderMap::from_iter([(ETAG, e_tag)]));
    }
    answer.set_source(Box::new(error));
    answer
}

/// Returns what S3 says of a delete marker, which is not there to be read, and can only be deleted.
fn of_delete_marker(error: &Error, status: Option<StatusCode>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-delete-marker", HeaderValue::from_static("true"));
    if let Some(id) = error.version_id().and_then(|id| HeaderValue::try_from(id).ok()) {
        headers.insert("x-amz-version-id", id);
    }
    if status == Some(StatusCode::METHOD_NOT_ALLOWED) {
        headers.insert(ALLOW, HeaderValue::from_static("DELETE"));
    }
    headers
}

fn logged(error: &Error) -> S3Error {
    let answer = describe(error);
    let status = answer.status_code().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let causes: &(dyn std::error::Error + 'static) = error;
    match status.is_server_error() || matches!(status.as_u16(), 403 | 422) {
        true => tracing::warn!(error = causes, "a request failed"),
        false => tracing::debug!(error = causes, "a request failed"),
    }
    answer
}

/// Describes a failure of the sealed client.
pub(crate) fn describe(error: &Error) -> S3Error {
    let kind = error.kind();
    if let Some(answer) = passed_on(error) {
        return answer;
    }
    let (code, status, message): (S3ErrorCode, _, _) = match kind {
        ErrorKind::Throttled => (S3ErrorCode::SlowDown, 503, "the store asks for fewer requests"),
        ErrorKind::ConcurrentWrite => (
            S3ErrorCode::Custom("ConditionalRequestConflict".into()),
            409,
            "another write of the object was in progress",
        ),
        // The other keys of an object may be denied: what was not asked may help later.
        _ if error.is_retryable() || is_outage(error) => {
            (S3ErrorCode::ServiceUnavailable, 503, "the store or a key service does not answer")
        }
        // An answer to HEAD has no code, and some stores don't say that it is about a delete marker.
        _ if error.status() == Some(405) => {
            (S3ErrorCode::MethodNotAllowed, 405, "a delete marker can only be deleted")
        }
        ErrorKind::AccessDenied => (S3ErrorCode::AccessDenied, 403, "the store denied the request"),
        ErrorKind::NotFound => (S3ErrorCode::NoSuchKey, 404, "the object does not exist"),
        ErrorKind::NoSuchBucket => (S3ErrorCode::NoSuchBucket, 404, "the bucket does not exist"),
        ErrorKind::UploadNotFound => (S3ErrorCode::NoSuchUpload, 404, "the upload does not exist"),
        ErrorKind::NotModified => (S3ErrorCode::NotModified, 304, "the object is unchanged"),
        ErrorKind::Conflict => {
            (S3ErrorCode::PreconditionFailed, 412, "a condition of the request does not hold")
        }
        ErrorKind::Archived => {
            (S3ErrorCode::InvalidObjectState, 403, "the object is in an archive: restore it")
        }
        ErrorKind::MetadataTooLarge => (
            S3ErrorCode::MetadataTooLarge,
            400,
            "the metadata and the object's keys exceed 2 KB together",
        ),
        ErrorKind::InvalidInput => {
            let message = error.message().to_owned();
            return S3Error::with_message(S3ErrorCode::InvalidArgument, message);
        }
        ErrorKind::NotSealed => {
            (S3ErrorCode::Custom("NotSealed".into()), 403, "the object is not sealed")
        }
        ErrorKind::Shredded => {
            (S3ErrorCode::Custom("Shredded".into()), 403, "the object was shredded")
        }
        // A new object could not be sealed.
        ErrorKind::KeyDisabled | ErrorKind::KeyNotFound | ErrorKind::NoMatchingKey
            if error.operation() == "put" =>
        {
            (S3ErrorCode::InternalError, 500, "the gateway's log says why")
        }
        ErrorKind::Authentication
        | ErrorKind::ContextMismatch
        | ErrorKind::KeyDisabled
        | ErrorKind::KeyNotFound
        | ErrorKind::Malformed
        | ErrorKind::NoMatchingKey
        | ErrorKind::PlaceMismatch
        | ErrorKind::PolicyRefused
        | ErrorKind::Truncated => (
            S3ErrorCode::Custom(UNREADABLE.into()),
            422,
            "the object cannot be opened: the gateway's log says why",
        ),
        ErrorKind::Unsupported => {
            (S3ErrorCode::NotImplemented, 501, "this is not possible with a sealed object")
        }
        ErrorKind::ConditionIgnored => {
            (S3ErrorCode::NotImplemented, 501, "the store does not honour conditions")
        }
        _ if error.status() == Some(400) => {
            (S3ErrorCode::InvalidRequest, 400, "the store refused the request")
        }
        _ => (S3ErrorCode::InternalError, 500, "the gateway's log says why"),
    };
    let mut answer = S3Error::with_message(code, message);
    answer.set_status_code(StatusCode::from_u16(status).expect("a valid status"));
    answer
}

/// `true` if the store, or a key service, did not answer as it should, or the gateway's credentials and
/// clock keep it from being asked: a later attempt may succeed.
fn is_outage(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::ClockSkew | ErrorKind::Credentials | ErrorKind::UntrustedHost => true,
        // Any other status than a refusal's, or none: the answer was not what it has to be.
        ErrorKind::Service => !error.status().is_some_and(|status| (300..500).contains(&status)),
        _ => false,
    }
}

/// Passes the store's refusal of a client's argument on, by its code.
fn passed_on(error: &Error) -> Option<S3Error> {
    const CODES: [&str; 12] = [
        "BucketAlreadyExists",
        "EntityTooLarge",
        "InvalidArgument",
        "InvalidRequest",
        "InvalidStorageClass",
        "InvalidTag",
        "KeyTooLongError",
        "MalformedXML",
        "MethodNotAllowed",
        "NoSuchTagSet",
        "NoSuchVersion",
        "XMinioInvalidObjectName",
    ];
    let (code, status) = (error.service_code()?, error.status()?);
    if !(400..500).contains(&status) || !CODES.contains(&code) {
        return None;
    }
    let name = S3ErrorCode::from_bytes(code.as_bytes());
    let name = name.unwrap_or_else(|| S3ErrorCode::Custom(code.to_owned().into()));
    let mut answer = S3Error::with_message(name, "the store refused the request");
    answer.set_status_code(StatusCode::from_u16(status).ok()?);
    Some(answer)
}

/// Describes a failed call of the store itself. `target` is what it was about, such as `s3://bucket`.
pub(crate) fn store_answer<E>(
    client: &SealedClient,
    call: &'static str,
    target: &str,
    error: &SdkError<E, HttpResponse>,
) -> S3Error
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
{
    let region = client.s3().config().region().map(AsRef::as_ref);
    answer(Error::from_sdk("serve", target, call, region, error))
}

/// Describes an argument that S3 does not accept.
pub(crate) fn invalid(message: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::InvalidArgument, message)
}

/// Describes a refusal of the gate.
pub(crate) fn refused(code: Code, message: impl Into<String>) -> S3Error {
    let name = S3ErrorCode::from_bytes(code.as_str().as_bytes());
    let name = name.unwrap_or_else(|| S3ErrorCode::Custom(code.as_str().into()));
    let mut answer = S3Error::with_message(name, message.into());
    answer.set_status_code(code.status());
    answer
}

/// Describes the failure of a body: what the client did wrong, an object that is copied and cannot be
/// read, or a broken connection.
pub(crate) fn stream_failure(error: StdError) -> S3Error {
    of_source(&*error)
        .or_else(|| of_body(&*error))
        .unwrap_or_else(|| S3Error::with_message(S3ErrorCode::IncompleteBody, "the body broke off"))
}

/// Describes a failed put of an object's content: why the content could not be read, or why it could
/// not be stored.
pub(crate) fn copy_failure(error: Error) -> S3Error {
    let source = std::error::Error::source(&error);
    source.and_then(of_source).unwrap_or_else(|| answer(error))
}

/// Returns the failure of the body that made a put fail, if it did.
pub(crate) fn body_failure(error: &Error) -> Option<S3Error> {
    of_body(error)
}

fn of_body(error: &(dyn std::error::Error + 'static)) -> Option<S3Error> {
    let error = cause::<BodyError>(error)?;
    Some(refused(error.code(), error.to_string()))
}

fn of_source(error: &(dyn std::error::Error + 'static)) -> Option<S3Error> {
    cause::<Error>(error).map(logged)
}

/// Returns the first error of a type among an error and its causes.
fn cause<'a, T: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<T>() {
            return Some(error);
        }
        // An I/O error shows the cause of its inner error as its own.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_with_503_and_nothing_else_is() {
        use ErrorKind as Kind;
        let told = |operation, kind| {
            let answer = describe(&Error::new(operation, "s3://bucket/key", kind, "why"));
            let status = answer.status_code().expect("a status").as_u16();
            (status, answer.code().as_str().to_owned())
        };
        for kind in [
            Kind::Changed,
            Kind::ClockSkew,
            Kind::Credentials,
            Kind::KeyObjectMissing,
            Kind::Service,
            Kind::TooManyFiles,
            Kind::Unavailable,
            Kind::UnknownHost,
            Kind::UntrustedHost,
        ] {
            for operation in ["get", "put", "serve"] {
                let expected = (503, "ServiceUnavailable".to_owned());
                assert_eq!(told(operation, kind), expected, "{kind:?}");
            }
        }
        assert_eq!(told("get", Kind::Throttled), (503, "SlowDown".into()));
        for (operation, kind, status, code) in [
            ("get", Kind::AccessDenied, 403, "AccessDenied"),
            ("get", Kind::NotFound, 404, "NoSuchKey"),
            ("put", Kind::ConcurrentWrite, 409, "ConditionalRequestConflict"),
            ("put", Kind::Conflict, 412, "PreconditionFailed"),
            ("get", Kind::Authentication, 422, UNREADABLE),
            ("get", Kind::KeyDisabled, 422, UNREADABLE),
            ("get", Kind::Truncated, 422, UNREADABLE),
            ("put", Kind::KeyDisabled, 500, "InternalError"),
            ("put", Kind::Io, 500, "InternalError"),
            ("put", Kind::InsecureEndpoint, 500, "InternalError"),
        ] {
            assert_eq!(told(operation, kind), (status, code.to_owned()), "{kind:?}");
        }
    }
}
