//! `portctl audit person`

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::{FilterArgs, borrowed, say_archived};
use crate::{
    audit::read::Entry,
    base::{Result, Timestamp, ids::SessionId},
    cli::{
        Context, DONE,
        names::Names,
        output::{note, printable},
    },
};

/// Everything that somebody did, saw and held, by what the log says; also of somebody who has left.
#[derive(Debug, Args)]
pub struct Command {
    /// Her id or e-mail address.
    person: String,
    #[command(flatten)]
    when: When,
}

/// From when to when.
#[derive(Debug, Args)]
struct When {
    /// From then on: 2026-01-31 or 2026-01-31T12:00:00Z.
    #[arg(long, visible_alias = "since", value_name = "TIME")]
    from: Option<String>,
    /// Until then; a day alone means its end.
    #[arg(long, visible_alias = "until", value_name = "TIME")]
    to: Option<String>,
}

/// A life in the log.
#[derive(Debug, Serialize)]
struct Life {
    /// How often each was done by her.
    did: BTreeMap<String, u64>,
    /// Secrets whose values she came to know, and how often.
    saw: BTreeMap<String, u64>,
    /// What she held: sessions and grants, in the order in which they began.
    held: Vec<Held>,
    /// Every entry by her or about her, the oldest first.
    entries: Vec<Entry>,
}

/// A session or a grant.
#[derive(Debug, Serialize)]
struct Held {
    /// Its id.
    what: String,
    /// Since when.
    began: Option<Timestamp>,
    /// Until when, where the log says that it ended.
    ended: Option<Timestamp>,
    /// Why it ended.
    because: Option<String>,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let client = context.client()?;
        let mut entries: BTreeMap<u64, Entry> = BTreeMap::new();
        let (mut her, mut archived) = (self.person.clone(), Vec::new());
        for (actor, subject) in [(Some(&self.person), None), (None, Some(&self.person))] {
            let filter = FilterArgs {
                actor: actor.cloned(),
                subject: subject.cloned(),
                from: self.when.from.clone(),
                to: self.when.to.clone(),
                ..FilterArgs::default()
            };
            let found = client.audit_all(&borrowed(&filter.query()?)).await?;
            archived.extend(found.archived);
            if let Some(id) = found
                .items
                .first()
                .and_then(|it| if actor.is_some() { it.actor.clone() } else { it.subject.clone() })
            {
                her = id;
            }
            entries.extend(found.items.into_iter().map(|entry| (entry.index, entry)));
        }
        let life = Life::of(&her, entries.into_values().collect());
        let mut names = Names::default();
        let others = life.entries.iter().flat_map(|it| [&it.actor, &it.subject]).flatten();
        names.learn(&client, others.map(String::as_str).chain([her.as_str()])).await?;
        context.output.tell(&life, |life| life.to_text(&her, &names))?;
        archived.sort_by_key(|range| range.from);
        archived.dedup();
        say_archived(&archived);
        if life.entries.is_empty() {
            note("The log has no entry by her or about her in that time.");
        }
        Ok(DONE)
    }
}

impl Life {
    fn of(her: &str, entries: Vec<Entry>) -> Self {
        let mut life =
            Self { did: BTreeMap::new(), saw: BTreeMap::new(), held: Vec::new(), entries: Vec::new() };
        for entry in &entries {
            life.take(her, entry);
        }
        life.entries = entries;
        life
    }

    fn take(&mut self, her: &str, entry: &Entry) {
        if entry.actor.as_deref() == Some(her) && entry.decision == "allow" {
            *self.did.entry(entry.action.clone()).or_default() += 1;
        }
        let knows = ["secret.set", "secret.revealed", "secret.run"].contains(&entry.action.as_str());
        if let (true, Some(at)) = (knows && entry.decision == "allow", &entry.at) {
            *self.saw.entry(at.clone()).or_default() += 1;
        }
        if entry.subject.as_deref() == Some(her) {
            self.hold(entry);
        }
    }

    /// What she holds from this entry on, or no longer.
    fn hold(&mut self, entry: &Entry) {
        let grant = entry.payload.get("grant").and_then(|it| it.as_str()).map(str::to_owned);
        match entry.action.as_str() {
            "session.began" if entry.decision == "allow" => self.begin(entry.resource.clone(), entry.time),
            "grant.began" => self.begin(grant, entry.time),
            "session.ended" => self.end(entry.resource.as_deref(), entry),
            "grant.ended" => self.end(grant.as_deref(), entry),
            // Ends all of them at once.
            "person.deactivated" | "person.signed-out" => self.end_sessions(entry),
            _ => {}
        }
    }

    fn begin(&mut self, what: Option<String>, at: Timestamp) {
        let what = what.unwrap_or_else(|| "(forgotten)".to_owned());
        self.held.push(Held { what, began: Some(at), ended: None, because: None });
    }

    fn end(&mut self, what: Option<&str>, entry: &Entry) {
        let because = entry.payload.get("because").and_then(|it| it.as_str()).map(str::to_owned);
        let what = what.unwrap_or("(forgotten)");
        if let Some(held) = self.held.iter_mut().find(|it| it.what == what && it.ended.is_none()) {
            (held.ended, held.because) = (Some(entry.time), because);
        } else {
            self.held.push(Held { what: what.to_owned(), began: None, ended: Some(entry.time), because });
        }
    }

    fn end_sessions(&mut self, entry: &Entry) {
        let is_open = |it: &&mut Held| it.ended.is_none() && it.what.parse::<SessionId>().is_ok();
        for held in self.held.iter_mut().filter(is_open) {
            (held.ended, held.because) = (Some(entry.time), Some(entry.action.clone()));
        }
    }

    fn to_text(&self, her: &str, names: &Names) -> String {
        let mut text = printable(&names.beside(her)) + "\n";
        for entry in &self.entries {
            let what = entry.at.as_ref().or(entry.resource.as_ref()).filter(|it| it.as_str() != her);
            let what = what.map_or("", String::as_str);
            let reason = entry.reason.as_deref().unwrap_or("");
            let no = if entry.decision == "deny" { "  denied" } else { "" };
            let other = |it: &Option<String>, word: &str| {
                let other = it.as_deref().filter(|it| *it != her);
                other.map_or_else(String::new, |it| format!("  {word} {}", names.beside(it)))
            };
            let (by, about) = (other(&entry.actor, "by"), other(&entry.subject, "about"));
            let line = format!("{}  {}{no}{by}{about}  {what}  {reason}", entry.time, entry.action);
            text.push_str(printable(&line).trim_end());
            text.push('\n');
        }
        for (heading, counts) in [("did", &self.did), ("saw", &self.saw)] {
            for (what, times) in counts {
                text.push_str(&printable(&format!("{heading}: {what}, {times} times")));
                text.push('\n');
            }
        }
        for held in &self.held {
            let time = |it: Option<Timestamp>| it.map_or_else(|| "?".to_owned(), |it| it.to_string());
            let ended = held.ended.map_or_else(|| "still".to_owned(), |_| time(held.ended));
            let because = held.because.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
            let line = format!("held: {} from {} to {ended}{because}", held.what, time(held.began));
            text.push_str(&printable(&line));
            text.push('\n');
        }
        text
    }
}
