//! Results of the cipher benchmarks, which `cargo bench -p sealwax-envelope` leaves in
//! `target/criterion`.

use std::fs;

use serde_json::Value;

use crate::{Result, peers::target_directory};

pub(crate) const BACKENDS: [&str; 2] = ["aws-lc-rs", "rustcrypto"];
pub(crate) const LENS: [u64; 3] = [16 << 10, 1 << 20, 8 << 20];

/// Returns the median time of one iteration in ns, if measured.
pub(crate) fn nanoseconds(backend: &str, benchmark: &str) -> Result<Option<f64>> {
    let file = target_directory()?
        .join("criterion")
        .join(backend)
        .join(benchmark)
        .join("new/estimates.json");
    let Ok(text) = fs::read(file) else { return Ok(None) };
    let estimates: Value = serde_json::from_slice(&text)?;
    Ok(estimates["median"]["point_estimate"].as_f64())
}

/// Returns the GB/s of `operation` (`seal`, `open`, `seal-bare`, `open-bare`) on buffers of `len`
/// bytes.
pub(crate) fn throughput(backend: &str, operation: &str, len: u64) -> Result<Option<f64>> {
    let nanoseconds = nanoseconds(backend, &format!("{operation}/{len}"))?;
    #[expect(clippy::cast_precision_loss, reason = "a length far below 2^52")]
    Ok(nanoseconds.map(|nanoseconds| len as f64 / nanoseconds))
}

/// Returns the share of a bare loop's speed that `operation` reaches on 8 MiB, both measured in
/// turns.
pub(crate) fn share(backend: &str, operation: &str) -> Result<Option<f64>> {
    let file = target_directory()?.join("criterion").join(backend).join("share.json");
    let Ok(text) = fs::read(file) else { return Ok(None) };
    let shares: Value = serde_json::from_slice(&text)?;
    Ok(shares[operation].as_f64())
}
