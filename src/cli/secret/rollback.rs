//! `portctl secret rollback`

use clap::Args;

use super::tell_made;
use crate::{
    base::Result,
    cli::{Context, DONE, SecretArgs, output::note, printable},
};

/// Make a new version with the value of an old one.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    secret: SecretArgs,
    /// The old version.
    #[arg(long, value_name = "N")]
    to: i64,
    /// Only where this is the current version.
    #[arg(long, value_name = "N")]
    expect_version: Option<i64>,
}

impl Command {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<u8> {
        let at = self.secret.resolve(context).await?;
        let made = context.client()?.roll_back_secret(&at, self.to, self.expect_version).await?;
        tell_made(context.output, &made)?;
        if let Some(known) = &made.known_to_leavers {
            let task = printable(&known.task);
            note(&format!(
                "warning: {} who left knows this value, and the rotation task {task} is open until another one is \
                 current and delivered: portctl secret generate {at}, or secret set {at}; portctl rotation show {task}",
                if known.leavers == 1 { "somebody".to_owned() } else { format!("{} people", known.leavers) }
            ));
        }
        Ok(DONE)
    }
}
