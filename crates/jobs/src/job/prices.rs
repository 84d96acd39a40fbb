//! Prices of calls, and quotas.

use serde::{Deserialize, Serialize};

/// Prices and quotas for estimates. Field names are stable JSON input.
///
/// The default is an estimate itself: AWS's list prices and lowest default quotas in us-east-1, as
/// [`PriceTable::note`] says. Replace it by the prices of your account: each field can be given in
/// JSON.
///
/// ```
/// let prices: sealwax_jobs::rewrap::PriceTable = serde_json::from_str(r#"{"copies_per_1000": 0.0055}"#)?;
/// assert_eq!(prices.heads_per_1000, 0.0004);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PriceTable {
    /// Source and date of the figures.
    pub note: String,
    /// Currency of all prices.
    pub currency: String,
    /// Price of 1,000 `HeadObject`.
    pub heads_per_1000: f64,
    /// Price of 1,000 `CopyObject` or `UploadPartCopy`.
    pub copies_per_1000: f64,
    /// Price of 1,000 `GetObject`.
    pub gets_per_1000: f64,
    /// Price of 1,000 `PutObject`, or requests of a multipart upload.
    pub puts_per_1000: f64,
    /// Price of 10,000 calls of KMS.
    pub kms_per_10000: f64,
    /// Calls of KMS per second and Region.
    pub kms_calls_per_second: f64,
    /// Copies per second and prefix.
    pub copies_per_second: f64,
    /// `HeadObject` calls per second and prefix.
    pub heads_per_second: f64,
    /// `GetObject` calls per second and prefix.
    pub gets_per_second: f64,
    /// `PutObject` calls per second and prefix.
    pub puts_per_second: f64,
}

impl Default for PriceTable {
    fn default() -> Self {
        Self {
            note:
                "estimate: list prices and least default quotas in us-east-1, noted in November 2026 and not checked \
                   since; without storage, transfer, early deletion or retrieval"
                    .into(),
            currency: "USD".into(),
            heads_per_1000: 0.0004,
            copies_per_1000: 0.005,
            gets_per_1000: 0.0004,
            puts_per_1000: 0.005,
            kms_per_10000: 0.03,
            kms_calls_per_second: 20_000.0,
            copies_per_second: 3500.0,
            heads_per_second: 5500.0,
            gets_per_second: 5500.0,
            puts_per_second: 3500.0,
        }
    }
}
