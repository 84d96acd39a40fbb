//! What a plan comes to.

use std::collections::BTreeMap;

use sealwax_s3::{DataKeyWay, MetadataWay};
use serde::{Deserialize, Serialize};

use super::{Action, PlannedObject, PriceTable};

/// What a plan comes to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Summary {
    /// Objects that were looked at.
    pub objects: u64,
    /// Objects that get other keys.
    pub rewrap: u64,
    /// Objects that have the wanted keys.
    pub nothing: u64,
    /// Objects that are none to be rewrapped, by reason.
    pub skip: BTreeMap<String, u64>,
    /// Objects that cannot be rewrapped as they are, by kind of failure.
    pub impossible: BTreeMap<String, u64>,
    /// Data keys that are wrapped anew inside the key service.
    pub re_encrypt: u64,
    /// Data keys that are unwrapped and wrapped.
    pub decrypt_encrypt: u64,
    /// Objects that are copied by one call.
    pub copies: u64,
    /// Objects that are copied in parts.
    pub multipart_copies: u64,
    /// Objects that get a sidecar.
    pub sidecars: u64,
    /// Bytes that S3 copies. None of them passes through this process.
    pub bytes_copied: u64,
    /// Calls of KMS by Region, at most.
    pub kms_calls: BTreeMap<String, u64>,
    /// How long it takes and what it costs.
    pub estimate: Estimate,
}

/// How long a job takes, and what it costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Estimate {
    /// Seconds at the quotas of KMS and S3, whichever is reached first.
    pub seconds: f64,
    /// The price of all calls.
    pub cost: f64,
    /// Its currency.
    pub currency: String,
    /// Where the prices come from.
    pub note: String,
}

impl Summary {
    /// Counts one object more.
    pub(super) fn count(&mut self, object: &PlannedObject) {
        self.objects += 1;
        match &object.action {
            Action::Nothing => self.nothing += 1,
            Action::Skip { why } => *self.skip.entry(why.clone()).or_default() += 1,
            Action::Impossible { kind, .. } => {
                *self.impossible.entry(kind.clone()).or_default() += 1;
            }
            Action::Rewrap { data_key, metadata, kms_calls, .. } => {
                self.rewrap += 1;
                match data_key {
                    DataKeyWay::Proof => {}
                    DataKeyWay::ReEncrypt => self.re_encrypt += 1,
                    DataKeyWay::DecryptEncrypt => self.decrypt_encrypt += 1,
                }
                match metadata {
                    MetadataWay::Copy => self.copies += 1,
                    MetadataWay::MultipartCopy => self.multipart_copies += 1,
                    MetadataWay::Sidecar | MetadataWay::InstructionFile => self.sidecars += 1,
                }
                if !matches!(metadata, MetadataWay::Sidecar | MetadataWay::InstructionFile) {
                    self.bytes_copied += object.size.unwrap_or_default();
                }
                for (region, calls) in kms_calls {
                    *self.kms_calls.entry(region.clone()).or_default() += calls;
                }
            }
        }
    }

    /// Adds the estimate.
    pub(super) fn estimated(mut self, prices: &PriceTable) -> Self {
        let kms = self.kms_calls.values().sum::<u64>() as f64;
        let busiest = self.kms_calls.values().copied().max().unwrap_or_default() as f64;
        // An object in parts has more than one call; how many, its parts tell.
        let copies = (self.copies + self.multipart_copies + self.sidecars) as f64;
        let heads = self.objects as f64;
        let seconds = [
            busiest / prices.kms_calls_per_second,
            copies / prices.copies_per_second,
            heads / prices.heads_per_second,
        ];
        self.estimate = Estimate {
            seconds: seconds.into_iter().fold(0.0, f64::max),
            cost: heads / 1e3 * prices.heads_per_1000
                + copies / 1e3 * prices.copies_per_1000
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
        let summary = Summary {
            objects: 1_000_000,
            copies: 1_000_000,
            kms_calls: [("us-east-1".to_owned(), 1_000_000), ("us-west-2".to_owned(), 500_000)]
                .into(),
            ..Summary::default()
        };
        let prices = PriceTable { kms_calls_per_second: 1000.0, ..PriceTable::default() };
        let estimate = summary.clone().estimated(&prices).estimate;
        assert!((estimate.seconds - 1000.0).abs() < 1e-9, "{estimate:?}");
        assert!((estimate.cost - (0.4 + 5.0 + 4.5)).abs() < 1e-9, "{estimate:?}");
        let seconds = summary.estimated(&PriceTable::default()).estimate.seconds;
        assert!((seconds - 1e6 / 3500.0).abs() < 1e-9, "copies are slowest: {seconds}");
    }
}
