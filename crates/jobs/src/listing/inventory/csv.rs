//! Inventory files in CSV with gzip. Their keys are URL-encoded.

use std::fs::File;

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use flate2::read::MultiGzDecoder;
use sealwax_s3::decode_key;

use super::{Output, ReadError, Row};

/// Sends the objects of `file`, which has these columns.
pub(super) fn read(columns: &[String], file: File, output: &Output) -> Result<(), ReadError> {
    let rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(MultiGzDecoder::new(file));
    for (at, record) in rows.into_records().enumerate() {
        let invalid = |why: String| ReadError::Invalid(format!("row {}: {why}", at + 1));
        let record = record.map_err(|error| invalid(error.to_string()))?;
        if record.len() != columns.len() {
            return Err(invalid(format!(
                "it has {} fields; the manifest names {}",
                record.len(),
                columns.len()
            )));
        }
        let mut row = Row::default();
        for (column, value) in columns.iter().zip(&record) {
            take(&mut row, column, value)
                .map_err(|()| invalid(format!("invalid {column} {value:?}")))?;
        }
        row.send(output)?;
    }
    Ok(())
}

/// Takes a field, if it is of use. Empty fields do not apply.
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
