//! Statistics of the bytes that an eavesdropper sees.

use std::{fs, path::Path};

use super::{MARKER, Result};

/// Statistics of a file or an object.
pub(crate) struct Bytes {
    /// Number of occurrences of the marker.
    pub(crate) markers: usize,
    /// Shannon entropy in bits per byte.
    pub(crate) entropy: f64,
}

impl Bytes {
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        Ok(Self::of(&fs::read(path)?))
    }

    pub(crate) async fn of_object(
        s3: &aws_sdk_s3::Client,
        bucket: &str,
        key: &str,
    ) -> Result<Self> {
        let object = s3.get_object().bucket(bucket).key(key).send().await?;
        Ok(Self::of(&object.body.collect().await?.into_bytes()))
    }

    fn of(bytes: &[u8]) -> Self {
        let mut counts = [0_u64; 256];
        for byte in bytes {
            counts[usize::from(*byte)] += 1;
        }
        let total = bytes.len() as f64;
        let shares = counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / total);
        let entropy = -shares.map(|share| share * share.log2()).sum::<f64>();
        Self { markers: occurrences(bytes, MARKER.as_bytes()), entropy }
    }
}

fn occurrences(bytes: &[u8], marker: &[u8]) -> usize {
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == marker[0]);
    starts.filter(|(at, _)| bytes[*at..].starts_with(marker)).count()
}
