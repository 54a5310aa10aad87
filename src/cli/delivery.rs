//! `portctl delivery`

use clap::Subcommand;

use super::{Context, DONE, Table, output::note, printable};
use crate::{
    base::{Problem, Result, time::parse_duration},
    client::{Deliveries, Delivery},
};

/// What should be in which Kubernetes Secret.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List deliveries and how they stand.
    List,
    /// Leave a Secret alone for a while.
    Pause {
        /// The delivery.
        name: String,
        /// For how long, such as 30m.
        #[arg(long = "for", value_name = "SPAN")]
        length: String,
        /// Why; stands in the log.
        #[arg(long)]
        reason: String,
    },
    /// Deliver again.
    Resume {
        /// The delivery.
        name: String,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        match self {
            Self::List => list(context, &client.deliveries().await?)?,
            Self::Pause { name, length, reason } => {
                parse_duration(&length).map_err(Problem::invalid)?;
                client.pause_delivery(&name, &length, &reason).await?;
                let answer = serde_json::json!({ "name": name, "paused_for": length });
                let name = printable(&name);
                context.output.tell(&answer, |_| format!("{name} is paused for {length}\n"))?;
            }
            Self::Resume { name } => {
                client.resume_delivery(&name).await?;
                let answer = serde_json::json!({ "name": name, "resumed": true });
                context.output.tell(&answer, |_| format!("{} is delivered again\n", printable(&name)))?;
            }
        }
        Ok(DONE)
    }
}

/// An empty list says why it is one.
fn list(context: &Context, all: &Deliveries) -> Result<()> {
    context.output.show(&all.items, |items| table(items))?;
    match &all.notice {
        Some(why) => note(&printable(&format!("There are deliveries, and none is yours to see: {why}"))),
        None if all.items.is_empty() => note("No delivery is declared."),
        None => {}
    }
    Ok(())
}

fn place(it: &Delivery) -> String {
    let team = it.team.as_ref().filter(|team| !team.is_empty()).map(|team| format!("@{team}"));
    format!("{}/{}{}", it.application, it.environment, team.unwrap_or_default())
}

fn table(all: &[Delivery]) -> Table {
    Table::new(&["DELIVERY", "FROM", "TO", "STATE", "DETAIL"]).with(all.iter().map(|it| {
        let to = format!("{}: {}/{}", it.cluster, it.namespace, it.secret);
        let detail = match (&it.detail, &it.paused_until) {
            (_, Some(until)) => format!("until {until}"),
            (Some(detail), None) => detail.clone(),
            (None, None) => String::new(),
        };
        vec![it.name.clone(), place(it), to, it.state.clone(), detail]
    }))
}
