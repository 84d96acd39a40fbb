//! Deleting many objects.

use std::collections::{HashMap, HashSet};

use super::super::object_store::{Error, Result, path::Path};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use sealwax_s3::aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::{
    SealedStore,
    error::{During, STORE, generic, of_operation},
};

/// Maximum number of objects in one `DeleteObjects` request. (Amazon S3 API Reference.)
const MAX_OBJECTS: usize = 1_000;
/// Maximum number of concurrent requests.
const CONCURRENCY: usize = 8;

impl SealedStore {
    pub(crate) fn delete_objects(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        // Objects before a failed input item are still deleted, and reported before it.
        let batches = locations.ready_chunks(MAX_OBJECTS);
        let deleted = batches.map(move |batch| {
            let store = store.clone();
            async move { stream::iter(store.delete_batch(batch).await) }
        });
        deleted.buffered(CONCURRENCY).flatten().boxed()
    }

    /// Deletes a batch and returns one result per item, in the same order.
    async fn delete_batch(&self, batch: Vec<Result<Path>>) -> Vec<Result<Path>> {
        let paths: Vec<_> = batch.iter().filter_map(|path| path.as_ref().ok().cloned()).collect();
        let mut failures = match self.delete_paths(&paths).await {
            Ok(failures) => failures,
            Err(error) => {
                // The whole request failed, so every object gets its error.
                let message = error.to_string();
                let failed = |path: Path| Err(generic(format!("{path}: {message}")));
                return batch.into_iter().map(|path| path.and_then(failed)).collect();
            }
        };
        batch
            .into_iter()
            .map(|path| path.and_then(|path| failures.remove(path.as_ref()).map_or(Ok(path), Err)))
            .collect()
    }

    /// Deletes `paths` and returns the failures by key.
    async fn delete_paths(&self, paths: &[Path]) -> Result<HashMap<String, Error>> {
        if paths.is_empty() {
            return Ok(HashMap::new());
        }
        let target = format!("{} objects of s3://{}", paths.len(), self.bucket());
        let ids: Result<Vec<_>, _> = paths
            .iter()
            .map(|path| ObjectIdentifier::builder().key(path.as_ref()).build())
            .collect();
        let delete = ids.and_then(|ids| Delete::builder().set_objects(Some(ids)).build());
        let delete =
            delete.map_err(|error| Error::Generic { store: STORE, source: error.into() })?;
        let s3 = self.client().s3();
        let request = s3.delete_objects().bucket(self.bucket()).delete(delete);
        let region = s3.config().region().map(AsRef::as_ref);
        let output = request.send().await.map_err(|error| {
            let error =
                sealwax_s3::Error::from_sdk("delete", target, "DeleteObjects", region, &error);
            of_operation(During::Write, &Path::default())(error)
        })?;
        let errors = output.errors().iter().filter_map(|error| {
            let path = error.key()?.to_owned();
            let code = error.code().unwrap_or_default();
            let message = format!("{path}: {code}: {}", error.message().unwrap_or_default());
            let error = match code {
                "AccessDenied" => {
                    Error::PermissionDenied { path: path.clone(), source: message.into() }
                }
                "NoSuchKey" => Error::NotFound { path: path.clone(), source: message.into() },
                _ => generic(message),
            };
            Some((path, error))
        });
        let mut failures: HashMap<_, _> = errors.collect();
        // A store that says nothing about an object may not have deleted it.
        let deleted: HashSet<_> =
            output.deleted().iter().filter_map(|deleted| deleted.key()).collect();
        for path in paths.iter().map(Path::as_ref) {
            if !deleted.contains(path) && !failures.contains_key(path) {
                let message = format!("{path}: DeleteObjects does not say that it was deleted");
                failures.insert(path.to_owned(), generic(message));
            }
        }
        Ok(failures)
    }
}
