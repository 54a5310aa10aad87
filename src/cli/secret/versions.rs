//! `portctl secret versions`

use clap::Args;
use serde_json::Value as Json;

use crate::{
    base::Result,
    cli::{Context, DONE, SecretArgs, Table},
};

/// List the versions of a secret, without their values.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    secret: SecretArgs,
}

impl Command {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<u8> {
        let at = self.secret.resolve(context).await?;
        let versions = context.client()?.secret_versions(&at).await?;
        context.output.show(&versions, |versions| {
            Table::new(&["VERSION", "ID", "MORE"]).with(versions.iter().map(|it| {
                let more: Vec<String> = it
                    .more
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .map(|(name, value)| format!("{name}={}", plain(value)))
                    .collect();
                vec![it.version.to_string(), it.id.clone().unwrap_or_default(), more.join(" ")]
            }))
        })?;
        Ok(DONE)
    }
}

/// A member of an answer as a word: a person by her name.
pub(super) fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Object(map) => map.get("display_name").and_then(Json::as_str).unwrap_or("-").to_owned(),
        other => other.to_string(),
    }
}
