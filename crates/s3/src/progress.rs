//! Progress of uploads and downloads.

use std::sync::Arc;

/// Called with the number of plaintext bytes that were transferred since the last call.
pub(crate) type OnProgress = Arc<dyn Fn(u64) + Send + Sync>;
