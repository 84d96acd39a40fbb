//! Ways into the parsers of files, for the fuzz targets.

pub use crate::{
    listing::inventory::fuzzing::{inventory_manifest, inventory_rows},
    rewrap::fuzzing::{journal, plan},
};
