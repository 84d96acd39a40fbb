//! Findings of the gate about a request, for its operation.

use std::sync::Arc;

use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use crate::{
    clients::ClientCredentials,
    gate::{CopySource, Digests, ObjectHeaders, Operation},
};

/// Client and operation of a request, and the digests of its body.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext {
    /// Request id, which failures tell again.
    pub(crate) id: String,
    pub(crate) client: Arc<ClientCredentials>,
    pub(crate) operation: Operation,
    pub(crate) digests: Digests,
    /// Source of a copy, as the client may read it.
    pub(crate) copy_source: Option<CopySource>,
    /// Headers that describe the object.
    pub(crate) object_headers: ObjectHeaders,
    /// `true` if versions that are retained in governance mode are deleted, too.
    pub(crate) bypasses_governance: bool,
}

impl RequestContext {
    /// Takes the context of a request for `operation`.
    ///
    /// # Errors
    /// The request did not come through the gate as this operation.
    pub(crate) fn of<T>(request: &S3Request<T>, operation: Operation) -> S3Result<Self> {
        let context = request.extensions.get::<Self>();
        let context = context.filter(|context| context.operation == operation);
        context.cloned().ok_or_else(|| {
            let message = "the request is routed otherwise than it was admitted";
            S3Error::with_message(S3ErrorCode::NotImplemented, message)
        })
    }
}
