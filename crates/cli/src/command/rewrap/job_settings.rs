//! Settings of a bulk rewrap, from the command line or from a plan.

use std::sync::Arc;

use sealwax_jobs::rewrap::PlanHeader;
use sealwax_s3::{
    KeyChange, KeyChanges, KmsKeyArn, KmsKeyring, Rewrapper,
    envelope::{CachingKeyring, Keyring},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::args::{KeyOptionArgs, SidecarWhen};
use crate::{
    args::{AclArg, ReaderArgs, S3ecArgs, WrapKey},
    failure::Failure,
    session::Session,
};

/// Settings that a plan stores beside the key changes, so that it defines the same job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct JobSettings {
    pub(super) bucket: String,
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
    #[serde(default)]
    to_sidecar: SidecarWhen,
    #[serde(flatten)]
    options: KeyOptionArgs,
    /// Rules for objects of the S3 Encryption Client. Of keys, it holds the names of their files.
    #[serde(default)]
    s3ec: S3ecArgs,
    #[serde(default)]
    acl: AclArg,
}

impl JobSettings {
    /// Returns the settings of the command line.
    pub(super) fn new(
        session: &Session,
        bucket: &str,
        reader: &ReaderArgs,
        to_sidecar: SidecarWhen,
        options: KeyOptionArgs,
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
            to_sidecar,
            options,
            s3ec,
            acl: session.acls(),
        }
    }

    /// Returns the settings of a plan, whose Region and endpoint must be the session's.
    pub(super) fn of_plan(session: &Session, header: &PlanHeader) -> Result<Self, Failure> {
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

    /// Returns what identifies a job beside its objects and key changes: these settings, and the
    /// bucket's owner where names of buckets are not unique.
    pub(super) async fn identity(&self, session: &Session) -> Map<String, Value> {
        let mut identity = self.to_json();
        identity.insert("owner".into(), session.bucket_owner().await.into());
        identity
    }

    /// Refuses other options for the S3 Encryption Client than those of the plan.
    pub(super) fn check_s3ec(&self, given: &S3ecArgs) -> Result<(), Failure> {
        if *given == S3ecArgs::default() || *given == self.s3ec {
            return Ok(());
        }
        let message = "the plan has other options for the S3 Encryption Client";
        Err(Failure::usage(message).advise("leave them out, or make another plan with --save-plan"))
    }

    pub(super) fn to_json(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => unreachable!("a struct is an object"),
        }
    }

    /// Returns the session with these settings, and the keys to read with.
    pub(super) fn applied(&self, session: &Session) -> Result<(Session, ReaderArgs), Failure> {
        let keys: Result<Vec<KmsKeyArn>, _> = self.keys.iter().map(|key| key.parse()).collect();
        let (keys, accounts) = (keys.map_err(Failure::usage)?, self.accounts.clone());
        let reader = ReaderArgs { keys, accounts, besides_local: false, source_region: None };
        let (replica_of, sidecars) = (self.replica_of.clone(), self.sidecars.clone());
        let session = session.with_places(replica_of, self.no_place_binding, sidecars);
        Ok((session.with_acls(self.acl), reader))
    }
}

/// Returns a rewrapper for these key changes, with a limit on the rate of KMS calls.
pub(super) async fn rewrapper(
    session: &Session,
    settings: &JobSettings,
    edits: &[KeyChange],
    calls_per_second: Option<u32>,
) -> Result<Rewrapper, Failure> {
    let (session, mut reader) = settings.applied(session)?;
    reader.besides_local = edits.iter().any(adds_local);
    reader.source_region = session.source_region().await;
    let reading = Arc::new(session.keyrings().kms(reader, &[], calls_per_second).await?);
    let mut made = KeyChanges::new();
    for edit in edits {
        made = match edit {
            KeyChange::Add(keys) => made.add_keys(keyring(&session, &reading, keys)?),
            KeyChange::Replace(keys) => made.replace_keys(keyring(&session, &reading, keys)?),
            KeyChange::Remove(key) => made.remove_key(key),
            KeyChange::Refresh => made.refresh_keys(),
            other => {
                return Err(Failure::usage(format!(
                    "this command does not support the key change {other:?}"
                )));
            }
        };
    }
    let made = settings.options.on(made);
    // The cache unwraps an intermediate key once for many objects.
    let client = session
        .client_builder_of(
            &settings.bucket,
            CachingKeyring::new(session.keyrings().with_local(reading)),
        )
        .s3ec(settings.s3ec.settings()?)
        .build();
    Ok(client.rewrapper(made)?.key_storage(settings.to_sidecar.into()))
}

/// `true` if the change wraps data keys under the local key, so that objects may have other keys.
fn adds_local(edit: &KeyChange) -> bool {
    let (KeyChange::Add(keys) | KeyChange::Replace(keys)) = edit else { return false };
    keys.iter().any(|name| matches!(WrapKey::of_name(name), Ok(WrapKey::Local(_))))
}

fn keyring(
    session: &Session,
    reading: &KmsKeyring,
    keys: &[String],
) -> Result<Arc<dyn Keyring>, Failure> {
    let keys: Result<Vec<_>, _> = keys.iter().map(|name| WrapKey::of_name(name)).collect();
    session.keyrings().of(&keys.map_err(Failure::usage)?, reading.sibling())
}
