//! `portctl secret get`

use std::{
    fs::File,
    io::{IsTerminal as _, Write as _},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use crate::{
    base::{Problem, Result, SecretValue},
    cli::{
        Context, DONE, SecretArgs,
        credentials::private_file,
        output::{note, write_bytes},
    },
    client::Value,
};

/// Print a value, and nothing else.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    secret: SecretArgs,
    /// That of this version instead of the current one.
    #[arg(long, value_name = "N")]
    version: Option<i64>,
    /// Write it to a new file that only you can read.
    #[arg(long, value_name = "FILE")]
    to_file: Option<PathBuf>,
}

impl Command {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<u8> {
        let at = self.secret.resolve(context).await?;
        let client = context.client()?;
        // Made before the value is asked for: what cannot be written is not revealed.
        let file = self.to_file.as_deref().map(create).transpose()?;
        let value = match client.reveal(&at, self.version).await {
            Ok(value) => value,
            Err(problem) => {
                if let Some(path) = &self.to_file {
                    let _ = std::fs::remove_file(path);
                }
                return Err(problem);
            }
        };
        match file {
            Some(file) => write_file(file, &value.value)?,
            None if context.output.is_json() => write_json(&value)?,
            None => write_plain(&value.value)?,
        }
        Ok(DONE)
    }
}

fn create(path: &Path) -> Result<File> {
    private_file(path).map_err(|e| {
        Problem::invalid(format!("{} cannot be made: {e}", path.display()))
            .remedy("Name a file that is not there yet.")
    })
}

fn write_file(mut file: File, value: &SecretValue) -> Result<()> {
    file.write_all(value.expose())
        .and_then(|()| file.sync_all())
        .map_err(|e| Problem::internal(format!("the file cannot be written: {e}")))
}

/// The one place where a value becomes JSON: its owner asked for it in that form.
fn write_json(value: &Value) -> Result<()> {
    let (encoding, text) = match value.value.expose_text() {
        Some(text) => ("utf8", Zeroizing::new(text.to_owned())),
        None => ("base64", Zeroizing::new(data_encoding::BASE64.encode(value.value.expose()))),
    };
    let answer = serde_json::json!({
        "name": value.name, "version": value.version, "encoding": encoding, "value": text.as_str(),
    });
    write_bytes(Zeroizing::new(format!("{answer}\n")).as_bytes())
}

fn write_plain(value: &SecretValue) -> Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let readable = value.expose_text().filter(|text| !terminal || is_calm(text));
    if readable.is_none() && (terminal || !is_file()) {
        return Err(
            Problem::invalid("the value is binary and goes to a file only").remedy("Say --to-file FILE.")
        );
    }
    write_bytes(value.expose())?;
    if terminal && !value.expose().ends_with(b"\n") {
        // On standard error, so that standard output has the value alone.
        note("");
    }
    Ok(())
}

/// Whether a text does nothing to a terminal.
fn is_calm(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
}

/// Whether standard output is a file.
fn is_file() -> bool {
    let owned = std::io::stdout().as_fd().try_clone_to_owned();
    owned.ok().and_then(|fd| File::from(fd).metadata().ok()).is_some_and(|it| it.is_file())
}
