//! `portctl secret delete`, `undelete`, `destroy`

use clap::Args;

use crate::{
    base::Result,
    cli::{Context, DONE, SecretArgs, ask},
    client::SecretChange,
};

/// Of which secret, which version.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    secret: SecretArgs,
    /// This version instead of the current one.
    #[arg(long, value_name = "N")]
    version: Option<i64>,
}

/// Destroying cannot be undone, so it is asked about.
#[derive(Debug, Args)]
pub struct Destroy {
    #[command(flatten)]
    what: Command,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Command {
    pub(in crate::cli) async fn run(self, context: &Context, change: SecretChange) -> Result<u8> {
        let at = self.secret.resolve(context).await?;
        context.client()?.change_secret(&at, change, self.version).await?;
        let done = match change {
            SecretChange::Delete => "deleted",
            SecretChange::Undelete => "there again",
            SecretChange::Destroy => "destroyed",
        };
        let answer = serde_json::json!({ "secret": at, "version": self.version, "done": change.as_str() });
        context.output.tell(&answer, |_| format!("{at} is {done}\n"))?;
        Ok(DONE)
    }
}

impl Destroy {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<u8> {
        let at = self.what.secret.resolve(context).await?;
        let which = self.what.version.map_or("The current version".to_owned(), |n| format!("Version {n}"));
        ask::confirm(&format!("{which} of {at} will be gone for good. Go on?"), self.yes)?;
        self.what.run(context, SecretChange::Destroy).await
    }
}
