//! The populations that an auditor draws samples from, each told from the entries of a period alone.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    audit::opened::Opened,
    base::{Problem, Result, Timestamp},
    cli::names::Names,
};

/// A table of a report.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The file's name.
    pub(super) file: &'static str,
    /// What it is called.
    pub(super) title: &'static str,
    /// What is in it, in a sentence or two.
    pub(super) about: &'static str,
    /// The heads of its columns.
    pub(super) columns: Vec<&'static str>,
    /// Its rows.
    pub(super) rows: Vec<Vec<String>>,
}

/// The column for the names of those whose ids are in this one, where it holds ids of people.
fn named(column: &str) -> Option<&'static str> {
    Some(match column {
        "person" => "person_name",
        "by" => "by_name",
        "requested_by" => "requested_by_name",
        "approved_by" => "approved_by_name",
        "about" => "about_name",
        _ => return None,
    })
}

/// Rows of a table that the page shows; the rest is in its file.
const SHOWN: usize = 200;

impl Table {
    /// Those rows that the page shows.
    pub(super) fn shown(&self) -> &[Vec<String>] {
        &self.rows[..self.rows.len().min(SHOWN)]
    }

    fn new(
        file: &'static str,
        title: &'static str,
        about: &'static str,
        columns: &'static [&'static str],
    ) -> Self {
        Self { file, title, about, columns: columns.to_vec(), rows: Vec::new() }
    }

    /// What its cells hold that may be ids of people.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        let cells = self.rows.iter().flat_map(|row| row.iter().zip(&self.columns));
        cells.filter(|(_, column)| named(column).is_some()).flat_map(|(cell, _)| cell.split(' '))
    }

    /// The same with what the people in it are called, in columns behind all others.
    pub(super) fn with_names(mut self, names: &Names) -> Self {
        let columns: Vec<(usize, &'static str)> =
            self.columns.iter().enumerate().filter_map(|(at, it)| Some((at, named(it)?))).collect();
        for row in &mut self.rows {
            let called = |ids: &String| {
                let called: Vec<&str> = ids.split(' ').filter_map(|id| names.of(id)).collect();
                called.join(" ")
            };
            let cells: Vec<String> = columns.iter().map(|(at, _)| called(&row[*at])).collect();
            row.extend(cells);
        }
        self.columns.extend(columns.into_iter().map(|(_, name)| name));
        self
    }
}

/// An entry of the period, opened.
pub(super) struct Said {
    index: u64,
    time: Timestamp,
    action: String,
    is_allowed: bool,
    fields: BTreeMap<String, String>,
    payload: serde_json::Map<String, Value>,
    forgotten: Vec<String>,
}

/// What stands where something was forgotten.
const FORGOTTEN: &str = "(forgotten)";

impl Said {
    /// The entry of this index.
    ///
    /// # Errors
    /// `log-altered` where its payload is none.
    pub(super) fn new(index: u64, opened: Opened) -> Result<Self> {
        let wrong = |why: String| {
            Problem::new(crate::base::ProblemKind::LogAltered, format!("entry {index} was altered: {why}"))
        };
        Ok(Self {
            index,
            time: Timestamp::from_millis(opened.leaf.time),
            payload: opened.payload().map_err(wrong)?,
            is_allowed: opened.leaf.decision == "allow",
            action: opened.leaf.action,
            fields: opened.fields,
            forgotten: opened.forgotten.into_keys().collect(),
        })
    }

    fn field(&self, name: &str) -> String {
        if self.forgotten.iter().any(|it| it == name) {
            return FORGOTTEN.to_owned();
        }
        self.fields.get(name).cloned().unwrap_or_default()
    }

    fn said(&self, name: &str) -> String {
        match self.payload.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(all)) => all
                .iter()
                .map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned))
                .collect::<Vec<_>>()
                .join(" "),
            Some(Value::Null) | None if self.forgotten.iter().any(|it| it == "payload") => {
                FORGOTTEN.to_owned()
            }
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        }
    }

    /// Index and time: the first two columns of every table.
    fn head(&self) -> Vec<String> {
        vec![self.index.to_string(), self.time.to_string()]
    }

    fn row(&self, more: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut row = self.head();
        row.extend(more);
        row
    }
}

/// A leaver while her entries are read.
struct Leaver {
    entry: Vec<String>,
    /// When it was heard of that she leaves: earlier, where her removal was held.
    heard: Timestamp,
    person: String,
    since: Timestamp,
    by: String,
    reason: String,
    sessions: String,
    last_dead: Timestamp,
    leases: u32,
    grants: u32,
    requests: u32,
    tasks_opened: u32,
    tasks_closed: u32,
    closed: Option<Timestamp>,
}

/// What was asked for, until a grant comes of it.
#[derive(Clone, Default)]
struct Asked {
    by: String,
    reason: String,
    approved_by: Vec<String>,
}

/// All tables of a report, filled entry by entry, in the order of the log.
pub(super) struct Populations {
    joiners: Table,
    movers: Table,
    /// Since when removals are held, by person.
    held: BTreeMap<String, Timestamp>,
    leavers: BTreeMap<String, Leaver>,
    gone: Vec<Leaver>,
    grants: Table,
    grant_rows: BTreeMap<String, usize>,
    asked: BTreeMap<String, Asked>,
    changes: Table,
    reads: BTreeMap<(String, String, String), u64>,
    outages: Table,
    actions: BTreeMap<(String, bool), u64>,
    newest: Option<(u64, Timestamp)>,
}

/// What changes who may do what, or what the log itself rests on.
const CHANGES: &[&str] = &[
    "catalog.applied",
    "administrators.configured",
    "person.suspended",
    "person.resumed",
    "person.reactivated",
    "removal.expected",
    "removal.rejected",
    "person.signed-out",
    "recovery.created",
    "recovery.used",
    "log.recovered",
    "log.key-added",
    "log.key-retired",
    "log.held",
    "log.released",
    "log.forgot",
    "log.archived",
    "log.forwarding-set",
    "key.rotated",
    "key.rewrapped",
];

impl Populations {
    pub(super) fn new() -> Self {
        Self {
            joiners: Table::new(
                "joiners.csv",
                "Joiners",
                "People who came to be known here, by their first sign-in or by provisioning, with the groups that \
                 their identity provider asserted. What they may do follows from these groups and the declared scopes.",
                &["entry", "time", "person", "provider", "groups"],
            ),
            movers: Table::new(
                "movers.csv",
                "Movers",
                "Changes of the groups of people, as their identity provider said them.",
                &["entry", "time", "person", "provider", "added", "removed"],
            ),
            held: BTreeMap::new(),
            leavers: BTreeMap::new(),
            gone: Vec::new(),
            grants: Table::new(
                "grants.csv",
                "Grants",
                "Rights for a time, with who asked, why, and who approved. What was asked for before the period shows \
                 no requester.",
                &[
                    "entry",
                    "time",
                    "grant",
                    "person",
                    "scope",
                    "where",
                    "request",
                    "requested_by",
                    "reason",
                    "approved_by",
                    "until",
                    "ended",
                    "ended_because",
                ],
            ),
            grant_rows: BTreeMap::new(),
            asked: BTreeMap::new(),
            changes: Table::new(
                "changes.csv",
                "Changes of policy, administrators and keys",
                "Everything that changed who may do what, or what the log rests on.",
                &["entry", "time", "what", "by", "about", "reason", "details"],
            ),
            reads: BTreeMap::new(),
            outages: Table::new(
                "outages.csv",
                "Outages of the verifier",
                "Starts of servers, each with the newest entry before it: between the two nothing was recorded, and \
                 so nothing was done; and every time that the log had to go on from an older state.",
                &["entry", "time", "what", "entry_before", "time_before", "seconds_between", "details"],
            ),
            actions: BTreeMap::new(),
            newest: None,
        }
    }

    /// Takes the next entry of the period.
    pub(super) fn take(&mut self, it: &Said) {
        *self.actions.entry((it.action.clone(), it.is_allowed)).or_default() += 1;
        if it.is_allowed {
            self.allowed(it);
        }
        self.newest = Some((it.index, it.time));
    }

    fn allowed(&mut self, it: &Said) {
        match it.action.as_str() {
            "person.joined" => {
                self.joiners.rows.push(it.row([it.field("subject"), it.said("provider"), it.said("groups")]));
            }
            "person.groups-changed" => self.movers.rows.push(it.row([
                it.field("subject"),
                it.said("provider"),
                it.said("added"),
                it.said("removed"),
            ])),
            "person.suspended" if !it.said("held").is_empty() => {
                self.held.insert(it.field("subject"), it.time);
            }
            "person.resumed" | "removal.rejected" => drop(self.held.remove(&it.field("subject"))),
            "person.deactivated" => self.left(it),
            "secret.revealed" | "secret.run" => {
                let key = (it.said("at"), it.action.clone(), it.field("actor"));
                *self.reads.entry(key).or_default() += 1;
            }
            "server.started" | "log.recovered" => self.interrupted(it),
            _ => {}
        }
        if CHANGES.contains(&it.action.as_str()) {
            self.changed(it);
        }
        self.of_requests(it);
        self.of_leavers(it);
    }

    fn left(&mut self, it: &Said) {
        let person = it.field("subject");
        let leaver = Leaver {
            entry: it.head(),
            heard: self.held.remove(&person).unwrap_or(it.time),
            person: person.clone(),
            since: it.time,
            by: it.field("actor"),
            reason: it.field("reason"),
            sessions: it.said("sessions_ended"),
            last_dead: it.time,
            leases: 0,
            grants: 0,
            requests: 0,
            tasks_opened: 0,
            tasks_closed: 0,
            closed: None,
        };
        // Somebody can leave more than once; whoever was forgotten is no longer told from others.
        self.gone.extend(self.leavers.insert(person, leaver));
    }

    fn of_leavers(&mut self, it: &Said) {
        let Some(leaver) = self.leavers.get_mut(&it.field("subject")) else { return };
        match it.action.as_str() {
            "session.ended" => leaver.last_dead = it.time,
            "lease.ended" => (leaver.last_dead, leaver.leases) = (it.time, leaver.leases + 1),
            "grant.ended" => (leaver.last_dead, leaver.grants) = (it.time, leaver.grants + 1),
            "request.withdrawn" => leaver.requests += 1,
            "rotation.opened" | "rotation.cause-added" => leaver.tasks_opened += 1,
            "rotation.closed" => leaver.tasks_closed += 1,
            "leaver.closed" => leaver.closed = Some(it.time),
            _ => {}
        }
    }

    fn of_requests(&mut self, it: &Said) {
        let request = it.said("request");
        match it.action.as_str() {
            "request.created" => {
                let asked = self.asked.entry(request).or_default();
                (asked.by, asked.reason) = (it.field("actor"), it.field("reason"));
            }
            "request.approved" => self.asked.entry(request).or_default().approved_by.push(it.field("actor")),
            "grant.began" => {
                let asked = self.asked.get(&request).cloned().unwrap_or_default();
                self.grant_rows.insert(it.said("grant"), self.grants.rows.len());
                self.grants.rows.push(it.row([
                    it.said("grant"),
                    it.field("subject"),
                    it.said("of"),
                    it.said("at"),
                    request,
                    asked.by,
                    asked.reason,
                    asked.approved_by.join(" "),
                    it.said("ends_at"),
                    String::new(),
                    String::new(),
                ]));
            }
            "grant.ended" => {
                let row = self.grant_rows.get(&it.said("grant")).and_then(|at| self.grants.rows.get_mut(*at));
                if let Some([.., ended, because]) = row.map(Vec::as_mut_slice) {
                    (*ended, *because) = (it.time.to_string(), it.said("because"));
                }
            }
            _ => {}
        }
    }

    fn changed(&mut self, it: &Said) {
        let about = if it.field("subject").is_empty() { it.field("resource") } else { it.field("subject") };
        // What was declared is in the entry itself, whole; here is what it came to.
        let details = match it.action.as_str() {
            "catalog.applied" => format!(
                "source {}, version {} to {}: {}",
                it.said("source"),
                it.said("from_version"),
                it.said("version"),
                it.said("changes")
            ),
            _ => Value::Object(it.payload.clone()).to_string(),
        };
        let row = it.row([it.action.clone(), it.field("actor"), about, it.field("reason"), details]);
        self.changes.rows.push(row);
    }

    fn interrupted(&mut self, it: &Said) {
        let (before, when, between) = match self.newest {
            None => (String::new(), String::new(), String::new()),
            Some((index, time)) => {
                (index.to_string(), time.to_string(), it.time.since(time).as_secs().to_string())
            }
        };
        let details = Value::Object(it.payload.clone()).to_string();
        self.outages.rows.push(it.row([it.action.clone(), before, when, between, details]));
    }

    /// All tables, the ones with something to sample first.
    pub(super) fn tables(mut self) -> Vec<Table> {
        let mut leavers = Table::new(
            "leavers.csv",
            "Leavers",
            "People who were deactivated. From that entry's commit on nothing of theirs works; last_credential_dead is \
             when the last session, grant or lease was also taken off the books. heard_of is earlier than the entry where the \
             removal was held: she was suspended from then on. Rotation tasks are the values that they \
             knew; without a time of closing, some were not changed by the end of the period.",
            &[
                "entry",
                "time",
                "person",
                "by",
                "reason",
                "heard_of",
                "sessions_ended",
                "leases_ended",
                "grants_ended",
                "requests_withdrawn",
                "last_credential_dead",
                "seconds_from_heard_of_to_last_credential_dead",
                "rotation_tasks",
                "rotation_tasks_closed",
                "closed",
            ],
        );
        self.gone.extend(std::mem::take(&mut self.leavers).into_values());
        self.gone.sort_by_key(|it| it.since);
        leavers.rows = self.gone.into_iter().map(Leaver::row).collect();
        let mut reads = Table::new(
            "reads.csv",
            "Values that were obtained",
            "How often whom a value was told, or a program was started with it.",
            &["secret", "how", "by", "times"],
        );
        reads.rows =
            self.reads.into_iter().map(|((at, how, by), n)| vec![at, how, by, n.to_string()]).collect();
        let mut actions = Table::new(
            "actions.csv",
            "Everything, counted",
            "Every kind of entry in the period, with how many were allowed and refused.",
            &["what", "decision", "entries"],
        );
        let decision = |is_allowed| if is_allowed { "allow" } else { "deny" }.to_owned();
        actions.rows =
            self.actions.into_iter().map(|((what, is), n)| vec![what, decision(is), n.to_string()]).collect();
        vec![self.joiners, self.movers, leavers, self.grants, self.changes, self.outages, reads, actions]
    }
}

impl Leaver {
    fn row(self) -> Vec<String> {
        let mut row = self.entry;
        row.extend([
            self.person,
            self.by,
            self.reason,
            self.heard.to_string(),
            self.sessions,
            self.leases.to_string(),
            self.grants.to_string(),
            self.requests.to_string(),
            self.last_dead.to_string(),
            self.last_dead.since(self.heard).as_secs_f64().to_string(),
            self.tasks_opened.to_string(),
            self.tasks_closed.to_string(),
            self.closed.map(|it| it.to_string()).unwrap_or_default(),
        ]);
        row
    }
}
