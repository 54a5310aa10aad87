//! `portctl access`

use clap::{Args, Subcommand};

use super::{Context, DONE, Table, audit::end_of, names::Names, output::note};
use crate::{
    base::Result,
    client::{Access, AccessLine},
};

/// Who can reach what.
#[derive(Debug, Subcommand)]
pub enum Command {
    List(List),
}

/// List who can reach what now, or could at a moment before, recomputed from the log.
#[derive(Debug, Args)]
pub struct List {
    /// At which moment: 2026-01-31T12:00:00Z; a day alone means its end.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Of which application.
    #[arg(short = 'a', long, visible_alias = "app", value_name = "NAME")]
    application: Option<String>,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let Self::List(list) = self;
        let at = list.at.as_deref().map(end_of).transpose()?.map(|at| at.to_string());
        let query: Vec<(&str, &str)> = [("at", &at), ("application", &list.application)]
            .into_iter()
            .filter_map(|(name, it)| Some((name, it.as_deref()?)))
            .collect();
        let client = context.client()?;
        let access = client.access(&query).await?;
        let mut names = Names::default();
        if !context.output.is_json() {
            names.learn(&client, access.items.iter().map(|it| it.principal.as_str())).await?;
        }
        context.output.show(&access, |access| table(&access.items, &names))?;
        tell(&access);
        Ok(DONE)
    }
}

fn tell(access: &Access) {
    let by = if access.recomputed { "recomputed from the log" } else { "by the facts of now" };
    note(&format!("At {}, {by}; {} people were known.", access.at, access.people));
    if access.forgotten > 0 {
        note(&format!(
            "Of {} entries parts were forgotten; what they said is not in this.",
            access.forgotten
        ));
    }
}

fn table(lines: &[AccessLine], names: &Names) -> Table {
    let headings = ["WHO", "AT", "TRUST SCOPE", "ACTIONS", "SIGNED IN", "FROM", "BECAUSE"];
    Table::new(&headings).with(lines.iter().map(|it| {
        vec![
            names.beside(&it.principal),
            it.at.clone(),
            it.scope.clone().unwrap_or_else(|| "-".to_owned()),
            it.actions.join(" "),
            if it.signed_in { "yes" } else { "no" }.to_owned(),
            it.network.clone().unwrap_or_else(|| "anywhere".to_owned()),
            it.because.clone(),
        ]
    }))
}
