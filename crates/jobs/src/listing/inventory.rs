//! S3 Inventory: a manifest, and the files that it names.

mod csv;
mod files;
mod manifest;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(test)]
mod tests;

use std::fs::File;

use aws_sdk_s3::{Client, primitives::DateTime};
use sealwax_s3::{Error, ErrorKind};

use self::{files::Place, manifest::Format};
use super::{ListedObject, ManifestLocation, Output, Unheard};

/// All objects of the inventory.
pub(super) async fn objects(
    s3: &Client,
    location: &ManifestLocation,
    output: &Output,
) -> Result<(), Error> {
    let place = Place::of(s3, location);
    let manifest = place.manifest().await?;
    for file in &manifest.files {
        let name = format!("the inventory file {} of {location}", file.key);
        let rows = place.fetch(&manifest, file).await?;
        let (format, output) = (manifest.format.clone(), output.clone());
        let read = tokio::task::spawn_blocking(move || read(&format, rows, &output)).await;
        let wrong = |why: String| Error::new("list", &name, ErrorKind::InvalidListing, why);
        match read.map_err(|died| wrong(died.to_string()))? {
            Ok(()) => {}
            Err(Ended::Unheard) => return Ok(()),
            Err(Ended::Wrong(why)) => return Err(wrong(why)),
        }
    }
    Ok(())
}

/// Gives out all rows of one file.
fn read(format: &Format, file: File, output: &Output) -> Result<(), Ended> {
    match format {
        Format::Csv(columns) => csv::read(columns, file, output),
        #[cfg(feature = "parquet")]
        Format::Parquet => parquet::read(file, output),
    }
}

/// Why not all of a file was read.
enum Ended {
    /// Nobody listens any more.
    Unheard,
    /// The file is not what it should be.
    Wrong(String),
}

impl From<Unheard> for Ended {
    fn from(_: Unheard) -> Self {
        Self::Unheard
    }
}

/// One row, as far as it was told. Empty texts are those of fields that do not apply.
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
    /// Gives the object out; a delete marker is none.
    fn give(self, output: &Output) -> Result<(), Ended> {
        if self.bucket.is_empty() || self.key.is_empty() {
            return Err(Ended::Wrong("a row lacks its bucket or its key".into()));
        }
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
        Ok(output.give_blocking(object)?)
    }
}
