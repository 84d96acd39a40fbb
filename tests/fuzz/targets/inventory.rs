//! Any bytes as a manifest, and as the rows of an inventory file whose columns the first line names.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwax_jobs::fuzzing::{inventory_manifest, inventory_rows};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(files) = inventory_manifest(bytes) {
        assert!(files.len() < bytes.len());
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let Ok(first) = str::from_utf8(&bytes[..end]) else { return };
    let columns: Vec<String> = first.split(',').map(str::to_owned).collect();
    let rows = &bytes[(end + 1).min(bytes.len())..];
    let Ok(objects) = inventory_rows(&columns, rows) else { return };
    for (bucket, key) in objects {
        assert!(!bucket.is_empty() && bucket.len() <= rows.len());
        assert!((1..=1024).contains(&key.len()));
    }
});
