//! Failures of the command: error with causes, advice, next steps and exit code.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use sealwax_jobs::merge::OutOfOrder;
use sealwax_s3::{ErrorKind, S3Uri, error_chain, has_too_many_files};

use crate::{
    interrupt::Signal,
    terminal_text::{Colors, Printable, Width},
};

/// Exit code of a failed command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 1: other failure, such as service, network, local file or unsupported operation.
    Failed,
    /// 1: the user answered a question with no.
    Declined,
    /// 2: invalid usage or configuration.
    Usage,
    /// 3: the object failed verification.
    NotVerified,
    /// 4: no such object, or the object is not sealed or was shredded.
    NotFound,
    /// 5: access denied, no credentials, or no usable wrapping key.
    Denied,
    /// 6: the object already exists, or the object, file or upload changed meanwhile.
    Conflict,
    /// 7: some of the objects failed.
    SomeFailed,
    /// 8: all of the objects failed.
    AllFailed,
    /// 9: the command found what it looked for, and a monitor is to know.
    Found,
    /// 128 plus the signal number: 130 interrupted, 143 terminated; 124 for the deadline.
    Stopped(Signal),
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Failed | Self::Declined => 1,
            Self::Usage => 2,
            Self::NotVerified => 3,
            Self::NotFound => 4,
            Self::Denied => 5,
            Self::Conflict => 6,
            Self::SomeFailed => 7,
            Self::AllFailed => 8,
            Self::Found => 9,
            Self::Stopped(signal) => signal.exit_code(),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InsecureEndpoint
            | ErrorKind::InvalidInput
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
            ErrorKind::NotFound
            | ErrorKind::NoSuchBucket
            | ErrorKind::NotSealed
            | ErrorKind::Shredded => Self::NotFound,
            ErrorKind::AccessDenied
            | ErrorKind::ClockSkew
            | ErrorKind::Credentials
            | ErrorKind::KeyDisabled
            | ErrorKind::KeyNotFound
            | ErrorKind::NoMatchingKey => Self::Denied,
            ErrorKind::ConcurrentWrite
            | ErrorKind::Conflict
            | ErrorKind::SourceChanged
            | ErrorKind::UploadNotFound => Self::Conflict,
            _ => Self::Failed,
        }
    }
}

/// Failure of the command.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// Kind of the error, unless it stands for more than one call.
    kind: Option<ErrorKind>,
    error: Box<dyn Error + Send + Sync>,
    advice: Option<Cow<'static, str>>,
    /// Next steps: a label and a command line each.
    steps: Vec<(&'static str, String)>,
}

impl Failure {
    /// Returns a failure with this exit code, error and advice.
    pub(crate) fn new(
        exit: Exit,
        error: impl Into<Box<dyn Error + Send + Sync>>,
        advice: impl Into<Cow<'static, str>>,
    ) -> Self {
        let advice = Some(advice.into());
        Self { exit, kind: None, error: error.into(), advice, steps: Vec::new() }
    }

    /// Returns the failure for an invalid argument.
    pub(crate) fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Usage, error, ErrorKind::InvalidInput.advice())
    }

    /// Returns the failure for an I/O error; `what` names the failed action.
    pub(crate) fn io(what: &str, error: io::Error) -> Self {
        let kind = match has_too_many_files(&error) {
            true => ErrorKind::TooManyFiles,
            false => ErrorKind::Io,
        };
        let failure = Self::new(Exit::Failed, format!("{what}: {error}"), kind.advice());
        Self { kind: Some(kind), ..failure }
    }

    /// Returns the failure for any other error.
    pub(crate) fn other(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Exit::Failed, error, ErrorKind::Io.advice())
    }

    /// Returns the failure for a signal; `consequence` says what it means for the object.
    pub(crate) fn stopped(signal: Signal, consequence: impl AsRef<str>) -> Self {
        let error = format!("{signal}: {}", consequence.as_ref()).into();
        Self { exit: Exit::Stopped(signal), kind: None, error, advice: None, steps: Vec::new() }
    }

    /// Returns the result of a question that the user answered with no; `consequence` says what it
    /// means. That is no error: it is printed as a message.
    pub(crate) fn declined(consequence: &str) -> Self {
        let error = consequence.into();
        Self { exit: Exit::Declined, kind: None, error, advice: None, steps: Vec::new() }
    }

    /// Replaces the advice.
    pub(crate) fn advise(self, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// Names the origin of a setting that the failure is about, in the advice. `origins` has those
    /// that were not on the command line, by argument id.
    pub(crate) fn with_origins(self, origins: &BTreeMap<&'static str, String>) -> Self {
        let origin = |id: &str| origins.get(id);
        let named = match self.kind {
            Some(ErrorKind::ContextMismatch) => origin("context").map(|origin| {
                format!("{origin} demands it: pass --no-context to do without, or -c with the object's own")
            }),
            Some(ErrorKind::NoMatchingKey) => origin("keys").or(origin("accounts")).map(|origin| {
                format!("{origin} says which keys may be used: name one of the object's with --key, or a key's account with --account")
            }),
            _ => None,
        };
        match named {
            Some(advice) => self.advise(advice),
            None => self,
        }
    }

    /// Adds a next step.
    pub(crate) fn step(mut self, what: &'static str, command: String) -> Self {
        self.steps.push((what, command));
        self
    }

    /// Returns an error if any of `all` objects failed; `what` is its message.
    pub(crate) fn of_many(failed: u64, all: u64, what: String) -> Result<(), Self> {
        let exit = match failed {
            0 => return Ok(()),
            _ if failed == all => Exit::AllFailed,
            _ => Exit::SomeFailed,
        };
        Err(Self::new(exit, what, "see the reason for each object"))
    }

    /// Appends to the message what was done before. The same work is not to be repeated as a whole.
    pub(crate) fn and(self, more: &str) -> Self {
        Self { kind: None, error: format!("{}{more}", self.in_one_line()).into(), ..self }
    }

    /// Returns the kind of the error, if repeating the work may help.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        self.kind
    }

    /// `true` if the same command may succeed later, or with new credentials.
    fn may_pass(&self) -> bool {
        self.kind.is_some_and(|kind| kind == ErrorKind::Credentials || kind.is_retryable())
    }

    /// Returns the exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Returns the process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.exit.into()
    }

    /// Prints the failure on standard error.
    pub(crate) fn print(&self) {
        let text = self.text(Colors::of(&io::stderr()), Width::of(&io::stderr()));
        // If standard error is closed, only the exit code remains.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// Returns the error and its causes in one line, without advice.
    pub(crate) fn in_one_line(&self) -> String {
        error_chain(&*self.error)
    }

    /// Prints the failure of one of many items on one line of standard error.
    pub(crate) fn print_about(&self, what: &str) {
        let line = format!("failed: {}: {}\n", Printable(what), Printable(&self.in_one_line()));
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    /// Returns the text that [`Failure::print`] prints, without colours.
    #[cfg(test)]
    pub(crate) fn text_for_tests(&self) -> String {
        self.text(Colors::none(), Width::none())
    }

    fn text(&self, colors: Colors, width: Width) -> String {
        let mut said = self.error.to_string();
        if self.exit == Exit::Declined {
            return format!("{}\n", Printable(&said));
        }
        let fill = |text: &str, indent| width.fill(&Printable(text).to_string(), indent);
        let mut text = format!("{} {}\n", colors.red("error:"), fill(&said, 7));
        let mut next = self.error.source();
        while let Some(cause) = next {
            let cause_said = cause.to_string();
            if !said.contains(&cause_said) {
                text.push_str(&format!("  caused by: {}\n", fill(&cause_said, 13)));
                said = cause_said;
            }
            next = cause.source();
        }
        if let Some(advice) = &self.advice {
            text.push_str(&format!("  {} {}\n", colors.bold("hint:"), fill(advice, 8)));
        }
        for (what, command) in &self.steps {
            text.push_str(&format!("  {what}: {}\n", Printable(command)));
        }
        text
    }
}

/// Next step of a command on many objects that ended before the last one.
#[derive(Debug)]
pub(crate) struct Unfinished {
    /// Meaning of a signal for the objects that are left.
    consequence: &'static str,
    /// Label and command line of the next step.
    step: (&'static str, String),
}

impl Unfinished {
    /// Describes the end of a command by `consequence`, and the command line that goes on.
    pub(crate) fn new(consequence: &'static str, label: &'static str, command: String) -> Self {
        Self { consequence, step: (label, command) }
    }

    /// Returns the result of work that may have ended early.
    ///
    /// # Errors
    /// A signal stopped the work, or it failed. If the failure may pass, it names the next step.
    pub(crate) fn check<T>(self, done: Result<Result<T, Failure>, Signal>) -> Result<T, Failure> {
        let Self { consequence, step: (label, command) } = self;
        match done {
            Ok(Err(failure)) if failure.may_pass() => Err(failure.step(label, command)),
            Ok(done) => done,
            Err(signal) => Err(Failure::stopped(signal, consequence)),
        }
    }
}

impl From<OutOfOrder> for Failure {
    fn from(error: OutOfOrder) -> Self {
        let advice = "the store does not list keys as S3 does: name smaller folders";
        Self::new(Exit::Failed, error, advice)
    }
}

impl From<sealwax_s3::Error> for Failure {
    fn from(error: sealwax_s3::Error) -> Self {
        let kind = error.kind();
        Self { kind: Some(kind), ..Self::new(kind.into(), error, advice(kind)) }
    }
}

/// Returns the failure for a single object; if there is none, the advice mentions folders and
/// globs.
pub(crate) fn of_one(error: sealwax_s3::Error, uri: &S3Uri) -> Failure {
    let is_absent = error.kind() == ErrorKind::NotFound;
    let failure = Failure::from(error);
    match is_absent {
        true if uri.key().contains(['*', '?']) => failure.advise(
            "pass the folder with --recursive and --include GLOB: globs in a key are not expanded",
        ),
        true => failure
            .advise("check the bucket, the key and the Region; a folder requires --recursive"),
        false => failure,
    }
}

/// Returns the advice for an error kind, in terms of this command's flags.
pub(crate) fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Credentials => {
            "sign in, or configure credentials as for every AWS tool: environment, profile, SSO or instance role"
        }
        ErrorKind::InsecureEndpoint => {
            "use an https:// endpoint for KMS and STS (--kms-endpoint-url), or pass --allow-http-kms on a trusted network"
        }
        ErrorKind::KeyObjectMissing => {
            "pass --key-store, with the prefix if it is another one; retry when replication has caught up, or name a wrapping key that the key store has with --key"
        }
        ErrorKind::NoMatchingKey => {
            "name one of its wrapping keys with --key, a key's account with --account, or a local key's file with --local-key"
        }
        ErrorKind::AclUnreadable => {
            "retry, or pass --acl=ignore if the objects have no access control lists of their own"
        }
        ErrorKind::ConditionIgnored => {
            "pass --conditions=look to look at the target right before instead: only a write of someone else in that moment is not noticed"
        }
        ErrorKind::Unproven => "rewrap the copy, or pass --unproven to delete the source anyway",
        ErrorKind::PolicyRefused => {
            "if its keys are in a key store, pass --key-store; otherwise allow such objects only if you expect them: an attacker may have put this one there"
        }
        ErrorKind::WrongRegion => "pass the bucket's Region with --region or AWS_REGION",
        ErrorKind::PlaceMismatch => {
            "read a replica with --replica-of SOURCE-BUCKET; rewrap a moved object with --accept-place OLD-BUCKET/OLD-KEY"
        }
        ErrorKind::ConcurrentWrite => {
            "rerun the command: the whole object is uploaded again, and the other write decides whether --no-overwrite holds"
        }
        ErrorKind::UnknownHost => {
            "check --endpoint-url (or AWS_ENDPOINT_URL), the Region's name, and the network"
        }
        ErrorKind::UntrustedHost => {
            "check --endpoint-url and --kms-endpoint-url (or AWS_ENDPOINT_URL); to trust a certificate authority of your own, set AWS_CA_BUNDLE to its file"
        }
        ErrorKind::ContextMismatch => {
            "see the object's encryption context with `sealwax inspect`, and pass it with -c if it is the right one"
        }
        ErrorKind::TooManyFiles => {
            "raise the limit of open files (ulimit -n), or pass a smaller --concurrency"
        }
        ErrorKind::JobMismatch => {
            "make a new plan with --save-plan, or pass the journal of this job with --journal"
        }
        ErrorKind::Archived => {
            "restore the object (aws s3api restore-object), wait until it is restored, and rerun the command; a rewrap can store new keys with --to-sidecar instead"
        }
        ErrorKind::Unavailable => {
            "retry, raise --timeout if the store is slow, or use a key and a bucket in another Region"
        }
        kind => kind.advice(),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// Error with a cause.
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
    fn each_cause_is_printed_once_and_the_advice_last() {
        let root = Chain("the disk is full", None);
        let again = Chain("write failed: the disk is full", Some(Box::new(root)));
        let failure = Failure::new(
            Exit::Failed,
            Chain("cannot\u{1b} put", Some(Box::new(again))),
            "make room",
        );
        let expected = "error: cannot\\u{1b} put\n  caused by: write failed: the disk is full\n  hint: make room\n";
        assert_eq!(failure.text(Colors::none(), Width::none()), expected);
        let failure =
            failure.step("to resume", "sealwax put".into()).step("to give up", "rm \u{7}".into());
        assert_eq!(
            failure.text(Colors::none(), Width::none()),
            format!("{expected}  to resume: sealwax put\n  to give up: rm \\u{{7}}\n")
        );
    }

    #[test]
    fn exit_codes_are_as_documented() {
        for (kind, code) in [
            (ErrorKind::Service, 1),
            (ErrorKind::Unavailable, 1),
            (ErrorKind::Throttled, 1),
            (ErrorKind::TooManyFiles, 1),
            (ErrorKind::Io, 1),
            (ErrorKind::AclUnreadable, 1),
            (ErrorKind::Archived, 1),
            (ErrorKind::ConditionIgnored, 1),
            (ErrorKind::Unproven, 1),
            (ErrorKind::Unsupported, 1),
            (ErrorKind::InsecureEndpoint, 2),
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
            (ErrorKind::Shredded, 4),
            (ErrorKind::AccessDenied, 5),
            (ErrorKind::ClockSkew, 5),
            (ErrorKind::Credentials, 5),
            (ErrorKind::KeyDisabled, 5),
            (ErrorKind::KeyNotFound, 5),
            (ErrorKind::NoMatchingKey, 5),
            (ErrorKind::Conflict, 6),
            (ErrorKind::ConcurrentWrite, 6),
            (ErrorKind::UnknownHost, 1),
            (ErrorKind::UntrustedHost, 1),
            (ErrorKind::SourceChanged, 6),
            (ErrorKind::UploadNotFound, 6),
            (ErrorKind::StateFileMismatch, 2),
            (ErrorKind::Locked, 1),
            (ErrorKind::KeyObjectMissing, 1),
        ] {
            assert_eq!(Exit::from(kind).code(), code, "{kind:?}");
        }
        assert_eq!(Exit::Found.code(), 9);
        assert_eq!(Exit::Stopped(Signal::Interrupt).code(), 130);
        assert_eq!(Exit::Stopped(Signal::Deadline).code(), 124);
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
