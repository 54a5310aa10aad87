//! What a CI job or a pod brings with it to say who it is.

use std::path::PathBuf;

use url::Url;

use crate::{
    base::{Problem, ProblemKind, Result, SecretValue},
    client::JobToken,
};

/// Longest file that may hold a token, in bytes.
const LONGEST_FILE: u64 = 64 * 1024;

/// Variables that CI systems and pods set. Read once, handed in.
#[derive(Debug, Default)]
pub struct JobVariables {
    /// ACTIONS_ID_TOKEN_REQUEST_URL: where a job of GitHub's asks for its token.
    pub actions_url: Option<String>,
    /// ACTIONS_ID_TOKEN_REQUEST_TOKEN: by what it asks.
    pub actions_token: Option<SecretValue>,
    /// PORTCTL_ID_TOKEN: the token itself, as GitLab's jobs get it.
    pub id_token: Option<SecretValue>,
    /// PORTCTL_TOKEN_FILE: a file that holds it, as pods have it.
    pub token_file: Option<PathBuf>,
    /// PORTCTL_WORKLOAD: which workload it is, where its token fits several.
    pub workload: Option<String>,
}

impl JobVariables {
    /// The way to the job's own token, where it has one. What was set for portctl comes before what the CI
    /// system sets for everybody.
    ///
    /// # Errors
    /// `invalid-configuration` where a variable does not hold what it should.
    pub fn token(&self) -> Result<Option<JobToken>> {
        if let Some(token) = &self.id_token {
            return Ok(Some(JobToken::Given(token.clone())));
        }
        if let Some(path) = &self.token_file {
            return read(path).map(|token| Some(JobToken::Given(token)));
        }
        match (&self.actions_url, &self.actions_token) {
            (Some(url), Some(token)) => {
                let url: Url =
                    url.parse().map_err(|_| wrong("ACTIONS_ID_TOKEN_REQUEST_URL is no address"))?;
                Ok(Some(JobToken::Asked { url, by: token.clone() }))
            }
            _ => Ok(None),
        }
    }
}

fn read(path: &std::path::Path) -> Result<SecretValue> {
    let unreadable =
        |why: &dyn std::fmt::Display| wrong(&format!("PORTCTL_TOKEN_FILE, {}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if size > LONGEST_FILE {
        return Err(unreadable(&"it is too long for a token"));
    }
    let bytes = zeroize::Zeroizing::new(std::fs::read(path).map_err(|error| unreadable(&error))?);
    let token = SecretValue::new(bytes.trim_ascii().to_vec());
    if token.is_empty() { Err(unreadable(&"it is empty")) } else { Ok(token) }
}

fn wrong(what: &str) -> Problem {
    Problem::new(ProblemKind::InvalidConfiguration, what.to_owned())
        .remedy("docs/workloads.md says what a job has to bring.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_for_portctl_comes_first() {
        let mut job = JobVariables {
            actions_url: Some("https://ci.example.com/token?x=1".to_owned()),
            actions_token: Some("by".to_owned().into()),
            ..JobVariables::default()
        };
        assert!(matches!(job.token().unwrap(), Some(JobToken::Asked { .. })));
        job.id_token = Some("own".to_owned().into());
        assert!(matches!(job.token().unwrap(), Some(JobToken::Given(token)) if token.expose() == b"own"));
        assert!(JobVariables::default().token().unwrap().is_none());
    }

    #[test]
    fn a_file_is_read_without_the_line_that_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "a.b.c\n").unwrap();
        assert_eq!(read(&path).unwrap().expose(), b"a.b.c");
        std::fs::write(&path, "\n").unwrap();
        let problem = read(&path).unwrap_err();
        assert!(problem.detail.contains("empty") && read(&folder.path().join("none")).is_err());
    }
}
