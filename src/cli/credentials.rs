//! Where tokens are kept: the system's keyring, else a file that only its owner can read.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keyring;
use crate::{
    base::{Problem, ProblemKind, Result, SecretValue},
    client::ServerUrl,
};

/// A token that is kept.
#[derive(Debug)]
pub struct Kept {
    /// The token.
    pub token: SecretValue,
}

/// The tokens of one user.
#[derive(Debug)]
pub struct Credentials {
    folder: PathBuf,
    keyring: bool,
}

/// What the file holds. Tokens are text here and nowhere else.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The server signed in to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// Token by server.
    #[serde(default)]
    tokens: BTreeMap<String, String>,
}

impl Credentials {
    /// Those of the user whose folder of configuration this is.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder, keyring: true }
    }

    /// The token for a server.
    ///
    /// # Errors
    /// `invalid-configuration` where the file is open to others or cannot be read.
    pub fn get(&self, server: &ServerUrl) -> Result<Option<Kept>> {
        if let Some(token) = self.keyring.then(|| keyring::get(&self.folder, server.as_text())).flatten() {
            return Ok(Some(Kept { token }));
        }
        let token = self.read()?.tokens.remove(server.as_text());
        Ok(token.map(|token| Kept { token: token.into() }))
    }

    /// Keeps the token for a server, in place of an older one.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn keep(&self, server: &ServerUrl, token: &SecretValue) -> Result<()> {
        let mut file = self.read()?;
        file.server = Some(server.as_text().to_owned());
        file.tokens.remove(server.as_text());
        if !(self.keyring && keyring::set(&self.folder, server.as_text(), token)) {
            let text = token.expose_text().ok_or_else(|| Problem::internal("a token is not text"))?;
            file.tokens.insert(server.as_text().to_owned(), text.to_owned());
        }
        self.write(&file)
    }

    /// Forgets the token for a server.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn forget(&self, server: &ServerUrl) -> Result<()> {
        if self.keyring {
            keyring::forget(&self.folder, server.as_text());
        }
        let mut file = self.read()?;
        if file.tokens.remove(server.as_text()).is_some() {
            self.write(&file)?;
        }
        Ok(())
    }

    /// The server signed in to last.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn last_server(&self) -> Result<Option<String>> {
        Ok(self.read()?.server)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("credentials.json")
    }

    fn read(&self) -> Result<File> {
        let path = self.path();
        match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(File::default()),
            Err(error) => return Err(unreadable(&path, &error.to_string())),
            Ok(found) => refuse_wide(&path, &found)?,
        }
        let text = Zeroizing::new(fs::read_to_string(&path).map_err(|e| unreadable(&path, &e.to_string()))?);
        // What serde says may hold a piece of the file, so it is left out.
        serde_json::from_str(&text).map_err(|_| unreadable(&path, "it is damaged"))
    }

    /// Writes beside the file and renames, so that no moment leaves half a file.
    fn write(&self, file: &File) -> Result<()> {
        let path = self.path();
        let failed = |e: std::io::Error| unreadable(&path, &e.to_string());
        let text =
            Zeroizing::new(serde_json::to_vec_pretty(file).map_err(|e| Problem::internal(e.to_string()))?);
        private_folder(&self.folder).map_err(failed)?;
        let beside = self.folder.join(format!("credentials.json.{}", std::process::id()));
        let written =
            private_file(&beside).and_then(|mut open| open.write_all(&text).and_then(|()| open.sync_all()));
        written.and_then(|()| fs::rename(&beside, &path)).map_err(|error| {
            let _ = fs::remove_file(&beside);
            failed(error)
        })
    }
}

#[cfg(unix)]
fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes a file that only its owner can read; refuses one that is there.
#[cfg(unix)]
pub(super) fn private_file(path: &Path) -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(unix)]
fn refuse_wide(path: &Path, found: &fs::Metadata) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = found.permissions().mode() & 0o777;
    if mode.trailing_zeros() >= 6 {
        // Neither the group nor anybody else has any right.
        return Ok(());
    }
    let shown = path.display();
    Err(Problem::new(
        ProblemKind::InvalidConfiguration,
        format!("{shown} holds tokens and is open to others (mode {mode:04o})"),
    )
    .remedy(format!("Close it: `chmod 600 {shown}`; sign out and in again where others may have read it.")))
}

fn unreadable(path: &Path, why: &str) -> Problem {
    let shown = path.display();
    Problem::new(ProblemKind::InvalidConfiguration, format!("the credentials in {shown}: {why}"))
        .remedy(format!("Mend or remove {shown}, then sign in: `portctl login`."))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn credentials(folder: &Path) -> Credentials {
        Credentials { folder: folder.join("portctl"), keyring: false }
    }

    fn server() -> ServerUrl {
        "https://pc.example.com/".parse().unwrap()
    }

    #[test]
    fn a_token_is_kept_for_its_server_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = credentials(folder.path());
        assert!(credentials.get(&server()).unwrap().is_none());
        credentials.keep(&server(), &"t".to_owned().into()).unwrap();
        assert_eq!(credentials.get(&server()).unwrap().unwrap().token.expose(), b"t");
        assert!(credentials.get(&"https://other".parse().unwrap()).unwrap().is_none());
        assert_eq!(credentials.last_server().unwrap().unwrap(), "https://pc.example.com");
        credentials.forget(&server()).unwrap();
        assert!(credentials.get(&server()).unwrap().is_none());
    }

    #[test]
    fn file_and_folder_are_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = credentials(folder.path());
        credentials.keep(&server(), &"t".to_owned().into()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&credentials.path()), 0o600);
        assert_eq!(mode(&credentials.folder), 0o700);
    }

    #[test]
    fn a_wider_mode_is_refused_with_the_command_that_closes_it() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = credentials(folder.path());
        credentials.keep(&server(), &"t".to_owned().into()).unwrap();
        fs::set_permissions(credentials.path(), fs::Permissions::from_mode(0o640)).unwrap();
        let problem = credentials.get(&server()).unwrap_err();
        assert!(problem.remedy.unwrap().contains("chmod 600"));
        assert!(credentials.keep(&server(), &"t".to_owned().into()).is_err());
    }

    #[test]
    fn a_damaged_file_is_told_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = credentials(folder.path());
        private_folder(&credentials.folder).unwrap();
        private_file(&credentials.path()).unwrap().write_all(b"{\"tokens\": hunter2").unwrap();
        let problem = credentials.get(&server()).unwrap_err();
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
}
