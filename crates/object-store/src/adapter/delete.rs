//! Deleting many objects.

use super::super::object_store::{Result, path::Path};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use sealwax_s3::limits::MAX_DELETED_OBJECTS;

use super::{
    SealedStore,
    error::{During, generic, of_operation},
};

/// Maximum number of concurrent requests.
const CONCURRENCY: usize = 8;

impl SealedStore {
    pub(crate) fn delete_objects(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        // Objects before a failed input item are still deleted, and reported before it.
        let batches = locations.ready_chunks(MAX_DELETED_OBJECTS);
        let deleted = batches.map(move |batch| {
            let store = store.clone();
            async move { stream::iter(store.delete_batch(batch).await) }
        });
        deleted.buffered(CONCURRENCY).flatten().boxed()
    }

    /// Deletes a batch and returns one result per item, in the same order.
    async fn delete_batch(&self, batch: Vec<Result<Path>>) -> Vec<Result<Path>> {
        let mut deletion = self.client().delete_batch(self.bucket());
        for path in batch.iter().flatten() {
            deletion = deletion.object(path.as_ref());
        }
        let mut results = match deletion.send().await {
            Ok(results) => results.into_iter(),
            Err(error) => {
                // The whole request failed, so every object gets its error.
                let message = error.to_string();
                let failed = |path: Path| Err(generic(format!("{path}: {message}")));
                return batch.into_iter().map(|path| path.and_then(failed)).collect();
            }
        };
        let mut deleted = |path: Path| {
            let result = results.next().expect("one result for each object");
            result.map_err(of_operation(During::Write, &path)).map(|_| path)
        };
        batch.into_iter().map(|path| path.and_then(&mut deleted)).collect()
    }
}
