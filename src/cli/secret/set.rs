//! `portctl secret set`

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
};

use clap::Args;

use super::tell_made;
use crate::{
    base::{Problem, Result, SecretRef, SecretValue},
    cli::{Context, DONE, EnvironmentArgs, SecretArgs, ask, env_file, output::note},
};

/// Make a new version of a secret: asked for without echo, or from standard input or a file.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    secret: SecretArgs,
    /// Take the value from a file, byte by byte.
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Set many from KEY=VALUE lines; the secret is then APPLICATION/ENVIRONMENT.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from_file", "expect_version"])]
    from_env_file: Option<PathBuf>,
    /// Only where this is the current version; 0 where there must be none.
    #[arg(long, value_name = "N")]
    expect_version: Option<i64>,
    /// Taken only to be refused well: values are no arguments.
    #[arg(hide = true, value_name = "VALUE")]
    extra: Vec<OsString>,
}

impl Command {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<u8> {
        if !self.extra.is_empty() {
            return Err(no_argument());
        }
        match &self.from_env_file {
            Some(path) => self.set_many(context, path).await,
            None => self.set_one(context).await,
        }
    }

    async fn set_one(&self, context: &Context) -> Result<u8> {
        let at = self.secret.resolve(context).await?;
        let client = context.client()?;
        let value = match &self.from_file {
            Some(path) => read(path)?,
            None => ask::value(&format!("Value of {at}: "))?,
        };
        let made = client.set_secret(&at, &value, self.expect_version).await?;
        tell_made(context.output, &made)?;
        Ok(DONE)
    }

    async fn set_many(&self, context: &Context, path: &Path) -> Result<u8> {
        let at = EnvironmentArgs::of(self.secret.target.clone(), &self.secret).resolve(context).await?;
        let client = context.client()?;
        let file = read(path)?;
        let text =
            file.expose_text().ok_or_else(|| Problem::invalid(format!("{} is not text", path.display())))?;
        let variables = env_file::parse(text).map_err(|mut problem| {
            problem.detail = format!("{}, {}", path.display(), problem.detail);
            problem
        })?;
        let mut all = Vec::new();
        if variables.is_empty() {
            return Err(Problem::invalid(format!("there is no KEY=VALUE line in {}", path.display())));
        }
        for variable in &variables {
            let one = SecretRef { environment: at.clone(), name: variable.name.clone() };
            match client.set_secret(&one, &variable.value, None).await {
                Ok(made) => all.push(made),
                Err(problem) => {
                    note(&format!(
                        "{} of {} were set, up to the one before {}",
                        all.len(),
                        variables.len(),
                        variable.name
                    ));
                    return Err(problem);
                }
            }
        }
        context.output.tell(&all, |all| {
            all.iter().map(|it| format!("{}: version {}", it.name, it.version)).collect::<Vec<_>>().join(
                "
",
            ) + "
"
        })?;
        Ok(DONE)
    }
}

fn read(path: &Path) -> Result<SecretValue> {
    let file =
        File::open(path).map_err(|e| Problem::invalid(format!("{} cannot be read: {e}", path.display())))?;
    ask::read_bounded(file)
}

fn no_argument() -> Problem {
    Problem::invalid(
        "a value is never an argument: the list of processes and the shell's history would show it",
    )
    .remedy(
        "Leave it out and you are asked for it; or pipe it in, or use --from-file FILE.\n\
             Where it was a real value, it stands in the shell's history now: remove it there and change it.",
    )
}
