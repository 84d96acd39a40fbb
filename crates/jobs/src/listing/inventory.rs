//! S3 Inventory: a manifest and its files.

mod csv;
mod files;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod manifest;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(test)]
mod tests;

use std::fs::File;

use aws_sdk_s3::{Client, primitives::DateTime};
use sealwax_s3::{Error, ErrorKind, ListedObject, limits::MAX_KEY_LEN};

use self::{files::Inventory, manifest::Format};
use super::{ManifestLocation, Output};
use crate::background::ReceiverClosed;

/// Maximum length in bytes of any other text in a row. (Version ids are the longest.)
const MAX_TEXT_LEN: usize = 1024;

/// Sends all objects of the inventory.
pub(super) async fn objects(
    s3: &Client,
    location: &ManifestLocation,
    output: &Output,
) -> Result<(), Error> {
    let inventory = Inventory::new(s3, location);
    let manifest = inventory.manifest().await?;
    for file in &manifest.files {
        let name = format!("the inventory file {} of {location}", file.key);
        let rows = inventory.fetch(&manifest, file).await?;
        let (format, output) = (manifest.format.clone(), output.clone());
        let read = tokio::task::spawn_blocking(move || read(&format, rows, &output)).await;
        let invalid = |why: String| Error::new("list", &name, ErrorKind::InvalidListing, why);
        match read.map_err(|panic| invalid(panic.to_string()))? {
            Ok(()) => {}
            Err(ReadError::Closed) => return Ok(()),
            Err(ReadError::Invalid(why)) => return Err(invalid(why)),
        }
    }
    Ok(())
}

/// Sends the objects of one file.
fn read(format: &Format, file: File, output: &Output) -> Result<(), ReadError> {
    match format {
        Format::Csv(columns) => csv::read(columns, file, output),
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::read(file, output),
    }
}

/// Reason why a file was not read to its end.
enum ReadError {
    /// The reader of the listing is gone.
    Closed,
    /// The file is invalid.
    Invalid(String),
}

impl From<ReceiverClosed> for ReadError {
    fn from(ReceiverClosed: ReceiverClosed) -> Self {
        Self::Closed
    }
}

/// Returns the beginning of a text, for an error.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(200)]
}

/// A row of an inventory. A text is empty where the field does not apply.
#[derive(Debug, Default)]
struct Row {
    bucket: String,
    key: String,
    version_id: Option<String>,
    is_latest: Option<bool>,
    is_delete_marker: Option<bool>,
    size: Option<u64>,
    e_tag: Option<String>,
    last_modified: Option<DateTime>,
    storage_class: Option<String>,
}

impl Row {
    /// Returns the row if S3 allows what it names.
    fn checked(self) -> Result<Self, String> {
        if self.bucket.is_empty() {
            return Err("it has no bucket".into());
        }
        if self.key.is_empty() || self.key.len() > MAX_KEY_LEN {
            return Err(format!(
                "its key has {} bytes; S3 allows 1 to {MAX_KEY_LEN}",
                self.key.len()
            ));
        }
        let texts = [&self.version_id, &self.e_tag, &self.storage_class];
        if let Some(longest) = texts.into_iter().flatten().map(String::len).max()
            && longest > MAX_TEXT_LEN
        {
            return Err(format!("a field has {longest} bytes, more than {MAX_TEXT_LEN}"));
        }
        Ok(self)
    }

    /// Sends the object, unless the row is a delete marker.
    fn send(self, output: &Output) -> Result<(), ReadError> {
        if self.is_delete_marker == Some(true) {
            return Ok(());
        }
        let known = |text: Option<String>| text.filter(|text| !text.is_empty());
        let mut object = ListedObject::new(self.bucket, self.key);
        object.version_id = known(self.version_id);
        object.is_latest = self.is_latest;
        object.size = self.size;
        object.e_tag = known(self.e_tag).map(|e_tag| e_tag.trim_matches('"').to_owned());
        object.last_modified = self.last_modified;
        object.storage_class = known(self.storage_class);
        Ok(output.blocking_send(object)?)
    }
}
