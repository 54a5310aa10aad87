//! `portctl secret list`

use clap::Args;

use crate::{
    base::Result,
    cli::{Context, DONE, EnvironmentArgs, Table},
};

/// List the secrets of an environment, without their values.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    at: EnvironmentArgs,
}

impl Command {
    pub(in crate::cli) async fn run(self, context: &Context) -> Result<u8> {
        let at = self.at.resolve(context).await?;
        let secrets = context.client()?.secrets(&at).await?;
        let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        context.output.show(&secrets, |secrets| {
            Table::new(&["NAME", "VERSION", "VERSIONS", "CHANGED", "BY"]).with(secrets.iter().map(|it| {
                let by = it.changed_by.as_ref().map_or_else(|| "-".to_owned(), super::versions::plain);
                let by = it.changed_by_name.clone().unwrap_or(by);
                let changed = it.changed_at.clone().unwrap_or_else(|| "-".to_owned());
                vec![it.name.clone(), number(it.version), number(it.versions), changed, by]
            }))
        })?;
        Ok(DONE)
    }
}
