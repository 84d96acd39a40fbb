//! The lines of a plan.

use std::collections::BTreeMap;

use sealwax_s3::{
    DataKeyWay, Forecast, ForecastAction, KeyChange, ListedObject, MetadataWay, ObjectState,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Summary;

/// The format of plans.
pub(super) const VERSION: u32 = 1;

/// The first line of a plan: what it is a plan of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlanHeader {
    /// The format: 1.
    pub sealwax_plan: u32,
    /// Where the objects come from, such as `s3://bucket/prefix`.
    pub source: String,
    /// What is to be changed.
    pub edits: Vec<KeyChange>,
    /// When it was begun, in seconds since 1970.
    pub begun: u64,
    /// Whatever its maker wants to find in it again. Nothing secret.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

/// A line of a plan: one object, and what a rewrap would do to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedObject {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The version that was seen, in a versioned bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The entity tag that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e_tag: Option<String>,
    /// The generation that was seen, of a sealed object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// Length of the stored body in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What would be done.
    #[serde(flatten)]
    pub action: Action,
}

/// What a rewrap would do to an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Action {
    /// It has the wanted keys.
    Nothing,
    /// It gets other keys.
    Rewrap {
        /// The wrapping keys that are new, or get a new wrap.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        add: Vec<String>,
        /// The wrapping keys that go.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remove: Vec<String>,
        /// The wrapping keys whose wraps are made anew, if they are under older material.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        refresh: Vec<String>,
        /// How the data key gets its new wraps.
        data_key: DataKeyWay,
        /// How the new metadata lands.
        metadata: MetadataWay,
        /// Calls of KMS by Region, at most. Those for an intermediate key are told with one of its objects.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        kms_calls: BTreeMap<String, u64>,
    },
    /// It is none to be rewrapped.
    Skip {
        /// Why: `not-sealed` or `gone`.
        why: String,
    },
    /// It cannot be rewrapped as it is.
    Impossible {
        /// What kind of failure it would be, such as `no-matching-key`.
        kind: String,
        /// Why.
        why: String,
    },
}

/// The last line of a plan: without it, the plan was cut off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PlanEnd {
    pub(super) summary: Summary,
}

impl PlannedObject {
    /// Describes the forecast for an object.
    #[must_use]
    pub fn new(object: &ListedObject, forecast: Forecast) -> Self {
        let Forecast { state, size, action, .. } = forecast;
        Self {
            bucket: object.bucket.clone(),
            key: object.key.clone(),
            version_id: state.version_id,
            e_tag: state.e_tag,
            generation: state.generation,
            size,
            action: action.into(),
        }
    }

    /// The object, as a listing would name it.
    #[must_use]
    pub fn listed(&self) -> ListedObject {
        let mut listed = ListedObject::new(self.bucket.clone(), self.key.clone());
        listed.version_id = self.version_id.clone();
        // It was when the plan was made; a newer one is rewrapped in its stead.
        listed.is_latest = Some(true);
        listed.size = self.size;
        listed.e_tag = self.e_tag.clone();
        listed
    }

    /// The state of the object when the plan was made.
    #[must_use]
    pub fn state(&self) -> ObjectState {
        let mut state = ObjectState::default();
        state.e_tag = self.e_tag.clone();
        state.version_id = self.version_id.clone();
        state.generation = self.generation;
        state
    }
}

impl From<ForecastAction> for Action {
    fn from(action: ForecastAction) -> Self {
        match action {
            ForecastAction::Unchanged => Self::Nothing,
            ForecastAction::Rewrap(cost) => Self::Rewrap {
                add: cost.add,
                remove: cost.remove,
                refresh: cost.refresh,
                data_key: cost.data_key,
                metadata: cost.metadata,
                kms_calls: cost.kms_calls,
            },
            ForecastAction::Skip(why) => Self::Skip { why: why.name().to_owned() },
            ForecastAction::Fail(error) => {
                Self::Impossible { kind: error.kind().name().to_owned(), why: error.to_string() }
            }
        }
    }
}
