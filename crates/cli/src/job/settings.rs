//! Settings of a job, from the command line or from a plan.

use sealwax_jobs::job::PlanHeader;
use sealwax_s3::KmsKeyArn;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    args::{AclArg, ReaderArgs, S3ecArgs},
    failure::Failure,
    session::Session,
};

/// Settings that a plan stores beside the changes, so that it defines the same job. `K` are those of
/// one kind of job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JobSettings<K> {
    pub(crate) bucket: String,
    region: String,
    /// Endpoint of S3, unless it is AWS's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    replica_of: Option<String>,
    no_place_binding: bool,
    keys: Vec<String>,
    accounts: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sidecars: Option<String>,
    #[serde(flatten)]
    pub(crate) kind: K,
    /// Rules for objects of the S3 Encryption Client. Of keys, it holds the names of their files.
    #[serde(default)]
    pub(crate) s3ec: S3ecArgs,
    #[serde(default)]
    acl: AclArg,
}

impl<K: Serialize + DeserializeOwned + Send + Sync> JobSettings<K> {
    /// Returns the settings of the command line.
    pub(crate) fn new(
        session: &Session,
        bucket: &str,
        reader: &ReaderArgs,
        kind: K,
        s3ec: S3ecArgs,
    ) -> Self {
        let (replica_of, no_place_binding) = session.places();
        Self {
            bucket: bucket.to_owned(),
            region: session.region().to_owned(),
            endpoint: session.s3_endpoint(),
            replica_of: replica_of.map(str::to_owned),
            no_place_binding,
            keys: reader.keys.iter().map(|key| key.as_str().to_owned()).collect(),
            accounts: reader.accounts.clone(),
            sidecars: session.sidecars().map(str::to_owned),
            kind,
            s3ec,
            acl: session.acls(),
        }
    }

    /// Returns the settings of a plan, whose Region and endpoint must be the session's.
    pub(crate) fn of_plan(session: &Session, header: &PlanHeader) -> Result<Self, Failure> {
        let settings: Self = serde_json::from_value(Value::Object(header.settings.clone()))
            .map_err(|error| {
                Failure::usage(format!("this command did not make the plan: {error}"))
            })?;
        if settings.region != session.region() {
            let message =
                format!("the plan is for Region {}, not {}", settings.region, session.region());
            return Err(Failure::usage(message).advise("pass the plan's Region with --region"));
        }
        if settings.endpoint != session.s3_endpoint() {
            let name = |endpoint: Option<String>| endpoint.unwrap_or_else(|| "AWS's own".into());
            let message = format!(
                "the plan is for endpoint {}, not {}",
                name(settings.endpoint),
                name(session.s3_endpoint())
            );
            return Err(Failure::usage(message)
                .advise("pass the plan's endpoint with --endpoint-url, or make another plan"));
        }
        Ok(settings)
    }

    /// Returns what identifies a job beside its objects and changes: these settings, and the
    /// bucket's owner where names of buckets are not unique.
    pub(crate) async fn identity(&self, session: &Session) -> Map<String, Value> {
        let mut identity = self.to_json();
        identity.insert("owner".into(), session.bucket_owner().await.into());
        identity
    }

    /// Refuses other options for the S3 Encryption Client than those of the plan.
    pub(crate) fn check_s3ec(&self, given: &S3ecArgs) -> Result<(), Failure> {
        if *given == S3ecArgs::default() || *given == self.s3ec {
            return Ok(());
        }
        let message = "the plan has other options for the S3 Encryption Client";
        Err(Failure::usage(message).advise("leave them out, or make another plan with --save-plan"))
    }

    pub(crate) fn to_json(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => unreachable!("a struct is an object"),
        }
    }

    /// Returns the session with these settings, and the keys to read with.
    pub(crate) fn applied(&self, session: &Session) -> Result<(Session, ReaderArgs), Failure> {
        let keys: Result<Vec<KmsKeyArn>, _> = self.keys.iter().map(|key| key.parse()).collect();
        let (keys, accounts) = (keys.map_err(Failure::usage)?, self.accounts.clone());
        let reader = ReaderArgs { keys, accounts, besides_local: false, source_region: None };
        let (replica_of, sidecars) = (self.replica_of.clone(), self.sidecars.clone());
        let session = session.with_places(replica_of, self.no_place_binding, sidecars);
        Ok((session.with_acls(self.acl), reader))
    }
}
