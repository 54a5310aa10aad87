//! `portctl audit export`

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{FilterArgs, borrowed};
use crate::{
    base::{Problem, Result},
    cli::{
        Context, DONE,
        credentials::private_file,
        output::{note, progress},
    },
};

/// Write entries into a file that can be verified without the server.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    filter: FilterArgs,
    /// The file; only you can read it. One that is there is not touched.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// ndjson, which can be verified; csv for spreadsheets; cloudevents or ocsf for a SIEM.
    #[arg(long, default_value = "ndjson", value_parser = ["ndjson", "csv", "cloudevents", "ocsf"])]
    format: String,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let mut query = self.filter.query()?;
        query.push(("format", self.format.clone()));
        let client = context.client()?;
        let mut export = client.audit_export(&borrowed(&query)).await?;
        let failed = |error: std::io::Error| cannot_write(&self.file, &error);
        let mut file = private_file(&self.file).map_err(failed)?;
        let bar = progress("exporting the log".to_owned());
        let mut written = Ok(0);
        loop {
            match export.next().await {
                Ok(None) => break,
                Ok(Some(piece)) => {
                    file.write_all(&piece).map_err(failed)?;
                    written = written.map(|n| n + piece.len());
                }
                Err(problem) => {
                    written = Err(problem);
                    break;
                }
            }
        }
        bar.finish_and_clear();
        // Half an export is none.
        let written = written.inspect_err(|_| drop(fs::remove_file(&self.file)))?;
        file.sync_all().map_err(failed)?;
        let shown = self.file.display();
        if self.format == "ndjson" {
            note(&format!("{written} bytes in {shown}; verify them: `portctl audit verify --file {shown}`"));
        } else {
            note(&format!("{written} bytes in {shown}; what can be verified is --format ndjson"));
        }
        Ok(DONE)
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Problem {
    Problem::invalid(format!("{} cannot be written: {error}", path.display())).remedy("Name another file.")
}
