//! Comma-separated values (RFC 4180) that no spreadsheet takes for a formula.

/// What makes a spreadsheet take a cell for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// One row with its line end. A cell that would be a formula begins with an apostrophe instead; control
/// characters other than line ends and tabs, which no program that opens the file has a use for, are
/// written as `\u{…}`.
#[must_use]
pub fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    cells.join(",") + "\r\n"
}

/// A cell, quoted where it has to be.
fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    // Some programs pass over white space before they look for a formula.
    if text.starts_with(FORMULA) || text.trim_start().starts_with(FORMULA) {
        safe.push('\'');
    }
    for letter in text.chars() {
        if is_harmful(letter) {
            safe.extend(letter.escape_unicode());
        } else {
            safe.push(letter);
        }
    }
    if safe.contains([',', '"', '\r', '\n']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

/// Terminal escapes, and marks that turn the direction of writing round.
fn is_harmful(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (letter.is_control() && !['\n', '\r', '\t'].contains(&letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_38_a_cell_of_a_table_is_never_a_formula_or_an_escape() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "=cmd|' /C calc'!A0"] {
            let written = row(&[formula]);
            assert!(written.trim_start_matches('"').starts_with('\''), "{written:?}");
        }
        assert_eq!(row(&["\u{1b}]0;owned\u{7}"]), "\\u{1b}]0;owned\\u{7}\r\n");
        assert_eq!(row(&["\u{9b}31m", "a\u{202e}b"]), "\\u{9b}31m,a\\u{202e}b\r\n");
    }

    #[test]
    fn cells_are_quoted_where_they_have_to_be() {
        assert_eq!(row(&["a", "b,c", "d\"e", "f\ng", ""]), "a,\"b,c\",\"d\"\"e\",\"f\ng\",\r\n");
    }

    proptest::proptest! {
        #[test]
        fn rows_are_read_back_as_they_were_written(cells in proptest::collection::vec("[a-z,\"\n =]{0,12}", 1..6)) {
            let borrowed: Vec<&str> = cells.iter().map(String::as_str).collect();
            let expected: Vec<String> = cells.iter().map(|text| {
                if text.trim_start().starts_with('=') { format!("'{text}") } else { text.clone() }
            }).collect();
            proptest::prop_assert_eq!(read(&row(&borrowed)), expected);
        }
    }

    /// A reader by the letter of RFC 4180.
    fn read(text: &str) -> Vec<String> {
        let text = text.strip_suffix("\r\n").unwrap();
        let (mut cells, mut quoted) = (vec![String::new()], false);
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '"' if quoted && letters.peek() == Some(&'"') => {
                    letters.next();
                    cells.last_mut().unwrap().push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                other => cells.last_mut().unwrap().push(other),
            }
        }
        cells
    }
}
