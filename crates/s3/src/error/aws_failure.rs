//! AWS and transport failures, reduced to text without secrets.
//!
//! The SDK's own error values can hold a whole response, and a KMS response holds a data key: none of them is kept.

use std::fmt;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

/// A failed call, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AwsFailure {
    /// Status of the HTTP answer, if there was one.
    pub(crate) status: Option<u16>,
    /// The service's name for the error, if it gave one.
    pub(crate) code: Option<String>,
    /// The Region that the bucket is in, where S3 tells that the request should have gone there.
    pub(crate) bucket_region: Option<String>,
    /// What no retry cures, where it is that.
    pub(crate) problem: Option<Problem>,
    /// The request id, in the service's own logs.
    pub(crate) request_id: Option<String>,
    /// S3's second request id.
    pub(crate) extended_request_id: Option<String>,
    text: String,
}

/// A failure that is the caller's, and not of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The caller's credentials: none, expired, or unknown to AWS.
    Credentials,
    /// The request could not be built from its arguments, and was not sent.
    NotBuilt,
}

/// What the services call credentials that they do not know, or no longer.
/// (Amazon S3 API Reference, "Error responses"; AWS KMS API Reference, "Common Errors".)
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
            response.headers().get(name).map(str::to_owned)
        };
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
        let problem = match error {
            SdkError::ConstructionFailure(_) => Some(Problem::NotBuilt),
            SdkError::DispatchFailure(_)
                if causes(error).any(|cause| cause.is::<CredentialsError>()) =>
            {
                Some(Problem::Credentials)
            }
            _ => code
                .as_deref()
                .filter(|code| BAD_CREDENTIALS.contains(code))
                .map(|_| Problem::Credentials),
        };
        let text = match error {
            SdkError::ServiceError(service) => {
                let error = service.err();
                let mut text = format!(
                    "the service answered {} {}",
                    status.unwrap_or_default(),
                    code.as_deref().unwrap_or("without an error code"),
                );
                if let Some(message) = error.message() {
                    text.push_str(&format!(": {message}"));
                }
                if let Some(id) = error.request_id() {
                    text.push_str(&format!(" (request {id})"));
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
            SdkError::ResponseError(_) => "the answer was not understood".into(),
            SdkError::ConstructionFailure(_) => {
                let cause = std::error::Error::source(error).map(error_chain).unwrap_or_default();
                format!("the request could not be built: {cause}")
            }
            _ => "the call failed".into(),
        };
        Self {
            status,
            code,
            bucket_region: bucket_region.map(str::to_owned),
            problem,
            request_id: header("x-amz-request-id").or_else(|| header("x-amzn-requestid")),
            extended_request_id: header("x-amz-id-2"),
            text,
        }
    }

    /// Whether a conditional write met another write of the same object at the same moment.
    /// (Amazon S3 User Guide, "Conditional write behavior".)
    pub(crate) fn is_conditional_request_conflict(&self) -> bool {
        self.status == Some(409) && self.code.as_deref() == Some("ConditionalRequestConflict")
    }

    /// Whether the answer never came or said nothing of the outcome, so that the request may have been carried out. A
    /// success that failed all the same is an answer whose body broke off, or was not understood.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.problem.is_none()
            && self.status.is_none_or(|status| matches!(status, 200..300 | 500..))
    }
}

/// Returns an error and its causes in one line.
///
/// A cause that the text before it already contains is left out.
#[must_use]
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    in_one_line(&text)
}

/// The SDK tells in a line each which providers of credentials it tried.
fn in_one_line(text: &str) -> String {
    text.lines().map(str::trim).fold(String::new(), |mut all, line| {
        all.push_str(if all.is_empty() || all.ends_with(':') { "" } else { ";" });
        all.push_str(if all.is_empty() { "" } else { " " });
        all.push_str(line);
        all
    })
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |error| error.source())
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
    fn lists_are_said_in_one_line() {
        assert_eq!(
            in_one_line("none found. Attempted:\n  Environment: no\n  Profile: no"),
            "none found. Attempted: Environment: no; Profile: no"
        );
        assert_eq!(in_one_line("refused"), "refused");
    }
}
