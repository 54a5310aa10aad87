//! What is written: answers to standard output, everything around them to standard error.

use std::io::{ErrorKind, IsTerminal as _, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use crate::base::{Problem, Result, located::Finding};

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
}

impl Output {
    /// Output in this format.
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self { format }
    }

    /// Whether a program reads it.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes an answer, as JSON or as the table that `table` makes of it.
    ///
    /// # Errors
    /// `internal` where standard output cannot be written.
    pub fn show<T: Serialize>(&self, answer: &T, table: impl FnOnce(&T) -> Table) -> Result<()> {
        self.tell(answer, |answer| table(answer).to_string())
    }

    /// Writes an answer, as JSON or as the text that `text` makes of it.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub fn tell<T: Serialize>(&self, answer: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        let text = if self.is_json() {
            serde_json::to_string_pretty(answer).map_err(|e| Problem::internal(e.to_string()))? + "\n"
        } else {
            text(answer)
        };
        write_bytes(text.as_bytes())
    }
}

/// Writes bytes to standard output as they are.
///
/// # Errors
/// `internal`; not where the reader went away, as `head` does.
pub fn write_bytes(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Problem::internal(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error.
pub fn note(line: &str) {
    // There is nobody left to be told where this fails.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A spinner on standard error while something takes long; nothing where that is no terminal.
pub fn progress(what: String) -> indicatif::ProgressBar {
    if !std::io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new_spinner().with_message(what);
    bar.enable_steady_tick(std::time::Duration::from_millis(120));
    bar
}

/// How far something has come of `total`, where standard error is a terminal.
pub fn progress_of(what: String, total: u64) -> indicatif::ProgressBar {
    let bar = progress(what);
    bar.set_length(total);
    let style = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    bar.set_style(style.unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()));
    bar
}

/// What is not right in declaring files, a line each and one for what to do.
pub fn findings(problem: &Problem) -> Vec<String> {
    let found: Option<Vec<Finding>> =
        problem.more.get("findings").and_then(|it| serde_json::from_value(it.clone()).ok());
    let lines = |it: Finding| {
        let place = format!("{}:{}", it.file, it.line);
        format!("  {}: {}\n    {}", printable(&place), printable(&it.message), printable(&it.remedy))
    };
    found.unwrap_or_default().into_iter().map(lines).collect()
}

/// Text from elsewhere, such that it can do nothing to a terminal: control characters and marks that
/// turn or hide text are written as escapes.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmless(c) { out.push(c) } else { out.extend(c.escape_debug()) }
    }
    out
}

fn is_harmless(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'))
}

/// Aligned columns.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|&it| it.to_owned()).collect()] }
    }

    /// Adds a row; texts may come from anywhere.
    pub fn row<T: AsRef<str>>(&mut self, cells: &[T]) {
        self.rows.push(cells.iter().map(|it| printable(it.as_ref())).collect());
    }

    /// How wide its columns are.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }

    /// The table with these rows.
    #[must_use]
    pub fn with<T: AsRef<str>>(mut self, rows: impl IntoIterator<Item = Vec<T>>) -> Self {
        rows.into_iter().for_each(|row| self.row(&row));
        self
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            writeln!(f, "{}", in_columns(row, &widths))?;
        }
        Ok(())
    }
}

/// Cells in columns of these widths, or as wide as they are.
#[must_use]
pub fn in_columns(cells: &[String], widths: &[usize]) -> String {
    let widths = widths.iter().copied().chain(std::iter::repeat(0));
    let cells: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    cells.join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_38_a_text_can_do_nothing_to_a_terminal() {
        let shown = printable("INC-1\n\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}drowssap\u{9b}2J");
        assert!(shown.chars().all(is_harmless), "{shown}");
        assert_eq!(printable("Größe 日本 a'b\"c\\"), "Größe 日本 a'b\"c\\");
    }

    #[test]
    fn columns_are_aligned() {
        let table = Table::new(&["NAME", "N"]).with([vec!["a", "1"], vec!["longer", "2"]]);
        assert_eq!(table.to_string(), "NAME    N\na       1\nlonger  2\n");
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_a_row_stays_a_line(text in ".*") {
            let table = Table::new(&["A"]).with([vec![text]]);
            proptest::prop_assert_eq!(table.to_string().lines().count(), 2);
        }
    }
}
