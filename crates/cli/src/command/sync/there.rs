//! The objects of a destination in S3.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::Stream;
use sealwax_s3::{ErrorKind, ListedObject, S3Uri, SealedClient, ServerClock};

use crate::{
    args::{FilterArgs, Prefix},
    bulk::Skip,
    command::{put::Expected, uploads::warn_of_incomplete},
    comparison::StoreTimes,
    failure::{Exit, Failure},
    folder_listing::{self, Listed},
    interrupt::unless_stopped,
    lister::Lister,
    session::Session,
    state_directory::CopyStates,
};

/// Minimum length of a part that is not the last one, in bytes.
const MIN_PART_LEN: u64 = 5 << 20;

/// The objects of a destination in S3.
pub(super) struct ObjectsThere {
    pub(super) prefix: Prefix,
    pub(super) client: SealedClient,
    /// Lists the objects, and reads the store's clock from the answers.
    listing: aws_sdk_s3::Client,
    clock: ServerClock,
    /// Suffix of sidecars.
    sidecars: String,
    /// Settings of the destination.
    session: Session,
    /// `true` once an object was stored whose upload may have had parts.
    has_stored_parts: AtomicBool,
    /// `true` once the store refused the condition of a write.
    has_no_conditions: AtomicBool,
}

impl ObjectsThere {
    pub(super) fn new(session: &Session, prefix: Prefix, client: SealedClient) -> Self {
        let clock = ServerClock::default();
        let config = session.s3().config().to_builder().interceptor(clock.clone()).build();
        Self {
            prefix,
            client,
            listing: aws_sdk_s3::Client::from_conf(config),
            clock,
            session: session.clone(),
            has_stored_parts: AtomicBool::new(false),
            sidecars: session.sidecar_suffix().to_owned(),
            has_no_conditions: AtomicBool::new(false),
        }
    }

    /// Lists the objects that the filter selects.
    pub(super) fn objects(
        &self,
        filter: &FilterArgs,
    ) -> impl Stream<Item = Result<Listed, Failure>> + Send + use<> {
        let lister = Lister::new(&self.listing, self.client.key_store());
        folder_listing::objects(lister, &self.prefix, filter.clone())
    }

    /// Returns the times of the listing, by the local clock.
    pub(super) fn times(&self) -> StoreTimes {
        StoreTimes { local_ahead: self.clock.local_ahead_secs().unwrap_or_default() }
    }

    /// Returns the state of the destination of a write, as it was listed.
    pub(super) fn expected(&self, object: Option<&ListedObject>) -> Expected {
        if self.has_no_conditions.load(Ordering::Relaxed) {
            return Expected::Any;
        }
        match object {
            None => Expected::Absent,
            Some(object) => quoted(object).map_or(Expected::Any, Expected::ETag),
        }
    }

    /// `true` if the store does not know the condition of a write, which is then made without.
    pub(super) fn refused_condition(
        &self,
        session: &Session,
        failure: &Failure,
        expected: &Expected,
    ) -> bool {
        if !failure.kind().is_some_and(is_no_condition) || *expected == Expected::Any {
            return false;
        }
        if !self.has_no_conditions.swap(true, Ordering::Relaxed) {
            session.say(
                "warning: the store knows no conditional writes: what other programs store \
                 meanwhile is overwritten",
            );
        }
        true
    }

    /// Notes that an object of this length in bytes was stored.
    pub(super) fn stored(&self, len: u64) {
        self.has_stored_parts.fetch_or(len > MIN_PART_LEN, Ordering::Relaxed);
    }

    /// Returns why an object that only the destination has is not to be deleted.
    pub(super) async fn kept(&self, object: &ListedObject) -> Result<Option<Skip>, Failure> {
        Skip::companion(&self.client, &self.sidecars, object).await
    }

    /// Deletes an object that has not changed since it was listed.
    pub(super) async fn delete(&self, object: &ListedObject) -> Result<(), Failure> {
        let delete = || self.client.delete().bucket(&object.bucket).key(&object.key);
        let conditional = match quoted(object) {
            Some(e_tag) if !self.has_no_conditions.load(Ordering::Relaxed) => {
                delete().if_match(e_tag)
            }
            _ => delete(),
        };
        match conditional.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_no_condition(error.kind()) => {
                // The look that is left. Only a write in the moment after it is not noticed.
                let head = self.client.s3().head_object().bucket(&object.bucket).key(&object.key);
                let now = head.send().await.ok();
                let now = now.as_ref().and_then(|head| head.e_tag());
                if now.is_some_and(|now| Some(now.trim_matches('"')) != object.e_tag.as_deref()) {
                    let advice = "another program stored it: rerun the command to compare it again";
                    let error = "it changed since it was listed";
                    return Err(Failure::new(Exit::Conflict, error, advice));
                }
                delete().send().await?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until uploads that were given up are aborted, aborts those that `states` has of killed
    /// runs, and reports those that may be left.
    ///
    /// A pass without long objects looks for nothing: it stores again what a killed run began.
    pub(super) async fn settle(&self, states: Option<&CopyStates>) -> Result<(), Failure> {
        let settling = async {
            self.client.settle().await;
            if let Some(states) = states {
                self.abort_left(states).await;
            }
            if self.has_stored_parts.swap(false, Ordering::Relaxed) {
                warn_of_incomplete(&self.session, &self.prefix).await;
            }
        };
        let settled = unless_stopped(settling).await;
        self.session.report_unclaimed(&self.client);
        settled.map_err(|signal| Failure::stopped(signal, "incomplete uploads may be left"))
    }

    /// Aborts the uploads of killed runs that no transfer of a whole pass continued: their objects are
    /// gone from the source, or are no longer selected.
    async fn abort_left(&self, states: &CopyStates) {
        for (path, upload) in states.all().await {
            let (bucket, key) = (upload.bucket(), upload.key());
            let is_below = *bucket == self.prefix.bucket && key.starts_with(&self.prefix.key);
            let Ok(uri) = S3Uri::new(bucket, key) else { continue };
            if !is_below {
                continue;
            }
            match self.client.abort_unfinished(&uri, &path).await {
                Ok(true) => {
                    self.session.say(format!("aborted the upload of a killed run to {uri}"));
                }
                Ok(false) => {}
                // Another run is copying this object.
                Err(error) if error.kind() == ErrorKind::Locked => {}
                Err(error) => self.session.say(format!("warning: {error}")),
            }
        }
    }
}

/// `true` if the store does not know the condition of a call, or ignores it.
fn is_no_condition(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unsupported | ErrorKind::ConditionIgnored)
}

/// Returns the object's entity tag as a header has it.
fn quoted(object: &ListedObject) -> Option<String> {
    let e_tag = object.e_tag.as_deref()?.trim_matches('"');
    Some(format!("\"{e_tag}\""))
}
