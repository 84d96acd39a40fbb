//! The set-up that all suites share: bytes, names, and limits that catch a hang.

use std::{
    fs,
    path::Path,
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

/// S3's smallest part length, in bytes.
pub const PART: usize = 5 << 20;

/// The limit that catches a hang. On a working system nothing comes near it, however busy the
/// machine.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// Waits for `future`.
///
/// # Panics
/// If it takes longer than [`PATIENCE`].
pub async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: still waiting after {PATIENCE:?}"))
}

/// Waits until `condition` holds.
///
/// # Panics
/// If it takes longer than [`PATIENCE`].
pub async fn wait_until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "{what}: still waiting after {PATIENCE:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// The names in a directory, sorted.
///
/// # Panics
/// If the directory can't be read.
#[must_use]
pub fn file_names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// Returns `len` pseudorandom bytes, the same in each run (`SplitMix64`).
#[must_use]
pub fn plaintext(len: usize) -> Bytes {
    let mut state = len as u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

/// Returns a name that no other test, and no other run on the same server, uses.
#[must_use]
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    format!("{name}-{now:x}-{:x}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}
