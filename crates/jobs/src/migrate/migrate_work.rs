//! The work of a migration.

use aws_sdk_s3::Client;
use sealwax_s3::{Error, ListedObject, MigrateOutcome, Migrator, ObjectState, Processed, Skipped};

use super::MigrateSummary;
use crate::{
    engine::RetryPolicy,
    job::{Foreseen, OutcomeDetails, PlannedJob, Sealed, Work, WorkOutcome},
};

impl Sealed for Migrator {}

impl Work for Migrator {
    type Outcome = MigrateOutcome;
    type Summary = MigrateSummary;
    type Forecaster = Self;

    const RETRIES: RetryPolicy = RetryPolicy::MIGRATE;
    const CONCURRENCY: usize = 64;

    fn s3(&self) -> &Client {
        Self::s3(self)
    }

    fn job(&self) -> PlannedJob {
        PlannedJob::Migrate { migration: self.names() }
    }

    fn forecaster(&self) -> Self {
        self.clone()
    }

    async fn forecast(forecaster: &Self, object: &ListedObject) -> Foreseen {
        let forecast = Self::forecast(forecaster, object).await;
        Foreseen::new(object, forecast, |cost| std::mem::take(&mut cost.permissions))
    }

    async fn process(
        &self,
        object: &ListedObject,
        planned: Option<&ObjectState>,
        is_done: &(dyn Fn(&ObjectState) -> bool + Send + Sync),
    ) -> Option<Processed<MigrateOutcome>> {
        self.migrate_planned(object, planned, is_done).await
    }
}

impl WorkOutcome for MigrateOutcome {
    fn name(&self) -> &'static str {
        Self::name(self)
    }

    fn error(&self) -> Option<&Error> {
        Self::error(self)
    }

    fn details(&self) -> OutcomeDetails {
        let mut details = OutcomeDetails::default();
        if let Self::Reencrypted { plaintext_len, .. } = self {
            details.plaintext_bytes = Some(*plaintext_len);
        }
        details
    }

    fn is_done(name: &str) -> Option<bool> {
        match name {
            "reencrypted" | "unchanged" => Some(true),
            "changed" | "failed" => Some(false),
            name => Skipped::of_name(name).map(|_| true),
        }
    }
}

#[cfg(test)]
mod tests {
    use sealwax_s3::ErrorKind;

    use super::*;
    use crate::migrate::MigratedObject;

    #[test]
    fn lines_are_stable() {
        let failure =
            || Error::new("reencrypt", "s3://b/k", ErrorKind::AccessDenied, "by this test");
        let reencrypted = MigrateOutcome::Reencrypted { plaintext_len: 9, version_id: None };
        let why = r#","kind":"access-denied","why":"cannot reencrypt s3://b/k: by this test""#;
        for (outcome, is_done, expected) in [
            (reencrypted, true, r#""reencrypted","plaintext_bytes":9"#.to_owned()),
            (MigrateOutcome::Unchanged, true, r#""unchanged""#.to_owned()),
            (MigrateOutcome::Skipped(Skipped::Companion), true, r#""companion""#.to_owned()),
            (MigrateOutcome::Changed(failure()), false, format!(r#""changed"{why}"#)),
            (MigrateOutcome::Failed(failure()), false, format!(r#""failed"{why}"#)),
        ] {
            let object = ListedObject::new("b", "k");
            let (line, replanned, state) = (Some(7), false, None);
            let object = MigratedObject { object, line, outcome, replanned, state };
            let text = serde_json::to_string(&object).expect("names are strings");
            let begin = r#"{"object":"s3://b/k","line":7,"outcome":"#;
            assert_eq!(text, format!("{begin}{expected}}}"));
            assert_eq!(
                <MigrateOutcome as WorkOutcome>::is_done(object.outcome.name()),
                Some(is_done)
            );
        }
    }
}
