//! Reports of evidence, for people: a page of sections, as Markdown and as HTML.
//!
//! A command fills a [`Page`]; [`markdown()`] and [`html()`] are pure functions of it. All text on a
//! page counts as hostile, for object keys and messages of stores are, and is escaped where it is
//! written.

mod html;
mod markdown;
mod provenance;
mod report_files;
mod visible;

pub(crate) use self::{
    html::html,
    markdown::markdown,
    provenance::{Provenance, rfc3339},
    report_files::{ReportFiles, WrittenReport, sha256},
};

/// A report for people.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) verdict: Verdict,
    /// The conclusion, in full sentences.
    pub(crate) conclusion: Vec<Text>,
    /// The most important figures.
    pub(crate) figures: Vec<Figure>,
    pub(crate) sections: Vec<Section>,
    /// Name and SHA-256 of the JSON file with the same content.
    pub(crate) json: (String, String),
}

/// Verdict of a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Proven: the claim that was to be shown.
    Passed,
    /// Not proven.
    Failed,
    /// The report only says what there is.
    #[default]
    Informed,
}

/// Meaning of a figure or a bar.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Neutral,
    Good,
    Bad,
}

/// Text whose content comes from anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    Plain(String),
    /// A name or a command, letter by letter.
    Code(String),
}

/// A figure in the head of the page.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) note: String,
    pub(crate) tone: Tone,
}

/// A section of a page.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) blocks: Vec<Block>,
}

/// Part of a section.
#[derive(Debug, Clone)]
pub(crate) enum Block {
    Paragraph(Vec<Text>),
    List(Vec<Text>),
    Facts(Vec<(&'static str, Text)>),
    Bars(Bars),
    Table(Table),
}

/// Counts as bars.
#[derive(Debug, Clone)]
pub(crate) struct Bars {
    pub(crate) title: &'static str,
    /// Names of the column of labels and of the column of counts.
    pub(crate) columns: [&'static str; 2],
    pub(crate) bars: Vec<Bar>,
}

/// One bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) count: u64,
    pub(crate) tone: Tone,
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) title: &'static str,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<Text>>,
    /// Number of rows that are not listed.
    pub(crate) more: u64,
    /// `true` if readers may want to filter its rows.
    pub(crate) is_filterable: bool,
}

/// Returns text without markup.
pub(crate) fn text_of(texts: &[Text]) -> String {
    let plain = texts.iter().map(|text| match text {
        Text::Plain(text) | Text::Code(text) => text.as_str(),
    });
    plain.collect()
}

impl Text {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::Plain(text.into())
    }

    pub(crate) fn code(text: impl Into<String>) -> Self {
        Self::Code(text.into())
    }
}

impl Verdict {
    /// Returns the word of the banner; empty if there is no verdict.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::Failed => "Failed",
            Self::Informed => "",
        }
    }
}

impl Table {
    /// Returns a table that readers needn't filter, with all rows.
    pub(crate) fn small(
        title: &'static str,
        columns: impl Into<Vec<&'static str>>,
        rows: Vec<Vec<Text>>,
    ) -> Self {
        Self { title, columns: columns.into(), rows, more: 0, is_filterable: false }
    }
}

#[cfg(test)]
pub(crate) mod tests;
