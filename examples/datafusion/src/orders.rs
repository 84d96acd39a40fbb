//! The table: a million generated orders.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array, RecordBatch, StringArray},
        error::ArrowError,
    },
    common::config::TableParquetOptions,
};

const ROWS: i64 = 1_000_000;
const ROWS_IN_BATCH: i64 = 100_000;
const REGIONS: [&str; 4] = ["eu-west-1", "us-east-1", "us-west-2", "ap-south-1"];

pub(crate) fn batches() -> Result<Vec<RecordBatch>, ArrowError> {
    (0..ROWS)
        .step_by(ROWS_IN_BATCH as usize)
        .map(|first| batch(first..first + ROWS_IN_BATCH))
        .collect()
}

fn batch(ids: std::ops::Range<i64>) -> Result<RecordBatch, ArrowError> {
    let text = |of: fn(i64) -> String| {
        Arc::new(StringArray::from_iter_values(ids.clone().map(of))) as ArrayRef
    };
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone())) as ArrayRef),
        ("region", text(|id| REGIONS[(hash(id) % 4) as usize].to_owned())),
        (
            "cents",
            Arc::new(Int64Array::from_iter_values(
                ids.clone().map(|id| (hash(id) >> 8) as i64 % 100_000),
            )),
        ),
        ("note", text(|id| format!("order {id}, {:016x}", hash(id)))),
    ])
}

/// Row groups of 100,000 rows, uncompressed so that byte counts reflect the table.
pub(crate) fn parquet_options() -> TableParquetOptions {
    let mut options = TableParquetOptions::default();
    options.global.max_row_group_size = ROWS_IN_BATCH as usize;
    options.global.compression = Some("uncompressed".into());
    options
}

/// Returns the same value for `id` in each run (`SplitMix64`).
fn hash(id: i64) -> u64 {
    let word = (id as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
