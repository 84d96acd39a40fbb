//! A put that can be gone on with: where its state is, and what can be done where it failed.

use std::path::{Path, PathBuf};

use sealwax_s3::{ErrorKind, S3Uri, UnfinishedUpload};

use crate::{
    failure::Failure,
    interrupt::Signal,
    session::Session,
    state_directory,
    terminal_text::{Counted, command_line, this_command_line},
};

/// Where the state of an upload is kept.
#[derive(Debug)]
pub(super) struct ResumablePut {
    state_file: PathBuf,
}

impl ResumablePut {
    /// Keeps the state of the upload of `file` to `uri` in `state_file`, else in the user's state directory.
    ///
    /// # Errors
    /// There is no place to keep it.
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

    /// The state file, which need not exist.
    pub(super) fn state_file(&self) -> &Path {
        &self.state_file
    }

    /// A signal ended the put; says how to go on or to give up, if there is anything to go on with.
    pub(super) async fn stopped(&self, session: &Session, uri: &S3Uri, signal: Signal) -> Failure {
        match self.unfinished().await {
            None => Failure::stopped(signal, format!("nothing of the upload to {uri} is kept")),
            Some(upload) => {
                let failure = Failure::stopped(
                    signal,
                    format!("the upload to {uri} is kept, with {}", stored(&upload)),
                );
                self.with_give_up(session, failure.step("to resume", this_command_line()), &upload)
            }
        }
    }

    /// The put failed; says how to go on, to begin anew or to give up, if there is anything to go on with.
    pub(super) async fn failed(&self, session: &Session, error: sealwax_s3::Error) -> Failure {
        let kind = error.kind();
        let failure = Failure::from(error);
        let Some(upload) = self.unfinished().await else { return failure };
        let again = this_command_line();
        match kind {
            ErrorKind::Locked => failure,
            ErrorKind::UploadNotFound => {
                let failure = failure.advise(
                    "nothing of it is left to go on with: delete its state file and begin anew",
                );
                failure.step(
                    "to begin anew",
                    format!("{} && {again}", command_line(["rm".as_ref(), self.os()])),
                )
            }
            ErrorKind::SourceChanged => {
                let failure = failure
                    .advise("bring the file back as it was, or give this upload up and begin anew");
                failure
                    .step("to begin anew", format!("{} && {again}", self.give_up(session, &upload)))
            }
            ErrorKind::StateFileMismatch => self.with_give_up(session, failure, &upload),
            // The condition will not hold the next time either.
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
        failure.step("to give up", self.give_up(session, upload))
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

/// How much of an upload is stored.
pub(super) fn stored(upload: &UnfinishedUpload) -> String {
    let (parts, all) = (upload.stored_parts(), Counted(upload.parts(), "part"));
    format!(
        "{parts} of {all} stored ({} of {})",
        upload.stored_len(),
        Counted(upload.plaintext_len(), "byte")
    )
}
