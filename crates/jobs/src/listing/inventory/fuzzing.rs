//! Ways into the parsers of inventories, for the fuzz targets.

use super::{ReadError, csv, manifest::Manifest};

/// Parses a manifest. Returns the keys of its files.
///
/// # Errors
/// The text is not a manifest.
pub fn inventory_manifest(json: &[u8]) -> Result<Vec<String>, String> {
    Ok(Manifest::parse(json)?.files.into_iter().map(|file| file.key).collect())
}

/// Parses the rows of an inventory file in CSV, after decompression. Returns the bucket and the key
/// of each row.
///
/// # Errors
/// A row is invalid.
pub fn inventory_rows(columns: &[String], text: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut objects = Vec::new();
    let read = csv::rows(columns, text, |row| {
        objects.push((row.bucket, row.key));
        Ok(())
    });
    match read {
        Ok(()) | Err(ReadError::Closed) => Ok(objects),
        Err(ReadError::Invalid(why)) => Err(why),
    }
}
