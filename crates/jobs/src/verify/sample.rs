//! Samples of objects, chosen by their names.

use sealwax_s3::ListedObject;
use sha2::{Digest as _, Sha256};

/// A random sample that is the same in each run. It depends only on the seed and on the bucket, the
/// key and the version of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    seed: u64,
    /// Objects whose hash, as a 64-bit number, is below it are in the sample.
    threshold: u64,
    fraction: f64,
}

impl Sample {
    /// Creates a sample of about `fraction` of all objects, from 0 to 1 inclusive. Another seed
    /// gives another sample. `None` if the fraction is out of range.
    #[must_use]
    pub fn new(fraction: f64, seed: u64) -> Option<Self> {
        if !(0.0..=1.0).contains(&fraction) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to 2^64, where it saturates"
        )]
        let threshold = (fraction * 2.0_f64.powi(64)) as u64;
        Some(Self { seed, threshold, fraction })
    }

    /// Returns the fraction.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.fraction
    }

    /// Returns the seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// `true` if the object is in the sample.
    #[must_use]
    pub fn contains(&self, object: &ListedObject) -> bool {
        let mut hash = Sha256::new_with_prefix(self.seed.to_be_bytes());
        for part in
            [&object.bucket, &object.key, object.version_id.as_ref().unwrap_or(&String::new())]
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let [number, ..] = hash.as_chunks::<8>().0 else { return true };
        self.threshold == u64::MAX || u64::from_be_bytes(*number) < self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_its_fraction_of_the_objects_and_is_the_same_in_each_run() {
        let objects: Vec<_> =
            (0..2000).map(|n| ListedObject::new("b", format!("key-{n}"))).collect();
        let sample = |fraction, seed| {
            let sample = Sample::new(fraction, seed).expect("a fraction");
            objects
                .iter()
                .filter(|object| sample.contains(object))
                .map(|object| object.key.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!((sample(0.0, 1).len(), sample(1.0, 1).len()), (0, 2000));
        let tenth = sample(0.1, 1);
        assert!((120..280).contains(&tenth.len()), "{}", tenth.len());
        assert_eq!(sample(0.1, 1), tenth);
        assert_ne!(sample(0.1, 2), tenth);
        for fraction in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Sample::new(fraction, 1), None);
        }
    }
}
