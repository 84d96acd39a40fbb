//! Content that is known by its seed, and quick to make and to compare.

use std::collections::HashSet;

use sealwax_tests::Random;

/// Length of a block of content.
const BLOCK: usize = 4 << 10;
const POOL: usize = 1 << 20;

/// Content of an object at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) seed: u64,
    pub(crate) len: usize,
}

/// Random bytes. Each block of an object is a piece of them.
#[derive(Debug)]
pub(crate) struct Pool {
    bytes: Vec<u8>,
    /// All aligned pieces of 8 bytes. Every 15 bytes of an object contain one.
    pieces: HashSet<[u8; 8]>,
}

impl Pool {
    pub(crate) fn new(seed: u64) -> Self {
        let bytes = Random::of([seed]).bytes(POOL);
        let pieces = bytes.as_chunks().0.iter().copied().collect();
        Self { bytes, pieces }
    }

    fn block(&self, seed: u64, number: usize) -> &[u8] {
        let at = Random::of([seed, number as u64]).below(POOL - BLOCK);
        &self.bytes[at..at + BLOCK]
    }

    /// Returns the whole content.
    pub(crate) fn content(&self, version: Version) -> Vec<u8> {
        self.part(version, 0, version.len)
    }

    /// Returns at most `len` bytes of the content, from `begin`.
    pub(crate) fn part(&self, version: Version, begin: usize, len: usize) -> Vec<u8> {
        let len = len.min(version.len - begin);
        let mut content = Vec::with_capacity(len + BLOCK);
        while content.len() < len {
            let at = begin + content.len();
            content.extend_from_slice(&self.block(version.seed, at / BLOCK)[at % BLOCK..]);
        }
        content.truncate(len);
        content
    }

    /// `true` if `bytes` are those of the content from `begin`.
    pub(crate) fn is_at(&self, version: Version, begin: usize, mut bytes: &[u8]) -> bool {
        let mut at = begin;
        if begin.checked_add(bytes.len()).is_none_or(|end| end > version.len) {
            return false;
        }
        while !bytes.is_empty() {
            let block = &self.block(version.seed, at / BLOCK)[at % BLOCK..];
            let len = block.len().min(bytes.len());
            if block[..len] != bytes[..len] {
                return false;
            }
            (at, bytes) = (at + len, &bytes[len..]);
        }
        true
    }

    /// `true` if `bytes` are the whole content.
    pub(crate) fn is(&self, version: Version, bytes: &[u8]) -> bool {
        bytes.len() == version.len && self.is_at(version, 0, bytes)
    }

    /// `true` if a piece of any content is in `stored`.
    pub(crate) fn is_in(&self, stored: &[u8]) -> bool {
        stored.array_windows().any(|window| self.pieces.contains(window))
    }
}
