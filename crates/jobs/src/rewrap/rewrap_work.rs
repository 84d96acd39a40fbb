//! The work of a rewrap.

use aws_sdk_s3::Client;
use sealwax_s3::{
    Error, Forecaster, ListedObject, ObjectState, Processed, RewrapOutcome, Rewrapper, Skipped,
};

use super::RewrapSummary;
use crate::{
    engine::RetryPolicy,
    job::{Foreseen, OutcomeDetails, PlannedJob, Sealed, Work, WorkOutcome},
};

impl Sealed for Rewrapper {}

impl Work for Rewrapper {
    type Outcome = RewrapOutcome;
    type Summary = RewrapSummary;
    type Forecaster = Forecaster;

    const RETRIES: RetryPolicy = RetryPolicy::REWRAP;
    const CONCURRENCY: usize = 128;

    fn s3(&self) -> &Client {
        Self::s3(self)
    }

    fn job(&self) -> PlannedJob {
        PlannedJob::Rewrap { edits: self.changes().names() }
    }

    fn forecaster(&self) -> Forecaster {
        Forecaster::new(self)
    }

    async fn forecast(forecaster: &Forecaster, object: &ListedObject) -> Foreseen {
        let forecast = forecaster.forecast(object).await;
        Foreseen::new(object, forecast, |cost| std::mem::take(&mut cost.permissions))
    }

    async fn process(
        &self,
        object: &ListedObject,
        planned: Option<&ObjectState>,
        is_done: &(dyn Fn(&ObjectState) -> bool + Send + Sync),
    ) -> Option<Processed<RewrapOutcome>> {
        self.rewrap_planned(object, planned, is_done).await
    }
}

impl WorkOutcome for RewrapOutcome {
    fn name(&self) -> &'static str {
        Self::name(self)
    }

    fn error(&self) -> Option<&Error> {
        Self::error(self)
    }

    fn details(&self) -> OutcomeDetails {
        let mut details = OutcomeDetails::default();
        if let Self::Rewrapped { generation, .. } | Self::Kept { generation, .. } = self {
            details.generation = Some(*generation);
        }
        if let Self::Kept { wrapping_keys, .. } = self {
            details.kept.clone_from(wrapping_keys);
        }
        details
    }

    fn is_done(name: &str) -> Option<bool> {
        match name {
            "rewrapped" | "claimed" | "proven" | "unchanged" => Some(true),
            "kept" | "changed" | "failed" => Some(false),
            name => Skipped::of_name(name).map(|_| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use sealwax_s3::{Error, ErrorKind, ListedObject};

    use super::*;
    use crate::job::AppliedObject;

    fn failure() -> Error {
        Error::new("rewrap", "s3://b/k", ErrorKind::AccessDenied, "by this test")
    }

    #[test]
    fn lines_are_stable_and_read_back() {
        let rewrapped = RewrapOutcome::Rewrapped { generation: 2, version_id: Some("new".into()) };
        let outcomes = [
            (rewrapped, true, r#""rewrapped","generation":2,"replanned":true"#),
            (RewrapOutcome::Unchanged, true, r#""unchanged","replanned":true"#),
            (RewrapOutcome::Claimed, true, r#""claimed","replanned":true"#),
            (RewrapOutcome::Proven, true, r#""proven","replanned":true"#),
            (
                RewrapOutcome::Kept { generation: 3, wrapping_keys: vec!["old".into()] },
                false,
                r#""kept","generation":3,"kept":["old"],"replanned":true"#,
            ),
            (RewrapOutcome::Skipped(Skipped::NotSealed), true, r#""not-sealed","replanned":true"#),
            (RewrapOutcome::Skipped(Skipped::Shredded), true, r#""shredded","replanned":true"#),
            (
                RewrapOutcome::Skipped(Skipped::FolderMarker),
                true,
                r#""folder-marker","replanned":true"#,
            ),
            (RewrapOutcome::Skipped(Skipped::Companion), true, r#""companion","replanned":true"#),
            (RewrapOutcome::Skipped(Skipped::Gone), true, r#""gone","replanned":true"#),
            (
                RewrapOutcome::Changed(failure()),
                false,
                r#""changed","replanned":true,"kind":"access-denied","why":"cannot rewrap s3://b/k: by this test""#,
            ),
            (
                RewrapOutcome::Failed(failure()),
                false,
                r#""failed","replanned":true,"kind":"access-denied","why":"cannot rewrap s3://b/k: by this test""#,
            ),
        ];
        for (outcome, is_done, expected) in outcomes {
            let object = ListedObject::new("b", "k").version("v");
            let line = Some(7);
            let object = AppliedObject { object, line, outcome, replanned: true, state: None };
            let text = serde_json::to_string(&object).expect("names are strings");
            let begin = r#"{"object":"s3://b/k","version_id":"v","line":7,"outcome":"#;
            assert_eq!(text, format!("{begin}{expected}}}"));
            assert_eq!(
                <RewrapOutcome as WorkOutcome>::is_done(object.outcome.name()),
                Some(is_done)
            );
        }
    }
}
