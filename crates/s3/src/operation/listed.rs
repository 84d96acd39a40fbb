//! Objects of a list that a job works on, one by one.

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use sealwax_envelope::{ObjectHeader, metadata};

use super::{
    Handle,
    forecast::{Forecast, ForecastAction},
    skipped::Skipped,
};
use crate::{
    error::{Error, ErrorKind, ObjectRef},
    object_state::ObjectState,
    store::{list::ListedObject, snapshot::Snapshot},
    vault::object_kind::ObjectKind,
};

/// Maximum number of attempts for an object that other writers change meanwhile.
const MAX_CONFLICTS: usize = 4;

/// Result of a job's work on one object.
#[derive(Debug)]
#[non_exhaustive]
pub struct Processed<O> {
    /// Result of the work.
    pub outcome: O,
    /// `true` if the object changed since planning and was re-evaluated.
    pub replanned: bool,
    /// State in which the object was left, if nothing is left to do for it as long as it stays in
    /// that state. `None` if its state does not tell that, because its keys, or proof that it has
    /// none, are in other objects.
    pub state: Option<ObjectState>,
}

impl<O> Processed<O> {
    pub(crate) fn without_state(outcome: O) -> Self {
        Self { outcome, replanned: false, state: None }
    }

    pub(crate) fn map<P>(self, of: impl FnOnce(O) -> P) -> Processed<P> {
        let Self { outcome, replanned, state } = self;
        Processed { outcome: of(outcome), replanned, state }
    }

    /// Keeps the state only if nothing is left to do for the object.
    pub(crate) fn with_state_if(mut self, is_done: impl FnOnce(&O) -> bool) -> Self {
        self.state = self.state.filter(|_| is_done(&self.outcome));
        self
    }
}

/// Result of the attempts at one object.
#[derive(Debug)]
pub(crate) enum Attempt<T> {
    Done(T),
    Skipped(Skipped),
    /// Other writers changed the object during every attempt.
    Changed(Error),
    Failed(Error),
}

/// Reason why there is no object to work on.
enum Absence {
    Skipped(Skipped),
    Failed(Error),
}

impl<T> From<Absence> for Attempt<T> {
    fn from(absence: Absence) -> Self {
        match absence {
            Absence::Skipped(why) => Self::Skipped(why),
            Absence::Failed(error) => Self::Failed(error),
        }
    }
}

/// A listed object as the target of an operation.
#[derive(Debug)]
pub(crate) struct Listed<'a> {
    handle: &'a Handle,
    object: &'a ListedObject,
    target: ObjectRef,
}

impl<'a> Listed<'a> {
    /// Refuses an object that is listed as an older version.
    pub(crate) fn new(
        operation: &'static str,
        handle: &'a Handle,
        object: &'a ListedObject,
    ) -> Result<Self, Error> {
        let (bucket, key) = (object.bucket.clone(), object.key.clone());
        let target = ObjectRef::new(operation, handle.store.s3(), Some(bucket), Some(key))?;
        if object.is_latest == Some(false) {
            return Err(older(&target));
        }
        Ok(Self { handle, object, target })
    }

    pub(crate) fn target(&self) -> &ObjectRef {
        &self.target
    }

    /// Does `work` on the object, unless it is in a state that `is_done` accepts. If another writer
    /// changes the object meanwhile, it is read and evaluated again.
    ///
    /// `work` also returns the state in which it left the object.
    pub(crate) async fn process<T, F>(
        &self,
        planned: Option<&ObjectState>,
        is_done: &(dyn Fn(&ObjectState) -> bool + Send + Sync),
        work: impl Fn(Snapshot) -> F + Send + Sync,
    ) -> Option<Processed<Attempt<T>>>
    where
        F: Future<Output = Result<(T, Option<ObjectState>), Error>> + Send,
    {
        let (mut conflict, mut replanned) = (None, false);
        for _ in 0..MAX_CONFLICTS {
            let snapshot = match self.snapshot().await {
                Ok(snapshot) => snapshot,
                Err(absence) => {
                    return Some(Processed {
                        replanned,
                        ..Processed::without_state(absence.into())
                    });
                }
            };
            let now = ObjectState::of_snapshot(&snapshot);
            if is_done(&now) {
                return None;
            }
            replanned |= planned.is_some_and(|planned| !planned.is_still(&now));
            let head = snapshot.head.clone();
            let (outcome, state) = match work(snapshot).await {
                Ok((done, state)) => (Attempt::Done(done), state),
                Err(error) => match error.kind() {
                    ErrorKind::NotSealed | ErrorKind::Shredded => {
                        match Box::pin(self.skipped(&head, error)).await {
                            Ok(why) => (Attempt::Skipped(why), None),
                            Err(error) => (Attempt::Failed(error), None),
                        }
                    }
                    ErrorKind::Conflict => {
                        conflict = Some(error);
                        continue;
                    }
                    _ => (Attempt::Failed(error), None),
                },
            };
            return Some(Processed { outcome, replanned, state });
        }
        let changed = Attempt::Changed(conflict.expect("a conflict ended the last attempt"));
        Some(Processed { replanned: true, ..Processed::without_state(changed) })
    }

    /// Takes a snapshot of a listed object, for a forecast.
    ///
    /// # Errors
    /// The forecast, if there is nothing to decide about.
    pub(crate) async fn examine<C>(
        operation: &'static str,
        handle: &'a Handle,
        object: &'a ListedObject,
    ) -> Result<(Self, Snapshot), Forecast<C>> {
        let unread = |action| unread(object, action);
        let listed = Self::new(operation, handle, object)
            .map_err(|error| unread(ForecastAction::Fail(error)))?;
        match listed.snapshot().await {
            Ok(snapshot) => Ok((listed, snapshot)),
            Err(Absence::Skipped(why)) => Err(unread(ForecastAction::Skip(why))),
            Err(Absence::Failed(error)) => Err(unread(ForecastAction::Fail(error))),
        }
    }

    /// Returns the forecast for the object in a snapshot, for which `action` was decided.
    pub(crate) async fn forecast<C>(
        &self,
        snapshot: &Snapshot,
        action: Result<ForecastAction<C>, Error>,
    ) -> Forecast<C> {
        let action = match action {
            Ok(action) => action,
            Err(error) if matches!(error.kind(), ErrorKind::NotSealed | ErrorKind::Shredded) => {
                match Box::pin(self.skipped(&snapshot.head, error)).await {
                    Ok(why) => ForecastAction::Skip(why),
                    Err(error) => ForecastAction::Fail(error),
                }
            }
            Err(error) if error.kind().is_retryable() => {
                return unread(self.object, ForecastAction::Fail(error));
            }
            Err(error) => ForecastAction::Fail(error),
        };
        let size = snapshot.head.content_length().and_then(|len| len.try_into().ok());
        let metadata = snapshot.head.metadata().into_iter().flatten();
        let header = ObjectHeader::parse(metadata::pairs(metadata)).ok();
        Forecast {
            state: ObjectState::of_snapshot(snapshot),
            generation: header.map(|header| header.generation()),
            size: size.or(self.object.size),
            action,
        }
    }

    /// Takes a snapshot of the object, unless it is gone or not the listed version.
    async fn snapshot(&self) -> Result<Snapshot, Absence> {
        let Self { handle, object, target } = self;
        match Snapshot::take(&handle.store, target).await {
            Ok(snapshot) => {
                let of_version = |id: &Option<String>| {
                    id.as_deref().filter(|id| *id != "null").map(str::to_owned)
                };
                let named = of_version(&object.version_id);
                // The version that was the latest when it was listed stands for the latest one now.
                if object.version_id.is_some()
                    && object.is_latest.is_none()
                    && named != of_version(&snapshot.head.version_id)
                {
                    return Err(Absence::Failed(older(target)));
                }
                Ok(snapshot)
            }
            // An object that was named but not listed may never have existed.
            Err(error) if error.kind() == ErrorKind::NotFound && object.size.is_some() => {
                Err(Absence::Skipped(Skipped::Gone))
            }
            Err(error) => Err(Absence::Failed(error)),
        }
    }

    /// Returns why an object without keys of its own is not eligible, or `error` if its mark is
    /// wrong.
    async fn skipped(&self, head: &HeadObjectOutput, error: Error) -> Result<Skipped, Error> {
        let Handle { store, vault, .. } = self.handle;
        if error.kind() == ErrorKind::Shredded {
            return vault.check_shredded(store, &self.target).await.map(|()| Skipped::Shredded);
        }
        Ok(match vault.kind(store, &self.target, None, head).await? {
            ObjectKind::FolderMarker => Skipped::FolderMarker,
            kind if kind.is_companion() => Skipped::Companion,
            ObjectKind::Unsealed => Skipped::NotSealed,
            // It changed meanwhile, or its metadata contradicts itself.
            _ => return Err(error),
        })
    }
}

/// Returns the forecast for an object that was not read.
fn unread<C>(object: &ListedObject, action: ForecastAction<C>) -> Forecast<C> {
    Forecast { state: ObjectState::of_listed(object), generation: None, size: object.size, action }
}

fn older(target: &ObjectRef) -> Error {
    let message = match target.operation {
        "rewrap" => {
            "it is not the object's newest version, and S3 does not change the metadata of an older \
             one"
        }
        _ => "it is not the object's newest version, and S3 does not change an older one",
    };
    target.error(ErrorKind::Unsupported, message)
}
