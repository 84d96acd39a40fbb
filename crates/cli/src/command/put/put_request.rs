//! Request of a put: destination, metadata and result, for one file or many.

use std::path::Path;

use sealwax_s3::{
    Error, ErrorKind, ObjectFormat, Put, PutOutput, PutS3ecOutput, S3Uri,
    envelope::EncryptedDataKey, s3ec,
};
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

/// A file and the object that it was stored as. Field names are stable JSON output, also those of
/// [`StoredObject`].
#[derive(Debug, Serialize)]
struct Stored<'a> {
    file: String,
    object: String,
    #[serde(flatten)]
    stored: &'a StoredObject,
}

/// A stored object, of any format.
#[derive(Debug, Serialize)]
pub(in crate::command) struct StoredObject {
    pub(in crate::command) version_id: Option<String>,
    pub(in crate::command) e_tag: Option<String>,
    /// Length of the plaintext.
    pub(in crate::command) bytes: u64,
    format: String,
    /// Wrapping keys of the object; empty for formats that do not name them.
    pub(in crate::command) keys: Vec<String>,
    /// Ids of detached intermediate keys, whose wrapped keys are in the key store alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detached: Vec<String>,
    /// Wrapping keys that were not available: `rewrap --add` adds them.
    pub(in crate::command) missing: Vec<String>,
    /// Version of the S3 Encryption Client's format, if it is one.
    #[serde(skip)]
    client_format: Option<s3ec::Format>,
}

impl StoredObject {
    /// Prints it as one line of JSON.
    pub(super) fn print(&self, file: &Path, uri: &S3Uri) {
        print_json(&Stored {
            file: file.to_string_lossy().into_owned(),
            object: uri.to_string(),
            stored: self,
        });
    }

    /// Describes it for people.
    pub(super) fn summary(&self, file: &Path, uri: &S3Uri) -> String {
        let what =
            if is_standard_stream(file) { "standard input".into() } else { file.to_string_lossy() };
        let bytes = Counted(self.bytes, "byte");
        let how = match &self.client_format {
            Some(format) => format!("{format} of the S3 Encryption Client"),
            None => object_report::number_of_keys(self.keys.len(), self.detached.len()),
        };
        let missing = match self.missing.as_slice() {
            [] => String::new(),
            missing => format!("; missing: {}", missing.join(", ")),
        };
        format!("sealed {what} as {uri} ({bytes}, {how}{missing})")
    }
}

impl From<PutOutput> for StoredObject {
    fn from(output: PutOutput) -> Self {
        let names = |keys: &[EncryptedDataKey]| -> Vec<String> {
            keys.iter().map(|key| key.wrapping_key().to_owned()).collect()
        };
        Self {
            version_id: output.version_id,
            e_tag: output.e_tag,
            bytes: output.plaintext_len,
            format: output.header.format().to_owned(),
            keys: names(output.header.keys()),
            detached: object_report::detached_of(&output.header),
            missing: output
                .header
                .missing()
                .iter()
                .map(|key| key.wrapping_key().to_owned())
                .collect(),
            client_format: None,
        }
    }
}

impl From<PutS3ecOutput> for StoredObject {
    fn from(output: PutS3ecOutput) -> Self {
        let client_format = Some(output.envelope.format());
        Self {
            version_id: output.version_id,
            e_tag: output.e_tag,
            bytes: output.plaintext_len,
            format: object_report::format_name(&ObjectFormat::S3ec(output.envelope)),
            keys: Vec::new(),
            detached: Vec::new(),
            missing: Vec::new(),
            client_format,
        }
    }
}
