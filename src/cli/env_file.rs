//! Files of `KEY=VALUE` lines, as `.env` files are.
//!
//! A value goes to the end of its line, as it stands: nothing is expanded, and `#` begins a comment
//! only where it begins the line. Quotes around the whole value are taken off; between double quotes
//! `\n`, `\r`, `\t`, `\"` and `\\` mean what they mean in most languages.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::base::{Problem, Result, SecretName, SecretValue};

/// One line of such a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: SecretName,
    /// The value.
    pub value: SecretValue,
}

/// Reads all lines, or refuses the whole with the number of the line.
///
/// # Errors
/// `invalid-request`; no message holds any of the content.
pub fn parse(text: &str) -> Result<Vec<Variable>> {
    let mut seen: BTreeMap<SecretName, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let refuse = |why: String| {
            Problem::invalid(format!("line {number}: {why}")).remedy("Nothing was set. A line is KEY=VALUE.")
        };
        let Some(variable) = read_line(line).map_err(|why| refuse(why.to_owned()))? else { continue };
        if let Some(first) = seen.insert(variable.name.clone(), number) {
            return Err(refuse(format!("{} stands in line {first} already", variable.name)));
        }
        found.push(variable);
    }
    Ok(found)
}

fn read_line(line: &str) -> Result<Option<Variable>, &'static str> {
    let line = line.trim_start();
    if line.trim_end().is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or("there is no '=' in it")?;
    // The name is not repeated: where the line is no KEY=VALUE it may be a value.
    let name = name.trim().parse().map_err(|_| "what stands before '=' is no name of a secret")?;
    Ok(Some(Variable { name, value: unquote(value.trim())? }))
}

fn unquote(text: &str) -> Result<SecretValue, &'static str> {
    const OPEN: &str = "a quote is opened and not closed at the end of the line";
    match text.chars().next() {
        Some('\'') => {
            let inner = text[1..].strip_suffix('\'').ok_or(OPEN)?;
            Ok(SecretValue::new(inner.as_bytes().to_vec()))
        }
        Some('"') => unescape(&text[1..]),
        _ => Ok(SecretValue::new(text.as_bytes().to_vec())),
    }
}

/// What follows a double quote, up to the one that has to end it.
fn unescape(text: &str) -> Result<SecretValue, &'static str> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut chars = text.chars();
    loop {
        match chars.next() {
            None => return Err("a quote is opened and not closed at the end of the line"),
            Some('"') if chars.as_str().is_empty() => {
                return Ok(SecretValue::new(out.as_bytes().to_vec()));
            }
            Some('"') => return Err("something follows the closing quote"),
            Some('\\') => out.push(match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(c @ ('"' | '\\' | '$')) => c,
                _ => return Err("a backslash is followed by something that has no meaning"),
            }),
            Some(c) => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let text_of = |value: &SecretValue| value.expose_text().unwrap().to_owned();
        parse(text).unwrap().iter().map(|it| (it.name.to_string(), text_of(&it.value))).collect()
    }

    #[test]
    fn lines_are_read_as_they_stand() {
        let text = "# a comment\n\nexport A=1\r\nB = two words # kept \nC='a \"b\" \\n'\nD=\"x\\n\\\"y\\\"\"\nE=\nF=a=b";
        let wanted = [
            ("A", "1"),
            ("B", "two words # kept"),
            ("C", "a \"b\" \\n"),
            ("D", "x\n\"y\""),
            ("E", ""),
            ("F", "a=b"),
        ];
        assert_eq!(pairs(text), wanted.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn a_line_that_is_not_right_is_named_by_number_and_never_shown() {
        for bad in [
            "hunter2",
            "1A=hunter2",
            "A='hunter2",
            "A=\"hunter2",
            "A=\"hunter2\" x",
            "A=\"\\hunter2\"",
            "hunter 2=x",
            "A=hunter2\nA=1",
        ] {
            let problem = parse(&format!("OK=1\n{bad}\n")).unwrap_err();
            assert!(problem.detail.contains("line "), "{problem}");
            assert!(!problem.to_string().contains("hunter"), "{problem}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(?s).*") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_between_double_quotes_comes_back(value in "[^\r\n]*") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            proptest::prop_assert_eq!(pairs(&format!("A=\"{quoted}\"")), vec![("A".to_owned(), value)]);
        }
    }
}
