//! Inventory files in CSV with gzip. Their keys are URL-encoded.

use std::{
    fs::File,
    io::{self, Read},
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use flate2::read::MultiGzDecoder;
use sealwax_s3::decode_key;

use super::{Output, ReadError, Row, beginning};

/// Maximum length of a row in bytes: 64 KiB.
const MAX_ROW_LEN: usize = 64 * 1024;
/// Number of bytes that are read ahead.
const BUFFER_LEN: usize = 8 * 1024;

/// Sends the objects of `file`, which has these columns.
pub(super) fn read(columns: &[String], file: File, output: &Output) -> Result<(), ReadError> {
    rows(columns, MultiGzDecoder::new(file), |row| row.send(output))
}

/// Passes each row of `text` on.
pub(super) fn rows(
    columns: &[String],
    text: impl Read,
    mut each: impl FnMut(Row) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(BUFFER_LEN)
        .from_reader(RowBudget::new(text));
    let mut record = csv::StringRecord::new();
    for number in 1_u64.. {
        let invalid = |why: String| ReadError::Invalid(format!("row {number}: {why}"));
        if !rows.read_record(&mut record).map_err(|error| invalid(error.to_string()))? {
            break;
        }
        rows.get_mut().renew();
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
                .map_err(|()| invalid(format!("invalid {column} {:?}", beginning(value))))?;
        }
        each(row.checked().map_err(invalid)?)?;
    }
    Ok(())
}

/// Reads no more bytes for one row than it may have, whatever a decompressor has to give.
struct RowBudget<R> {
    text: R,
    left: usize,
}

impl<R> RowBudget<R> {
    fn new(text: R) -> Self {
        let mut budget = Self { text, left: 0 };
        budget.renew();
        budget
    }

    /// Begins the next row.
    fn renew(&mut self) {
        self.left = MAX_ROW_LEN + BUFFER_LEN;
    }
}

impl<R: Read> Read for RowBudget<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.text.read(buffer)?;
        self.left = self.left.checked_sub(len).ok_or_else(|| {
            let why = format!("it is longer than {MAX_ROW_LEN} bytes");
            io::Error::new(io::ErrorKind::InvalidData, why)
        })?;
        Ok(len)
    }
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

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io::Write as _};

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// Counts the bytes that it hands out.
    struct Counting<'a, R>(R, &'a Cell<usize>);

    impl<R: Read> Read for Counting<'_, R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.0.read(buffer)?;
            self.1.set(self.1.get() + len);
            Ok(len)
        }
    }

    fn columns() -> Vec<String> {
        ["Bucket", "Key"].map(str::to_owned).to_vec()
    }

    /// Returns the keys, or the error.
    fn keys(text: impl Read) -> Result<Vec<String>, String> {
        let mut keys = Vec::new();
        let read = rows(&columns(), text, |row| {
            keys.push(row.key);
            Ok(())
        });
        match read {
            Ok(()) => Ok(keys),
            Err(ReadError::Invalid(why)) => Err(why),
            Err(ReadError::Closed) => unreachable!("nothing closes"),
        }
    }

    /// A small file with a row of 256 MiB, and rows before it.
    #[test]
    fn a_row_that_unpacks_without_an_end_is_not_read_to_its_end() {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
        bomb.write_all(b"b,k\n").expect("memory");
        for _ in 0..256 {
            bomb.write_all(&[b'a'; 1 << 20]).expect("memory");
        }
        let bomb = bomb.finish().expect("a file");
        assert!(bomb.len() < 4 << 20, "{} bytes", bomb.len());
        let read = Cell::new(0);
        let error = keys(Counting(MultiGzDecoder::new(bomb.as_slice()), &read)).expect_err("long");
        assert!(error.starts_with("row 2: ") && error.contains("longer than 65536"), "{error}");
        assert!(read.get() <= MAX_ROW_LEN + 3 * BUFFER_LEN, "{} bytes were read", read.get());
    }

    #[test]
    fn rows_of_any_number_have_the_same_bound() {
        let many = "b,k\n".repeat(100_000);
        assert_eq!(keys(many.as_bytes()).expect("short rows").len(), 100_000);
        let field = |len: usize| format!("b,\"{}\"\n", "k".repeat(len));
        let error = keys(field(70_000 + BUFFER_LEN).as_bytes()).expect_err("a long row");
        assert!(error.contains("longer than 65536 bytes"), "{error}");
    }

    #[test]
    fn keys_have_the_lengths_that_s3_allows() {
        let long = format!("b,k\nb,{}\n", "k".repeat(1025));
        assert_eq!(keys(&long.as_bytes()[..4 + 2 + 1024]).map(|keys| keys.len()), Ok(2));
        let error = keys(long.as_bytes()).expect_err("a long key");
        assert_eq!(error, "row 2: its key has 1025 bytes; S3 allows 1 to 1024");
        let error = keys(b"b,k\nb,\n".as_slice()).expect_err("no key");
        assert_eq!(error, "row 2: its key has 0 bytes; S3 allows 1 to 1024");
        let error = keys(b",k\n".as_slice()).expect_err("no bucket");
        assert_eq!(error, "row 1: it has no bucket");
    }
}
