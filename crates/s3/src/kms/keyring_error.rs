//! Maps failures of KMS to keyring errors.

use aws_sdk_kms::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use sealwax_envelope::{KeyringError, KeyringErrorKind};

use super::key_arn::KmsKeyArn;
use crate::error::aws_failure::{AwsFailure, Problem};

/// Classifies a failed call with `key`.
///
/// Several error codes are missing from the SDK's enums (throttling, access denied), so all are
/// matched by name.
pub(super) fn keyring_error<E>(key: &KmsKeyArn, error: &SdkError<E, HttpResponse>) -> KeyringError
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
{
    let failure = AwsFailure::new(error);
    let kind = match (failure.code.as_deref(), failure.status) {
        _ if failure.problem == Some(Problem::Credentials) => KeyringErrorKind::AccessDenied,
        _ if failure.problem == Some(Problem::PlainHttp) => KeyringErrorKind::InsecureEndpoint,
        _ if failure.problem == Some(Problem::NotBuilt) => KeyringErrorKind::Other,
        (Some("AccessDeniedException" | "AccessDenied"), _) => KeyringErrorKind::AccessDenied,
        (Some("DisabledException" | "KMSInvalidStateException"), _) => KeyringErrorKind::Disabled,
        (Some("NotFoundException"), _) => KeyringErrorKind::NotFound,
        // KMS does not distinguish a wrong encryption context, a changed ciphertext and another
        // key.
        (Some("InvalidCiphertextException" | "IncorrectKeyException"), _) => {
            KeyringErrorKind::Rejected
        }
        (Some("ThrottlingException" | "LimitExceededException"), _) | (_, Some(429)) => {
            KeyringErrorKind::Throttled
        }
        _ if failure.is_broken => KeyringErrorKind::Unavailable,
        // Services that are like KMS may lack an operation, which is no outage.
        (
            Some("KeyUnavailableException" | "DependencyTimeoutException" | "KMSInternalException"),
            _,
        )
        | (_, None | Some(500 | 502..)) => KeyringErrorKind::Unavailable,
        _ => KeyringErrorKind::Other,
    };
    KeyringError::new(kind, key.as_str()).with_source(failure)
}
