//! `portctl exposure`

use clap::Subcommand;

use super::{Context, DONE, SecretArgs, Table, output::note, printable};
use crate::{base::Result, client::Exposure};

/// Who came to know which values, and how.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What somebody knows.
    Person {
        /// Her id or e-mail address, or a workload as workload/NAME; you, where it is left out.
        who: Option<String>,
    },
    /// Who knows a secret.
    Secret {
        #[command(flatten)]
        secret: SecretArgs,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        let found = match self {
            Self::Person { who } => client.exposures_of(who.as_deref()).await?,
            Self::Secret { secret } => client.exposures_of_secret(&secret.resolve(context).await?).await?,
        };
        context.output.show(&found, |found| table(&found.items))?;
        for it in &found.unknown {
            note(&printable(&format!(
                "Who can read what '{}' delivered is unknown: {}.",
                it.delivery, it.because
            )));
        }
        Ok(DONE)
    }
}

fn table(found: &[Exposure]) -> Table {
    let headings = [
        "WHO",
        "NAME",
        "E-MAIL",
        "SECRET",
        "VERSION",
        "CURRENT",
        "DELIVERED BY",
        "HOW",
        "SCOPE",
        "FIRST",
        "LAST",
        "ENTRY",
    ];
    Table::new(&headings).with(found.iter().map(|it| {
        let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            it.principal.clone(),
            or(&it.display_name),
            or(&it.email),
            it.secret.clone(),
            or(&it.version.map(|number| number.to_string())),
            if it.is_current { "yes" } else { "no" }.to_owned(),
            if it.deliveries.is_empty() { "-".to_owned() } else { it.deliveries.join(", ") },
            it.how.clone(),
            or(&it.scope),
            it.first_at.clone(),
            it.last_at.clone(),
            or(&it.last_entry.map(|index| index.to_string())),
        ]
    }))
}
