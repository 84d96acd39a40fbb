//! Why the command failed: said as a chain of causes and one line of advice, and told by the exit code.

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use sealwax_s3::{ErrorKind, S3Uri, error_chain};

use crate::{
    interrupt::Signal,
    terminal_text::{Colors, Printable},
};

/// How the command exits when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 1: for another reason than those below: the service, the network, a local file, or not supported.
    Failed,
    /// 2: wrong usage or configuration.
    Usage,
    /// 3: the object failed verification.
    NotVerified,
    /// 4: no such object, or it is not sealed.
    NotFound,
    /// 5: access denied, no credentials, or no wrapping key can be used.
    Denied,
    /// 6: the object exists already, or it, the file or the upload changed meanwhile.
    Conflict,
    /// 7: of many objects, some failed.
    SomeFailed,
    /// 8: of many objects, all failed.
    AllFailed,
    /// 128 and the signal's number: 130 interrupted, 143 terminated.
    Stopped(Signal),
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotVerified => 3,
            Self::NotFound => 4,
            Self::Denied => 5,
            Self::Conflict => 6,
            Self::SomeFailed => 7,
            Self::AllFailed => 8,
            Self::Stopped(signal) => signal.exit_code(),
        }
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidInput
            | ErrorKind::InvalidListing
            | ErrorKind::JobMismatch
            | ErrorKind::MetadataTooLarge
            | ErrorKind::StateFileMismatch
            | ErrorKind::WrongRegion => Self::Usage,
            ErrorKind::Authentication
            | ErrorKind::ContextMismatch
            | ErrorKind::Malformed
            | ErrorKind::PlaceMismatch
            | ErrorKind::PolicyRefused
            | ErrorKind::Truncated => Self::NotVerified,
            ErrorKind::NotFound | ErrorKind::NoSuchBucket | ErrorKind::NotSealed => Self::NotFound,
            ErrorKind::AccessDenied
            | ErrorKind::Credentials
            | ErrorKind::KeyDisabled
            | ErrorKind::KeyNotFound
            | ErrorKind::NoMatchingKey => Self::Denied,
            ErrorKind::Conflict | ErrorKind::SourceChanged | ErrorKind::UploadNotFound => {
                Self::Conflict
            }
            _ => Self::Failed,
        }
    }
}

/// Why the command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
    advice: Option<&'static str>,
    /// What can be done now, and by which command.
    steps: Vec<(&'static str, String)>,
}

impl Failure {
    /// Exits with `exit` for `error`.
    pub(crate) fn new(
        exit: Exit,
        error: impl Into<Box<dyn Error + Send + Sync>>,
        advice: &'static str,
    ) -> Self {
        Self { exit, error: error.into(), advice: Some(advice), steps: Vec::new() }
    }

    /// An argument that cannot be used.
    pub(crate) fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Usage, error, ErrorKind::InvalidInput.advice())
    }

    /// The operating system refused `what`.
    pub(crate) fn io(what: &str, error: io::Error) -> Self {
        Self::new(Exit::Failed, format!("{what}: {error}"), ErrorKind::Io.advice())
    }

    /// For another reason.
    pub(crate) fn other(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Failed, error, ErrorKind::Io.advice())
    }

    /// A list is truncated, but the service does not return where its next page begins.
    pub(crate) fn endless_list(what: &str) -> Self {
        let error = format!("{what}: the service does not say where its list goes on");
        Self::new(Exit::Failed, error, ErrorKind::Service.advice())
    }

    /// A signal ended the command; `consequence` says what became of the object.
    pub(crate) fn stopped(signal: Signal, consequence: impl AsRef<str>) -> Self {
        let error = format!("{signal}: {}", consequence.as_ref()).into();
        Self { exit: Exit::Stopped(signal), error, advice: None, steps: Vec::new() }
    }

    /// With other advice.
    pub(crate) fn advise(self, advice: &'static str) -> Self {
        Self { advice: Some(advice), ..self }
    }

    /// And says what can be done now, and by which command.
    pub(crate) fn step(mut self, what: &'static str, command: String) -> Self {
        self.steps.push((what, command));
        self
    }

    /// Of `all` objects, `failed` did; `what` says so. Where none did, there is nothing to say.
    pub(crate) fn of_many(failed: u64, all: u64, what: String) -> Result<(), Self> {
        let exit = match failed {
            0 => return Ok(()),
            _ if failed == all => Exit::AllFailed,
            _ => Exit::SomeFailed,
        };
        Err(Self::new(exit, what, "see the reason of each"))
    }

    /// And says more of what failed.
    pub(crate) fn and(self, more: &str) -> Self {
        Self { error: format!("{}{more}", self.in_one_line()).into(), ..self }
    }

    /// What kind of failure it is.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// How the process exits.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.exit.code().into()
    }

    /// Says it on standard error.
    pub(crate) fn print(&self) {
        let text = self.text(Colors::of(&io::stderr()));
        // Where standard error is closed, the exit code is all that can be said.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// What failed and why, without advice.
    pub(crate) fn in_one_line(&self) -> String {
        error_chain(&*self.error)
    }

    /// Says on one line of standard error that this happened to `what`, one of many.
    pub(crate) fn print_about(&self, what: &str) {
        let line = format!("failed: {}: {}\n", Printable(what), Printable(&self.in_one_line()));
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    fn text(&self, paint: Colors) -> String {
        let mut said = self.error.to_string();
        let mut text = format!("{} {}\n", paint.bad("error:"), Printable(&said));
        let mut next = self.error.source();
        while let Some(cause) = next {
            let cause_said = cause.to_string();
            if !said.contains(&cause_said) {
                text.push_str(&format!("  caused by: {}\n", Printable(&cause_said)));
                said = cause_said;
            }
            next = cause.source();
        }
        if let Some(advice) = self.advice {
            text.push_str(&format!("  {} {advice}\n", paint.note("hint:")));
        }
        for (what, command) in &self.steps {
            text.push_str(&format!("  {what}: {}\n", Printable(command)));
        }
        text
    }
}

impl From<sealwax_s3::Error> for Failure {
    fn from(error: sealwax_s3::Error) -> Self {
        let kind = error.kind();
        Self::new(kind.into(), error, advice(kind))
    }
}

/// One object failed, which was named without --recursive: perhaps a folder was meant, or all that match.
pub(crate) fn of_one(error: sealwax_s3::Error, uri: &S3Uri) -> Failure {
    let is_absent = error.kind() == ErrorKind::NotFound;
    let failure = Failure::from(error);
    match is_absent {
        true if uri.key().contains(['*', '?']) => failure.advise(
            "no glob is expanded in a key: name the folder, with --recursive and --include GLOB",
        ),
        true => failure
            .advise("check the bucket, the key and the Region; a folder is taken with --recursive"),
        false => failure,
    }
}

/// One line on what to do, in the words of this command.
pub(crate) fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Credentials => {
            "sign in, or set up credentials as for every AWS tool: environment, profile, SSO or instance role"
        }
        ErrorKind::NoMatchingKey => {
            "name one of its wrapping keys by --key, the account of one by --account, or the file of a local one by --local-key"
        }
        ErrorKind::WrongRegion => "give the bucket's Region by --region, or by AWS_REGION",
        ErrorKind::PlaceMismatch => {
            "read a replica with --replica-of its source bucket; rewrap a moved object with --accept-place its old place"
        }
        kind => kind.advice(),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// An error with a cause.
    #[derive(Debug)]
    struct Chain(&'static str, Option<Box<Self>>);

    impl fmt::Display for Chain {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Chain {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn each_cause_is_said_once_and_the_advice_last() {
        let root = Chain("the disk is full", None);
        let again = Chain("write failed: the disk is full", Some(Box::new(root)));
        let failure = Failure::new(
            Exit::Failed,
            Chain("cannot\u{1b} put", Some(Box::new(again))),
            "make room",
        );
        let expected = "error: cannot\\u{1b} put\n  caused by: write failed: the disk is full\n  hint: make room\n";
        assert_eq!(failure.text(Colors::none()), expected);
        let failure =
            failure.step("to resume", "sealwax put".into()).step("to give up", "rm \u{7}".into());
        assert_eq!(
            failure.text(Colors::none()),
            format!("{expected}  to resume: sealwax put\n  to give up: rm \\u{{7}}\n")
        );
    }

    #[test]
    fn exit_codes_are_as_documented() {
        for (kind, code) in [
            (ErrorKind::Service, 1),
            (ErrorKind::Unavailable, 1),
            (ErrorKind::Throttled, 1),
            (ErrorKind::Io, 1),
            (ErrorKind::Unsupported, 1),
            (ErrorKind::InvalidInput, 2),
            (ErrorKind::WrongRegion, 2),
            (ErrorKind::MetadataTooLarge, 2),
            (ErrorKind::Authentication, 3),
            (ErrorKind::PlaceMismatch, 3),
            (ErrorKind::PolicyRefused, 3),
            (ErrorKind::ContextMismatch, 3),
            (ErrorKind::Truncated, 3),
            (ErrorKind::Malformed, 3),
            (ErrorKind::NotFound, 4),
            (ErrorKind::NoSuchBucket, 4),
            (ErrorKind::NotSealed, 4),
            (ErrorKind::AccessDenied, 5),
            (ErrorKind::Credentials, 5),
            (ErrorKind::KeyDisabled, 5),
            (ErrorKind::KeyNotFound, 5),
            (ErrorKind::NoMatchingKey, 5),
            (ErrorKind::Conflict, 6),
            (ErrorKind::SourceChanged, 6),
            (ErrorKind::UploadNotFound, 6),
            (ErrorKind::StateFileMismatch, 2),
            (ErrorKind::Locked, 1),
        ] {
            assert_eq!(Exit::from(kind).code(), code, "{kind:?}");
        }
        assert_eq!(Exit::Stopped(Signal::Interrupt).code(), 130);
        assert!(
            Failure::of_many(0, 0, "none".into()).is_ok()
                && Failure::of_many(0, 2, "none".into()).is_ok()
        );
        let of_two = |failed| {
            Failure::of_many(failed, 2, "some".into()).map_err(|failure| failure.exit().code())
        };
        assert_eq!((of_two(1), of_two(2)), (Err(7), Err(8)));
    }
}
