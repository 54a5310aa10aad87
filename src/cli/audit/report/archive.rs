//! The archive: what is in it besides the entries, and how it is written.

use std::{fs::File, io::Write as _, path::Path};

use askama::Template;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{
    Period,
    controls::{CONTROLS, Control},
    populations::Table,
};
use crate::{
    audit::{Checkpoint, VerifierKey, csv::row},
    base::{Problem, ProblemKind, Result, hex},
    cli::credentials::private_file,
};

/// The page that an auditor reads first.
#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page<'r> {
    server: &'r str,
    origin: &'r str,
    from: String,
    to: String,
    first: u64,
    end: u64,
    entries: u64,
    size: u64,
    root: String,
    keys: Vec<String>,
    tables: &'r [Table],
    controls: &'static [Control],
}

/// How to verify it without us.
#[derive(Template)]
#[template(path = "report.txt", escape = "none")]
struct Verify<'r, 'p> {
    page: &'r Page<'p>,
}

impl<'r> Page<'r> {
    pub(super) fn new(
        server: &'r str,
        period: &Period,
        checkpoint: &'r Checkpoint,
        entries: u64,
        keys: &[VerifierKey],
        tables: &'r [Table],
    ) -> Self {
        Self {
            server,
            origin: &checkpoint.origin,
            from: period.from.to_string(),
            to: period.to.to_string(),
            first: period.first,
            end: period.end,
            entries,
            size: checkpoint.size,
            root: hex::encode(&checkpoint.root),
            keys: keys.iter().map(ToString::to_string).collect(),
            tables,
            controls: CONTROLS,
        }
    }
}

/// A ZIP file under way.
pub(super) struct Archive<'p> {
    path: &'p Path,
    zip: ZipWriter<File>,
}

impl<'p> Archive<'p> {
    /// Begins one.
    ///
    /// # Errors
    /// `already-exists`; `invalid-request` where it cannot be written.
    pub(super) fn create(path: &'p Path) -> Result<Self> {
        let file = private_file(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Problem::new(ProblemKind::AlreadyExists, format!("{} is there already", path.display()))
                    .remedy("Name another file: --file FILE.")
            }
            _ => cannot_write(path, &error.to_string()),
        })?;
        Ok(Self { path, zip: ZipWriter::new(file) })
    }

    /// Begins a file in it.
    pub(super) fn begin(&mut self, name: &str) -> Result<()> {
        // No times: the same entries make the same archive.
        let options =
            SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true);
        self.zip.start_file(name, options).map_err(|error| cannot_write(self.path, &error.to_string()))
    }

    /// Goes on with it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.zip.write_all(bytes).map_err(|error| cannot_write(self.path, &error.to_string()))
    }

    /// A whole file.
    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.begin(name)?;
        self.write(bytes)
    }

    /// A file for each table.
    pub(super) fn tables(&mut self, tables: &[Table]) -> Result<()> {
        for table in tables {
            self.begin(table.file)?;
            self.write(row(&table.columns).as_bytes())?;
            for cells in &table.rows {
                let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
                self.write(row(&cells).as_bytes())?;
            }
        }
        Ok(())
    }

    /// What is read by people.
    pub(super) fn pages(&mut self, page: &Page<'_>) -> Result<()> {
        let failed = |error: askama::Error| Problem::internal(format!("a page cannot be written: {error}"));
        self.file("index.html", page.render().map_err(failed)?.as_bytes())?;
        self.file("VERIFY.txt", Verify { page }.render().map_err(failed)?.as_bytes())
    }

    /// The end of it.
    pub(super) fn finish(self) -> Result<()> {
        let file = self.zip.finish().map_err(|error| cannot_write(self.path, &error.to_string()))?;
        file.sync_all().map_err(|error| cannot_write(self.path, &error.to_string()))
    }
}

fn cannot_write(path: &Path, why: &str) -> Problem {
    Problem::invalid(format!("{} cannot be written: {why}", path.display()))
        .remedy("Name another file: --file FILE.")
}
