//! Request of a put: destination, metadata and result, for one file or many.

use std::path::Path;

use sealwax_s3::{Error, ErrorKind, ObjectFormat, Put, PutOutput, PutS3ecOutput, S3Uri};
use serde::Serialize;

use super::args::PutArgs;
use crate::{
    args::{NewObjectArgs, Pair},
    console::{is_standard_stream, print_json},
    failure::Failure,
    object_report,
    terminal_text::Counted,
};

/// Returns the failure of a put, with advice if the object already exists.
pub(super) fn not_stored(error: Error, no_overwrite: bool) -> Failure {
    match error.kind() {
        ErrorKind::Conflict if no_overwrite => Failure::from(error)
            .advise("omit --no-overwrite to replace the object, or choose another key"),
        _ => error.into(),
    }
}

/// Returns the destination of a single file.
pub(super) fn destination(args: &PutArgs) -> Result<S3Uri, Failure> {
    let file = &args.files[0];
    if file.is_dir() {
        return Err(is_a_folder(file));
    }
    match file.file_name().and_then(|name| name.to_str()).filter(|_| !is_standard_stream(file)) {
        Some(name) => args.to.object(name),
        None if args.to.is_folder() => {
            let what = match is_standard_stream(file) {
                true => "standard input has no name".to_owned(),
                false => format!("{} has no name that a key can have", file.display()),
            };
            let failure = Failure::usage(format!("{what}, and {} is a folder", args.to));
            Err(failure.advise(format!("append the object's name: {}NAME", args.to)))
        }
        None => args.to.to_string().parse().map_err(Failure::usage),
    }
}

pub(super) fn is_a_folder(file: &Path) -> Failure {
    let error = format!("{} is a directory", file.display());
    Failure::usage(error).advise("pass --recursive to upload its contents")
}

/// Sets what S3 stores with the object at `uri` that is made of `file`.
///
/// # Errors
/// A name of metadata is given twice.
pub(super) fn with_stored(
    put: Put,
    stored: &NewObjectArgs,
    file: &Path,
    uri: &S3Uri,
) -> Result<Put, Failure> {
    let put = put.attributes(stored.of(file, uri));
    Ok(stored.metadata()?.iter().fold(put, |put, Pair { name, value }| put.metadata(name, value)))
}

/// A stored object. Field names are stable JSON output.
#[derive(Debug, Serialize)]
struct Stored {
    file: String,
    object: String,
    version_id: Option<String>,
    e_tag: Option<String>,
    bytes: u64,
    format: String,
    /// Wrapping keys of the object; empty for formats that do not name them.
    keys: Vec<String>,
    /// Wrapping keys that were not available: `rewrap --add` adds them.
    missing: Vec<String>,
}

/// Prints a stored object as one line of JSON.
pub(super) fn print_stored(file: &Path, uri: &S3Uri, output: &PutOutput) {
    print_json(&Stored {
        file: file.to_string_lossy().into_owned(),
        object: uri.to_string(),
        version_id: output.version_id.clone(),
        e_tag: output.e_tag.clone(),
        bytes: output.plaintext_len,
        format: output.header.format().to_owned(),
        keys: output.header.keys().iter().map(|key| key.wrapping_key().to_owned()).collect(),
        missing: missing(output),
    });
}

/// Prints a stored object of the S3 Encryption Client as one line of JSON.
pub(super) fn print_stored_s3ec(file: &Path, uri: &S3Uri, output: &PutS3ecOutput) {
    print_json(&Stored {
        file: file.to_string_lossy().into_owned(),
        object: uri.to_string(),
        version_id: output.version_id.clone(),
        e_tag: output.e_tag.clone(),
        bytes: output.plaintext_len,
        format: object_report::format_name(&ObjectFormat::S3ec(output.envelope.clone())),
        keys: Vec::new(),
        missing: Vec::new(),
    });
}

/// Returns the wrapping keys that were not available.
pub(in crate::command) fn missing(output: &PutOutput) -> Vec<String> {
    output.header.missing().iter().map(|key| key.wrapping_key().to_owned()).collect()
}

pub(super) fn summary(file: &Path, uri: &S3Uri, output: &PutOutput) -> String {
    let what =
        if is_standard_stream(file) { "standard input".into() } else { file.to_string_lossy() };
    let bytes = Counted(output.plaintext_len, "byte");
    let keys = Counted(output.header.keys().len() as u64, "key");
    let missing = missing(output);
    let missing = if missing.is_empty() {
        String::new()
    } else {
        format!("; missing: {}", missing.join(", "))
    };
    format!("sealed {what} as {uri} ({bytes}, {keys}{missing})")
}
