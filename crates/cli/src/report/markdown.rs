//! A report as Markdown (GitHub Flavored Markdown).

use super::{Block, Page, Table, Text, visible::visible};
use crate::figures::number;

/// Returns the page as Markdown.
pub(crate) fn markdown(page: &Page) -> String {
    let verdict = match page.verdict.word() {
        "" => String::new(),
        word => format!(": {word}"),
    };
    let mut text = format!("# {}{verdict}\n\n{}\n", plain(&page.title), sentence(&page.conclusion));
    if !page.figures.is_empty() {
        text.push_str("\n| figure | value | |\n|---|---|---|\n");
        for figure in &page.figures {
            let cells = [figure.name, &figure.value, &figure.note].map(plain);
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }
    for section in &page.sections {
        text.push_str(&format!("\n## {}\n", plain(section.title)));
        for block in &section.blocks {
            text.push('\n');
            text.push_str(&of_block(block));
        }
    }
    let (file, digest) = &page.json;
    text.push_str(&format!("\nSHA-256 of {}: `{digest}`\n", code(file)));
    text
}

fn of_block(block: &Block) -> String {
    match block {
        Block::Paragraph(texts) => format!("{}\n", sentence(texts)),
        Block::List(items) => items.iter().map(|item| format!("- {}\n", inline(item))).collect(),
        Block::Facts(facts) => {
            let rows = facts.iter().map(|(name, value)| vec![Text::plain(*name), value.clone()]);
            of_rows(&["", ""], rows)
        }
        Block::Bars(bars) => {
            let rows = bars
                .bars
                .iter()
                .map(|bar| vec![Text::plain(bar.label.clone()), Text::plain(number(bar.count))]);
            format!("### {}\n\n{}", plain(bars.title), of_rows(&bars.columns, rows))
        }
        Block::Table(Table { title, columns, rows, more, .. }) => {
            let mut text = format!("### {}\n\n", plain(title));
            text.push_str(&of_rows(columns, rows.iter().cloned()));
            if *more > 0 {
                text.push_str(&format!("\nAnd {} more.\n", number(*more)));
            }
            text
        }
    }
}

fn of_rows(columns: &[&str], rows: impl Iterator<Item = Vec<Text>>) -> String {
    let names: Vec<_> = columns.iter().map(|name| plain(name)).collect();
    let mut text = format!("| {} |\n|{}\n", names.join(" | "), "---|".repeat(columns.len()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(inline).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn sentence(texts: &[Text]) -> String {
    texts.iter().map(inline).collect()
}

fn inline(text: &Text) -> String {
    match text {
        Text::Plain(text) => plain(text),
        Text::Code(text) => code(text),
    }
}

/// Returns a name as code. A code span ends at a backtick, and a table's cell at a bar.
fn code(text: &str) -> String {
    match visible(text) {
        text if text.is_empty() => String::new(),
        text => format!("`{}`", text.replace('`', "'").replace('|', "\\|")),
    }
}

/// Returns text without any markup, link or HTML.
fn plain(text: &str) -> String {
    let mut escaped = String::new();
    for char in visible(text).chars() {
        match char {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '!' | '~' | '#' | '@' | '$' => {
                escaped.push('\\');
                escaped.push(char);
            }
            _ => escaped.push(char),
        }
    }
    // Addresses become links by themselves.
    escaped.replace("://", ":\\//").replace("www.", "www\\.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_stays_in_its_cell() {
        assert_eq!(code("s3://b/a|b`c\n<x>"), "`s3://b/a\\|b'c\\u{a}<x>`");
        assert_eq!(
            plain("<b>|[x](http://e) *a*\n\u{202e}"),
            "&lt;b&gt;\\|\\[x\\](http:\\//e) \\*a\\*\\\\u{a}\\\\u{202e}"
        );
    }
}
