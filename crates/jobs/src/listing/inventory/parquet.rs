//! Inventory files in Parquet.

use std::{fs::File, sync::Arc};

use aws_sdk_s3::primitives::DateTime;
use parquet::{
    errors::ParquetError,
    file::{reader::FileReader as _, serialized_reader::SerializedFileReader},
    record::{Field, reader::RowIter},
    schema::types::Type,
};

use super::{Output, ReadError, Row};

/// Columns that are of use.
const COLUMNS: [&str; 9] = [
    "bucket",
    "key",
    "version_id",
    "is_latest",
    "is_delete_marker",
    "size",
    "e_tag",
    "last_modified_date",
    "storage_class",
];

/// Sends the objects of `file`.
pub(super) fn read(file: File, output: &Output) -> Result<(), ReadError> {
    let invalid = |error: ParquetError| ReadError::Invalid(error.to_string());
    let reader = SerializedFileReader::new(file).map_err(invalid)?;
    let schema = reader.metadata().file_metadata().schema();
    let columns = schema
        .get_fields()
        .iter()
        .filter(|field| COLUMNS.contains(&field.name()))
        .map(Arc::clone)
        .collect();
    let projection =
        Type::group_type_builder(schema.name()).with_fields(columns).build().map_err(invalid)?;
    let expected = reader.metadata().file_metadata().num_rows();
    let mut read = 0;
    for record in RowIter::from_file(Some(projection), &reader).map_err(invalid)? {
        let mut row = Row::default();
        for (column, field) in record.map_err(invalid)?.into_columns() {
            take(&mut row, &column, field).map_err(|field| {
                ReadError::Invalid(format!("row {}: invalid {column} {field}", read + 1))
            })?;
        }
        row.send(output)?;
        read += 1;
    }
    if read != expected {
        return Err(ReadError::Invalid(format!("it has {read} rows instead of {expected}")));
    }
    Ok(())
}

/// Takes a field, or returns it if its type is wrong.
fn take(row: &mut Row, column: &str, field: Field) -> Result<(), Field> {
    match (column, field) {
        (_, Field::Null) => {}
        ("bucket", field) => row.bucket = text(field)?,
        ("key", field) => row.key = text(field)?,
        ("version_id", field) => row.version_id = Some(text(field)?),
        ("is_latest", Field::Bool(value)) => row.is_latest = Some(value),
        ("is_delete_marker", Field::Bool(value)) => row.is_delete_marker = Some(value),
        ("size", Field::Long(value)) if value >= 0 => row.size = Some(value.unsigned_abs()),
        ("e_tag", field) => row.e_tag = Some(text(field)?),
        ("last_modified_date", Field::TimestampMillis(millis) | Field::Long(millis)) => {
            row.last_modified = Some(DateTime::from_millis(millis));
        }
        ("last_modified_date", Field::TimestampMicros(micros)) => {
            row.last_modified = Some(DateTime::from_millis(micros.div_euclid(1000)));
        }
        ("storage_class", field) => row.storage_class = Some(text(field)?),
        (_, field) => return Err(field),
    }
    Ok(())
}

fn text(field: Field) -> Result<String, Field> {
    match field {
        Field::Str(text) => Ok(text),
        Field::Bytes(bytes) => match bytes.as_utf8() {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Field::Bytes(bytes)),
        },
        other => Err(other),
    }
}
