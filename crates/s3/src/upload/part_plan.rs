//! Part lengths of an upload: pure arithmetic.

use sealwax_envelope::geometry::CHUNK_LEN;

use crate::limits::MAX_PARTS;

/// Number of parts after which the part length doubles, if the plaintext's length is unknown. Parts
/// of 8 MiB then carry about 8 TiB in all.
const PARTS_BEFORE_DOUBLING: usize = 1_000;

/// Number of chunks in each part.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartPlan {
    chunks: usize,
    grows: bool,
}

impl PartPlan {
    /// Plans parts of at least `chunks` chunks, long enough that S3's number of parts suffices for
    /// `len` plaintext bytes.
    pub(super) fn new(chunks: usize, len: Option<u64>) -> Self {
        let needed = len.map_or(0, |len| len.div_ceil(MAX_PARTS).div_ceil(CHUNK_LEN as u64));
        let needed = usize::try_from(needed).unwrap_or(usize::MAX);
        Self { chunks: chunks.max(needed), grows: len.is_none() }
    }

    /// Plans parts of `chunks` chunks each.
    pub(super) fn fixed(chunks: usize) -> Self {
        Self { chunks, grows: false }
    }

    /// Returns the number of chunks in the first part of a plaintext of `len` bytes; at least one.
    pub(super) fn first(self, len: Option<u64>) -> usize {
        let all = len.and_then(|len| usize::try_from(len.div_ceil(CHUNK_LEN as u64)).ok());
        all.map_or(self.chunks, |all| all.clamp(1, self.chunks))
    }

    /// Returns the number of chunks in part `number`, which counts from 1.
    pub(super) fn chunks(self, number: usize) -> usize {
        let doublings = if self.grows { (number - 1) / PARTS_BEFORE_DOUBLING } else { 0 };
        self.chunks << doublings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn ten_thousand_parts_suffice_for_every_known_length() {
        for len in [0, 1, 8 * MIB, 80_000 * MIB - 1, 80_000 * MIB, 80_000 * MIB + 1, 50 << 40] {
            let plan = PartPlan::new(512, Some(len));
            let part_len = (plan.chunks(1) * CHUNK_LEN) as u64;
            assert!(part_len >= 8 * MIB);
            assert!(len.div_ceil(part_len) <= MAX_PARTS, "{len}");
            assert_eq!(plan.chunks(1), plan.chunks(10_000));
            let first = (plan.first(Some(len)) * CHUNK_LEN) as u64;
            assert_eq!(first, len.clamp(1, part_len).next_multiple_of(CHUNK_LEN as u64));
            if len <= 80_000 * MIB {
                assert_eq!(part_len, 8 * MIB, "parts do not grow before they must");
            }
        }
    }

    #[test]
    fn an_unknown_length_has_room_for_terabytes_within_s3s_part_limit() {
        let plan = PartPlan::new(512, None);
        assert_eq!((plan.chunks(1), plan.chunks(1000), plan.chunks(1001)), (512, 512, 1024));
        let all: u64 = (1..=10_000).map(|number| (plan.chunks(number) * CHUNK_LEN) as u64).sum();
        assert!(all > 5 << 40, "{all}");
        assert!((plan.chunks(10_000) * CHUNK_LEN) as u64 <= 5 << 30);
    }
}
