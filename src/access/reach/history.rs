//! The facts of a moment before, put together from entries in their order.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{KnownSession, Somebody, World};
use crate::{
    audit::read::Entry,
    base::{
        EnvironmentRef, Name, Problem, ProblemKind, Result, Timestamp, config::AdministratorGroup,
        ids::PersonId,
    },
    catalog::{Kind, Object, Snapshot},
    identity::GroupRow,
    policy::{GrantFact, PersonStatus},
};

/// The actions of entries that it is made of.
pub const ACTIONS: &[&str] = &[
    "catalog.applied",
    "person.joined",
    "person.groups-changed",
    "person.suspended",
    "person.resumed",
    "person.reactivated",
    "person.deactivated",
    "person.signed-out",
    "session.began",
    "session.confirmed",
    "session.raised",
    "session.ended",
    "grant.began",
    "grant.ended",
    "log.recovered",
    "connection.heard",
    "connection.disabled",
];

/// What the entries so far come to.
#[derive(Clone, Debug, Default)]
pub struct History {
    people: BTreeMap<PersonId, Somebody>,
    declared: BTreeMap<(Kind, String), Object>,
    version: i64,
    /// Entries of which parts were forgotten: of whom they were is not known any more.
    forgotten: u64,
}

impl History {
    /// Takes the next entry. Those that move no fact are passed over.
    ///
    /// # Errors
    /// `log-incomplete` where an entry does not say what it has to.
    pub fn take(&mut self, entry: &Entry) -> Result<()> {
        if entry.decision != "allow" || !ACTIONS.contains(&entry.action.as_str()) {
            return Ok(());
        }
        if entry.action == "catalog.applied" {
            return self.applied(entry);
        }
        if entry.action == "connection.heard" {
            self.heard(entry);
            return Ok(());
        }
        if entry.action == "connection.disabled" {
            self.disabled(entry);
            return Ok(());
        }
        if entry.action == "log.recovered" {
            self.people.values_mut().for_each(Somebody::recovered);
            return Ok(());
        }
        let whom: Option<PersonId> = entry.subject.as_ref().and_then(|text| text.parse().ok());
        let is_open = !entry.forgotten.iter().any(|field| field == "payload");
        match whom.filter(|_| is_open) {
            Some(whom) => self.of(whom, entry),
            None if entry.forgotten.is_empty() => Err(lacks(entry, "whom")),
            None => {
                self.forgotten += 1;
                Ok(())
            }
        }
    }

    /// What a connection said of groups before, it says still.
    fn heard(&mut self, entry: &Entry) {
        let by = said(entry, "provider");
        let groups = self.people.values_mut().flat_map(|somebody| &mut somebody.groups);
        groups.filter(|it| by == Some(it.source.as_str())).for_each(|it| it.asserted_at = entry.time);
    }

    /// What a connection said of groups holds no longer.
    fn disabled(&mut self, entry: &Entry) {
        let by = entry.resource.as_deref().and_then(|it| it.strip_prefix("connection/"));
        for somebody in self.people.values_mut() {
            somebody.groups.retain(|it| by != Some(it.source.as_str()));
        }
    }

    fn of(&mut self, whom: PersonId, entry: &Entry) -> Result<()> {
        if entry.action == "person.joined" {
            self.people.insert(whom, Somebody::new());
        }
        let Some(somebody) = self.people.get_mut(&whom) else {
            // How she joined may be forgotten, and what she did since not yet.
            if self.forgotten == 0 {
                return Err(lacks(entry, "who had joined before"));
            }
            self.forgotten += 1;
            return Ok(());
        };
        somebody.take(entry)
    }

    /// Of how many entries parts were forgotten.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The facts at `now`, which is not before the newest entry that was taken.
    #[must_use]
    pub fn world(&self, administrators: &[AdministratorGroup], now: Timestamp) -> World {
        let declared = Snapshot::new(self.version, self.declared.values().cloned(), administrators);
        let mut people = self.people.clone();
        for somebody in people.values_mut() {
            somebody.sessions.retain(|it| it.ends_at.is_none_or(|end| now < end));
        }
        World { people, declared: Arc::new(declared), now }
    }

    fn applied(&mut self, entry: &Entry) -> Result<()> {
        let list =
            |name: &str| entry.payload.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let text = |it: &Value, name: &str| it.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        for change in list("changes").iter().filter(|it| text(it, "change") == "remove") {
            let kind = Kind::from_text(&text(change, "kind")).ok_or_else(|| lacks(entry, "a known kind"))?;
            self.declared.remove(&(kind, text(change, "name")));
        }
        for it in list("bodies") {
            let kind = Kind::from_text(&text(it, "kind")).ok_or_else(|| lacks(entry, "a known kind"))?;
            let body = it.get("body").cloned().unwrap_or_default();
            let object =
                Object::read(kind, body).map_err(|_| lacks(entry, "a declaration that can be read"))?;
            self.declared.insert((kind, text(it, "name")), object);
        }
        self.version = entry.payload.get("version").and_then(Value::as_i64).unwrap_or(self.version);
        Ok(())
    }
}

impl Somebody {
    pub(super) fn new() -> Self {
        Self { status: PersonStatus::Active, groups: Vec::new(), sessions: Vec::new(), grants: Vec::new() }
    }

    /// The database was set back: nothing that was granted before holds.
    fn recovered(&mut self) {
        if self.status == PersonStatus::Active {
            self.status = PersonStatus::Suspended;
        }
        self.sessions.clear();
        self.grants.clear();
    }

    fn take(&mut self, entry: &Entry) -> Result<()> {
        match entry.action.as_str() {
            "person.joined" => self.say(entry, "groups"),
            "person.groups-changed" => {
                let source = said(entry, "provider").unwrap_or_default();
                let gone = texts(entry, "removed");
                self.groups.retain(|it| it.source != source || !gone.contains(&it.group_id.as_str()));
                self.say(entry, "added");
            }
            "person.suspended" => self.status = PersonStatus::Suspended,
            "person.resumed" | "person.reactivated" => self.status = PersonStatus::Active,
            "person.deactivated" => (self.status, self.sessions) = (PersonStatus::Deactivated, Vec::new()),
            "person.signed-out" => self.sessions.clear(),
            "session.began" => self.begin(entry)?,
            "session.confirmed" => self.confirm(entry),
            "session.raised" => self.raise(entry)?,
            "session.ended" => {
                let ended = entry.resource.as_deref();
                self.sessions.retain(|it| Some(it.id.to_string().as_str()) != ended);
            }
            "grant.began" => self.grants.push(grant(entry)?),
            "grant.ended" => {
                let ended = said(entry, "grant");
                self.grants.retain(|it| Some(it.id.to_string().as_str()) != ended);
            }
            _ => {}
        }
        Ok(())
    }

    /// Her provider says that she is in these groups.
    fn say(&mut self, entry: &Entry, name: &str) {
        let source = said(entry, "provider").unwrap_or_default();
        self.groups.extend(texts(entry, name).into_iter().map(|group| GroupRow {
            source: source.to_owned(),
            group_id: group.to_owned(),
            asserted_at: entry.time,
        }));
    }

    fn begin(&mut self, entry: &Entry) -> Result<()> {
        let kind = said(entry, "kind").unwrap_or_default();
        // Whoever signs in by her provider is in the groups that it says at that moment.
        let by = said(entry, "provider");
        for it in &mut self.groups {
            if by.map_or(kind == "browser", |by| it.source == by) {
                it.asserted_at = entry.time;
            }
        }
        if kind != "recovery" {
            self.sessions.push(KnownSession {
                id: parsed(entry, "a session", entry.resource.as_deref())?,
                authenticated_at: parsed(entry, "when she signed in", said(entry, "authenticated_at"))?,
                confirmed_at: said(entry, "confirmed_at")
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(entry.time),
                acr: said(entry, "acr").map(str::to_owned),
                ends_at: said(entry, "ends_at").and_then(|text| text.parse().ok()),
            });
        }
        Ok(())
    }

    /// Her provider was asked again: it still knows her, and says the same groups where it names itself.
    fn confirm(&mut self, entry: &Entry) {
        if let Some(by) = said(entry, "provider") {
            self.groups.iter_mut().filter(|it| it.source == by).for_each(|it| it.asserted_at = entry.time);
        }
        let confirmed = texts(entry, "sessions");
        for session in &mut self.sessions {
            if confirmed.contains(&session.id.to_string().as_str()) {
                session.confirmed_at = entry.time;
            }
        }
    }

    /// She has proved anew who she is, for a command line that is signed in.
    fn raise(&mut self, entry: &Entry) -> Result<()> {
        let authenticated_at = parsed(entry, "when she signed in", said(entry, "authenticated_at"))?;
        let confirmed_at = parsed(entry, "when that was confirmed", said(entry, "confirmed_at"))?;
        let raised =
            self.sessions.iter_mut().find(|it| Some(it.id.to_string().as_str()) == entry.resource.as_deref());
        if let Some(session) = raised {
            (session.authenticated_at, session.confirmed_at) = (authenticated_at, confirmed_at);
            session.acr = said(entry, "acr").map(str::to_owned);
        }
        Ok(())
    }
}

fn grant(entry: &Entry) -> Result<GrantFact> {
    let environment: EnvironmentRef = parsed(entry, "where", entry.at.as_deref())?;
    let scope: Name = parsed(entry, "of which scope", said(entry, "of"))?;
    Ok(GrantFact {
        id: parsed(entry, "which grant", said(entry, "grant"))?,
        scope,
        environment,
        starts: entry.time,
        ends: parsed(entry, "until when", said(entry, "ends_at"))?,
    })
}

fn said<'e>(entry: &'e Entry, name: &str) -> Option<&'e str> {
    entry.payload.get(name).and_then(Value::as_str)
}

fn texts<'e>(entry: &'e Entry, name: &str) -> Vec<&'e str> {
    entry
        .payload
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn parsed<T: std::str::FromStr>(entry: &Entry, what: &str, text: Option<&str>) -> Result<T> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| lacks(entry, what))
}

fn lacks(entry: &Entry, what: &str) -> Problem {
    Problem::new(
        ProblemKind::LogIncomplete,
        format!("entry {} ({}) does not say {what}", entry.index, entry.action),
    )
    .with("index", entry.index)
    .remedy("Verify the log: `portctl audit verify`.")
}
