//! Outcomes of operations, in a form that a table can state.

use std::collections::BTreeSet;

use bytes::Bytes;
use sealwax_s3::{ErrorKind, KeyReport};

use crate::{
    loot::Plaintexts,
    scene::{Name, Scene},
};

/// Wrapping keys.
pub(crate) type Names = BTreeSet<Name>;

/// Outcome of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The operator's own plaintext, or a range of it.
    Plaintext(Version),
    /// Success, and nothing to report.
    Done,
    /// The object's keys were changed, or copied.
    Keys(Report),
    /// Outcome of a job or a function, by its name in reports.
    Job(&'static str),
    /// Wrapping keys that a report lists, and the problem that it notes.
    Listed(Names, Option<ErrorKind>),
    /// The object was copied, and its source stays.
    CopiedOnly(ErrorKind),
    Failed(ErrorKind),
}

/// A plaintext that the operator sealed for this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Original,
    Older,
}

/// A [`KeyReport`], by parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) added: Names,
    pub(crate) claimed: Names,
    pub(crate) proven: Names,
    pub(crate) disproved: Names,
    pub(crate) kept: Names,
    pub(crate) missing: Names,
    pub(crate) opens: bool,
    /// `true` if something was stored.
    pub(crate) stored: bool,
}

impl Report {
    pub(crate) fn new(scene: &Scene, report: KeyReport, stored: bool) -> Self {
        let names = |arns: Vec<String>| {
            let name = |arn: String| scene.name(&arn).expect("a key of the scene");
            arns.into_iter().map(name).collect()
        };
        Self {
            added: names(report.added),
            claimed: names(report.claimed),
            proven: names(report.proven),
            disproved: names(report.disproved),
            kept: names(report.kept),
            missing: names(report.missing),
            opens: report.opens.is_proven(),
            stored,
        }
    }
}

impl Outcome {
    /// Tells which plaintext was returned.
    ///
    /// # Panics
    /// For any other bytes: they were not verified.
    pub(crate) fn of_plaintext(plaintexts: &Plaintexts, bytes: &Bytes, start: usize) -> Self {
        let is = |plaintext: &Bytes| plaintext.slice(start..start + bytes.len()) == *bytes;
        match (is(&plaintexts.original), is(&plaintexts.older)) {
            (true, _) => Self::Plaintext(Version::Original),
            (_, true) => Self::Plaintext(Version::Older),
            _ => panic!("unverified bytes were returned"),
        }
    }

    /// Returns the name of the kind of outcome, for counts.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Plaintext(version) => format!("{version:?} plaintext"),
            Self::Done => "done".to_owned(),
            Self::Keys(report) if report.stored && !report.kept.is_empty() => "kept".to_owned(),
            Self::Keys(report) if report.stored => "keys stored".to_owned(),
            Self::Keys(_) => "keys unchanged".to_owned(),
            Self::Job(name) => (*name).to_owned(),
            Self::Listed(_, None) => "listed".to_owned(),
            Self::Listed(_, Some(kind)) => format!("listed with a problem: {kind:?}"),
            Self::CopiedOnly(kind) => format!("copied, source kept: {kind:?}"),
            Self::Failed(kind) => format!("{kind:?}"),
        }
    }
}
