//! Tokens of pages, from a store that may repeat them.

/// Detects page tokens that repeat or cycle, in constant memory, by Brent's algorithm.
///
/// It detects a cycle within about three times the pages of the cycle and of those before it.
///
/// ```
/// let mut tokens = sealwax_s3::PageTokens::new();
/// assert!(tokens.advance(&"A") && tokens.advance(&"B"));
/// assert!(!tokens.advance(&"A"));
/// ```
#[derive(Debug, Clone)]
pub struct PageTokens<T> {
    /// The token that each later one is compared with.
    known: Option<T>,
    /// Tokens since that one.
    since: u64,
    /// Number of tokens after which it is replaced.
    power: u64,
}

impl<T> Default for PageTokens<T> {
    fn default() -> Self {
        Self { known: None, since: 0, power: 1 }
    }
}

impl<T: PartialEq + Clone> PageTokens<T> {
    /// Creates a detector without tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records the token of the next page. Returns `false` if it is known to repeat.
    pub fn advance(&mut self, token: &T) -> bool {
        if self.known.as_ref() == Some(token) {
            return false;
        }
        self.since += 1;
        if self.since == self.power {
            (self.known, self.since, self.power) = (Some(token.clone()), 0, self.power * 2);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns the number of tokens that pass before a repetition is detected.
    fn passed(tokens: impl IntoIterator<Item = u64>) -> usize {
        let mut seen = PageTokens::new();
        tokens.into_iter().take_while(|token| seen.advance(token)).count()
    }

    #[test]
    fn tokens_that_repeat_are_detected() {
        assert_eq!(passed([7, 7, 7, 7]), 1);
        assert_eq!(passed([1, 2, 1, 2, 1, 2, 1, 2]), 2, "A, B, A, B");
        assert_eq!(passed(0..10_000), 10_000);
    }

    proptest! {
        #[test]
        fn every_cycle_is_detected_in_bounded_time(before in 0_u64..200, cycle in 1_u64..200) {
            let tokens = (0..before).chain((0..cycle).cycle().map(|at| before + at).take(10_000));
            let passed = passed(tokens) as u64;
            prop_assert!((before + cycle - 1..=4 * (before + cycle)).contains(&passed), "{passed}");
        }
    }
}
