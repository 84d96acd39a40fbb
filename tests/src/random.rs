//! Repeatable choices.

/// Random numbers of a seed (`SplitMix64`): one seed always gives the same.
#[derive(Debug, Clone, Copy)]
pub struct Random(u64);

impl Random {
    /// Seeds it with several words, such as a seed and a number.
    pub fn of(words: impl IntoIterator<Item = u64>) -> Self {
        words.into_iter().fold(Self(0), |mut all, word| Self(all.word() ^ word))
    }

    /// Returns the next number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Returns a number from 0 to `end`, exclusive.
    ///
    /// # Panics
    /// If `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.word() % end as u64).expect("below a usize")
    }

    /// Returns one of the values.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Returns `true` once in `count` times.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Returns this many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.word().to_le_bytes()[0]).collect()
    }
}
