//! Summaries of plans.

use std::collections::BTreeMap;

use sealwax_s3::{DataKeyWay, MetadataWay};
use serde::{Deserialize, Serialize};

use super::{Action, PermissionNeed, PlannedObject, PriceTable, StorageEstimate, storage::is_zero};
use crate::engine::Summary;

/// Maximum number of Regions that are counted one by one.
const MAX_REGIONS: usize = 128;
/// Name of all further Regions.
const OTHER_REGIONS: &str = "others";

/// Counts of planned objects. Field names are stable JSON output.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PlanSummary {
    /// All objects.
    pub objects: u64,
    /// Objects that get new keys.
    pub rewrap: u64,
    /// Objects for which nothing is left to do.
    pub nothing: u64,
    /// Objects that are not eligible, by reason.
    pub skip: BTreeMap<String, u64>,
    /// Objects on which the work would fail, by the name of the error kind.
    pub impossible: BTreeMap<String, u64>,
    /// Data keys that are re-encrypted inside the key service.
    pub re_encrypt: u64,
    /// Data keys that are unwrapped and wrapped by this process.
    pub decrypt_encrypt: u64,
    /// Objects that are copied by one call.
    pub copies: u64,
    /// Objects that are copied in parts.
    pub multipart_copies: u64,
    /// Objects that get a sidecar.
    pub sidecars: u64,
    /// Objects that get a new instruction file.
    pub instruction_files: u64,
    /// Objects under Object Lock that are copied. Each copy is one more locked version, under the same
    /// settings.
    pub locked: u64,
    /// Bytes that S3 copies. They do not pass through this process.
    pub bytes_copied: u64,
    /// Objects that are sealed again.
    #[serde(skip_serializing_if = "is_zero")]
    pub reencrypt: u64,
    /// Bytes that are downloaded.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_downloaded: u64,
    /// Bytes that are uploaded.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_uploaded: u64,
    /// Requests that read objects, their ACLs and tags, beside `HeadObject`.
    #[serde(skip_serializing_if = "is_zero")]
    pub gets: u64,
    /// Requests that write objects.
    #[serde(skip_serializing_if = "is_zero")]
    pub puts: u64,
    /// Largest number of KMS calls, by Region; beyond 128 Regions, under `others`.
    pub kms_calls: BTreeMap<String, u64>,
    /// Permissions that an apply needs beyond those that the plan used.
    pub permissions: Vec<PermissionNeed>,
    /// Storage that the copies take, by bucket; beyond 128 buckets, under `others`.
    pub storage: BTreeMap<String, StorageEstimate>,
    /// Estimate of time and cost.
    pub estimate: Estimate,
}

/// The last line of a plan. A plan without it is incomplete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PlanEnd {
    pub(super) summary: PlanSummary,
}

/// Estimate of a job's time and cost. Field names are stable JSON output.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Estimate {
    /// Seconds at the quota of KMS or S3 that is reached first.
    pub seconds: f64,
    /// Price of all calls.
    pub cost: f64,
    /// Currency of the price.
    pub currency: String,
    /// Source of the prices.
    pub note: String,
}

impl Summary for PlanSummary {
    type Outcome = PlannedObject;

    fn record(&mut self, object: &PlannedObject) {
        self.objects += 1;
        match &object.action {
            Action::Nothing => self.nothing += 1,
            Action::Skip { why } => *self.skip.entry(why.clone()).or_default() += 1,
            Action::Impossible { kind, .. } => {
                *self.impossible.entry(kind.clone()).or_default() += 1;
            }
            Action::Rewrap { data_key, metadata, kms_calls, locked, .. } => {
                self.rewrap += 1;
                self.locked += u64::from(*locked);
                match data_key {
                    DataKeyWay::Proof => {}
                    DataKeyWay::ReEncrypt => self.re_encrypt += 1,
                    DataKeyWay::DecryptEncrypt => self.decrypt_encrypt += 1,
                }
                match metadata {
                    MetadataWay::Copy => self.copies += 1,
                    MetadataWay::MultipartCopy => self.multipart_copies += 1,
                    MetadataWay::Sidecar => self.sidecars += 1,
                    MetadataWay::InstructionFile => self.instruction_files += 1,
                }
                if !matches!(metadata, MetadataWay::Sidecar | MetadataWay::InstructionFile) {
                    let size = object.size.unwrap_or_default();
                    self.bytes_copied = self.bytes_copied.saturating_add(size);
                }
                self.count_kms_calls(kms_calls);
            }
            Action::Reencrypt { downloaded, uploaded, gets, puts, kms_calls, .. } => {
                self.reencrypt += 1;
                for (sum, more) in [
                    (&mut self.bytes_downloaded, downloaded),
                    (&mut self.bytes_uploaded, uploaded),
                    (&mut self.gets, gets),
                    (&mut self.puts, puts),
                ] {
                    *sum = sum.saturating_add(*more);
                }
                self.count_kms_calls(kms_calls);
            }
        }
    }

    fn objects(&self) -> u64 {
        self.objects
    }

    /// Returns the number of objects on which the work would fail.
    fn failed(&self) -> u64 {
        self.impossible.values().sum()
    }
}

impl PlanSummary {
    /// Returns the number of objects that the job would change.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.rewrap + self.reencrypt
    }

    fn count_kms_calls(&mut self, kms_calls: &BTreeMap<String, u64>) {
        for (region, calls) in kms_calls {
            // Objects can name any number of Regions.
            let is_full = self.kms_calls.len() >= MAX_REGIONS;
            let region = match is_full && !self.kms_calls.contains_key(region) {
                true => OTHER_REGIONS,
                false => region,
            };
            let count = self.kms_calls.entry(region.to_owned()).or_default();
            *count = count.saturating_add(*calls);
        }
    }

    /// Adds the estimate.
    pub(super) fn estimated(mut self, prices: &PriceTable) -> Self {
        let kms = self.kms_calls.values().sum::<u64>() as f64;
        let busiest = self.kms_calls.values().copied().max().unwrap_or_default() as f64;
        // A copy in parts counts as one call: only its parts tell how many there are.
        let copies = self.copies + self.multipart_copies + self.sidecars + self.instruction_files;
        let copies = copies as f64;
        let heads = self.objects as f64;
        let (gets, puts) = (self.gets as f64, self.puts as f64);
        let seconds = [
            puts / prices.puts_per_second,
            gets / prices.gets_per_second,
            busiest / prices.kms_calls_per_second,
            copies / prices.copies_per_second,
            heads / prices.heads_per_second,
        ];
        self.estimate = Estimate {
            seconds: seconds.into_iter().fold(0.0, f64::max),
            cost: heads / 1e3 * prices.heads_per_1000
                + copies / 1e3 * prices.copies_per_1000
                + gets / 1e3 * prices.gets_per_1000
                + puts / 1e3 * prices.puts_per_1000
                + kms / 1e4 * prices.kms_per_10000,
            currency: prices.currency.clone(),
            note: prices.note.clone(),
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_objects_are_estimated_by_the_tightest_quota() {
        let summary = PlanSummary {
            objects: 1_000_000,
            copies: 1_000_000,
            kms_calls: [("us-east-1".to_owned(), 1_000_000), ("us-west-2".to_owned(), 500_000)]
                .into(),
            ..PlanSummary::default()
        };
        let prices = PriceTable { kms_calls_per_second: 1000.0, ..PriceTable::default() };
        let estimate = summary.clone().estimated(&prices).estimate;
        assert!((estimate.seconds - 1000.0).abs() < 1e-9, "{estimate:?}");
        assert!((estimate.cost - (0.4 + 5.0 + 4.5)).abs() < 1e-9, "{estimate:?}");
        let seconds = summary.estimated(&PriceTable::default()).estimate.seconds;
        assert!((seconds - 1e6 / 3500.0).abs() < 1e-9, "copies are slowest: {seconds}");
    }

    #[test]
    fn regions_that_objects_name_are_counted_up_to_a_bound() {
        let mut summary = PlanSummary::default();
        for number in 0..MAX_REGIONS + 10 {
            let line = format!(
                r#"{{"bucket":"b","key":"k","action":"rewrap","data_key":"re-encrypt","metadata":"copy","kms_calls":{{"made-up-{number}":2}}}}"#
            );
            summary.record(&serde_json::from_str(&line).expect("an object"));
        }
        assert_eq!(summary.kms_calls.len(), MAX_REGIONS + 1);
        assert_eq!(summary.kms_calls[OTHER_REGIONS], 20);
    }
}
