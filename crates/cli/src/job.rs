//! Jobs that change many objects: planned, applied, and resumed by a journal. `rewrap` and `reencrypt`
//! are two kinds of them.

mod apply;
mod dry_run;
mod output;
mod settings;

use sealwax_jobs::job::{PlanFile, PlanSummary, Work};
use sealwax_s3::SealedClient;
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::settings::JobSettings;
use self::{apply::apply, dry_run::dry_run, output::Output};
use crate::{
    args::{JobArgs, ObjectSource, Prefix},
    failure::Failure,
    session::Session,
};

/// Kind of a job, in words.
pub(crate) trait JobKind: Work {
    /// Verb, such as `rewrap`.
    const VERB: &str;
    /// Past participle of the verb.
    const DONE: &str;
    /// Predicate of objects for which nothing is left to do.
    const NOTHING: &str;
    /// Extension of journals in the state directory.
    const EXTENSION: &str;

    /// Returns what text output says about an outcome without a failure, if anything.
    fn note(_: &Self::Outcome) -> Option<String> {
        None
    }

    /// Returns the lines of a plan about the work.
    fn plan_text(summary: &PlanSummary) -> String;

    /// Returns the counts that other kinds do not have, the two most important ones first.
    fn counts(summary: &Self::Summary) -> Vec<(u64, &'static str)>;
}

/// Settings of one kind of job.
pub(crate) trait KindSettings: Serialize + DeserializeOwned + Send + Sync {}

impl<K: Serialize + DeserializeOwned + Send + Sync> KindSettings for K {}

/// A job: what to do, to which objects, and how.
pub(crate) struct Job<'a, W, K> {
    pub(crate) session: &'a Session,
    pub(crate) client: SealedClient,
    pub(crate) work: W,
    pub(crate) settings: &'a JobSettings<K>,
    pub(crate) source: ObjectSource<'a>,
    /// Prefix of the objects, unless there is a plan.
    pub(crate) prefix: Option<&'a Prefix>,
    pub(crate) args: &'a JobArgs,
}

impl<W: JobKind, K: KindSettings> Job<'_, W, K> {
    /// Works on the objects of the plan or of the source, or prints what that would do.
    pub(crate) async fn run(self, plan: Option<PlanFile>) -> Result<(), Failure> {
        match self.args.apply {
            true => apply(self, plan).await,
            false => dry_run(self).await,
        }
    }
}

/// Opens the plan of the arguments.
pub(crate) async fn open_plan(args: &JobArgs) -> Result<Option<PlanFile>, Failure> {
    match &args.plan {
        Some(path) => Ok(Some(PlanFile::open(path).await?)),
        None => Ok(None),
    }
}

/// Prints the summary of a plan.
pub(crate) fn show_plan<W: JobKind>(
    session: &Session,
    plan: &PlanFile,
    json: bool,
) -> Result<(), Failure> {
    Output::new(json).plan_summary::<W>(plan.summary(), &[])?;
    session.say(format!("nothing was changed; pass --apply to {}", W::VERB));
    Ok(())
}
