//! `portctl run`

mod leases;

use std::{ffi::OsString, process::Command as Process};

use clap::Args;

use super::{Context, EnvironmentArgs, output::note, printable};
use crate::{
    base::{Name, Problem, Result},
    client::Value,
};

/// What a shell exits with where a command is not found.
const NOT_FOUND: u8 = 127;
/// What a shell exits with where a command cannot be started.
const NOT_STARTED: u8 = 126;

/// Start a command with the values of an environment as its variables.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    at: EnvironmentArgs,
    /// Also lease credentials of this role while the command runs, as variables ROLE_USERNAME and the like.
    #[arg(long, value_name = "ROLE")]
    lease: Vec<Name>,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    program: Vec<OsString>,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let at = self.at.resolve(context).await?;
        let client = context.client()?;
        let values = client.run_values(&at).await?;
        let Some((program, arguments)) = self.program.split_first() else {
            return Err(Problem::invalid("no command is named").remedy("portctl run -- COMMAND"));
        };
        let mut process = Process::new(program);
        process.args(arguments);
        for value in &values {
            if fits(value) {
                process.env(&value.name, os_text(value));
            } else {
                note(&format!("warning: {} is left out: it cannot be a variable", printable(&value.name)));
            }
        }
        if self.lease.is_empty() {
            return Ok(start(process, program));
        }
        leases::run(&client, &at, &self.lease, process, program).await
    }
}

/// Whether a secret can be a variable: a name that shells know, and no NUL in the value.
fn fits(value: &Value) -> bool {
    value.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !value.value.expose().contains(&0)
}

#[cfg(unix)]
fn os_text(value: &Value) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(value.value.expose())
}

/// Becomes the command, so that exit code and signals are its own.
#[cfg(unix)]
fn start(mut process: Process, program: &std::ffi::OsStr) -> u8 {
    use std::os::unix::process::CommandExt as _;
    let error = process.exec();
    not_started(program, &error)
}

fn not_started(program: &std::ffi::OsStr, error: &std::io::Error) -> u8 {
    note(&format!("error: {} cannot be started: {error}", printable(&program.to_string_lossy())));
    if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_STARTED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_variable_becomes_one() {
        let value = |name: &str, value: &str| Value {
            name: name.to_owned(),
            version: 1,
            value: value.to_owned().into(),
        };
        assert!(fits(&value("DATABASE_URL", "a\nb")) && fits(&value("_a1", "")));
        assert!(!fits(&value("a.b", "x")) && !fits(&value("a-b", "x")) && !fits(&value("A", "x\0")));
    }
}
