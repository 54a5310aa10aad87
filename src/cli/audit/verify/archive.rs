//! An archive: what was moved out of a log, range by range.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    audit::{
        VerifierKey,
        verify::{
            archive::{ArchiveCheck, ArchiveReport, ArchivedTile, Manifest, Said},
            published::no_piece,
        },
    },
    base::{Problem, ProblemKind, Result},
    cli::output::progress_of,
};

/// Longest file of an archive that is read, in bytes.
const LONGEST: u64 = 64 * 1024 * 1024;

/// What was verified.
#[derive(Debug, Serialize)]
pub(super) struct Verified {
    #[serde(flatten)]
    report: ArchiveReport,
    /// What its signatures were verified with.
    keys: Vec<String>,
}

/// An archive in a folder.
pub(super) struct Folder {
    path: PathBuf,
    /// The ranges that it has a manifest of, the lowest first.
    ranges: Vec<(u64, u64)>,
}

impl Folder {
    /// The archive in a folder; nothing where that is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let manifests = path.join("manifest");
        let entries = match fs::read_dir(&manifests) {
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
                return Ok(None);
            }
            entries => entries.map_err(|error| super::unreadable(&manifests, &error))?,
        };
        let mut ranges = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| super::unreadable(&manifests, &error))?.file_name();
            let path = format!("manifest/{}", name.to_string_lossy());
            ranges.push(Manifest::range_of(&path).ok_or_else(|| {
                let detail = format!("{} is no file of an archive", path.escape_debug());
                Problem::new(ProblemKind::LogAltered, detail).with("path", path.clone())
            })?);
        }
        ranges.sort_unstable();
        Ok(Some(Self { path: path.to_owned(), ranges }))
    }

    /// Verifies every range of it on its own.
    pub(super) fn verify(&self, keys: &[VerifierKey]) -> Result<Verified> {
        let entries = self.ranges.iter().map(|(from, to)| to - from).sum();
        let bar = progress_of("verifying the archive".to_owned(), entries);
        let mut check = ArchiveCheck::default();
        for (from, to) in &self.ranges {
            check.range(&self.read(&Manifest::path(*from, *to))?, (*from, *to), keys)?;
            while let Some(number) = check.wanted() {
                check.take(&self.tile(number)?)?;
                bar.inc(256);
            }
        }
        for index in check.unheard() {
            check.hear(index, &self.read(&Said::path(index))?, keys)?;
        }
        bar.finish_and_clear();
        Ok(Verified { report: check.finish()?, keys: keys.iter().map(ToString::to_string).collect() })
    }
    fn tile(&self, number: u64) -> Result<ArchivedTile> {
        let [entries, hashes, openings] = ArchivedTile::paths(number);
        Ok(ArchivedTile {
            entries: self.read(&entries)?,
            hashes: self.read(&hashes)?,
            openings: self.read(&openings)?,
        })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.path.join(path);
        let size = match fs::metadata(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_piece(path)),
            size => size.map_err(|error| super::unreadable(&file, &error))?.len(),
        };
        if size > LONGEST {
            let detail = format!("{path} is longer than a file of an archive can be");
            return Err(Problem::new(ProblemKind::LogAltered, detail).with("path", path.to_owned()));
        }
        fs::read(&file).map_err(|error| super::unreadable(&file, &error))
    }
}

pub(super) fn say(verified: &Verified) -> String {
    let ArchiveReport { entries, ranges, present, forgotten } = &verified.report;
    let ranges: Vec<String> = ranges.iter().map(|(from, to)| format!("{from} to {}", to - 1)).collect();
    let which = if ranges.is_empty() { "none".to_owned() } else { ranges.join(", ") };
    let keys = verified.keys.join("\nkey ");
    format!(
        "{entries} entries, whole: {which} of the log as it was signed\n\
         {present} openings fit, {forgotten} were forgotten\nkey {keys}\n"
    )
}
