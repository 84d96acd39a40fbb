//! Headers that go with every request to a bucket.

use aws_sdk_s3::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents, endpoint::Params,
        interceptors::BeforeTransmitInterceptorContextMut,
    },
    error::BoxError,
};
use aws_smithy_runtime_api::client::{
    endpoint::EndpointResolverParams, interceptors::dyn_dispatch_hint,
};

/// Headers of every request to a bucket: the account that must own it, and who pays.
///
/// They go with reads, listings and background requests as well as with writes. For a copy, they
/// apply to the source's bucket too.
///
/// ```
/// use sealwax_s3::RequestHeaders;
///
/// let headers = RequestHeaders::new().expected_bucket_owner("111122223333").requester_pays();
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHeaders {
    expected_bucket_owner: Option<String>,
    requester_pays: bool,
}

impl RequestHeaders {
    /// Creates an empty set of headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires that this account owns the bucket: `x-amz-expected-bucket-owner`. S3 denies access
    /// to a bucket of any other account, such as one that was deleted and created again by someone
    /// else.
    #[must_use]
    pub fn expected_bucket_owner(mut self, account: impl Into<String>) -> Self {
        self.expected_bucket_owner = Some(account.into());
        self
    }

    /// Confirms that the caller pays for requests to a Requester Pays bucket:
    /// `x-amz-request-payer`.
    #[must_use]
    pub fn requester_pays(mut self) -> Self {
        self.requester_pays = true;
        self
    }

    /// Returns `client` with these headers.
    #[must_use]
    pub fn onto(&self, client: &Client) -> Client {
        if *self == Self::default() {
            return client.clone();
        }
        Client::from_conf(client.config().to_builder().interceptor(self.clone()).build())
    }
}

#[dyn_dispatch_hint]
impl Intercept for RequestHeaders {
    fn name(&self) -> &'static str {
        "RequestHeaders"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // The list of all buckets has no owner.
        let params = config.load::<EndpointResolverParams>();
        let params = params.and_then(|params| params.get::<Params>());
        if params.and_then(Params::bucket).is_none() {
            return Ok(());
        }
        let headers = context.request_mut().headers_mut();
        if let Some(account) = &self.expected_bucket_owner {
            if headers.contains_key("x-amz-copy-source") {
                headers.try_insert("x-amz-source-expected-bucket-owner", account.clone())?;
            }
            headers.try_insert("x-amz-expected-bucket-owner", account.clone())?;
        }
        if self.requester_pays {
            headers.insert("x-amz-request-payer", "requester");
        }
        Ok(())
    }
}
