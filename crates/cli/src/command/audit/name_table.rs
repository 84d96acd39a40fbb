//! Tables of figures and long names, such as ARNs.

use crate::terminal_text::{Printable, Width};

/// Least width of a column of figures.
const FIGURE_WIDTH: usize = 12;

/// Table of figures, each row with the names that they are about.
///
/// A terminal breaks a line that is too long, and an ARN with it. So on a narrow one the rows have
/// numbers, and the names are listed below, each on a line of its own.
#[derive(Debug)]
pub(super) struct NameTable {
    figures: Vec<&'static str>,
    title: String,
    rows: Vec<(Vec<u64>, Vec<String>)>,
}

impl NameTable {
    /// Returns an empty table with these titles of the figures, and of the names.
    pub(super) fn new(figures: &[&'static str], title: impl Into<String>) -> Self {
        Self { figures: figures.to_vec(), title: title.into(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(
        &mut self,
        figures: impl IntoIterator<Item = u64>,
        names: impl IntoIterator<Item = String>,
    ) {
        let names = names.into_iter().map(|name| Printable(&name).to_string());
        self.rows.push((figures.into_iter().collect(), names.collect()));
    }

    /// Returns the table as text that begins with an empty line, or nothing if it has no rows.
    pub(super) fn text(&self, width: Width) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let wide = self.wide();
        match wide.lines().all(|line| width.fits(line)) {
            true => wide,
            false => self.narrow(),
        }
    }

    fn wide(&self) -> String {
        let line = |figures: &[String], names: &str| {
            let figures: Vec<_> = figures.iter().map(|it| format!("{it:>FIGURE_WIDTH$}")).collect();
            format!("{}  {names}\n", figures.join(" "))
        };
        let titles: Vec<_> = self.figures.iter().map(|title| (*title).to_owned()).collect();
        let rows = self.rows.iter().map(|(figures, names)| {
            let figures: Vec<_> = figures.iter().map(u64::to_string).collect();
            line(&figures, &names.join("  "))
        });
        format!("\n{}{}", line(&titles, &self.title), rows.collect::<String>())
    }

    fn narrow(&self) -> String {
        let width = |at: usize| {
            let figures = self.rows.iter().map(|(figures, _)| figures[at].to_string().len());
            figures.max().unwrap_or_default().max(self.figures[at].len())
        };
        let widths: Vec<_> = (0..self.figures.len()).map(width).collect();
        let line = |figures: Vec<String>, name: &str| {
            let figures = figures.iter().zip(&widths).map(|(it, width)| format!("{it:>width$}  "));
            format!("{}{name}\n", figures.collect::<String>())
        };
        let titles = self.figures.iter().map(|title| (*title).to_owned()).collect();
        let mut text = format!("\n{}", line(titles, self.title.trim_start()));
        for (number, (figures, _)) in (1..).zip(&self.rows) {
            let figures = figures.iter().map(u64::to_string).collect();
            text.push_str(&line(figures, &format!("[{number}]")));
        }
        for (number, (_, names)) in (1..).zip(&self.rows) {
            text.push_str(&format!("[{number}] {}\n", names.join("\n    ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EAST: &str =
        "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const WEST: &str =
        "arn:aws:kms:us-west-2:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321";

    fn table() -> NameTable {
        let mut table = NameTable::new(&["objects", "only key"], "claimed wrapping key");
        table.row([3, 2], [EAST.to_owned()]);
        table.row([1_234_567_890, 0], [WEST.to_owned()]);
        table
    }

    #[test]
    fn names_are_beside_the_figures_where_they_fit() {
        let expected = format!(
            "\n     objects     only key  claimed wrapping key\n           3            2  {EAST}\n  1234567890            0  {WEST}\n"
        );
        assert_eq!(table().text(Width::none()), expected);
        assert_eq!(table().text(Width::of_columns(102)), expected);
        assert_eq!(NameTable::new(&["objects"], "problem").text(Width::of_columns(10)), "");
    }

    #[test]
    fn on_a_narrow_terminal_each_name_has_a_line_of_its_own() {
        let expected = format!(
            "\n   objects  only key  claimed wrapping key\n         3         2  [1]\n1234567890         0  [2]\n[1] {EAST}\n[2] {WEST}\n"
        );
        for columns in [80, 101] {
            assert_eq!(table().text(Width::of_columns(columns)), expected);
        }
        assert!(expected.lines().all(|line| line.len() <= 80), "{expected}");
        let proofs = ["objects", "only key", "proven", "unwrapped", "disproved", "unknown"];
        let mut table = NameTable::new(&proofs, "claimed wrapping key");
        table.row([7; 6], ["older".to_owned(), EAST.to_owned()]);
        let text = table.text(Width::of_columns(80));
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(text.ends_with(&format!("\n[1] older\n    {EAST}\n")), "{text}");
    }

    #[test]
    fn names_control_no_terminal() {
        let mut table = NameTable::new(&["objects"], "wrapping key");
        table.row([1], ["a\u{1b}[31m".to_owned()]);
        for width in [Width::none(), Width::of_columns(20)] {
            assert!(table.text(width).contains("a\\u{1b}[31m"), "{}", table.text(width));
        }
    }
}
