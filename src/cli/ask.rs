//! Asking who sits at the terminal.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use zeroize::Zeroizing;

use super::output::note;
use crate::base::{Problem, ProblemKind, Result, SecretValue};

/// Asks whether to go on. Scripts say `--yes`.
///
/// # Errors
/// `invalid-request` where nobody can be asked; `conflict` where the answer is no.
pub fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Problem::invalid(format!("{question} Nobody is at a terminal to be asked"))
            .remedy("Where it is meant, say --yes."));
    }
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().take(64).read_line(&mut answer).map_err(unreadable)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Problem::conflict("nothing was done, because the answer was not yes"))
}

/// A value from the terminal, without echo, or all of standard input; one final newline of that is
/// taken off, and said so.
///
/// # Errors
/// `invalid-request` where nothing came, `too-large`.
pub fn value(prompt: &str) -> Result<SecretValue> {
    let value = if std::io::stdin().is_terminal() {
        SecretValue::from(rpassword::prompt_password(prompt).map_err(unreadable)?)
    } else {
        let (value, cut) = without_newline(read_bounded(std::io::stdin().lock())?);
        if cut {
            note("note: the final newline of standard input is not part of the value (--from-file keeps it)");
        }
        value
    };
    if value.is_empty() {
        return Err(Problem::invalid("no value came").remedy("Nothing was changed; enter or pipe one."));
    }
    Ok(value)
}

/// Reads a value to its end, no further than values may be long.
///
/// # Errors
/// `too-large`.
pub fn read_bounded(from: impl std::io::Read) -> Result<SecretValue> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    from.take(SecretValue::LONGEST as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > SecretValue::LONGEST {
        return Err(Problem::new(
            ProblemKind::TooLarge,
            format!("a value has {} bytes at most", SecretValue::LONGEST),
        ));
    }
    Ok(SecretValue::new(std::mem::take(&mut bytes)))
}

fn without_newline(value: SecretValue) -> (SecretValue, bool) {
    match value.expose().strip_suffix(b"\n") {
        Some(rest) => (SecretValue::new(rest.to_vec()), true),
        None => (value, false),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unreadable(error: std::io::Error) -> Problem {
    Problem::internal(format!("the input cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_final_newline_is_taken_off_and_no_more() {
        let cut = |text: &str| {
            let (value, cut) = without_newline(text.to_owned().into());
            (String::from_utf8(value.expose().to_vec()).unwrap(), cut)
        };
        assert_eq!(cut("a\n"), ("a".to_owned(), true));
        assert_eq!(cut("a\n\n"), ("a\n".to_owned(), true));
        assert_eq!(cut(" a "), (" a ".to_owned(), false));
        assert_eq!(cut("a\r\n"), ("a\r".to_owned(), true));
    }

    #[test]
    fn a_value_that_is_too_long_is_refused() {
        assert!(read_bounded(std::io::repeat(b'a')).unwrap_err().is(ProblemKind::TooLarge));
        assert_eq!(read_bounded(&b"a\0\xff\n"[..]).unwrap().expose(), b"a\0\xff\n");
    }
}
