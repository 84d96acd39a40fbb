//! One record for each request.
//!
//! It names the client and the object, and never a signature, a query string or a header's value.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::Request;
use serde::Serialize;

use crate::gate::{Admitted, Refusal};

/// Called with the record of each request once its answer has ended.
pub type AccessLog = Arc<dyn Fn(&AccessRecord) + Send + Sync>;

/// Description of a request. Field names are stable JSON output.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct AccessRecord {
    /// Request id, which the client was told.
    pub request_id: String,
    /// Address of the client.
    pub peer: SocketAddr,
    /// Name of the client, if it was admitted.
    pub client: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Operation of S3, if the request was admitted.
    pub operation: Option<&'static str>,
    /// Bucket.
    pub bucket: Option<String>,
    /// Key of the object.
    pub key: Option<String>,
    /// `true` if a presigned URL was used.
    pub presigned: bool,
    /// HTTP status.
    pub status: u16,
    /// Code of the gate's refusal, if it refused the request.
    pub refused: Option<&'static str>,
    /// Time until the answer ended, in seconds.
    pub seconds: f64,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// `true` if all of the answer was sent.
    pub complete: bool,
}

impl AccessRecord {
    pub(crate) fn new<B>(request: &Request<B>, peer: SocketAddr, id: &str) -> Self {
        Self {
            request_id: id.to_owned(),
            peer,
            client: None,
            // The gate refuses longer methods.
            method: request.method().as_str().chars().take(16).collect(),
            operation: None,
            bucket: None,
            key: None,
            presigned: false,
            status: 0,
            refused: None,
            seconds: 0.0,
            sent: 0,
            complete: false,
        }
    }

    pub(crate) fn admitted<B>(&mut self, admitted: &Admitted<B>) {
        self.operation = Some(admitted.operation.name());
        self.client = Some(admitted.client.name().to_owned());
        self.bucket.clone_from(&admitted.bucket);
        self.key.clone_from(&admitted.key);
        self.presigned = admitted.is_presigned;
    }

    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.refused = Some(refusal.code().as_str());
    }

    /// Returns the record of an answer that has ended.
    pub(crate) fn ended(self, status: u16, took: Duration, sent: u64, complete: bool) -> Self {
        Self { status, seconds: took.as_secs_f64(), sent, complete, ..self }
    }
}
