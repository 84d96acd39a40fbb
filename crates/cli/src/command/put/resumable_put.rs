//! Resumable put: its state file, and next steps after a failure.

use std::path::{Path, PathBuf};

use sealwax_s3::{ErrorKind, S3Uri, UnfinishedUpload};

use crate::{
    failure::Failure,
    interrupt::Signal,
    session::Session,
    state_directory,
    terminal_text::{Counted, command_line, this_command_line},
};

/// State file of an upload.
#[derive(Debug)]
pub(super) struct ResumablePut {
    state_file: PathBuf,
}

impl ResumablePut {
    /// Uses `state_file` for the upload of `file` to `uri`, else a file in the state directory.
    ///
    /// # Errors
    /// There is no state directory.
    pub(super) fn new(
        file: &Path,
        uri: &S3Uri,
        state_file: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let state_file = match state_file {
            Some(path) => path,
            None => state_directory::path_for(file, uri)?,
        };
        Ok(Self { state_file })
    }

    /// Returns the state file, which may not exist.
    pub(super) fn state_file(&self) -> &Path {
        &self.state_file
    }

    /// Returns the failure of an interrupted put, with commands to resume or abort the upload.
    pub(super) async fn stopped(&self, session: &Session, uri: &S3Uri, signal: Signal) -> Failure {
        match self.unfinished().await {
            None => Failure::stopped(signal, format!("no state of the upload to {uri} was kept")),
            Some(upload) => {
                let failure = Failure::stopped(
                    signal,
                    format!("the upload to {uri} can be resumed: {}", progress_text(&upload)),
                );
                self.with_give_up(session, failure.step("to resume", this_command_line()), &upload)
            }
        }
    }

    /// Returns the failure of a failed put, with commands to resume, restart or abort the upload.
    pub(super) async fn failed(&self, session: &Session, error: sealwax_s3::Error) -> Failure {
        let kind = error.kind();
        let failure = Failure::from(error);
        let Some(upload) = self.unfinished().await else { return failure };
        let again = this_command_line();
        match kind {
            ErrorKind::Locked => failure,
            ErrorKind::UploadNotFound => {
                let failure = failure
                    .advise("delete the state file and start again: the upload no longer exists");
                failure.step(
                    "to start again",
                    format!("{} && {again}", command_line(["rm".as_ref(), self.os()])),
                )
            }
            ErrorKind::SourceChanged => {
                let failure =
                    failure.advise("restore the file, or abort this upload and start again");
                failure.step(
                    "to start again",
                    format!("{} && {again}", self.give_up(session, &upload)),
                )
            }
            ErrorKind::StateFileMismatch => self.with_give_up(session, failure, &upload),
            // The condition would fail again.
            ErrorKind::Conflict => self.with_give_up(session, failure, &upload),
            _ => self.with_give_up(session, failure.step("to resume", again), &upload),
        }
    }

    async fn unfinished(&self) -> Option<UnfinishedUpload> {
        UnfinishedUpload::from_state_file(&self.state_file).await.ok().flatten()
    }

    fn with_give_up(
        &self,
        session: &Session,
        failure: Failure,
        upload: &UnfinishedUpload,
    ) -> Failure {
        failure.step("to abort", self.give_up(session, upload))
    }

    fn give_up(&self, session: &Session, upload: &UnfinishedUpload) -> String {
        let uri = format!("s3://{}/{}", upload.bucket(), upload.key());
        session.command_line(&[
            "uploads".as_ref(),
            "abort".as_ref(),
            uri.as_ref(),
            "--state-file".as_ref(),
            self.os(),
        ])
    }

    fn os(&self) -> &std::ffi::OsStr {
        self.state_file.as_os_str()
    }
}

/// Returns the stored share of an upload, in words.
pub(super) fn progress_text(upload: &UnfinishedUpload) -> String {
    let (parts, all) = (upload.stored_parts(), Counted(upload.parts(), "part"));
    format!(
        "{parts} of {all} stored ({} of {})",
        upload.stored_len(),
        Counted(upload.plaintext_len(), "byte")
    )
}
