//! The folder that `dev` keeps everything in.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::{
    base::{Ambient, Problem, ProblemKind, Result},
    keys::MasterKey,
};

/// Where it is unless somebody says otherwise.
pub(super) const DEFAULT: &str = "port-control-dev";
/// The file by which a folder is known to be ours.
const MARK: &str = "made-by-port-control-dev";
const DATABASE: &str = "port-control.db";
const MASTER_KEY: &str = "master-key";
const CLUSTERS: &str = "clusters";

/// A folder of ours.
pub(super) struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// Opens a folder: the one named, else a temporary one where the story is only to be played, else
    /// the default one. `reset` empties it first.
    pub(super) fn open(named: Option<&Path>, once: bool, reset: bool, ambient: &Ambient) -> Result<Self> {
        let temporary = named.is_none() && once;
        let path = match named {
            Some(path) => path.to_owned(),
            None if once => {
                std::env::temp_dir().join(format!("port-control-dev-{}", ambient.uuid().as_simple()))
            }
            None => PathBuf::from(DEFAULT),
        };
        let folder = Self { path, temporary };
        folder.prepare(reset, ambient)?;
        Ok(folder)
    }

    fn prepare(&self, reset: bool, ambient: &Ambient) -> Result<()> {
        if self.path.exists() {
            self.refuse_foreign()?;
            if reset {
                fs::remove_dir_all(&self.path).map_err(|error| self.failed(&error))?;
            }
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|error| self.failed(&error))?;
        fs::write(self.path.join(MARK), "").map_err(|error| self.failed(&error))?;
        if self.master_key().exists() { Ok(()) } else { MasterKey::create_file(&self.master_key(), ambient) }
    }

    /// Nothing is put into, or taken out of, a folder that somebody else fills.
    fn refuse_foreign(&self) -> Result<()> {
        let mut entries = fs::read_dir(&self.path).map_err(|error| self.failed(&error))?;
        if self.path.join(MARK).exists() || entries.next().is_none() {
            return Ok(());
        }
        Err(Problem::new(
            ProblemKind::InvalidConfiguration,
            format!(
                "the folder {} holds something that `port-control dev` did not make",
                self.path.display()
            ),
        )
        .remedy("Name another: `--data DIR`."))
    }

    fn failed(&self, error: &io::Error) -> Problem {
        Problem::new(
            ProblemKind::InvalidConfiguration,
            format!("the folder {} cannot be used: {error}", self.path.display()),
        )
        .remedy("Name another: `--data DIR`.")
    }

    pub(super) fn database_url(&self) -> String {
        format!("sqlite:{}", self.path.join(DATABASE).display())
    }

    pub(super) fn master_key(&self) -> PathBuf {
        self.path.join(MASTER_KEY)
    }

    /// Where the directory target keeps the manifests of a cluster.
    pub(super) fn cluster(&self, name: &str) -> PathBuf {
        self.path.join(CLUSTERS).join(name)
    }

    /// Removes it where it was there for one story only.
    pub(super) fn close(self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, folder = %self.path.display(), "the temporary folder stays behind");
        }
    }
}
