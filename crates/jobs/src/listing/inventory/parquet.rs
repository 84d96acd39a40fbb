//! Inventory files in Parquet.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    sync::Arc,
};

use aws_sdk_s3::primitives::DateTime;
use parquet::{
    errors::ParquetError,
    file::{reader::FileReader as _, serialized_reader::SerializedFileReader},
    record::{Field, reader::RowIter},
    schema::types::Type,
};

use super::{Output, ReadError, Row, beginning};

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

/// Maximum length of the metadata at the end of the file in bytes: 64 MiB.
const MAX_METADATA_LEN: u32 = 64 << 20;
/// Maximum length in bytes of one column in one row group, before and after decompression: 1 GiB.
///
/// The metadata claims these lengths. The crate `parquet` holds a page to the length that the page
/// itself claims, up to 2 GiB, and allocates that: a lying file can take as much, for each column.
const MAX_COLUMN_LEN: i64 = 1 << 30;

/// Sends the objects of `file`.
pub(super) fn read(mut file: File, output: &Output) -> Result<(), ReadError> {
    let invalid = |error: ParquetError| ReadError::Invalid(error.to_string());
    let len = metadata_len(&mut file).map_err(|error| ReadError::Invalid(error.to_string()))?;
    if len > MAX_METADATA_LEN {
        return Err(ReadError::Invalid(format!("its metadata has {len} bytes")));
    }
    let reader = SerializedFileReader::new(file).map_err(invalid)?;
    let schema = reader.metadata().file_metadata().schema();
    let is_used = |name: &str| COLUMNS.contains(&name);
    let chunks = reader.metadata().row_groups().iter().flat_map(|group| group.columns());
    for chunk in chunks.filter(|chunk| is_used(chunk.column_descr().name())) {
        let len = chunk.compressed_size().max(chunk.uncompressed_size());
        if len > MAX_COLUMN_LEN {
            let column = chunk.column_descr().name();
            return Err(ReadError::Invalid(format!("column {column} has {len} bytes")));
        }
    }
    let columns =
        schema.get_fields().iter().filter(|field| is_used(field.name())).map(Arc::clone).collect();
    let projection =
        Type::group_type_builder(schema.name()).with_fields(columns).build().map_err(invalid)?;
    let expected = reader.metadata().file_metadata().num_rows();
    let mut read = 0;
    for record in RowIter::from_file(Some(projection), &reader).map_err(invalid)? {
        let mut row = Row::default();
        for (column, field) in record.map_err(invalid)?.into_columns() {
            take(&mut row, &column, field).map_err(|field| {
                let field = field.to_string();
                let why = format!("row {}: invalid {column} {}", read + 1, beginning(&field));
                ReadError::Invalid(why)
            })?;
        }
        let row = row.checked();
        row.map_err(|why| ReadError::Invalid(format!("row {}: {why}", read + 1)))?.send(output)?;
        read += 1;
    }
    if read != expected {
        return Err(ReadError::Invalid(format!("it has {read} rows instead of {expected}")));
    }
    Ok(())
}

/// Returns the length of the metadata: a number before the last four bytes.
fn metadata_len(file: &mut File) -> io::Result<u32> {
    let mut end = [0; 8];
    file.seek(SeekFrom::End(-8))?;
    file.read_exact(&mut end)?;
    file.rewind()?;
    let [len @ .., _, _, _, _] = end;
    Ok(u32::from_le_bytes(len))
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
