//! What an AWS service or the way to it said, as text that is safe to keep.
//!
//! The SDK's own error values can hold a whole response, and a KMS response holds a data key: none of them is kept.

use std::fmt;

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
    text: String,
}

impl AwsFailure {
    pub(crate) fn new<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).map(str::to_owned);
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
                let cause = failure.as_connector_error().map(|error| chain(error)).unwrap_or_default();
                format!("the request could not be sent: {cause}")
            }
            SdkError::ResponseError(_) => "the answer was not understood".into(),
            SdkError::ConstructionFailure(_) => {
                let cause = std::error::Error::source(error).map(chain).unwrap_or_default();
                format!("the request could not be built: {cause}")
            }
            _ => "the call failed".into(),
        };
        Self { status, code, text }
    }

    /// Whether the answer never came or said nothing of the outcome, so that the request may have been carried out.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

impl fmt::Display for AwsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for AwsFailure {}
