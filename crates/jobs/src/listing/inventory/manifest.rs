//! `manifest.json`. (Amazon S3 User Guide, "Locating your inventory list".)

use serde::Deserialize;

/// An inventory manifest.
#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) format: Format,
    /// Bucket that holds the inventory.
    pub(super) bucket: Option<String>,
    pub(super) files: Vec<InventoryFile>,
}

/// Format of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// CSV with gzip, with these columns.
    Csv(Vec<String>),
    #[cfg(feature = "parquet")]
    Parquet,
}

/// A file of the inventory.
#[derive(Debug, Deserialize)]
pub(super) struct InventoryFile {
    pub(super) key: String,
    pub(super) size: u64,
    /// MD5 in hexadecimal digits.
    #[serde(rename = "MD5checksum")]
    pub(super) md5: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    destination_bucket: Option<String>,
    file_format: String,
    file_schema: String,
    files: Vec<InventoryFile>,
}

impl Manifest {
    /// Parses a manifest, or tells why it is invalid.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let Json { destination_bucket, file_format, file_schema, files } =
            serde_json::from_slice(json)
                .map_err(|error| format!("it is not an S3 Inventory manifest: {error}"))?;
        let format = match file_format.as_str() {
            "CSV" => {
                let columns: Vec<_> =
                    file_schema.split(',').map(|column| column.trim().to_owned()).collect();
                if !["Bucket", "Key"]
                    .iter()
                    .all(|needed| columns.iter().any(|column| column == needed))
                {
                    return Err(format!("its schema lacks Bucket or Key: {file_schema}"));
                }
                Format::Csv(columns)
            }
            #[cfg(feature = "parquet")]
            "Parquet" => Format::Parquet,
            other => {
                return Err(format!(
                    "inventories in {other} are not supported: configure one in CSV or Parquet"
                ));
            }
        };
        let bucket =
            destination_bucket.map(|arn| arn.rsplit(":::").next().unwrap_or(&arn).to_owned());
        Ok(Self { format, bucket, files })
    }
}
