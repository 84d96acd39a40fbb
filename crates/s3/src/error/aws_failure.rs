//! AWS and transport failures, reduced to text without secrets.
//!
//! The SDK's error values can hold a whole response, and a KMS response holds a data key, so none of
//! them is kept.

use std::{fmt, time::SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
    primitives::{DateTime, DateTimeFormat},
};
use aws_smithy_runtime_api::http::HttpError;

use super::has_too_many_files;
use crate::{
    causes::{find_cause, with_causes},
    default_http::is_unreadable_bundle,
    limited_http::LimitExceeded,
    plain_http::PlainHttp,
    whole_answers::CutAnswer,
};

/// A failed call, in text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AwsFailure {
    /// HTTP status of the answer, if there was one.
    pub(crate) status: Option<u16>,
    /// The service's error code, if there was one.
    pub(crate) code: Option<String>,
    /// The bucket's Region, if S3 says that the request should have gone there.
    pub(crate) bucket_region: Option<String>,
    /// Seconds by which this machine's clock is ahead of the service's, by the answer's `Date`.
    pub(crate) clock_ahead_secs: Option<i64>,
    /// The caller's problem, if it is one.
    pub(crate) problem: Option<Problem>,
    /// Request id, for the service's own logs.
    pub(crate) request_id: Option<String>,
    /// S3's extended request id.
    pub(crate) extended_request_id: Option<String>,
    /// The object's entity tag, if the answer names it.
    pub(crate) e_tag: Option<String>,
    /// `true` if the answer ended early.
    pub(crate) is_cut: bool,
    /// `true` if the connection broke off within the answer.
    pub(crate) is_broken: bool,
    /// `true` if S3 says that the version is a delete marker.
    pub(crate) is_delete_marker: bool,
    /// Version that the answer names.
    pub(crate) version_id: Option<String>,
    text: String,
}

/// A problem of the caller rather than of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The caller's credentials are expired, or unknown to AWS.
    Credentials,
    /// The caller has no credentials.
    NoCredentials,
    /// The host's name is unknown.
    UnknownHost,
    /// The host's certificate is not trusted.
    UntrustedHost,
    /// The request could not be built from its arguments, and was not sent.
    NotBuilt,
    /// The request would have crossed the network over plain HTTP, and was not sent.
    PlainHttp,
    /// The system refused this process another connection.
    TooManyFiles,
}

/// Error codes for unknown or expired credentials. (Amazon S3 API Reference, "Error responses"; AWS KMS API Reference, "Common Errors".)
const BAD_CREDENTIALS: [&str; 8] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
];

impl AwsFailure {
    pub(crate) fn new<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let redirected = error.raw_response().filter(|_| matches!(status, Some(301 | 400)));
        let bucket_region =
            redirected.and_then(|response| response.headers().get("x-amz-bucket-region"));
        let header = |name| {
            let response = error.raw_response()?;
            response.headers().get(name).map(shortened)
        };
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(shortened);
        let plain_http = PlainHttp::among_causes(error);
        let problem = match error {
            _ if plain_http.is_some() => Some(Problem::PlainHttp),
            SdkError::ConstructionFailure(_) => Some(Problem::NotBuilt),
            // An interceptor could not set a header.
            SdkError::DispatchFailure(_) if find_cause::<HttpError>(error).is_some() => {
                Some(Problem::NotBuilt)
            }
            SdkError::DispatchFailure(_) if has_too_many_files(error) => {
                Some(Problem::TooManyFiles)
            }
            SdkError::DispatchFailure(_) if find_cause::<CredentialsError>(error).is_some() => {
                Some(Problem::NoCredentials)
            }
            SdkError::DispatchFailure(failure) => {
                failure.as_connector_error().and_then(|error| unreachable_host(error))
            }
            _ => code
                .as_deref()
                .filter(|code| BAD_CREDENTIALS.contains(code))
                .map(|_| Problem::Credentials),
        };
        let is_cut = find_cause::<CutAnswer>(error).is_some();
        let exceeded = LimitExceeded::among_causes(error);
        let text = match error {
            _ if is_cut => CutAnswer.to_string(),
            _ if let Some(exceeded) = exceeded => exceeded.to_string(),
            SdkError::ServiceError(service) => {
                let error = service.err();
                let mut text = format!(
                    "the service answered {} {}",
                    status.unwrap_or_default(),
                    code.as_deref().unwrap_or("without an error code"),
                );
                if let Some(message) = error.message() {
                    text.push_str(&format!(": {}", shortened(message)));
                }
                if let Some(id) = error.request_id() {
                    text.push_str(&format!(" (request {})", shortened(id)));
                }
                text
            }
            SdkError::TimeoutError(_) => "no answer in time".into(),
            SdkError::DispatchFailure(failure) => {
                let cause = failure
                    .as_connector_error()
                    .map(|error| error_chain(error))
                    .unwrap_or_default();
                format!("the request could not be sent: {cause}")
            }
            SdkError::ResponseError(_) => "the answer broke off".into(),
            SdkError::ConstructionFailure(_) => {
                let cause = std::error::Error::source(error).map(error_chain).unwrap_or_default();
                format!("the request could not be built: {cause}")
            }
            _ => "the call failed".into(),
        };
        Self {
            status,
            code,
            bucket_region: bucket_region.map(shortened),
            clock_ahead_secs: error.raw_response().and_then(clock_ahead_secs),
            problem,
            is_cut,
            is_broken: matches!(error, SdkError::ResponseError(_)) && !is_cut && exceeded.is_none(),
            is_delete_marker: header("x-amz-delete-marker").as_deref() == Some("true"),
            version_id: header("x-amz-version-id"),
            request_id: header("x-amz-request-id").or_else(|| header("x-amzn-requestid")),
            extended_request_id: header("x-amz-id-2"),
            e_tag: header("etag"),
            text: plain_http.map_or(text, ToString::to_string),
        }
    }

    /// Describes what `DeleteObjects` answered about one object. (Amazon S3 API Reference, "Error".)
    pub(crate) fn of_item(code: &str, message: &str) -> Self {
        let (code, message) = (shortened(code), shortened(message));
        let status = match code.as_str() {
            "AccessDenied" => 403,
            "NoSuchKey" | "NoSuchVersion" => 404,
            "ServiceUnavailable" | "SlowDown" => 503,
            "InternalError" => 500,
            _ => 400,
        };
        let text = format!("the service answered {code}: {message}");
        Self {
            status: Some(status),
            code: Some(code),
            bucket_region: None,
            clock_ahead_secs: None,
            problem: None,
            request_id: None,
            extended_request_id: None,
            e_tag: None,
            is_cut: false,
            is_broken: false,
            is_delete_marker: false,
            version_id: None,
            text,
        }
    }

    /// `true` if the caller's credentials are missing, expired, or unknown.
    pub(crate) fn is_credentials_problem(&self) -> bool {
        matches!(self.problem, Some(Problem::Credentials | Problem::NoCredentials))
    }

    /// `true` if a conditional write met a concurrent write of the same object. (Amazon S3 User
    /// Guide, "Conditional write behavior".)
    pub(crate) fn is_conditional_request_conflict(&self) -> bool {
        self.status == Some(409) && self.code.as_deref() == Some("ConditionalRequestConflict")
    }

    /// `true` if the service asks for fewer requests. An answer to HEAD has no body and so no code.
    pub(crate) fn is_throttled(&self) -> bool {
        const CODES: [&str; 3] = ["SlowDown", "ThrottlingException", "RequestLimitExceeded"];
        match &self.code {
            Some(code) => self.status == Some(429) || CODES.contains(&code.as_str()),
            None => matches!(self.status, Some(429 | 503)),
        }
    }

    /// `true` if this machine's clock is further from the service's than S3 accepts.
    pub(crate) fn is_clock_off(&self) -> bool {
        self.clock_ahead_secs.is_some_and(|ahead| ahead.unsigned_abs() > MAX_CLOCK_SKEW_SECS)
    }

    /// `true` if the request may have been carried out: there was no answer, or one that does not
    /// tell the outcome. A success with a failure is an answer whose body broke off or was invalid.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.problem.is_none()
            && self.status.is_none_or(|status| matches!(status, 200..300 | 500..))
    }
}

/// Says why a host could not be reached, if another host or another setting may help. The causes are
/// of no public types.
fn unreachable_host(error: &(dyn std::error::Error + 'static)) -> Option<Problem> {
    let text = error_chain(error);
    match () {
        () if text.contains("dns error") => Some(Problem::UnknownHost),
        () if text.contains("invalid peer certificate") => Some(Problem::UntrustedHost),
        () if is_unreadable_bundle(error) => Some(Problem::UntrustedHost),
        () => None,
    }
}

/// Clock skew that S3 accepts, in seconds. (Amazon S3 API Reference, "Error responses":
/// `RequestTimeTooSkewed`.)
const MAX_CLOCK_SKEW_SECS: u64 = 15 * 60;

/// Returns how many seconds this machine's clock is ahead of the answer's `Date`.
fn clock_ahead_secs(response: &HttpResponse) -> Option<i64> {
    let date = response.headers().get("date")?;
    let server = DateTime::from_str(date, DateTimeFormat::HttpDate).ok()?;
    Some(DateTime::from(SystemTime::now()).secs() - server.secs())
}

/// Longest text of an answer that is kept, in bytes.
const MAX_TEXT_LEN: usize = 1000;

/// Returns a text of an answer, or its beginning: the service chose its length.
fn shortened(text: &str) -> String {
    match text.get(..text.floor_char_boundary(MAX_TEXT_LEN)) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

/// Returns an error and its causes in one line.
///
/// A cause that the text before it already contains is left out.
#[must_use]
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in with_causes(error).skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    in_one_line(&text)
}

/// Joins lines: the SDK lists the credential providers that it tried in one line each.
fn in_one_line(text: &str) -> String {
    text.lines().map(str::trim).fold(String::new(), |mut all, line| {
        all.push_str(if all.is_empty() || all.ends_with(':') { "" } else { ";" });
        all.push_str(if all.is_empty() { "" } else { " " });
        all.push_str(line);
        all
    })
}

impl fmt::Display for AwsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for AwsFailure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(shortened("SlowDown"), "SlowDown");
        let long = "é".repeat(501);
        assert_eq!(shortened(&long), format!("{}…", "é".repeat(500)));
    }

    #[test]
    fn hosts_that_cannot_be_reached_are_told_apart() {
        for (text, expected) in [
            ("client error (Connect): dns error: failed to lookup", Some(Problem::UnknownHost)),
            ("invalid peer certificate: UnknownIssuer", Some(Problem::UntrustedHost)),
            ("client error (Connect): Connection refused", None),
        ] {
            assert_eq!(unreachable_host(&std::io::Error::other(text)), expected, "{text}");
        }
    }

    #[test]
    fn lists_are_said_in_one_line() {
        assert_eq!(
            in_one_line("none found. Attempted:\n  Environment: no\n  Profile: no"),
            "none found. Attempted: Environment: no; Profile: no"
        );
        assert_eq!(in_one_line("refused"), "refused");
    }
}
