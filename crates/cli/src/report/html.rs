//! A report as one HTML file without any outer resource.
//!
//! The page forbids itself everything but its own style and script, by their hashes, so that not
//! even an escaping fault would run a script or send a request. It is complete without the script,
//! which only filters tables.

use std::fmt::{self, Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};

use super::{Bars, Block, Figure, Page, Section, Table, Text, Tone, Verdict, visible::visible};
use crate::figures::{number, percent};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Returns the page as HTML.
pub(crate) fn html(page: &Page) -> String {
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let (verdict, mark) = match page.verdict {
        Verdict::Passed => ("passed", "✓"),
        Verdict::Failed => ("failed", "✕"),
        Verdict::Informed => ("informed", ""),
    };
    let word = page.verdict.word();
    let title = match word {
        "" => page.title.clone(),
        word => format!("{word}: {}", page.title),
    };
    let (file, digest) = &page.json;
    let mut text = String::new();
    let _ = write!(
        text,
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<header class="{verdict}">
<div class="inner">
<h1>{heading}</h1>
"#,
        title = Html(&title),
        heading = Html(&page.title),
    );
    if !word.is_empty() {
        let _ = writeln!(
            text,
            r#"<p class="verdict"><span class="mark" aria-hidden="true">{mark}</span> {word}</p>"#
        );
    }
    let _ = write!(
        text,
        "<p class=\"conclusion\">{}</p>\n</div>\n</header>\n<main>\n",
        Inline(&page.conclusion)
    );
    if !page.figures.is_empty() {
        text.push_str("<section aria-label=\"Key figures\">\n<dl class=\"figures\">\n");
        page.figures.iter().for_each(|figure| write_figure(&mut text, figure));
        text.push_str("</dl>\n</section>\n");
    }
    for Section { title, blocks } in &page.sections {
        let _ = write!(text, "<section>\n<h2>{}</h2>\n", Html(title));
        blocks.iter().for_each(|block| write_block(&mut text, block));
        text.push_str("</section>\n");
    }
    let _ = write!(
        text,
        "</main>\n<footer>\n<p>The same report for programs: {}. Its SHA-256:</p>\n<p class=\"digest\">{}</p>\n</footer>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        Inline(&[Text::code(file.clone())]),
        Inline(&[Text::code(digest.clone())]),
    );
    text
}

fn write_figure(text: &mut String, Figure { name, value, note, tone }: &Figure) {
    let _ = write!(
        text,
        "<div class=\"figure {}\">\n<dt>{}</dt>\n<dd class=\"value\">{}</dd>\n",
        class(*tone),
        Html(name),
        Html(value)
    );
    if !note.is_empty() {
        let _ = writeln!(text, "<dd class=\"note\">{}</dd>", Html(note));
    }
    text.push_str("</div>\n");
}

fn write_block(text: &mut String, block: &Block) {
    match block {
        Block::Paragraph(texts) => {
            let _ = writeln!(text, "<p>{}</p>", Inline(texts));
        }
        Block::List(items) => {
            text.push_str("<ul>\n");
            for item in items {
                let _ = writeln!(text, "<li>{}</li>", Inline(std::slice::from_ref(item)));
            }
            text.push_str("</ul>\n");
        }
        Block::Facts(facts) => {
            text.push_str("<table class=\"facts\">\n<tbody>\n");
            for (name, value) in facts {
                let value = Inline(std::slice::from_ref(value));
                let _ = writeln!(
                    text,
                    "<tr><th scope=\"row\">{}</th><td>{value}</td></tr>",
                    Html(name)
                );
            }
            text.push_str("</tbody>\n</table>\n");
        }
        Block::Bars(bars) => write_bars(text, bars),
        Block::Table(table) => write_table(text, table),
    }
}

/// Writes bars as a table, so that they are read aloud, copied and printed as numbers too.
fn write_bars(text: &mut String, Bars { title, columns: [labels, counts], bars }: &Bars) {
    let all: u64 = bars.iter().map(|bar| bar.count).sum();
    let most = bars.iter().map(|bar| bar.count).max().unwrap_or_default();
    let _ = write!(
        text,
        "<table class=\"bars\">\n<caption>{}</caption>\n<thead><tr><th scope=\"col\">{}</th><th scope=\"col\" class=\"chart\"><span class=\"unseen\">share</span></th><th scope=\"col\" class=\"count\">{}</th></tr></thead>\n<tbody>\n",
        Html(title),
        Html(labels),
        Html(counts)
    );
    for bar in bars {
        // Per mille, rounded up: what is there is seen.
        let wide = (u128::from(bar.count) * 1000).div_ceil(u128::from(most.max(1)));
        let _ = writeln!(
            text,
            "<tr><th scope=\"row\">{}</th><td class=\"chart\"><svg width=\"100%\" height=\"16\" aria-hidden=\"true\"><rect class=\"track\" width=\"100%\" height=\"16\"/><rect class=\"{}\" width=\"{}.{}%\" height=\"16\"/></svg></td><td class=\"count\">{} <span class=\"share\">{}</span></td></tr>",
            Html(&bar.label),
            class(bar.tone),
            wide / 10,
            wide % 10,
            number(bar.count),
            percent(bar.count, all),
        );
    }
    text.push_str("</tbody>\n</table>\n");
}

fn write_table(text: &mut String, Table { title, columns, rows, more, is_filterable }: &Table) {
    let filter = if *is_filterable && rows.len() > 1 { " data-filter" } else { "" };
    let _ = write!(
        text,
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n<table class=\"rows\"{filter}>\n<caption>{}</caption>\n<thead><tr>",
        Html(title),
        Html(title)
    );
    for column in columns {
        let _ = write!(text, "<th scope=\"col\">{}</th>", Html(column));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        text.push_str("<tr>");
        for (cell, column) in row.iter().zip(columns) {
            // The column's name is shown beside the cell on a narrow screen.
            let short = if is_short(cell) { " class=\"short\"" } else { "" };
            let cell = Inline(std::slice::from_ref(cell));
            let _ = write!(text, "<td{short} data-name=\"{}\">{cell}</td>", Html(column));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table>\n</div>\n");
    if *more > 0 {
        let _ = writeln!(
            text,
            "<p class=\"more\">And {} more, which this report counts but does not list.</p>",
            number(*more)
        );
    }
}

/// `true` for text that stays on one line, such as a Region or a time: names that are long break
/// instead.
fn is_short(text: &Text) -> bool {
    const MAX_SHORT: usize = 20;
    matches!(text, Text::Plain(text) if text.chars().count() <= MAX_SHORT)
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Neutral => "neutral",
        Tone::Good => "good",
        Tone::Bad => "bad",
    }
}

/// Returns the hash of an inline style or script, as a content security policy names it.
fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

/// Text of a page.
struct Inline<'a>(&'a [Text]);

impl fmt::Display for Inline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|text| match text {
            Text::Plain(text) => write!(f, "{}", Html(text)),
            // A direction of its own: letters of a name that is written from right to left reorder
            // nothing around it.
            Text::Code(text) if !text.is_empty() => {
                write!(f, "<code dir=\"ltr\">{}</code>", Html(text))
            }
            Text::Code(_) => Ok(()),
        })
    }
}

/// Escapes text for an element's content or a quoted attribute.
struct Html<'a>(&'a str);

impl fmt::Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        visible(self.0).chars().try_for_each(|char| match char {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            _ => f.write_char(char),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn escaped_text_is_only_text(text in any::<String>()) {
            let escaped = Html(&text).to_string();
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']));
            for (at, _) in escaped.match_indices('&') {
                let entities = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"];
                prop_assert!(entities.iter().any(|entity| escaped[at..].starts_with(entity)));
            }
            prop_assert!(!escaped.chars().any(char::is_control));
        }
    }
}
