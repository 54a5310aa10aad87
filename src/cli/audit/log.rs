//! `portctl audit log`

use std::time::Duration;

use clap::Args;

use super::{FilterArgs, borrowed, refuse_unknown, say_archived};
use crate::{
    audit::{archive::ArchivedRange, read::Entry},
    base::Result,
    cli::{
        Context, DONE, Table,
        names::Names,
        output::{in_columns, note, printable, write_bytes},
    },
    client::Client,
};

/// Entries that one page holds at most.
const PAGE: u32 = 500;

/// Entries that whoever follows sees before any comes.
const BEFORE: u32 = 10;

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
        let mut names = Names::default();
        loop {
            let left = self.limit - u32::try_from(entries.len()).unwrap_or(self.limit).min(self.limit);
            if left == 0 {
                break;
            }
            let mut query = filter.clone();
            query.push(("limit", left.min(PAGE).to_string()));
            query.extend(next.take().map(|cursor| ("cursor", cursor)));
            let page = client.audit_entries(&borrowed(&query)).await?;
            refuse_unknown(&page.unknown)?;
            names.learn(&client, page.items.iter().flat_map(people)).await?;
            entries.extend(page.items);
            archived.extend(page.archived);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        context.output.show(&entries, |entries| table(entries, &names))?;
        archived.sort_by_key(|range| range.from);
        archived.dedup();
        say_archived(&archived);
        if next.is_some() && !context.output.is_json() {
            note(&format!("There are older ones; see more with --limit {}.", self.limit.saturating_mul(10)));
        }
        Ok(DONE)
    }
}

/// Tells the newest, and then entries as they come. A stream that ends is opened anew: whether that may be is the
/// server's to say.
async fn follow(context: &Context, client: &Client, filter: &[(&'static str, String)]) -> Result<u8> {
    let mut last: Option<String> = None;
    let mut lines = Lines::default();
    loop {
        let mut events = client.audit_events(&borrowed(filter), last.as_deref()).await?;
        if lines.shown.is_none() {
            // Once it is followed, so that none is missed between the two.
            lines.begin(context, client, filter).await?;
        }
        while let Some(entry) = events.next().await {
            lines.tell(context, client, &entry).await?;
        }
        last = events.last().map(str::to_owned).or(last);
        tokio::time::sleep(BETWEEN_STREAMS).await;
    }
}

/// What was told so far to whoever follows.
#[derive(Default)]
struct Lines {
    names: Names,
    widths: Vec<usize>,
    /// The newest entry that was told, plus one; nothing before it begins.
    shown: Option<u64>,
}

impl Lines {
    /// The newest entries, the oldest of them first, under a head.
    async fn begin(
        &mut self,
        context: &Context,
        client: &Client,
        filter: &[(&'static str, String)],
    ) -> Result<()> {
        let mut query = filter.to_vec();
        query.push(("limit", BEFORE.to_string()));
        let mut newest = client.audit_entries(&borrowed(&query)).await?.items;
        newest.reverse();
        self.names.learn(client, newest.iter().flat_map(people)).await?;
        self.shown = Some(newest.last().map_or(0, |entry| entry.index + 1));
        if context.output.is_json() {
            return newest.iter().try_for_each(|entry| context.output.tell(entry, |_| String::new()));
        }
        let table = table(&newest, &self.names);
        self.widths = table.widths();
        write_bytes(table.to_string().as_bytes())
    }

    async fn tell(&mut self, context: &Context, client: &Client, entry: &Entry) -> Result<()> {
        if self.shown.is_some_and(|shown| entry.index < shown) {
            return Ok(());
        }
        self.names.learn(client, people(entry)).await?;
        context.output.tell(entry, |entry| line(&cells(entry, &self.names), &self.widths))
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let shown: Vec<String> = cells.iter().map(|cell| printable(cell)).collect();
    in_columns(&shown, widths) + "\n"
}

fn table(entries: &[Entry], names: &Names) -> Table {
    let headings = ["INDEX", "TIME", "ACTOR", "ACTION", "DECISION", "WHAT", "REASON"];
    Table::new(&headings).with(entries.iter().map(|entry| cells(entry, names)))
}

/// Those whom an entry may name.
fn people(entry: &Entry) -> impl Iterator<Item = &str> {
    [&entry.actor, &entry.subject, &entry.resource].into_iter().flatten().map(String::as_str)
}

fn cells(entry: &Entry, names: &Names) -> Vec<String> {
    let what = entry.resource.as_ref().or(entry.at.as_ref()).or(entry.subject.as_ref());
    let or_dash = |it: Option<&String>| it.map_or_else(|| "-".to_owned(), |it| names.beside(it));
    vec![
        entry.index.to_string(),
        entry.time.to_string(),
        or_dash(entry.actor.as_ref()),
        entry.action.clone(),
        entry.decision.clone(),
        or_dash(what),
        entry.reason.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}
