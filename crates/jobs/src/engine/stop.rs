//! How a job is asked to end early.

use tokio_util::sync::CancellationToken;

/// Asks a job to end early: what is in flight is finished, nothing more is begun. Clones ask the same job.
#[derive(Debug, Clone, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// Asks nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the job to end.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether it was asked to.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is.
    pub(crate) async fn asked(&self) {
        self.0.cancelled().await;
    }
}
