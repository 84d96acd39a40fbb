//! Origin of a report: who ran what, where and when.

use std::{
    env,
    ffi::OsString,
    time::{Duration, SystemTime},
};

use aws_sdk_s3::primitives::{DateTime, DateTimeFormat};
use serde::Serialize;

use super::{Block, Section, Text};
use crate::figures::elapsed;
use crate::{
    session::{Caller, Session},
    terminal_text::command_line,
};

/// Origin of a report. Field names are stable JSON output.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Provenance {
    /// The program and its version.
    pub(crate) tool: String,
    pub(crate) host: String,
    /// The caller, as STS tells it; null if it does not.
    pub(crate) caller: Option<Caller>,
    /// The command line, without passwords and queries in URLs.
    pub(crate) command_line: String,
    /// Profile and file of Sealwax's settings, which may set further options.
    pub(crate) settings: Option<String>,
    /// Start time. Times are in UTC, as in RFC 3339.
    pub(crate) started: String,
    pub(crate) ended: String,
    pub(crate) seconds: f64,
}

impl Provenance {
    /// Asks STS for the caller, and describes this run, which ends now.
    pub(crate) async fn of(session: &Session, started: SystemTime) -> Self {
        let caller = session.caller().await.ok();
        let ended = SystemTime::now();
        Self {
            tool: concat!("sealwax ", env!("CARGO_PKG_VERSION")).to_owned(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            caller,
            command_line: command_line(env::args_os().map(without_secrets)),
            settings: session.profile_in_use().map(str::to_owned),
            started: rfc3339(started),
            ended: rfc3339(ended),
            seconds: ended.duration_since(started).unwrap_or_default().as_secs_f64(),
        }
    }

    /// Returns the section of a page.
    pub(crate) fn section(&self) -> Section {
        let caller = match &self.caller {
            Some(caller) => Text::code(caller.arn.clone()),
            None => Text::plain("not told by STS"),
        };
        let took = elapsed(Duration::try_from_secs_f64(self.seconds).unwrap_or_default());
        let mut facts = vec![
            ("caller", caller),
            ("host", Text::code(self.host.clone())),
            ("tool", Text::plain(self.tool.clone())),
            ("command line", Text::code(self.command_line.clone())),
        ];
        facts.extend(
            self.settings.clone().map(|settings| ("settings profile", Text::plain(settings))),
        );
        facts.extend([
            ("started", Text::plain(self.started.clone())),
            ("ended", Text::plain(format!("{} (after {took})", self.ended))),
        ]);
        Section { title: "Who ran it, and how", blocks: vec![Block::Facts(facts)] }
    }
}

/// Returns a time in UTC, as in RFC 3339.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map(|since| since.as_secs())
        .unwrap_or_default();
    let time = DateTime::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    time.fmt(DateTimeFormat::DateTime).unwrap_or_else(|_| "unknown".into())
}

/// Returns an argument without what can be a secret in it: the user of an `http` URL, and its query.
/// No argument is itself a secret: keys and credentials are in files and in the environment.
fn without_secrets(argument: OsString) -> OsString {
    const HIDDEN: &str = "***";
    let Some(text) = argument.to_str() else { return argument };
    let scheme = ["https://", "http://"]
        .into_iter()
        .find_map(|scheme| text.to_ascii_lowercase().find(scheme).map(|at| at + scheme.len()));
    let Some((before, rest)) = scheme.and_then(|at| text.split_at_checked(at)) else {
        return argument;
    };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (path, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{HIDDEN}@{host}"),
        None => authority.to_owned(),
    };
    let query = if query.is_empty() { String::new() } else { format!("?{HIDDEN}") };
    format!("{before}{authority}{path}{query}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_holds_no_secret() {
        for (argument, shown) in [
            ("https://user:secret@host:9000/a?token=secret", "https://***@host:9000/a?***"),
            ("--endpoint-url=HTTP://secret@host", "--endpoint-url=HTTP://***@host"),
            ("http://host#secret", "http://host?***"),
            ("https://a@b@host", "https://***@host"),
            ("https://host:9000", "https://host:9000"),
            ("s3://bucket/a@b?c", "s3://bucket/a@b?c"),
            ("--first-last", "--first-last"),
        ] {
            assert_eq!(without_secrets(argument.into()), shown);
        }
    }

    #[test]
    fn times_are_in_utc() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(rfc3339(time), "2023-11-14T22:13:20Z");
    }
}
