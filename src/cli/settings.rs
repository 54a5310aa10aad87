//! Flags, variables and `portctl.toml`: a flag beats a variable, a variable beats the file.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::JobVariables;
use crate::{
    base::{Problem, ProblemKind, Result, SecretValue},
    client::ServerUrl,
};

/// The name of the file that is looked for, from the working folder upwards.
const FILE: &str = "portctl.toml";
/// Longest such file, in bytes.
const LONGEST_FILE: u64 = 64 * 1024;

/// What is around the program: variables and the working folder. Read once, handed in.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// PORTCTL_SERVER.
    pub server: Option<String>,
    /// PORTCTL_TOKEN.
    pub token: Option<SecretValue>,
    /// What a CI job or a pod brings with it.
    pub job: JobVariables,
    /// PORTCTL_APPLICATION.
    pub application: Option<String>,
    /// PORTCTL_ENVIRONMENT.
    pub environment: Option<String>,
    /// XDG_CONFIG_HOME.
    pub config_home: Option<PathBuf>,
    /// HOME.
    pub home: Option<PathBuf>,
    /// The working folder.
    pub folder: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            server: text("PORTCTL_SERVER"),
            token: text("PORTCTL_TOKEN").map(SecretValue::from),
            job: JobVariables {
                actions_url: text("ACTIONS_ID_TOKEN_REQUEST_URL"),
                actions_token: text("ACTIONS_ID_TOKEN_REQUEST_TOKEN").map(SecretValue::from),
                id_token: text("PORTCTL_ID_TOKEN").map(SecretValue::from),
                token_file: variable("PORTCTL_TOKEN_FILE").map(PathBuf::from),
                workload: text("PORTCTL_WORKLOAD"),
            },
            application: text("PORTCTL_APPLICATION"),
            environment: text("PORTCTL_ENVIRONMENT"),
            config_home: folder("XDG_CONFIG_HOME"),
            home: folder("HOME"),
            folder: std::env::current_dir().ok(),
        }
    }
}

/// A variable; an empty one counts as none.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    variable(name).and_then(|value| value.into_string().ok())
}

/// A folder; the XDG specification ignores relative ones.
fn folder(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// What `portctl.toml` may hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Option<String>,
    application: Option<String>,
    environment: Option<String>,
}

/// Where a default comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A variable.
    Variable,
    /// `portctl.toml`.
    File,
}

/// Flags, variables and `portctl.toml` together.
#[derive(Debug)]
pub struct Settings {
    flag_server: Option<String>,
    surroundings: Surroundings,
}

impl Settings {
    /// Settings of one run.
    #[must_use]
    pub fn new(flag_server: Option<String>, surroundings: Surroundings) -> Self {
        Self { flag_server, surroundings }
    }

    /// The server that is named.
    ///
    /// # Errors
    /// `invalid-request` where what is named is no address.
    pub fn server(&self) -> Result<Option<ServerUrl>> {
        let named = self.flag_server.clone().or_else(|| self.surroundings.server.clone());
        let named = match named {
            Some(text) => Some(text),
            None => self.file()?.server,
        };
        named.map(|text| text.parse().map_err(Problem::invalid)).transpose()
    }

    /// PORTCTL_TOKEN.
    #[must_use]
    pub fn token(&self) -> Option<SecretValue> {
        self.surroundings.token.clone()
    }

    /// What a CI job or a pod brings with it.
    #[must_use]
    pub fn job(&self) -> &JobVariables {
        &self.surroundings.job
    }

    /// The default application.
    ///
    /// # Errors
    /// `invalid-configuration` where `portctl.toml` cannot be read.
    pub fn application(&self) -> Result<Option<String>> {
        match &self.surroundings.application {
            Some(name) => Ok(Some(name.clone())),
            None => Ok(self.file()?.application),
        }
    }

    /// The default environment, and who says so.
    ///
    /// # Errors
    /// As [`Self::application`].
    pub fn environment(&self) -> Result<Option<(String, Origin)>> {
        match &self.surroundings.environment {
            Some(name) => Ok(Some((name.clone(), Origin::Variable))),
            None => Ok(self.file()?.environment.map(|name| (name, Origin::File))),
        }
    }

    /// `portctl` in the user's folder of configuration.
    ///
    /// # Errors
    /// `invalid-configuration` where neither HOME nor XDG_CONFIG_HOME is set.
    pub fn config_folder(&self) -> Result<PathBuf> {
        let home = self.surroundings.home.as_ref().map(|home| home.join(".config"));
        self.surroundings.config_home.clone().or(home).map(|folder| folder.join("portctl")).ok_or_else(|| {
            Problem::new(ProblemKind::InvalidConfiguration, "there is no home to keep credentials in")
                .remedy("Set HOME or XDG_CONFIG_HOME, or hand the token in by PORTCTL_TOKEN.")
        })
    }

    fn file(&self) -> Result<File> {
        let Some(folder) = &self.surroundings.folder else { return Ok(File::default()) };
        match folder.ancestors().map(|folder| folder.join(FILE)).find(|path| path.is_file()) {
            Some(path) => read(&path),
            None => Ok(File::default()),
        }
    }
}

fn read(path: &Path) -> Result<File> {
    let wrong = |why: &str| {
        Problem::new(ProblemKind::InvalidConfiguration, format!("{}: {why}", path.display()))
            .remedy("It may hold `server`, `application` and `environment`, each a text.")
    };
    let size = std::fs::metadata(path).map_err(|e| wrong(&e.to_string()))?.len();
    if size > LONGEST_FILE {
        return Err(wrong("the file is too long"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e.to_string()))?;
    // Only the message: the file's own lines are nobody else's business.
    toml::from_str(&text).map_err(|e| wrong(e.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str) -> (tempfile::TempDir, Surroundings) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let deep = folder.path().join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        (folder, Surroundings { folder: Some(deep), ..Surroundings::default() })
    }

    #[test]
    fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
        let (_folder, mut around) = with_file("server = 'https://file'\nenvironment = 'sandbox'");
        around.server = Some("https://variable".to_owned());
        let settings = Settings::new(Some("https://flag".to_owned()), around);
        assert_eq!(settings.server().unwrap().unwrap().as_text(), "https://flag");
        let mut settings = Settings { flag_server: None, ..settings };
        assert_eq!(settings.server().unwrap().unwrap().as_text(), "https://variable");
        settings.surroundings.server = None;
        assert_eq!(settings.server().unwrap().unwrap().as_text(), "https://file");
        assert_eq!(settings.environment().unwrap(), Some(("sandbox".to_owned(), Origin::File)));
        settings.surroundings.environment = Some("test".to_owned());
        assert_eq!(settings.environment().unwrap(), Some(("test".to_owned(), Origin::Variable)));
    }

    #[test]
    fn an_unknown_key_of_the_file_is_refused() {
        let (_folder, around) = with_file("sever = 'https://file'");
        let problem = Settings::new(None, around).server().unwrap_err();
        assert!(
            problem.is(ProblemKind::InvalidConfiguration) && problem.detail.contains("sever"),
            "{problem}"
        );
    }
}
