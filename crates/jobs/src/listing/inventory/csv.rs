//! Files in CSV, in gzip. Keys are URL-encoded in them.

use std::fs::File;

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use flate2::read::MultiGzDecoder;
use sealwax_s3::decode_key;

use super::{Ended, Output, Row};

/// Gives out all rows of `file`, which has these columns.
pub(super) fn read(columns: &[String], file: File, output: &Output) -> Result<(), Ended> {
    let rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(MultiGzDecoder::new(file));
    for (at, record) in rows.into_records().enumerate() {
        let wrong = |why: String| Ended::Wrong(format!("row {}: {why}", at + 1));
        let record = record.map_err(|error| wrong(error.to_string()))?;
        if record.len() != columns.len() {
            return Err(wrong(format!(
                "it has {} fields, the manifest names {}",
                record.len(),
                columns.len()
            )));
        }
        let mut row = Row::default();
        for (column, value) in columns.iter().zip(&record) {
            take(&mut row, column, value)
                .map_err(|()| wrong(format!("{column} cannot be {value:?}")))?;
        }
        row.give(output)?;
    }
    Ok(())
}

/// Takes one field, if it is of use; empty ones do not apply.
fn take(row: &mut Row, column: &str, value: &str) -> Result<(), ()> {
    if value.is_empty() {
        return Ok(());
    }
    let text = || value.to_owned();
    match column {
        "Bucket" => row.bucket = text(),
        "Key" => row.key = decode_key(value).ok_or(())?,
        "VersionId" => row.version_id = Some(text()),
        "IsLatest" => row.is_latest = Some(boolean(value)?),
        "IsDeleteMarker" => row.is_delete_marker = Some(boolean(value)?),
        "Size" => row.size = Some(value.parse().map_err(|_| ())?),
        "ETag" => row.e_tag = Some(text()),
        "LastModifiedDate" => {
            row.last_modified =
                Some(DateTime::from_str(value, DateTimeFormat::DateTime).map_err(|_| ())?);
        }
        "StorageClass" => row.storage_class = Some(text()),
        _ => {}
    }
    Ok(())
}

fn boolean(value: &str) -> Result<bool, ()> {
    match value {
        "true" | "TRUE" => Ok(true),
        "false" | "FALSE" => Ok(false),
        _ => Err(()),
    }
}
