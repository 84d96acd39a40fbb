//! Multipart uploads that are neither completed nor aborted, of any program.
//!
//! S3 does not return an upload's metadata, so uploads of Sealwax cannot be told from other ones.
//! No call here seals anything, so all are calls of the plain SDK client.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::SystemTime,
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use sealwax_s3::{ErrorKind, ListedUpload, UnfinishedUpload, UploadPages};

use crate::{
    args::{Prefix, TimeSpan},
    failure::Failure,
    session::Session,
    terminal_text::Counted,
};

/// An incomplete multipart upload.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) id: String,
    initiated: Option<DateTime>,
}

impl Upload {
    fn new(upload: ListedUpload) -> Self {
        let ListedUpload { key, upload_id: id, initiated, .. } = upload;
        Self { key, id, initiated }
    }

    /// Returns the time at which it was initiated, as in RFC 3339.
    pub(super) fn initiated(&self) -> Option<String> {
        self.initiated?.fmt(DateTimeFormat::DateTime).ok()
    }

    /// `true` if it was initiated before `time`; `false` if S3 does not return that time.
    fn began_before(&self, time: SystemTime) -> bool {
        self.initiated.is_some_and(|initiated| initiated < DateTime::from(time))
    }
}

/// Lists the uploads to keys that begin with `prefix`, which are at least `age` old.
pub(super) async fn find(
    session: &Session,
    prefix: &Prefix,
    age: Option<TimeSpan>,
) -> Result<Vec<Upload>, Failure> {
    let mut uploads = list(session, prefix).await?;
    if let Some(TimeSpan(age)) = age {
        // An age that reaches back beyond 1970 matches no upload.
        let limit = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        uploads.retain(|upload| upload.began_before(limit));
    }
    Ok(uploads)
}

/// Warns of uploads below `prefix`, where no upload of this process is in progress any more.
///
/// S3 does not tell whose they are, so none is aborted. A role that may not list uploads is not told.
pub(in crate::command) async fn warn_of_incomplete(session: &Session, prefix: &Prefix) {
    let count = list(session, prefix).await.map_or(0, |uploads| uploads.len() as u64);
    if count == 0 {
        return;
    }
    let place = prefix.to_string();
    let list = session.command_line(&["uploads", "ls", &place].map(OsStr::new));
    session.say(format!(
        "warning: {} below {place}, of a killed run or of another program: see {list}, and abort \
         what no program will complete",
        Counted(count, "incomplete upload"),
    ));
}

async fn list(session: &Session, prefix: &Prefix) -> Result<Vec<Upload>, Failure> {
    let mut pages = UploadPages::new(&session.s3(), &prefix.bucket, &prefix.key);
    let mut uploads = Vec::new();
    while let Some(page) = pages.next_page().await? {
        uploads.extend(page.into_iter().map(Upload::new));
    }
    Ok(uploads)
}

/// Aborts an upload; returns `false` if there is none.
pub(super) async fn abort(session: &Session, object: &Prefix, id: &str) -> Result<bool, Failure> {
    let Prefix { bucket, key } = object;
    let call = session.s3().abort_multipart_upload().bucket(bucket).key(key).upload_id(id);
    match call.send().await {
        Ok(_) => Ok(true),
        Err(error) => {
            let operation = "abort the upload to";
            match session.call_error(operation, object, "AbortMultipartUpload", &error) {
                error if error.kind() == ErrorKind::UploadNotFound => Ok(false),
                error => Err(error.into()),
            }
        }
    }
}

/// Returns the state file of an upload.
pub(super) fn state_file_of<'a>(
    states: &'a [(PathBuf, UnfinishedUpload)],
    bucket: &str,
    key: &str,
    id: &str,
) -> Option<&'a Path> {
    let is_its = |upload: &UnfinishedUpload| {
        (upload.bucket(), upload.key(), upload.upload_id()) == (bucket, key, id)
    };
    states.iter().find(|(_, upload)| is_its(upload)).map(|(path, _)| path.as_path())
}
