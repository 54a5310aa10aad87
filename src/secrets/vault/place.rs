//! Places as Vault's paths.

use crate::base::{Problem, Result, SecretRef};
use crate::secrets::Place;

/// A mount and a path below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) mount: String,
    pub(super) path: String,
}

impl At {
    /// Where a place is; `mount` is that of our own secrets.
    ///
    /// # Errors
    /// `invalid-request` where a declared mount or path is none.
    pub(super) fn of(place: &Place, mount: &str) -> Result<Self> {
        match place {
            Place::Ours(secret) => Ok(Self { mount: trim(mount).to_owned(), path: ours(secret) }),
            Place::Foreign { mount, path, .. } => {
                Ok(Self { mount: checked("mount", mount)?, path: checked("path", path)? })
            }
        }
    }

    /// As people and policies write it: `kv/data/reports/production/DATABASE_URL`.
    pub(super) fn below(&self, part: &str) -> String {
        format!("{}/{part}/{}", self.mount, self.path)
    }
}

fn ours(secret: &SecretRef) -> String {
    secret.to_string()
}

pub(super) fn trim(path: &str) -> &str {
    path.trim_matches('/')
}

/// A mount or path as it is asked for, without slashes around it.
///
/// # Errors
/// `invalid-request` for what a URL or a policy would read as something else.
pub(super) fn checked(what: &str, text: &str) -> Result<String> {
    let path = trim(text);
    if path.len() <= 512 && path.split('/').all(is_segment) && !path.ends_with('*') {
        return Ok(path.to_owned());
    }
    let shown: String = text.chars().take(80).collect();
    Err(Problem::invalid(format!("'{}' is no {what} in Vault that is taken here", shown.escape_debug()))
        .remedy("Write it without '..', empty parts, control characters and * + { } \" \\."))
}

/// `+` alone and a final `*` are patterns in a policy, braces its templates; the rest ends its text.
fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | ".." | "+")
        && segment.chars().all(|c| !c.is_control() && !matches!(c, '{' | '}' | '"' | '\\') && !turns(c))
}

/// Marks that make a text read in another order than it is.
fn turns(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_path_is_the_secret_as_it_is_written() {
        let place = Place::Ours("reports/sandbox@supa-team/DATABASE_URL".parse().unwrap());
        let at = At::of(&place, "/kv/").unwrap();
        assert_eq!(at.below("data"), "kv/data/reports/sandbox@supa-team/DATABASE_URL");
    }

    #[test]
    fn abuse_35_a_path_that_means_another_is_refused() {
        let long = "a".repeat(513);
        let bad = [
            "",
            "/",
            "a//b",
            "../a",
            "a/./b",
            "a/*",
            "a*",
            "+/a",
            "a/{{b}}",
            "a\"",
            "a\\b",
            "a\0",
            "a\u{202e}b",
        ];
        for bad in bad.into_iter().chain([long.as_str()]) {
            assert!(checked("path", bad).is_err(), "{bad:?}");
        }
        for good in ["a", "/team a/db+x/é%2F", "a/..b/c@d?e#f"] {
            assert_eq!(checked("path", good).unwrap(), good.trim_matches('/'), "{good}");
        }
    }
}
