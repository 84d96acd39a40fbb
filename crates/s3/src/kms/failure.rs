//! KMS's errors as a keyring's.

use aws_sdk_kms::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use sealwax_envelope::{KeyringError, KeyringErrorKind};

use super::KmsKeyArn;
use crate::error::aws_failure::{AwsFailure, Problem};

/// Says what went wrong with `key`.
///
/// Several codes are not in the SDK's enums (throttling, access denied), so all are told apart by name.
pub(super) fn keyring_error<E>(key: &KmsKeyArn, error: &SdkError<E, HttpResponse>) -> KeyringError
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
{
    let failure = AwsFailure::new(error);
    let kind = match (failure.code.as_deref(), failure.status) {
        _ if failure.problem == Some(Problem::Credentials) => KeyringErrorKind::AccessDenied,
        _ if failure.problem == Some(Problem::NotBuilt) => KeyringErrorKind::Other,
        (Some("AccessDeniedException" | "AccessDenied"), _) => KeyringErrorKind::AccessDenied,
        (Some("DisabledException" | "KMSInvalidStateException"), _) => KeyringErrorKind::Disabled,
        (Some("NotFoundException"), _) => KeyringErrorKind::NotFound,
        // A wrong encryption context, a changed ciphertext and another key: all the same to KMS, and to us.
        (Some("InvalidCiphertextException" | "IncorrectKeyException"), _) => {
            KeyringErrorKind::Rejected
        }
        (Some("ThrottlingException" | "LimitExceededException"), _) => KeyringErrorKind::Throttled,
        (
            Some("KeyUnavailableException" | "DependencyTimeoutException" | "KMSInternalException"),
            _,
        )
        | (_, None | Some(500..)) => KeyringErrorKind::Unavailable,
        _ => KeyringErrorKind::Other,
    };
    KeyringError::new(kind, key.as_str()).with_source(failure)
}
