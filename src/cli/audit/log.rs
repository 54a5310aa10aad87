//! `portctl audit log`

use clap::Args;

use super::{FilterArgs, borrowed};
use crate::{
    audit::read::Entry,
    base::Result,
    cli::{Context, DONE, Table, output::note},
};

/// Entries that one page holds at most.
const PAGE: u32 = 500;

/// List entries, the newest first.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    filter: FilterArgs,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        let filter = self.filter.query()?;
        let (mut entries, mut next): (Vec<Entry>, Option<String>) = (Vec::new(), None);
        loop {
            let left = self.limit - u32::try_from(entries.len()).unwrap_or(self.limit).min(self.limit);
            if left == 0 {
                break;
            }
            let mut query = filter.clone();
            query.push(("limit", left.min(PAGE).to_string()));
            query.extend(next.take().map(|cursor| ("cursor", cursor)));
            let page = client.audit_entries(&borrowed(&query)).await?;
            entries.extend(page.items);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        context.output.show(&entries, |entries| table(entries))?;
        if next.is_some() && !context.output.is_json() {
            note(&format!("There are older ones; see more with --limit {}.", self.limit.saturating_mul(10)));
        }
        Ok(DONE)
    }
}

fn table(entries: &[Entry]) -> Table {
    let headings = ["INDEX", "TIME", "ACTOR", "ACTION", "DECISION", "WHAT", "REASON"];
    Table::new(&headings).with(entries.iter().map(|entry| {
        let what = entry.resource.as_ref().or(entry.at.as_ref()).or(entry.subject.as_ref());
        let or_dash = |it: Option<&String>| it.cloned().unwrap_or_else(|| "-".to_owned());
        vec![
            entry.index.to_string(),
            entry.time.to_string(),
            or_dash(entry.actor.as_ref()),
            entry.action.clone(),
            entry.decision.clone(),
            or_dash(what),
            or_dash(entry.reason.as_ref()),
        ]
    }))
}
