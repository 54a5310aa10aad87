//! `portctl audit log`

use std::time::Duration;

use clap::Args;

use super::{FilterArgs, borrowed, say_archived};
use crate::{
    audit::{archive::ArchivedRange, read::Entry},
    base::Result,
    cli::{
        Context, DONE, Table,
        output::{note, printable},
    },
    client::Client,
};

/// Entries that one page holds at most.
const PAGE: u32 = 500;

/// Between two streams, so that a server that ends them at once is not asked without end.
const BETWEEN_STREAMS: Duration = Duration::from_secs(1);

/// List entries, the newest first.
#[derive(Debug, Args)]
pub struct Command {
    #[command(flatten)]
    filter: FilterArgs,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u32,
    /// Go on as entries come, until Ctrl-C or until you may no longer read them.
    #[arg(long, conflicts_with = "limit")]
    follow: bool,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        let filter = self.filter.query()?;
        if self.follow {
            return follow(context, &client, &filter).await;
        }
        let (mut entries, mut next): (Vec<Entry>, Option<String>) = (Vec::new(), None);
        let mut archived: Vec<ArchivedRange> = Vec::new();
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
            archived.extend(page.archived);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        context.output.show(&entries, |entries| table(entries))?;
        archived.sort_by_key(|range| range.from);
        archived.dedup();
        say_archived(&archived);
        if next.is_some() && !context.output.is_json() {
            note(&format!("There are older ones; see more with --limit {}.", self.limit.saturating_mul(10)));
        }
        Ok(DONE)
    }
}

/// Tells entries as they come. A stream that ends is opened anew: whether that may be is the server's to say.
async fn follow(context: &Context, client: &Client, filter: &[(&'static str, String)]) -> Result<u8> {
    let mut last: Option<String> = None;
    loop {
        let mut events = client.audit_events(&borrowed(filter), last.as_deref()).await?;
        while let Some(entry) = events.next().await {
            context.output.tell(&entry, line)?;
        }
        last = events.last().map(str::to_owned).or(last);
        tokio::time::sleep(BETWEEN_STREAMS).await;
    }
}

fn line(entry: &Entry) -> String {
    let cells = cells(entry);
    let shown: Vec<String> = cells.iter().map(|cell| printable(cell)).collect();
    shown.join("  ") + "\n"
}

fn table(entries: &[Entry]) -> Table {
    let headings = ["INDEX", "TIME", "ACTOR", "ACTION", "DECISION", "WHAT", "REASON"];
    Table::new(&headings).with(entries.iter().map(cells))
}

fn cells(entry: &Entry) -> Vec<String> {
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
}
