//! `portctl secret generate`

use clap::Args;

use super::tell_made;
use crate::{
    base::Result,
    cli::{Context, DONE, SecretArgs},
    client::Generate,
};

/// Make a new version with a value that nobody has seen.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    secret: SecretArgs,
    /// How many characters.
    #[arg(long, value_name = "N")]
    length: Option<u32>,
    /// Of which characters.
    #[arg(long, value_name = "CHARACTERS")]
    alphabet: Option<String>,
    /// Only where this is the current version; 0 where there must be none.
    #[arg(long, value_name = "N")]
    expect_version: Option<i64>,
}

impl Command {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<u8> {
        let at = self.secret.resolve(context).await?;
        let how =
            Generate { length: self.length, alphabet: self.alphabet, expect_version: self.expect_version };
        tell_made(context.output, &context.client()?.generate_secret(&at, &how).await?)?;
        Ok(DONE)
    }
}
