//! Lines of a plan.

use std::collections::BTreeMap;

use sealwax_s3::{
    DataKeyWay, Forecast, ForecastAction, KeyChange, ListedObject, MetadataWay, Migration,
    ObjectState, ReencryptCost, RewrapCost,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Version of the format.
pub(super) const VERSION: u32 = 1;

/// The first line of a plan. Field names are stable JSON output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlanHeader {
    /// Version of the format: 1.
    pub sealwax_plan: u32,
    /// Name of the listing, such as `s3://bucket/prefix`.
    pub source: String,
    /// The changes to make.
    #[serde(flatten)]
    pub job: PlannedJob,
    /// Start of the planning, in seconds since 1970.
    pub begun: u64,
    /// Settings of the program that made the plan. They are not secret.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

/// Changes that a job makes, by names. Field names are stable JSON output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum PlannedJob {
    /// A rewrap.
    Rewrap {
        /// The key changes, in their order.
        edits: Vec<KeyChange>,
    },
    /// A migration.
    Migrate {
        /// The wanted format and keys.
        migration: Migration,
    },
}

impl PlannedJob {
    /// Returns the changes as a part of a job's identity.
    #[must_use]
    pub fn changes(&self) -> Value {
        let changes = match self {
            Self::Rewrap { edits } => serde_json::to_value(edits),
            Self::Migrate { migration } => serde_json::to_value(migration),
        };
        // Names are strings.
        changes.unwrap_or_default()
    }
}

/// A line of a plan: one object, and what the job would do to it. Field names are stable JSON
/// output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedObject {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The state of the object at planning.
    #[serde(flatten)]
    pub state: ObjectState,
    /// The generation of a sealed object at planning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// Length of the stored body in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Action of the job.
    #[serde(flatten)]
    pub action: Action,
}

/// Action of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// No work: nothing is left to do for the object.
    Nothing,
    /// The object gets new keys.
    Rewrap {
        /// Wrapping keys that are new, or get a new encrypted data key.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        add: Vec<String>,
        /// Wrapping keys that are removed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remove: Vec<String>,
        /// Wrapping keys whose encrypted data keys are renewed if they are under older key material.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refresh: Vec<String>,
        /// Way in which the data key is wrapped.
        data_key: DataKeyWay,
        /// Way in which the new metadata is stored.
        metadata: MetadataWay,
        /// Largest number of KMS calls, by Region. Calls for an intermediate key count once, with the
        /// first of its objects.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        kms_calls: BTreeMap<String, u64>,
        /// `true` if the copy is one more locked version: it keeps the object's Object Lock settings.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        locked: bool,
    },
    /// The object is sealed again.
    Reencrypt {
        /// Present format: a name of [`ObjectKind`](sealwax_s3::ObjectKind), such as `s3ec-v2`.
        from: String,
        /// Bytes that are downloaded.
        downloaded: u64,
        /// Bytes that are uploaded.
        uploaded: u64,
        /// Requests that read.
        gets: u64,
        /// Requests that write.
        puts: u64,
        /// Largest number of KMS calls, by Region.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        kms_calls: BTreeMap<String, u64>,
    },
    /// Skipped: not eligible.
    Skip {
        /// The reason: a name of [`Skipped`](sealwax_s3::Skipped), such as `not-sealed`.
        why: String,
    },
    /// The work would fail.
    Impossible {
        /// Name of the error kind, such as `no-matching-key`.
        kind: String,
        /// The error.
        why: String,
    },
}

impl PlannedObject {
    /// Describes a forecast for an object.
    #[must_use]
    pub fn new<C>(object: &ListedObject, forecast: Forecast<C>) -> Self
    where
        Action: From<ForecastAction<C>>,
    {
        let Forecast { state, generation, size, action, .. } = forecast;
        Self {
            bucket: object.bucket.clone(),
            key: object.key.clone(),
            state,
            generation,
            size,
            action: action.into(),
        }
    }

    /// Returns the object as a listing names it.
    #[must_use]
    pub fn listed(&self) -> ListedObject {
        let mut listed = ListedObject::new(self.bucket.clone(), self.key.clone());
        listed.version_id = self.state.version_id.clone();
        // It was the latest version at planning. If there is a newer one, the job works on that.
        listed.is_latest = Some(true);
        listed.size = self.size;
        listed.e_tag = self.state.e_tag.clone();
        listed
    }
}

impl<C> From<ForecastAction<C>> for Action
where
    Self: From<C>,
{
    fn from(action: ForecastAction<C>) -> Self {
        match action {
            ForecastAction::Unchanged => Self::Nothing,
            ForecastAction::Change(cost) => cost.into(),
            ForecastAction::Skip(why) => Self::Skip { why: why.name().to_owned() },
            ForecastAction::Fail(error) => {
                Self::Impossible { kind: error.kind().name().to_owned(), why: error.to_string() }
            }
        }
    }
}

impl From<RewrapCost> for Action {
    fn from(cost: RewrapCost) -> Self {
        Self::Rewrap {
            add: cost.add,
            remove: cost.remove,
            refresh: cost.refresh,
            data_key: cost.data_key,
            metadata: cost.metadata,
            kms_calls: cost.kms_calls,
            locked: cost.is_locked,
        }
    }
}

impl From<ReencryptCost> for Action {
    fn from(cost: ReencryptCost) -> Self {
        Self::Reencrypt {
            from: cost.from.to_owned(),
            downloaded: cost.downloaded,
            uploaded: cost.uploaded,
            gets: cost.gets,
            puts: cost.puts,
            kms_calls: cost.kms_calls,
        }
    }
}
