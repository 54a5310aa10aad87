//! A log as it is published, at an address or in a folder.

use std::{collections::BTreeMap, fs, io::ErrorKind, path::PathBuf};

use super::{Verified, ahead, by_any};
use crate::{
    audit::{
        Checkpoint, VerifierKey,
        verify::published::{Piece, PublishedCheck, no_piece},
        witness::WitnessPolicy,
    },
    base::{Problem, ProblemKind, Result},
    cli::{Context, output::progress_of},
    client::{Client, ServerUrl},
};

/// Longest file of a log that is read, in bytes: 256 of the longest entries.
const LONGEST: u64 = 256 * (65_535 + 2);

/// Where it is.
pub(super) enum At {
    Url(Box<Client>),
    Folder(Folder),
}

impl At {
    /// What was named, if anything was.
    pub(super) fn new(
        context: &Context,
        url: Option<ServerUrl>,
        dir: Option<PathBuf>,
    ) -> Result<Option<Self>> {
        if let Some(url) = url {
            let server = url.without("/audit/log");
            // A token goes to the server that it is for, whatever is asked to be verified.
            let is_ours = context.server().is_ok_and(|ours| ours == server);
            let token = if is_ours { context.token(&server)? } else { None };
            return Ok(Some(Self::Url(Box::new(Client::new(server, token, context.ambient.clone())?))));
        }
        dir.map(|path| Folder::open(path).map(Self::Folder)).transpose()
    }

    async fn checkpoint(&self) -> Result<String> {
        match self {
            Self::Url(client) => client.audit_checkpoint().await,
            Self::Folder(folder) => {
                let bytes = folder.read("checkpoint")?;
                let wrong = |_| Problem::new(ProblemKind::LogAltered, "the checkpoint is no text");
                String::from_utf8(bytes).map_err(wrong)
            }
        }
    }

    async fn piece(&self, piece: &Piece) -> Result<Vec<u8>> {
        match self {
            Self::Url(client) => client.audit_piece(piece).await,
            Self::Folder(folder) => folder.read(&piece.path()),
        }
    }
}

/// Verifies it whole, against its checkpoint and against an older one.
pub(super) async fn verify(
    at: &At,
    keys: &[VerifierKey],
    since: Option<Checkpoint>,
    policy: Option<WitnessPolicy>,
) -> Result<Verified> {
    // Asked for first: so the newest one is not smaller.
    let (cosigned, mut witnessed) = match at {
        At::Url(client) => super::witnessed(client, keys, policy.clone()).await?,
        At::Folder(_) => (None, None),
    };
    let note = at.checkpoint().await?;
    if let (At::Folder(_), Some(policy)) = (at, policy) {
        witnessed = Some(policy.judge(&note)?);
    }
    let (checkpoint, key) =
        by_any(keys, |key| Checkpoint::open(&note, key).map(|checkpoint| (checkpoint, key.clone())))?;
    if let At::Folder(folder) = at {
        folder.refuse_beyond(checkpoint.size)?;
    }
    let seen_before = since.as_ref().map(|it| it.size);
    let mut check = PublishedCheck::new(checkpoint.clone(), since.into_iter().chain(cosigned).collect())?;
    let bar = progress_of("verifying the log".to_owned(), checkpoint.size);
    if let At::Folder(folder) = at {
        ahead::verify(folder, &mut check, |entries| bar.set_position(entries))?;
    }
    while let Some(piece) = check.wanted() {
        let bytes = at.piece(&piece).await?;
        check.take(&bytes)?;
        if let At::Folder(folder) = at {
            folder.compare_older(&piece, &bytes)?;
        }
        bar.set_position(check.size());
    }
    bar.finish_and_clear();
    check.finish()?;
    Ok(Verified::new(checkpoint, seen_before, &key, witnessed))
}

/// A folder with `checkpoint` and `tile/…`.
pub(super) struct Folder {
    path: PathBuf,
    /// Partial files beside those that are wanted: what was published of them before.
    partial: BTreeMap<String, Vec<u64>>,
    /// Every file below `tile`, where its name is that of a file of a log.
    pieces: Vec<Piece>,
}

impl Folder {
    fn open(path: PathBuf) -> Result<Self> {
        let mut folder = Self { path, partial: BTreeMap::new(), pieces: Vec::new() };
        if !folder.path.is_dir() {
            let detail = format!("{} is no folder", folder.path.display());
            return Err(Problem::invalid(detail).remedy("Name the folder that `checkpoint` lies in."));
        }
        let mut open = vec!["tile".to_owned()];
        while let Some(below) = open.pop() {
            for name in folder.names(&below)? {
                let path = format!("{below}/{name}");
                if folder.path.join(&path).is_dir() {
                    open.push(path);
                } else {
                    folder.note(&path)?;
                }
            }
        }
        Ok(folder)
    }

    fn names(&self, below: &str) -> Result<Vec<String>> {
        let path = self.path.join(below);
        let unreadable = |error: std::io::Error| super::unreadable(&path, &error);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unreadable)?,
        };
        entries.map(|it| Ok(it.map_err(unreadable)?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn note(&mut self, path: &str) -> Result<()> {
        let Some(piece) = Piece::from_path(path) else {
            let detail = format!("{} is no file of a log", path.escape_debug());
            return Err(Problem::new(ProblemKind::LogAltered, detail).with("path", path.to_owned()));
        };
        if let Some((whole, _)) = path.split_once(".p/") {
            self.partial.entry(whole.to_owned()).or_default().push(piece.width());
        }
        self.pieces.push(piece);
        Ok(())
    }

    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.path.join(path);
        let size = match fs::metadata(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_piece(path)),
            size => size.map_err(|error| super::unreadable(&file, &error))?.len(),
        };
        if size > LONGEST {
            let detail = format!("{path} is longer than a file of a log can be");
            return Err(Problem::new(ProblemKind::LogAltered, detail).with("path", path.to_owned()));
        }
        fs::read(&file).map_err(|error| super::unreadable(&file, &error))
    }

    /// Nothing lies here that was not signed.
    fn refuse_beyond(&self, size: u64) -> Result<()> {
        match self.pieces.iter().find(|piece| !piece.is_within(size)) {
            None => Ok(()),
            Some(beyond) => {
                let detail = format!("{} lies beyond the {size} entries that were signed", beyond.path());
                Err(Problem::new(ProblemKind::LogAltered, detail).with("path", beyond.path()))
            }
        }
    }

    /// Holds what was published of a file before against what it came to.
    pub(super) fn compare_older(&self, piece: &Piece, whole: &[u8]) -> Result<()> {
        let path = piece.path();
        let stem = path.split_once(".p/").map_or(path.as_str(), |(stem, _)| stem);
        for width in self.partial.get(stem).into_iter().flatten().filter(|it| **it < piece.width()) {
            let older = piece.narrower(*width);
            if Some(self.read(&older.path())?.as_slice()) != piece.beginning(whole, *width) {
                let detail = format!("{} is not how {path} begins", older.path());
                return Err(Problem::new(ProblemKind::LogAltered, detail).with("path", older.path()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_none_is_a_mistake_of_whoever_names_it() {
        let problem = Folder::open(PathBuf::from("/nowhere/at/all")).err().unwrap();
        assert_eq!(problem.kind.exit_code(), 2);
    }
}
