//! `portctl audit who-read`

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::{FilterArgs, borrowed, refuse_unknown, say_archived};
use crate::{
    audit::read::Entry,
    base::{Problem, Result, SecretRef, Timestamp},
    cli::{Context, DONE, Table, names::Names, output::note},
    client::{Client, UnknownName},
};

/// Who came to know the values of a secret, and how, by what the log says.
#[derive(Debug, Args)]
pub struct Command {
    /// The secret, where it belongs: APPLICATION/ENVIRONMENT/NAME, or with @TEAM after the environment.
    secret: SecretRef,
    /// From then on: 2026-01-31 or 2026-01-31T12:00:00Z.
    #[arg(long, visible_alias = "from", value_name = "TIME")]
    since: Option<String>,
}

/// How somebody came to know one version.
#[derive(Debug, Serialize)]
struct Knower {
    /// Who: `per_…`.
    who: String,
    /// `entered`, `revealed`, `run` or `delivery`.
    how: &'static str,
    /// The version's number.
    version: i64,
    /// Whether it is the newest still.
    is_newest: bool,
    /// When first.
    first: Timestamp,
    /// When last.
    last: Timestamp,
    /// How often.
    times: u64,
    /// Where, if the secret was shared with another application.
    at: String,
    /// By which trust scope, the last time.
    scope: Option<String>,
    /// For which request, the last time.
    request: Option<String>,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<u8> {
        let filter = FilterArgs {
            secret: Some(self.secret.name.to_string()),
            action: Some("secret.".to_owned()),
            ..FilterArgs::default()
        };
        let since: Option<Timestamp> =
            self.since.as_deref().map(|text| text.parse().map_err(Problem::invalid)).transpose()?;
        // From the beginning, whatever is asked: which version is the newest has to be known.
        let client = context.client()?;
        let found = client.audit_all(&borrowed(&filter.query()?)).await?;
        let target = self.secret.to_string();
        let about: Vec<&Entry> = found.items.iter().filter(|entry| is_about(entry, &target)).collect();
        let knowers = knowers(&about, since);
        if about.is_empty() {
            refuse_unknown(&self.never_named(&client).await?)?;
        }
        let mut names = Names::default();
        names.learn(&client, knowers.iter().map(|it| it.who.as_str())).await?;
        context.output.show(&knowers, |knowers| table(knowers, &names))?;
        if knowers.is_empty() && !context.output.is_json() {
            note("Nobody came to know a value of it in that time.");
        }
        say_archived(&found.archived);
        if about.iter().any(|entry| entry.kind != "act" && entry.kind != "denial") {
            note("Its values live in Vault: whoever reads them there directly is outside of this log.");
        }
        if let Some(forgotten) = about.iter().find(|entry| !entry.forgotten.is_empty()) {
            note(&format!("Of some entries, such as {}, parts were forgotten.", forgotten.index));
        }
        Ok(DONE)
    }
}

impl Command {
    /// What of its name nothing in the log has.
    async fn never_named(&self, client: &Client) -> Result<Vec<UnknownName>> {
        let at = &self.secret.environment;
        let team = at.team.as_ref().map_or_else(String::new, |team| format!("@{team}"));
        let filter = FilterArgs {
            application: Some(at.application.to_string()),
            environment: Some(format!("{}{team}", at.environment)),
            secret: Some(self.secret.name.to_string()),
            ..FilterArgs::default()
        };
        let mut query = filter.query()?;
        query.push(("limit", "1".to_owned()));
        Ok(client.audit_entries(&borrowed(&query)).await?.unknown)
    }
}

/// Whether an entry is about this secret, or about one through which it was shared.
fn is_about(entry: &Entry, target: &str) -> bool {
    let of = entry.payload.get("of").and_then(|it| it.as_str());
    of.or(entry.at.as_deref()) == Some(target)
}

/// What the entries come to, the oldest first.
fn knowers(entries: &[&Entry], since: Option<Timestamp>) -> Vec<Knower> {
    let newest = entries.iter().filter_map(|entry| version(entry)).max();
    let mut all: BTreeMap<(String, &'static str, i64), Knower> = BTreeMap::new();
    // What is written into Vault: who enters it is said before, its number after.
    let mut entering: BTreeMap<String, bool> = BTreeMap::new();
    for entry in entries {
        if entry.kind == "intent" {
            let who = entry.actor.clone().unwrap_or_default();
            entering.insert(who, entry.action == "secret.set");
        }
        let Some((who, how)) = told(entry, &entering) else { continue };
        let Some(version) = version(entry).filter(|_| since.is_none_or(|since| entry.time >= since)) else {
            continue;
        };
        let knower = all.entry((who.clone(), how, version)).or_insert_with(|| Knower {
            who,
            how,
            version,
            is_newest: Some(version) == newest,
            first: entry.time,
            last: entry.time,
            times: 0,
            at: entry.at.clone().unwrap_or_default(),
            scope: None,
            request: None,
        });
        knower.times += 1;
        knower.last = entry.time;
        (knower.scope, knower.request) = (entry.scope.clone(), entry.request.clone());
    }
    let mut knowers: Vec<Knower> = all.into_values().collect();
    knowers.sort_by_key(|it| (it.first, it.version));
    knowers
}

fn version(entry: &Entry) -> Option<i64> {
    entry.payload.get("version").and_then(serde_json::Value::as_i64)
}

/// Who came to know a value by what an entry says, and how.
fn told(entry: &Entry, entering: &BTreeMap<String, bool>) -> Option<(String, &'static str)> {
    if entry.decision != "allow" {
        return None;
    }
    let actor = || entry.actor.clone().unwrap_or_else(|| "(forgotten)".to_owned());
    match (entry.action.as_str(), entry.kind.as_str()) {
        ("secret.set", "act") => Some((actor(), "entered")),
        ("secret.revealed", _) => Some((actor(), "revealed")),
        ("secret.run", _) => Some((actor(), "run")),
        ("secret.readable", _) => Some((entry.subject.clone()?, "delivery")),
        ("secret.settled", _) => {
            let by = entry.payload.get("by")?.as_str()?.to_owned();
            entering.get(&by).is_some_and(|entered| *entered).then_some((by, "entered"))
        }
        _ => None,
    }
}

fn table(knowers: &[Knower], names: &Names) -> Table {
    let headings = ["WHO", "HOW", "VERSION", "NEWEST", "FIRST", "LAST", "TIMES", "SCOPE"];
    Table::new(&headings).with(knowers.iter().map(|it| {
        vec![
            names.beside(&it.who),
            it.how.to_owned(),
            it.version.to_string(),
            if it.is_newest { "yes" } else { "no" }.to_owned(),
            it.first.to_string(),
            it.last.to_string(),
            it.times.to_string(),
            it.scope.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(index: u64, kind: &str, action: &str, actor: &str, payload: &Value) -> Entry {
        serde_json::from_value(json!({
            "index": index, "time": format!("2026-01-01T00:00:{index:02}Z"), "kind": kind, "action": action,
            "decision": "allow", "actor": actor, "subject": null, "resource": null,
            "at": "reports/production/A", "scope": "developer", "request": null, "reason": null,
            "network": null, "payload": payload, "forgotten": [], "missing": []
        }))
        .unwrap()
    }

    #[test]
    fn each_way_to_know_a_value_is_told_once_with_its_times() {
        let entries = [
            entry(0, "act", "secret.set", "per_dana", &json!({ "version": 1 })),
            entry(1, "act", "secret.revealed", "per_lena", &json!({ "version": 1 })),
            entry(2, "act", "secret.revealed", "per_lena", &json!({ "version": 1 })),
            entry(3, "act", "secret.generated", "per_dana", &json!({ "version": 2 })),
        ];
        let all: Vec<&Entry> = entries.iter().collect();
        let told = knowers(&all, None);
        let lines: Vec<_> = told.iter().map(|it| (it.who.as_str(), it.how, it.times, it.is_newest)).collect();
        assert_eq!(lines, [("per_dana", "entered", 1, false), ("per_lena", "revealed", 2, false)]);
        let since: Timestamp = "2026-01-01T00:00:02Z".parse().unwrap();
        assert_eq!(knowers(&all, Some(since)).iter().map(|it| it.times).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_is_written_into_vault_is_known_by_whoever_entered_it_and_not_by_whoever_had_it_generated() {
        for (action, knows) in [("secret.set", 1), ("secret.generated", 0)] {
            let entries = [
                entry(0, "intent", action, "per_dana", &json!({})),
                entry(
                    1,
                    "outcome",
                    "secret.settled",
                    "service/secrets",
                    &json!({ "version": 1, "by": "per_dana" }),
                ),
            ];
            assert_eq!(knowers(&entries.iter().collect::<Vec<_>>(), None).len(), knows, "{action}");
        }
    }

    #[test]
    fn a_shared_secret_is_the_owners() {
        let shared = entry(0, "act", "secret.revealed", "per_dana", &json!({ "of": "billing/production/A" }));
        assert!(is_about(&shared, "billing/production/A") && !is_about(&shared, "reports/production/A"));
    }
}
